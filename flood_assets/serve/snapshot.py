"""Hold one state of a lake, decoded for quick answers; nothing in it changes.

What is asked most is answered from numpy columns here; all other questions are put to `flood_assets.query`, on the
frozen lake. Nothing is cut to the last 24 hours here: that depends on the moment of the answer.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import blake2b
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.grouping import Floats, Ints
from flood_assets.lake.frozen import Frozen
from flood_assets.lake.lake import Lake
from flood_assets.lake.members import members
from flood_assets.lake.parquet import DamagedWindowError, schema_of
from flood_assets.lake.united import reading
from flood_assets.ledger.day import milliseconds
from flood_assets.partitions import RETENTION, from_ms, is_expired, to_ms
from flood_assets.places import SHARD_FOLDER
from flood_assets.query import flood_warnings
from flood_assets.query.filters import shown
from flood_assets.schemas import MEASURES, READINGS, STATIONS, TIMELINESS, Table
from flood_assets.serve.formats import Coded

_DAY_MS = RETENTION // timedelta(milliseconds=1)


class Lasting(Protocol):
    """Something that holds for a while."""

    @property
    def until(self) -> datetime:
        """Until when."""


K = TypeVar("K", bound=Lasting)


@dataclass(frozen=True)
class Day:
    """Readings of all retained windows, sorted by measure and time.

    Attributes:
        rows: schema `READINGS`, texts as dictionaries; each column is one chunk.
        first: for each measure of the snapshot the place of its first reading, and at the end the number of readings.
        at: date_time of each, ms since 1970.
        measure: code of each, its measure's place in the snapshot.
        times: distinct values of `at`, ascending.
    """

    rows: pa.Table
    first: Ints
    at: Ints
    measure: Ints
    times: Ints

    @cached_property
    def coded(self) -> Mapping[str, Coded]:
        """Each column with the JSON of its distinct values."""
        return {name: Coded.of(self.rows[name]) for name in self.rows.column_names}

    def of(self, code: int) -> slice:
        """Return the places of a measure's readings."""
        return slice(int(self.first[code]), int(self.first[code + 1]))


@dataclass(frozen=True)
class Snapshot:
    """A lake at a moment.

    Attributes:
        frozen: the lake's objects as they were.
        lake: the lake as it was, or the union of its shards; it cannot be written.
        notes: shards that could not be read then, or in part, or hold nothing; to be said first with each answer.
        taken_at: when it was looked at.
        stations: the newest list, schema `STATIONS`; no rows without one.
        measures: likewise, schema `MEASURES`.
        ids: measure_id of all measures that are listed, have readings or a timeliness; sorted, distinct.
        listed: the row of each in `measures`; -1 without one.
        station: its station's row in `stations`; -1 without one.
        station_ids: its station_id; None where nobody knows it.
        day: the readings.
        damaged: windows of readings that cannot be read, and why.
        decoded: the retained windows by e-tag, for the next snapshot.
        timeliness: the newest, schema `TIMELINESS`; no rows without one.
    """

    frozen: Frozen
    lake: Lake
    notes: tuple[str, ...]
    taken_at: datetime
    stations: pa.Table
    measures: pa.Table
    ids: pa.Array
    listed: Ints
    station: Ints
    station_ids: list[str | None]
    day: Day
    damaged: Mapping[datetime, DamagedWindowError]
    decoded: Mapping[tuple[datetime, str | None], pa.Table]
    timeliness: pa.Table
    _kept: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, frozen: Frozen, now: datetime, before: "Snapshot | None" = None) -> "Snapshot":
        """Decode a frozen lake; what `before` decoded of the same objects is taken from there.

        Damaged windows are left out and told, as `flood-assets status` does.
        """
        lake = reading(Lake(frozen))
        # What is damaged in a shard is left out of its window, which is to be told as long as it is so.
        known = before.decoded if before and not before.lake.damages else {}
        keys = [(each.window, each.e_tag) for each in lake.windows(READINGS) if not is_expired(each.window, now)]
        decoded = {key: known[key] for key in keys if key in known and key[1] is not None}
        damaged, e_tags = dict[datetime, DamagedWindowError](), dict(keys)
        missing = [window for window, e_tag in keys if (window, e_tag) not in decoded]
        for window, rows in lake.each(READINGS, missing, coded=True):
            if isinstance(rows, DamagedWindowError):
                damaged[window] = rows
            else:
                decoded[window, e_tags[window]] = rows
        stations, measures, timeliness = (_newest(lake, table, now) for table in (STATIONS, MEASURES, TIMELINESS))
        nothing = schema_of(READINGS, READINGS.schema.names, coded=True).empty_table()
        rows = pa.concat_tables([nothing, *(decoded[key] for key in sorted(decoded))])
        rows = rows.unify_dictionaries()
        coded = rows["measure_id"].combine_chunks()
        with_readings = coded.dictionary.cast(pa.string())
        ids = pc.unique(pa.concat_arrays([with_readings, *(_column(t, "measure_id") for t in (measures, timeliness))]))
        ids = ids.take(pc.array_sort_indices(ids))
        rank = pc.index_in(with_readings, value_set=ids).to_numpy()
        day = _day(rows, rank[coded.indices.to_numpy()].astype(np.int64), len(ids))
        listed = _places(ids, measures["measure_id"])
        station_ids = pc.coalesce(
            *(
                table["station_id"].take(_indices(_places(ids, table["measure_id"])))
                for table in (measures, timeliness)
            ),
            _first_known(day, len(ids)),
        )
        return cls(
            frozen=frozen,
            lake=lake,
            notes=(*_away(frozen), *lake.troubles),
            taken_at=now,
            stations=stations,
            measures=measures,
            ids=ids,
            listed=listed,
            station=_places(station_ids, stations["station_id"]),
            station_ids=station_ids.to_pylist(),
            day=day,
            damaged=damaged,
            decoded=decoded,
            timeliness=timeliness,
        )

    def kept(self, name: str, now: datetime, make: Callable[[], K]) -> K:
        """Return what was made under a name as long as it holds at `now`, else make it, once for all who wait."""
        with self._lock:
            found: K | None = self._kept.get(name)
            if found is None or not now < found.until:
                found = self._kept[name] = make()
            return found

    @cached_property
    def codes(self) -> Mapping[str, int]:
        """The place of each measure_id among `ids`."""
        return {measure: code for code, measure in enumerate(self.ids.to_pylist())}

    @cached_property
    def of_station(self) -> Mapping[str, list[int]]:
        """The codes of each station's measures, by station_id; those of no known station are at none."""
        found: dict[str, list[int]] = {station: [] for station in self.stations["station_id"].to_pylist()}
        for code, station in enumerate(self.station_ids):
            if station is not None:
                found.setdefault(station, []).append(code)
        return found

    @cached_property
    def station_rows(self) -> Mapping[str, int]:
        """The row of each station_id in `stations`."""
        return {station: row for row, station in enumerate(self.stations["station_id"].to_pylist())}

    @cached_property
    def lat(self) -> Floats:
        """Latitude of each station; NaN without one."""
        return numbers(self.stations["lat"])

    @cached_property
    def long(self) -> Floats:
        """Longitude of each station; NaN without one."""
        return numbers(self.stations["long"])

    @cached_property
    def as_of(self) -> datetime | None:
        """The time up to which the API was asked; None for a lake that no refresh has filled."""
        found = self.lake.watermarks()
        return found.as_of if found and not found.forgotten else None

    @cached_property
    def modified(self) -> datetime:
        """Time at which the lake's newest object was written."""
        return self.frozen.modified or self.taken_at

    @cached_property
    def version(self) -> str:
        """A name of this state of the lake, the same in each process."""
        return blake2b(
            repr([*((each.key, each.e_tag) for each in self.frozen.list("")), *self.frozen.away]).encode(),
            digest_size=9,
        ).hexdigest()

    def has_readings(self, now: datetime) -> bool:
        """Return True if there is a reading of the last 24 hours."""
        return bool(len(self.day.times)) and int(self.day.times[-1]) > to_ms(now) - _DAY_MS

    def has_made(self, name: str) -> bool:
        """Return True if something was ever made under a name."""
        return name in self._kept

    def has(self, name: str, now: datetime) -> bool:
        """Return True if something is kept under a name that holds at `now`."""
        found = self._kept.get(name)
        return found is not None and bool(now < found.until)

    def cut(self, now: datetime) -> datetime:
        """Return when what is retained changed last: when a reading became a day old, or a later one came of age.

        Two answers from one snapshot are equal if this is.
        """
        times, ms = self.day.times, to_ms(now)
        aged, come = np.searchsorted(times, (ms - _DAY_MS, ms), "right").tolist()
        moments = [to_ms(self.modified)]
        moments += [int(times[aged - 1]) + _DAY_MS] if aged else []
        moments += [int(times[come - 1])] if come else []
        return from_ms(max(moments))

    def warnings(self, now: datetime) -> "flood_warnings.Known | None":
        """Return the flood warnings of the last 24 hours; None if no list is stored."""
        return flood_warnings.known(self.lake, now)


def _away(frozen: Frozen) -> Iterator[str]:
    network = members(frozen)
    for name in frozen.away:
        held = frozen.list(f"{SHARD_FOLDER}{name}")
        rows = "is missing here"
        if held:
            rows = f"is here as of {shown(max(meta.modified for meta in held))}"
        yield (
            f"the shard {name} of the network {network.network if network else ''} cannot be read at present, and what "
            f"it holds {rows}: the server's log says why"
        )


def _newest(lake: Lake, table: Table, now: datetime) -> pa.Table:
    found = lake.newest_snapshot(table, now)
    return (table.schema.empty_table() if found is None else found).combine_chunks()


def _column(rows: pa.Table, name: str) -> pa.Array:
    return pa.concat_arrays([pa.array([], rows.schema.field(name).type), *rows[name].chunks])


def _places(wanted: pa.Array, known: pa.ChunkedArray) -> Ints:
    """Return the row of each value in a column of distinct ones; -1 for null and for others."""
    found: Ints = pc.index_in(wanted, value_set=known, skip_nulls=True).fill_null(-1).to_numpy().astype(np.int64)
    return found


def _indices(places: Ints) -> pa.Array:
    """Return places as Arrow takes them: null for -1."""
    return pa.array(places, mask=places < 0)


def numbers(column: pa.ChunkedArray) -> Floats:
    """Return a column of numbers; NaN for null."""
    found: Floats = np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)
    return found


def _day(rows: pa.Table, measure: Ints, measures: int) -> Day:
    """Sort the readings of windows, given from the oldest to the newest, and each sorted by measure and time."""
    at = milliseconds(rows["date_time"])
    order = np.argsort(measure.astype(np.uint16) if measures < 1 << 16 else measure, kind="stable")
    measure, at = measure[order], at[order]
    # Numpy sorts small numbers by counting, and windows are in order of time; a damaged writer's may not be.
    if ((np.diff(at) < 0) & (np.diff(measure) == 0)).any():
        again = np.lexsort((at, measure))
        order, measure, at = order[again], measure[again], at[again]
    first = np.searchsorted(measure, np.arange(measures + 1))
    # The measure is known by its place, and its text by the snapshot.
    return Day(rows.take(pa.array(order)).combine_chunks(), first, at, measure, np.unique(at))


def _first_known(day: Day, measures: int) -> pa.Array:
    """Return the station_id that any reading of each measure has; null where none has one."""
    column = day.rows["station_id"].combine_chunks()
    code = column.indices.fill_null(-1).to_numpy()
    found = np.full(measures, -1, np.int64)
    known = np.flatnonzero(code >= 0)[::-1]
    found[day.measure[known]] = code[known]
    return column.dictionary.cast(pa.string()).take(_indices(found))
