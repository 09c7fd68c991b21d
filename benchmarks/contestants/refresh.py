"""Run the command `flood-assets refresh`, with Dagster, gauges, checks and ledger."""

import os
from typing import Any

from benchmarks.contestant import Task, ask_plainly, main
from benchmarks.contestants.flood import rows


def fill(task: Task) -> dict[str, Any]:
    """Run the command in this process, without a Dagster home."""
    os.environ["FLOOD_API_URL"] = task.api
    os.environ["FLOOD_LAKE_URL"] = task.out.resolve().as_uri()
    os.environ["FLOOD_NOW"] = task.now.isoformat()
    if not task.gzip:
        ask_plainly()
    from flood_assets.cli.run import run  # noqa: PLC0415 - part of what is measured

    code = run("refresh")
    if code:
        raise SystemExit(f"flood-assets refresh failed with exit code {code}")
    files = list(task.out.glob("readings/*/*/*.parquet"))
    everything = [file for file in task.out.glob("*/*/*/*.parquet") if not file.parts[-4].startswith("_")]
    return {
        "stored_bytes": sum(file.stat().st_size for file in files),
        "objects": len(files),
        "all_objects": len(everything),
        "all_bytes": sum(file.stat().st_size for file in everything),
    }


if __name__ == "__main__":
    main(fill, rows)
