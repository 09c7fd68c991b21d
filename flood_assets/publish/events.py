"""Make CloudEvents 1.0 of readings: one for each that is new or was corrected, with an id that follows from the row.

The id holds the measure, the time, the revision, and a digest of the value and of `changed_at`. The latter is needed
where a damaged window was read again: its revisions start at 0, so the value of a first correction that was withdrawn
would have the id of the reading before it, and a receiver that drops known ids would keep the wrong value.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.grouping import Flags, Ints
from flood_assets.lake.layout import key_of
from flood_assets.partitions import from_ms, window_of
from flood_assets.schemas import READINGS, TIME
from flood_assets.sinks.events import Notice, ReadingEvents, encode, text_of

NEW, REVISED = "flood_assets.reading.new", "flood_assets.reading.revised"
COMMITTED = "flood_assets.readings.committed"


@dataclass(frozen=True, eq=False)
class Events(ReadingEvents):
    """Readings to be sent, in the order in which they are.

    Attributes:
        rows: schema `READINGS`.
        source: the API that they come from.
        present: the newest rows of other tables, by name, for a sink that keeps these; only of those that changed. A
            table that has none any more is empty.
    """

    rows: pa.Table
    source: str
    present: Mapping[str, pa.Table] = field(default_factory=dict)

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

    @property
    def changed(self) -> Ints:
        """The time of each change in ms."""
        found: Ints = self.rows["changed_at"].cast(TIME).cast(pa.int64()).to_numpy()
        return found

    @property
    def keys(self) -> list[str]:
        """The measure of each event."""
        return self.rows["measure_id"].to_pylist()

    def chosen(self, flags: Flags) -> "Events":
        """Return the events whose flag is true."""
        return replace(self, rows=self.rows.filter(pa.array(flags)))

    def kinds(self) -> list[str]:
        """Return the type of each event."""
        return [REVISED if revision else NEW for revision in self.rows["revision"].to_pylist()]

    def bodies(self) -> list[dict[str, Any]]:
        """Return the events as plain values; times are texts in UTC."""
        return list(self._bodies())

    def documents(self) -> list[bytes]:
        """Return each event as JSON."""
        # One after the other: the garbage collector looks at all that are held, again and again.
        return [encode(body) for body in self._bodies()]

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

    def notices(self) -> list[Notice]:
        """Return one for all of them, in one group: the commits of a lake are in order."""
        told = commit(self)
        return [Notice(told, READINGS.name, {name: told["data"][name] for name in ("new", "revised")})]


def joined(parts: Sequence[Events], source: str) -> Events:
    """Return the events of several windows as one."""
    return Events(pa.concat_tables([READINGS.schema.empty_table(), *(part.rows for part in parts)]), source)


def commit(events: Events) -> dict[str, Any]:
    """Return the event that tells of others: how many, and in which windows. A day has 25, so it is always small."""
    windows = Counter[tuple[str, bool]]()
    hours = pc.floor_temporal(events.rows["date_time"], unit="hour").cast(TIME).cast("int64").to_pylist()
    for hour, kind in zip(hours, events.kinds(), strict=True):
        windows[text_of(hour), kind == NEW] += 1
    starts = {text_of(hour): key_of(READINGS, window_of(from_ms(hour))) for hour in sorted(set(hours))}
    new, revised = (sum(n for (_, first), n in windows.items() if first == wanted) for wanted in (True, False))
    changed = events.changed
    return {
        "specversion": "1.0",
        "id": f"commit-{hashlib.sha256('|'.join(sorted(events.ids)).encode()).hexdigest()[:32]}",
        "source": events.source,
        "type": COMMITTED,
        "time": text_of(int(changed.max())),
        "datacontenttype": "application/json",
        "data": {
            "new": new,
            "revised": revised,
            "measures": len(set(events.keys)),
            "changed_from": text_of(int(changed.min())),
            "changed_to": text_of(int(changed.max())),
            "windows": [
                {"window": start, "key": key, "new": windows[start, True], "revised": windows[start, False]}
                for start, key in starts.items()
            ],
        },
    }


def _plain(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        return _times(column)
    return column.to_pylist()


def _times(column: pa.ChunkedArray) -> list[str]:
    """Return times as texts: a commit has few different ones, so each is written once."""
    found = column.cast(TIME).cast(pa.int64()).to_pylist()
    texts = {ms: text_of(ms) for ms in set(found)}
    return [texts[ms] for ms in found]
