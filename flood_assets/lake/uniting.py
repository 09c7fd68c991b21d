"""Unite rows of several lakes as one lake would give them. Pure.

A measure is in one shard, so its rows lie side by side: what is sorted are measures, not rows.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.grouping import Ints, ascend
from flood_assets.lake.parquet import DamagedWindowError
from flood_assets.lake.read import Content, StoredWindow
from flood_assets.lake.watermarks import Asked, Watermarks, united
from flood_assets.schemas import READINGS, WATERMARKS, Table


def stamp_of(table: Table) -> str:
    """Return the column that says which of two rows with one key is newer."""
    return "changed_at" if table is READINGS else table.time or "observed_at"


def unite(table: Table, pieces: Sequence[pa.Table]) -> pa.Table | None:
    """Return the rows of a window of several lakes, by key; None if some have one key and nothing says which is newer.

    Args:
        table: what they are rows of.
        pieces: of each lake, at least one, by key; all with the same columns, the key among them. Of rows with one key
            the newest is kept, by `stamp_of`, and of these the last: a station may be in several lakes.
    """
    filled = [each for each in pieces if len(each)]
    if len(filled) < 2:
        return (filled or list(pieces))[0]
    rows = pa.concat_tables(filled).unify_dictionaries().combine_chunks()
    begin = np.cumsum([0, *(len(each) for each in filled[:-1])])
    texts, starts = _runs(rows[table.key[0]].chunk(0), begin)
    if len(pc.unique(texts)) == len(texts):
        if ascend(texts):
            return rows
        order = pc.array_sort_indices(texts).to_numpy()
        return rows.take(pa.array(_ranges(starts, np.append(starts[1:], len(rows)), order)))
    by_key = [(name, "ascending") for name in table.key]
    order = pc.sort_indices(rows.select(list(table.key)).append_column("_at", [pa.array(np.arange(len(rows)))]),
                            sort_keys=[*by_key, ("_at", "ascending")])  # fmt: skip
    sorted_ = rows.take(order)
    again = np.ones(len(rows) - 1, np.bool_)
    for name in table.key:
        column = sorted_[name].combine_chunks()
        column = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
        again &= pc.equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    if not again.any():
        return sorted_
    stamp = stamp_of(table)
    if stamp not in rows.column_names:
        return None
    order = pc.sort_indices(
        sorted_.select([stamp]).append_column("_group", [pa.array(np.cumsum(np.append([True], ~again)))]),
        sort_keys=[("_group", "ascending"), (stamp, "ascending")],
    )
    return sorted_.take(order).filter(pa.array(np.append(~again, [True])))


def _runs(texts: pa.Array, begin: Ints) -> tuple[pa.Array, Ints]:
    """Return the text of each run of equal ones in a piece, and where it starts; pieces begin at `begin`."""
    if pa.types.is_dictionary(texts.type):
        codes = texts.indices.to_numpy()
        starts = np.union1d(np.flatnonzero(codes[1:] != codes[:-1]) + 1, begin)
        return texts.dictionary.cast(pa.string()).take(pa.array(codes[starts])), starts
    ends = pc.run_end_encode(texts).run_ends.to_numpy().astype(np.int64)
    starts = np.union1d(ends[:-1], begin)
    return texts.take(pa.array(starts)), starts


def _ranges(starts: Ints, ends: Ints, order: Ints) -> Ints:
    """Return the places of all rows, run by run in an order."""
    starts, counts = starts[order], (ends - starts)[order]
    offsets: Ints = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    return offsets


def unite_listings(listings: Iterable[Sequence[StoredWindow]]) -> list[StoredWindow]:
    """Return the windows of several lakes, oldest first; the e-tag of several objects changes with each of theirs."""
    by_window = dict[datetime, list[StoredWindow]]()
    for listing in listings:
        for each in listing:
            by_window.setdefault(each.window, []).append(each)
    return [_one_window(by_window[window]) for window in sorted(by_window)]


def _one_window(parts: Sequence[StoredWindow]) -> StoredWindow:
    e_tags = [each.e_tag for each in parts]
    both = None if None in e_tags else blake2b(repr(e_tags).encode(), digest_size=9).hexdigest()
    return StoredWindow(
        parts[0].window, parts[0].key, sum(each.size for each in parts), both, max(each.modified for each in parts)
    )


def unite_contents(
    parts: Sequence[Content | DamagedWindowError | None],
) -> Content | DamagedWindowError | None:
    """Return the content of a window of several lakes; its damage if any of them is damaged."""
    there = [each for each in parts if each is not None]
    damage = next((each for each in there if isinstance(each, DamagedWindowError)), None)
    if damage is not None or not there:
        return damage
    contents = [each for each in there if isinstance(each, Content)]
    return Content(
        rows=sum(each.rows for each in contents),
        size=sum(each.size for each in contents),
        oldest=min((each.oldest for each in contents if each.oldest is not None), default=None),
        newest=max((each.newest for each in contents if each.newest is not None), default=None),
        pushed=sum(each.pushed for each in contents),
    )


def unite_watermarks(parts: Sequence[Watermarks]) -> Watermarks | None:
    """Return the watermarks of several lakes, as of the one that was asked for longest ago; None for none.

    Requests after that count as not made. What is judged for each gauge by when it was asked for, such as completeness,
    is judged in each lake by itself.
    """
    if not parts:
        return None
    as_of, rows = min(each.as_of for each in parts), WATERMARKS.empty_table()
    for each in parts:
        rows = united(rows, each.rows)
    asked = unite_asked([each.asked for each in parts], as_of)
    return Watermarks(rows, as_of, asked, forgotten=any(each.forgotten for each in parts))


def unite_asked(parts: Sequence[Asked], as_of: datetime) -> Asked:
    """Return the requests that were made by a time in any of several lakes."""
    return Asked(
        polls=tuple(sorted({poll for each in parts for poll in each.polls if poll <= as_of})),
        read={window: at for each in parts for window, at in each.read.items() if at <= as_of},
        behind={measure: at for each in parts for measure, at in each.behind.items()},
    )
