import math
from dataclasses import replace
from datetime import timedelta

import pytest

from flood_assets.quality import FAIL, NOT_EVALUATED, PASS, SUSPECT
from flood_assets_tests.support.quality_rows import (
    DIRECTION,
    FLOW,
    GROUNDWATER,
    HOUR,
    QUARTER,
    RAIN,
    RAIN_COUNTER,
    RAIN_EVENT,
    RESERVOIR,
    RIVER,
    TIDE,
    WARMTH,
    WIND,
    Gauge,
    flags_of,
    restless,
)

MINUTE = timedelta(minutes=1)


def spike(gauge: Gauge, *values: float, **when) -> list[int]:
    return flags_of(gauge, values, **when)["spike_flag"]


def rate(gauge: Gauge, *values: float, **when) -> list[int]:
    return flags_of(gauge, values, **when)["rate_of_change_flag"]


def flat(gauge: Gauge, *values: float | None, **when) -> list[int]:
    return flags_of(gauge, values, **when)["flat_line_flag"]


def a_tide(metres: float, days: int = 1) -> list[float]:
    """The M2 tide from lowest to highest water, every quarter of an hour, to the millimetre."""
    return [round(metres / 2 * math.sin(2 * math.pi * i / 49.68), 3) for i in range(96 * days)]


# -- spike


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("gauge", "around", "suspect", "fail"),
    [
        (RIVER, 1, 0.3, 1.5),
        (replace(RIVER, unit="mAOD"), 52, 0.3, 1.5),
        (replace(RIVER, unit="m", qualifier="2"), 1, 0.3, 1.5),
        (TIDE, 1, 0.5, 1.5),
        (replace(TIDE, unit="mm"), 4000, 500, 1500),
        (GROUNDWATER, -25, 0.5, None),
        (replace(GROUNDWATER, unit="mBDAT"), 30, 0.5, None),
        (RESERVOIR, 99, 1, None),
        (FLOW, 20, 10.1, 101),
        (replace(FLOW, unit="l/s"), 100, 150, 1500),
        (replace(FLOW, unit="Ml/d"), 864, 440.64, 4406.4),
        (WIND, 5, 20, 40),
        (replace(WIND, unit="Knots"), 10, 20 * 3600 / 1852, 40 * 3600 / 1852),
        (WARMTH, 12, 3, 8),
    ],
    ids=lambda given: f"{given.parameter} {given.qualifier} {given.unit}" if isinstance(given, Gauge) else "",
)
def test_a_single_value_apart_from_both_neighbours_is_suspect_or_fails_by_how_far(gauge, around, suspect, fail, sign):
    def flag(size: float) -> int:
        return spike(gauge, around, around + sign * size, around)[1]

    assert (flag(suspect * 0.99), flag(suspect * 1.01)) == (PASS, SUSPECT)
    if fail:
        assert (flag(fail * 0.99), flag(fail * 1.01)) == (SUSPECT, FAIL)
    else:
        assert flag(500) == SUSPECT


@pytest.mark.parametrize("gauge", [RAIN, RAIN_EVENT, RAIN_COUNTER, DIRECTION], ids=lambda gauge: str(gauge.value_type))
def test_amounts_of_rain_and_turns_of_the_wind_are_no_spikes(gauge):
    assert set(spike(gauge, 0, 0, 20, 0, 0, 55, 0)) == {NOT_EVALUATED}


def test_the_first_and_the_last_reading_have_one_neighbour_only_and_are_not_evaluated():
    assert spike(RIVER, 9, 1, 1, 1, 9) == [NOT_EVALUATED, PASS, PASS, PASS, NOT_EVALUATED]
    assert spike(RIVER, 1) == [NOT_EVALUATED]
    assert spike(RIVER, 1, 9) == [NOT_EVALUATED] * 2


def test_what_counts_is_the_nearer_neighbour_so_that_those_of_a_spike_are_none():
    assert spike(RIVER, 1, 1, 1, 6, 1, 1, 1) == [NOT_EVALUATED, PASS, PASS, FAIL, PASS, PASS, NOT_EVALUATED]
    assert spike(RIVER, 1.0, 3.0, 2.8, 2.8)[1] == PASS


@pytest.mark.parametrize(
    ("minutes", "flag"), [(37, FAIL), (38, NOT_EVALUATED)], ids=["one reading is missing", "it is too far"]
)
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_reading_two_and_a_half_steps_away_is_a_neighbour_and_one_further_is_none(minutes, flag, side):
    gap = minutes * MINUTE
    at = [0 * MINUTE, gap, gap + QUARTER] if side == "before" else [0 * MINUTE, QUARTER, QUARTER + gap]
    assert spike(RIVER, 1, 7, 1, at=at)[1] == flag
    assert spike(replace(RIVER, period_s=None), 1, 7, 1, at=at)[1] == flag
    assert spike(replace(RIVER, period_s=3600), 1, 7, 1, at=at)[1] == FAIL


def test_a_reading_without_a_value_is_no_neighbour():
    assert spike(RIVER, 1, 1, None, 7, 1)[3] == FAIL
    assert spike(RIVER, 1, 1, None, None, 7, 1)[4] == NOT_EVALUATED


def test_an_hourly_gauge_may_change_by_four_times_as_much():
    hourly = replace(RIVER, period_s=3600)
    assert [spike(hourly, 1, 1 + size, 1, every=HOUR)[1] for size in (1.19, 1.21, 5.99, 6.01)] == [
        PASS,
        SUSPECT,
        SUSPECT,
        FAIL,
    ]


def test_a_five_minute_gauge_has_no_tighter_thresholds():
    often = replace(RIVER, period_s=300)
    assert [spike(often, 1, 1 + size, 1, every=5 * MINUTE)[1] for size in (0.29, 0.31)] == [PASS, SUSPECT]


def test_a_gauge_with_noise_of_its_own_is_measured_by_that():
    noisy = [1 + 0.2 * (-1) ** i for i in range(40)]
    assert set(spike(RIVER, *noisy)[1:-1]) == {PASS}
    noisy[20] += 4
    flags = spike(RIVER, *noisy)
    assert flags[20] in (SUSPECT, FAIL)
    assert set(flags[1:20] + flags[21:-1]) == {PASS}


def test_of_few_readings_no_noise_is_learnt_behind_which_a_spike_could_hide():
    assert spike(RIVER, 1, 7, 1, 7, 1) == [NOT_EVALUATED, FAIL, FAIL, FAIL, NOT_EVALUATED]


@pytest.mark.parametrize("metres", [0.5, 5, 14.85])
def test_no_tide_is_a_spike_a_jump_or_a_flat_line(metres):
    for test in (spike, rate, flat):
        assert set(test(TIDE, *a_tide(metres, days=2))) <= {PASS, NOT_EVALUATED}


def test_a_spike_on_a_tide_is_found():
    values = a_tide(5)
    values[30] += 0.8
    values[60] -= 2.5
    flags = spike(TIDE, *values)
    assert (flags[30], flags[60]) == (SUSPECT, FAIL)
    assert set(flags[1:30] + flags[31:60] + flags[61:-1]) == {PASS}


# -- rate of change


def test_a_river_that_rises_at_once_after_rain_is_suspect_at_most():
    """Two metres and a half in a quarter of an hour, then up and down as a flood does."""
    values = [*restless(30), 3.5, 4.1, 4.3, 4.2, *(4.2 - 0.05 * i for i in range(1, 40))]
    flags = flags_of(RIVER, values)
    assert flags["rate_of_change_flag"][30] == SUSPECT
    assert FAIL not in flags["flag"]
    assert [i for i, flag in enumerate(flags["flag"]) if flag == SUSPECT] == [30]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("gauge", "around", "suspect"),
    [
        (RIVER, 3, 1),
        (TIDE, 1, 1.5),
        (replace(TIDE, unit="mm"), 4000, 1500),
        (GROUNDWATER, -25, 0.5),
        (RESERVOIR, 99, 1),
        (WIND, 30, 15),
        (WARMTH, 12, 8),
        (DIRECTION, 180, 120),
    ],
    ids=lambda given: f"{given.parameter} {given.qualifier} {given.unit}" if isinstance(given, Gauge) else "",
)
def test_a_larger_change_than_usual_is_suspect_and_never_a_fail(gauge, around, suspect, sign):
    steps = [rate(gauge, around, around + sign * suspect * share)[1] for share in (0.99, 1.01)]
    assert steps == [PASS, SUSPECT]
    assert rate(gauge, around, around + sign * 1e6 if gauge is not DIRECTION else 330)[1] == SUSPECT


def test_a_flow_may_quadruple_and_a_cubic_metre_more():
    assert [rate(FLOW, 2, value)[1] for value in (8.9, 9.1)] == [PASS, SUSPECT]
    assert [rate(FLOW, value, 2)[1] for value in (8.9, 9.1)] == [PASS, SUSPECT]
    assert [rate(replace(FLOW, unit="Ml/d"), 0, value)[1] for value in (86, 87)] == [PASS, SUSPECT]


def test_the_first_reading_and_one_after_a_gap_have_nothing_to_compare_with():
    at = [0 * MINUTE, QUARTER, QUARTER + 38 * MINUTE, 2 * QUARTER + 38 * MINUTE]
    assert rate(RIVER, 1, 1, 9, 9, at=at) == [NOT_EVALUATED, PASS, NOT_EVALUATED, PASS]


def test_after_a_missing_reading_a_change_may_be_twice_as_large():
    assert [rate(RIVER, 1, 1 + step, every=2 * QUARTER)[1] for step in (1.99, 2.01)] == [PASS, SUSPECT]


def test_the_way_back_from_a_spike_is_not_held_against_the_next_reading():
    assert rate(RIVER, 1, 1, 7, 1, 1) == [NOT_EVALUATED, PASS, SUSPECT, NOT_EVALUATED, PASS]


def test_wind_that_turns_through_north_turns_by_little():
    assert rate(DIRECTION, 350, 10, 355, 0, 360) == [NOT_EVALUATED, PASS, PASS, PASS, PASS]
    assert rate(DIRECTION, 300, 61)[1] == SUSPECT
    assert rate(DIRECTION, 300, 59)[1] == PASS


def test_a_gauge_that_often_jumps_is_measured_by_its_own_jumps():
    """A sump that is pumped empty again and again; of few readings nobody can say that it is its habit."""
    sump = replace(RESERVOIR, qualifier="Sump Level")
    pumped = [3.0 * (i % 2) for i in range(40)]
    assert SUSPECT not in rate(sump, *pumped)
    assert SUSPECT in rate(sump, *pumped[:6])


@pytest.mark.parametrize("gauge", [RAIN, RAIN_EVENT, RAIN_COUNTER], ids=lambda gauge: gauge.value_type)
def test_rain_has_no_rate_of_change(gauge):
    assert set(rate(gauge, 0, 30, 0, 0.2)) == {NOT_EVALUATED}


# -- flat line


@pytest.mark.parametrize(
    ("gauge", "value", "suspect", "fail"),
    [
        (RIVER, 1, 18, None),
        (RIVER, 0, 18, None),
        (TIDE, 0.5, 6.25, 12.5),
        (TIDE, 0, 6.25, 12.5),
        (GROUNDWATER, -25, 72, None),
        (RESERVOIR, 99, 72, None),
        (FLOW, 3, 18, None),
        (RAIN, 0.2, 6, None),
        (WIND, 5, 2, 6),
        (DIRECTION, 225, 6, None),
        (WARMTH, 0, 6, None),
    ],
    ids=lambda given: f"{given.parameter} {given.qualifier}" if isinstance(given, Gauge) else "",
)
def test_a_value_that_stands_is_suspect_and_fails_after_the_hours_of_its_kind(gauge, value, suspect, fail):
    """And the readings before are not: QARTOD leaves what was flagged as it was."""
    flags = flat(gauge, value + 1, *[value] * 400)[1:]
    first = {flag: flags.index(flag) / 4 for flag in (SUSPECT, FAIL) if flag in flags}
    assert first == ({SUSPECT: suspect, FAIL: fail} if fail else {SUSPECT: suspect})
    assert set(flags[: int(4 * suspect)]) == {PASS}
    assert sorted(flags) == flags


@pytest.mark.parametrize("gauge", [RAIN, FLOW, WIND], ids=lambda gauge: gauge.parameter)
def test_days_without_rain_flow_or_wind_are_no_flat_line(gauge):
    assert set(flat(gauge, *[0.0] * 400)) == {PASS}


@pytest.mark.parametrize("gauge", [GROUNDWATER, RESERVOIR], ids=lambda gauge: gauge.qualifier)
def test_groundwater_that_stands_for_a_day_is_no_flat_line(gauge):
    assert set(flat(gauge, -25.01, *[-25.0] * 96)) == {NOT_EVALUATED, PASS}


@pytest.mark.parametrize("gauge", [RAIN_EVENT, RAIN_COUNTER], ids=lambda gauge: gauge.value_type)
def test_tips_of_a_bucket_and_counters_are_not_asked_to_change(gauge):
    assert set(flat(gauge, *[0.2] * 400)) == {NOT_EVALUATED}


def test_a_value_that_has_stood_since_the_first_reading_is_not_evaluated_until_it_stood_long_enough():
    assert flat(TIDE, *[1.0] * 30) == [NOT_EVALUATED] * 25 + [SUSPECT] * 5


def test_what_was_before_a_gap_is_unknown_and_standing_begins_anew():
    at = [i * QUARTER for i in range(20)] + [19 * QUARTER + 38 * MINUTE + i * QUARTER for i in range(20)]
    assert flat(TIDE, 0.9, *[1.0] * 39, at=at) == [NOT_EVALUATED] + [PASS] * 19 + [NOT_EVALUATED] * 20


def test_a_missing_value_is_no_change():
    values = [0.9, *[1.0] * 40]
    values[10] = None
    flags = flat(TIDE, *values)
    assert flags[25:27] == [PASS, SUSPECT]


def test_a_change_by_the_last_digit_is_one():
    assert set(flat(TIDE, *restless(96))[1:]) == {PASS}


def test_half_a_day_of_a_tide_gauge_that_died_between_two_days_is_found():
    values = a_tide(5, days=2)
    values[60:130] = [values[60]] * 70
    flags = flat(TIDE, *values)
    assert flags[84:86] == [PASS, SUSPECT]
    assert flags[109:111] == [SUSPECT, FAIL]
    assert set(flags[130:]) == {PASS}


# -- what no unit is known of


@pytest.mark.parametrize("gauge", [RIVER, TIDE], ids=lambda gauge: gauge.qualifier)
def test_without_a_unit_only_standing_still_can_be_seen(gauge):
    unitless = flags_of(replace(gauge, unit=None), [500.0, *[1.0] * 96])
    assert set(unitless["gross_range_flag"]) == set(unitless["spike_flag"]) == {NOT_EVALUATED}
    assert set(unitless["rate_of_change_flag"]) == {NOT_EVALUATED}
    assert SUSPECT in unitless["flat_line_flag"]


@pytest.mark.parametrize(
    "gauge",
    [replace(RIVER, unit="V"), replace(RIVER, parameter="mood"), replace(WIND, unit=None)],
    ids=lambda g: g.unit,
)
def test_of_what_is_no_gauge_of_ours_nothing_is_evaluated(gauge):
    flags = flags_of(gauge, [12.6, 99.0, 12.6, *[12.6] * 96])
    assert all(set(column) == {NOT_EVALUATED} for column in flags.values())


def test_qualifiers_are_read_in_any_spelling():
    for qualifier in ("tidal_level", "Tidal level"):
        assert FAIL in flat(replace(TIDE, qualifier=qualifier), *[1.0] * 96)
