"""Spike, rate of change and flat line (QARTOD's tests 6 to 8): what a reading is beside those before and after it.

All gauges at once: their readings lie one gauge behind the other in arrays, in order of time, and no step depends on
how many gauges there are. A reading further than two and a half of the gauge's own steps away is no neighbour: one
missing reading is bridged, a batch that did not come is not. Readings without a value are no neighbours.
"""

from dataclasses import dataclass
from math import inf

import numpy as np
import numpy.typing as npt

from flood_assets.quality.codes import FAIL, NOT_EVALUATED, PASS, SUSPECT, Flags
from flood_assets.quality.kinds import SPIKE_DEVIATIONS, STEP_DEVIATIONS, THRESHOLDS, Kind

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NEIGHBOUR_STEPS = 2.5
USUAL_STEP = 900.0

# Values come with three decimals and from text: what differs by less differs by rounding.
_EPSILON = 1e-6
# Of fewer than these nothing is learnt of a gauge: in the median of two, a spike hides behind itself.
FEWEST = 8
# What makes a median of absolute values a standard deviation, if they are normally distributed.
_DEVIATION = 1.4826


@dataclass(frozen=True)
class Series:
    """Readings with a value, each measure's together and in order of time, each time once.

    Attributes:
        measure: which measure, as its row in the snapshot.
        value: in the base unit, or in an unknown one.
        gap: seconds since the reading before, NaN where that is no neighbour.
        time: milliseconds since 1970.
        measures: how many measures the snapshot has.
    """

    measure: Ints
    value: Floats
    gap: Floats
    time: Ints
    measures: int

    @classmethod
    def of(cls, measure: Ints, time: Ints, value: Floats, step: Floats) -> "tuple[Series, Ints]":
        """Order readings that come in any order; also where in the series each of them is.

        Args:
            measure: the row of each reading's measure in the snapshot.
            time: milliseconds.
            value: finite.
            step: for each measure of the snapshot, its usual seconds between readings.
        """
        elapsed = time - (time.min() if time.size else 0)
        key = measure * (int(elapsed.max(initial=0)) + 1) + elapsed
        order = np.argsort(key, kind="stable")
        first = np.ones(key.size, np.bool_)
        first[1:] = np.diff(key[order]) != 0
        if not first.all():  # of several values at one time the least counts, in whichever order they come
            order = np.lexsort((value, key))
        place = np.empty(key.size, np.int64)
        place[order] = np.cumsum(first) - 1

        rows = order[first]
        measure, value, time = measure[rows], value[rows], time[rows]
        gap = np.full(rows.size, np.nan)
        gap[1:] = np.diff(time) / 1000
        gap[1:][np.diff(measure) != 0] = np.nan
        gap[gap > NEIGHBOUR_STEPS * step[measure]] = np.nan
        return cls(measure, value, gap, time, step.size), place

    def medians(self, values: Floats) -> Floats:
        """For each measure of the snapshot the median of one number a reading; NaN where there are too few.

        NaN among `values` is passed over.
        """
        there = np.isfinite(values)
        values, measure = values[there], self.measure[there]
        count = np.bincount(measure, minlength=self.measures)
        start = np.cumsum(count) - count
        medians = np.full(self.measures, np.nan)
        # Measures with about as many numbers are sorted as the rows of one table: that is many times quicker than to
        # sort all numbers by two columns, and hardly more of them than there are.
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


def of_kinds(kinds: npt.NDArray[np.int8]) -> dict[str, Floats]:
    """The thresholds of each measure, as columns; NaN where a test is not made."""
    of = [THRESHOLDS.get(kind, THRESHOLDS[Kind.RAIN_EVENT]) for kind in Kind]
    no = (np.nan, np.nan)
    columns = {
        "spike_low": [(each.spike or no)[0] for each in of],
        "spike_high": [(each.spike or no)[1] for each in of],
        "spike_share_low": [each.spike_share[0] for each in of],
        "spike_share_high": [each.spike_share[1] for each in of],
        "step": [np.nan if each.step is None else each.step for each in of],
        "step_share": [each.step_share for each in of],
        "flat_low": [(each.flat or no)[0] for each in of],
        "flat_high": [(each.flat or no)[1] for each in of],
        "flat_at_zero": [float(each.flat_at_zero) for each in of],
        "turns": [float(each.turns) for each in of],
    }
    return {name: np.array(values, np.float64)[kinds] for name, values in columns.items()}


def spikes(series: Series, thresholds: dict[str, Floats]) -> Flags:
    """Test 6. A reading that stands out from both neighbours, to the same side, by more than the thresholds.

    How far is the smaller of the two differences. That is at most QARTOD's own measure, the distance from the
    neighbours' mean, and is zero for a step, which the mean would count as two half spikes: the onset of a flood is
    left to the rate of change. The last reading has no right neighbour yet: not evaluated.
    """
    before = _steps(series)
    after = _next(before, np.nan)
    apart = (series.gap + _next(series.gap, np.nan)) / 2
    size = np.where(before * after < 0, np.minimum(np.abs(before), np.abs(after)), 0)
    size[np.isnan(before) | np.isnan(after)] = np.nan

    noise = np.nan_to_num(_DEVIATION * series.medians(np.abs(before - after) / 2))
    longer = np.maximum(apart / USUAL_STEP, 1)
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


def rates_of_change(series: Series, thresholds: dict[str, Floats], spike: Flags) -> Flags:
    """Test 7. A change from the reading before that is larger than the threshold: suspect, never a fail.

    The way back from a spike is not held against the reading that follows it: not evaluated.
    """
    steps = np.abs(_steps(series))
    turning = thresholds["turns"][series.measure] > 0
    steps[turning] = np.minimum(steps[turning], 360 - steps[turning])
    usual = np.nan_to_num(_DEVIATION * series.medians(steps))

    steps[1:][np.isin(spike[:-1], (SUSPECT, FAIL))] = np.nan
    smaller = np.abs(series.value)
    smaller[1:] = np.minimum(smaller[1:], smaller[:-1])
    allowed = np.maximum(
        thresholds["step"][series.measure] * np.maximum(series.gap / USUAL_STEP, 1)
        + _times(thresholds["step_share"], series, smaller),
        (STEP_DEVIATIONS * usual)[series.measure],
    )
    return _flags(steps, allowed, np.full(allowed.size, inf))


def flat_lines(series: Series, thresholds: dict[str, Floats]) -> Flags:
    """Test 8. A value that has not changed for as long as the thresholds say.

    As QARTOD has it, the reading that completes such a time is flagged and those after it, not those before. Where the
    value has stood since the first reading or since a gap, but not long enough yet, nobody knows: not evaluated.
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
    """The change from the reading before; NaN where that is no neighbour."""
    steps = np.full(series.value.size, np.nan)
    steps[1:] = np.diff(series.value)
    steps[np.isnan(series.gap)] = np.nan
    return steps


def _next(values: Floats, last: float) -> Floats:
    return np.append(values[1:], last) if values.size else values


def _times(share: Floats, series: Series, value: Floats) -> Floats:
    return share[series.measure] * np.nan_to_num(value)


def _flags(found: Floats, low: Floats, high: Floats, *, reached: bool = False) -> Flags:
    """Flags by two thresholds; not evaluated where either side of the comparison is NaN."""
    exceeds = np.greater_equal if reached else np.greater
    flags = np.full(found.size, PASS, np.int8)
    flags[exceeds(found, low)] = SUSPECT
    flags[exceeds(found, high)] = FAIL
    flags[np.isnan(found) | np.isnan(low)] = NOT_EVALUATED
    return flags
