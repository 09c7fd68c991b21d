"""Put all stations side by side for the map and the list: what each measures, its state, and where it is.

A station of several measures stands on the map with one of them: the one whose band matters most, else the first of
the kinds in `words.KIND_OF`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa

from flood_assets.grouping import Flags, Floats, Ints
from flood_assets.quality.kinds import Kind, kinds_of
from flood_assets.query.conditions import BANDS, FRESHNESS, TRENDS
from flood_assets.serve import asked, tables
from flood_assets.serve.pages import words
from flood_assets.serve.snapshot import Snapshot, numbers

KINDS = tuple(words.KINDS)
_PRIORITY = {kind: len(words.KIND_OF) - place for place, kind in enumerate(words.KIND_OF)}


@dataclass(frozen=True)
class Overview:
    """All listed stations at a moment, in the order of the list; -1 for none in each column of places.

    Attributes:
        stations: schema `schemas.STATIONS`.
        conditions: schema `schemas.CONDITIONS`, a row for each measure of the snapshot.
        head: the measure that stands for the station, a row of `conditions`.
        kind: of that measure, a place in `KINDS`.
        kinds: of all its measures, a bit for each of `KINDS`.
        band: of that measure, a place in `BANDS`.
        trend: likewise, in `TRENDS`.
        freshness: likewise, in `FRESHNESS`.
        units: of each measure of the snapshot.
        kind_of: the kind of each measure of the snapshot.
        until: until when it holds.
    """

    stations: pa.Table
    conditions: pa.Table
    head: Ints
    kind: Ints
    kinds: Ints
    band: Ints
    trend: Ints
    freshness: Ints
    units: list[str | None]
    kind_of: Ints
    until: datetime
    _rows: dict[int, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, snapshot: Snapshot, now: datetime) -> "Overview":
        """Return the stations at `now`, or at some seconds ago if nothing has become a day old since."""
        conditions = tables.conditions(snapshot, asked.Conditions(), now)
        stations = tables.stations(snapshot, asked.Gauges(), now)
        until = min(each.until for each in (conditions, stations) if each.until is not None)
        return snapshot.kept("overview", now, lambda: cls._of(snapshot, conditions.rows, stations.rows, until))

    @classmethod
    def _of(cls, snapshot: Snapshot, conditions: pa.Table, stations: pa.Table, until: datetime) -> "Overview":
        kind_of = np.append(kinds_of(snapshot.measures), np.int8(Kind.OTHER))[snapshot.listed].astype(np.int64)
        public = np.array([KINDS.index(words.KIND_OF[Kind(each)]) for each in range(len(Kind))])[kind_of]
        band = _codes(conditions, "band", BANDS)
        priority = np.array([_PRIORITY[Kind(each)] for each in range(len(Kind))])[kind_of]
        score = (band + 1) * 100 + priority
        row, size = snapshot.station, len(stations)
        order = np.lexsort((-score, row))
        order = order[row[order] >= 0]
        first = np.flatnonzero(np.diff(row[order], prepend=-1))
        head = np.full(size, -1, np.int64)
        kinds = np.zeros(size, np.int64)
        # The list may have expired while its readings have not.
        if size:
            head[row[order[first]]] = order[first]
            np.bitwise_or.at(kinds, row[order], 1 << public[order])
        units = snapshot.measures["unit"].take(pa.array(snapshot.listed, mask=snapshot.listed < 0)).to_pylist()
        return cls(
            stations,
            conditions,
            head,
            _at(public, head),
            kinds,
            _at(band, head),
            _at(_codes(conditions, "trend", TRENDS), head),
            _at(_codes(conditions, "freshness", FRESHNESS), head),
            units,
            kind_of,
            until,
        )

    @cached_property
    def texts(self) -> list[str]:
        """Words by which each station can be found, in small letters: its name, river, town, catchment and numbers."""
        names = ("label", "river", "town", "catchment", "station_id", "rloi_id", "wiski_id")
        columns = (self.stations[name].to_pylist() for name in names)
        return [" ".join(each for each in cells if each).casefold() for cells in zip(*columns, strict=True)]

    @cached_property
    def labels(self) -> list[str]:
        """The name of each station, or else its id."""
        columns = (self.stations[name].to_pylist() for name in ("label", "station_id"))
        return [label or f"Station {id_}" for label, id_ in zip(*columns, strict=True)]

    @cached_property
    def order(self) -> Ints:
        """The stations from the most severe band to none, and by name in each."""
        by_name = np.argsort(np.argsort(np.array([text.casefold() for text in self.labels])))
        found: Ints = np.lexsort((by_name, -self.band))
        return found

    @cached_property
    def lat(self) -> Floats:
        """Latitude of each station; NaN without one."""
        return numbers(self.stations["lat"])

    @cached_property
    def long(self) -> Floats:
        """Longitude of each station; NaN without one."""
        return numbers(self.stations["long"])

    @cached_property
    def placed(self) -> Flags:
        """True for each station that has a position."""
        found: Flags = np.isfinite(self.lat) & np.isfinite(self.long)
        return found

    @cached_property
    def name(self) -> str:
        """A name of the list: rows of two lists with one name are the same stations at the same places."""
        said = [self.stations[name].to_pylist() for name in ("station_id", "lat", "long")]
        return blake2b(repr(said).encode(), digest_size=6).hexdigest()

    def row(self, station: int) -> Mapping[str, Any]:
        """Return a station as the list shows it."""
        if station not in self._rows:
            self._rows[station] = self._row(station)
        return self._rows[station]

    def _row(self, station: int) -> dict[str, Any]:
        head = int(self.head[station])
        found = self.stations.slice(station, 1).to_pylist()[0]
        condition = self.conditions.slice(head, 1).to_pylist()[0] if head >= 0 else {}
        return {
            **{name: found[name] for name in ("station_id", "river", "town", "catchment")},
            "label": self.labels[station],
            "placed": bool(self.placed[station]),
            "kind": KINDS[self.kind[station]] if head >= 0 else None,
            "band": condition.get("band"),
            "trend": condition.get("trend"),
            "freshness": condition.get("freshness"),
            "value": condition.get("value"),
            "date_time": condition.get("date_time"),
            "unit": self.units[head] if head >= 0 else None,
            **{f"rain_{hours}h": condition.get(f"rain_{hours}h") for hours in (1, 6, 24)},
        }


def _codes(rows: pa.Table, name: str, known: tuple[str, ...]) -> Ints:
    places = {word: place for place, word in enumerate(known)}
    return np.array([places.get(word, -1) for word in rows[name].to_pylist()], np.int64)


def _at(values: Ints, places: Ints) -> Ints:
    """Return the value at each place; -1 for -1."""
    found: Ints = np.append(values, -1)[places]
    return found
