"""Readings by window, in order: of each window one block of rows, by measure and then by time, each key once.

All that is judged of a day (how far it is complete, whether an answer can be all) and all that is stored of it needs
this order. So it is made once, while an answer arrives (`Gatherer`), and found again afterwards (`by_window`). What is
done window by window needs the memory of the rows and of one window, however large the network.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
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

# So many texts await a common code at least: each time, all that are known are looked up again.
_LOT = 1 << 16

# With fewer rows a window, chunks cost more than they save.
_FEW = 1000

# Rows that there is room for at first.
_ROOM = 2048


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
        for hour, at in _hours(time):
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


def _hours(time: Ints) -> Iterator[tuple[int, Ints | None]]:
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


class _Columns:
    """Rows of one window as they came, in arrays with room for more.

    One large array a column and window can be given back to the system when the window is done with; the holes that a
    thousand small ones leave cannot.
    """

    def __init__(self) -> None:
        self.size = 0
        self.measure = np.empty(_ROOM, np.int32)
        self.offset = np.empty(_ROOM, np.int32)  # ms into the hour
        self.value = np.empty(_ROOM, np.float64)  # NaN where there is none
        # Rows with a raw value, and those values: hardly any row has one.
        self.raws: list[tuple[Ints, pa.Array]] = []

    def add(self, measure: Codes, offset: Codes, value: Floats) -> slice:
        """Add rows; where they stand."""
        here = slice(self.size, self.size + len(measure))
        if here.stop > len(self.measure):
            room = max(here.stop, 2 * len(self.measure))
            self.measure, self.offset, self.value = (
                np.concatenate([column[: self.size], np.empty(room - self.size, column.dtype)])
                for column in (self.measure, self.offset, self.value)
            )
        self.measure[here], self.offset[here], self.value[here] = measure, offset, value
        self.size = here.stop
        return here

    def taken(self) -> tuple[Codes, Codes, Floats, Ints | None, pa.Array]:
        """The rows; and if any has a raw value, which of the texts that come last each has, -1 for none."""
        raw, texts = None, pa.array([], pa.string())
        if self.raws:
            texts = pa.concat_arrays([texts for _, texts in self.raws])
            raw = np.full(self.size, -1)
            raw[np.concatenate([at for at, _ in self.raws])] = np.arange(len(texts))
        return self.measure[: self.size], self.offset[: self.size], self.value[: self.size], raw, texts


class Gatherer:
    """Brings readings in order while they arrive, some 16 bytes each.

    Attributes:
        rows: how many it holds.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._hours: dict[int, _Columns] = defaultdict(_Columns)
        self._ids = pa.array([], pa.string())
        # Rows whose codes are into other dictionaries, and have to become codes into `_ids`.
        self._waiting: list[tuple[pa.Array, list[tuple[int, slice]]]] = []
        self._texts = 0

    @property
    def measures(self) -> int:
        """How many different measures there are at most."""
        return len(self._ids) + self._texts

    def add(self, rows: pa.Table) -> None:
        """Add rows: measure_id (dictionary), date_time, value, raw_value, and perhaps others."""
        for batch in rows.to_batches():
            coded, raws = batch.column("measure_id"), batch.column("raw_value")
            measure = coded.indices.to_numpy()
            time = batch.column("date_time").cast(pa.int64()).to_numpy()
            value = pc.fill_null(batch.column("value"), np.nan).to_numpy()
            offset = (time % HOUR_MS).astype(np.int32)
            has_raw = raws.is_valid().to_numpy(zero_copy_only=False) if raws.null_count < len(raws) else None
            places = []
            for hour, at in _hours(time):
                of_hour = np.arange(len(time)) if at is None else at
                columns = self._hours[hour]
                here = columns.add(measure[of_hour], offset[of_hour], value[of_hour])
                places.append((hour, here))
                if has_raw is not None and len(some := np.flatnonzero(has_raw[of_hour])):
                    columns.raws.append((here.start + some, raws.take(pa.array(of_hour[some]))))
            self._waiting.append((coded.dictionary, places))
            self._texts += len(coded.dictionary)
            self.rows += len(time)
            if self._texts > max(_LOT, len(self._ids)):
                self._unify()

    def _unify(self) -> None:
        """Give all rows codes into one array of texts."""
        texts = pa.concat_arrays([self._ids, *(texts.cast(pa.string()) for texts, _ in self._waiting)])
        at = len(self._ids)
        self._ids = pc.unique(texts)
        code = pc.index_in(texts, value_set=self._ids).to_numpy()
        for dictionary, places in self._waiting:
            to = code[at : at + len(dictionary)]
            for hour, here in places:
                measure = self._hours[hour].measure
                measure[here] = to[measure[here]]
            at += len(dictionary)
        self._waiting, self._texts = [], 0

    def take(self, schema: pa.Schema, seen_at: datetime) -> pa.Table:
        """All rows in order, each key once, the last that came; nothing is left here.

        Args:
            schema: `ea.parse.FETCHED`.
            seen_at: the `observed_at` of all rows.

        Returns:
            One chunk a window, oldest first, with one sorted dictionary of measures; few rows are one chunk in all.
        """
        self._unify()
        ids, rank = ranks(self._ids)
        longest = max((columns.size for columns in self._hours.values()), default=0)
        # The same for all windows, of which each shows as much as it needs.
        nothing = pa.nulls(longest, pa.string())
        seen = pa.repeat(pa.scalar(seen_at, TIME), longest)
        batches = []
        for hour in sorted(self._hours):
            measure, offset, value, raw, texts = self._hours.pop(hour).taken()
            measure = measure.copy() if rank is None else rank[measure]
            order = order_of(keys(measure, offset.astype(np.int64)))
            if order is None:
                value = value.copy()
            else:
                measure, offset, value = measure[order], offset[order], value[order]
                raw = raw if raw is None else raw[order]
            columns = {
                "measure_id": pa.DictionaryArray.from_arrays(pa.array(measure), ids),
                "date_time": pa.array(hour * HOUR_MS + offset.astype(np.int64)).view(TIME),
                "value": pa.array(value, from_pandas=True) if np.isnan(value).any() else pa.array(value),
                "raw_value": nothing[: len(measure)] if raw is None else texts.take(pa.array(raw, mask=raw < 0)),
                "observed_at": seen[: len(measure)],
            }
            batches.append(pa.record_batch([columns[name] for name in schema.names], schema=schema))
        found = pa.Table.from_batches(batches, schema=schema)
        self.rows, self._ids = 0, pa.array([], pa.string())
        # Hundreds of gauges that are asked one by one would make ten thousand chunks of four rows.
        return found.combine_chunks() if len(found) < _FEW * len(batches) else found
