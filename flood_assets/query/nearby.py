"""Find the flood areas near stations, and the stations near flood areas, by the distance of their points. Pure.

The official service joins a station with the warnings within 5 miles, about 8 km.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.grouping import Flags, Floats, Ints

WITHIN_KM = 8.0
# Mean radius of the Earth.
_RADIUS_KM = 6371.0088


class Pairs(NamedTuple):
    """Pairs of points that lie near each other.

    Attributes:
        first: the place of each pair's point among the first points.
        second: likewise among the second points.
        km: their distance.
    """

    first: Ints
    second: Ints
    km: Floats


def in_box(lat: Floats, long: Floats, box: Sequence[float]) -> Flags:
    """Return which points lie in a box of west, south, east and north; those without a position lie in none.

    A box whose west is east of its east goes across 180 degrees.
    """
    west, south, east, north = box
    beside = (long >= west) & (long <= east) if west <= east else (long >= west) | (long <= east)
    found: Flags = (lat >= south) & (lat <= north) & beside
    return found


def near(first: pa.Table, second: pa.Table, within_km: float = WITHIN_KM) -> Pairs:
    """Return the pairs of rows that are at most so far apart, by the great circle between their `lat` and `long`.

    Rows without a position are near nothing. A country's 5,500 stations and 4,400 areas take some hundredths of a
    second: only points of about the same latitude are compared.

    Returns:
        Pairs by the place of the first row, and of each the nearest first.
    """
    a, b = _placed(first), _placed(second)
    b = b[np.argsort(_radians(second, "lat")[b], kind="stable")]
    lat_a, lat_b = _radians(first, "lat")[a], _radians(second, "lat")[b]
    band = within_km / _RADIUS_KM * 1.000001
    low, high = np.searchsorted(lat_b, lat_a - band, "left"), np.searchsorted(lat_b, lat_a + band, "right")
    count = high - low
    i = np.repeat(np.arange(len(a)), count)
    j = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count - low, count)
    east = _radians(second, "long")[b][j] - _radians(first, "long")[a][i]
    half = np.sin((lat_b[j] - lat_a[i]) / 2) ** 2 + np.cos(lat_a[i]) * np.cos(lat_b[j]) * np.sin(east / 2) ** 2
    km = 2 * _RADIUS_KM * np.arcsin(np.sqrt(np.clip(half, 0, 1)))
    found = km <= within_km
    i, j, km = a[i[found]], b[j[found]], km[found]
    order = np.lexsort((km, i))
    return Pairs(i[order], j[order], km[order])


def nearest(first: pa.Table, second: pa.Table, within_km: float = WITHIN_KM) -> pa.Array:
    """Return for each first row the distance in km of the nearest second row; null where none is within reach."""
    pairs = near(first, second, within_km)
    km: Floats = np.full(len(first), np.inf)
    np.minimum.at(km, pairs.first, pairs.km)
    return pa.array(km, mask=~np.isfinite(km))


def _placed(rows: pa.Table) -> Ints:
    """Return the places of the rows that have a position."""
    has = pc.and_(pc.is_finite(rows["lat"]), pc.is_finite(rows["long"]))
    places: Ints = np.flatnonzero(pc.fill_null(has, False).to_numpy())
    return places


def _radians(rows: pa.Table, name: str) -> Floats:
    radians: Floats = np.radians(rows[name].cast(pa.float64()).to_numpy())
    return radians
