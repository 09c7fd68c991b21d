import numpy as np
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
        ({"station": "hul"}, "no station is called 'hul'; there is 'Kingston upon Hull'"),
        ({"station": "--"}, "no station is called '--'"),
        ({"station": "Hull Thames"}, "no station is called 'Hull Thames'"),
        ({"station": "1491th"}, "there is '1491TH'"),
        ({"river": "Tham"}, "no river is called 'Tham'; there is 'River Thames'"),
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


@pytest.mark.parametrize(
    ("selection", "measures", "message"),
    [
        ({"river": "Thames"}, {"K1-level", "K1-flow", "T-level"}, "by its words it matches 'River Thames'"),
        (
            {"river": "thames river"},
            {"K1-level", "K1-flow", "T-level"},
            "no river is called 'thames river'; by its words",
        ),
        ({"river": ["hull", "River Thames"]}, {"K1-level", "K1-flow", "T-level", "K2-tide"}, "matches 'River Hull'"),
        ({"station": "hull"}, {"K2-tide"}, "no station is called 'hull'; by its words it matches 'Kingston upon Hull'"),
        ({"station": "Lock"}, {"T-level"}, "no station is called 'Lock'; by its words it matches 'Teddington Lock'"),
        ({"parameter": "tidal"}, {"K2-tide"}, "no parameter is called 'tidal'; by its words it matches 'Tidal Level'"),
        ({"station": "station"}, {"R1-rain", "R2-rain"}, "by its words it matches 'Rainfall station'"),
    ],
)
def test_a_name_that_nothing_is_called_matches_by_its_words_and_it_is_told(selection, measures, message):
    with told(message):
        assert ids(ask_readings(**selection)) == measures
    with told(message):
        assert ids(ask_measures(**selection)) == measures


def test_a_name_that_something_is_called_does_not_match_by_its_words():
    assert ids(ask_readings(station="kingston")) == {"K1-level", "K1-flow"}, "and not Kingston upon Hull"


def test_what_was_matched_by_words_does_not_hide_why_there_is_nothing():
    with told("it matches 'River Thames'", "no gauge matches all of river 'Thames', parameter 'rainfall'"):
        assert ask_readings(river="Thames", parameter="rainfall").empty
    with told("it matches 'River Thames'", "no readings for river 'Thames' from 2026-10-05 09:01Z"):
        assert ask_readings(river="Thames", start="2026-10-05T09:01Z").empty


def test_of_many_names_that_match_by_words_some_are_listed_and_the_rest_counted(tmp_path):
    rows = [{"station_id": f"S{i}", "label": f"Long Bridge {i}"} for i in range(9)]
    Lake.open(tmp_path.as_uri()).put_snapshots(STATIONS, [window_of(NOW)], snapshot(STATIONS, NOW, *rows))
    with told("matches 'Long Bridge 0', 'Long Bridge 1', 'Long Bridge 2', 'Long Bridge 3', 'Long Bridge 4' and 4 more"):
        assert len(ask_stations(lake=tmp_path, station="bridge")) == 9
    with told(
        *[f"no station is called 'bridge {i}'" for i in range(5)], "4 more names of station are matched by their"
    ):
        assert len(ask_stations(lake=tmp_path, station=[f"bridge {i}" for i in range(9)])) == 9


GAUGES = [
    {"station_id": "2200TH", "label": "Reading", "town": "Reading", "catchment": "Thames Lower", "rloi_id": "7388",
     "wiski_id": "2200", "station_reference": "2200TH"},
    {"station_id": "7041TH", "label": "Bourton Dickler", "town": "Little Rissington", "catchment": "Cotswolds",
     "rloi_id": "7041|9041", "wiski_id": "7041TH", "station_reference": "7041TH"},
    {"station_id": "055003_TG_316", "label": "Rainfall station", "station_reference": "055003_TG 316"},
    {"station_id": "9041", "label": "Rainfall station", "station_reference": "9041"},
    {"station_id": "E7190-southern", "label": "Dover", "station_reference": "E7190", "town": "Dover"},
    {"station_id": "E7190-anglian", "label": "Dover", "station_reference": "E7190", "catchment": "Cotswolds"},
]  # fmt: skip


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbered")
    lake = Lake.open(folder)
    lake.put_snapshots(STATIONS, [window_of(NOW)], snapshot(STATIONS, NOW, *GAUGES))
    rows = [{"measure_id": f"{each['station_id']}-level", "station_id": each["station_id"]} for each in GAUGES]
    lake.put_snapshots(MEASURES, [window_of(NOW)], snapshot(MEASURES, NOW, *rows))
    lake.upsert_readings(fetched(*[(row["measure_id"], NOW - HOUR, 1.0) for row in rows]), NOW, NOW)
    return folder


@pytest.mark.parametrize(
    ("selection", "stations"),
    [
        ({"station": "7388"}, {"2200TH"}),
        ({"station": 7388}, {"2200TH"}),
        ({"station": [7388, "Bourton Dickler"]}, {"2200TH", "7041TH"}),
        ({"station": np.array([7388, 7041])}, {"2200TH", "7041TH"}),
        ({"station": "7041"}, {"7041TH"}),
        ({"station": "7041|9041"}, {"7041TH"}),
        ({"station": "2200"}, {"2200TH"}),
        ({"station": "055003_TG 316"}, {"055003_TG_316"}),
        ({"station": "E7190"}, {"E7190-southern", "E7190-anglian"}),
        ({"station": [each["station_id"] for each in GAUGES]}, {each["station_id"] for each in GAUGES}),
        ({"town": "reading"}, {"2200TH"}),
        ({"town": ["Dover", "Reading"]}, {"2200TH", "E7190-southern"}),
        ({"catchment": "Cotswolds"}, {"7041TH", "E7190-anglian"}),
        ({"catchment": "cotswolds", "station": "dover"}, {"E7190-anglian"}),
    ],
)
def test_stations_are_found_by_town_catchment_and_the_numbers_of_other_systems(numbered, selection, stations):
    assert ids(ask_stations(lake=numbered, **selection), "station_id") == stations
    assert ids(ask_measures(lake=numbered, **selection)) == {f"{station}-level" for station in stations}
    assert ids(ask_readings(lake=numbered, **selection)) == {f"{station}-level" for station in stations}


def test_a_station_id_that_is_another_id_of_another_station_is_that_station_and_it_is_told(numbered):
    """The numbers of public pages and the references of rain gauges are both four digits."""
    with told("station '9041' is a station_id, and another id of '7041TH': ask for that by its station_id"):
        assert ids(ask_stations(lake=numbered, station="9041"), "station_id") == {"9041"}
    assert ids(ask_stations(lake=numbered, station=["9041", "7041TH"]), "station_id") == {"9041", "7041TH"}


@pytest.mark.parametrize("ask", [ask_readings, ask_stations, ask_measures])
def test_a_county_is_refused_with_what_there_is(ask):
    with pytest.raises(
        TypeError, match=r"unknown argument 'county': .* no station's county; choose by catchment, town"
    ):
        ask(county="Kent")


def test_a_snapshot_without_the_other_ids_can_be_searched(tmp_path):
    """As a window that was written before they were columns."""
    lake = Lake.open(tmp_path)
    key, rows = key_of(STATIONS, window_of(NOW)), snapshot(STATIONS, NOW, *GAUGES)
    older = [name for name in rows.column_names if name not in {"rloi_id", "wiski_id", "station_reference", "town"}]
    (tmp_path / key).parent.mkdir(parents=True)
    pq.write_table(rows.select(older), tmp_path / key)
    assert ids(ask_stations(lake=lake, station="2200TH"), "station_id") == {"2200TH"}
    with told("no station is called '7388'"):
        assert ask_stations(lake=lake, station="7388").empty
