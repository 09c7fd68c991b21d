"""The conditions of gauges, against the same rules in plain Python, and against stories whose right answer is known."""

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flood_assets import quality
from flood_assets.lake.lake import Lake
from flood_assets.query.conditions import conditions_of
from flood_assets.schemas import CONDITIONS, TIMELINESS
from flood_assets_tests.support.condition_rules import Given, Reports, condition
from flood_assets_tests.support.lake_rows import snapshot
from flood_assets_tests.support.quality_rows import (
    DIRECTION,
    FLOW,
    GROUNDWATER,
    QUARTER,
    RAIN,
    RAIN_COUNTER,
    RAIN_EVENT,
    RIVER,
    START,
    TIDE,
    Gauge,
    measures,
    readings,
    stations,
)
from flood_assets_tests.support.questions import ask_conditions, ids, told
from flood_assets_tests.support.seven_gauges import MEASURE_IDS, fill

NOW = START + timedelta(days=1, minutes=7)
SCALE = {"typical_low": 0.2, "typical_high": 1.2, "highest_recent": 2.5, "max_on_record": 3.0, "min_on_record": 0.05}
KINDS = (RIVER, replace(RIVER, unit="m"), replace(RIVER, unit=None), TIDE, FLOW, RAIN, RAIN_EVENT, GROUNDWATER)
GAUGES = [replace(each, measure_id=f"m{i}", station_id=f"s{i}", scale=SCALE) for i, each in enumerate(KINDS)]
REPORTS = Reports(QUARTER, timedelta(minutes=20), None)


def said(
    days: dict[Gauge, list[Given]], reports: dict[Gauge, Reports] | None = None, now=NOW, *, unlisted: bool = False
) -> dict[str, dict]:
    """Return the conditions of some gauges by measure."""
    rows = [(gauge.measure_id, each) for gauge, some in days.items() for each in some]
    table = readings([m for m, _ in rows], [each.time for _, each in rows], [each.value for _, each in rows])
    table = table.append_column("flag", pa.array([each.flag for _, each in rows], pa.int8()))
    gauges = [] if unlisted else list(days)
    seconds = {gauge.measure_id: each for gauge, each in (reports or {}).items()}
    timeliness = snapshot(
        TIMELINESS,
        now,
        *[
            {
                "measure_id": measure,
                "interval_s": each.interval and int(each.interval.total_seconds()),
                "due_after_s": each.due_after and int(each.due_after.total_seconds()),
                "newest_at": each.newest,
                "next_due_at": each.next_due,
            }
            for measure, each in seconds.items()
        ],
    )
    found = conditions_of(table, measures(*gauges), stations(*gauges), timeliness, now)
    assert found.schema == CONDITIONS.schema
    assert found["measure_id"].to_pylist() == sorted({*(m for m, _ in rows), *seconds, *(g.measure_id for g in gauges)})
    return {row["measure_id"]: row for row in found.to_pylist()}


def day(values, *, until=NOW - timedelta(minutes=7), every=QUARTER, flag=1) -> list[Given]:
    """Return readings that end at a time."""
    return [Given(until - (len(values) - 1 - i) * every, value, flag) for i, value in enumerate(values)]


def one(gauge: Gauge, some: list[Given], reports: Reports | None = None, now=NOW) -> dict:
    reports = reports or replace(REPORTS, newest=max((each.time for each in some if each.time <= now), default=None))
    return said({gauge: some}, {gauge: reports}, now)[gauge.measure_id]


# -- against the rules in plain Python

VALUES = st.one_of(
    st.none(),
    st.sampled_from([-888.0, 0.0, 0.2, 0.4, 1.0, 1.2, 1.25, 3.0, 3.1]),
    st.integers(0, 3500).map(lambda mm: mm / 1000),
)
TIMES = st.integers(-8, 100).map(lambda slot: NOW - timedelta(minutes=7) - slot * QUARTER)
GIVEN = st.builds(Given, TIMES, VALUES, st.sampled_from([1, 1, 1, 2, 3, 4, 9]))
REPORTING = st.builds(
    Reports,
    st.sampled_from([None, QUARTER, timedelta(hours=1)]),
    st.sampled_from([None, timedelta(minutes=5), timedelta(hours=6)]),
    st.just(None),
)


def _close(found, expected) -> bool:
    if isinstance(found, float) and isinstance(expected, float | int):
        return math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-9)
    return found == expected


@given(st.dictionaries(st.sampled_from(GAUGES), st.tuples(st.lists(GIVEN, max_size=30), REPORTING), max_size=4))
def test_every_column_equals_the_rules_in_plain_python(country):
    days = {gauge: some for gauge, (some, _) in country.items()}
    reports = {
        gauge: replace(each, newest=max((g.time for g in some if g.time <= NOW), default=None))
        for gauge, (some, each) in country.items()
    }
    found = said(days, reports)
    for gauge, some in days.items():
        expected = condition(gauge, some, reports[gauge], NOW)
        row = found[gauge.measure_id]
        wrong = {name: (row[name], value) for name, value in expected.items() if not _close(row[name], value)}
        assert not wrong, gauge


@given(st.integers(0, 2**32 - 1))
def test_a_whole_day_equals_the_rules_in_plain_python(seed):
    random = np.random.default_rng(seed)
    walk = np.round(np.cumsum(random.normal(0, 0.02, 96)) + 1, 3)
    some = [each for each in day(walk.tolist()) if random.random() > 0.1]
    days = dict.fromkeys(GAUGES[:2], some)
    reports = {gauge: replace(REPORTS, newest=some[-1].time) for gauge in days}
    found = said(days, reports)
    for gauge in days:
        expected = condition(gauge, some, reports[gauge], NOW)
        assert all(_close(found[gauge.measure_id][name], value) for name, value in expected.items())


# -- stories whose right answer is known


def test_a_flood_wave_rises_above_the_range_then_the_record_and_falls():
    gauge = replace(RIVER, scale=SCALE)
    wave = [round(1 + 2.5 * math.exp(-(((i - 60) / 12) ** 2)), 3) for i in range(120)]
    bands, trends = [], []
    for end in (20, 50, 56, 70, 119):
        row = one(gauge, day(wave[max(0, end - 95) : end + 1]))
        bands.append(row["band"])
        trends.append(row["trend"])
    assert bands == ["normal", "above", "record", "above", "normal"]
    assert trends == ["steady", "rising", "rising", "falling", "steady"]


def test_a_spike_of_ten_metres_is_passed_over_when_it_failed_and_does_not_turn_the_trend():
    gauge = replace(RIVER, scale=SCALE)
    falling = [round(1 - 0.01 * i, 3) for i in range(40)]
    spoilt = [*falling[:-2], falling[-2] + 10, falling[-1]]
    flagged = quality.flags(*_as_tables(gauge, day(spoilt)))["flag"].to_pylist()
    rows = [replace(each, flag=flag) for each, flag in zip(day(spoilt), flagged, strict=True)]
    assert rows[-2].flag == quality.FAIL
    assert (row := one(gauge, rows[:-1]))["value"] == falling[-3]
    assert row["passed_over"] == 1
    assert row["max_24h"] == 1
    for some in (rows, day(spoilt), day(spoilt[:-1])):
        assert one(gauge, some)["trend"] == "falling"


def _as_tables(gauge, some):
    table = readings([gauge.measure_id] * len(some), [g.time for g in some], [g.value for g in some])
    return table, measures(gauge), stations(gauge)


def test_a_silent_gauge_keeps_its_value_and_says_silent():
    some = day([0.5] * 20, until=NOW - timedelta(hours=6))
    row = one(replace(RIVER, scale=SCALE), some)
    assert (row["freshness"], row["value"], row["date_time"]) == ("silent", 0.5, NOW - timedelta(hours=6))
    assert one(RIVER, day([0.5] * 20, until=NOW - timedelta(minutes=40)))["freshness"] == "late"
    assert one(RIVER, day([0.5] * 20))["freshness"] == "current"


def test_a_gauge_without_a_reading_in_a_day_is_silent_and_has_no_value():
    row = one(RIVER, [], replace(REPORTS, newest=NOW - timedelta(days=3)))
    assert row["freshness"] == "silent"
    assert {row[name] for name in ("value", "date_time", "flag", "band", "trend", "min_24h", "max_24h_at")} == {None}


def test_a_gauge_that_uploads_every_six_hours_is_current_when_it_is_five_hours_old():
    reports = Reports(QUARTER, timedelta(hours=6), NOW - timedelta(hours=5))
    some = day([0.5] * 20, until=NOW - timedelta(hours=5))
    assert one(RIVER, some, reports)["freshness"] == "current"
    # Its rain counts up to what it owes by now, not up to now.
    some = day([0.2] * 60, until=NOW - timedelta(hours=5))
    row = one(RAIN, some, reports)
    assert (row["rain_1h"], row["rain_1h_coverage"]) == (pytest.approx(0.8), 1)


def test_a_dry_day_is_no_millimetre_and_a_storm_with_a_gap_has_less_than_all():
    assert one(RAIN, day([0.0] * 96))["rain_24h"] == 0
    storm = [each for i, each in enumerate(day([1.0] * 96)) if not 80 <= i < 88]
    row = one(RAIN, storm)
    assert (row["rain_1h"], row["rain_6h"], row["rain_24h"]) == (4, 16, 88)
    assert (row["rain_1h_coverage"], row["rain_6h_coverage"]) == (1, pytest.approx(16 / 24))
    assert row["rain_24h_coverage"] == pytest.approx(88 / 96)


def test_rain_that_fails_is_left_out_and_counted_and_a_repetition_counts_once():
    some = day([1.0] * 8)
    some[-3] = replace(some[-3], value=500.0, flag=4)
    row = one(RAIN, [*some, some[-1], some[-2]])
    assert (row["rain_1h"], row["rain_1h_coverage"], row["rain_left_out"]) == (3, 0.75, 1)


@pytest.mark.parametrize("gauge", [RAIN_EVENT, RAIN_COUNTER, RIVER], ids=["event", "counter", "river"])
def test_what_is_no_amount_of_a_period_has_no_total(gauge):
    row = one(gauge, day([0.2] * 20))
    assert {row[f"rain_{hours}h{end}"] for hours in (1, 6, 24) for end in ("", "_coverage")} == {None}


@pytest.mark.parametrize(
    ("gauge", "scale"),
    [
        (TIDE, SCALE),
        (FLOW, SCALE),
        (GROUNDWATER, SCALE),
        (replace(RIVER, qualifier="Downstream Stage"), SCALE),
        (replace(RIVER, unit="mm"), SCALE),
        (RIVER, {}),
        (RIVER, {"typical_low": 0.2}),
        (RIVER, {"typical_low": 1.2, "typical_high": 0.2, "max_on_record": 3.0}),
    ],
    ids=["tide", "flow", "groundwater", "downstream", "other unit", "no range", "half a range", "low above high"],
)
def test_no_band_where_no_range_belongs_to_the_measure(gauge, scale):
    assert one(replace(gauge, scale=scale), day([0.5] * 20))["band"] is None


def test_a_second_datum_has_no_band_where_the_range_is_the_firsts():
    above_sea = replace(RIVER, measure_id="m2", unit="mAOD", scale=SCALE)
    found = said({replace(RIVER, scale=SCALE): day([0.5] * 20), above_sea: day([30.5] * 20)})
    assert (found["m"]["band"], found["m2"]["band"]) == ("normal", None)


def test_several_values_none_and_times_to_come_are_passed_over():
    some = [*day([0.5] * 10, until=NOW - timedelta(hours=1)), Given(NOW - QUARTER, None, 9), Given(NOW, -888.0, 2)]
    some.append(Given(NOW + timedelta(minutes=1), 0.7, 1))
    row = one(replace(RIVER, unit=None), some)
    assert (row["value"], row["passed_over"], row["min_24h"]) == (0.5, 3, 0.5)


def test_a_measure_that_no_snapshot_lists_has_its_value_and_nothing_that_needs_one():
    row = said({RIVER: day([0.5] * 20)}, unlisted=True)["m"]
    assert row["value"] == 0.5
    assert {row[name] for name in ("station_id", "band", "trend", "freshness", "rain_24h")} == {None}


def test_wind_that_turns_has_no_trend():
    assert one(DIRECTION, day([350.0, 355.0, 0.0, 5.0, 10.0]))["trend"] is None


@pytest.mark.parametrize("step", [0.001, 0.01])
def test_a_value_on_the_edge_of_two_steps_is_steady(step):
    random = np.random.default_rng(1)
    flicker = [0.5 + step * int(random.integers(2)) for _ in range(96)]
    assert {one(RIVER, day(flicker[: end + 1]))["trend"] for end in range(20, 96)} == {"steady"}


def test_noise_seldom_turns_a_trend():
    """Level of a still pond read with a deviation of 3 mm: rising and falling at most in one moment of a hundred."""
    random = np.random.default_rng(7)
    gauges = [replace(RIVER, measure_id=f"m{i}", station_id=f"s{i}") for i in range(2000)]
    noise = np.round(random.normal(1, 0.003, (len(gauges), 96)), 3)
    found = said({gauge: day(row.tolist()) for gauge, row in zip(gauges, noise, strict=True)})
    assert sum(row["trend"] != "steady" for row in found.values()) <= 0.01 * len(gauges)


# -- through the door


def test_conditions_of_a_lake_are_chosen_by_gauge_and_by_what_they_say(tmp_path):
    lake = Lake.open(tmp_path.as_uri())
    fill(lake)
    found = ask_conditions(lake=lake)
    assert list(found.columns) == CONDITIONS.schema.names
    assert found.measure_id.tolist() == sorted(MEASURE_IDS)
    # The value of each of the seven gauges is its age in quarters of an hour.
    assert set(found.value) == {0.0}
    assert ids(ask_conditions(lake=lake, trend="falling")) == ids(found[found.trend == "falling"]) != set()
    assert ids(ask_conditions(lake=lake, station="Kingston", joined=True)) == {"K1-level", "K1-flow"}
    with told("no gauge has band above, record"):
        assert ask_conditions(lake=lake, band=["above", "record"]).empty
    with told("no station is called 'Kingstom'"):
        assert ask_conditions(lake=lake, station=["Kingstom", "Manor Farm"]).measure_id.tolist() == ["G1-level"]
    with pytest.raises(ValueError, match="band has no 'high': choose from below, normal, above, record"):
        ask_conditions(lake=lake, band="high")
    with pytest.raises(ValueError, match="trend is empty"):
        ask_conditions(lake=lake, trend=[])
