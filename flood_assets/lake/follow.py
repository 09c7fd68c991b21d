"""Unite readings that another lake published with those that are stored, with their own times and revisions. Pure.

Of the rows with one key the one that was changed last counts, of equals the one with the higher revision, and whatever
is left decides in a fixed way. So the same rows give the same window in any order, repeated and in any portions.
"""

from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.schemas import READINGS

_KEY = list(READINGS.key)
# Behind the first two are those that hardly ever decide; of the first, a station that is known goes before none.
_ORDER = ["changed_at", "revision", "first_seen_at", "station_id", "value", "raw_value", "previous_value"]
_NEW = "_new"


class Counts(NamedTuple):
    """The effect of published rows on one window.

    Attributes:
        added: rows with a new key.
        revised: rows that replaced an older state.
        unchanged: rows that are stored already, or are older than what is.
    """

    added: int
    revised: int
    unchanged: int


def newest(rows: pa.Table) -> pa.Table:
    """Return the row of each key that counts, sorted by key; schema `READINGS`, perhaps with more columns."""
    order = [(name, "ascending", "at_start") for name in (*_KEY, *_ORDER, _NEW) if name in rows.column_names]
    rows = rows.take(pc.sort_indices(rows, sort_keys=order))
    if len(rows) < 2:
        return rows
    last = None
    for name in _KEY:
        column = rows[name].combine_chunks()
        differs = pc.not_equal(column[1:], column[:-1])
        last = differs if last is None else pc.or_(last, differs)
    return rows.filter(pa.concat_arrays([last, pa.array([True])]))


def united(stored: pa.Table | None, new: pa.Table) -> tuple[pa.Table, Counts]:
    """Return one window after rows of another lake, and what these changed; no row is ever removed.

    Args:
        stored: the window; None where it does not exist.
        new: rows of the same window; schema `READINGS`.
    """
    stored = READINGS.schema.empty_table() if stored is None else stored
    # Of two equal rows the stored one counts: nothing is new then.
    both = [
        rows.append_column(_NEW, pa.repeat(pa.scalar(value, pa.int8()), len(rows)))
        for rows, value in ((new, 0), (stored, 1))
    ]
    found = newest(pa.concat_tables(both))
    changed = pc.sum(pc.equal(found[_NEW], 0)).as_py() or 0
    added = len(found) - len(stored)
    return found.drop_columns(_NEW).combine_chunks(), Counts(added, changed - added, len(new) - changed)
