"""Run `flood_assets` without Dagster.

The option `do` chooses: `imports` only imports the modules of a fill; `gauges` stores the lists of stations and
measures; `cold` fills a day into a lake that has only those lists; `reconcile` re-reads the day into a full lake;
`ticks` advances the clock and catches up several times, each time compared with floors (see `tick`).
"""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.contestant import Task, ask_plainly, import_what_pyarrow_imports_late, main, readings_table
from benchmarks.contestants.lake_run import limits, run_once
from flood_assets import settings

if TYPE_CHECKING:
    import pyarrow as pa

# As the command does; the floor is quicker with Arrow's own allocator.
settings.use_the_systems_allocator()


def fill(task: Task) -> dict[str, Any]:
    """Do what the option `do` says."""
    if not task.gzip:
        ask_plainly()
    match task.options.get("do", "cold"):
        case "imports":
            return _imports()
        case "gauges":
            return _gauges(task)
        case "ticks":
            from benchmarks.contestants import tick  # noqa: PLC0415 - only ticks need it

            return tick.several(task)
        case _:
            return _whole_day(task)


def rows(out: Path) -> "pa.Table":
    """Read all rows of the files, including those that a reader of the lake would not be shown."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    files = sorted(out.glob("readings/*/*/*.parquet"))
    names = ["measure_id", "date_time", "value"]
    day = pa.concat_tables([pq.ParquetFile(file).read(columns=names) for file in files])
    return readings_table(day["measure_id"], day["date_time"], day["value"])


def _imports() -> dict[str, Any]:
    import requests  # noqa: F401, PLC0415 - the client imports it when it is used

    import flood_assets.ingest  # noqa: F401, PLC0415

    import_what_pyarrow_imports_late()
    return {}


def _gauges(task: Task) -> dict[str, Any]:
    from flood_assets.ea.client import FloodMonitoringApi  # noqa: PLC0415
    from flood_assets.lake.lake import Lake  # noqa: PLC0415
    from flood_assets.partitions import window_of  # noqa: PLC0415
    from flood_assets.schemas import MEASURES, STATIONS  # noqa: PLC0415

    lake = Lake.open(task.out.resolve().as_uri())
    with closing(FloodMonitoringApi(task.api, now=lambda: task.now, **limits(task))) as api:
        lake.claim(task.api)
        stations, measures = api.stations().rows, api.measures().rows
    lake.put_snapshots(STATIONS, [window_of(task.now)], stations)
    lake.put_snapshots(MEASURES, [window_of(task.now)], measures)
    return {"stations": len(stations), "measures": len(measures)}


def _whole_day(task: Task) -> dict[str, Any]:
    from flood_assets.partitions import retained_windows  # noqa: PLC0415

    told = run_once(task, task.now, retained_windows(task.now))
    task.seconds.update(told.pop("seconds"))
    files = list(task.out.glob("readings/*/*/*.parquet"))
    return {**told, "stored_bytes": sum(file.stat().st_size for file in files), "objects": len(files)}


if __name__ == "__main__":
    main(fill, rows)
