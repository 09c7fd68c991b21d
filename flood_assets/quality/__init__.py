"""Flag readings by QARTOD's tests, for all gauges at once; never change, drop or fill a value.

`flags` returns five of QARTOD's flags a reading (1 pass, 2 not evaluated, 3 suspect or of high interest, 4 fail,
9 missing): one for each test and, as `flag`, the worst of them. A record flood and a broken sensor may both be suspect.

Flags are computed when readings are read, not stored: they depend on neighbours that arrive later and on thresholds. A
spike is known by the reading after it, a late batch fills a gap, the scale of a station is corrected.

Thresholds and their sources are in `limits` (gross range) and `kinds` (spike, rate of change, flat line), the rules of
the last three in `series`. They follow the Manual for Real-Time Quality Control of Water Level Data (U.S. IOOS 2021,
version 2.1, doi 10.25923/vpsx-dc82), tests 4 and 6 to 8, and the manuals for wind (2014) and for temperature and
salinity (2020, doi 10.25923/x02m-m555).

QARTOD's own implementation, ioos_qc (3.0.0), takes one series at a time (28,000 calls for 7,000 gauges), ignores gaps
between readings, and brings 175 MB of packages. With equal thresholds its flags were the same, except that it passes a
reading without neighbours and holds the way back from a spike against the reading after it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.grouping import Floats, Ints
from flood_assets.quality.codes import FAIL, MISSING, NOT_EVALUATED, PASS, SUSPECT, QcFlags, worst
from flood_assets.quality.kinds import kinds_of
from flood_assets.quality.limits import Limits, limits_of
from flood_assets.quality.series import USUAL_PERIOD, Series, flat_lines, of_kinds, rates_of_change, spikes

__all__ = ["FAIL", "MISSING", "NOT_EVALUATED", "PASS", "SCHEMA", "SUSPECT", "TESTS", "Gauges", "flag", "flags", "worst"]

TESTS = ("gross_range_flag", "spike_flag", "rate_of_change_flag", "flat_line_flag")
SCHEMA = pa.schema([pa.field(name, pa.int8(), nullable=False) for name in ("flag", *TESTS)])


def flags(readings: pa.Table, measures: pa.Table, stations: pa.Table) -> pa.Table:
    """Return the flags of readings, one row for each and in their order.

    Give at least a day of a gauge: the flat line looks back, the spike looks one reading ahead, and thresholds follow
    the gauge's own variability.

    Args:
        readings: measure_id (text or a dictionary of it), date_time and value, in any order, any row more than once.
        measures: the newest snapshot, schema `schemas.MEASURES`. A measure that is not in it is not evaluated; one
            without a unit only for its flat line.
        stations: likewise; station_id and the columns of the stage scale.

    Returns:
        `SCHEMA`: `flag`, then `gross_range_flag`, `spike_flag`, `rate_of_change_flag` and `flat_line_flag`, int8 and
        never null. All five are 9 where the value is null, and only there.
    """
    at = pc.index_in(readings["measure_id"], value_set=measures["measure_id"].combine_chunks())
    measure = at.cast(pa.int64()).fill_null(-1).to_numpy()
    time = readings["date_time"].cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()).to_numpy()
    value = np.asarray(readings["value"].to_numpy(), np.float64)
    found = flag(measure, time, value, Gauges.of(measures, stations))
    found[:, readings["value"].is_null().to_numpy()] = MISSING
    return pa.table([worst(list(found)), *found], schema=SCHEMA)


@dataclass(frozen=True)
class Gauges:
    """Kind, limits and period of some measures.

    Attributes:
        kinds: a `Kind` for each.
        limits: limits of single values.
        period: seconds between readings.
    """

    kinds: npt.NDArray[np.int8]
    limits: Limits
    period: Floats

    @classmethod
    def of(cls, measures: pa.Table, stations: pa.Table) -> "Gauges":
        """Return the gauges of a snapshot, as `flags` takes it, in its order."""
        kinds = kinds_of(measures)
        period = measures["period_s"].cast(pa.float64()).fill_null(USUAL_PERIOD).to_numpy()
        return cls(kinds, limits_of(measures, stations, kinds), period)

    def some(self, rows: Ints | slice) -> "Gauges":
        """Return those in some rows; limits that follow from other measures of a station stay as they are."""
        return Gauges(self.kinds[rows], self.limits.some(rows), self.period[rows])


def flag(measure: Ints, time: Ints, value: Floats, gauges: Gauges) -> QcFlags:
    """Return the flags of readings without their aggregate: a row for each of `TESTS`, a column for each reading.

    Args:
        measure: the place of each reading's measure among the gauges; -1 where it is none of them.
        time: ms since 1970.
        value: NaN where there is none; such a reading is not evaluated.
        gauges: kinds and limits of the measures.
    """
    # Without a known unit, numbers stay as they are: a flat line is one in any unit.
    factor = np.where(np.isnan(gauges.limits.factor), 1, gauges.limits.factor)
    known = np.flatnonzero((measure >= 0) & np.isfinite(value))
    scaled = value[known] * factor[measure[known]]
    series, place = Series.of(measure[known], time[known], scaled, gauges.period)

    thresholds = of_kinds(gauges.kinds)
    for name in ("spike_low", "step"):
        thresholds[name] = np.where(np.isnan(gauges.limits.factor), np.nan, thresholds[name])
    spike = spikes(series, thresholds)

    found = np.full((len(TESTS), len(value)), NOT_EVALUATED, np.int8)
    found[0, known] = _gross_range(measure[known], scaled, gauges.limits, series.medians(series.value))
    found[1, known] = spike[place]
    found[2, known] = rates_of_change(series, thresholds, spike)[place]
    found[3, known] = flat_lines(series, thresholds)[place]
    return found


def _gross_range(measure: Ints, value: Floats, limits: Limits, medians: Floats) -> QcFlags:
    """Return the flags of test 4, by the limits of `quality.limits`."""
    scaled = limits.on_scale(medians)
    flagged = np.full(value.size, PASS, np.int8)
    for (low, high), outside in ((np.where(scaled, limits.scale, limits.suspect), SUSPECT), (limits.fail, FAIL)):
        flagged[(value < low[measure]) | (value > high[measure])] = outside
    flagged[np.isnan(limits.factor[measure])] = NOT_EVALUATED
    return flagged
