"""Keep the present of a table in one object, `current/{table}.parquet`, for everybody who reads Parquet without us.

A table whose `current` is true has one: its newest rows, replaced whole, so that a join with it repeats nothing. It is
written before the windows, so it is never older than the newest of them, and deleted when its rows are a day old.
"""

from collections.abc import Callable
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.lake.layout import current_key
from flood_assets.lake.objects import Blob, Meta
from flood_assets.lake.parquet import DamagedWindowError, WindowFile, encode
from flood_assets.lake.store import Revision, Store
from flood_assets.partitions import is_expired, utc, window_of
from flood_assets.schemas import Table

# The column that says how old the present is; each such table has it.
_ASKED = "observed_at"


def put(store: Store, table: Table, rows: pa.Table, encoded: Callable[[], bytes] | None = None) -> None:
    """Replace the present of a table, unless what is there was asked for later; no rows replace nothing.

    Args:
        store: the lake's.
        table: its `current` is true.
        rows: all of them, with the table's schema and order.
        encoded: gives their bytes, if they are encoded anyway.
    """
    if not len(rows):
        return
    asked = utc(pc.max(rows[_ASKED]).as_py())

    def revised(blob: Blob | None) -> Revision[None]:
        there = None if blob is None else _asked(store, table, blob)
        newer = there is not None and there > asked
        return Revision(None if newer else (encoded or (lambda: encode(table, rows)))(), None)

    store.update(current_key(table), revised)


def expired(store: Store, table: Table, now: datetime) -> tuple[datetime, Meta] | None:
    """Return the window of the present of a table and its object, if it is a day old or damaged; else None."""
    blob = store.read(current_key(table))
    if blob is None:
        return None
    asked = _asked(store, table, blob)
    window = window_of(asked or blob.meta.modified)
    return (window, blob.meta) if asked is None or is_expired(window, now) else None


def _asked(store: Store, table: Table, blob: Blob) -> datetime | None:
    """Return when the rows of an object were asked for; None if it is damaged or empty."""
    try:
        rows = WindowFile(table, f"{store.url}/{blob.meta.key}", blob.data).read([_ASKED])
    except DamagedWindowError:
        return None
    newest = pc.max(rows[_ASKED]).as_py()
    return None if newest is None else utc(newest)
