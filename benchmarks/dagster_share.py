"""Measure Dagster's share of the time from a schedule tick to the finished run, and a run's requests to the store.

    python -m benchmarks.dagster_share --api URL --lake DIR --now ISO --ticks N

Runs in a process of its own with a temporary Dagster home in SQLite, as `make ui` has it. Every 15 simulated minutes
the schedule is evaluated and the requested runs are executed in this process. Prints one line of JSON. The lake must be
full.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.contestant import Task
from benchmarks.server import ROOT

QUARTER = timedelta(minutes=15)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--api", required=True)
    parser.add_argument("--lake", type=Path, required=True)
    parser.add_argument("--now", type=datetime.fromisoformat, required=True)
    parser.add_argument("--ticks", type=int, default=3)
    asked = parser.parse_args()
    task = Task(asked.api, asked.lake, asked.now, gzip=True, options={})
    with tempfile.TemporaryDirectory(prefix="bench-dagster-") as home:
        shutil.copy(ROOT / "dagster_home" / "dagster.yaml", home)
        os.environ["DAGSTER_HOME"] = home
        os.environ["FLOOD_API_URL"] = asked.api
        os.environ["FLOOD_LAKE_URL"] = asked.lake.resolve().as_uri()
        started = time.perf_counter()
        import flood_assets.definitions  # noqa: F401, PLC0415 - its time is measured

        told: dict[str, Any] = {"import": time.perf_counter() - started}
        told["ticks"] = list(_ticks(task, asked.ticks))
        told["home_bytes"] = sum(file.stat().st_size for file in Path(home).rglob("*") if file.is_file())
    sys.stdout.write("\n" + json.dumps(told) + "\n")


def _ticks(task: Task, count: int) -> Iterator[dict[str, Any]]:
    """Run ticks one after the other; the last one counts requests to the store, which makes it a little slower."""
    import dagster as dg  # noqa: PLC0415

    with dg.DagsterInstance.get():
        pass  # the first call creates the databases
    started = time.perf_counter()
    with dg.DagsterInstance.get() as instance:
        opened = time.perf_counter() - started
        moment = task.now
        for number in range(count + 1):
            moment += QUARTER
            task.move_clock(moment)
            os.environ["FLOOD_NOW"] = moment.isoformat()
            with counted(number == count) as calls:
                tick = _tick(instance, moment)
            yield {**tick, "instance": opened, "calls": dict(calls), "counted": number == count}


def _tick(instance: Any, moment: datetime) -> dict[str, Any]:
    import dagster as dg  # noqa: PLC0415

    from flood_assets.definitions import build_defs  # noqa: PLC0415
    from flood_assets.defs.resources import LakeResource  # noqa: PLC0415
    from flood_assets.defs.schedules import refresh_every_15_minutes  # noqa: PLC0415

    defs = build_defs()
    started = time.perf_counter()
    repository = defs.get_repository_def()
    with dg.build_schedule_context(
        instance=instance,
        resources={"lake": LakeResource()},
        scheduled_execution_time=moment,
        repository_def=repository,
    ) as context:
        requests = refresh_every_15_minutes.evaluate_tick(context).run_requests or []
    evaluated = time.perf_counter()
    job = defs.resolve_job_def(refresh_every_15_minutes.job_name)
    runs = [_run(job, instance, request) for request in requests]
    return {
        "evaluate": evaluated - started,
        "runs": runs,
        "total": time.perf_counter() - started,
        "steps": sum(run["steps"] for run in runs),
    }


def _run(job: Any, instance: Any, request: Any) -> dict[str, Any]:
    started = time.perf_counter()
    result = job.execute_in_process(
        instance=instance,
        asset_selection=request.asset_selection,
        tags=dict(request.tags),
        run_config={**(request.run_config or {}), "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=True,
    )
    wall = time.perf_counter() - started
    steps = {
        event.step_key: event.step_success_data.duration_ms / 1000
        for event in result.all_events
        if event.is_step_success
    }
    newest = [
        event.step_materialization_data.materialization
        for event in result.all_events
        if event.is_step_materialization and event.step_key == "readings"
    ]
    why = max(newest, key=lambda one: one.partition or "").metadata if newest else {}
    waited = float(why["download_seconds"].value) if newest else 0.0
    return {
        "assets": sorted({one for one in steps if "_" not in one}),
        "wall": wall,
        "steps": sum(steps.values()),
        "each": {name: round(taken, 4) for name, taken in steps.items()},
        "download": waited,
        "events": len(result.all_events),
    }


@contextmanager
def counted(wanted: bool) -> Iterator[Counter[str]]:
    """Count calls of the lake's store inside the context, as requests to S3, and the bytes written."""
    calls: Counter[str] = Counter()
    if not wanted:
        yield calls
        return
    from flood_assets.lake.folder import Folder  # noqa: PLC0415

    kinds = {"get": "GET", "get_range": "GET", "head": "GET", "list": "LIST", "put": "PUT"}
    originals = {name: getattr(Folder, name) for name in kinds}

    def counting(name: str) -> Any:
        original = originals[name]

        def call(self: Any, *args: Any, **more: Any) -> Any:
            calls[kinds[name]] += 1
            if name == "put":
                calls["put_bytes"] += len(args[1])
            return original(self, *args, **more)

        return call

    for name in kinds:
        setattr(Folder, name, counting(name))
    try:
        yield calls
    finally:
        for name, original in originals.items():
            setattr(Folder, name, original)


def summary(ticks: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return medians over ticks that took no snapshot of the gauges and counted no requests."""
    import statistics  # noqa: PLC0415

    plain = [tick for tick in ticks if len(tick["runs"]) == 1 and not tick["counted"]] or list(ticks)
    return {
        "total": statistics.median(tick["total"] for tick in plain),
        "evaluate": statistics.median(tick["evaluate"] for tick in plain),
        "steps": statistics.median(tick["steps"] for tick in plain),
        "dagster": statistics.median(tick["total"] - tick["steps"] for tick in plain),
        "readings": statistics.median(tick["runs"][-1]["each"].get("readings", 0.0) for tick in plain),
        "download": statistics.median(tick["runs"][-1]["download"] for tick in plain),
        "events": statistics.median(tick["runs"][-1]["events"] for tick in plain),
    }


if __name__ == "__main__":
    main()
