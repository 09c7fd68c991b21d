"""How far the lake is complete: of each measure, the time up to which all that the API has shown was stored.

Kept as one small object beside the tables and written after the windows: a run that is killed leaves the marks
behind what is stored, and the next one asks again for what is there already, which changes nothing. What a mark
means for the next request is in `flood_assets.ea.plan`.
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flood_assets.lake.layout import MARKS_KEY, from_ms, to_ms
from flood_assets.lake.store import Blob, ConflictError
from flood_assets.partitions import cutoff
from flood_assets.schemas import MARKS, TIME

if TYPE_CHECKING:
    from flood_assets.lake.lake import Lake

logger = logging.getLogger("flood_assets.lake")

_AS_OF = b"as_of_ms"


@dataclass(frozen=True)
class Marks:
    """The marks of all measures.

    Attributes:
        rows: schema `MARKS`, one row a measure, sorted.
        as_of: when the API was asked last.
    """

    rows: pa.Table
    as_of: datetime


def load(lake: "Lake") -> Marks | None:
    """The lake's marks; None when it has none, or when they are damaged, which a re-read of the day puts right."""
    blob = lake.store.get(MARKS_KEY)
    return _decoded(lake, blob) if isinstance(blob, Blob) else None


def advance(lake: "Lake", newer: pa.Table, as_of: datetime, *, marked: bool = False) -> None:
    """Move the marks of the measures in `newer` forward, never back, whoever else does so meanwhile.

    Args:
        lake: whose.
        newer: schema `MARKS`. A null `step_s` leaves the one that is known.
        as_of: when the API was asked for what `newer` follows from.
        marked: whether the lake had marks when that was planned. Where they are gone, damage was found meanwhile and
            they were forgotten: what follows from them is worth nothing, and they stay so.
    """
    for _ in lake.attempts(MARKS_KEY):
        with lake.store.guard(MARKS_KEY):
            blob = lake.store.get(MARKS_KEY)
            blob = blob if isinstance(blob, Blob) else None
            stored = _decoded(lake, blob) if blob else None
            if stored is None and marked:
                return
            if stored is not None:
                as_of = max(as_of, stored.as_of)
            rows = united(stored.rows if stored else MARKS.empty_table(), newer)
            # A mark that has left the day says as much as none: gauges come and go, and this object shall not grow.
            rows = rows.filter(pc.greater(rows["newest"], pa.scalar(cutoff(as_of), TIME)))
            if stored is not None and stored.as_of == as_of and stored.rows.equals(rows):
                return
            try:
                lake.store.put(MARKS_KEY, _encoded(Marks(rows, as_of)), replaces=blob.meta if blob else None)
            except ConflictError:
                continue
            return


def forget(lake: "Lake") -> None:
    """Let the lake no longer count as complete: the next refresh reads the whole day."""
    lake.store.delete([MARKS_KEY])


def united(marks: pa.Table, newer: pa.Table) -> pa.Table:
    """Both as one: of each measure the newest time, and the step that was learnt last."""
    both = pa.concat_tables([marks, newer])
    grouped = both.group_by("measure_id", use_threads=False).aggregate([("newest", "max"), ("step_s", "last")])
    columns = [grouped["measure_id"], grouped["newest_max"], grouped["step_s_last"]]
    return pa.table(columns, schema=MARKS).sort_by("measure_id").combine_chunks()


def _decoded(lake: "Lake", blob: Blob) -> Marks | None:
    try:
        rows = pq.read_table(pa.BufferReader(blob.data))
        as_of = from_ms(int(rows.schema.metadata[_AS_OF]))
        return Marks(rows.replace_schema_metadata(None).cast(MARKS), as_of)
    except (pa.ArrowException, OSError, TypeError, KeyError, ValueError) as error:
        logger.error("%s/%s is damaged (%s): the day will be read again", lake.url, MARKS_KEY, error)  # noqa: TRY400
        return None


def _encoded(marks: Marks) -> bytes:
    sink = pa.BufferOutputStream()
    rows = marks.rows.replace_schema_metadata({_AS_OF: str(to_ms(marks.as_of)).encode()})
    pq.write_table(rows, sink, compression="zstd")
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded
