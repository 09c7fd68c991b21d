"""Remember how far a sink has got, in one object of the lake, `_published/{sink}.parquet`.

`flood_assets.publish` moves it; `flood_assets.query.sinks` says from it what waits.

A *commit* is what one request's rows changed in one window: (window, `changed_at`). For each retained window the cursor
holds the e-tag of the version that was published, the commits that were, and the ids of the last half hour. What is not
known by its commit is missing, however late it was stored: a slower machine may store an older `changed_at` later. The
ids tell apart two commits of the same millisecond, and what a sink has confirmed of a commit from the rest of it.

Limit: of two runs that asked in the same millisecond and changed the same window, the later one is not seen if it is
stored over half an hour after the first was published.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.grouping import Ints
from flood_assets.lake.layout import cursor_key
from flood_assets.lake.objects import Blob
from flood_assets.lake.parquet import pack, unpack
from flood_assets.lake.store import Revision, Store
from flood_assets.partitions import EPOCH, from_ms, is_expired, to_ms
from flood_assets.schemas import TIME

IDS_KEPT = timedelta(minutes=30)

SCHEMA = pa.schema(
    [
        pa.field("window", TIME, nullable=False),
        pa.field("e_tag", pa.string()),
        pa.field("commits", pa.list_(TIME), nullable=False),
        # 64 bits of each id, and the commit that it is of.
        pa.field("ids", pa.list_(pa.int64()), nullable=False),
        pa.field("id_commits", pa.list_(TIME), nullable=False),
    ]
)
_AS_OF, _PRESENT = b"as_of_ms", b"present"
_NONE: Ints = np.zeros(0, np.int64)

logger = logging.getLogger("flood_assets.publish")


@dataclass(frozen=True)
class Part:
    """The published part of one window.

    Attributes:
        e_tag: the version of which everything was; None before the first.
        commits: the times of their changes in ms, sorted and distinct.
        ids: ids as numbers.
        id_commits: the commit of each.
    """

    e_tag: str | None = None
    commits: Ints = field(default_factory=_NONE.copy)
    ids: Ints = field(default_factory=_NONE.copy)
    id_commits: Ints = field(default_factory=_NONE.copy)

    def and_(self, newer: "Part") -> "Part":
        """Return both: either e-tag is right, as everything of that version is among the commits of both."""
        ids, first = np.unique(np.concatenate([self.ids, newer.ids]), return_index=True)
        return Part(
            newer.e_tag or self.e_tag,
            np.union1d(self.commits, newer.commits),
            ids,
            np.concatenate([self.id_commits, newer.id_commits])[first],
        )

    def kept(self, after: int) -> "Part":
        """Return it without older ids, but for those of a commit that is not yet known as a whole."""
        keep = (self.id_commits > after) | ~np.isin(self.id_commits, self.commits)
        return replace(self, ids=self.ids[keep], id_commits=self.id_commits[keep])


@dataclass(frozen=True)
class Cursor:
    """Everything that a sink has confirmed.

    Attributes:
        windows: by their start.
        as_of: the `now` of the last publication that changed it.
        present: e-tag of the present of each table that it keeps, by name.
    """

    windows: Mapping[datetime, Part] = field(default_factory=dict)
    as_of: datetime = EPOCH
    present: Mapping[str, str] = field(default_factory=dict)

    @property
    def ids_after(self) -> int:
        """The time in ms from which on the ids of all known commits are kept."""
        return to_ms(max(EPOCH, self.as_of - IDS_KEPT))

    def has(self, window: datetime, e_tag: str | None) -> bool:
        """Return True if this version of the window was published."""
        part = self.windows.get(window)
        return part is not None and e_tag is not None and part.e_tag == e_tag

    def and_(
        self, newer: Mapping[datetime, Part], now: datetime, present: Mapping[str, str | None] | None = None
    ) -> "Cursor":
        """Return it with what was published at `now`, without windows that have expired.

        In `present`, None stands for a table that has no present any more.
        """
        as_of = max(self.as_of, from_ms(to_ms(now)))
        united = Cursor({**self.windows, **{w: self.windows.get(w, Part()).and_(p) for w, p in newer.items()}}, as_of)
        retained = {w: p.kept(united.ids_after) for w, p in sorted(united.windows.items()) if not is_expired(w, as_of)}
        tables = {**self.present, **(present or {})}
        return Cursor(retained, as_of, {name: e_tag for name, e_tag in tables.items() if e_tag is not None})


def load(store: Store, sink: str) -> Cursor | None:
    """Return the cursor of a sink; None before its first publication, or if it is damaged."""
    return _decoded(store, store.read(cursor_key(sink)))


def advance(
    store: Store,
    sink: str,
    newer: Mapping[datetime, Part],
    now: datetime,
    present: Mapping[str, str | None] | None = None,
) -> Cursor:
    """Add to the cursor what the sink has confirmed, by compare-and-swap, and return it as it is then."""

    def moved(blob: Blob | None) -> Revision[Cursor]:
        found = (_decoded(store, blob) or Cursor()).and_(newer, now, present)
        return Revision(_encoded(found), found)

    return store.update(cursor_key(sink), moved)


def forget(store: Store, sink: str) -> None:
    """Delete the cursor of a sink that has lost what it confirmed."""
    store.delete([cursor_key(sink)])


def _decoded(store: Store, blob: Blob | None) -> Cursor | None:
    if blob is None:
        return None
    try:
        rows, said = unpack(blob.data)
        as_of = from_ms(int(said[_AS_OF]))
        rows = rows.cast(SCHEMA)
        lists = [_arrays(rows[name]) for name in ("commits", "ids", "id_commits")]
        parts = [Part(e_tag, *each) for e_tag, *each in zip(rows["e_tag"].to_pylist(), *lists, strict=True)]
        windows = [from_ms(ms) for ms in rows["window"].cast(pa.int64()).to_pylist()]
        if any(len(part.ids) != len(part.id_commits) for part in parts):
            raise ValueError("some ids have no commit")  # noqa: TRY301 - one message for all of it
        present = {str(name): str(e_tag) for name, e_tag in json.loads(said.get(_PRESENT, b"{}")).items()}
        return Cursor(dict(zip(windows, parts, strict=True)), as_of, present)
    except (pa.ArrowException, OSError, TypeError, KeyError, ValueError, OverflowError, AttributeError) as error:
        place = f"{store.url}/{blob.meta.key}"
        logger.error("%s is damaged (%s): all of the last 24 hours is published again", place, error)  # noqa: TRY400
        return None


def _encoded(cursor: Cursor) -> bytes:
    parts = list(cursor.windows.values())
    columns = [
        pa.array([to_ms(window) for window in cursor.windows], pa.int64()).cast(TIME),
        pa.array([part.e_tag for part in parts], pa.string()),
        _lists([part.commits for part in parts], TIME),
        _lists([part.ids for part in parts], pa.int64()),
        _lists([part.id_commits for part in parts], TIME),
    ]
    said = {_AS_OF: str(to_ms(cursor.as_of)).encode(), _PRESENT: json.dumps(cursor.present).encode()}
    return pack(pa.table(columns, schema=SCHEMA), said)


def _arrays(column: pa.ChunkedArray) -> list[Ints]:
    lists = column.combine_chunks() if column.num_chunks else pa.array([], column.type)
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    flat = pc.list_flatten(lists).cast(pa.int64()).to_numpy(zero_copy_only=False)
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    return np.split(flat, np.cumsum(lengths)[:-1]) if len(lengths) else []


def _lists(arrays: list[Ints], kind: pa.DataType) -> pa.ListArray:
    offsets = np.cumsum([0, *(len(each) for each in arrays)], dtype=np.int32)
    flat = np.concatenate(arrays) if arrays else _NONE
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat, pa.int64()).cast(kind))
