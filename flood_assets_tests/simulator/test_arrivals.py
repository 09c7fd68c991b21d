from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flood_assets.simulator import Simulator
from flood_assets.simulator.arrivals import NEVER, NONE
from flood_assets.simulator.country import everything

NOW = int(datetime(2026, 11, 21, 12, 14, tzinfo=UTC).timestamp())
SIMULATOR = Simulator(1500, seed=4)
BLOCK = SIMULATOR.block_of(600)
ALL = everything(BLOCK)


def shown(now: int, start: int = 0, end: int = 2**40, simulator: Simulator = SIMULATOR):
    rows = simulator.shown(simulator.block_of(600), ALL, start, end, now)
    return {(m, t): (v, s) for m, t, v, s in zip(*(c.tolist() for c in rows), strict=True)}


def every_reading(days: int = 27, simulator: Simulator = SIMULATOR, block=BLOCK):
    return simulator._arrivals.readings(block.signals, everything(block), NOW - days * 86400, NOW)


@pytest.fixture(scope="module")
def readings():
    """All of 27 days, which take a second: not when the file is read, as each process of the tests does."""
    return every_reading()


def test_a_simulator_that_starts_later_agrees_with_one_that_ran_all_along():
    running = Simulator(1500, seed=4)
    for hours in range(30, 0, -3):
        shown(NOW - hours * 3600, NOW - 40 * 3600, simulator=running)
    assert shown(NOW, NOW - 48 * 3600, simulator=running) == shown(
        NOW, NOW - 48 * 3600, simulator=Simulator(1500, seed=4)
    )


def test_another_seed_is_another_country():
    other = Simulator(1500, seed=5)
    assert [s.notation for s in other.block_of(600).stations] != [s.notation for s in BLOCK.stations]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 20 * 86400), st.integers(0, 7 * 86400))
def test_a_reading_once_shown_stays_shown(ago, later):
    earlier = NOW - ago
    first, then = shown(earlier, earlier - 30000, earlier + 2000), shown(earlier + later, earlier - 30000)
    assert set(first) <= set(then)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 25 * 86400), st.integers(1, 86400), st.integers(1, 86400))
def test_two_halves_of_a_span_are_the_span(ago, first, second):
    start = NOW - ago
    middle, end = start + first, start + first + second
    assert shown(NOW, start, middle) | shown(NOW, middle, end) == shown(NOW, start, end)


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 20 * 86400))
def test_latest_is_the_newest_of_what_is_shown(ago):
    now = NOW - ago
    newest: dict[int, int] = {}
    for measure, time in shown(now):
        newest[measure] = max(time, newest.get(measure, 0))
    latest = SIMULATOR.latest(BLOCK, ALL, now)
    assert dict(zip(latest.measure.tolist(), latest.time.tolist(), strict=True)) == newest


def test_a_late_reading_appears_only_after_its_arrival(readings):
    late = np.flatnonzero((readings.arrival - readings.time > 7200) & (readings.time < NOW - 86400))[0]
    key = (int(readings.measure[late]), int(readings.time[late]))
    arrival = int(readings.arrival[late])
    assert key not in shown(arrival - 1, key[1], key[1] + 1)
    assert key in shown(arrival, key[1], key[1] + 1)


def test_some_readings_arrive_after_newer_ones(readings):
    polled = BLOCK.signals.upload[readings.measure] == 0
    order = np.lexsort((readings.time, readings.measure))
    order = order[polled[order]]
    same = np.diff(readings.measure[order]) == 0
    overtaken = same & (np.diff(readings.arrival[order]) < -1800)
    assert 0.001 < overtaken.mean() < 0.01


def test_uploads_bring_many_readings_in_the_same_second(readings):
    uploaded = BLOCK.signals.upload[readings.measure] >= 4 * 3600
    keys, sizes = np.unique(readings.arrival[uploaded], return_counts=True)
    assert keys.size
    assert np.median(sizes) >= 4


def test_a_corrected_reading_shows_its_first_value_until_the_correction(readings):
    corrected = np.flatnonzero(readings.correct_until == NEVER)[0]
    row = readings.corrected[corrected]
    at = int(readings.time[row])
    key, since = (int(readings.measure[row]), at), int(readings.correct_from[corrected])
    assert shown(since - 1, at, at + 1)[key][0] == readings.value[row]
    assert shown(since, at, at + 1)[key][0] == readings.correct[corrected] != readings.value[row]


def test_some_corrections_are_taken_back(readings):
    back = np.flatnonzero(readings.correct_until != NEVER)[0]
    row = readings.corrected[back]
    at, key = int(readings.time[row]), (int(readings.measure[row]), int(readings.time[row]))
    until = int(readings.correct_until[back])
    assert shown(until - 1, at, at + 1)[key][0] == readings.correct[back]
    assert shown(until, at, at + 1)[key][0] == readings.value[row]


def test_rare_readings_are_about_as_rare_as_they_should_be(readings):
    total = readings.time.size
    usual = ~BLOCK.signals.twofold[readings.measure]
    assert 1 / 6000 < readings.corrected.size / total < 1 / 1500
    assert 0.0001 < ((readings.second != NONE) & usual).mean() < 0.0004
    assert 0.00001 < (readings.value == NONE).mean() < 0.00015
    equal = readings.second == readings.value
    assert equal.any()


def test_readings_are_forgotten_after_28_days_and_the_present_one():
    oldest = min(time for _, time in shown(NOW))
    midnight = NOW // 86400 * 86400
    assert midnight - 28 * 86400 <= oldest < midnight - 28 * 86400 + 900


def test_a_clock_that_is_ahead_shows_readings_of_the_future_but_not_far():
    simulator = Simulator(60, seed=1)
    block = simulator.block_of(0)
    ahead = []
    for ago in range(0, 86400, 600):
        rows = simulator.latest(block, everything(block), NOW - ago)
        ahead.append(int((rows.time - (NOW - ago)).max()))
    assert 0 < max(ahead) <= timedelta(minutes=20).total_seconds()
    assert min(ahead) < 0


def test_event_gauges_report_at_irregular_times_and_only_when_it_rains():
    simulator = Simulator(60, seed=1)
    block = simulator.block_of(0)
    gauge = [i for i, m in enumerate(block.measures) if "-Event-Unspecified-" in m.notation]
    rows = simulator.shown(block, np.array(gauge), 0, NOW, NOW)
    assert 10 < rows.time.size < 28 * 96 / 2
    assert len(set((rows.time % 900).tolist())) > rows.time.size / 3


def test_no_measure_has_two_readings_of_one_time(readings):
    keys = readings.measure * 2**40 + readings.time
    assert np.unique(keys).size == keys.size
