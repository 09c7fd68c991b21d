"""Read windows: whole, in part, or their footers only; never return rows that are older than a day.

The bytes of a window are the subject of `parquet`, their names of `layout`.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.errors import LakeError
from flood_assets.lake.layout import key_of, window_of_key
from flood_assets.lake.objects import Blob, Meta
from flood_assets.lake.parquet import DamagedWindowError, RangedFile, WindowFile, joined, schema_of
from flood_assets.lake.pipeline import all_of, in_order
from flood_assets.lake.store import Store
from flood_assets.partitions import WINDOW, cutoff, is_expired, utc, window_of, windows_between
from flood_assets.schemas import Table

# Windows that are read at once: with two cores more gain nothing, in a distant bucket each waits for its answer.
READERS = 4
# Up to so many bytes an object is transferred whole, in one request: a footer alone takes three.
WHOLE_UP_TO = 4 * 1024 * 1024

logger = logging.getLogger("flood_assets.lake")


@dataclass(frozen=True)
class StoredWindow:
    """A window in a listing."""

    window: datetime
    key: str
    size: int
    e_tag: str | None
    modified: datetime


@dataclass(frozen=True)
class Content:
    """A window's rows, bytes, its oldest and newest time (None without rows and for snapshots), and its pushed rows."""

    rows: int
    size: int
    oldest: datetime | None
    newest: datetime | None
    pushed: int = 0


NOTHING = Content(0, 0, None, None)


@dataclass(frozen=True)
class Stored:
    """A window's object, opened."""

    meta: Meta
    file: WindowFile

    @property
    def content(self) -> Content:
        """Its content, by the footer."""
        return Content(self.file.rows, self.meta.size, self.file.oldest(), self.file.newest(), self.file.pushed)


def windows(store: Store, table: Table) -> list[StoredWindow]:
    """List a table's windows, oldest first, expired or not; strangers' files are left out."""
    found = [(window_of_key(table, meta.key), meta) for meta in store.list(table.name)]
    stored = [StoredWindow(w, m.key, m.size, m.e_tag, m.modified) for w, m in found if w is not None]
    return sorted(stored, key=lambda each: each.window)


def load(store: Store, table: Table, key: str) -> Stored | None:
    """Open a window with all its bytes; None without an object. DamagedWindowError when it is no window."""
    blob = store.read(key)
    return None if blob is None else Stored(blob.meta, WindowFile(table, f"{store.url}/{key}", blob.data))


def open_footer(store: Store, table: Table, key: str) -> Stored | None:
    """Open a window of which no rows, or only some, are wanted; None without an object."""

    def opened() -> Stored | None:
        found = store.get(key, whole_up_to=WHOLE_UP_TO)
        if found is None:
            return None
        if isinstance(found, Blob):
            return Stored(found.meta, WindowFile(table, f"{store.url}/{key}", found.data))
        source = pa.PythonFile(RangedFile(found.size, partial(store.get_range, found)), mode="r")
        return Stored(found, WindowFile(table, f"{store.url}/{key}", source))

    return store.retry_conflicts(key, opened)


def footers(
    store: Store, table: Table, wanted: Sequence[datetime]
) -> dict[datetime, Content | DamagedWindowError | None]:
    """Return each window's content by its footer, its damage, or None if it does not exist."""

    def content(window: datetime) -> Content | DamagedWindowError | None:
        try:
            found = open_footer(store, table, key_of(table, window_of(window)))
        except DamagedWindowError as error:
            return error
        else:
            return None if found is None else found.content

    # In a folder there is nothing to wait for, and threads would wait for each other.
    return dict(zip(wanted, in_order(content, wanted, 1 if store.local else READERS), strict=True))


def contents(store: Store, table: Table, wanted: Sequence[datetime]) -> dict[datetime, Content]:
    """Return each window's content by its footer; a window that does not exist is empty.

    Raises:
        DamagedWindowError: an object is not a window of this table.
    """
    return contents_of(footers(store, table, wanted))


def contents_of(found: Mapping[datetime, Content | DamagedWindowError | None]) -> dict[datetime, Content]:
    """Return what `contents` does of footers that are read."""
    for content in found.values():
        if isinstance(content, DamagedWindowError):
            raise content
    return {window: content or NOTHING for window, content in found.items() if not isinstance(content, LakeError)}


def newest_snapshot(
    store: Store, table: Table, now: datetime, *, columns: Sequence[str] | None = None
) -> pa.Table | None:
    """Return the rows of a snapshot's newest window, or only some columns of them; None when none is retained.

    A damaged one is logged and skipped, and so is an empty one, which stands where a damaged one was.
    """
    for key in _snapshots(store, table, now):
        try:
            opened = load(store, table, key)
            if opened is not None and opened.file.rows:
                return opened.file.read(columns)
        except DamagedWindowError as error:
            logger.error("%s; an older snapshot is used", error)  # noqa: TRY400 - the message says it all
    return None


def _snapshots(store: Store, table: Table, now: datetime) -> Iterator[str]:
    """Yield keys of retained snapshots, the newest first: as a rule this hour's exists, and nothing is listed."""
    current = window_of(now)
    yield key_of(table, current)
    for stored in reversed(windows(store, table)):
        if stored.window < current and not is_expired(stored.window, now):
            yield stored.key


def each(
    store: Store,
    table: Table,
    wanted: Sequence[datetime],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    now: datetime | None = None,
    columns: Sequence[str] | None = None,
    measure_ids: Iterable[str] | None = None,
    coded: bool = False,
) -> Iterator[tuple[datetime, pa.Table | DamagedWindowError]]:
    """Yield each window with its rows, or with its damage; a window that does not exist has no rows.

    Several are read at once, and no more than that are held. Damage in columns that are not asked for is not found.

    Args:
        store: the lake's.
        table: of `schemas`.
        wanted: the windows, in the order in which they are yielded.
        start: as for `read`, with `now`.
        end: likewise.
        now: leaves out rows that are not retained; None for the rows as they are stored.
        columns: as for `read`.
        measure_ids: likewise.
        coded: likewise.
    """
    cut = None if now is None else Cut.of(table, start, end, now)
    part = _Part(store, table, columns, measure_ids, coded=coded, cut=cut)
    for window, rows in zip(wanted, part.of_each(wanted), strict=True):
        damaged = isinstance(rows, DamagedWindowError)
        yield window, rows if damaged else part.joined([] if rows is None else [rows])


def read(
    store: Store,
    table: Table,
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    now: datetime,
    columns: Sequence[str] | None = None,
    measure_ids: Iterable[str] | None = None,
    coded: bool = False,
) -> pa.Table:
    """Return the retained rows with `start <= time < end`, by window and within a window by key.

    Whatever is asked for, no row is older than a day or later than `now`. A snapshot's time is the start of its
    window, and its rows are there once for each window.

    Args:
        store: the lake's.
        table: of `schemas`.
        start: None for everything retained.
        end: None for everything up to and including `now`.
        now: decides what is retained.
        columns: only these, in this order; others are not decoded.
        measure_ids: only these; row groups without them are not decoded.
        coded: ids and raw values as dictionaries instead of plain strings.

    Raises:
        DamagedWindowError: an object is not a window of this table.
        LakeError: an unknown column, or the lake could not be read.
    """
    cut = Cut.of(table, start, end, now)
    part = _Part(store, table, columns, measure_ids, coded=coded, cut=cut)
    pieces = []
    for rows in part.of_all(cut.windows()):
        if isinstance(rows, DamagedWindowError):
            raise rows
        if rows is not None:
            pieces.append(rows)
    found = part.joined(pieces)
    return found.unify_dictionaries() if coded else found


def names_of(table: Table, columns: Sequence[str] | None, *, by_measure: bool = False) -> list[str]:
    """Return the names of the columns that are asked for; LakeError for one that the table does not have."""
    known = table.schema.names
    names = known if columns is None else list(columns)
    if unknown := [name for name in names if name not in known]:
        raise LakeError(f"{table.name} has no column {', '.join(unknown)}: it has {', '.join(known)}")
    if by_measure and "measure_id" not in known:
        raise LakeError(f"{table.name} cannot be read by measure: it has {', '.join(known)}")
    return names


class _Part:
    """Some columns of a table, or the rows of some measures, in any of its windows; see `read`."""

    def __init__(
        self,
        store: Store,
        table: Table,
        columns: Sequence[str] | None,
        measure_ids: Iterable[str] | None,
        *,
        coded: bool,
        cut: "Cut | None",
    ) -> None:
        self._names = names_of(table, columns, by_measure=measure_ids is not None)
        self._ids = None if measure_ids is None else sorted(set(measure_ids))
        self._store, self._table, self._coded, self._cut = store, table, coded, cut

    def of_each(self, wanted: Sequence[datetime]) -> Iterator[pa.Table | DamagedWindowError | None]:
        """Yield the rows of each window as they are decoded, its damage, or None if it does not exist."""
        return in_order(self._of_window, wanted, self._readers)

    def of_all(self, wanted: Sequence[datetime]) -> list[pa.Table | DamagedWindowError | None]:
        """Return the same of all windows at once."""
        return all_of(self._of_window, wanted, self._readers)

    @property
    def _readers(self) -> int:
        # In a folder nothing is waited for, so that more threads than cores only get into each other's way.
        return min(READERS, pa.cpu_count()) if self._store.local else READERS

    def joined(self, pieces: Sequence[pa.Table]) -> pa.Table:
        """Return the rows of some windows as one table."""
        schema = schema_of(self._table, self._names, coded=self._coded)
        return joined(pieces, schema) if pieces else schema.empty_table()

    def _of_window(self, window: datetime) -> pa.Table | DamagedWindowError | None:
        key = key_of(self._table, window)
        cut = self._cut if self._cut and self._cut.crosses(window) else None
        extra = [self._table.time] if cut and self._table.time not in self._names else []

        def decoded() -> pa.Table | None:
            opened = (load if self._ids is None else open_footer)(self._store, self._table, key)
            if opened is None:
                return None
            return opened.file.decoded([*self._names, *extra], measure_ids=self._ids, coded=self._coded)

        try:
            rows = self._store.retry_conflicts(key, decoded)
        except DamagedWindowError as error:
            return error
        return rows if rows is None or cut is None else cut.applied(rows).select(self._names)


@dataclass(frozen=True)
class Cut:
    """Select moments of a table: those after `edge`, from `start`, before `end`, and not after `now`."""

    table: Table
    edge: datetime
    start: datetime | None
    end: datetime | None
    now: datetime

    @classmethod
    def of(cls, table: Table, start: datetime | None, end: datetime | None, now: datetime) -> "Cut":
        """Select what is retained at `now`, from `start` and before `end` where these are given."""
        return cls(table, cutoff(now), utc(start) if start else None, utc(end) if end else None, utc(now))

    def windows(self) -> list[datetime]:
        """Return the windows with such moments; of a snapshot, those that start at one, and the one at the edge."""
        first = max(self.edge, self.start) if self.start else self.edge
        last = min(self.end, self.now) if self.end else self.now
        found = windows_between(first, last) if first <= last else []
        if not self.table.time:
            found = [w for w in found if (not self.start or w >= self.start)]
        return [w for w in found if (not self.end or w < self.end) and not is_expired(w, self.now)]

    def crosses(self, window: datetime) -> bool:
        """Return whether a window may have other rows too."""
        after = window + WINDOW
        inside = (
            window > self.edge
            and (not self.start or window >= self.start)
            and (not self.end or after <= self.end)
            and after <= self.now
        )
        return bool(self.table.time) and not inside

    def applied(self, rows: pa.Table) -> pa.Table:
        """Return only the rows of such moments."""
        moment = rows.column(self.table.time)
        given = pc.and_(pc.greater(moment, self.edge), pc.less_equal(moment, self.now))
        if self.start:
            given = pc.and_(given, pc.greater_equal(moment, self.start))
        if self.end:
            given = pc.and_(given, pc.less(moment, self.end))
        # A filter leaves a chunk for each of some thousand rows, and to unify as many dictionaries takes seconds.
        return rows.filter(given).combine_chunks()
