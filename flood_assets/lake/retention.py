"""What goes after a day: expired windows whole, and the expired rows of the window that the cutoff crosses.

What is expired follows from the windows' names and the rows' own times, never from an object's age. The functions
work on a `Lake`, which has them as methods.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import pyarrow.compute as pc

from flood_assets.errors import LakeError
from flood_assets.lake.layout import QUARANTINE, window_of_quarantined
from flood_assets.lake.parquet import DamagedWindowError
from flood_assets.lake.store import ConflictError, Meta
from flood_assets.partitions import cutoff, is_expired, window_of
from flood_assets.schemas import Table

if TYPE_CHECKING:
    from flood_assets.lake.lake import Lake, StoredWindow

# A writer with an older clock may put back what was deleted; so often is it deleted again.
ROUNDS = 3


@dataclass(frozen=True)
class Expiry:
    """What retention did with a window, or would do.

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


def expired(lake: "Lake", now: datetime, tables: Iterable[Table]) -> list[Expiry]:
    """What `expire` would do, from listings and the footer of one window for each table."""
    found = []
    for table in tables:
        whole, crossing = _due(lake, table, now)
        found += [Expiry(table.name, w.window, None, w.size, "deleted") for w in whole]
        found += [Expiry(table.name, w, None, m.size, "deleted") for w, m in _due_damaged(lake, table, now)]
        if crossing is not None:
            found.append(Expiry(table.name, crossing.window, None, None, "trimmed"))
    return found


def expire(lake: "Lake", now: datetime, tables: Iterable[Table], *, dry_run: bool) -> list[Expiry]:
    """Delete and trim, then list again to see that it is so.

    Raises:
        LakeError: something expired is still there, or came back each time.
    """
    tables = list(tables)
    done: list[Expiry] = []
    for _ in range(ROUNDS):
        for table in tables:
            done += _expire_table(lake, table, now, dry_run=dry_run)
        if dry_run:
            return done
        lake.store.sweep()
        left = expired(lake, now, tables)
        if not left:
            return done
    names = ", ".join(sorted(f"{e.table} {e.window:%Y-%m-%d %H:%M}" for e in left))
    raise LakeError(
        f"{lake.url}: expired rows are still there after {ROUNDS} rounds: {names}. "
        "Is a writer with a wrong clock running?"
    )


def _expire_table(lake: "Lake", table: Table, now: datetime, *, dry_run: bool) -> list[Expiry]:
    whole, crossing = _due(lake, table, now)
    damaged = _due_damaged(lake, table, now)
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda w: _rows(lake, table, w), whole))
    done = [Expiry(table.name, w.window, n, w.size, "deleted") for w, n in zip(whole, rows, strict=True)]
    done += [Expiry(table.name, window, None, meta.size, "deleted") for window, meta in damaged]
    if not dry_run:
        lake.store.delete([w.key for w in whole] + [meta.key for _, meta in damaged])
    if crossing is not None:
        try:
            trimmed = _trim(lake, table, crossing, now, dry_run=dry_run)
        except DamagedWindowError:
            if not dry_run:
                lake.quarantine(table, crossing.window)
            trimmed = Expiry(table.name, crossing.window, None, None, "quarantined")
        done += [trimmed] if trimmed else []
    return done


def _due(lake: "Lake", table: Table, now: datetime) -> tuple[list["StoredWindow"], "StoredWindow | None"]:
    """The expired windows, and the one that the cutoff crosses if it has expired rows."""
    stored = lake.windows(table)
    whole = [w for w in stored if is_expired(w.window, now)]
    edge = cutoff(now)
    crossing = next((w for w in stored if table.time and w.window == window_of(edge)), None)
    if crossing is not None:
        try:
            oldest = lake.oldest_row(table, crossing.window)
        except DamagedWindowError:
            # The next merge or a person sets it aside; it goes with its window in any case.
            oldest = None
        if oldest is None or oldest > edge:
            crossing = None
    return whole, crossing


def _due_damaged(lake: "Lake", table: Table, now: datetime) -> list[tuple[datetime, Meta]]:
    """Objects that were quarantined and whose windows have expired: they hold rows too."""
    found = [(window_of_quarantined(table, meta.key), meta) for meta in lake.store.list(f"{QUARANTINE}/{table.name}")]
    return [(window, meta) for window, meta in found if window is not None and is_expired(window, now)]


def _rows(lake: "Lake", table: Table, window: "StoredWindow") -> int | None:
    try:
        found = lake.open_footer(table, window.key)
    except DamagedWindowError:
        return None
    return None if found is None else found.file.rows


def _trim(lake: "Lake", table: Table, window: "StoredWindow", now: datetime, *, dry_run: bool) -> Expiry | None:
    edge = cutoff(now)
    for _ in lake.attempts(window.key):
        with lake.store.guard(window.key):
            stored = lake.load(table, window.key)
            if stored is None:
                return None
            rows = stored.file.read()
            kept = rows.filter(pc.greater(rows.column(table.time), edge))
            gone, size = len(rows) - len(kept), stored.meta.size
            if not gone:
                return None
            if dry_run:
                return Expiry(table.name, window.window, gone, None, "trimmed")
            # Only under a lock can a window be deleted without losing a row that a merge adds meanwhile. Elsewhere the
            # emptied window is written, and goes when it has expired: an hour later at most.
            if not len(kept) and lake.store.local:
                lake.store.delete([window.key])
                return Expiry(table.name, window.window, gone, size, "deleted")
            try:
                data = lake.encode(table, kept)
                lake.store.put(window.key, data, replaces=stored.meta)
            except ConflictError:
                continue
            return Expiry(table.name, window.window, gone, size - len(data), "trimmed")
    return None
