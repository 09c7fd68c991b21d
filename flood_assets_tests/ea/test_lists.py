import json
import logging
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flood_assets.ea.lists import parse_measures, parse_stations
from flood_assets.errors import SourceError
from flood_assets.schemas import MEASURES, STATIONS
from flood_assets_tests.ea.test_parse import ROOT, SEEN, STAGE
from flood_assets_tests.support.recordings import envelope, recorded


def items(*each):
    return json.dumps({"items": each}).encode()


def station(**fields):
    return parse_stations(items({"@id": f"{ROOT}/stations/1029TH"} | fields), SEEN).rows.to_pylist()[0]


def measure(**fields):
    return parse_measures(items({"@id": f"{ROOT}/measures/{STAGE}"} | fields), SEEN).rows.to_pylist()[0]


# Stations


def test_a_station_of_the_full_view():
    row = station(
        notation="1029TH", RLOIid="7041", catchmentName="Cotswolds", dateOpened="1994-01-01", easting=417990,
        label="Bourton Dickler", lat=51.874767, long=-1.740083, northing=219610, riverName="River Dikler",
        gridReference="SP1799019610", status="http://environment.data.gov.uk/flood-monitoring/def/core/statusActive",
        stationReference="1029TH", town="Little Rissington", wiskiID="1029TH",
        type=["http://environment.data.gov.uk/flood-monitoring/def/core/SingleLevel",
              "http://environment.data.gov.uk/flood-monitoring/def/core/Station"],
        measures=[{"@id": f"{ROOT}/measures/{STAGE}", "period": 900}],
        stageScale={
            "highestRecent": {"dateTime": "2014-01-04T19:00:00", "value": 0.602},
            "maxOnRecord": {"dateTime": "2007-07-20T20:00:00", "value": 0.82},
            "minOnRecord": {"dateTime": "2003-09-17T20:00:00", "value": 0.05},
            "scaleMax": 3, "typicalRangeHigh": 0.42, "typicalRangeLow": 0.068,
        },
    )  # fmt: skip
    assert row == {
        "station_id": "1029TH", "label": "Bourton Dickler", "river": "River Dikler", "catchment": "Cotswolds",
        "town": "Little Rissington", "lat": 51.874767, "long": -1.740083, "easting": 417990.0, "northing": 219610.0,
        "grid_reference": "SP1799019610", "station_type": "SingleLevel", "status": "Active",
        "opened": date(1994, 1, 1), "typical_low": 0.068, "typical_high": 0.42, "highest_recent": 0.602,
        "highest_recent_at": datetime(2014, 1, 4, 19, tzinfo=UTC), "max_on_record": 0.82, "min_on_record": 0.05,
        "rloi_id": "7041", "wiski_id": "1029TH", "station_reference": "1029TH", "publisher": None, "observed_at": SEEN,
    }  # fmt: skip


def test_a_rain_gauge_has_hardly_any_field():
    row = station(label="Rainfall station", stationReference="005588", notation="1029TH")
    assert {name for name, value in row.items() if value is not None} == {
        "station_id", "label", "station_reference", "observed_at",
    }  # fmt: skip


def test_a_station_needs_only_its_id():
    assert station()["station_id"] == "1029TH"


def test_the_station_with_an_empty_notation_is_one():
    assert station(**{"@id": f"{ROOT}/stations/", "notation": "", "stationReference": ""})["station_id"] == ""
    assert station(**{"@id": f"{ROOT}/stations/"})["station_id"] == ""


def test_several_texts_are_joined_and_of_several_numbers_the_first_is_taken():
    core = "http://environment.data.gov.uk/flood-monitoring/def/core/status"
    row = station(
        RLOIid=["9237", "9240"], label=["Pond", "Pond"], town=["Shirley", "Southampton"],
        status=[f"{core}Active", f"{core}Closed"], lat=[50.5, 51.5], long=[-1.4, -1.4], easting=[1, 2],
        dateOpened=["2015-07-08", "2016-01-01"],
    )  # fmt: skip
    assert (row["rloi_id"], row["label"], row["town"]) == ("9237|9240", "Pond", "Shirley|Southampton")
    assert row["status"] == "Active|Closed"
    assert (row["lat"], row["long"], row["easting"], row["opened"]) == (50.5, -1.4, 1.0, date(2015, 7, 8))


@pytest.mark.parametrize("status", ["Active", "Suspended", "Closed", "ukcmf"])
def test_a_status_is_its_last_word(status):
    assert station(status=f"http://x/def/core/status{status}")["status"] == status


@pytest.mark.parametrize("measures", [None, {"@id": "x"}, [], [{"@id": "x"}], "x"])
def test_the_measures_of_a_station_may_have_any_shape(measures):
    assert station(measures=measures, label="Ewen")["label"] == "Ewen"


@pytest.mark.parametrize(
    "scale", [f"{ROOT}/stations/1029TH/stageScale", {}, [], None, 7, {"highestRecent": "http://x"}]
)
def test_a_scale_that_is_only_a_uri_or_empty_gives_nulls(scale):
    row = station(stageScale=scale)
    assert {row[name] for name in ("typical_low", "typical_high", "highest_recent", "max_on_record")} == {None}


def test_one_of_two_scales_is_taken():
    assert station(stageScale=[{"typicalRangeLow": 0.1}, {"typicalRangeLow": 0.2}])["typical_low"] == 0.1


def test_a_typical_range_that_is_upside_down_is_left_as_it_is():
    row = station(stageScale={"typicalRangeLow": 2, "typicalRangeHigh": 1})
    assert (row["typical_low"], row["typical_high"]) == (2, 1)


def test_texts_with_leading_zeros_and_numbers_in_place_of_texts_are_texts():
    row = station(stationReference="000008", wiskiID="030011", RLOIid=7041, town=12)
    assert (row["station_reference"], row["wiski_id"], row["rloi_id"], row["town"]) == (
        "000008",
        "030011",
        "7041",
        "12",
    )


@pytest.mark.parametrize("opened", ["unknown", "", 7, {"value": "x"}, "2015-13-01", ["?"]])
def test_a_date_that_is_none_is_null(opened):
    assert station(dateOpened=opened)["opened"] is None


def test_numbers_given_as_text_are_numbers_and_others_are_null():
    row = station(lat="51.5", long="west", easting=332882.22468, northing=True)
    assert (row["lat"], row["long"], row["easting"], row["northing"]) == (51.5, None, 332882.22468, None)


def test_of_a_station_that_is_listed_twice_the_last_is_kept(caplog):
    uri = f"{ROOT}/stations/a"
    with caplog.at_level(logging.WARNING, "flood_assets.ea"):
        table = parse_stations(items({"@id": uri, "label": "old"}, {"@id": uri, "label": "new"}), SEEN).rows
    assert table["label"].to_pylist() == ["new"]
    assert "1 of 2 stations are listed more than once" in caplog.text


def test_stations_that_share_a_reference_are_different_stations():
    uris = [f"{ROOT}/stations/E7190{suffix}" for suffix in ("", "-southern", "-anglian")]
    table = parse_stations(items(*({"@id": uri, "stationReference": "E7190"} for uri in uris)), SEEN).rows
    assert table["station_id"].to_pylist() == ["E7190", "E7190-southern", "E7190-anglian"]


def test_an_item_without_id_is_skipped_and_said(caplog):
    with caplog.at_level(logging.WARNING, "flood_assets.ea"):
        table = parse_stations(
            items({"label": "Nameless"}, "text", {"@id": f"{ROOT}/stations/a"}, {"notation": "b"}), SEEN
        ).rows
    assert table["station_id"].to_pylist() == ["a", "b"]
    assert "2 of 4 stations" in caplog.text
    assert "Nameless" in caplog.text


@pytest.mark.parametrize("parse", [parse_stations, parse_measures])
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{}", b'{"items": {"@id": "x"}}', b'{"items": [', b"[]", b"\xff", b'{"items": null}']
)
def test_a_body_without_a_list_of_items_is_refused(parse, body):
    with pytest.raises(SourceError):
        parse(body, SEEN)


@pytest.mark.parametrize("parse", [parse_stations, parse_measures])
def test_a_list_of_nothing_but_nameless_items_is_refused(parse):
    with pytest.raises(SourceError, match="2 of 2"):
        parse(items({"label": "x"}, {"label": "y"}), SEEN)


shapes = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["@id", "value", "dateTime", "x"]), inner)
    ),
    max_leaves=6,
)
fields = st.dictionaries(
    st.sampled_from(
        [
            "notation",
            "label",
            "lat",
            "easting",
            "status",
            "type",
            "dateOpened",
            "stageScale",
            "RLOIid",
            "station",
            "period",
            "unitName",
            "datumType",
        ]
    ),
    shapes,
)


@settings(max_examples=300, deadline=None)
@given(odd=fields)
def test_no_field_of_any_shape_spoils_a_list(odd):
    for parse, kind, table in ((parse_stations, "stations", STATIONS), (parse_measures, "measures", MEASURES)):
        parsed, _ = parse(items(odd | {"@id": f"{ROOT}/{kind}/a"}, {"@id": f"{ROOT}/{kind}/b"}), SEEN)
        assert parsed.schema == table.schema
        assert parsed[table.key[0]].to_pylist() == ["a", "b"]


# Measures


def test_a_measure():
    row = measure(
        datumType="http://environment.data.gov.uk/flood-monitoring/def/core/datumASD", notation=STAGE,
        parameter="level", parameterName="Water Level", period=900, qualifier="Stage",
        station=f"{ROOT}/stations/1029TH", stationReference="1029TH",
        unit="http://qudt.org/1.1/vocab/unit#Meter", unitName="mASD", valueType="instantaneous",
    )  # fmt: skip
    assert row == {
        "measure_id": STAGE, "station_id": "1029TH", "parameter": "level", "qualifier": "Stage", "unit": "mASD",
        "value_type": "instantaneous", "datum": "datumASD", "period_s": 900, "publisher": None, "observed_at": SEEN,
    }  # fmt: skip


def test_what_a_measure_lacks_is_null():
    row = measure(qualifier="", unitName="---")
    assert {name for name, value in row.items() if value is not None} == {"measure_id", "qualifier", "observed_at"}


@pytest.mark.parametrize(
    ("period", "seconds"),
    [(900, 900), ("900", 900), (900.0, 900), ("Unspecified", None), (0, None), (1e12, None), ([900, 900], 900)],
)
def test_a_period_may_be_a_number_or_a_text(period, seconds):
    assert measure(period=period)["period_s"] == seconds


@pytest.mark.parametrize("latest", [None, f"{ROOT}/readings/x", {"value": 1}, {"value": [1, 2]}, [{"value": 1}]])
def test_the_latest_reading_of_a_measure_may_have_any_shape(latest):
    assert measure(latestReading=latest, period=900)["period_s"] == 900


def test_the_station_of_a_measure_may_be_an_object_or_have_no_notation():
    assert measure(station={"@id": f"{ROOT}/stations/E70039", "label": "Lowestoft"})["station_id"] == "E70039"
    assert measure(station=f"{ROOT}/stations/")["station_id"] == ""
    assert measure(station="nowhere")["station_id"] is None


def test_two_units_of_one_quantity_are_two_measures():
    table = parse_measures(items(*({"@id": f"{ROOT}/measures/a-level-{unit}"} for unit in ("mASD", "mAOD"))), SEEN).rows
    assert table.num_rows == 2


# Recorded stations and measures


def test_the_recorded_stations_of_2020_parse_completely():
    body = recorded("national/stations_national_2020-02-17.json")
    table = parse_stations(envelope(body), SEEN).rows
    assert table.schema == STATIONS.schema
    assert table.num_rows == len(set(table["station_id"].to_pylist())) == 4_524
    nulls = {name: table[name].null_count for name in ("status", "river", "town", "lat", "label")}
    assert nulls == {"status": 2_299, "river": 2_299, "town": 2_374, "lat": 438, "label": 0}
    assert set(table["status"].to_pylist()) == {None, "Active", "Suspended", "Closed", "ukcmf", "Active|Closed"}
    assert table["opened"].null_count == 2_299


def test_the_recorded_stations_of_the_full_view_have_level_ranges():
    table = parse_stations(envelope(recorded("sample/stations.json")), SEEN).rows
    assert table.num_rows == 2_057
    assert table["typical_high"].null_count < 1_500
    assert table["highest_recent_at"].null_count < 2_000


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("national/measures_flow_2021-02-06.json", 279),
        ("national/measures_level_stage_2026-02-02.json", 3_726),
        ("national/measures_rainfall_2022-04-30.json", 1_003),
        ("sample/measures.json", 2_058),
        ("odd/measures_unit_dashes_2026_first3.json", 3),
        ("odd/measures_without_latestReading_2026_first3.json", 3),
    ],
)
def test_recorded_measures_parse_completely(name, count):
    table = parse_measures(envelope(recorded(name)), SEEN).rows
    assert table.schema == MEASURES.schema
    assert table.num_rows == count
    assert table["station_id"].null_count == 0
    assert "---" not in set(table["unit"].to_pylist())


def test_the_recorded_measure_without_period():
    (row,) = parse_measures(envelope(recorded("odd/measure_without_period_4067_2026.json")), SEEN).rows.to_pylist()
    assert (row["measure_id"], row["period_s"]) == ("4067-level-stage-i-Unspecified-mASD", None)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (
            "station_list_valued_fields_3319SE_2020",
            {"station_id": "3319SE", "rloi_id": "9237|9240", "town": "Shirley|Southampton", "status": "Active|Closed"},
        ),
        ("station_empty_stationReference_2020", {"station_id": "", "station_reference": "", "label": "Hunsingore"}),
        ("station_reference_zero_8_measures_2020", {"station_id": "0", "label": "FRAMPTON COTTERELL DL"}),
        ("station_detail_1491TH", {"station_id": "1491TH", "station_type": "MultiTraceLevel", "status": "Active"}),
    ],
)  # fmt: skip
def test_recorded_odd_stations(name, wanted):
    (row,) = parse_stations(envelope(recorded(f"odd/{name}.json")), SEEN).rows.to_pylist()
    assert {key: row[key] for key in wanted} == wanted


@pytest.mark.parametrize("name", ["stations_without_coordinates_2020_first5", "stations_without_measures_2020"])
def test_recorded_stations_that_lack_things_are_all_kept(name):
    body = envelope(recorded(f"odd/{name}.json"))
    assert parse_stations(body, SEEN).rows.num_rows == len(json.loads(body)["items"])
