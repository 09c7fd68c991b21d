import pandas as pd
import pyarrow.parquet as pq
import pytest

from flood_assets.errors import LakeError
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import key_of
from flood_assets.partitions import window_of
from flood_assets.schemas import MEASURES, READINGS, STATIONS
from flood_assets_tests.support.lake_rows import HOUR, fetched, snapshot
from flood_assets_tests.support.questions import ask_measures, ask_readings, ask_stations, ids, told
from flood_assets_tests.support.seven_gauges import MEASURE_ROWS, NOW, STATION_ROWS, fill


@pytest.mark.parametrize(
    ("selection", "measures"),
    [
        ({"measure": "K1-level"}, {"K1-level"}),
        ({"measure": ["K1-level", "R1-rain"]}, {"K1-level", "R1-rain"}),
        ({"station": "K1"}, {"K1-level", "K1-flow"}),
        ({"station": "kingston"}, {"K1-level", "K1-flow"}),
        ({"station": "Kingston  upon HULL "}, {"K2-tide"}),
        ({"station": "teddington"}, {"T-level"}),
        ({"station": ("K2", "Teddington Lock")}, {"K2-tide", "T-level"}),
        ({"station": "Rainfall station"}, {"R1-rain", "R2-rain"}),
        ({"station": pd.Series(["K1", "K1", "G1"])}, {"K1-level", "K1-flow", "G1-level"}),
        ({"river": "River Thames"}, {"K1-level", "K1-flow", "T-level"}),
        ({"river": ["river hull", "RIVER THAMES"]}, {"K1-level", "K1-flow", "T-level", "K2-tide"}),
        ({"parameter": "rainfall"}, {"R1-rain", "R2-rain"}),
        ({"parameter": "Level"}, {"K1-level", "K2-tide", "T-level", "G1-level"}),
        ({"parameter": "tidal level"}, {"K2-tide"}),
        ({"parameter": ["groundwater", "flow"]}, {"G1-level", "K1-flow"}),
        ({"river": "River Thames", "parameter": "level"}, {"K1-level", "T-level"}),
        ({"station": "K1", "river": "River Thames", "parameter": "flow", "measure": "K1-flow"}, {"K1-flow"}),
    ],
)
def test_gauges_are_chosen_by_station_river_parameter_and_measure(selection, measures):
    frame = ask_readings(**selection)
    assert ids(frame) == measures
    assert len(frame) == 96 * len(measures)
    assert ids(ask_measures(**selection)) == measures
    stations = {station for measure, station, *_ in MEASURE_ROWS if measure in measures}
    assert ids(ask_stations(**selection), "station_id") == stations


def test_a_station_without_measures_is_given_where_measures_were_not_asked_for(tmp_path):
    lake = Lake.open(tmp_path.as_uri())
    fill(lake)
    rows = snapshot(STATIONS, NOW, *STATION_ROWS, {"station_id": "new", "label": "Not yet wired"})
    lake.put_snapshots(STATIONS, [window_of(NOW)], rows)
    assert ids(ask_stations(lake=tmp_path), "station_id") >= {"new"}
    assert len(ask_stations(lake=tmp_path, station="not yet wired")) == 1


def test_a_measure_that_no_snapshot_knows_is_found_by_its_id(tmp_path):
    lake = Lake.open(tmp_path.as_uri())
    lake.upsert_readings(fetched(("unknown-yet", NOW - HOUR, 1.0)), NOW, NOW)
    assert ask_readings(lake=tmp_path, measure="unknown-yet").value.tolist() == [1.0]


def test_only_the_row_groups_of_the_chosen_gauges_are_read(tmp_path):
    lake = Lake.open(tmp_path.as_uri())
    when = NOW - HOUR
    many = [f"m{i:05}" for i in range(20_000)]
    lake.upsert_readings(fetched(*[(name, when, 1.0) for name in many]), NOW, NOW)
    observed = {"station_id": "S", "label": "Here", "river": "River Few"}
    lake.put_snapshots(STATIONS, [window_of(NOW)], snapshot(STATIONS, NOW, observed))
    lake.put_snapshots(MEASURES, [window_of(NOW)], snapshot(MEASURES, NOW, {"measure_id": many[-1], "station_id": "S"}))
    path = tmp_path / key_of(READINGS, window_of(when))
    first = pq.read_metadata(path).row_group(0).column(0)
    data = bytearray(path.read_bytes())
    start, size = first.data_page_offset, first.total_compressed_size
    data[start + size // 2 : start + size] = b"\xff" * (size - size // 2)
    path.write_bytes(data)

    with pytest.raises(LakeError, match="cannot be read"):
        ask_readings(lake=tmp_path)
    assert ask_readings(lake=tmp_path, river="River Few").measure_id.tolist() == [many[-1]]


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"station": "Kingstn"}, "no station is called 'Kingstn'; there is 'Kingston'"),
        ({"station": "hull"}, "no station is called 'hull'; there is 'Kingston upon Hull'"),
        ({"station": "1491th"}, "there is '1491TH'"),
        ({"river": "Thames"}, "no river is called 'Thames'; there is 'River Thames'"),
        ({"parameter": "rain"}, "no parameter is called 'rain'; there is 'rainfall'"),
        ({"parameter": "xyz"}, "there is 'flow', 'level', 'rainfall', 'Groundwater', 'Logged' and 3 more"),
        ({"measure": "K1-levl"}, "no measure is called 'K1-levl'; there is 'K1-level'"),
        ({"measure": "K1-levl", "river": "River Thames"}, "no measure is called 'K1-levl'; there is 'K1-level'"),
        ({"station": []}, "station is an empty list, so nothing matches"),
        ({"measure": []}, "measure is an empty list, so nothing matches"),
        (
            {"river": "River Thames", "parameter": "rainfall"},
            "no gauge matches all of river 'River Thames', parameter 'rainfall', though each name is known",
        ),
    ],
)
def test_an_unknown_name_gives_an_empty_table_and_is_told_with_what_looks_like_it(selection, message):
    full = ask_readings(joined=True)
    with told(message):
        frame = ask_readings(**selection, joined=True)
    assert frame.empty
    assert frame.dtypes.equals(full.dtypes)
    with told(message):
        assert ask_measures(**selection).dtypes.equals(ask_measures().dtypes)
    with told(message):
        assert ask_stations(**selection).dtypes.equals(ask_stations().dtypes)


def test_of_several_names_the_known_are_given_and_the_unknown_told():
    with told("no station is called 'Atlantis'", "no measure is called 'nope'"):
        frame = ask_readings(station=["K1", "Atlantis"], measure=["K1-flow", "nope"])
    assert ids(frame) == {"K1-flow"}
    with told("no measure is called 'nope'"):
        assert ids(ask_readings(measure=["K1-flow", "nope"])) == {"K1-flow"}


def test_a_name_in_one_selection_is_not_unknown_because_of_another():
    with told("no gauge matches all of station 'K1', river 'River Hull'"):
        assert ask_readings(station="K1", river="River Hull").empty


def test_many_unknown_names_are_counted_and_not_all_listed():
    with told(*[f"'x{i}'" for i in range(5)], "995 more names of station are unknown"):
        ask_readings(station=[f"x{i}" for i in range(1000)])
