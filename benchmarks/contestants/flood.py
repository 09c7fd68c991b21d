"""`flood_assets` itself, without Dagster: the same calls that the asset and the IO manager make.

The option `do` says which: `imports` only imports what a fill needs; `gauges` stores the lists that every fill needs;
`cold` fills a day into a lake that has only those; `reconcile` reads the day again into one that is full; `ticks` moves
the clock on and catches up, several times, each beside its floors (see `tick`).
"""

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.contestant import Task, ask_plainly, import_what_pyarrow_imports_late, main, readings_table
from flood_assets import settings

if TYPE_CHECKING:
    import pyarrow as pa

    from flood_assets.ea.client import Answer

# As the command does; the floor is quicker with Arrow's own.
settings.use_the_systems_allocator()


def fill(task: Task) -> dict[str, Any]:
    """What the option says."""
    if not task.gzip:
        ask_plainly()
    match task.options.get("do", "cold"):
        case "imports":
            return _imports()
        case "gauges":
            return _gauges(task)
        case "ticks":
            from benchmarks.contestants import tick  # noqa: PLC0415 - only ticks need it

            return tick.several(task, run_once)
        case _:
            return _whole_day(task)


def rows(out: Path) -> "pa.Table":
    """All that is in the files, whatever a reader of the lake would be shown."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    files = sorted(out.glob("readings/*/*/*.parquet"))
    names = ["measure_id", "date_time", "value"]
    day = pa.concat_tables([pq.ParquetFile(file).read(columns=names) for file in files])
    return readings_table(day["measure_id"], day["date_time"], day["value"])


def run_once(task: Task, now: datetime, windows: Sequence[datetime] | None) -> dict[str, Any]:
    """One run without Dagster, and what it says of itself.

    Args:
        task: whose API and folder.
        now: the time of the run.
        windows: to read again; None to catch up.
    """
    import time  # noqa: PLC0415

    import flood_assets.ea.fetch  # noqa: F401, PLC0415 - `fetch` imports it when it is called
    from flood_assets.ea.client import FloodMonitoringApi  # noqa: PLC0415 - imports are part of what is measured
    from flood_assets.ingest import fetch, store  # noqa: PLC0415
    from flood_assets.lake.lake import Lake  # noqa: PLC0415

    import_what_pyarrow_imports_late()
    lake = Lake.open(task.out.resolve().as_uri())
    with closing(FloodMonitoringApi(task.api, now=lambda: now, **_patience(task))) as api:
        started = time.perf_counter()
        lake.claim(task.api)
        fetched, batch, _ = fetch(api, lake, windows, now)
        asked = time.perf_counter()
        merge, _ = store(lake, batch, now)
        ended = time.perf_counter()
    waited = _waited(fetched.answers)
    return {
        "reason": fetched.reason,
        "requests": sum(answer.requests for answer in fetched.answers),
        "bytes": sum(answer.bytes for answer in fetched.answers),
        "rows": len(fetched.rows),
        "written": sum(change.written for change in merge.windows),
        "windows": [f"{change.window:%Y-%m-%dT%H:%MZ}" for change in merge.windows if change.written],
        "added": sum(change.added for change in merge.windows),
        "seconds": {
            "fill": ended - started,
            "download": waited,
            "own": ended - started - waited,
            "parse": sum(answer.seconds_parse for answer in fetched.answers),
            "store": ended - asked,
            "read": sum(change.seconds_read for change in merge.windows),
            "merge": sum(change.seconds_merge for change in merge.windows),
            "write": sum(change.seconds_write for change in merge.windows),
        },
    }


def _waited(answers: "Sequence[Answer]") -> float:
    """How long it waited for bytes by the clock on the wall: single gauges are asked several at a time."""
    from flood_assets.ea.fetch import AT_ONCE  # noqa: PLC0415

    singles = [len(answer.rows["measure_id"].unique()) <= 1 for answer in answers]
    parts = (one.seconds_download / (AT_ONCE if alone else 1) for one, alone in zip(answers, singles, strict=True))
    return sum(parts)


def _patience(task: Task) -> dict[str, Any]:
    """What must be raised for networks that no country has: an answer of 8 GB is taken for one without an end."""
    from flood_assets.ea.http import RetryPolicy  # noqa: PLC0415

    return {"largest": 10**12, "retry": RetryPolicy(deadline=3600)} if "large" in task.options else {}


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
    with closing(FloodMonitoringApi(task.api, now=lambda: task.now, **_patience(task))) as api:
        lake.claim(task.api)
        stations, measures = api.stations(), api.measures()
    lake.put_snapshot(STATIONS, window_of(task.now), stations)
    lake.put_snapshot(MEASURES, window_of(task.now), measures)
    return {"stations": len(stations), "measures": len(measures)}


def _whole_day(task: Task) -> dict[str, Any]:
    from flood_assets.partitions import retained_windows  # noqa: PLC0415

    told = run_once(task, task.now, retained_windows(task.now))
    task.seconds.update(told.pop("seconds"))
    files = list(task.out.glob("readings/*/*/*.parquet"))
    return {**told, "stored_bytes": sum(file.stat().st_size for file in files), "objects": len(files)}


if __name__ == "__main__":
    main(fill, rows)
