"""The recipes of the page on SQL give what pandas makes of the answers of `query`."""

import math
from contextlib import closing

import numpy as np
import pandas as pd
import pytest

from flood_assets import query
from flood_assets.lake.lake import Lake
from flood_assets.query.sql import Views
from flood_assets_tests.conftest import HOUR
from flood_assets_tests.support import examples, sql_lake
from flood_assets_tests.support.sql_lake import LATER, NEW, REVISED, SEEN

RECIPES = sql_lake.recipes()


@pytest.fixture(scope="module")
def lake(demo_lake, tmp_path_factory) -> Lake:
    return sql_lake.later(demo_lake, tmp_path_factory.mktemp("recipes") / "lake")


@pytest.fixture
def cooked(lake):
    """Runs a recipe."""

    def run(heading: str) -> pd.DataFrame:
        with closing(Views(lake, LATER)) as views:
            _, batches = views.read(views.select(RECIPES[heading]))
            frames = [batch.to_pandas() for batch in batches]
            assert views.notes == []
        return pd.concat(frames, ignore_index=True)

    return run


def asked(lake: Lake, name: str, **wanted) -> pd.DataFrame:
    return getattr(query, name)(lake, LATER, **wanted).rows.to_pandas()


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Equal but for whole numbers and texts of another type, and what sums in another order differ by."""
    assert len(found) > 0
    expected = expected.reset_index(drop=True)[list(found.columns)]
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-12)


def test_the_recipes_are_all_the_sql_of_the_page():
    assert list(RECIPES) == [
        "The latest reading of each gauge",
        "Gauges above their typical range",
        "A river's day",
        "Rain by catchment",
        "Completeness by hour",
        "What changed since",
    ]
    page = [each.text for each in examples.fenced("sql") if each.place.startswith("sql.md")]
    assert list(RECIPES.values()) == page


def test_the_latest_reading_of_each_gauge(cooked, lake):
    readings = asked(lake, "readings", river="River Thames", joined=True)
    newest = readings.sort_values("date_time").groupby("measure_id").tail(1)
    same(cooked("The latest reading of each gauge"), newest.sort_values(["label", "measure_id"]))


def test_gauges_above_their_typical_range(cooked, lake):
    above = asked(lake, "conditions", band=["above", "record"], joined=True)
    above = above.merge(asked(lake, "stations")[["station_id", "typical_high"]], on="station_id")
    above["above"] = (above.value - above.typical_high).round(3)
    assert (above.above > 0).all()
    same(
        cooked("Gauges above their typical range"),
        above.sort_values(["above", "measure_id"], ascending=[False, True]),
    )


def test_a_river_s_day(cooked, lake):
    readings = asked(lake, "readings", river="River Thames", parameter="level", joined=True)
    readings["hour"] = readings.date_time.dt.floor("h")
    readings = readings.sort_values("date_time")
    hours = readings.groupby(["label", "measure_id", "hour", "unit"], dropna=False).value
    # `last` passes over null, and so does arg_max.
    expected = hours.agg(["min", "max", "last"]).reset_index().rename(columns={"min": "lowest", "max": "highest"})
    found = cooked("A river's day")
    assert found.hour.nunique() > 20
    same(found, expected.sort_values(["label", "measure_id", "hour"]))


def test_rain_by_catchment(cooked, lake):
    stations = asked(lake, "stations")
    placed = stations.dropna(subset=["catchment", "lat"])
    rain = asked(lake, "conditions").query("rain_24h_coverage >= 0.9")
    rain = rain.merge(stations[["station_id", "lat", "long"]], on="station_id").dropna(subset=["lat"])
    catchments = []
    for gauge in rain.itertuples():
        east = (placed.long - gauge.long) * math.cos(math.radians(gauge.lat))
        catchments.append(placed.catchment.iloc[int(np.hypot(placed.lat - gauge.lat, east).argmin())])
    rain["catchment"] = catchments
    totals = rain.groupby("catchment").rain_24h
    expected = pd.DataFrame({"gauges": totals.size(), "mean_mm": totals.mean(), "most_mm": totals.max()}).round(1)
    found = cooked("Rain by catchment")
    assert found.gauges.sum() == len(rain)
    expected = expected.reset_index().sort_values("catchment").set_index("catchment")
    found = found.sort_values("catchment").set_index("catchment")
    # Half a tenth may be rounded either way.
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, atol=0.1001)


def test_completeness_by_hour(cooked, lake):
    counts = asked(lake, "completeness")
    columns = ["expected", "received", "missing", "silent", "not_due", "not_fetched"]
    expected = counts.groupby("window_start")[columns].sum().reset_index()
    assert len(expected) == 25
    assert expected.missing.sum() > 0
    same(cooked("Completeness by hour").astype(dict.fromkeys(columns, np.int64)), expected)


def test_what_changed_since(cooked, lake):
    found = cooked("What changed since")
    assert len(found) == NEW + REVISED
    assert (found.changed_at == SEEN).all()
    assert ((found.value - found.previous_value).dropna().round(6) == 1).sum() == REVISED
    expected = asked(lake, "changes", since=HOUR)
    same(found, expected.sort_values(["changed_at", "measure_id", "date_time"]))
