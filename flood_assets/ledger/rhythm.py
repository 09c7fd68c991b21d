"""How often each gauge reports: the nominal period, or the gauge's own habit where that says something else."""

from dataclasses import dataclass

import numpy as np

from flood_assets.ledger.day import Day
from flood_assets.ledger.groups import Ints, mode

# A habit is known when so many gaps were seen and so many of them are alike. Without a listed period a gauge may be one
# that reports events, whose gaps are alike only by chance: it has to be more regular to count as one with a rhythm.
HABIT_GAPS, HABIT_SHARE = 3, 0.5
UNLISTED_GAPS, UNLISTED_SHARE = 5, 0.75

# Gaps this close to the nominal period are the nominal one: seconds wander.
NEAR = 0.1

MINUTE = 60_000


@dataclass(frozen=True)
class Rhythm:
    """When each measure's readings are to be expected: at `phase` and every `step` before and after; all in ms.

    Attributes:
        step: time between readings; 0 for a gauge that reports events.
        phase: the place of its readings within a step, counted from 1970.
        wander: how far from its place a reading of this day lies at most.
    """

    step: Ints
    phase: Ints
    wander: Ints


def rhythm_of(day: Day) -> Rhythm:
    """The rhythm of each of the day's measures.

    The step is the gauge's most frequent gap when at least half of them are alike, else the listed period. A gauge that
    is listed with 15 minutes and reports every five has a step of five; one that is listed without a period and
    reports every 15 minutes all the same has one of 15. The phase is the most frequent one, whole periods from
    midnight where there was no reading.
    """
    size = len(day.measures)
    gaps = np.diff(day.at)
    inside = day.measure[1:] == day.measure[:-1]
    # To the minute, so that a clock whose seconds wander has gaps that are alike; to the second where steps are short.
    unit = np.where(gaps >= 2 * MINUTE, MINUTE, 1000)
    gap, often, many = mode(day.measure[1:][inside], (np.round(gaps / unit).astype(np.int64) * unit)[inside], size)
    listed = ~np.isnan(day.period)
    nominal = np.where(listed, day.period, 0).astype(np.int64)
    enough = np.where(listed, HABIT_GAPS, UNLISTED_GAPS)
    share = np.where(listed, HABIT_SHARE, UNLISTED_SHARE)
    habit = (many >= enough) & (often >= share * many)
    step = np.where(habit & (np.abs(gap - nominal) > NEAR * nominal), gap, nominal)

    regular = step[day.measure] > 0
    measure, at = day.measure[regular], day.at[regular]
    own = step[measure]
    phase = mode(measure, at % own, size)[0]
    off = np.abs((at - phase[measure] + own // 2) % own - own // 2)
    near = off <= NEAR * own
    wander = np.zeros(size, np.int64)
    np.maximum.at(wander, measure[near], off[near])
    return Rhythm(step, phase, wander)
