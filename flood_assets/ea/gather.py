"""Gather the blocks of an answer while it arrives, in order: by window, then by measure and time, each key once.

Completeness checks, watermarks and storage all need this order, so it is made once; `grouping.by_window` finds it again
without sorting.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.ea.parse import FETCHED, Parsed
from flood_assets.grouping import HOUR_MS, Codes, Floats, Ints, hours_of, keys, order_of
from flood_assets.schemas import REJECTS, TIME

# The fewest texts that wait for a common code: each time, all known ones are looked up again.
_LOT = 1 << 16
# With fewer rows a window, chunks cost more than they save.
_FEW = 1000
# Rows that there is room for at first.
_ROOM = 2048
# More readings of each measure than a day has, in an answer of some size: rows are repeated, and what came before is
# searched for them.
COMPACT_ROWS = 1_000_000
COMPACT_ROWS_A_MEASURE = 300
# Rows that are compared to tell a page from the one before.
HEAD_ROWS = 20


class Gatherer:
    """Collect the rows of an answer, some 16 bytes each; an answer that repeats itself takes no more memory.

    Attributes:
        observed_at: when the API was asked.
        rows: readings held at present.
        lines: lines of the answer, rejected ones included.
        values: the same, each of several values of one line counted, as the API's limit does.
        head: the first readings as they came, schema `parse.FETCHED`.
    """

    def __init__(self, observed_at: datetime) -> None:
        self.observed_at = observed_at
        self.rows = self.lines = self.values = 0
        self.head = FETCHED.empty_table()
        self._hours: dict[int, _Columns] = defaultdict(_Columns)
        self._rejects = [REJECTS.schema.empty_table()]
        self._ids = pa.array([], pa.string())
        # Rows whose codes point into other dictionaries, and have to become codes into `_ids`.
        self._waiting: list[tuple[pa.Array, list[tuple[int, slice]]]] = []
        self._texts = 0
        self._compact_at = COMPACT_ROWS

    def add(self, part: Parsed) -> None:
        """Add readings and rejects."""
        count = len(part.rows) + len(part.rejects)
        self.lines += count
        self.values += count + (pc.sum(pc.count_substring(part.rows["raw_value"].drop_null(), "|")).as_py() or 0)
        self.head = self.head if len(self.head) else part.rows.slice(0, HEAD_ROWS)
        self._keep(part)
        # Not all of the measures are known to be different.
        if self.rows >= max(self._compact_at, COMPACT_ROWS_A_MEASURE * (len(self._ids) + self._texts)):
            rows, rejects = self.take()
            names = rejects.column_names
            distinct = rejects.group_by(names, use_threads=False).aggregate([]).select(names).cast(rejects.schema)
            self._keep(Parsed(rows, distinct))
            self._compact_at = max(COMPACT_ROWS, 2 * self.rows)

    def _keep(self, part: Parsed) -> None:
        if len(part.rejects):
            self._rejects.append(part.rejects)
        for batch in part.rows.to_batches():
            coded, raws = batch.column("measure_id"), batch.column("raw_value")
            measure = coded.indices.to_numpy()
            time = batch.column("date_time").cast(pa.int64()).to_numpy()
            value = pc.fill_null(batch.column("value"), np.nan).to_numpy()
            offset = (time % HOUR_MS).astype(np.int32)
            has_raw = raws.is_valid().to_numpy(zero_copy_only=False) if raws.null_count < len(raws) else None
            places = []
            for hour, at in hours_of(time):
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
        coded = texts.dictionary_encode()
        self._ids, code = coded.dictionary, coded.indices.to_numpy()
        for dictionary, places in self._waiting:
            to = code[at : at + len(dictionary)]
            for hour, here in places:
                measure = self._hours[hour].measure
                measure[here] = to[measure[here]]
            at += len(dictionary)
        self._waiting, self._texts = [], 0

    def take(self) -> Parsed:
        """Return all rows in order, each key once, the last that came; the gatherer is empty afterwards.

        Returns:
            Readings in one chunk a window, oldest first, with one sorted dictionary of measures; few rows are one chunk
            in all. Rejects in the order of the answer.
        """
        self._unify()
        order = pc.sort_indices(self._ids)
        ids, rank = self._ids.take(order), np.empty(len(order), np.int32)
        rank[order.to_numpy()] = np.arange(len(order), dtype=np.int32)
        hours = sorted(self._hours)
        # Hundreds of gauges that are asked one by one would make ten thousand chunks of four rows.
        lots = [hours] if self.rows < _FEW * len(hours) else [[hour] for hour in hours]
        longest = max((sum(self._hours[hour].size for hour in lot) for lot in lots), default=0)
        # One array for all lots, each of which uses as much as it needs.
        nothing = pa.nulls(longest, pa.string())
        seen = pa.repeat(pa.scalar(self.observed_at, TIME), longest)
        batches = []
        for lot in lots:
            parts = [self._hours.pop(hour) for hour in lot]
            measure = rank[np.concatenate([part.measure[: part.size] for part in parts])]
            value = np.concatenate([part.value[: part.size] for part in parts])
            offset = np.concatenate([part.offset[: part.size] for part in parts]).astype(np.int64)
            size = np.array([part.size for part in parts], np.int64)
            number = np.repeat(np.arange(len(lot)), size)
            order = order_of(keys(number * len(ids) + measure, offset))
            time = np.array(lot)[number] * HOUR_MS + offset
            raw, texts = _raws(parts, np.cumsum(size) - size, len(measure))
            if order is not None:
                measure, time, value = measure[order], time[order], value[order]
                raw = raw if raw is None else raw[order]
            columns = {
                "measure_id": pa.DictionaryArray.from_arrays(pa.array(measure), ids),
                "date_time": pa.array(time).view(TIME),
                "value": pa.array(value, from_pandas=True) if np.isnan(value).any() else pa.array(value),
                "raw_value": nothing[: len(measure)] if raw is None else texts.take(pa.array(raw, mask=raw < 0)),
                "observed_at": seen[: len(measure)],
            }
            batches.append(pa.record_batch([columns[name] for name in FETCHED.names], schema=FETCHED))
        rejects, self._rejects = pa.concat_tables(self._rejects), self._rejects[:1]
        self.rows, self._ids = 0, pa.array([], pa.string())
        return Parsed(pa.Table.from_batches(batches, schema=FETCHED), rejects)


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
        # Places of rows with a raw value, and those values: hardly any row has one.
        self.raws: list[tuple[Ints, pa.Array]] = []

    def add(self, measure: Codes, offset: Codes, value: Floats) -> slice:
        """Add rows and return their places."""
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


def _raws(parts: Sequence[_Columns], starts: Ints, rows: int) -> tuple[Ints | None, pa.Array]:
    """Return the place of each row's raw value in an array, or -1, and that array; no places without raw values."""
    found = [(start + at, texts) for part, start in zip(parts, starts, strict=True) for at, texts in part.raws]
    if not found:
        return None, pa.array([], pa.string())
    raw = np.full(rows, -1)
    at = np.concatenate([at for at, _ in found])
    raw[at] = np.arange(len(at))
    return raw, pa.concat_arrays([texts for _, texts in found])
