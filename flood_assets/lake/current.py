"""Keep the present of a table in one object, `current/{table}.parquet`, for everybody who reads Parquet without us.

A table whose `current` is true has one: its newest rows, replaced whole, so that a join with it repeats nothing. It is
written before the windows, so it is never older than the newest of them, and deleted when its rows are a day old. One
that may be empty, as a calm day's warnings are, says in its footer when it was asked for.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.lake.layout import CURRENT, current_key
from flood_assets.lake.objects import Blob, Meta
from flood_assets.lake.parquet import DamagedWindowError, WindowFile, encode
from flood_assets.lake.store import Revision, Store
from flood_assets.partitions import is_expired, utc, window_of
from flood_assets.schemas import Table

# The column that says how old the present is; each such table has it.
_ASKED = "observed_at"


class Present(NamedTuple):
    """The present of a table that is not simply the rows of its newest window, and when it was asked for."""

    rows: pa.Table
    asked_at: datetime


def put(
    store: Store,
    table: Table,
    rows: pa.Table,
    encoded: Callable[[], bytes] | None = None,
    *,
    asked_at: datetime | None = None,
) -> None:
    """Replace the present of a table, unless what is there was asked for later.

    Args:
        store: the lake's.
        table: its `current` is true.
        rows: all of them, with the table's schema and order.
        encoded: gives their bytes, if they are encoded anyway.
        asked_at: when they were asked for; None to take it from the rows, of which none then replace nothing.
    """
    if asked_at is None and not len(rows):
        return
    asked = utc(pc.max(rows[_ASKED]).as_py() if asked_at is None else asked_at)

    def revised(blob: Blob | None) -> Revision[None]:
        there = None if blob is None else _asked(store, table, blob)
        if there is not None and there > asked:
            return Revision(None, None)
        return Revision(encoded() if encoded else encode(table, rows, asked_at=asked_at), None)

    store.update(current_key(table), revised)


def asked_at(store: Store, table: Table) -> datetime | None:
    """Return when the present of a table was asked for; None if there is none, or it is damaged."""
    blob = store.read(current_key(table))
    return None if blob is None else _asked(store, table, blob)


def versions(store: Store, tables: Iterable[Table]) -> dict[str, str]:
    """Return the e-tag of the present of each table that has a present, by the table's name.

    It takes one listing. The e-tag is empty where the store has none.
    """
    names = {current_key(table): table.name for table in tables}
    return {names[meta.key]: meta.e_tag or "" for meta in store.list(CURRENT) if meta.key in names}


def read(store: Store, table: Table) -> tuple[pa.Table, str] | None:
    """Return the rows of the present of a table and its e-tag as `versions` does; None if there is none.

    Raises:
        DamagedWindowError: it is no present of this table.
    """
    blob = store.read(current_key(table))
    if blob is None:
        return None
    return WindowFile(table, f"{store.url}/{blob.meta.key}", blob.data).read(), blob.meta.e_tag or ""


def expired(store: Store, table: Table, now: datetime) -> tuple[datetime, Meta] | None:
    """Return the window of the present of a table and its object, if it is a day old or damaged; else None."""
    blob = store.read(current_key(table))
    if blob is None:
        return None
    asked = _asked(store, table, blob)
    window = window_of(asked or blob.meta.modified)
    return (window, blob.meta) if asked is None or is_expired(window, now) else None


def _asked(store: Store, table: Table, blob: Blob) -> datetime | None:
    """Return when the rows of an object were asked for; None if it is damaged, or empty and does not say."""
    try:
        file = WindowFile(table, f"{store.url}/{blob.meta.key}", blob.data)
        newest = file.asked_at or pc.max(file.read([_ASKED])[_ASKED]).as_py()
    except DamagedWindowError:
        return None
    return None if newest is None else utc(newest)
