"""Keep the present of a table in one object, `current/{table}.parquet`, for everybody who reads Parquet without us.

A table whose `current` is true has one: its newest rows, replaced whole, so that a join with it repeats nothing. It is
written before the windows, so it is never older than the newest of them, and deleted when its rows are a day old. One
that may be empty, as a calm day's warnings are, says in its footer when it was asked for.

Of a list that publishers push to, this is where their rows are: a refresh replaces those of the API and leaves them,
and a push upserts its own. Each write is a compare-and-swap, so that none of them is lost. They do not expire.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.lake import listed
from flood_assets.lake.layout import CURRENT, current_key
from flood_assets.lake.objects import Blob, Meta
from flood_assets.lake.parquet import DamagedWindowError, WindowFile, encode
from flood_assets.lake.read import load, windows
from flood_assets.lake.store import Revision, Store
from flood_assets.partitions import EPOCH, is_expired, utc, window_of
from flood_assets.schemas import Table

logger = logging.getLogger("flood_assets.lake")

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
) -> bool:
    """Replace the present of a table, unless what is there was asked for later; return True if publishers listed some.

    Args:
        store: the lake's.
        table: its `current` is true.
        rows: all of them, with the table's schema and order.
        encoded: gives their bytes, if they are encoded anyway.
        asked_at: when they were asked for; None to take it from the rows, of which none then replace nothing.
    """
    if asked_at is None and not len(rows):
        # Nothing is replaced, and nothing was read: whoever asks has to look.
        return True
    asked = utc(pc.max(rows[_ASKED]).as_py() if asked_at is None else asked_at)

    def revised(blob: Blob | None) -> Revision[bool]:
        _require_format(store, table, blob)
        pushed = None
        if listed.may_be_pushed(table):
            there = _list_in(store, table, blob)
            pushed, removed, at = listed.of_publishers(there.rows), there.removed, listed.asked_at(there.rows)
        else:
            at = (_asked(store, table, blob) if blob is not None else None) or EPOCH
        if at > asked:
            return Revision(None, pushed is not None and len(pushed) > 0)
        if pushed is not None and (len(pushed) or removed):
            return Revision(
                encode(table, listed.united(table, rows, pushed), removed=removed),
                pushed is not None and len(pushed) > 0,
            )
        return Revision(encoded() if encoded else encode(table, rows, asked_at=asked_at), False)

    return store.update(current_key(table), revised)


def upsert(store: Store, table: Table, rows: pa.Table, removed: Mapping[str, datetime], now: datetime) -> pa.Table:
    """Upsert pushed rows of a list, or remove some, and return all rows; of each key what was pushed last counts.

    Rows that the API listed over a day ago go.
    """

    def revised(blob: Blob | None) -> Revision[pa.Table]:
        _require_format(store, table, blob)
        there = _list_in(store, table, blob) if blob is not None else _List(_newest(store, table), {})
        stored = _retained(there.rows, now)
        found, forgotten = listed.upserted(table, stored, there.removed, rows, removed, now)
        return Revision(encode(table, found, removed=forgotten), found)

    return store.update(current_key(table), revised)


def listed_now(store: Store, table: Table) -> pa.Table:
    """Return all rows of the present of a list that publishers push to; none without one."""
    return _list_in(store, table, store.read(current_key(table))).rows


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
    """Return the window of the present of a table and its object, if it is a day old or damaged; else None.

    What publishers listed is never too old; what the API listed beside it is.
    """
    blob = store.read(current_key(table))
    if blob is None:
        return None
    asked = _asked(store, table, blob)
    if asked is not None and listed.may_be_pushed(table) and len(_pushed(store, table, blob)):
        asked = listed.asked_at(_list_in(store, table, blob).rows)
        return (window_of(asked), blob.meta) if asked != EPOCH and is_expired(window_of(asked), now) else None
    window = window_of(asked or blob.meta.modified)
    return (window, blob.meta) if asked is None or is_expired(window, now) else None


def expire(store: Store, table: Table, now: datetime) -> None:
    """Delete a present that `expired` has found, or the API's rows of it where publishers have some."""
    blob = store.read(current_key(table)) if listed.may_be_pushed(table) else None
    if blob is not None and len(_pushed(store, table, blob)):
        upsert(store, table, table.schema.empty_table(), {}, now)
    else:
        store.delete([current_key(table)])


def _require_format(store: Store, table: Table, blob: Blob | None) -> None:
    """Refuse to replace a present of a newer format; a damaged one is replaced."""
    if blob is not None:
        with suppress(DamagedWindowError):
            WindowFile(table, f"{store.url}/{blob.meta.key}", blob.data).require_format()


class _List(NamedTuple):
    """The rows of a list, and the keys that publishers have removed from it, with the time in ms."""

    rows: pa.Table
    removed: Mapping[str, int]


def _list_in(store: Store, table: Table, blob: Blob | None) -> _List:
    """Return the list that an object holds; that of the newest window if it is damaged, none without an object."""
    if blob is None:
        return _List(table.schema.empty_table(), {})
    try:
        file = WindowFile(table, f"{store.url}/{blob.meta.key}", blob.data)
        return _List(file.read(), file.removed)
    except DamagedWindowError as error:
        logger.error("%s; what publishers listed is taken from the newest window", error)  # noqa: TRY400 - it says all
    return _List(_newest(store, table), {})


def _pushed(store: Store, table: Table, blob: Blob) -> pa.Table:
    return listed.of_publishers(_list_in(store, table, blob).rows)


def _newest(store: Store, table: Table) -> pa.Table:
    """Return the rows of the newest window that has some; none without one."""
    for stored in reversed(windows(store, table)):
        with suppress(DamagedWindowError):
            found = load(store, table, stored.key)
            if found is not None and found.file.rows:
                return found.file.read()
    return table.schema.empty_table()


def _retained(rows: pa.Table, now: datetime) -> pa.Table:
    """Return the rows of a list without those that the API listed over a day ago."""
    old = is_expired(window_of(listed.asked_at(rows)), now)
    return listed.of_publishers(rows) if old else rows


def _asked(store: Store, table: Table, blob: Blob) -> datetime | None:
    """Return when the rows of an object were asked for; None if it is damaged, or empty and does not say."""
    try:
        file = WindowFile(table, f"{store.url}/{blob.meta.key}", blob.data)
        newest = file.asked_at or pc.max(file.read([_ASKED])[_ASKED]).as_py()
    except DamagedWindowError:
        return None
    return None if newest is None else utc(newest)
