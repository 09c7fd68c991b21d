"""Spike, rate of change and flat line: QARTOD's tests 6 to 8, which compare a reading with its neighbours.

All gauges at once: arrays hold the readings of one gauge after the other, in order of time. A reading further than two
and a half of the gauge's periods away is no neighbour: one missing reading is bridged, a missing batch is not. Readings
without a value are no neighbours.
"""

from dataclasses import dataclass, fields
from math import inf

import numpy as np
import numpy.typing as npt

from flood_assets.grouping import Floats, Ints, Packing, begins
from flood_assets.quality.codes import FAIL, NOT_EVALUATED, PASS, SUSPECT, QcFlags
from flood_assets.quality.kinds import SPIKE_DEVIATIONS, STEP_DEVIATIONS, THRESHOLDS, Kind, Thresholds

NEIGHBOUR_PERIODS = 2.5
USUAL_PERIOD = 900.0

# Values have three decimals and come from text: smaller differences are rounding.
_EPSILON = 1e-6
# Fewer readings than these say nothing of a gauge: in the median of two, a spike hides behind itself.
FEWEST = 8
# From a median of absolute values to a standard deviation, if they are normally distributed.
_DEVIATION = 1.4826


@dataclass(frozen=True)
class Series:
    """Readings with a value, each measure's together and in order of time, each time once.

    Attributes:
        measure: its row in the snapshot.
        value: in the base unit, or as given if the unit is not known.
        gap: seconds since the reading before, NaN where that is no neighbour.
        time: ms since 1970.
        measures: number of measures in the snapshot.
    """

    measure: Ints
    value: Floats
    gap: Floats
    time: Ints
    measures: int

    @classmethod
    def of(cls, measure: Ints, time: Ints, value: Floats, period: Floats) -> "tuple[Series, Ints]":
        """Sort readings; return their series and the place of each of them in it.

        Args:
            measure: the row of each reading's measure in the snapshot.
            time: ms.
            value: finite.
            period: for each measure of the snapshot, its usual seconds between readings.
        """
        key = Packing.of(time).pack(measure, time)
        if (key[1:] > key[:-1]).all():  # as blocks of measures are
            return cls(measure, value, _gaps(measure, time, period), time, period.size), np.arange(key.size)
        order = np.argsort(key, kind="stable")
        first = begins(key[order])
        if not first.all():  # the smallest of several values at one time counts, in whichever order they come
            order = np.lexsort((value, key))
        place = np.empty(key.size, np.int64)
        place[order] = np.cumsum(first) - 1

        rows = order[first]
        measure, value, time = measure[rows], value[rows], time[rows]
        return cls(measure, value, _gaps(measure, time, period), time, period.size), place

    def medians(self, values: Floats) -> Floats:
        """Return the median of each measure of the snapshot, of one number a reading without NaN; NaN if too few."""
        there = np.isfinite(values)
        values, measure = values[there], self.measure[there]
        count = np.bincount(measure, minlength=self.measures)
        start = np.cumsum(count) - count
        medians = np.full(self.measures, np.nan)
        # Measures with about as many numbers are sorted as the rows of one table: many times quicker than sorting all
        # numbers by two columns.
        width = FEWEST
        while width <= count.max(initial=0):
            some = np.flatnonzero((count >= width) & (count < 2 * width))
            beside = np.arange(count[some].max(initial=0))
            inside = beside < count[some, None]
            table = np.full(inside.shape, inf)
            table[inside] = values[(start[some, None] + beside)[inside]]
            table.sort(axis=1)
            medians[some] = table[np.arange(len(some)), count[some] // 2]
            width *= 2
        return medians


def _gaps(measure: Ints, time: Ints, period: Floats) -> Floats:
    """Return the seconds since the reading before; NaN where that is no neighbour."""
    gap = np.full(time.size, np.nan)
    gap[1:] = np.diff(time) / 1000
    gap[1:][np.diff(measure) != 0] = np.nan
    gap[gap > NEIGHBOUR_PERIODS * period[measure]] = np.nan
    return gap


def of_kinds(kinds: npt.NDArray[np.int8]) -> dict[str, Floats]:
    """Return the thresholds of each measure, as columns; NaN where a test is skipped."""
    of = [THRESHOLDS.get(kind, Thresholds()) for kind in Kind]
    table = {
        each.name: np.array([getattr(one, each.name) for one in of], np.float64)[kinds] for each in fields(Thresholds)
    }
    for pair in ("spike", "spike_share", "flat"):
        table[f"{pair}_low"], table[f"{pair}_high"] = table.pop(pair).T
    return table


def spikes(series: Series, thresholds: dict[str, Floats]) -> QcFlags:
    """Flag readings that stand out from both neighbours, to the same side, by more than the thresholds (test 6).

    The smaller of the two differences counts. It is at most QARTOD's own measure, the distance from the neighbours'
    mean, and zero for a step, which the mean would count as two half spikes: the onset of a flood is left to the rate
    of change. The last reading has no right neighbour yet: not evaluated.
    """
    before = _steps(series)
    after = _next(before, np.nan)
    apart = (series.gap + _next(series.gap, np.nan)) / 2
    size = np.where(before * after < 0, np.minimum(np.abs(before), np.abs(after)), 0)
    size[np.isnan(before) | np.isnan(after)] = np.nan

    noise = np.nan_to_num(_DEVIATION * series.medians(np.abs(before - after) / 2))
    longer = np.maximum(apart / USUAL_PERIOD, 1)
    beside = np.maximum(np.abs(series.value - before), np.abs(series.value + after))
    low, high = (
        np.maximum(
            thresholds[f"spike_{end}"][series.measure] * longer
            + _times(thresholds[f"spike_share_{end}"], series, beside),
            (deviations * noise)[series.measure],
        )
        for end, deviations in zip(("low", "high"), SPIKE_DEVIATIONS, strict=True)
    )
    return _flags(size, low, high)


def rates_of_change(series: Series, thresholds: dict[str, Floats], spike: QcFlags) -> QcFlags:
    """Flag changes from the reading before that are larger than the threshold (test 7): suspect, never a fail.

    The reading after a spike is not evaluated.
    """
    steps = np.abs(_steps(series))
    turning = thresholds["turns"][series.measure] > 0
    steps[turning] = np.minimum(steps[turning], 360 - steps[turning])
    usual = np.nan_to_num(_DEVIATION * series.medians(steps))

    steps[1:][np.isin(spike[:-1], (SUSPECT, FAIL))] = np.nan
    smaller = np.abs(series.value)
    smaller[1:] = np.minimum(smaller[1:], smaller[:-1])
    allowed = np.maximum(
        thresholds["step"][series.measure] * np.maximum(series.gap / USUAL_PERIOD, 1)
        + _times(thresholds["step_share"], series, smaller),
        (STEP_DEVIATIONS * usual)[series.measure],
    )
    return _flags(steps, allowed, np.full(allowed.size, inf))


def flat_lines(series: Series, thresholds: dict[str, Floats]) -> QcFlags:
    """Flag values that have not changed for as long as the thresholds (test 8).

    As in QARTOD, the reading that completes that time and those after it are flagged, not those before. A value that
    has stood since the first reading or since a gap, but not long enough yet, is not evaluated.
    """
    size = series.value.size
    started = np.isnan(series.gap)
    changed = started | ~(np.abs(_steps(series)) <= _EPSILON)
    since = np.maximum.accumulate(np.where(changed, np.arange(size), 0))
    lasted = (series.time - series.time[since]) / 1000

    low, high = (thresholds[f"flat_{end}"][series.measure] for end in ("low", "high"))
    flags = _flags(lasted, low, high, reached=True)
    flags[(flags == PASS) & started[since]] = NOT_EVALUATED
    at_rest = (np.abs(series.value) <= _EPSILON) & (thresholds["flat_at_zero"][series.measure] > 0)
    flags[at_rest & np.isfinite(low)] = PASS
    return flags


def _steps(series: Series) -> Floats:
    """Return the change from the reading before; NaN where that is no neighbour."""
    steps = np.full(series.value.size, np.nan)
    steps[1:] = np.diff(series.value)
    steps[np.isnan(series.gap)] = np.nan
    return steps


def _next(values: Floats, last: float) -> Floats:
    return np.append(values[1:], last) if values.size else values


def _times(share: Floats, series: Series, value: Floats) -> Floats:
    return share[series.measure] * np.nan_to_num(value)


def _flags(found: Floats, low: Floats, high: Floats, *, reached: bool = False) -> QcFlags:
    """Return flags by two thresholds; not evaluated where either side of the comparison is NaN."""
    exceeds = np.greater_equal if reached else np.greater
    flags = np.full(found.size, PASS, np.int8)
    flags[exceeds(found, low)] = SUSPECT
    flags[exceeds(found, high)] = FAIL
    flags[np.isnan(found) | np.isnan(low)] = NOT_EVALUATED
    return flags
