"""Measure what one country takes as a shard: a cold fill, ticks of a quarter of an hour and a reconcile.

    python -m benchmarks.shard_parts --api URL --lake DIR --now ISO

The steps are those that a Dask worker takes for a shard (`flood_assets.shards.work`), in this process and without Dask.
Prints one line of JSON: for each run its CPU seconds, wall seconds, requests to the API with the uncompressed bytes of
their answers, and calls of the lake's store as requests to S3.
"""

import argparse
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.contestant import Task
from benchmarks.dagster_share import counted
from benchmarks.server import Server
from flood_assets import settings

# As the command does, before anything imports pyarrow.
settings.use_the_systems_allocator()

TICKS = 8
QUARTER = timedelta(minutes=15)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--api", required=True)
    parser.add_argument("--lake", type=Path, required=True)
    parser.add_argument("--now", type=datetime.fromisoformat, required=True)
    asked = parser.parse_args()
    print(json.dumps(measured(asked.api, asked.lake, asked.now)))


def measured(api: str, lake: Path, now: datetime) -> dict[str, Any]:
    """Return the measurements by kind of run."""
    from flood_assets.network import parse_network  # noqa: PLC0415 - imports are not measured
    from flood_assets.shards import work  # noqa: PLC0415

    (shard,) = parse_network('name = "bench"\n[[shard]]\nname = "country"\n', api).shards
    task, server = Task(api, lake, now, gzip=True, options={}), Server(api, 0, 0)

    def run(moment: datetime, do: Callable[..., Any]) -> dict[str, Any]:
        task.move_clock(moment)
        server.reset()
        with counted(wanted=True) as calls:
            started, spent = time.perf_counter(), time.process_time()
            do(work.Job(lake.resolve().as_uri(), now=moment.isoformat()), shard, nullcontext)
            spent, taken = time.process_time() - spent, time.perf_counter() - started
        requests, size = server.counted()
        return {"at": f"{moment:%H:%M}", "cpu": spent, "wall": taken, "requests": requests, "bytes": size, **calls}

    cold = run(now, work.refresh)
    ticks = [run(now + number * QUARTER, work.refresh) for number in range(1, TICKS + 1)]
    return {"cold": cold, "ticks": ticks, "reconcile": run(now + TICKS * QUARTER, work.reconcile)}


if __name__ == "__main__":
    main()
