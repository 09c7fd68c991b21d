from datetime import timedelta

import pytest

from flood_assets.schemas import COMPLETENESS, TIMELINESS
from flood_assets_tests.support.lake_rows import HOUR
from flood_assets_tests.support.questions import ask_completeness, ask_timeliness, told
from flood_assets_tests.support.seven_gauges import MEASURE_IDS, NOW


def test_each_gauge_and_hour_is_counted_in_one_line():
    found = ask_completeness()
    assert list(found.columns) == COMPLETENESS.schema.names
    assert len(found) == len(MEASURE_IDS) * 25
    assert found[["window_start", "measure_id"]].apply(tuple, axis=1).is_monotonic_increasing
    listed = found[found["measure_id"] == "K1-level"]
    assert (listed["expected"].sum(), listed["received"].sum(), listed["missing"].sum()) == (96, 96, 0)


def test_the_ledger_of_a_river_is_that_of_its_gauges_with_their_names():
    found = ask_completeness(river="River Thames", parameter="level", joined=True)
    assert set(found["measure_id"]) == {"K1-level", "T-level"}
    assert set(found["label"]) == {"Kingston", "Teddington Lock|Teddington"}
    by_label = found.groupby("label")["received"].sum()
    assert by_label.to_dict() == {"Kingston": 96, "Teddington Lock|Teddington": 96}


def test_the_ledger_of_some_hours_is_of_those_that_they_touch():
    newest = NOW.replace(minute=0, second=0)
    found = ask_completeness(start=NOW - 90 * timedelta(minutes=1), end=newest, measure="K1-level")
    assert found["window_start"].tolist() == [newest - 2 * HOUR, newest - HOUR]
    assert ask_completeness(last=HOUR, measure="K1-level")["window_start"].tolist() == [newest - HOUR, newest]


def test_the_ledger_chooses_columns_and_comes_as_arrow():
    found = ask_completeness(columns=["measure_id", "missing", "unit"], joined=True, arrow=True)
    assert found.column_names == ["measure_id", "missing", "unit"]
    with pytest.raises(ValueError, match="no column 'lost'"):
        ask_completeness(columns="lost")


def test_the_ledger_is_counted_at_the_time_of_asking():
    """Nobody asked for three hours: the table in the lake would not say so."""
    later = ask_completeness(now=NOW + 3 * HOUR, measure="K1-level")
    assert later["expected"].sum() == 96
    assert later["missing"].sum() == 12


def test_how_late_a_gauge_is_is_told_for_each():
    found = ask_timeliness(station="Kingston")
    assert list(found.columns) == TIMELINESS.schema.names
    assert found["measure_id"].tolist() == ["K1-flow", "K1-level"]
    assert found["newest_at"].tolist() == [NOW.replace(minute=0, second=0)] * 2
    assert found["due_after_s"].isna().all(), "the lake was filled at once: nobody has watched anything come"
    assert set(ask_timeliness(parameter="rainfall", joined=True)["label"]) == {"Rainfall station"}


@pytest.mark.parametrize("load", [ask_completeness, ask_timeliness])
def test_a_ledger_of_nothing_says_why(load, tmp_path):
    with told("there is no lake at"):
        assert load(lake=tmp_path / "none").empty
    with told("no station is called 'Nowhere'"):
        assert load(station="Nowhere").empty
    with told("no measure is called 'K1-levle'"):
        assert load(measure="K1-levle").empty


def test_hours_that_are_not_kept_have_no_ledger():
    with told("is over a day ago"):
        assert ask_completeness(end=NOW - 30 * HOUR).empty
