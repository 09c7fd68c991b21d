"""Group readings by window, by measure and by time: numpy columns, and no loop over rows.

First come orders and statistics of many small groups; then `Windowed`, the rows of each window; then `Blocks`, the
rows of each measure over all windows. Text is coded: ids are sorted, and a row has the place of its id among them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flood_assets.schemas import TIME

HOUR_MS = 3_600_000

Ints = NDArray[np.int64]
Codes = NDArray[np.int32]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Columns = Mapping[str, NDArray[Any]]

# Rows of a block, a measure counting as one more. Columns of so many stay in the processor's cache: a national day is
# judged in two thirds of the time that it needs at once.
BLOCK_ROWS = 100_000


class Packing(NamedTuple):
    """A rule that packs a group and a value into one int64, sorted by group and then by value.

    One number sorts ten times quicker than two columns.

    Attributes:
        least: the smallest value.
        span: number of values from it to the largest. A million groups leave room for a century of milliseconds.
    """

    least: int
    span: int

    @classmethod
    def of(cls, *values: Ints) -> "Packing":
        """Return the narrowest packing for all of these values."""
        least = min((int(each.min()) for each in values if len(each)), default=0)
        return cls(least, max((int(each.max()) for each in values if len(each)), default=least) - least + 1)

    def pack(self, group: Ints, value: Ints) -> Ints:
        """Return one number for each row."""
        # Not shifted: numpy sorts these denser numbers in half the time.
        packed = group * self.span
        packed += value
        packed -= self.least
        return packed

    def unpack(self, packed: Ints) -> tuple[Ints, Ints]:
        """Return the groups and the values of packed numbers."""
        group = packed // self.span
        value = group * -self.span
        value += packed
        value += self.least
        return group, value


def ordered(group: Ints, value: Ints) -> tuple[Ints, Ints]:
    """Sort both columns by group and, inside a group, by value; groups are not negative."""
    packing = Packing.of(value)
    if (int(group.max(initial=0)) + 1) * packing.span + abs(packing.least) >= 2**63:
        order = np.lexsort((value, group))
        return group[order], value[order]
    packed = packing.pack(group, value)
    if (packed[1:] >= packed[:-1]).all():
        return group, value
    packed.sort()
    return packing.unpack(packed)


def begins(*columns: NDArray[Any]) -> Flags:
    """Flag the first row and each row that differs from the one before in any of the columns."""
    found = np.zeros(len(columns[0]), np.bool_)
    found[:1] = True
    for column in columns:
        found[1:] |= column[1:] != column[:-1]
    return found


def count_rows(codes: Iterable[NDArray[Any]], groups: int) -> Ints:
    """Count the rows of each group over all of these columns of group numbers."""
    return sum((np.bincount(each, minlength=groups) for each in codes), np.zeros(groups, np.int64))


def runs(count: Ints, most: int) -> list[tuple[int, int]]:
    """Cut groups into runs of about `most` rows; of each run the first group and the one after the last.

    Args:
        count: rows of each group.
        most: a run has fewer rows, those of its first group not counted.
    """
    edges = np.flatnonzero(np.diff(np.cumsum(count) // most)) + 1
    return list(pairwise([0, *edges.tolist(), len(count)])) if len(count) else []


def mode(group: Ints, value: Ints, groups: int) -> tuple[Ints, Ints, Ints]:
    """Return the most frequent value of each group, how often it occurs, and the size of the group.

    Args:
        group: the group of each value, 0 to `groups` - 1.
        value: whole numbers, in any order. Of equally frequent ones the smallest counts.
        groups: how many groups there are; an empty one has mode 0.
    """
    found, often = np.zeros(groups, np.int64), np.zeros(groups, np.int64)
    size = np.bincount(group, minlength=groups)
    group, value = ordered(group, value)
    start = np.flatnonzero(begins(group, value))
    count = np.diff(np.append(start, len(group)))
    best = np.lexsort((-count, group[start]))
    best = best[begins(group[start[best]])]
    found[group[start[best]]] = value[start[best]]
    often[group[start[best]]] = count[best]
    return found, often, size


def quantile(group: Ints, value: Ints, groups: int, share: float) -> Floats:
    """Return the smallest value of each group that at least `share` of its values do not exceed; NaN if it is empty."""
    found = np.full(groups, np.nan)
    group, value = ordered(group, value)
    start = np.flatnonzero(begins(group))
    size = np.diff(np.append(start, len(group)))
    found[group[start]] = value[start + np.maximum(np.ceil(share * size).astype(np.int64) - 1, 0)]
    return found


def keys(measure: Codes, time: Ints) -> Ints:
    """Return one number for each row of a window, sorted by measure and then by time."""
    return measure.astype(np.int64) * HOUR_MS + time % HOUR_MS


def order_of(key: Ints) -> Ints | None:
    """Return the order that sorts keys, each once, the last of equal ones; None if they are sorted already."""
    if np.all(key[1:] > key[:-1]):
        return None
    order: Ints = np.argsort(key)
    if np.all(np.diff(key[order])):
        return order
    order = np.argsort(key, kind="stable")
    key = key[order]
    return order[np.append(key[1:] != key[:-1], [True])]


def hours_of(time: Ints) -> Iterator[tuple[int, Ints | None]]:
    """Yield each hour since 1970 that times (ms) fall into, and their places; None for places if it is the only one."""
    if not len(time):
        return
    hour = time // HOUR_MS
    first, last = int(hour.min()), int(hour.max())
    if first == last:
        yield first, None
        return
    # Numpy sorts small numbers by counting them.
    small = (hour - first).astype(np.uint16) if last - first < 1 << 16 else hour
    order = np.argsort(small, kind="stable")
    hour = hour[order]
    starts = np.flatnonzero(begins(hour))
    yield from zip(hour[starts].tolist(), np.split(order, starts[1:]), strict=True)


def ascend(texts: pa.Array) -> bool:
    """Return True if texts are sorted and distinct."""
    return len(texts) < 2 or bool(pc.all(pc.less(texts[:-1], texts[1:])).as_py())


def ranks(texts: pa.Array) -> tuple[pa.Array, Codes | None]:
    """Return the distinct texts, sorted, and the code in them of each text; None if they are sorted already."""
    if ascend(texts):
        return texts, None
    distinct = pc.unique(texts)
    distinct = distinct.take(pc.sort_indices(distinct))
    return distinct, pc.index_in(texts, value_set=distinct).to_numpy(zero_copy_only=False)


def _common(dictionaries: Sequence[pa.Array]) -> tuple[pa.Array, list[Codes | None]]:
    """Return the distinct texts of dictionaries, sorted, and for each dictionary its codes, as `ranks` does."""
    different: list[pa.Array] = []
    number = []
    for dictionary in dictionaries:
        if not different or not dictionary.equals(different[-1]):
            different.append(dictionary)
        number.append(len(different) - 1)
    texts = pa.concat_arrays([dictionary.cast(pa.string()) for dictionary in different])
    ids, code = ranks(texts)
    if code is None and len(different) == 1:
        return ids, [None] * len(dictionaries)
    code = np.arange(len(texts), dtype=np.int32) if code is None else code
    of_each = np.split(code, np.cumsum([len(dictionary) for dictionary in different])[:-1])
    return ids, [of_each[n] for n in number]


def _recoded(measure: pa.DictionaryArray, code: Codes | None) -> Codes:
    """Return the codes of a column's rows, given those of its dictionary by `_common`."""
    own: Codes = measure.indices.cast(pa.int32()).to_numpy()
    return own if code is None else code[own]


class Piece(NamedTuple):
    """A window's rows as Arrow gives them: measures as a dictionary of ids, and numeric columns of the same length."""

    measure: pa.DictionaryArray
    columns: Columns

    @classmethod
    def of(cls, ids: pa.ChunkedArray, columns: Columns) -> "Piece":
        """Return a piece from ids that are text or dictionaries of it, perhaps one for each row group."""
        coded = ids if pa.types.is_dictionary(ids.type) else ids.dictionary_encode()
        return cls(coded.combine_chunks(), columns)


class CodedPiece(NamedTuple):
    """A window's rows with measures as codes, ascending."""

    codes: Codes
    columns: Columns


class MeasureBlock(NamedTuple):
    """Some measures and all of their rows.

    Attributes:
        first: the first of the measures.
        last: the one after the last.
        measure: code of each row's measure, counted from `first`; ascending.
        columns: of each row; a measure's rows are in the order of the pieces, and in that of each piece's rows.
    """

    first: int
    last: int
    measure: Ints
    columns: Columns


@dataclass(frozen=True)
class Blocks:
    """Rows of several windows as numbers, read block by block: each block has all rows of some measures.

    Judging a gauge needs its whole day, which lies in 25 windows. A national day is five blocks, a network a hundred
    times larger some hundreds, so memory stays bounded.

    Attributes:
        measures: ids, sorted.
        pieces: the windows, in the order in which a measure's rows are wanted; all with the same columns.
    """

    measures: pa.Array
    pieces: Sequence[CodedPiece]

    @classmethod
    def of(cls, pieces: Sequence[Piece], known: pa.Array | None = None) -> "Blocks":
        """Code the measures of all pieces alike.

        Args:
            pieces: as the attribute.
            known: ids to have among the measures even without rows.
        """
        known = pa.array([], pa.string()) if known is None else known
        ids, (own, *codes) = _common([known, *(piece.measure.dictionary for piece in pieces)])
        coded = [_recoded(piece.measure, code) for piece, code in zip(pieces, codes, strict=True)]
        # A dictionary may name measures whose last row was cut off.
        stays = count_rows(coded, len(ids)) > 0
        stays[slice(None) if own is None else own] = True
        if not stays.all():
            rank = np.cumsum(stays, dtype=np.int32) - 1
            ids, coded = ids.filter(pa.array(stays)), [rank[each] for each in coded]
        return cls(ids, [_sorted(code, piece.columns) for code, piece in zip(coded, pieces, strict=True)])

    def each(self, most: int = BLOCK_ROWS) -> Iterator[MeasureBlock]:
        """Yield all measures in blocks of fewer than `most` rows, the rows of a block's first measure not counted."""
        for first, last in runs(count_rows((piece.codes for piece in self.pieces), len(self.measures)) + 1, most):
            yield self.block(first, last)

    def block(self, first: int, last: int) -> MeasureBlock:
        """Return the measures from `first` to before `last`."""
        # Of another type, each window's codes would be copied for each block.
        edges = np.array([first, last], np.int32)
        spans = [slice(*np.searchsorted(piece.codes, edges).tolist()) for piece in self.pieces]
        parts = list(zip(self.pieces, spans, strict=True))
        measure = np.concatenate([np.zeros(0, np.int64), *(piece.codes[span] for piece, span in parts)])
        order = np.argsort(measure, kind="stable")
        columns = {
            name: np.concatenate([piece.columns[name][span] for piece, span in parts])[order]
            for name in (self.pieces[0].columns if parts else ())
        }
        return MeasureBlock(first, last, measure[order] - first, columns)


def _sorted(codes: Codes, columns: Columns) -> CodedPiece:
    """Sort rows by measure; windows are sorted, except damaged ones."""
    if not (np.diff(codes) < 0).any():
        return CodedPiece(codes, columns)
    order = np.argsort(codes, kind="stable")
    return CodedPiece(codes[order], {name: column[order] for name, column in columns.items()})


@dataclass(frozen=True)
class WindowRows:
    """Rows of one window, sorted by measure and time, each key once.

    Attributes:
        start: ms since 1970.
        measure: code of each row into the ids of its `Windowed`, ascending.
        time: ms since 1970, ascending within a measure.
        table: the table that the rows are in.
        at: their places in it: a range, or the number of each.
    """

    start: int
    measure: Codes
    time: Ints
    table: pa.Table
    at: range | Ints

    def __len__(self) -> int:
        return len(self.time)

    @property
    def rows(self) -> pa.Table:
        """The same rows with all columns."""
        if isinstance(self.at, range):
            return self.table.slice(self.at.start, len(self.at))
        return self.table.take(pa.array(self.at))

    def where(self, kept: Flags) -> "WindowRows":
        """Return the flagged rows."""
        if kept.all():
            return self
        at = np.arange(self.at.start, self.at.stop) if isinstance(self.at, range) else self.at
        return WindowRows(self.start, self.measure[kept], self.time[kept], self.table, at[kept])


@dataclass(frozen=True)
class Windowed:
    """Readings by window.

    Attributes:
        ids: distinct measure ids, sorted; may hold some that no row has.
        windows: those with rows, oldest first.
        repeated: rows left out because their key came again later.
    """

    ids: pa.Array
    windows: Sequence[WindowRows]
    repeated: int = 0

    def __len__(self) -> int:
        return sum(len(window) for window in self.windows)

    def between(self, after: int, until: int) -> "Windowed":
        """Return the rows with after < time <= until, ms."""
        kept = []
        for window in self.windows:
            if after < window.start and window.start + HOUR_MS <= until:
                kept.append(window)
            elif window.start + HOUR_MS > after and window.start <= until:
                some = window.where((window.time > after) & (window.time <= until))
                kept += [some] if len(some) else []
        return Windowed(self.ids, kept)

    def spans(self) -> tuple[Ints, Ints, Ints]:
        """Return for each of the ids its number of rows and its first and last time, ms; 0 without rows."""
        first, last = np.zeros(len(self.ids), np.int64), np.zeros(len(self.ids), np.int64)
        # Numpy keeps the last of several values for one place; windows and their rows are in order of time.
        for window in self.windows:
            last[window.measure] = window.time
        for window in reversed(self.windows):
            first[window.measure[::-1]] = window.time[::-1]
        return count_rows((window.measure for window in self.windows), len(self.ids)), first, last

    def by_measure(self) -> Blocks:
        """Return the rows as blocks of measures with one column, `at`: ms since 1970, ascending within a measure."""
        return Blocks(self.ids, [CodedPiece(window.measure, {"at": window.time}) for window in self.windows])


def by_window(rows: pa.Table) -> Windowed:
    """Group the rows of a table by window; the last row of those with one key counts.

    Rows that are in order already, as `ea.gather` leaves them, are not copied.

    Args:
        rows: measure_id (dictionary or string) and date_time without nulls, and perhaps others.
    """
    if not len(rows):
        return Windowed(pa.array([], pa.string()), [])
    rows = _coded(rows)
    batches = rows.select(["measure_id", "date_time"]).to_batches()
    ids, codes = _common([batch.column(0).dictionary for batch in batches])
    pieces: dict[int, list[tuple[Codes, Ints, range | Ints]]] = defaultdict(list)
    offset = 0
    for batch, code in zip(batches, codes, strict=True):
        measure, time = _recoded(batch.column(0), code), batch.column(1).cast(pa.int64()).to_numpy()
        for hour, at in hours_of(time):
            place = range(offset, offset + len(time)) if at is None else offset + at
            some = slice(None) if at is None else at
            pieces[hour].append((measure[some], time[some], place))
        offset += len(time)
    windows = [_in_order(hour * HOUR_MS, pieces[hour], rows) for hour in sorted(pieces)]
    return Windowed(ids, windows, len(rows) - sum(len(window) for window in windows))


def _coded(rows: pa.Table) -> pa.Table:
    """Return the rows with measures as codes and times in milliseconds."""
    ids = rows["measure_id"]
    if not pa.types.is_dictionary(ids.type):
        ids = ids.cast(pa.string()).dictionary_encode()
    columns = {"measure_id": ids, "date_time": rows["date_time"].cast(TIME)}
    return pa.table([columns.get(name, rows[name]) for name in rows.column_names], names=rows.column_names)


def _in_order(start: int, pieces: Sequence[tuple[Codes, Ints, range | Ints]], table: pa.Table) -> WindowRows:
    """Join the pieces (measure, time, place) of a window and sort them by key, each key once."""
    if len(pieces) == 1:
        measure, time, at = pieces[0]
    else:
        measure, time, at = (np.concatenate(column) for column in zip(*pieces, strict=True))
    order = order_of(keys(measure, time))
    if order is None:
        return WindowRows(start, measure, time, table, at)
    return WindowRows(start, measure[order], time[order], table, np.asarray(at, np.int64)[order])
