"""Delete expired windows, trim the one that contains the cutoff, and delete a present that is a day old.

What is expired follows from the windows' names and the rows' own times, never from an object's age. With an archive,
readings are stored there before they are deleted here; while that fails they stay.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.errors import LakeError
from flood_assets.lake import current, identity, judged
from flood_assets.lake.archive import Archive, ArchiveError
from flood_assets.lake.layout import (
    PUBLISHED,
    QUARANTINE,
    current_key,
    window_of_dead_letter,
    window_of_quarantined,
)
from flood_assets.lake.objects import Blob, Meta
from flood_assets.lake.parquet import DamagedWindowError, WindowFile, encode
from flood_assets.lake.quarantine import name_of, quarantine
from flood_assets.lake.read import StoredWindow, open_footer, windows
from flood_assets.lake.store import Revision, Store
from flood_assets.partitions import cutoff, is_expired, window_of
from flood_assets.schemas import READINGS, Table

# A writer with an older clock may put back what was deleted; so often is it deleted again.
ROUNDS = 3

logger = logging.getLogger("flood_assets.lake")


@dataclass(frozen=True)
class Expiry:
    """One deletion or trimming of a window, done or planned.

    Attributes:
        table: name of the table.
        window: its start.
        rows: rows that went; None where that was not looked up, or where the window is damaged.
        bytes_freed: bytes that went; None where that is not known before it is done.
        action: "deleted" for a whole object, "trimmed" for a window that keeps its newer rows, "quarantined" for one
            that could not be trimmed because it is damaged, "waits" for one that could not be archived.
        archived: rows of these that are in the archive.
        why: why it waits; else empty.
    """

    table: str
    window: datetime
    rows: int | None
    bytes_freed: int | None
    action: Literal["deleted", "trimmed", "quarantined", "waits"]
    archived: int = 0
    why: str = ""


def expired(store: Store, now: datetime, tables: Iterable[Table]) -> list[Expiry]:
    """Return what `expire` would do, from listings and the footer of one window for each table."""
    found = []
    for table in tables:
        stored = windows(store, table)
        whole, crossing = _due(store, table, now, stored)
        found += [Expiry(table.name, w.window, None, w.size, "deleted") for w in whole]
        found += [Expiry(table.name, w, None, m.size, "deleted") for w, m in _due_others(store, table, now, stored)]
        if crossing is not None:
            found.append(Expiry(table.name, crossing.window, None, None, "trimmed"))
    return found


def expire(
    store: Store, now: datetime, tables: Iterable[Table], *, dry_run: bool, archive: Archive | None = None
) -> list[Expiry]:
    """Delete and trim, then list again to see that it is so.

    Args:
        store: the lake's.
        now: decides what has expired.
        tables: of which to delete.
        dry_run: only tell.
        archive: where readings are stored before they are deleted; None to keep none. What could not be stored waits,
            which is an error in the log and in what is returned.

    Raises:
        LakeError: something expired is still there, or came back each time.
        NewerFormatError: a newer version is at work on the lake, and cleans it up.
    """
    tables = list(tables)
    identity.require_format(store)
    done: list[Expiry] = []
    waits = dict[tuple[str, datetime], Expiry]()
    for _ in range(ROUNDS):
        for table in tables:
            found = list(_expire_table(store, table, now, dry_run=dry_run, archive=archive))
            waits |= {(each.table, each.window): each for each in found if each.action == "waits"}
            done += [each for each in found if each.action != "waits"]
        if dry_run:
            return done
        store.sweep()
        left = [each for each in expired(store, now, tables) if (each.table, each.window) not in waits]
        if not left:
            for why, some in groupby(waits.values(), key=lambda each: each.why):
                logger.error("%d windows of readings are not archived, and stay: %s", len(list(some)), why)
            return [*done, *waits.values()]
    names = ", ".join(sorted(f"{e.table} {e.window:%Y-%m-%d %H:%M}" for e in left))
    raise LakeError(
        f"{store.url}: expired rows are still there after {ROUNDS} rounds: {names}. "
        "Is a writer with a wrong clock running?"
    )


def _expire_table(
    store: Store, table: Table, now: datetime, *, dry_run: bool, archive: Archive | None
) -> Iterator[Expiry]:
    stored = windows(store, table)
    whole, crossing = _due(store, table, now, stored)
    others = _due_others(store, table, now, stored)
    archive = archive if table is READINGS and not dry_run else None
    if archive is not None:
        yield from _archive(store, whole, [each for each in others if _was_window(each[1])], archive)
        whole, others = [], [each for each in others if not _was_window(each[1])]
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda w: _rows(store, table, w), whole))
    if not dry_run:
        present, whole_keys = current_key(table), [w.key for w in whole]
        store.delete(whole_keys + [meta.key for _, meta in others if meta.key != present])
        if any(meta.key == present for _, meta in others):
            current.expire(store, table, now)
    yield from (Expiry(table.name, w.window, n, w.size, "deleted") for w, n in zip(whole, rows, strict=True))
    yield from (Expiry(table.name, window, None, meta.size, "deleted") for window, meta in others)
    if crossing is not None:
        try:
            trimmed = _trim(store, table, crossing, now, dry_run=dry_run, archive=archive)
        except ArchiveError as error:
            trimmed = _waiting(crossing.window, error)
        except DamagedWindowError:
            if not dry_run:
                quarantine(store, table, crossing.window)
            trimmed = Expiry(table.name, crossing.window, None, None, "quarantined")
        if trimmed:
            yield trimmed


def _was_window(meta: Meta) -> bool:
    return window_of_quarantined(READINGS, meta.key) is not None


def _archive(
    store: Store, whole: Sequence[StoredWindow], damaged: Sequence[tuple[datetime, Meta]], archive: Archive
) -> Iterator[Expiry]:
    """Store expired windows of readings in the archive, those that were damaged too, and delete them."""
    for _, day in groupby(whole, key=lambda each: each.window.date()):
        yield from _archive_day(store, list(day), archive)
    for window, meta in damaged:
        if (blob := store.read(meta.key)) is not None:
            yield from _archive_damaged(store, window, blob, meta.key, archive)


def _archive_day(store: Store, day: Sequence[StoredWindow], archive: Archive) -> Iterator[Expiry]:
    """Store the expired windows of a day in the archive, all with one write, and delete those that are as they were.

    One that a writer with an older clock has changed meanwhile is found again by the next round.
    """
    blobs = [blob for each in day if (blob := store.read(each.key)) is not None]
    sound, unreadable = list[tuple[Blob, pa.Table]](), list[Blob]()
    for blob in blobs:
        try:
            # As strictly as an upsert reads it.
            file = WindowFile(READINGS, f"{store.url}/{blob.meta.key}", blob.data)
            file.require_format()
            sound.append((blob, file.read(strict=True)))
        except DamagedWindowError:
            unreadable.append(blob)
    starts = {each.key: each.window for each in day}
    try:
        if sound:
            archive.keep(pa.concat_tables(rows for _, rows in sound))
    except ArchiveError as error:
        yield from (_waiting(starts[blob.meta.key], error) for blob, _ in sound)
    else:
        for blob, rows in sound:
            if store.delete_unchanged(blob.meta):
                window, size = starts[blob.meta.key], blob.meta.size
                yield Expiry(READINGS.name, window, len(rows), size, "deleted", archived=len(rows))
    for blob in unreadable:
        yield from _archive_damaged(store, starts[blob.meta.key], blob, name_of(blob), archive)


def _archive_damaged(store: Store, window: datetime, blob: Blob, name: str, archive: Archive) -> Iterator[Expiry]:
    """Store the bytes of a window that cannot be read in the archive, and delete it."""
    try:
        archive.keep_damaged(name, blob.data.to_pybytes())
    except ArchiveError as error:
        yield _waiting(window, error)
        return
    if store.delete_unchanged(blob.meta):
        yield Expiry(READINGS.name, window, None, blob.meta.size, "deleted")


def _waiting(window: datetime, error: ArchiveError) -> Expiry:
    return Expiry(READINGS.name, window, None, None, "waits", why=str(error))


def _due(
    store: Store, table: Table, now: datetime, stored: Sequence[StoredWindow]
) -> tuple[list[StoredWindow], StoredWindow | None]:
    """Return the expired windows, and the one that the cutoff crosses if it has expired rows."""
    whole = [w for w in stored if is_expired(w.window, now)]
    edge, oldest = cutoff(now), None
    crossing = next((w for w in stored if table.time and w.window == window_of(edge)), None)
    if crossing is not None:
        # The next upsert or a person quarantines a damaged one; it is deleted with its window in any case.
        with suppress(DamagedWindowError):
            found = open_footer(store, table, crossing.key)
            oldest = None if found is None else found.file.oldest()
    return whole, crossing if oldest is not None and oldest <= edge else None


def _due_others(
    store: Store, table: Table, now: datetime, stored: Sequence[StoredWindow]
) -> list[tuple[datetime, Meta]]:
    """Return the expired objects that are no windows: quarantined, refused by a sink, the present, judged alerts."""
    named = [(window_of_quarantined(table, meta.key), meta) for meta in store.list(f"{QUARANTINE}/{table.name}")]
    if table is READINGS:
        named += [(window_of_dead_letter(meta.key), meta) for meta in store.list(PUBLISHED)]
    found = [(window, meta) for window, meta in named if window is not None and is_expired(window, now)]
    # The present is never older than the newest window, so as a rule nothing is read for it.
    if table.current and all(is_expired(each.window, now) for each in stored):
        found += filter(None, [current.expired(store, table, now)])
    if table is READINGS:
        # Alerts hold values of readings. Whoever judges none any more deletes none.
        found += filter(None, [judged.expired(store, now)])
    return found


def _rows(store: Store, table: Table, window: StoredWindow) -> int | None:
    try:
        found = open_footer(store, table, window.key)
    except DamagedWindowError:
        return None
    return None if found is None else found.file.rows


def _trim(
    store: Store, table: Table, window: StoredWindow, now: datetime, *, dry_run: bool, archive: Archive | None
) -> Expiry | None:
    """Delete the expired rows of a window. An emptied one stays until it has expired, an hour at most."""

    def trimmed(blob: Blob | None) -> Revision[Expiry | None]:
        if blob is None:
            return Revision(None, None)
        file = WindowFile(table, f"{store.url}/{window.key}", blob.data)
        file.require_format()
        rows = file.read()
        stays = pc.greater(rows.column(table.time), cutoff(now))
        kept, gone = rows.filter(stays), rows.filter(pc.invert(stays))
        if not len(gone):
            return Revision(None, None)
        data = encode(table, kept)
        told = (table.name, window.window, len(gone), blob.meta.size - len(data))
        if archive is None:
            return Revision(None if dry_run else data, Expiry(*told, "trimmed"))
        return Revision(data, Expiry(*told, "trimmed", archived=len(gone)), partial(archive.keep, gone))

    return store.update(window.key, trimmed)
