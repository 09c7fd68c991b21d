"""Write windows: upsert readings, take those of another lake, replace snapshots, add rejects.

Each window is one compare-and-swap update. The rules of an upsert are in `upsert` and `follow`, the bytes in
`parquet`.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache, partial

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.grouping import Ints, WindowRows
from flood_assets.lake import current, follow, listed, quarantine, upsert
from flood_assets.lake.layout import key_of
from flood_assets.lake.objects import Blob, ConflictError
from flood_assets.lake.parquet import DamagedWindowError, WindowFile, conform, encode
from flood_assets.lake.pipeline import in_order
from flood_assets.lake.read import windows
from flood_assets.lake.store import Prepared, Revision, Store
from flood_assets.partitions import WINDOW, cutoff, from_ms, is_expired, utc, window_of
from flood_assets.schemas import READINGS, REJECTS, Table

# Arrow uses both of two cores; each more would hold one more window in memory.
WRITERS = 2
# A lake whose newest list is older than this is not refreshed every hour: whoever ingests carries on what was pushed.
CARRIED_AFTER = 2 * WINDOW

logger = logging.getLogger("flood_assets.lake")


@dataclass(frozen=True)
class WindowChange:
    """The change of one window.

    Attributes:
        window: its start.
        rows: rows that it holds now.
        added: given rows with a new key.
        revised: given rows that replaced other content.
        unchanged: given rows that changed nothing.
        size: bytes of the object now.
        written: whether it was written; a window whose content stays is not.
        oldest: the oldest time in it; None without rows and for snapshots.
        newest: the newest time in it; likewise.
        seconds_read: fetching and decoding the stored rows.
        seconds_upsert: upserting.
        seconds_write: encoding and putting.
        filled: stored readings that were given their station.
        quarantined_as: name of the copy of a damaged object that was in the window's place.
    """

    window: datetime
    rows: int
    added: int
    revised: int
    unchanged: int
    size: int = 0
    written: bool = False
    oldest: datetime | None = None
    newest: datetime | None = None
    seconds_read: float = 0
    seconds_upsert: float = 0
    seconds_write: float = 0
    filled: int = 0
    quarantined_as: str | None = None


# New rows, or None to leave a window as it is, and the change; its size is filled in later.
_Revised = tuple[pa.Table | None, WindowChange]


@dataclass(frozen=True)
class Upserted:
    """The changes of one upsert.

    Attributes:
        windows: those that it has rows of, oldest first.
        expired: rows that were older than a day and are not stored.
        future: rows that were later than now and are not stored.
        repeated: rows whose key came again later in the same fetch; the last one counts.
    """

    windows: list[WindowChange]
    expired: int
    future: int
    repeated: int


def upsert_readings(
    store: Store,
    rows: pa.Table,
    observed_at: datetime,
    now: datetime,
    *,
    stations: pa.Table | None = None,
    writers: int = WRITERS,
) -> Upserted:
    """Upsert fetched readings into their windows, the oldest window first.

    The order is a promise: a run that is killed leaves older windows complete and newer ones as they were, so a
    gauge's newest stored time never runs ahead of a gap, and the next tick asks for what is missing. A window is
    read and revised while the one before is written, but written only after it.

    Only retained rows are stored. The same key and value changes nothing (the order of several values, `a|b`, says
    nothing); another value is a revision, unless the API was asked for the stored value later. Stored rows
    that the fetch does not mention stay. A window whose content stays is not written. A damaged window is
    quarantined, logged, and written anew from this fetch.

    Args:
        store: the lake's.
        rows: measure_id (string or dictionary), date_time, value, raw_value, perhaps observed_at.
        observed_at: when the API was asked, where `rows` do not say it of each row.
        now: decides what is retained.
        stations: the station of each measure, as measure_id and station_id, such as
            `newest_snapshot(MEASURES, now)`. Stored rows without a station in these windows get it too.
        writers: windows that are worked on at once; it has no influence on what is stored.

    Raises:
        ValueError: `rows` is not such a table.
    """
    fetch = upsert.split(rows, observed_at, now, stations)

    def prepare(window: WindowRows) -> tuple[_Update, Prepared[WindowChange]]:
        start = from_ms(window.start)
        place = f"{store.url}/{key_of(READINGS, start)}"
        update = _Update(store, READINGS, start, partial(_upserted, fetch=fetch, fetched=window, place=place))
        return update, update.prepared()

    changes = [update.commit(prepared) for update, prepared in in_order(prepare, fetch.windows, writers)]
    return Upserted(changes, fetch.expired, fetch.future, fetch.repeated)


def follow_readings(store: Store, rows: pa.Table, now: datetime, *, writers: int = WRITERS) -> Upserted:
    """Take readings as another lake published them, with its times, revisions and stations, the oldest window first.

    Of one key the row that was changed last counts, stored or given: see `follow`. The same rows may come in any order
    and any number of times. Rows that are not retained at `now` are left out; later ones are stored, as the clocks of
    two lakes differ and readers cut at their own. A damaged window is quarantined, logged, and written anew.

    Args:
        store: the lake's.
        rows: schema `READINGS`.
        now: decides what is retained.
        writers: windows that are worked on at once; it has no influence on what is stored.

    Raises:
        ValueError: `rows` is not such a table.
    """
    kept = rows.filter(pc.greater(rows["date_time"], cutoff(now)))
    kept = pa.Table.from_arrays(kept.columns, schema=READINGS.schema)
    distinct = follow.newest(kept)
    hours = pc.floor_temporal(distinct["date_time"], unit="hour")

    def prepare(window: datetime) -> tuple[_Update, Prepared[WindowChange]]:
        new = distinct.filter(pc.equal(hours, window))
        update = _Update(store, READINGS, utc(window), partial(_followed, new=new))
        return update, update.prepared()

    touched = sorted(pc.unique(hours).to_pylist())
    changes = [update.commit(prepared) for update, prepared in in_order(prepare, touched, writers)]
    return Upserted(changes, len(rows) - len(kept), 0, len(kept) - len(distinct))


def ensure_windows(store: Store, table: Table, wanted: Iterable[datetime]) -> None:
    """Store missing windows as empty ones: they were asked for, and there was nothing."""
    there = {stored.window for stored in windows(store, table)}
    for window in sorted(set(wanted) - there):
        with suppress(ConflictError):  # another run has written it
            store.put(key_of(table, window), encode(table, table.schema.empty_table()), replaces=None)


def put_snapshots(
    store: Store, table: Table, wanted: Iterable[datetime], rows: pa.Table, present: current.Present | None = None
) -> list[WindowChange]:
    """Replace windows of a snapshot, such as `stations`, unless only `observed_at` would change, or they are newer.

    Its present in `current/` is replaced first, unless that is newer: by `present`, or else by the same rows. What
    publishers listed stays in both.
    """
    new = conform(table, rows)
    wanted = list(wanted)
    # Several windows are to hold the same: it is encoded once.
    encoded = lru_cache(1)(lambda: encode(table, new))
    revise = partial(_replaced, table=table, new=new)
    if table.current and wanted and present is not None:
        current.put(store, table, conform(table, present.rows), asked_at=present.asked_at)
    elif table.current and wanted:
        pushed = current.put(store, table, new, encoded)
        if listed.may_be_pushed(table):
            revise = partial(_relisted, store=store, table=table, new=new, pushed=pushed)

    def bytes_of(made: pa.Table) -> bytes:
        return encoded() if made is new else encode(table, made)

    return [_Update(store, table, window_of(window), revise, bytes_of).commit() for window in wanted]


def put_listed(
    store: Store, table: Table, rows: pa.Table, removed: Mapping[str, datetime], now: datetime
) -> WindowChange:
    """Upsert rows of a list that publishers pushed, or remove some: in its present, then in its newest window.

    Args:
        store: the lake's.
        table: the list's.
        rows: schema `table.schema`; of each key what was pushed last counts.
        removed: keys to remove, and when that was pushed.
        now: decides the window where the API has listed nothing of its own.
    """
    present = current.upsert(store, table, rows, removed, now)
    asked, api = listed.asked_at(present), listed.of_api(present)
    # A refresh under way has replaced the present and will write this window: whoever is second finds the other's rows.
    window = window_of(asked if len(api) else now)
    revise = partial(_relisted, store=store, table=table, new=api, pushed=True)
    change = _Update(store, table, window, revise).commit()
    if not change.rows:
        # Readers pass over an empty list: an older one would bring back what was removed.
        for stored in windows(store, table):
            _Update(store, table, stored.window, revise).commit()
    return change


def carry_listed(store: Store, table: Table, now: datetime) -> None:
    """Carry what publishers listed into the window of now, where no refresh does that any more."""
    last = max((stored.window for stored in windows(store, table)), default=None)
    if last is not None and last > window_of(now) - CARRIED_AFTER:
        return
    rows = current.listed_now(store, table)
    if len(listed.of_publishers(rows)) and is_expired(window_of(listed.asked_at(rows)), now):
        put_listed(store, table, table.schema.empty_table(), {}, now)


def put_state(store: Store, table: Table, rows: pa.Table, now: datetime) -> list[WindowChange]:
    """Replace the state of things in the window of `now`, which has that of the hour's last run.

    Other windows tell of hours that are over. The first run of an hour quarantines the damaged ones: nothing could fill
    them again.
    """
    window = window_of(now)
    if window not in {stored.window for stored in windows(store, table)}:
        for damaged in quarantine.damaged(store, table):
            quarantine.quarantine(store, table, damaged)
    return put_snapshots(store, table, [window], rows)


def add_rejects(store: Store, rows: pa.Table) -> list[WindowChange]:
    """Add rows to `rejects`, each in the window of its `seen_at`, oldest first; a line is kept once, as first seen."""
    hours = pc.floor_temporal(rows.column(REJECTS.time), unit="hour")
    changes = []
    for window in sorted(pc.unique(hours).to_pylist()):
        new = conform(REJECTS, rows.filter(pc.equal(hours, window)))
        changes.append(_Update(store, REJECTS, utc(window), partial(_united, new=new)).commit())
    return changes


@dataclass(frozen=True)
class _Update:
    """The update of one window.

    Attributes:
        store: the lake's.
        table: the window's.
        window: its start.
        revise: makes the new rows (None to leave the window as it is) and the change from the window's start and its
            stored rows, or from None where it does not exist; DamagedWindowError if it cannot use them.
        encoded: gives the bytes of new rows where they are often the same.
    """

    store: Store
    table: Table
    window: datetime
    revise: Callable[[datetime, pa.Table | None], _Revised]
    encoded: Callable[[pa.Table], bytes] | None = None

    @property
    def key(self) -> str:
        return key_of(self.table, self.window)

    def prepared(self) -> Prepared[WindowChange]:
        """Read and revise the window, without writing."""
        started = time.perf_counter()
        found = self.store.prepare(self.key, self._revision)
        change = found.revision.result
        spent = time.perf_counter() - started - change.seconds_upsert - change.seconds_write
        return replace(found, revision=replace(found.revision, result=replace(change, seconds_read=spent)))

    def commit(self, prepared: Prepared[WindowChange] | None = None) -> WindowChange:
        """Write the window if it is unchanged, else read and revise it again."""
        prepared = prepared or self.prepared()
        started = time.perf_counter()
        change = self.store.update(self.key, self._revision, prepared=prepared)
        return replace(change, seconds_write=change.seconds_write + time.perf_counter() - started)

    def _revision(self, blob: Blob | None) -> Revision[WindowChange]:
        before = name = None
        upserting = time.perf_counter()
        try:
            stored = None
            if blob is not None:
                file = WindowFile(self.table, f"{self.store.url}/{self.key}", blob.data)
                file.require_format()
                stored = file.read(strict=self.table is READINGS)
            upserting = time.perf_counter()
            rows, change = self.revise(self.window, stored)
        except DamagedWindowError as error:
            assert blob is not None  # noqa: S101 - for the type checker: an object that does not exist is not damaged
            name, before = quarantine.name_of(blob), partial(self._quarantine, blob, error)
            rows, change = self.revise(self.window, None)
        encoding = time.perf_counter()
        data = None
        if rows is not None:
            data = self.encoded(rows) if self.encoded else encode(self.table, rows)
        change = replace(
            change,
            size=len(data) if data is not None else blob.meta.size if blob else 0,
            written=data is not None,
            seconds_upsert=encoding - upserting,
            seconds_write=time.perf_counter() - encoding,
            quarantined_as=name,
        )
        return Revision(data, change, before)

    def _quarantine(self, blob: Blob, error: DamagedWindowError) -> None:
        name = quarantine.copy(self.store, self.table, blob)
        logger.error("%s. It is kept as %s and the window is written anew", error, name)


def _upserted(
    window: datetime, stored: pa.Table | None, *, fetch: upsert.Fetch, fetched: WindowRows, place: str
) -> _Revised:
    new = fetch.block(fetched)
    if stored is not None and upsert.repeats(stored, new):
        oldest, newest = _span(new.time)
        return None, WindowChange(window, len(stored), 0, 0, len(stored), oldest=oldest, newest=newest)
    try:
        block = None if stored is None else upsert.Block.of(stored)
    except ValueError as error:
        raise DamagedWindowError(place, str(error)) from error
    block, counts = upsert.upsert(block, new, fetch.station_of)
    oldest, newest = _span(block.time)
    changed = (len(block.time), counts.added, counts.revised, counts.unchanged)
    change = WindowChange(window, *changed, oldest=oldest, newest=newest, filled=counts.filled)
    return block.table() if counts.news else None, change


def _followed(window: datetime, stored: pa.Table | None, *, new: pa.Table) -> _Revised:
    rows, counts = follow.united(stored, new)
    oldest, newest = (utc(moment) for moment in pc.min_max(rows["date_time"]).as_py().values())
    change = WindowChange(window, len(rows), *counts, oldest=oldest, newest=newest)
    return rows if counts.added or counts.revised else None, change


def _span(time: Ints) -> tuple[datetime, datetime]:
    """Return the oldest and the newest of some times in milliseconds."""
    return from_ms(int(time.min())), from_ms(int(time.max()))


def _replaced(window: datetime, rows: pa.Table | None, *, table: Table, new: pa.Table) -> _Revised:
    """Replace a snapshot by another; of two, that of the later request stays."""
    if rows is not None and len(rows) and len(new) and _asked(rows) > _asked(new):
        return None, WindowChange(window, len(rows), 0, 0, len(new))
    return _differing(window, rows, table=table, new=new)


def _differing(window: datetime, rows: pa.Table | None, *, table: Table, new: pa.Table) -> _Revised:
    """Return the new rows of a snapshot if more than `observed_at` differs, and the change."""
    if rows is None:
        return new, WindowChange(window, len(new), len(new), 0, 0)
    (key,) = table.key
    old, now = rows, new
    if not rows.column(key).equals(new.column(key)):
        at = pc.index_in(new.column(key), value_set=rows.column(key).combine_chunks()).combine_chunks()
        old, now = rows.take(at.drop_null()), new.filter(at.is_valid())
    same = pa.array([True] * len(now), pa.bool_())
    for name in table.schema.names:
        if name != "observed_at":
            a, b = old.column(name), now.column(name)
            neither = pc.and_(pc.is_null(a), pc.is_null(b))
            same = pc.and_(same, pc.or_(neither, pc.fill_null(pc.equal(a, b), False)))
    unchanged = pc.sum(same).as_py() or 0
    added, revised = len(new) - len(now), len(now) - unchanged
    stays = not added and not revised and len(rows) == len(new)
    return None if stays else new, WindowChange(window, len(new), added, revised, unchanged)


def _relisted(
    window: datetime, rows: pa.Table | None, *, store: Store, table: Table, new: pa.Table, pushed: bool
) -> _Revised:
    """Replace what the API listed, as `_replaced` does, and what publishers listed by what the present has of them.

    The present is read after the window: whoever changes it later than that replaces this window after this.
    """
    if not pushed and (rows is None or not len(listed.of_publishers(rows))):
        return _replaced(window, rows, table=table, new=new)
    if rows is not None and listed.asked_at(rows) > listed.asked_at(new):
        new = listed.of_api(rows)
    both = listed.united(table, new, listed.of_publishers(current.listed_now(store, table)))
    return _differing(window, rows, table=table, new=both)


def _asked(rows: pa.Table) -> datetime:
    """Return when the API was asked for a snapshot."""
    return pc.max(rows.column("observed_at")).as_py()


def _united(window: datetime, rows: pa.Table | None, *, new: pa.Table) -> _Revised:
    """Add the rows whose key is new to the stored ones."""
    fresh, both = new, new
    if rows is not None:
        (key,) = REJECTS.key
        fresh = new.filter(pc.invert(pc.is_in(new.column(key), value_set=rows.column(key).combine_chunks())))
        both = conform(REJECTS, pa.concat_tables([rows, fresh])) if len(fresh) else rows
    span = pc.min_max(both.column(REJECTS.time)).as_py()
    oldest, newest = (utc(moment) if moment else None for moment in (span["min"], span["max"]))
    counts = (len(both), len(fresh), 0, len(new) - len(fresh))
    return None if both is rows else both, WindowChange(window, *counts, oldest=oldest, newest=newest)
