"""Run `flood_assets` once without Dagster, with the same calls that the asset and the IO manager make.

Not a contestant; used by `flood` and `tick`.
"""

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any

from benchmarks.contestant import Task, import_what_pyarrow_imports_late

if TYPE_CHECKING:
    from flood_assets.ea.client import Answer


def run_once(task: Task, now: datetime, windows: Sequence[datetime] | None) -> dict[str, Any]:
    """Fetch and store once, and return the counts and the seconds of each phase.

    Args:
        task: API and folder.
        now: time of the run.
        windows: windows to read again; None to catch up.
    """
    import time  # noqa: PLC0415

    from flood_assets.ea.client import FloodMonitoringApi  # noqa: PLC0415 - imports are part of what is measured
    from flood_assets.ingest import fetch  # noqa: PLC0415
    from flood_assets.lake.lake import Lake  # noqa: PLC0415

    import_what_pyarrow_imports_late()
    lake = Lake.open(task.out.resolve().as_uri())
    with closing(FloodMonitoringApi(task.api, now=lambda: now, **limits(task))) as api:
        started = time.perf_counter()
        lake.claim(task.api)
        batch = fetch(api, lake, windows, now)
        asked = time.perf_counter()
        upserted, _ = batch.store(lake)
        ended = time.perf_counter()
    waited = _waited(batch.answers)
    return {
        "reason": batch.reason,
        "requests": sum(answer.cost.requests for answer in batch.answers),
        "bytes": sum(answer.cost.bytes for answer in batch.answers),
        "rows": len(batch.rows),
        "written": sum(change.written for change in upserted.windows),
        "windows": [f"{change.window:%Y-%m-%dT%H:%MZ}" for change in upserted.windows if change.written],
        "added": sum(change.added for change in upserted.windows),
        "seconds": {
            "fill": ended - started,
            "download": waited,
            "own": ended - started - waited,
            "parse": sum(answer.cost.seconds_parse for answer in batch.answers),
            "store": ended - asked,
            "read": sum(change.seconds_read for change in upserted.windows),
            "merge": sum(change.seconds_upsert for change in upserted.windows),
            "write": sum(change.seconds_write for change in upserted.windows),
        },
    }


def limits(task: Task) -> dict[str, Any]:
    """Return the client's limits, raised for large networks: by default it rejects an answer of 8 GB as endless."""
    from flood_assets.ea.http import RetryPolicy  # noqa: PLC0415

    return {"largest": 10**12, "retry": RetryPolicy(deadline=3600)} if "large" in task.options else {}


def _waited(answers: "Sequence[Answer]") -> float:
    """Return the wall time spent waiting for bytes; single gauges are requested several at a time."""
    from flood_assets.ea.client import AT_ONCE  # noqa: PLC0415

    singles = [len(answer.rows["measure_id"].unique()) <= 1 for answer in answers]
    parts = (one.cost.seconds_download / (AT_ONCE if alone else 1) for one, alone in zip(answers, singles, strict=True))
    return sum(parts)
