"""Download the day and discard it, to measure the time of the simulator and the socket alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.contestant import Task, main, no_rows
from benchmarks.contestants import raw

if TYPE_CHECKING:
    import pyarrow as pa


def fill(task: Task) -> dict[str, Any]:
    """Read to the end of each answer."""
    size = 0
    with raw.session(packed=task.gzip) as made, task.phase("download"):
        for day in task.days:
            with made.get(f"{task.api}/data/readings.csv?date={day}", stream=True) as answer:
                answer.raise_for_status()
                while piece := answer.raw.read(1 << 16, decode_content=False):
                    size += len(piece)
    return {"sent_bytes": size}


def rows(out: Path) -> "pa.Table":  # noqa: ARG001 - it keeps nothing
    """Return no rows."""
    return no_rows()


if __name__ == "__main__":
    main(fill, rows)
