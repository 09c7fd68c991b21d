"""Readings by window, in order: of each window one block of rows, by measure and then by time, each key once.

All that is judged of a day (how far it is complete, whether an answer can be all) and all that is stored of it needs
this order. So it is made once, while an answer arrives (`Gatherer`), and found again afterwards (`by_window`). What is
done window by window needs the memory of the rows and of one window, however large the network.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

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


@dataclass(frozen=True)
class Window:
    """The rows of one window, each key once.

    Attributes:
        start: ms since 1970.
        measure: code of each row into the ids of its `Windowed`, ascending.
        time: ms since 1970, ascending within a measure.
        table: where the rows are from.
        at: which of its rows they are: from-to, or the number of each.
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

    def __getitem__(self, part: slice) -> "Window":
        return Window(self.start, self.measure[part], self.time[part], self.table, self.at[part])

    def where(self, kept: Flags) -> "Window":
        """Some of the rows."""
        if kept.all():
            return self
        at = np.arange(self.at.start, self.at.stop) if isinstance(self.at, range) else self.at
        return Window(self.start, self.measure[kept], self.time[kept], self.table, at[kept])


@dataclass(frozen=True)
class Windowed:
    """Readings by window.

    Attributes:
        ids: distinct measure ids, sorted; may hold some that no row has.
        windows: those with rows, oldest first.
        repeated: rows whose key came again later, left out.
    """

    ids: pa.Array
    windows: Sequence[Window]
    repeated: int = 0

    @classmethod
    def of_nothing(cls) -> "Windowed":
        """No readings of no measures."""
        return cls(pa.array([], pa.string()), [])

    def __len__(self) -> int:
        return sum(len(window) for window in self.windows)

    def between(self, after: int, until: int) -> "Windowed":
        """The rows with after < time <= until, ms."""
        kept = []
        for window in self.windows:
            if after < window.start and window.start + HOUR_MS <= until:
                kept.append(window)
            elif window.start + HOUR_MS > after and window.start <= until:
                some = window.where((window.time > after) & (window.time <= until))
                kept += [some] if len(some) else []
        return Windowed(self.ids, kept)

    def spans(self) -> tuple[Ints, Ints, Ints]:
        """For each of the ids how many rows it has, and the first and the last time, ms; 0 without any."""
        count, first, last = (np.zeros(len(self.ids), np.int64) for _ in range(3))
        # Of several values for one place numpy keeps the last, and windows and their rows are in order of time.
        for window in self.windows:
            count += np.bincount(window.measure, minlength=len(count))
            last[window.measure] = window.time
        for window in reversed(self.windows):
            first[window.measure[::-1]] = window.time[::-1]
        return count, first, last

    def blocks(self, rows: int) -> Iterator["Windowed"]:
        """The same in blocks of measures, of which each has about so many rows."""
        count = np.zeros(len(self.ids), np.int64)
        for window in self.windows:
            count += np.bincount(window.measure, minlength=len(count))
        edges = np.flatnonzero(np.diff(np.cumsum(count) // rows)) + 1
        for codes in pairwise([0, *edges.tolist(), len(count)]):
            parts = (window[slice(*np.searchsorted(window.measure, codes).tolist())] for window in self.windows)
            yield Windowed(self.ids, [part for part in parts if len(part)])


def by_window(rows: pa.Table) -> Windowed:
    """The rows of a table by window; of several with one key, the last in the table counts.

    What is in order already, as a `Gatherer` leaves it, is only looked at.

    Args:
        rows: measure_id (dictionary or string) and date_time without nulls, and perhaps others.
    """
    if not len(rows):
        return Windowed.of_nothing()
    rows = _coded(rows)
    batches = rows.select(["measure_id", "date_time"]).to_batches()
    ids, codes = _common([batch.column(0).dictionary for batch in batches])
    pieces: dict[int, list[tuple[Codes, Ints, range | Ints]]] = defaultdict(list)
    offset = 0
    for batch, code in zip(batches, codes, strict=True):
        measure = batch.column(0).indices.cast(pa.int32()).to_numpy()
        measure = measure if code is None else code[measure]
        time = batch.column(1).cast(pa.int64()).to_numpy()
        for hour, at in hours_of(time):
            place = range(offset, offset + len(time)) if at is None else offset + at
            some = slice(None) if at is None else at
            pieces[hour].append((measure[some], time[some], place))
        offset += len(time)
    windows = [_in_order(hour * HOUR_MS, pieces[hour], rows) for hour in sorted(pieces)]
    return Windowed(ids, windows, len(rows) - sum(len(window) for window in windows))


def _coded(rows: pa.Table) -> pa.Table:
    """The rows with the measures as codes, and times in milliseconds."""
    ids = rows["measure_id"]
    if not pa.types.is_dictionary(ids.type):
        ids = ids.cast(pa.string()).dictionary_encode()
    columns = {"measure_id": ids, "date_time": rows["date_time"].cast(TIME)}
    return pa.table([columns.get(name, rows[name]) for name in rows.column_names], names=rows.column_names)


def _common(dictionaries: Sequence[pa.Array]) -> tuple[pa.Array, list[Codes | None]]:
    """The distinct texts of dictionaries in order, and for each of them the codes of its texts, as by `ranks`."""
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


def hours_of(time: Ints) -> Iterator[tuple[int, Ints | None]]:
    """The hours that times fall into, and where the times of each are; None where all are of one."""
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
    starts = np.flatnonzero(np.diff(hour, prepend=first - 1))
    yield from zip(hour[starts].tolist(), np.split(order, starts[1:]), strict=True)


def _in_order(start: int, pieces: Sequence[tuple[Codes, Ints, range | Ints]], table: pa.Table) -> Window:
    if len(pieces) == 1:
        measure, time, at = pieces[0]
    else:
        measure, time, at = (np.concatenate(column) for column in zip(*pieces, strict=True))
    order = order_of(keys(measure, time))
    if order is None:
        return Window(start, measure, time, table, at)
    return Window(start, measure[order], time[order], table, np.asarray(at, np.int64)[order])


def order_of(key: Ints) -> Ints | None:
    """The order that sorts keys, with each once, the last of several; None when they are in it already."""
    if np.all(key[1:] > key[:-1]):
        return None
    order: Ints = np.argsort(key)
    if np.all(np.diff(key[order])):
        return order
    order = np.argsort(key, kind="stable")
    key = key[order]
    return order[np.append(key[1:] != key[:-1], [True])]


def keys(measure: Codes, time: Ints) -> Ints:
    """One number for each row of a window: by measure, and then by time."""
    return measure.astype(np.int64) * HOUR_MS + time % HOUR_MS


def ranks(texts: pa.Array) -> tuple[pa.Array, Codes | None]:
    """The distinct texts in order, and the code in them of each text; None where they are in order already."""
    if ascend(texts):
        return texts, None
    ordered = pc.unique(texts)
    ordered = ordered.take(pc.sort_indices(ordered))
    return ordered, pc.index_in(texts, value_set=ordered).to_numpy(zero_copy_only=False)


def ascend(texts: pa.Array) -> bool:
    """Whether texts are in order, each once."""
    return len(texts) < 2 or bool(pc.all(pc.less(texts[:-1], texts[1:])).as_py())
