"""Reporting interval of each gauge: the listed period, or the gauge's own interval where that differs."""

from dataclasses import dataclass

import numpy as np

from flood_assets.grouping import Ints, mode
from flood_assets.ledger.day import Day

# A gauge's own interval is known when so many gaps were seen and so many of them are alike. A gauge without a listed
# period may report events, whose gaps are alike only by chance: it has to be more regular.
OWN_GAPS, OWN_SHARE = 3, 0.5
UNLISTED_GAPS, UNLISTED_SHARE = 5, 0.75

# Gaps this close to the listed period count as the listed one: seconds wander.
NEAR = 0.1

MINUTE = 60_000


@dataclass(frozen=True)
class ReportingIntervals:
    """Times at which each measure's readings are expected, ms: at `phase` and every `interval` before and after it.

    Attributes:
        interval: time between readings; 0 for a gauge that reports events.
        phase: offset of its readings within an interval, counted from 1970.
        wander: largest distance of this day's readings from their expected times.
    """

    interval: Ints
    phase: Ints
    wander: Ints


def reporting_intervals(day: Day) -> ReportingIntervals:
    """Return the reporting interval of each of the day's measures.

    The interval is the gauge's most frequent gap if at least half of its gaps are alike, else the listed period: a
    gauge that is listed with 15 minutes and reports every five has an interval of five minutes, and one without a
    listed period that reports every 15 minutes has one of 15. The phase is the most frequent one; without readings,
    whole periods from midnight.
    """
    size = len(day.measures)
    gaps = np.diff(day.at)
    inside = day.measure[1:] == day.measure[:-1]
    # To the minute, so that a clock whose seconds wander has gaps that are alike; short gaps to the second.
    unit = np.where(gaps >= 2 * MINUTE, MINUTE, 1000)
    gap, often, many = mode(day.measure[1:][inside], (np.round(gaps / unit).astype(np.int64) * unit)[inside], size)
    listed = ~np.isnan(day.period)
    nominal = np.where(listed, day.period, 0).astype(np.int64)
    enough = np.where(listed, OWN_GAPS, UNLISTED_GAPS)
    share = np.where(listed, OWN_SHARE, UNLISTED_SHARE)
    regular = (many >= enough) & (often >= share * many)
    interval = np.where(regular & (np.abs(gap - nominal) > NEAR * nominal), gap, nominal)

    rows = interval[day.measure] > 0
    measure, at = day.measure[rows], day.at[rows]
    own = interval[measure]
    phase = mode(measure, at % own, size)[0]
    off = np.abs((at - phase[measure] + own // 2) % own - own // 2)
    near = off <= NEAR * own
    wander = np.zeros(size, np.int64)
    np.maximum.at(wander, measure[near], off[near])
    return ReportingIntervals(interval, phase, wander)
