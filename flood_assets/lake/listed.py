"""Unite what publishers push of a list with what the API lists: stations, and measures. Pure.

The pushed rows of a list are those of its present, `current/{table}.parquet`; its windows repeat them. Who writes what
is in `current` and `write`.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.lake.parquet import conform
from flood_assets.partitions import EPOCH, to_ms, utc
from flood_assets.schemas import Table

_PUBLISHER, _OBSERVED = "publisher", "observed_at"
# A removal is remembered for so long: a batch that landed before it and is ingested after it brings nothing back.
REMEMBERED = timedelta(days=7)


def may_be_pushed(table: Table) -> bool:
    """Return whether publishers push rows of a table's list."""
    return _PUBLISHER in table.schema.names


def of_api(rows: pa.Table) -> pa.Table:
    """Return the rows that the API listed."""
    return rows.filter(pc.is_null(rows[_PUBLISHER]))


def of_publishers(rows: pa.Table) -> pa.Table:
    """Return the rows that publishers pushed."""
    return rows.filter(pc.is_valid(rows[_PUBLISHER]))


def asked_at(rows: pa.Table) -> datetime:
    """Return when the API was asked for its rows; `EPOCH` if there is none of it."""
    newest = pc.max(of_api(rows)[_OBSERVED]).as_py()
    return EPOCH if newest is None else utc(newest)


def united(table: Table, api: pa.Table, pushed: pa.Table) -> pa.Table:
    """Return the rows of both, sorted; of two with the same key the pushed one."""
    return conform(table, pa.concat_tables([api, pushed])) if len(pushed) else api


def upserted(
    table: Table,
    stored: pa.Table,
    forgotten: Mapping[str, int],
    rows: pa.Table,
    removed: Mapping[str, datetime],
    now: datetime,
) -> tuple[pa.Table, dict[str, int]]:
    """Upsert pushed rows into a list; of each key what was pushed last counts, a row or its removal.

    Args:
        table: the list's.
        stored: all rows of the list.
        forgotten: keys that were removed from it, and when, in ms.
        rows: rows to upsert, schema `table.schema`.
        removed: keys to remove, and when they were.
        now: decides which removals are still remembered.

    Returns:
        All rows, and the removals to remember.
    """
    (key,) = table.key
    gone = dict(forgotten)
    for name, at in removed.items():
        gone[name] = max(gone.get(name, 0), to_ms(at))
    both = pa.concat_tables([stored, rows])
    last: dict[str, tuple[int, int]] = {}
    for number, (name, at) in enumerate(
        zip(both[key].to_pylist(), both[_OBSERVED].cast(pa.int64()).to_pylist(), strict=True)
    ):
        if at > gone.get(name, -1):
            last[name] = max(last.get(name, (at, number)), (at, number))
    kept = both.take(pa.array([number for _, number in last.values()], pa.int64()))
    oldest = to_ms(now - REMEMBERED)
    return conform(table, kept), {name: at for name, at in gone.items() if at > oldest}
