"""Rules of slopes, rain, silence, warnings and the API as a whole."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flood_assets.alerts.evidence import Evidence
from flood_assets.alerts.judge import judge
from flood_assets.query.alerts import CLEARED, FIRING, Alerts
from flood_assets_tests.support.alert_cases import QUARTER, START, every_quarter, gauge_of, rule_of, ticked

HOUR = timedelta(hours=1)
RISING = rule_of("rising = 0.4")
RAIN = rule_of('rain = 10\nover = "1h"')
SILENT, LATE = rule_of("silent = true"), rule_of("late = true")


# --- Rising -------------------------------------------------------------------------------------------------------


def test_a_rise_fires_once_its_slope_of_45_minutes_is_reached_twice():
    values = [1.0] * 6 + [1.0 + 0.15 * n for n in range(1, 9)] + [2.2] * 8
    told = ticked([RISING], [gauge_of(values)], every_quarter(len(values)))
    ticks = every_quarter(len(values))
    # 0.6 m an hour from the sixth reading on: at the eighth, three of the six slopes are of the rise.
    (fired,), (cleared,) = told.of(FIRING), told.of(CLEARED)
    assert ticks[8] <= fired <= ticks[10]
    assert ticks[15] <= cleared <= ticks[18]
    (alert,) = told.state.rows
    assert (alert.unit, alert.peak) == ("m/h", pytest.approx(0.6))


@pytest.mark.parametrize("interval", [15, 30])
def test_one_wrong_reading_is_no_rise(interval):
    values = [1.0] * 30
    values[12] = 6.0
    step = timedelta(minutes=interval) // QUARTER
    sparse = [value if n % step == 0 else None for n, value in enumerate(values)]
    told = ticked([RISING], [gauge_of(sparse, interval=step * QUARTER)], every_quarter(len(values)))
    assert told.events == []


def test_less_than_45_minutes_and_a_gap_are_no_slope():
    values = [1.0, 1.5, 2.0, None, None, None, 2.5, 3.0, 3.5]
    assert ticked([RISING], [gauge_of(values)], every_quarter(len(values))).events == []


@settings(max_examples=40)
@given(st.floats(0.41, 5), st.integers(10, 30))
def test_a_steady_rise_above_the_threshold_fires_once(slope, count):
    values = [slope * n / 4 for n in range(count)]
    told = ticked([RISING], [gauge_of(values)], every_quarter(count))
    assert told.of(FIRING) == [every_quarter(count)[4]]


# --- Rain ---------------------------------------------------------------------------------------------------------


def rain_of(values, **more):
    return gauge_of(values, unit="mm", is_level=False, **more)


def test_rain_fires_when_the_hours_total_reaches_the_threshold_and_clears_a_tenth_below():
    values = [0.0] * 4 + [4.0, 4.0, 4.0] + [0.0] * 8
    told = ticked([RAIN], [rain_of(values)], every_quarter(len(values)))
    ticks = every_quarter(len(values))
    assert (told.of(FIRING), told.of(CLEARED)) == ([ticks[6]], [ticks[8]])
    assert told.state.rows[0].peak == 12.0
    assert "12.000 mm in 1 h up to 2026-11-20 10:30Z" in told.state.rows[0].why


def test_suspect_rain_waits_for_the_next_reading_and_failed_rain_never_counts():
    values, flags = [0.0] * 4 + [60.0] + [0.0] * 4, [1] * 9
    ticks = every_quarter(9)
    assert ticked([RAIN], [rain_of(values)], ticks).of(FIRING) == [ticks[4]]
    flags[4] = 3
    assert ticked([RAIN], [rain_of(values, flags=flags)], ticks).of(FIRING) == [ticks[5]]
    flags[4] = 4
    assert ticked([RAIN], [rain_of(values, flags=flags)], ticks).events == []


def test_what_is_missing_may_have_been_rain_and_clears_nothing():
    values = [6.0, 6.0, None, None, None, None, 0.0, None, 0.0, 0.0, 0.0, 0.0, 0.0]
    told = ticked([RAIN], [rain_of(values)], every_quarter(len(values)))
    ticks = every_quarter(len(values))
    assert (told.of(FIRING), told.of(CLEARED)) == ([ticks[1]], [ticks[11]])


# --- Silent and late ----------------------------------------------------------------------------------------------


def test_a_gauge_is_late_when_its_reading_is_due_and_silent_three_uploads_later():
    gauge = gauge_of([1.0] * 4)
    due = START + 3 * QUARTER + QUARTER + timedelta(minutes=20)
    assert gauge.next_due_at == due
    ticks = [due - timedelta(seconds=1), due, due + 3 * timedelta(minutes=35) - timedelta(seconds=1)]
    told = ticked([SILENT, rule_named(LATE, "late")], [gauge], [*ticks, due + 3 * timedelta(minutes=35)])
    assert [(at, event.alert.rule) for at, event in told.events] == [
        (due, "late"),
        (ticks[2] + timedelta(seconds=1), "it"),
    ]
    assert told.events[0][1].alert.since == due


def rule_named(rule, name):
    return rule.__class__(**{**vars(rule), "name": name})


def test_a_gauge_that_uploads_twice_a_day_is_not_silent_between():
    half_a_day = timedelta(hours=12)
    gauge = gauge_of([1.0] * 4, due_after=half_a_day)
    ticks = every_quarter(4 * 12)
    assert ticked([SILENT], [gauge], ticks).events == []
    # A fixed age of two hours would have called it silent 40 times.
    assert sum(tick - gauge.newest_at > timedelta(hours=2) for tick in ticks) >= 36


def test_a_silent_gauge_that_reports_again_clears():
    values = [1.0, 1.0, *[None] * 20, 1.0]
    ticks = every_quarter(len(values))
    told = ticked([SILENT], [gauge_of(values)], ticks)
    assert [event.what for _, event in told.events] == [FIRING, CLEARED]
    assert told.of(CLEARED) == [ticks[-1]]


def test_a_gauge_of_which_nobody_knows_when_it_is_due_is_never_silent():
    gauge = gauge_of([1.0] * 4, due_after=None)
    assert ticked([SILENT], [gauge], every_quarter(80)).events == []


# --- The API as a whole -------------------------------------------------------------------------------------------


def network(size=60):
    return {f"m{n:02}": rule_gauge(n) for n in range(size)}


def rule_gauge(n):
    gauge = gauge_of([1.0] * 8)
    return gauge.__class__(**{**vars(gauge), "measure_id": f"m{n:02}"})


def outage(rules, *, asked_until, ticks, overdue=None):
    """Judge a network whose gauges all stop after two hours, as the API was asked until a moment."""
    gauges, state, events = network(), Alerts(), []
    for tick in ticks:
        asked = tuple(each for each in ticks if each <= min(tick, asked_until))
        late = sum(g.next_due_at <= asked[-1] for g in gauges.values()) if overdue is None else overdue
        evidence = Evidence(gauges, {rule.name: sorted(gauges) for rule in rules}, (), asked, late, len(gauges))
        judged = judge(state, rules, evidence, tick)
        state, events = judged.after, [*events, *((tick, each) for each in judged.events)]
    return state, events


def test_an_api_that_cannot_be_asked_is_one_alert_and_makes_no_gauge_silent():
    ticks = every_quarter(80)
    _, events = outage([SILENT], asked_until=ticks[7], ticks=ticks)
    ((at, event),) = events
    assert (event.what, event.alert.subject) == (FIRING, "api")
    assert at == ticks[11], "the first tick over 45 minutes after the last success"


def test_an_api_that_answers_with_old_readings_is_one_alert_too():
    ticks = every_quarter(80)
    state, events = outage([SILENT, rule_named(LATE, "late")], asked_until=ticks[-1], ticks=ticks)
    assert [event.alert.subject for _, event in events] == ["api"]
    assert state.rows[0].why == "60 of 60 gauges are late"


def test_after_an_outage_only_the_gauges_that_stay_silent_are_told():
    ticks = every_quarter(80)
    gauges, state, events = network(), Alerts(), []
    for tick in ticks:
        back = tick > ticks[40]
        if back:
            fresh = {n: g.__class__(**{**vars(g), "newest_at": tick}) for n, g in gauges.items() if n != "m07"}
            gauges = gauges | fresh
        late = sum(g.next_due_at <= tick for g in gauges.values())
        evidence = Evidence(gauges, {"it": sorted(gauges)}, (), (tick,), late, len(gauges))
        judged = judge(state, [SILENT], evidence, tick)
        state, events = judged.after, [*events, *((event.what, event.alert.subject) for event in judged.events)]
    assert events[0] == (FIRING, "api")
    assert sorted(events[1:]) == [(CLEARED, "api"), (FIRING, "m07")]


# --- Warnings -----------------------------------------------------------------------------------------------------


def warning_of(level, area="a1"):
    return {
        "flood_area_id": area,
        "severity_level": level,
        "severity": {1: "Severe Flood Warning", 2: "Flood warning", 3: "Flood alert", None: None}[level],
        "label": "Lower Mill",
        "description": "Mill",
        "severity_changed_at": START,
        "first_seen_at": START,
        "observed_at": START,
        "lat": 51.0,
        "long": -1.0,
    }


def test_a_warning_fires_once_by_its_severity_and_clears_when_it_leaves():
    rules = [rule_of('warning = "warning"')]
    lists = [[warning_of(3)], [warning_of(2)], [warning_of(1)], [warning_of(1)], None, [], []]
    state, events = Alerts(), []
    for number, listed in enumerate(lists):
        tick = START + number * QUARTER
        judged = judge(state, rules, Evidence(chosen={"it": listed}), tick)
        state = judged.after
        events += [(number, event.what) for event in judged.events]
        if listed is None:
            assert state.rows[0].unknown == "no list of the last hour"
    assert events == [(1, FIRING), (5, CLEARED)]
    assert (state.rows[0].label, state.rows[0].why) == ("Lower Mill", "Flood warning in force")


def test_a_warning_that_comes_back_with_the_same_times_fires_again():
    rules = [rule_of('warning = "alert"')]
    state, events = Alerts(), []
    for number, listed in enumerate([[warning_of(None)], [], [warning_of(None)]]):
        judged = judge(state, rules, Evidence(chosen={"it": listed}), START + number * QUARTER)
        state = judged.after
        events += [event.what for event in judged.events]
    assert events == [FIRING, CLEARED, FIRING]
    assert len({row.alert_id for row in state.rows}) == 2


def test_the_alerts_of_a_rule_that_is_gone_end():
    told = ticked([rule_of("above = 1")], [gauge_of([2.0, 2.0])], every_quarter(2))
    judged = judge(told.state, [SILENT], Evidence(), START + HOUR)
    assert judged.events == ()
    judged = judge(told.state, [rule_named(SILENT, "another")], Evidence(), START + HOUR)
    assert [(event.what, event.alert.ended_because) for event in judged.events] == [(CLEARED, "the rule is gone")]
