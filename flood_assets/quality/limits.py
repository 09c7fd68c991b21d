"""Limits of single values for the gross range test (QARTOD's test 4).

A value fails if England's ground, tides and weather make it impossible for its unit and kind. It is suspect outside
the station's stage scale, or if the measure has none, outside the records of the country.

The API gives a station one stage scale (typical range, highest recent, records) without its datum, and some stations
have their stage in mASD, in mAOD and in a plain m at once. So:

* the scale applies only to measures with the qualifier Stage, never to Downstream Stage or others;
* to the station's Stage measure in mASD, if there is exactly one: the scale is given above the stage datum;
* else to its one Stage measure in m or mAOD, but only if the median of eight or more readings lies within the scale;
* to none if several are possible.

The widest of the given values counts, with a margin of a quarter of their range but at least half a metre: of 929
readings of 2024-02-29 with a scale, none lay above it and ten below: seven by up to 0.42 m, three by 2.8 to 28 m.
"""

from dataclasses import dataclass, fields
from math import inf

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.grouping import Flags, Floats, Ints
from flood_assets.quality.kinds import Kind

# Scafell Pike, England's highest ground, by the Ordnance Survey; and Trout Beck at Moor House, at 535 m the highest
# gauging station that we know of (UK Environmental Change Network), with its banks.
_SUMMIT, _HIGHEST_GAUGE = 978.0, 560.0
# London's Chalk stood 88 to 98 m below the sea in the 1960s (Environment Agency 2000 and 2002, Rising groundwater
# levels in the Chalk-Basal Sands aquifer of the Central London Basin).
_DEEPEST_HEAD, _BELOW_ANY_HEAD = -100.0, -150.0


@dataclass(frozen=True)
class Range:
    """Factor from a unit to the base unit, and the limits in the base unit."""

    factor: float
    suspect: tuple[float, float]
    fail: tuple[float, float]


# Stage goes below its datum by some centimetres, and at a few stations by a metre or two, as datum and bed differ.
# What is labelled mASD is not always: the typical range of a station in 2026 was 34.7 to 35.4 mASD, so no stage fails
# for a height that a gauge may have above the sea. Fens and pumped drains lie below the sea (-3.4 mAOD in 2024).
_STAGE = Range(1, (-3, 15), (-10, _SUMMIT))
_WATER = Range(1, (-6, _HIGHEST_GAUGE), (-20, _SUMMIT))
# Avonmouth's lowest and highest astronomical tide are -0.2 and 14.65 m above chart datum (NTSLF), which lies 6.5 m
# below Ordnance Datum: -6.7 and 8.15 mAOD, and a surge on top; further up, the tidal Severn floods to 11 mAOD. A plain
# m may be above either datum.
_TIDE = Range(1, (-8, 17), (-20, 30))
_HEAD = Range(1, (_DEEPEST_HEAD, _HIGHEST_GAUGE), (_BELOW_ANY_HEAD, _SUMMIT))
# Depth below a datum near the ground: negative where the well overflows.
_DIP = Range(1, (-20, 300), (-100, _SUMMIT))
# The largest flows on record in England, about 1,700 m³/s on Eden, Lune and Tyne in December 2015 (Spencer et al. 2018,
# Hydrology Research 49:568); three times as much fails. Tidal reaches and backwater flow upstream.
_FLOW = (-500.0, 2000.0), (-5000.0, 5000.0)

_RANGES: dict[tuple[Kind, str], Range] = {
    (Kind.RIVER, "mASD"): _STAGE,
    (Kind.RIVER, "mAOD"): _WATER,
    (Kind.RIVER, "m"): _WATER,
    (Kind.TIDE, "mASD"): _TIDE,
    (Kind.TIDE, "mAOD"): Range(1, (-8, 12), _TIDE.fail),
    (Kind.TIDE, "m"): _TIDE,
    (Kind.TIDE, "mm"): Range(0.001, _TIDE.suspect, _TIDE.fail),
    **{(kind, unit): _HEAD for kind in (Kind.GROUNDWATER, Kind.POOL) for unit in ("mASD", "mAOD", "m")},
    **{(kind, "mBDAT"): _DIP for kind in (Kind.GROUNDWATER, Kind.POOL)},
    (Kind.FLOW, "m3/s"): Range(1, *_FLOW),
    (Kind.FLOW, "l/s"): Range(0.001, *_FLOW),
    (Kind.FLOW, "Ml/d"): Range(1 / 86.4, *_FLOW),
    # The amounts that may fall in a period are below; no bucket tips back.
    **{(kind, "mm"): Range(1, (0, inf), (0, inf)) for kind in (Kind.RAIN, Kind.RAIN_EVENT, Kind.RAIN_COUNTER)},
    # Fail as in QARTOD's Manual for Wind Data (2014), test 4: what sensors can give. Suspect above the highest gust at
    # a low-level station in the UK: 123 knots, Fraserburgh, 13 February 1989 (Met Office).
    (Kind.WIND_SPEED, "m/s"): Range(1, (0, 63.3), (0, 100)),
    (Kind.WIND_SPEED, "Knots"): Range(1852 / 3600, (0, 63.3), (0, 100)),
    (Kind.WIND_DIRECTION, "deg"): Range(1, (0, 360), (0, 360)),
    # UK records (Met Office): -27.2 at Braemar and Altnaharra, 40.3 at Coningsby in July 2022; ten degrees beyond
    # them fails.
    (Kind.TEMPERATURE, "deg C"): Range(1, (-27.2, 40.3), (-37.2, 50.3)),
}

# mm in a period of s. Suspect: the UK's records (Met Office, UK climate extremes): Preston 1893, Eskdalemuir 1953,
# Maidenhead 1901, Dunsop Valley 1967, Hewenden Reservoir 1956, Horncastle 1960, Honister Pass 2015. Between them, a
# straight line on logarithmic axes: 56 mm in 15 minutes.
_UK_RAIN = ((300, 32.0), (1800, 80.0), (3600, 92.0), (5400, 117.0), (7200, 155.0), (10800, 178.0), (86400, 341.4))
# Fail: the world's records (WMO-No. 168, Guide to Hydrological Practices): Barot 1970, Füssen 1920, Plumb Point 1916,
# Holt 1947, Foc-Foc 1966.
_WORLD_RAIN = ((60, 38.0), (480, 126.0), (900, 198.0), (2520, 305.0), (86400, 1825.0))

_TOPS = ("typical_high", "highest_recent", "max_on_record")
_BOTTOMS = ("typical_low", "min_on_record")
_MARGIN_SHARE, _LEAST_MARGIN = 0.25, 0.5


@dataclass(frozen=True)
class Limits:
    """Limits of each measure of a snapshot, in its base unit; NaN for none.

    Attributes:
        factor: multiplies a value into the base unit; NaN where the unit is not known.
        suspect, fail: lower and upper limits, shape (2, measures): values outside are flagged.
        scale: the stage scale with its margin, shape (2, measures).
        scale_is_sure: True if the scale needs no confirmation by the gauge's readings.
    """

    factor: Floats
    suspect: Floats
    fail: Floats
    scale: Floats
    scale_is_sure: Flags

    def on_scale(self, medians: Floats) -> Flags:
        """Return True for each measure that the stage scale belongs to, surely or by the median of its readings."""
        shown = (medians >= self.scale[0]) & (medians <= self.scale[1])
        return np.isfinite(self.scale[0]) & (self.scale_is_sure | shown)

    def some(self, rows: Ints | slice) -> "Limits":
        """Return the limits of the measures in some rows."""
        return Limits(**{field.name: getattr(self, field.name)[..., rows] for field in fields(self)})


def limits_of(measures: pa.Table, stations: pa.Table, kinds: npt.NDArray[np.int8]) -> Limits:
    """Return the limits of each measure of a snapshot, given their kinds."""
    units = np.array(measures["unit"].to_pylist(), dtype=object)
    factor, suspect, fail = (np.full((*ends, len(measures)), np.nan) for ends in ((), (2,), (2,)))
    for (kind, unit), limit in _RANGES.items():
        here = (kinds == kind) & (units == unit)
        factor[here] = limit.factor
        suspect[:, here], fail[:, here] = np.vstack(limit.suspect), np.vstack(limit.fail)

    raining = np.isfinite(factor) & np.isin(kinds, (Kind.RAIN, Kind.RAIN_EVENT))
    # Without a period, an amount may have come together in any time up to a day.
    period = measures["period_s"].cast(pa.float64()).fill_null(86400).to_numpy()[raining]
    suspect[1, raining] = _on_logarithmic_axes(period, _UK_RAIN)
    fail[1, raining] = _on_logarithmic_axes(period, _WORLD_RAIN)

    return Limits(factor, suspect, fail, *_scales(measures, stations, units, kinds))


def _on_logarithmic_axes(x: Floats, points: tuple[tuple[float, float], ...]) -> Floats:
    at, value = np.log(np.array(points)).T
    return np.exp(np.interp(np.log(np.maximum(x, 1)), at, value))


def _scales(
    measures: pa.Table, stations: pa.Table, units: npt.NDArray[np.object_], kinds: npt.NDArray[np.int8]
) -> tuple[Floats, Flags]:
    """Return each measure's scale with its margin, NaN for none, and True where it is surely this measure's."""
    station = pc.index_in(measures["station_id"], value_set=stations["station_id"].combine_chunks(), skip_nulls=True)
    at = station.cast(pa.float64()).fill_null(-1).to_numpy().astype(np.intp)
    stage = (kinds == Kind.RIVER) & (at >= 0) & pc.equal(measures["qualifier"], "Stage").fill_null(False).to_numpy()

    sure = stage & (units == "mASD")
    likely = stage & ((units == "m") | (units == "mAOD"))
    surely, perhaps = (np.bincount(at[each], minlength=len(stations)) for each in (sure, likely))
    sure[sure] = surely[at[sure]] == 1
    likely[likely] = (surely[at[likely]] == 0) & (perhaps[at[likely]] == 1)

    # Nulls become NaN, which fmax and fmin ignore.
    top = np.fmax.reduce([stations[name].to_numpy() for name in _TOPS])
    bottom = np.fmin.reduce([stations[name].to_numpy() for name in _BOTTOMS])
    span = np.where(top > bottom, top - bottom, np.nan)
    margin = np.maximum(_MARGIN_SHARE * span, _LEAST_MARGIN)

    scale = np.full((2, len(measures)), np.nan)
    judged = sure | likely
    scale[:, judged] = np.stack([bottom - margin, top + margin])[:, at[judged]]
    return scale, sure
