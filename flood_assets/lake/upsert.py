"""Upsert fetched readings into a stored window. Pure and vectorised.

A window is worked on as numpy columns (`Block`): ids are codes into an array of distinct text, times are milliseconds,
and an absent number is NaN. One int64 orders the rows (`grouping.keys`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.grouping import Codes, Flags, Floats, Ints, WindowRows, ascend, by_window, keys, ranks
from flood_assets.partitions import cutoff, to_ms
from flood_assets.schemas import READINGS, TIME


@dataclass(frozen=True)
class Block:
    """A window of readings, sorted by measure and time, each key once.

    Attributes:
        measures: distinct ids, sorted; may hold some that no row has.
        measure: code into `measures` of each row.
        time: ms.
        stations: distinct ids.
        station: code into `stations`, -1 where it is not known.
        value: NaN where there is none.
        raws: distinct raw values.
        raw: code into `raws`, -1 where there is none.
        first_seen: ms, as all times.
        changed: as in `schemas.READINGS`.
        previous: NaN where there is none.
        revision: as in `schemas.READINGS`.
    """

    measures: pa.Array
    measure: Codes
    time: Ints
    stations: pa.Array
    station: Codes
    value: Floats
    raws: pa.Array
    raw: Codes
    first_seen: Ints
    changed: Ints
    previous: Floats
    revision: Codes

    @classmethod
    def of(cls, rows: pa.Table) -> "Block":
        """Make a block of a stored table.

        Raises:
            ValueError: its rows are not sorted, or a key is there twice: nothing can be upserted into it.
        """
        measures, measure = _codes(rows.column("measure_id"))
        time = _ms(rows.column("date_time"))
        # Codes are given in order of appearance.
        if not ascend(measures) or not np.all(np.diff(keys(measure, time)) > 0):
            raise ValueError("its rows are not sorted by their key, or a key is there twice")
        stations, station = _codes(rows.column("station_id"))
        raws, raw = _codes(rows.column("raw_value"))
        return cls(
            measures=measures,
            measure=measure,
            time=time,
            stations=stations,
            station=station,
            value=_floats(rows.column("value")),
            raws=raws,
            raw=raw,
            first_seen=_ms(rows.column("first_seen_at")),
            changed=_ms(rows.column("changed_at")),
            previous=_floats(rows.column("previous_value")),
            revision=_numpy(rows.column("revision")),
        )

    def table(self) -> pa.Table:
        """Return the rows as they are stored."""
        columns = {
            "measure_id": self.measures.take(pa.array(self.measure)),
            "date_time": _time(self.time),
            "station_id": _text(self.stations, self.station),
            "value": pa.array(self.value, from_pandas=True),
            "raw_value": _text(self.raws, self.raw),
            "first_seen_at": _time(self.first_seen),
            "changed_at": _time(self.changed),
            "previous_value": pa.array(self.previous, from_pandas=True),
            "revision": pa.array(self.revision),
        }
        return pa.Table.from_arrays([columns[name] for name in READINGS.schema.names], schema=READINGS.schema)


@dataclass(frozen=True)
class Fetch:
    """Fetched rows, split into windows.

    Attributes:
        windows: those with rows, oldest first.
        measures: distinct ids, sorted: of all rows, and of all measures whose station is known.
        stations: distinct ids.
        station_of: code into `stations` of each of `measures`, -1 where it is not known.
        asked: when the API was asked, ms, where the rows do not say it themselves.
        expired: rows older than a day, left out.
        future: rows later than now, left out.
        repeated: rows whose key came again later in the same fetch, left out.
    """

    windows: Sequence[WindowRows]
    measures: pa.Array
    stations: pa.Array
    station_of: Codes
    asked: int
    expired: int
    future: int
    repeated: int
    _code: Codes

    def block(self, window: WindowRows) -> Block:
        """Return one of the windows, ready to be upserted; called for one after the other, which halves the memory."""
        rows = window.rows
        measure = self._code[window.measure]
        raws, raw = _codes(rows.column("raw_value"))
        if "observed_at" in rows.column_names:
            seen = _ms(rows.column("observed_at"))
        else:
            seen = np.full(len(rows), self.asked, np.int64)
        return Block(
            measures=self.measures,
            measure=measure,
            time=window.time,
            stations=self.stations,
            station=self.station_of[measure],
            value=_floats(rows.column("value")),
            raws=raws,
            raw=raw,
            first_seen=seen,
            changed=seen,
            previous=np.full(len(seen), np.nan),
            revision=np.zeros(len(seen), np.int32),
        )


class Counts(NamedTuple):
    """The effect of an upsert on one window.

    Attributes:
        added: fetched rows with a new key.
        revised: fetched rows that replaced another value.
        unchanged: fetched rows whose value is stored already, or was replaced by a later one.
        filled: stored rows that were given their station.
    """

    added: int
    revised: int
    unchanged: int
    filled: int

    @property
    def news(self) -> bool:
        """Return whether the window has to be written."""
        return bool(self.added or self.revised or self.filled)


def split(rows: pa.Table, observed_at: datetime, now: datetime, stations: pa.Table | None = None) -> Fetch:
    """Split the retained rows of a fetch by window.

    Args:
        rows: measure_id (string, coded or not), date_time, value, raw_value, and perhaps observed_at.
        observed_at: when the API was asked; a row's own observed_at goes before it.
        now: decides what is retained.
        stations: the station of each measure: a table with measure_id and station_id such as a snapshot of `measures`.

    Raises:
        ValueError: a column is missing or unknown, or a key is null.
    """
    if odd := (set(rows.column_names) - {"observed_at"}) ^ {"measure_id", "date_time", "value", "raw_value"}:
        raise ValueError(f"readings to upsert: columns missing or unknown: {', '.join(sorted(odd))}")
    for name in READINGS.key:
        if rows.column(name).null_count:
            raise ValueError(f"readings to upsert: {name} is null in {rows.column(name).null_count} rows")

    found = by_window(rows)
    after, until = to_ms(cutoff(now)), to_ms(now)
    known_ids, known_stations = (
        pa.concat_arrays([pa.array([], pa.string())] if stations is None else stations[name].cast(pa.string()).chunks)
        for name in ("measure_id", "station_id")
    )
    measures, code = _with_all(known_ids, found.ids)
    of_measures = known_stations.take(pc.index_in(measures, value_set=known_ids))
    station_ids, station_of = _codes(pa.chunked_array([of_measures]))
    return Fetch(
        windows=found.between(after, until).windows,
        measures=measures,
        stations=station_ids,
        station_of=station_of,
        asked=to_ms(observed_at),
        expired=sum(int(np.count_nonzero(window.time <= after)) for window in found.windows),
        future=sum(int(np.count_nonzero(window.time > until)) for window in found.windows),
        repeated=found.repeated,
        _code=code,
    )


def _with_all(known: pa.Array, ids: pa.Array) -> tuple[pa.Array, Codes]:
    """Return the distinct texts of both in order, and the code in them of each of the ids.

    With every measure whose station is known, stored rows that the fetch does not mention can be given it.
    """
    if ascend(known):
        code = pc.index_in(ids, value_set=known)
        if not code.null_count:  # as usual: what reports is listed
            return known, code.to_numpy()
    texts = pa.concat_arrays([ids, known])
    measures, code = ranks(texts)
    return measures, (np.arange(len(ids), dtype=np.int32) if code is None else code[: len(ids)])


def repeats(stored: pa.Table, new: Block) -> bool:
    """Return whether a fetch holds exactly the stored rows, so that `upsert` would change nothing.

    This is true of nearly all of a day that is read again, and text is compared in a third of the time of coding it.
    """
    if len(stored) != len(new.time) or not np.array_equal(_ms(stored.column("date_time")), new.time):
        return False
    if not np.array_equal(_floats(stored.column("value")), new.value, equal_nan=True):
        return False
    unknown = _numpy(stored.column("station_id").is_null())
    if (new.station[unknown] >= 0).any():
        return False
    texts = {"measure_id": _text(new.measures, new.measure), "raw_value": _text(new.raws, new.raw)}
    return all(stored.column(name).equals(pa.chunked_array([text])) for name, text in texts.items())


def upsert(stored: Block | None, fresh: Block, station_of: Codes) -> tuple[Block, Counts]:
    """Return one window after a fetch, and what that changed.

    A new key is added. The same key with the same value changes nothing; with another value it is a revision, unless
    the API was asked for the stored value later than for this one. Rows without a station are given it when it is
    known. No row is ever removed.

    Args:
        stored: the window; None where it does not exist.
        fresh: fetched rows of the same window.
        station_of: code into the fresh `stations` of each of its `measures`, -1 where it is not known.
    """
    if stored is None:
        return fresh, Counts(len(fresh.time), 0, 0, 0)
    stored, fresh, of_new = _common(stored, fresh)
    old_key, new_key = keys(stored.measure, stored.time), keys(fresh.measure, fresh.time)
    if np.array_equal(old_key, new_key):  # a day that is read again and has not changed
        at, known = np.arange(len(old_key)), np.ones(len(new_key), np.bool_)
    else:
        at = np.searchsorted(old_key, new_key)
        at_or_last = np.minimum(at, len(old_key) - 1)
        known = old_key[at_or_last] == new_key if len(old_key) else np.zeros(len(new_key), np.bool_)
        at = at[known]

    revised = ~_same(stored, at, fresh, known) & (stored.changed[at] <= fresh.changed[known])
    added = ~known
    listed = np.zeros(len(stored.measures), np.bool_)
    listed[of_new] = station_of >= 0
    unknown = stored.station < 0
    fillable = listed[stored.measure[unknown]].any()
    if not added.any() and not revised.any() and not fillable:
        return stored, Counts(0, 0, len(known), 0)

    stations, old_station, new_station = _union(stored.stations, fresh.stations)
    stored = replace(stored, stations=stations, station=_recode(stored.station, old_station))
    fresh = replace(fresh, stations=stations, station=_recode(fresh.station, new_station))
    if revised.any():
        to, by = at[revised], np.flatnonzero(known)[revised]
        stored = replace(
            stored,
            value=_put(stored.value, to, fresh.value[by]),
            raw=_put(stored.raw, to, fresh.raw[by]),
            previous=_put(stored.previous, to, stored.value[to]),
            changed=_put(stored.changed, to, fresh.changed[by]),
            revision=_put(stored.revision, to, stored.revision[to] + 1),
        )

    station = stored.station
    if (station < 0).any():
        known_of = np.full(len(stored.measures), -1, np.int32)
        known_of[of_new] = _recode(station_of, new_station)
        station = np.where(station < 0, known_of[stored.measure], station)
    filled = int((station != stored.station).sum())
    stored = replace(stored, station=station)

    if added.any():
        # Two sorted runs: numpy's stable sort merges them in one pass.
        order = np.argsort(np.concatenate([old_key, new_key[added]]), kind="stable")
        stored = _joined(stored, fresh, added, order)
    count = int(revised.sum())
    return stored, Counts(int(added.sum()), count, int(known.sum()) - count, filled)


def _common(stored: Block, fresh: Block) -> tuple[Block, Block, Codes]:
    """Return both with the same measures and raw values, and the code that each measure of the fetch has now."""
    measures = fresh.measures
    of_new = np.arange(len(measures), dtype=np.int32)
    of_old = _numpy(pc.index_in(stored.measures, value_set=measures).fill_null(-1))
    if (of_old < 0).any():
        # Stored measures that are not in this fetch, and gone from the list.
        measures = pc.unique(pa.concat_arrays([measures, stored.measures]))
        measures = measures.take(pc.sort_indices(measures))
        of_new, of_old = (_numpy(pc.index_in(b.measures, value_set=measures)) for b in (fresh, stored))
    raws, old_raw, new_raw = _union(stored.raws, fresh.raws)
    stored = replace(
        stored, measures=measures, measure=of_old[stored.measure], raws=raws, raw=_recode(stored.raw, old_raw)
    )
    fresh = replace(fresh, measures=measures, measure=of_new[fresh.measure], raws=raws, raw=_recode(fresh.raw, new_raw))
    return stored, fresh, of_new


def _same(stored: Block, at: Ints, fresh: Block, known: Flags) -> Flags:
    """Return whether each value is the stored one; the order of several values says nothing."""
    old, new = stored.value[at], fresh.value[known]
    same: Flags = (old == new) | (np.isnan(old) & np.isnan(new))
    old_raw, new_raw = stored.raw[at], fresh.raw[known]
    if np.array_equal(old_raw, new_raw):
        return same
    canonical = _canonical(stored.raws)
    return same & (_recode(old_raw, canonical) == _recode(new_raw, canonical))


def _canonical(raws: pa.Array) -> Codes:
    """Return a code for each raw value, the same for those that differ only in the order of their parts."""
    parts = pc.split_pattern(raws, "|")
    flat = pa.table({"of": pc.list_parent_indices(parts), "part": pc.list_flatten(parts)})
    flat = flat.take(pc.sort_indices(flat, sort_keys=[("of", "ascending"), ("part", "ascending")]))
    ordered = pa.ListArray.from_arrays(parts.offsets, flat.column("part").combine_chunks())
    return _numpy(pc.binary_join(ordered, "|").dictionary_encode().indices)


def _joined(stored: Block, fresh: Block, added: Flags, order: Ints) -> Block:
    def both(name: str) -> Any:
        return np.concatenate([getattr(stored, name), getattr(fresh, name)[added]])[order]

    numbers = ("measure", "time", "station", "value", "raw", "first_seen", "changed", "previous", "revision")
    return replace(stored, **{name: both(name) for name in numbers})


def _codes(column: pa.ChunkedArray) -> tuple[pa.Array, Codes]:
    """Return the distinct text of a column in order of appearance, and a code for each row: -1 for null."""
    if column.null_count > len(column) // 2:  # as most raw values are
        texts, found = _codes(column.drop_null())
        codes = np.full(len(column), -1, np.int32)
        codes[_numpy(column.is_valid())] = found
        return texts, codes
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    column = column.unify_dictionaries()
    chunks = [chunk for chunk in column.chunks if len(chunk)]
    if not chunks:
        return pa.array([], pa.string()), np.zeros(0, np.int32)
    text = chunks[0].dictionary
    if text.null_count or (not ascend(text) and len(pc.unique(text)) < len(text)):
        # Arrow allows a dictionary to hold null or the same text twice; here a code stands for one text.
        return _codes(column.cast(pa.string()))
    codes = np.concatenate([_numpy(pc.fill_null(chunk.indices.cast(pa.int32()), -1)) for chunk in chunks])
    return text.cast(pa.string()), codes


def _union(one: pa.Array, other: pa.Array) -> tuple[pa.Array, Codes, Codes]:
    """Return the distinct text of both, and the code in it of each text of the one and of the other."""
    if one.equals(other):
        same = np.arange(len(one), dtype=np.int32)
        return one, same, same
    both = pc.unique(pa.concat_arrays([one, other]))
    return both, np.arange(len(one), dtype=np.int32), _numpy(pc.index_in(other, value_set=both))


def _recode(codes: Codes, to: Codes) -> Codes:
    """Translate codes into those of another array of text; -1 stays."""
    return np.append(to, np.int32(-1))[codes].astype(np.int32, copy=False)


def _put(values: Any, at: Ints, new: Any) -> Any:
    values = values.copy()
    values[at] = new
    return values


def _ms(column: pa.ChunkedArray) -> Ints:
    return _numpy(column.cast(TIME).cast(pa.int64()))


def _floats(column: pa.ChunkedArray) -> Floats:
    return _numpy(pc.fill_null(column.cast(pa.float64()), np.nan))


def _numpy(column: Any) -> Any:
    return column.to_numpy() if isinstance(column, pa.ChunkedArray) else column.to_numpy(zero_copy_only=False)


def _time(ms: Ints) -> pa.Array:
    return pa.array(ms).view(TIME)


def _text(text: pa.Array, codes: Codes) -> pa.Array:
    return text.take(pa.array(codes, mask=codes < 0)) if len(text) else pa.nulls(len(codes), pa.string())
