"""How often a gauge reports: what is listed, unless its own habit says something else."""

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flood_assets.ledger.intervals import reporting_intervals
from flood_assets_tests.support.ledger_rows import MINUTE, NOW, SECOND, a_day, every


def interval_of(moments, listed: int | None) -> float | None:
    """In seconds; None for an event gauge."""
    intervals = reporting_intervals(a_day({"a": moments}, {"a": listed}))
    return intervals.interval[0] / 1000 or None


@pytest.mark.parametrize("seconds", [300, 900, 1800, 3600])
@pytest.mark.parametrize("listed", [300, 900, 3600, None])
def test_a_gauge_that_keeps_to_its_habit_has_that_whatever_is_listed(seconds, listed):
    assert interval_of(every(timedelta(seconds=seconds)), listed) == seconds


def test_without_enough_readings_what_is_listed_counts():
    assert interval_of([], 900) == 900
    assert interval_of(every(15 * MINUTE)[:1], 900) == 900
    assert interval_of(every(60 * MINUTE)[:3], 900) == 900
    assert interval_of(every(60 * MINUTE)[:4], 900) == 3600
    assert interval_of([], None) is None


def test_gaps_do_not_make_a_gauge_slower():
    chance = random.Random(1)
    kept = [moment for moment in every(15 * MINUTE) if chance.random() < 0.7]
    assert interval_of(kept, 900) == 900
    assert interval_of(every(15 * MINUTE)[:30] + every(15 * MINUTE)[60:], None) == 900


def test_some_hours_of_readings_every_five_minutes_do_not_make_a_15_minute_gauge_faster():
    flood = every(5 * MINUTE)[100:136]
    assert interval_of(sorted({*every(15 * MINUTE), *flood}), 900) == 900


def test_seconds_may_wander():
    chance = random.Random(2)
    wandering = [moment + chance.randrange(-20, 20) * SECOND for moment in every(15 * MINUTE)[1:-1]]
    intervals = reporting_intervals(a_day({"a": wandering}, {"a": 900}))
    assert intervals.interval[0] == 900_000
    assert 0 < intervals.wander[0] <= 40_000


@given(st.integers(0, 2**32))
def test_tips_of_a_bucket_are_events(seed):
    chance = random.Random(seed)
    tips = sorted(NOW - chance.randrange(1, 86_000) * SECOND for _ in range(chance.randrange(0, 30)))
    assert interval_of(sorted(set(tips)), None) is None


@pytest.mark.parametrize("phase", [0, 1, 37, 450, 899])
def test_the_phase_is_the_gauges_own(phase):
    moments = every(15 * MINUTE, phase=phase * SECOND)
    intervals = reporting_intervals(a_day({"a": moments}, {"a": 900}))
    assert (intervals.phase[0], intervals.wander[0]) == (phase * 1000, 0)


def test_gauges_are_told_apart():
    day = a_day({"b": every(60 * MINUTE), "c": every(5 * MINUTE), "x": []}, {"a": 900, "c": 900})
    assert day.measures.to_pylist() == ["a", "b", "c"]
    assert reporting_intervals(day).interval.tolist() == [900_000, 3_600_000, 300_000]
