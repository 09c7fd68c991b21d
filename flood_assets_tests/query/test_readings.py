import pandas as pd

from flood_assets.schemas import MEASURES, READINGS, STATIONS
from flood_assets_tests.support.questions import ask_measures, ask_readings, ask_stations
from flood_assets_tests.support.seven_gauges import MEASURE_IDS


def test_without_arguments_the_whole_retained_day_of_every_gauge_is_given():
    frame = ask_readings()
    assert list(frame.columns) == READINGS.schema.names
    assert len(frame) == 96 * len(MEASURE_IDS)
    assert frame.date_time.max() == pd.Timestamp("2026-10-05T09:00Z")
    assert frame.date_time.min() == pd.Timestamp("2026-10-04T09:15Z")


def test_each_gauge_is_in_order_of_time():
    frame = ask_readings()
    assert all(times.is_monotonic_increasing for _, times in frame.groupby("measure_id").date_time)


def test_arrow_gets_the_tables_own_schema():
    assert ask_readings(arrow=True).schema == READINGS.schema
    assert ask_stations(arrow=True).schema == STATIONS.schema
    assert ask_measures(arrow=True).schema == MEASURES.schema
