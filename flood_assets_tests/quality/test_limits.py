from dataclasses import replace

import pytest

from flood_assets.quality import FAIL, NOT_EVALUATED, PASS, SUSPECT
from flood_assets_tests.support.quality_rows import (
    DIRECTION,
    FLOW,
    GROUNDWATER,
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
)

SCALE = {"typical_low": 0.2, "typical_high": 1.2, "max_on_record": 4.0, "min_on_record": 0.0}


def in_unit(gauge: Gauge, unit: str | None) -> Gauge:
    return replace(gauge, unit=unit)


def found(gauge: Gauge, *values: float, beside: tuple[Gauge, ...] = ()) -> list[int]:
    return flags_of(gauge, values, beside=beside)["gross_range_flag"]


@pytest.mark.parametrize(
    ("gauge", "suspect", "fail"),
    [
        (RIVER, (-3, 15), (-10, 978)),
        (replace(RIVER, qualifier="Downstream Stage"), (-3, 15), (-10, 978)),
        (replace(RIVER, qualifier=None), (-3, 15), (-10, 978)),
        (in_unit(RIVER, "mAOD"), (-6, 560), (-20, 978)),
        (in_unit(RIVER, "m"), (-6, 560), (-20, 978)),
        (TIDE, (-8, 12), (-20, 30)),
        (in_unit(TIDE, "m"), (-8, 17), (-20, 30)),
        (in_unit(TIDE, "mASD"), (-8, 17), (-20, 30)),
        (in_unit(TIDE, "mm"), (-8000, 17000), (-20000, 30000)),
        (GROUNDWATER, (-100, 560), (-150, 978)),
        (in_unit(GROUNDWATER, "m"), (-100, 560), (-150, 978)),
        (in_unit(GROUNDWATER, "mASD"), (-100, 560), (-150, 978)),
        (in_unit(GROUNDWATER, "mBDAT"), (-20, 300), (-100, 978)),
        (RESERVOIR, (-100, 560), (-150, 978)),
        (in_unit(RESERVOIR, "mBDAT"), (-20, 300), (-100, 978)),
        (replace(RESERVOIR, qualifier="Sump Level", unit="mASD"), (-100, 560), (-150, 978)),
        (FLOW, (-500, 2000), (-5000, 5000)),
        (in_unit(FLOW, "l/s"), (-500e3, 2000e3), (-5000e3, 5000e3)),
        (in_unit(FLOW, "Ml/d"), (-43_200, 172_800), (-432_000, 432_000)),
        (WARMTH, (-27.2, 40.3), (-37.2, 50.3)),
    ],
    ids=lambda given: f"{given.qualifier} in {given.unit}" if isinstance(given, Gauge) else "",
)
def test_a_value_is_suspect_beyond_what_was_ever_seen_and_fails_beyond_what_can_be(gauge, suspect, fail):
    tiny = 1e-3 * (suspect[1] - suspect[0])
    for sign, seen, possible in ((-1, suspect[0], fail[0]), (1, suspect[1], fail[1])):
        edge = sign * tiny
        values = (seen - edge, seen + edge, possible - edge, possible + edge)
        assert found(gauge, *values) == [PASS, SUSPECT, SUSPECT, FAIL]


@pytest.mark.parametrize(
    ("gauge", "low", "suspect", "fail"),
    [
        (WIND, 0, 63.3, 100),
        (in_unit(WIND, "Knots"), 0, 63.3 / 0.514444, 100 / 0.514444),
        (DIRECTION, 0, None, 360),
        # The UK's records by period, and the world's.
        (replace(RAIN, period_s=300), 0, 32, 96.1),
        (RAIN, 0, 56, 198),
        (replace(RAIN, period_s=1800), 0, 80, 264.8),
        (replace(RAIN, period_s=3600), 0, 92, 365.3),
        (replace(RAIN, period_s=86400), 0, 341.4, 1825),
        (replace(RAIN, period_s=None), 0, 341.4, 1825),
        (RAIN_EVENT, 0, 341.4, 1825),
        (replace(RAIN_EVENT, period_s=900), 0, 56, 198),
        (RAIN_COUNTER, 0, None, None),
    ],
    ids=lambda given: f"{given.qualifier} {given.unit} {given.period_s}" if isinstance(given, Gauge) else "",
)
def test_what_cannot_be_negative_fails_below_zero_and_by_its_own_limits_above(gauge, low, suspect, fail):
    assert found(gauge, low, -0.2) == [PASS, FAIL]
    if suspect:
        assert found(gauge, suspect * 0.98, suspect * 1.02) == [PASS, SUSPECT]
    below = SUSPECT if suspect else PASS
    if fail:
        assert found(gauge, fail * 0.98, fail * 1.02) == [below, FAIL]
    else:
        assert found(gauge, 9999.8) == [PASS]


@pytest.mark.parametrize("unit", [None, "V", "mV", "%", "m/s", "deg C", "furlong"])
def test_a_level_in_no_unit_or_in_one_that_is_none_of_levels_is_not_evaluated(unit):
    assert found(in_unit(RIVER, unit), -1e6, 0, 1e6) == [NOT_EVALUATED] * 3


def test_groundwater_far_below_the_sea_and_a_flow_in_megalitres_are_not_failed_for_sign_or_size():
    assert found(GROUNDWATER, -25.0, -23.707, 182.336) == [PASS] * 3
    assert found(in_unit(FLOW, "Ml/d"), 13_210.56, -10.0) == [PASS] * 2
    assert found(FLOW, -120.0) == [PASS]


def test_a_stage_is_suspect_outside_its_stations_own_scale_with_a_margin():
    gauge = replace(RIVER, scale=SCALE)  # 0 to 4 m, with a metre at both ends
    assert found(gauge, -0.99, 4.99, -1.01, 5.01) == [PASS, PASS, SUSPECT, SUSPECT]


def test_the_margin_of_a_narrow_scale_is_half_a_metre():
    gauge = replace(RIVER, scale={"typical_low": 0.1, "typical_high": 0.3})
    assert found(gauge, -0.39, 0.79, -0.41, 0.81) == [PASS, PASS, SUSPECT, SUSPECT]


def test_of_a_scale_the_widest_of_its_values_counts():
    """77 of 933 stations had a record below their typical range's upper end, 16 below the highest of recent years."""
    gauge = replace(RIVER, scale={**SCALE, "max_on_record": 0.9, "highest_recent": 3.0, "min_on_record": 0.5})
    assert found(gauge, -0.49, 3.69, -0.51, 3.71) == [PASS, PASS, SUSPECT, SUSPECT]


def test_a_scale_stands_for_what_the_country_has_seen_but_not_for_what_can_be():
    """A station's typical range in 2026 was 34.69 to 35.376 mASD: a stage may be a height above the sea."""
    high = replace(RIVER, scale={"typical_low": 34.69, "typical_high": 35.376})
    assert found(high, 34.799) == [PASS]
    assert found(RIVER, 34.799) == [SUSPECT]
    deep = replace(RIVER, scale={"typical_low": -12.0, "typical_high": 1.0})
    assert found(deep, -9.9, -10.1) == [PASS, FAIL]


@pytest.mark.parametrize(
    "scale",
    [
        {"typical_high": 1.2},
        {"typical_low": 0.2, "min_on_record": 0.0},
        {"typical_low": 1.2, "typical_high": 0.2},
        {"typical_low": 0.2, "typical_high": 0.2},
    ],
    ids=["no lower end", "no upper end", "upside down", "without a span"],
)
def test_a_scale_that_is_not_whole_judges_nobody(scale):
    assert found(replace(RIVER, scale=scale), 14.0) == [PASS]


@pytest.mark.parametrize("qualifier", ["Downstream Stage", "Height", "1", None, "Groundwater", "Tidal Level"])
def test_a_scale_judges_no_measure_but_the_stage(qualifier):
    assert found(replace(RIVER, qualifier=qualifier, scale=SCALE), 8.0) == [PASS]


def test_of_a_stage_in_two_datums_the_scale_judges_the_one_above_stage_datum():
    above_datum = replace(RIVER, scale=SCALE)
    above_sea = replace(above_datum, unit="mAOD", measure_id="sea")
    # Nothing above the sea is condemned by it, though every reading lies in it but the last.
    values = [*[1.0] * 20, 52.0]
    assert found(above_sea, *values, beside=(above_datum,)) == [PASS] * 21
    assert found(above_datum, *values, beside=(above_sea,)) == [PASS] * 20 + [SUSPECT]


def test_of_two_stages_above_the_same_datum_the_scale_judges_none():
    one = replace(RIVER, scale=SCALE)
    assert found(one, 8.0, beside=(replace(one, measure_id="other"),)) == [PASS]
    assert found(one, 8.0, beside=(replace(one, measure_id="other", station_id="elsewhere"),)) == [SUSPECT]


@pytest.mark.parametrize("unit", ["m", "mAOD"])
def test_a_stage_in_another_datum_is_judged_by_the_scale_once_its_own_readings_have_shown_that_it_fits(unit):
    gauge = replace(RIVER, unit=unit, scale=SCALE)
    assert found(gauge, *[1.0] * 8, 9.0) == [PASS] * 8 + [SUSPECT]
    assert found(gauge, *[1.0] * 6, 9.0) == [PASS] * 7
    assert found(gauge, *[52.0] * 8, 9.0) == [PASS] * 9
    assert found(gauge, *[1.0] * 8, 9.0, beside=(replace(gauge, measure_id="other"),)) == [PASS] * 9


def test_a_stage_above_its_datum_is_judged_by_the_scale_whatever_its_other_readings_are():
    assert found(replace(RIVER, scale=SCALE), *[-5.0] * 30) == [SUSPECT] * 30


def test_a_stage_whose_station_no_snapshot_knows_is_judged_by_what_the_country_has_seen():
    gauge = replace(RIVER, scale=SCALE, station_id="s")
    other = replace(gauge, measure_id="lost", station_id=None)
    assert found(other, 8.0, 16.0, beside=(gauge,)) == [PASS, SUSPECT]
