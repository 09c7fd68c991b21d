"""Read the day with the Singer tap tap-rest-api-msdk and keep its messages, as the simplest target does."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.contestant import Task, main
from benchmarks.contestants import messages

if TYPE_CHECKING:
    import pyarrow as pa


def fill(task: Task) -> dict[str, Any]:
    """Read one stream for each day."""
    config = {
        "api_url": task.api,
        "streams": [
            {
                "name": f"readings_{day:%Y_%m_%d}",
                "path": "/data/readings",
                "params": {"date": f"{day}"},
                "records_path": "$.items[*]",
                "primary_keys": ["measure", "dateTime"],
                "num_inference_records": 200,
            }
            for day in task.days
        ],
    }
    (task.out / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tap = str(Path(sys.executable).with_name("tap-rest-api-msdk"))
    return messages.captured([tap, "--config", "config.json"], task.out)


def rows(out: Path) -> "pa.Table":
    """Return its records."""
    return messages.table(out, _record)


def _record(message: dict[str, Any]) -> dict[str, Any] | None:
    if message.get("type") != "RECORD":
        return None
    found: dict[str, Any] = message["record"]
    return found if "measure" in found else None


if __name__ == "__main__":
    main(fill, rows)
