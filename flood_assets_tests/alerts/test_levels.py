"""Alerts of levels fire and clear at the moments of an oracle, never for a spike, never twice, in whatever ticks."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flood_assets.alerts.evidence import Evidence
from flood_assets.alerts.judge import judge
from flood_assets.query.alerts import CLEARED, FIRING, LEARNT_LATE, Alerts
from flood_assets_tests.support.alert_cases import (
    DELAY,
    QUARTER,
    START,
    every_quarter,
    gauge_of,
    oracle,
    rule_of,
    ticked,
)

HIGH = rule_of("above = 1.0")


def moments(values, **more):
    gauge = gauge_of(values, **more)
    return ticked([HIGH], [gauge], every_quarter(len(values)))


def test_a_flood_fires_at_its_second_reading_and_clears_at_the_second_below_the_hysteresis():
    values = [0.5, 0.8, 1.0, 1.2, 1.5, 1.1, 0.99, 0.96, 0.95, 0.94, 0.93, 0.5]
    told = moments(values)
    ticks = every_quarter(len(values))
    assert told.of(FIRING) == [ticks[3]]
    assert told.of(CLEARED) == [ticks[10]]
    (alert,) = told.state.rows
    assert (alert.since, alert.peak, alert.until) == (START + 2 * QUARTER, 1.5, START + 10 * QUARTER)
    assert [each.value for each in alert.readings] == [1.0, 1.2]
    assert alert.why == "1.000 m at 2026-11-20 09:30Z and 1.200 m at 2026-11-20 09:45Z: at or above 1.000 m"


@pytest.mark.parametrize("flag", [1, 2, 3, 4])
def test_a_spike_of_one_reading_fires_nothing_whatever_its_flag(flag):
    values = [0.5] * 20
    values[10] = 9.0
    flags = [1] * 20
    flags[10] = flag
    assert moments(values, flags=flags).events == []


def test_readings_that_fail_never_fire_and_suspect_ones_do():
    values = [0.5] * 5 + [9.0] * 10
    assert moments(values, flags=[1] * 5 + [4] * 10).events == []
    told = moments(values, flags=[1] * 5 + [3] * 10)
    assert told.of(FIRING) == [every_quarter(7)[-1]]
    assert "suspect or of high interest" in told.state.rows[0].why


def test_what_is_between_the_limits_neither_fires_nor_clears():
    values = [0.5, 1.2, 1.2, *[0.97, 1.0] * 20]
    told = moments(values)
    assert [event.what for _, event in told.events] == [FIRING]


def test_readings_learnt_late_are_information():
    values = [0.5, 1.2, 1.3, 1.2, 0.5, 0.5, 0.5, 0.5]
    told = ticked([HIGH], [gauge_of(values)], [START, START + 3 * timedelta(hours=1)])
    ((_, event),) = told.events
    assert event.what == LEARNT_LATE
    assert (event.alert.since, event.alert.until) == (START + QUARTER, START + 5 * QUARTER)
    assert event.alert.known_at == START + 3 * timedelta(hours=1)


def test_what_was_over_before_a_rule_was_first_judged_is_kept_and_told_to_nobody():
    values = [0.5, 1.2, 1.3, 1.2, 0.5, 0.5, 0.5, 0.5]
    told = ticked([HIGH], [gauge_of(values)], [START + 3 * timedelta(hours=1), START + 4 * timedelta(hours=1)])
    assert told.events == []
    assert [alert.status for alert in told.state.rows] == [LEARNT_LATE]


def test_old_readings_above_fire_only_once_new_ones_come():
    values = [0.5, 1.2, 1.3, 1.2, *[None] * 12, 1.4, 1.4]
    gauge = gauge_of(values)
    late = START + timedelta(hours=2, minutes=30)
    told = ticked([HIGH], [gauge], [late])
    assert [event.what for _, event in told.events] == [LEARNT_LATE]
    assert told.state.rows[0].unknown == "nothing newer than 2026-11-20 09:45Z is known"
    told = ticked([HIGH], [gauge], [late, *every_quarter(18)[-1:]])
    assert [event.what for _, event in told.events] == [LEARNT_LATE, FIRING]


def test_a_gauge_that_falls_silent_while_it_fires_is_said_to_be_unknown_and_ends_after_a_day():
    gauge = gauge_of([0.5, 1.2, 1.3, 1.4])
    told = ticked([HIGH], [gauge], every_quarter(4 + 95))
    assert [event.what for _, event in told.events] == [FIRING]
    assert told.state.rows[0].unknown
    told = ticked([HIGH], [gauge], every_quarter(4 + 96))
    assert [event.what for _, event in told.events] == [FIRING, CLEARED]
    assert told.events[-1][1].alert.ended_because == "not known any more: no reading that can be used"


def test_an_alert_of_days_is_one_alert():
    values = [0.5, *[1.5] * 300, 0.5, 0.5]
    told = moments(values)
    assert [event.what for _, event in told.events] == [FIRING, CLEARED]


def test_an_ended_alert_is_forgotten_a_day_later():
    values = [0.5, 1.5, 1.5, *[0.5] * 120]
    told = moments(values)
    assert [event.what for _, event in told.events] == [FIRING, CLEARED]
    assert told.state.rows == ()


def test_an_alert_ends_if_its_rule_has_a_threshold_that_was_not_reached_and_says_so():
    values = [0.5, 1.2, 1.2, 1.2]
    ticks = every_quarter(5)
    told = ticked([HIGH], [gauge_of(values)], ticks[:4])
    assert told.of(FIRING) == [ticks[2]]
    judged = judge(told.state, [rule_of("above = 2.0")], Evidence({"m": gauge_of(values)}, {"it": ["m"]}), ticks[4])
    (event,) = judged.events
    assert event.what == CLEARED
    assert event.alert.ended_because == "the threshold is 2.000 m now, and was not reached"
    judged = judge(told.state, [rule_of("above = 1.1")], Evidence({"m": gauge_of(values)}, {"it": ["m"]}), ticks[4])
    assert judged.events == ()


def test_corrected_readings_end_an_alert():
    ticks = every_quarter(6)
    told = ticked([HIGH], [gauge_of([0.5, 1.5, 1.5, 1.5])], ticks[:4])
    assert told.of(FIRING) == [ticks[2]]
    corrected = gauge_of([0.5, 0.6, 0.6, 0.6, 0.6])
    judged = judge(told.state, [HIGH], Evidence({"m": corrected}, {"it": ["m"]}), ticks[4])
    (event,) = judged.events
    assert (event.what, event.alert.ended_because) == (CLEARED, "the readings were corrected")


def test_a_rule_below_looks_down():
    rule = rule_of("below = 0.2\nhysteresis = 0.1")
    values = [0.5, 0.2, 0.1, 0.15, 0.25, 0.29, 0.31, 0.35, 0.4]
    told = ticked([rule], [gauge_of(values)], every_quarter(len(values)))
    ticks = every_quarter(len(values))
    assert (told.of(FIRING), told.of(CLEARED)) == ([ticks[2]], [ticks[7]])
    assert told.state.rows[0].peak == 0.1


def test_bands_and_shares_of_the_record_need_a_range_that_belongs_to_the_measure():
    values = [0.5, 0.9, 1.0, 1.0, 1.01, 1.02, 2.2, 2.2]
    ticks = every_quarter(len(values))
    scaled, tide = gauge_of(values, scale=(0.1, 1.0, 2.0)), gauge_of(values)
    for text, place in (('band = "above"', 5), ('band = "record"', 7), ("record = 1.05", 7), ("record = 0.5", 3)):
        assert ticked([rule_of(text)], [scaled], ticks).of(FIRING) == [ticks[place]], text
        told = ticked([rule_of(text)], [tide], ticks)
        assert told.events == []
        assert told.state.notes == ("rule 'it': no typical range or record belongs to 1 of 1 gauges",)


def test_gauges_without_a_range_are_no_fault_of_a_rule_that_judges_others():
    gauges = {"m": gauge_of([0.5], scale=(0.1, 1.0, 2.0)), "tide": gauge_of([0.5])}
    judged = judge(Alerts(), [rule_of('band = "above"')], Evidence(gauges, {"it": ["m", "tide"]}), START)
    assert judged.after.notes == ()
    assert judged.remarks == ("rule 'it': no typical range or record belongs to 1 of 2 gauges",)


def test_the_hysteresis_follows_the_typical_range_and_the_unit():
    values = [0.5, 1.2, 1.2, 0.94, 0.94, 0.89, 0.89]
    ticks = every_quarter(len(values))
    assert moments(values).of(CLEARED) == [ticks[4]]
    wide = gauge_of(values, scale=(0.0, 1.0, 2.0))
    assert ticked([HIGH], [wide], ticks).of(CLEARED) == [ticks[6]]
    millimetres = gauge_of([1000 * value for value in values], unit="mm")
    assert ticked([rule_of("above = 1000")], [millimetres], ticks).of(CLEARED) == [ticks[4]]
    flow = gauge_of(values, is_level=False, unit="m3/s")
    assert ticked([HIGH], [flow], ticks).of(CLEARED) == [ticks[6]]


# --- Properties ---------------------------------------------------------------------------------------------------

LEVELS = st.lists(st.sampled_from([None, 0.5, 0.94, 0.95, 0.97, 1.0, 1.2, 3.0]), min_size=2, max_size=80)
FLAGS = st.sampled_from([1, 1, 2, 3, 4])


@settings(max_examples=100)
@given(LEVELS, st.data())
def test_in_regular_ticks_alarms_are_the_oracles(values, data):
    flags = data.draw(st.lists(FLAGS, min_size=len(values), max_size=len(values)))
    told = ticked([HIGH], [gauge_of(values, flags=flags)], every_quarter(len(values)))
    ticks = every_quarter(len(values))
    expected = oracle(values, 1.0, 0.05, flags)
    assert told.of(FIRING) == [ticks[fired] for fired, _ in expected]
    assert told.of(CLEARED) == [ticks[cleared] for _, cleared in expected if cleared is not None]


@settings(max_examples=100)
@given(LEVELS, st.data())
def test_any_split_into_ticks_ends_in_the_same_state(values, data):
    ticks = every_quarter(len(values))
    some = sorted(data.draw(st.sets(st.sampled_from(ticks)))) if ticks else []
    gauge = gauge_of(values)
    all_of_them = ticked([HIGH], [gauge], ticks)
    few = ticked([HIGH], [gauge], [*some, ticks[-1]])

    def episodes(told):
        return [(a.since, a.until, a.peak, a.value) for a in told.state.rows]

    assert episodes(few) == episodes(all_of_them)
    if values[-1] is not None:
        firing = [a.alert_id for a in all_of_them.state.firing if a.value_at == START + (len(values) - 1) * QUARTER]
        held = [a for a in few.state.firing if a.alert_id in firing]
        # What is above now fires in any split; what lies between the limits fired if somebody looked in time.
        assert len(held) == len(firing) or values[-1] < 1.0 or values[-2] is None or values[-2] < 1.0


@settings(max_examples=100)
@given(LEVELS)
def test_firing_implies_two_readings_that_are_not_old(values):
    for at, event in ticked([HIGH], [gauge_of(values)], every_quarter(len(values))).events:
        if event.what == FIRING:
            used = event.alert.readings
            assert len(used) == 2
            assert all(each.value >= 1.0 for each in used)
            assert at - used[0].date_time <= 2 * QUARTER + DELAY


@settings(max_examples=100)
@given(st.lists(st.floats(0.95, 5.0), min_size=1, max_size=60))
def test_the_hysteresis_never_flaps_above_its_lower_limit(values):
    told = moments([1.5, 1.5, *values])
    assert [event.what for _, event in told.events] == [FIRING]


@settings(max_examples=100)
@given(LEVELS, st.integers(1, 5))
def test_judging_again_tells_nothing_twice(values, times):
    gauge = gauge_of(values)
    ticks = every_quarter(len(values))
    once = ticked([HIGH], [gauge], ticks)
    again = ticked([HIGH], [gauge], [tick for tick in ticks for _ in range(times)])
    assert [event.what for _, event in again.events] == [event.what for _, event in once.events]
    assert again.state == once.state
