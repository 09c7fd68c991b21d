"""Load whole days with dlt's `rest_api` source into a folder: as Parquet, or upserted by key into a Delta table."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.contestant import Task, ask_plainly, main, readings_table

if TYPE_CHECKING:
    import pyarrow as pa

DATASET = "floods"


def fill(task: Task) -> dict[str, Any]:
    """Run one pipeline into one table; dlt's state goes into the same folder."""
    os.environ["DLT_DATA_DIR"] = str(task.out / "state")
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"
    if not task.gzip:
        ask_plainly()
    import dlt  # noqa: PLC0415 - part of what is measured
    from dlt.sources.rest_api import rest_api_source  # noqa: PLC0415

    to_delta = task.options.get("to") == "delta"
    upsert = {"disposition": "merge", "strategy": "upsert"}
    source = rest_api_source(
        {
            "client": {"base_url": task.api},
            "resources": [
                {
                    "name": f"readings_{number}",
                    "table_name": "readings",
                    "primary_key": ["measure", "dateTime"],
                    "write_disposition": upsert if to_delta else "merge",
                    **({"table_format": "delta"} if to_delta else {}),
                    "endpoint": {
                        "path": "data/readings",
                        "params": {"date": f"{day}"},
                        "data_selector": "items",
                        "paginator": "single_page",
                    },
                }
                for number, day in enumerate(task.days)
            ],
        },
        name="floods",
    )
    destination = dlt.destinations.filesystem(bucket_url=(task.out / "lake").resolve().as_uri())
    pipeline = dlt.pipeline("floods", destination=destination, dataset_name=DATASET, progress=None)
    pipeline.run(source, loader_file_format="parquet")
    steps = pipeline.last_trace.steps
    task.seconds.update({step.step: (step.finished_at - step.started_at).total_seconds() for step in steps})
    return {}


def rows(out: Path) -> "pa.Table":
    """Read the table of readings."""
    import pyarrow.dataset as ds  # noqa: PLC0415

    place = out / "lake" / DATASET / "readings"
    if (place / "_delta_log").exists():
        from deltalake import DeltaTable  # noqa: PLC0415

        files = DeltaTable(str(place)).file_uris()
    else:
        files = [str(file) for file in sorted(place.rglob("*.parquet"))]
    kept = ds.dataset(files, format="parquet").to_table(["measure", "date_time", "value"])
    return readings_table(kept["measure"], kept["date_time"], kept["value"])


if __name__ == "__main__":
    main(fill, rows)
