"""Time three readers on three queries of a lake: one gauge's day, one river's day, the whole day, as pandas.

    python -m benchmarks.reading ENGINE --lake DIR --now ISO --river NAME --measure ID --times N

Each reader has a process of its own and runs each query some times before it is timed, so the files are cached and the
reader is warm. It prints the seconds of each run, and the rows and sum of values, which must be equal for all three.
All return the same rows: the last 24 hours, all columns, no partition columns.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

ENGINES = ("notebook", "duckdb", "polars")
# Readers with an environment of their own.
ELSEWHERE = ("polars",)
QUESTIONS = ("gauge", "river", "day")
COLUMNS = (
    "measure_id", "date_time", "station_id", "value", "raw_value", "first_seen_at", "changed_at", "previous_value",
    "revision",
)  # fmt: skip

# After this many runs the allocators have grown to their final size.
WARM_UP = 3

Ask = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("--lake", type=Path, required=True)
    parser.add_argument("--now", type=datetime.fromisoformat, required=True)
    parser.add_argument("--river", required=True)
    parser.add_argument("--measure", required=True)
    parser.add_argument("--times", type=int, default=5)
    asked = parser.parse_args()
    make = {"notebook": notebook, "duckdb": with_duckdb, "polars": with_polars}[asked.engine]
    questions = make(asked.lake, asked.now, asked.river, asked.measure)
    told = {}
    for name in QUESTIONS:
        for _ in range(WARM_UP):
            frame = questions[name]()
        times = []
        for _ in range(asked.times):
            started = time.perf_counter()
            questions[name]()
            times.append(time.perf_counter() - started)
        told[name] = {"seconds": times, "rows": len(frame), "sum": round(float(frame["value"].sum()), 3)}
    print(json.dumps(told))


def notebook(lake: Path, now: datetime, river: str, measure: str) -> dict[str, Ask]:
    """Return the queries with `flood_assets.notebook`."""
    from flood_assets.notebook import load_readings  # noqa: PLC0415 - each engine imports its own

    return {
        "gauge": lambda: load_readings(measure=measure, lake=lake, now=now),
        "river": lambda: load_readings(river=river, lake=lake, now=now),
        "day": lambda: load_readings(lake=lake, now=now),
    }


def with_duckdb(lake: Path, now: datetime, river: str, measure: str) -> dict[str, Ask]:
    """Return the queries with DuckDB over the same files."""
    import duckdb  # noqa: PLC0415

    # It uses an argument that the newest pandas deprecates, with a warning each time.
    warnings.simplefilter("ignore")
    connection = duckdb.connect()
    select = (
        f"SELECT {', '.join(f'r.{name}' for name in COLUMNS)} FROM read_parquet('{lake}/readings/*/*/*.parquet') r "
        "WHERE r.date_time > $since AND r.date_time <= $now"
    )
    of_river = (
        f" AND r.measure_id IN (SELECT measure_id FROM read_parquet('{newest(lake, 'measures')}') m "
        f"JOIN read_parquet('{newest(lake, 'stations')}') s USING (station_id) WHERE lower(s.river) = lower($river))"
    )
    span = {"since": now - timedelta(hours=24), "now": now}
    return {
        "gauge": lambda: connection.execute(f"{select} AND r.measure_id = $measure", {**span, "measure": measure}).df(),
        "river": lambda: connection.execute(select + of_river, {**span, "river": river}).df(),
        "day": lambda: connection.execute(select, span).df(),
    }


def with_polars(lake: Path, now: datetime, river: str, measure: str) -> dict[str, Ask]:
    """Return the queries with lazy Polars over the same files."""
    import polars as pl  # noqa: PLC0415

    def rows() -> Any:
        scanned = pl.scan_parquet(f"{lake}/readings/*/*/*.parquet", hive_partitioning=False)
        inside = (pl.col("date_time") > now - timedelta(hours=24)) & (pl.col("date_time") <= now)
        return scanned.filter(inside).select(COLUMNS)

    def of_river() -> Any:
        stations = pl.scan_parquet(newest(lake, "stations"), hive_partitioning=False)
        measures = pl.scan_parquet(newest(lake, "measures"), hive_partitioning=False)
        there = stations.filter(pl.col("river").str.to_lowercase() == river.lower()).select("station_id")
        chosen = measures.join(there, on="station_id", how="semi").select("measure_id")
        return rows().join(chosen, on="measure_id", how="semi").collect().to_pandas()

    return {
        "gauge": lambda: rows().filter(pl.col("measure_id") == measure).collect().to_pandas(),
        "river": of_river,
        "day": lambda: rows().collect().to_pandas(),
    }


def newest(lake: Path, table: str) -> str:
    """Return the path of the newest snapshot."""
    return str(max(lake.glob(f"{table}/*/*/*.parquet")))


def chosen(lake: Path) -> tuple[str, str]:
    """Return the river with most level gauges, and one of these gauges."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    names = ["station_id", "river"]
    river_of = {
        row["station_id"]: row["river"] for row in pq.ParquetFile(newest(lake, "stations")).read(names).to_pylist()
    }
    gauges: dict[str, list[str]] = {}
    for row in pq.ParquetFile(newest(lake, "measures")).read(["measure_id", "station_id", "parameter"]).to_pylist():
        river = river_of.get(row["station_id"])
        if river and river.startswith("River ") and row["parameter"] == "level":
            gauges.setdefault(river, []).append(row["measure_id"])
    river = max(sorted(gauges), key=lambda name: len(gauges[name]))
    return river, min(gauges[river])


if __name__ == "__main__":
    main()
