"""Fill a day with a hand-written script, as a lower bound: no upsert, no checks, no watermarks, no second run.

Two variants, of which the quicker counts: `strings`, the obvious one, and `dictionary`, which sorts by the ranks of the
measure ids because Arrow cannot sort dictionaries.
"""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.contestant import DAY, Task, import_what_pyarrow_imports_late, main, readings_table
from benchmarks.contestants import raw

if TYPE_CHECKING:
    import pyarrow as pa


def fill(task: Task) -> dict[str, Any]:
    """Download both days, parse, sort, write one file an hour."""
    # As for the others, imports count as time of the process, not as processing time.
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415
    import pyarrow.csv  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    import_what_pyarrow_imports_late()
    coded = task.options.get("variant") == "dictionary"
    with raw.session(packed=task.gzip) as made, task.phase("download"):
        bodies = [raw.body(made, f"{task.api}/data/readings.csv?date={day}") for day in task.days]
    with task.phase("own"):
        with task.phase("parse"):
            day = pa.concat_tables([raw.table(raw.plain(body), coded=coded) for body in bodies])
        with task.phase("sort"):
            at = day["dateTime"]
            day = day.filter(pc.and_(pc.greater(at, _scalar(task.now - DAY)), pc.less_equal(at, _scalar(task.now))))
            day = day.append_column("hour", pc.floor_temporal(day["dateTime"], unit="hour"))
            day = _sorted_by_rank(day) if coded else day.sort_by([(name, "ascending") for name in _ORDER])
        with task.phase("write"):
            hour = _scalar(task.now - DAY).as_py().replace(minute=0, second=0)
            while hour <= task.now:
                pq.write_table(_of_hour(day, hour), task.out / f"{hour:%Y-%m-%dT%H}.parquet", compression="zstd")
                hour += timedelta(hours=1)
    return {"rows": len(day), "sent_bytes": sum(map(len, bodies))}


def rows(out: Path) -> "pa.Table":
    """Read all files."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    day = pa.concat_tables([pq.read_table(file) for file in sorted(out.glob("*.parquet"))])
    return readings_table(day["measure"], day["dateTime"], day["value"])


_ORDER = ("hour", "measure", "dateTime")


def _sorted_by_rank(day: "pa.Table") -> "pa.Table":
    import numpy as np  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    day = day.unify_dictionaries().combine_chunks()
    measure = day["measure"].chunk(0)
    order = pc.sort_indices(measure.dictionary).to_numpy()
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    day = day.append_column("rank", pa.array(rank[measure.indices.to_numpy()]))
    return day.sort_by([(name, "ascending") for name in ("hour", "rank", "dateTime")]).drop_columns("rank")


def _of_hour(day: "pa.Table", hour: Any) -> "pa.Table":
    """Return the rows of one hour, which are contiguous."""
    import numpy as np  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415

    hours = day["hour"].cast(pa.int64()).to_numpy()
    start, end = np.searchsorted(hours, [hour.timestamp(), hour.timestamp() + 3600])
    return day.slice(start, end - start).drop_columns("hour")


def _scalar(moment: Any) -> "pa.Scalar":
    import pyarrow as pa  # noqa: PLC0415

    return pa.scalar(moment, pa.timestamp("s", "UTC"))


if __name__ == "__main__":
    main(fill, rows)
