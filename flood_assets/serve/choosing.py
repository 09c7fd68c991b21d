"""Choose the gauges of a request: by id, name, place or kind."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from flood_assets.grouping import Flags, Ints
from flood_assets.query import filters, nearby
from flood_assets.query.names import suggestions
from flood_assets.schemas import MEASURES, STATIONS
from flood_assets.serve import asked
from flood_assets.serve.errors import BadRequestError
from flood_assets.serve.snapshot import Snapshot


@dataclass(frozen=True)
class Chosen:
    """The gauges of a request.

    Attributes:
        measures: their codes, ascending; None for all.
        stations: rows of their stations, ascending; None for all.
        notes: names that nothing is called, or that were matched by their words.
    """

    measures: Ints | None
    stations: Ints | None
    notes: tuple[str, ...] = ()


def chosen(snapshot: Snapshot, given: asked.OfGauges) -> Chosen:
    """Return the gauges that match each of the filters that are given."""
    notes, matched = list[str](), list[str]()
    named = {
        name: texts
        for name in ("station", "river", "town", "catchment", "parameter")
        if (texts := getattr(given, name))
    }
    place = _in_place(snapshot, given)
    if not (named or given.station_id or given.measure_id) and place is None:
        return Chosen(None, None)
    if not named and place is None and not (given.station_id and given.measure_id):
        return _by_id(snapshot, given, notes)
    measures: Flags = np.ones(len(snapshot.ids), np.bool_)
    stations: Flags = np.ones(len(snapshot.stations), np.bool_)
    if given.station_id:
        stations &= np.isin(np.arange(len(stations)), [*_station_rows(snapshot, given.station_id, notes)])
        codes = [code for station in given.station_id for code in snapshot.of_station.get(station, ())]
        measures &= mask(codes, len(measures))
    if given.measure_id:
        measures &= mask(_codes(snapshot, given.measure_id, notes), len(measures))
    by_name = filters.Gauges({name: tuple(texts) for name, texts in named.items()})
    if by_name.concern(STATIONS):
        here = snapshot.stations.append_column("__row", pa.array(np.arange(len(stations))))
        stations &= mask(by_name.choose(STATIONS, here, notes, matched)["__row"].to_pylist(), len(stations))
    if place is not None:
        stations &= place
    if by_name.concern(STATIONS) or place is not None:
        measures &= (snapshot.station >= 0) & _at(stations, snapshot.station)
    if by_name.concern(MEASURES):
        listed = snapshot.measures.append_column("__row", pa.array(np.arange(len(snapshot.measures))))
        fits = mask(by_name.choose(MEASURES, listed, notes, matched)["__row"].to_pylist(), len(listed))
        measures &= (snapshot.listed >= 0) & _at(fits, snapshot.listed)
    if given.measure_id or by_name.concern(MEASURES):
        stations &= mask(snapshot.station[measures & (snapshot.station >= 0)].tolist(), len(stations))
    return Chosen(np.flatnonzero(measures), np.flatnonzero(stations), (*matched, *notes))


def _by_id(snapshot: Snapshot, given: asked.OfGauges, notes: list[str]) -> Chosen:
    """Return the gauges of station_ids or of measure_ids, without looking at all others."""
    if given.measure_id:
        codes = _ascending(_codes(snapshot, given.measure_id, notes))
        rows = _ascending(snapshot.station[codes].tolist())
        return Chosen(codes, rows[rows >= 0], tuple(notes))
    rows = _ascending(_station_rows(snapshot, given.station_id, notes))
    of_stations = [code for station in given.station_id for code in snapshot.of_station.get(station, ())]
    return Chosen(_ascending(of_stations), rows, tuple(notes))


def _ascending(few: list[int]) -> Ints:
    # For a few numbers, a tenth of the time of np.unique.
    return np.array(sorted({*few}), np.int64)


def _in_place(snapshot: Snapshot, given: asked.OfGauges) -> Flags | None:
    """Return a mask of the stations in the box and near the point that are given; None for all."""
    found: Flags | None = None
    if given.bbox is not None:
        west, south, east, north = (float(each) for each in given.bbox.split(","))
        if south > north:
            raise BadRequestError(f"bbox is {given.bbox}: its south, {south:g}, is above its north, {north:g}")
        found = nearby.in_box(snapshot.lat, snapshot.long, (west, south, east, north))
    if given.near is not None:
        y, x = (float(each) for each in given.near.split(","))
        if abs(y) > 90 or abs(x) > 180:
            raise BadRequestError(f"near is {given.near}: expected latitude and longitude, such as 51.41,-0.31")
        point = pa.table({"lat": [y], "long": [x]})
        near = mask(nearby.near(point, snapshot.stations, given.km).second, len(snapshot.stations))
        found = near if found is None else found & near
    return found


def _codes(snapshot: Snapshot, measure_ids: Sequence[str], notes: list[str]) -> list[int]:
    unknown = [each for each in measure_ids if each not in snapshot.codes]
    if unknown:
        notes.extend(suggestions("measure", unknown, snapshot.codes))
    return [snapshot.codes[each] for each in measure_ids if each in snapshot.codes]


def _station_rows(snapshot: Snapshot, station_ids: Sequence[str], notes: list[str]) -> list[int]:
    unknown = [each for each in station_ids if each not in snapshot.of_station]
    if unknown:
        notes.extend(suggestions("station", unknown, snapshot.of_station))
    return [snapshot.station_rows[each] for each in station_ids if each in snapshot.station_rows]


def mask(places: Sequence[int] | Ints, size: int) -> Flags:
    """Return a mask of so many things that is true at some places."""
    found: Flags = np.zeros(size, np.bool_)
    found[np.asarray(places, np.int64)] = True
    return found


def _at(flags: Flags, places: Ints) -> Flags:
    """Return the flag at each place; False for -1."""
    found: Flags = np.append(flags, False)[places]
    return found
