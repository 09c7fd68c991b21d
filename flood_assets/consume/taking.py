"""Turn records of a stream into landing batches, and ingest them. Nothing here polls.

    take(lake, "kinesis-flood-readings-1a2b3c4d", portions, now)

is all that a function needs that is called with records, such as on AWS Lambda: the same records give the same batch,
which is taken once, however often they come.
"""

import hashlib
import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
import numpy as np
import pyarrow as pa

from flood_assets.consume.stream import Portion, Record
from flood_assets.lake.follow import newest
from flood_assets.lake.lake import Lake
from flood_assets.landing import batches
from flood_assets.landing.ingest import Ingestion, ingest
from flood_assets.landing.objects import Batch, Refused, Rows, States
from flood_assets.partitions import to_ms
from flood_assets.schemas import READINGS, TIME

# The clocks of two lakes may differ by less than this: a later time is no time of a reading.
AHEAD = timedelta(days=1)
# Of a record that is refused so much is kept.
_LINE = 2000

_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class _Data(msgspec.Struct):
    measure_id: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    date_time: _Time
    station_id: str | None
    value: float | None
    raw_value: str | None
    first_seen_at: _Time
    changed_at: _Time
    previous_value: float | None
    revision: Annotated[int, msgspec.Meta(ge=0, le=(1 << 31) - 1)]


class _Event(msgspec.Struct):
    specversion: Literal["1.0"]
    type: Literal["flood_assets.reading.new", "flood_assets.reading.revised"]
    data: _Data


_decode = msgspec.json.Decoder(_Event).decode


def take(lake: Lake, stream: str, portions: Sequence[Portion], now: datetime) -> Ingestion:
    """Store records as landing batches, one for each portion, and ingest all that wait.

    Args:
        lake: which follows the stream.
        stream: the name under which its batches land.
        portions: records that follow each other.
        now: the current time.

    Raises:
        LakeError: the lake could not be read or written: the records are to be given again.
        ClockError: this machine's clock is behind that of whoever landed a batch.
    """
    land(lake, stream, portions, now)
    return ingest(lake, now)


def land(lake: Lake, stream: str, portions: Sequence[Portion], now: datetime, *, after: str = "") -> list[Batch]:
    """Store records as landing batches; afterwards they are safe.

    Records that were taken before are taken again `after` a loss of stored readings, which has a name. The other
    arguments and errors are those of `take`.
    """
    found = [batch_of(stream, portion, now, after=after) for portion in portions if portion.records]
    for batch in found:
        batches.land(lake.store, batch)
    return found


def refusal(data: bytes, now: datetime) -> str:
    """Return why a record is refused; empty if it is an event of a reading. Pure."""
    try:
        _reading(data, now)
    except ValueError as error:
        return str(error)
    return ""


def batch_of(stream: str, portion: Portion, now: datetime, *, after: str = "") -> Batch:
    """Return the landing batch of records; its id follows from their position, their content and `after`. Pure."""
    columns: dict[str, list[object]] = {name: [] for name in READINGS.schema.names}
    refused = []
    for number, record in enumerate(portion.records, 1):
        try:
            data = _reading(record.data, now)
        except ValueError as error:
            refused.append(Refused(number, str(error), _line(portion.place, record)))
            continue
        for name, cell in data.items():
            columns[name].append(cell)
    rows = pa.table([_column(each.type, columns[each.name]) for each in READINGS.schema], schema=READINGS.schema)
    last = newest(rows)
    cells = {
        field.name: (column.cast(pa.int64()) if field.type == TIME else column).to_pylist()
        for field, column in zip(READINGS.schema, last.columns, strict=True)
    }
    digest = hashlib.sha256(after.encode())
    for record in portion.records:
        digest.update(f"{record.id}:{len(record.data)}:".encode() + record.data)
    return Batch(
        publisher=stream,
        id=_id(portion, digest.hexdigest()),
        digest=digest.hexdigest(),
        landed_at=now,
        given=len(portion.records),
        repeated=len(rows) - len(last),
        readings=Rows(**{name: cells[name] for name in Rows.__struct_fields__}),
        refused=refused,
        refused_rows=len(refused),
        states=States(**{name: cells[name] for name in States.__struct_fields__}),
    )


def _reading(data: bytes, now: datetime) -> dict[str, object]:
    """Return the columns of an event, times in ms; ValueError with the reason if it is none of a reading."""
    try:
        event = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"no event of a reading: {error}") from None
    reading = msgspec.structs.asdict(event.data)
    for name in ("date_time", "changed_at"):
        if reading[name] > now + AHEAD:
            raise ValueError(
                f"{name} is {reading[name]:%Y-%m-%dT%H:%M:%SZ}, over a day after this machine's clock, "
                f"{now:%Y-%m-%dT%H:%M:%SZ}: one of both is wrong"
            )
    for name in ("value", "previous_value"):
        if reading[name] is not None and not math.isfinite(reading[name]):
            raise ValueError(f"{name} is {reading[name]}: expected a finite number")
    return {name: to_ms(cell) if isinstance(cell, datetime) else cell for name, cell in reading.items()}


def _column(kind: pa.DataType, cells: Sequence[object]) -> pa.Array:
    return pa.array(np.array(cells, np.int64)).cast(TIME) if kind == TIME else pa.array(cells, kind)


def _line(place: str, record: Record) -> str:
    return f"{place} {record.id}: {record.data[:_LINE].decode(errors='replace')}"


def _id(portion: Portion, digest: str) -> str:
    """Return the id of a batch: where it begins, as far as ids may be so long, and a digest."""
    place = re.sub(r"[^A-Za-z0-9]+", "-", f"{portion.place}-{portion.records[0].id}")[:80].strip("-")
    return f"{place}.{digest[:16]}"
