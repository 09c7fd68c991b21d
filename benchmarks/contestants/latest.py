"""Poll `latest` over the day and keep the newest reading of each gauge.

The option `every` is the minutes between two polls. The simulator's clock is moved from poll to poll.
"""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.contestant import DAY, Task, main, readings_table
from benchmarks.contestants import raw

if TYPE_CHECKING:
    import pyarrow as pa


def fill(task: Task) -> dict[str, Any]:
    """Poll and store the distinct readings in one file."""
    import pyarrow as pa  # noqa: PLC0415 - part of what is measured
    import pyarrow.parquet as pq  # noqa: PLC0415

    step = timedelta(minutes=int(task.options.get("every", "15")))
    polls = []
    moment = task.now - DAY
    with raw.session(packed=task.gzip) as made:
        while moment <= task.now:
            task.move_clock(moment)
            with task.phase("download"):
                sent = raw.body(made, f"{task.api}/data/readings.csv?latest")
            with task.phase("own"):
                polls.append(raw.table(raw.plain(sent), coded=False))
            moment += step
    with task.phase("own"):
        both = (
            pa.concat_tables(polls).group_by(["measure", "dateTime"], use_threads=False).aggregate([("value", "last")])
        )
        pq.write_table(both, task.out / "polled.parquet", compression="zstd")
    return {"rows": len(both), "polls": len(polls)}


def rows(out: Path) -> "pa.Table":
    """Read the file."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    kept = pq.read_table(out / "polled.parquet")
    return readings_table(kept["measure"], kept["dateTime"], kept["value_last"])


if __name__ == "__main__":
    main(fill, rows)
