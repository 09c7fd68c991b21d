"""Make CloudEvents 1.0 of readings: one for each that is new or was corrected, with an id that follows from the row.

The id holds the measure, the time, the revision, and a digest of the value and of `changed_at`. The latter is needed
where a damaged window was read again: its revisions start at 0, so the value of a first correction that was withdrawn
would have the id of the reading before it, and a receiver that drops known ids would keep the wrong value.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from flood_assets.grouping import Flags, Ints
from flood_assets.partitions import from_ms
from flood_assets.schemas import READINGS, TIME

NEW, REVISED = "flood_assets.reading.new", "flood_assets.reading.revised"
# Media types of one event and of a list of them.
ONE, MANY = "application/cloudevents+json", "application/cloudevents-batch+json"

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, eq=False)
class Events:
    """Readings to be sent, in the order in which they are.

    Attributes:
        rows: schema `READINGS`.
        source: the API that they come from.
    """

    rows: pa.Table
    source: str

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def ids(self) -> list[str]:
        """The id of each event."""
        columns = ("measure_id", "revision", "value", "raw_value")
        measure, revision, value, raw = (self.rows[name].to_pylist() for name in columns)
        changed = self.changed.tolist()
        found = []
        for each in zip(measure, _times(self.rows["date_time"]), revision, value, raw, changed, strict=True):
            digest = blake2b(f"{each[3]!r}|{each[4] or ''}|{each[5]}".encode(), digest_size=6).hexdigest()
            found.append(f"{each[0]}@{each[1]}#{each[2]}-{digest}")
        return found

    @cached_property
    def hashes(self) -> Ints:
        """The ids as 64-bit numbers, for cursors and for brokers that limit the length of an id."""
        joined = b"".join(blake2b(text.encode(), digest_size=8).digest() for text in self.ids)
        return np.frombuffer(joined, np.int64)

    @property
    def changed(self) -> Ints:
        """The time of each change in ms."""
        found: Ints = self.rows["changed_at"].cast(TIME).cast(pa.int64()).to_numpy()
        return found

    @property
    def measures(self) -> list[str]:
        """The measure of each event: the key that keeps its events in order."""
        return self.rows["measure_id"].to_pylist()

    def chosen(self, flags: Flags) -> "Events":
        """Return the events whose flag is true."""
        return Events(self.rows.filter(pa.array(flags)), self.source)

    def kinds(self) -> list[str]:
        """Return the type of each event."""
        return [REVISED if revision else NEW for revision in self.rows["revision"].to_pylist()]

    def bodies(self) -> list[dict[str, Any]]:
        """Return the events as plain values; times are texts in UTC."""
        return list(self._bodies())

    def documents(self) -> list[bytes]:
        """Return each event as JSON."""
        # One after the other: the garbage collector looks at all that are held, again and again.
        return [_encode(body) for body in self._bodies()]

    def _bodies(self) -> Iterator[dict[str, Any]]:
        names = self.rows.column_names
        columns = [_plain(self.rows[name]) for name in names]
        changed = columns[names.index("changed_at")]
        for each_id, kind, time, data in zip(self.ids, self.kinds(), changed, zip(*columns, strict=True), strict=True):
            yield {
                "specversion": "1.0",
                "id": each_id,
                "source": self.source,
                "type": kind,
                "subject": data[0],
                "time": time,
                "datacontenttype": "application/json",
                "data": dict(zip(names, data, strict=True)),
            }


def batched(documents: Sequence[bytes]) -> bytes:
    """Return JSON events as one JSON list."""
    return b"[" + b",".join(documents) + b"]"


def joined(parts: Sequence[Events], source: str) -> Events:
    """Return the events of several windows as one."""
    return Events(pa.concat_tables([READINGS.schema.empty_table(), *(part.rows for part in parts)]), source)


def text_of(ms: int) -> str:
    """Return a time as RFC 3339 in UTC, with milliseconds only where there are some."""
    return f"{from_ms(ms).replace(tzinfo=None).isoformat(timespec='milliseconds' if ms % 1000 else 'seconds')}Z"


def _plain(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        return _times(column)
    return column.to_pylist()


def _times(column: pa.ChunkedArray) -> list[str]:
    """Return times as texts: a commit has few different ones, so each is written once."""
    found = column.cast(TIME).cast(pa.int64()).to_pylist()
    texts = {ms: text_of(ms) for ms in set(found)}
    return [texts[ms] for ms in found]
