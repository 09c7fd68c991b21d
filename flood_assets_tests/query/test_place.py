from datetime import timedelta

import pytest

from flood_assets.errors import LakeError
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import key_of
from flood_assets.partitions import window_of
from flood_assets.schemas import READINGS
from flood_assets_tests.support.questions import ask_measures, ask_readings, ask_stations, told
from flood_assets_tests.support.seven_gauges import NOW, fill


def test_a_lake_that_nobody_refreshed_for_days_says_so():
    with told("the newest readings in the lake"):
        assert ask_readings(now=NOW + timedelta(days=3)).empty
    with told("the newest stations in the lake"):
        assert ask_stations(now=NOW + timedelta(days=3)).empty


def test_a_clock_before_the_lakes_first_reading_is_told():
    with told("begins at 2026-10-04 09:00Z, after now, which is 2026-09-05 00:00Z"):
        assert ask_readings(now="2026-09-05T00:00Z").empty


def test_a_damaged_window_is_an_error_that_names_it(tmp_path):
    lake = Lake.open(tmp_path.as_uri())
    fill(lake)
    path = tmp_path / key_of(READINGS, window_of(NOW))
    path.write_bytes(b"not parquet")
    with pytest.raises(LakeError, match=r"hour=09/readings\.parquet cannot be read"):
        ask_readings(lake=tmp_path)


@pytest.mark.parametrize("load", [ask_readings, ask_stations, ask_measures])
@pytest.mark.parametrize("selection", [{}, {"river": "River Thames"}, {"measure": "m"}])
def test_an_empty_lake_says_how_to_fill_it(load, selection, tmp_path):
    with told("yet: run `FLOOD_LAKE_URL="):
        frame = load(lake=tmp_path, **selection)
    assert frame.dtypes.equals(load().dtypes)
