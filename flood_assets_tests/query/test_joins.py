from flood_assets.lake.lake import Lake
from flood_assets.partitions import window_of
from flood_assets.schemas import MEASURES, READINGS, STATIONS
from flood_assets_tests.support.lake_rows import HOUR, QUARTER, fetched, snapshot
from flood_assets_tests.support.questions import ask_measures, ask_readings, ask_stations, told
from flood_assets_tests.support.seven_gauges import JOINED, NOW, STATION_ROWS, fill, measure_rows


def test_columns_are_given_in_the_order_asked_for():
    frame = ask_readings(columns=["value", "date_time"], station="K1")
    assert list(frame.columns) == ["value", "date_time"]
    assert list(ask_stations(columns="label").columns) == ["label"]
    assert list(ask_measures(columns=("unit", "measure_id")).columns) == ["unit", "measure_id"]


def test_joined_adds_what_the_snapshots_know():
    frame = ask_readings(joined=True)
    assert list(frame.columns) == [*READINGS.schema.names, *JOINED]
    row = frame[frame.measure_id == "K1-level"].iloc[0]
    assert row[JOINED].tolist() == ["Kingston", "River Thames", 51.41, -0.31, "level", "Stage", "mASD"]
    assert frame[frame.measure_id == "R1-rain"].river.isna().all()


def test_joined_columns_can_be_chosen_alone():
    table = ask_readings(columns=["unit", "value", "label"], joined=True, station="K2", arrow=True)
    assert table.column_names == ["unit", "value", "label"]
    assert set(table["label"].to_pylist()) == {"Kingston upon Hull"}
    assert table.schema.field("unit") == MEASURES.schema.field("unit")


def test_joined_fills_in_a_station_that_was_not_known_when_the_reading_came(tmp_path):
    lake = Lake.open(tmp_path.as_uri())
    lake.upsert_readings(fetched(("K1-level", NOW - HOUR, 1.0), ("stray", NOW - HOUR, 2.0)), NOW, NOW)
    lake.put_snapshots(STATIONS, [window_of(NOW)], snapshot(STATIONS, NOW, *STATION_ROWS))
    lake.put_snapshots(MEASURES, [window_of(NOW)], snapshot(MEASURES, NOW, *measure_rows()))
    assert ask_readings(lake=tmp_path).station_id.isna().all()
    table = ask_readings(lake=tmp_path, joined=True, arrow=True)
    assert table["station_id"].to_pylist() == ["K1", None]
    assert table["label"].to_pylist() == ["Kingston", None]


def test_readings_without_a_snapshot_are_joined_with_nothing_and_it_is_told(tmp_path):
    Lake.open(tmp_path.as_uri()).upsert_readings(fetched(("m", NOW - HOUR, 1.0)), NOW, NOW)
    with told("nothing can be joined from measures", "nothing can be joined from stations"):
        frame = ask_readings(lake=tmp_path, joined=True)
    assert frame.dtypes.equals(ask_readings(joined=True).dtypes)
    assert frame.value.tolist() == [1.0]
    with told("has no stations yet: run"):
        assert ask_readings(lake=tmp_path, river="River Thames").empty


def test_a_revised_reading_shows_its_previous_value(tmp_path):
    lake = Lake.open(tmp_path.as_uri())
    lake.upsert_readings(fetched(("m", NOW - HOUR, 1.0)), NOW - QUARTER, NOW)
    lake.upsert_readings(fetched(("m", NOW - HOUR, 2.0)), NOW, NOW)
    row = ask_readings(lake=tmp_path).iloc[0]
    assert (row.value, row.previous_value, row.revision) == (2.0, 1.0, 1)


def test_the_newest_snapshot_is_given(tmp_path):
    lake = Lake.open(tmp_path.as_uri())
    fill(lake)
    lake.put_snapshots(STATIONS, [window_of(NOW)], snapshot(STATIONS, NOW, {"station_id": "only", "label": "New"}))
    assert ask_stations(lake=tmp_path).station_id.tolist() == ["only"]
