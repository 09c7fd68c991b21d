"""Move damaged windows out of readers' sight, below `_quarantine/`.

The watermarks are reset before a damaged window of readings is replaced, so that the next refresh reads the day whole,
whatever becomes of this run. What publishers pushed is not the API's: an object asks for it to be ingested again.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from flood_assets.lake import parquet, watermarks
from flood_assets.lake.layout import RECEIPTS, again_key, key_of, quarantine_key
from flood_assets.lake.objects import Blob, ConflictError
from flood_assets.lake.parquet import DamagedWindowError, WindowFile
from flood_assets.lake.read import NOTHING, Content, each, footers, windows
from flood_assets.lake.store import Revision, Store
from flood_assets.lake.upsert import Block
from flood_assets.partitions import window_of
from flood_assets.schemas import READINGS, Table

logger = logging.getLogger("flood_assets.lake")


def copy(store: Store, table: Table, blob: Blob) -> str:
    """Copy a damaged object that is about to be replaced; return the copy's name.

    Of readings the watermarks are reset, and what was pushed is asked for, if anybody pushes.
    """
    name = name_of(blob)
    with suppress(ConflictError):  # another run found the same bytes and has copied them
        store.put(name, blob.data.to_pybytes(), replaces=None)
    if table is READINGS:
        watermarks.forget(store)
        if store.list(RECEIPTS):
            with suppress(ConflictError):
                store.put(again_key(name), b"\n", replaces=None)
    return name


def name_of(blob: Blob) -> str:
    """Return the name of a damaged object's copy."""
    return quarantine_key(blob.meta.key, blob.meta.modified, blob.data)


def quarantine(store: Store, table: Table, window: datetime) -> str | None:
    """Move a damaged window's object below `_quarantine/` and put an empty one in its place.

    Exactly the version that was found damaged is replaced, in one write: of two runs that find it at once one does
    it, and a later version that a third has written stays.

    Returns:
        The name of its copy; None when the window is sound, or does not exist.
    """

    def emptied(blob: Blob | None) -> Revision[tuple[str, DamagedWindowError] | None]:
        damage = None if blob is None else _damage(store, table, blob)
        if blob is None or damage is None:
            return Revision(None, None)
        empty = parquet.encode(table, table.schema.empty_table())
        return Revision(empty, (name_of(blob), damage), lambda: copy(store, table, blob))

    moved = store.update(key_of(table, window_of(window)), emptied)
    if moved is None:
        return None
    name, damage = moved
    logger.error("%s. It is kept as %s, and an empty window is in its place", damage, name)
    return name


def inspect(
    store: Store, table: Table, wanted: Sequence[datetime]
) -> tuple[dict[datetime, Content], dict[datetime, str]]:
    """Look at the footers of windows, and quarantine those that are no window of this table.

    Damage inside is found by whoever decodes the rows, an upsert or the checks, which do the same.

    Returns:
        The content of each that exists, oldest first; and the new name of each that was damaged, in whose place an
        empty one stands.
    """
    found = footers(store, table, wanted)
    damaged = [window for window, content in found.items() if isinstance(content, DamagedWindowError)]
    moved = {window: name for window in damaged if (name := quarantine(store, table, window))}
    contents = {window: content for window, content in found.items() if isinstance(content, Content)}
    return dict(sorted({**contents, **dict.fromkeys(damaged, NOTHING)}.items())), moved


def damaged(store: Store, table: Table) -> list[datetime]:
    """Return the windows of a table that cannot be read, oldest first; each is decoded whole."""
    listed = [stored.window for stored in windows(store, table)]
    found = []
    for window, rows in each(store, table, listed, coded=table is READINGS):
        try:
            if isinstance(rows, DamagedWindowError):
                raise rows
            if table is READINGS:
                Block.of(rows)
        except (DamagedWindowError, ValueError):
            found.append(window)
    return found


def _damage(store: Store, table: Table, blob: Blob) -> DamagedWindowError | None:
    """Return the damage of a window of a table, if it has any."""
    place = f"{store.url}/{blob.meta.key}"
    try:
        rows = WindowFile(table, place, blob.data).read(strict=table is READINGS)
        if table is READINGS:
            Block.of(rows)
    except DamagedWindowError as error:
        return error
    except ValueError as error:
        return DamagedWindowError(place, str(error))
    return None
