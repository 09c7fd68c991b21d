"""Quality flags beside the value, never instead of it: QARTOD's tests of readings, for all gauges at once.

`flags` gives each reading five of QARTOD's flags (1 pass, 2 not evaluated, 3 suspect or of high interest, 4 fail,
9 missing): one for each test and, as `flag`, the worst of them. A flag says what to look at. No value is changed, left
out or filled in, here or anywhere: a record flood and a broken sensor may both be suspect.

**Flags are computed when readings are read, not stored.** They follow from neighbours that arrive later: a spike is
known by the reading after it, a gap is filled by a late batch, the scale of a station is corrected. Stored with a
window they would be stale as soon as the next window came, and every change of a threshold would rewrite the lake.
QARTOD's own rule that flags set in real time stay as they were is for archives: who needs it stores what was given.

Thresholds and their sources: `flood_assets.quality.limits` for the gross range, `flood_assets.quality.kinds` for spike,
rate of change and flat line, whose rules are in `flood_assets.quality.series`. They follow the Manual for Real-Time
Quality Control of Water Level Data (U.S. IOOS 2021, version 2.1, doi 10.25923/vpsx-dc82), tests 4 and 6 to 8, and the
manuals for wind (2014) and for temperature and salinity (2020, doi 10.25923/x02m-m555).

**Why not ioos_qc**, QARTOD's own implementation (3.0.0 was looked at): it takes one series at a time, with one
threshold for all of it, so 7,000 gauges would be a loop of 28,000 calls; and its spike and flat line count readings,
whatever gap lies between them. It also brings seven packages that nothing else here needs, 175 MB on disk: scipy (143
with its libraries), xarray (18), shapely (10), ruamel.yaml, h5netcdf, geojson and geographiclib. With equal thresholds
its gross range, its spike test (`method="differential"`), its flat line, its rate of change and its roll-up gave the
same flags as these on series with such faults, but where it passes a reading that has nothing to be compared with, and
where it holds the way back from a spike against the reading after it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.quality.codes import FAIL, MISSING, NOT_EVALUATED, PASS, SUSPECT, Flags, worst
from flood_assets.quality.kinds import kinds_of
from flood_assets.quality.limits import Floats, Limits, limits_of
from flood_assets.quality.series import USUAL_STEP, Ints, Series, flat_lines, of_kinds, rates_of_change, spikes

__all__ = [
    "FAIL",
    "MISSING",
    "NOT_EVALUATED",
    "PASS",
    "SCHEMA",
    "SUSPECT",
    "TESTS",
    "Gauges",
    "flag",
    "flags",
    "worst",
]

TESTS = ("gross_range_flag", "spike_flag", "rate_of_change_flag", "flat_line_flag")
SCHEMA = pa.schema([pa.field(name, pa.int8(), nullable=False) for name in ("flag", *TESTS)])


def flags(readings: pa.Table, measures: pa.Table, stations: pa.Table) -> pa.Table:
    """The flags of readings, one row for each and in their order.

    Whatever is to be known of a reading has to be among `readings`: at least a day of its gauge, as the flat line
    looks back, the spike looks one reading ahead, and thresholds follow the gauge's own variability.

    Args:
        readings: with measure_id (text or a dictionary of it), date_time and value; in any order, any rows more than
            once. `raw_value` and other columns are not looked at: a reading with several values has no `value`.
        measures: the newest snapshot, as in `flood_assets.schemas.MEASURES`. Of a measure that is not in it nothing is
            evaluated, and nothing but the flat line of one without a unit.
        stations: likewise; station_id and the columns of the stage scale.

    Returns:
        `SCHEMA`: `flag`, then `gross_range_flag`, `spike_flag`, `rate_of_change_flag` and `flat_line_flag`, int8 and
        never null. All five are 9 exactly where the value is null.
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
    """What is known of some measures, and what their values may be.

    Attributes:
        kinds: which kind each is.
        limits: what single values may be.
        step: seconds between readings.
    """

    kinds: npt.NDArray[np.int8]
    limits: Limits
    step: Floats

    @classmethod
    def of(cls, measures: pa.Table, stations: pa.Table) -> "Gauges":
        """Those of a snapshot, as `flags` takes it, in its order."""
        kinds = kinds_of(measures)
        step = measures["period_s"].cast(pa.float64()).fill_null(USUAL_STEP).to_numpy()
        return cls(kinds, limits_of(measures, stations, kinds), step)

    def some(self, rows: Ints) -> "Gauges":
        """Those in some rows; limits that follow from other measures of a station stay as they are."""
        return Gauges(self.kinds[rows], self.limits.some(rows), self.step[rows])


def flag(measure: Ints, time: Ints, value: Floats, gauges: Gauges) -> Flags:
    """The flags of readings without their aggregate: a row for each of `TESTS`, a column for each reading.

    Args:
        measure: the place of each reading's measure among the gauges; -1 where it is none of them.
        time: milliseconds since 1970.
        value: NaN where there is none; nothing of it is evaluated.
        gauges: what is known of the measures.
    """
    # What has no known unit keeps its numbers: a flat line is one in any unit.
    factor = np.where(np.isnan(gauges.limits.factor), 1, gauges.limits.factor)
    known = np.flatnonzero((measure >= 0) & np.isfinite(value))
    scaled = value[known] * factor[measure[known]]
    series, place = Series.of(measure[known], time[known], scaled, gauges.step)

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


def _gross_range(measure: Ints, value: Floats, limits: Limits, medians: Floats) -> Flags:
    """Test 4, by the limits of `flood_assets.quality.limits`."""
    shown = (medians >= limits.scale_low) & (medians <= limits.scale_high)
    scaled = np.isfinite(limits.scale_low) & (limits.scale_is_sure | shown)
    low = np.where(scaled, limits.scale_low, limits.suspect_low)[measure]
    high = np.where(scaled, limits.scale_high, limits.suspect_high)[measure]
    flagged = np.full(value.size, PASS, np.int8)
    flagged[(value < low) | (value > high)] = SUSPECT
    flagged[(value < limits.fail_low[measure]) | (value > limits.fail_high[measure])] = FAIL
    flagged[np.isnan(limits.factor[measure])] = NOT_EVALUATED
    return flagged
