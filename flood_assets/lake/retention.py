"""Delete expired windows, trim the one that contains the cutoff, and delete a present that is a day old.

What is expired follows from the windows' names and the rows' own times, never from an object's age.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import pyarrow.compute as pc

from flood_assets.errors import LakeError
from flood_assets.lake import current, judged
from flood_assets.lake.layout import (
    PUBLISHED,
    QUARANTINE,
    current_key,
    window_of_dead_letter,
    window_of_quarantined,
)
from flood_assets.lake.objects import Blob, Meta
from flood_assets.lake.parquet import DamagedWindowError, WindowFile, encode
from flood_assets.lake.quarantine import quarantine
from flood_assets.lake.read import StoredWindow, open_footer, windows
from flood_assets.lake.store import Revision, Store
from flood_assets.partitions import cutoff, is_expired, window_of
from flood_assets.schemas import READINGS, Table

# A writer with an older clock may put back what was deleted; so often is it deleted again.
ROUNDS = 3


@dataclass(frozen=True)
class Expiry:
    """One deletion or trimming of a window, done or planned.

    Attributes:
        table: name of the table.
        window: its start.
        rows: rows that went; None where that was not looked up, or where the window is damaged.
        bytes_freed: bytes that went; None where that is not known before it is done.
        action: "deleted" for a whole object, "trimmed" for a window that keeps its newer rows, "quarantined" for one
            that could not be trimmed because it is damaged.
    """

    table: str
    window: datetime
    rows: int | None
    bytes_freed: int | None
    action: Literal["deleted", "trimmed", "quarantined"]


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


def expire(store: Store, now: datetime, tables: Iterable[Table], *, dry_run: bool) -> list[Expiry]:
    """Delete and trim, then list again to see that it is so.

    Raises:
        LakeError: something expired is still there, or came back each time.
    """
    tables = list(tables)
    done: list[Expiry] = []
    for _ in range(ROUNDS):
        for table in tables:
            done += _expire_table(store, table, now, dry_run=dry_run)
        if dry_run:
            return done
        store.sweep()
        left = expired(store, now, tables)
        if not left:
            return done
    names = ", ".join(sorted(f"{e.table} {e.window:%Y-%m-%d %H:%M}" for e in left))
    raise LakeError(
        f"{store.url}: expired rows are still there after {ROUNDS} rounds: {names}. "
        "Is a writer with a wrong clock running?"
    )


def _expire_table(store: Store, table: Table, now: datetime, *, dry_run: bool) -> list[Expiry]:
    stored = windows(store, table)
    whole, crossing = _due(store, table, now, stored)
    others = _due_others(store, table, now, stored)
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda w: _rows(store, table, w), whole))
    done = [Expiry(table.name, w.window, n, w.size, "deleted") for w, n in zip(whole, rows, strict=True)]
    done += [Expiry(table.name, window, None, meta.size, "deleted") for window, meta in others]
    if not dry_run:
        present, whole_keys = current_key(table), [w.key for w in whole]
        store.delete(whole_keys + [meta.key for _, meta in others if meta.key != present])
        if any(meta.key == present for _, meta in others):
            current.expire(store, table, now)
    if crossing is not None:
        try:
            trimmed = _trim(store, table, crossing, now, dry_run=dry_run)
        except DamagedWindowError:
            if not dry_run:
                quarantine(store, table, crossing.window)
            trimmed = Expiry(table.name, crossing.window, None, None, "quarantined")
        done += [trimmed] if trimmed else []
    return done


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


def _trim(store: Store, table: Table, window: StoredWindow, now: datetime, *, dry_run: bool) -> Expiry | None:
    """Delete the expired rows of a window. An emptied one stays until it has expired, an hour at most."""

    def trimmed(blob: Blob | None) -> Revision[Expiry | None]:
        if blob is None:
            return Revision(None, None)
        rows = WindowFile(table, f"{store.url}/{window.key}", blob.data).read()
        kept = rows.filter(pc.greater(rows.column(table.time), cutoff(now)))
        if not (gone := len(rows) - len(kept)):
            return Revision(None, None)
        data = encode(table, kept)
        freed = blob.meta.size - len(data)
        return Revision(None if dry_run else data, Expiry(table.name, window.window, gone, freed, "trimmed"))

    return store.update(window.key, trimmed)
