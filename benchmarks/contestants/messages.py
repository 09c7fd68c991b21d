"""Run a tool that prints JSON lines, keep them in a file, and read the readings from it.

Not a contestant; used by `airbyte` and `singer`.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.contestant import readings_table

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "messages.jsonl"


def captured(command: list[str], out: Path) -> dict[str, Any]:
    """Run a tool and write its messages to a file.

    Raises:
        SystemExit: the tool failed; the message is its last line of output.
    """
    with (out / FILE).open("wb") as file, (out / "log").open("wb") as log:
        code = subprocess.run(command, cwd=out, stdout=file, stderr=log, check=False).returncode
    if code:
        said = [
            line for name in ("log", FILE) for line in (out / name).read_text(errors="replace").splitlines() if line
        ]
        raise SystemExit(said[-1] if said else f"exit code {code}")
    return {"kept_bytes": (out / FILE).stat().st_size}


def table(out: Path, record: Callable[[dict[str, Any]], dict[str, Any] | None]) -> "pa.Table":
    """Return the readings among the messages.

    Args:
        out: folder of the messages.
        record: returns the reading of a message, as the API shows it; None for any other message.
    """
    measures: list[str] = []
    times: list[str] = []
    values: list[float | None] = []
    with (out / FILE).open(encoding="utf-8") as file:
        for line in file:
            try:
                found = record(json.loads(line))
            except ValueError:
                continue
            if found:
                value = found.get("value")
                measures.append(found["measure"])
                times.append(str(found["dateTime"])[:19])
                values.append(float(value) if isinstance(value, int | float) else None)
    return readings_table(measures, times, values)
