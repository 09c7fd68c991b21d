import csv
import io
import json
import logging
import math
from datetime import UTC, date, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flood_assets.ea.parse import (
    FETCHED,
    parse_measures,
    parse_readings,
    parse_readings_json,
    parse_stations,
    read_readings,
)
from flood_assets.errors import SourceError
from flood_assets.schemas import MEASURES, REJECTS, STATIONS
from flood_assets_tests.support.recordings import envelope, recorded

SEEN = datetime(2024, 3, 1, 12, tzinfo=UTC)
ROOT = "http://environment.data.gov.uk/flood-monitoring/id"
HEADER = "dateTime,measure,value"
STAGE = "1029TH-level-stage-i-15_min-mASD"
NOON = "2024-02-29T12:00:00Z"


def answer(*lines):
    return "".join(f"{line}\r\n" for line in (HEADER, *lines)).encode()


def line(value, measure=STAGE, at=NOON):
    return f"{at},{ROOT}/measures/{measure},{value}"


def read(*lines):
    parsed = parse_readings(answer(*lines), SEEN)
    assert parsed.rows.schema == FETCHED
    assert parsed.rejects.schema == REJECTS.schema
    return parsed.rows.to_pylist(), parsed.rejects.to_pylist()


def value_of(text):
    (row,), rejects = read(line(text))
    assert not rejects
    return row["value"], row["raw_value"]


def items(*each):
    return json.dumps({"items": each}).encode()


def station(**fields):
    return parse_stations(items({"@id": f"{ROOT}/stations/1029TH"} | fields), SEEN).to_pylist()[0]


def measure(**fields):
    return parse_measures(items({"@id": f"{ROOT}/measures/{STAGE}"} | fields), SEEN).to_pylist()[0]


# Readings: what a value says


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3.430", 3.43),
        ("0", 0.0),
        ("-53.146", -53.146),
        ("1.0E-4", 1e-4),
        ("13210", 13210.0),
        ("+1.5", 1.5),
        (".5", 0.5),
    ],
)
def test_a_number_is_a_value_and_nothing_else(text, number):
    assert value_of(text) == (number, None)


def test_a_value_left_out_is_null():
    assert value_of("") == (None, None)


@pytest.mark.parametrize("text", ["2.796|2.922", "0.121|0.130|0.017|-0.033", "1.0|", "1.5|nan"])
def test_several_values_are_kept_as_text_and_none_is_chosen(text):
    assert value_of(text) == (None, text)


@pytest.mark.parametrize(("text", "number"), [("20.37|20.37", 20.37), ("1.50|1.5", 1.5), ("0|-0", 0)])
def test_the_same_value_twice_is_that_value_and_its_text(text, number):
    assert value_of(text) == (number, text)


def test_values_in_quotes_are_read_as_without():
    rows, rejects = read(f'{NOON},"{ROOT}/measures/a,b","2.796|2.922"')
    assert not rejects
    assert [(row["measure_id"], row["raw_value"]) for row in rows] == [("a,b", "2.796|2.922")]


@pytest.mark.parametrize("text", ["NaN", "INF", "-inf", "1e999", "---", "null", "1_000", "0x10", "1.5 m", "\u0661"])
def test_any_other_text_is_kept_as_text(text):
    assert value_of(text) == (None, text)


# Readings: which measure, which moment


@pytest.mark.parametrize(
    "notation",
    [
        STAGE,
        "3400TH-flow--i-15_min-m3_s",
        "L2011-level-stage-i-15_min----",
        "-level-stage-i-15_min-m",
        "0-level-1-i-15_min-m",
        "E2900-southern-level-tidal_level-i-15_min-mAOD",
        "a%20b-level",
        "id/measures/x",
        "Tafón-level",
    ],
)
def test_the_notation_is_all_that_follows_in_the_uri(notation):
    (row,), rejects = read(line("1", notation))
    assert not rejects
    assert row["measure_id"] == notation


def test_one_notation_under_http_and_https_is_one_measure():
    secure = line("2").replace("http:", "https:")
    parsed = parse_readings(answer(line("1"), secure), SEEN)
    assert parsed.rows["measure_id"].combine_chunks().dictionary.to_pylist() == [STAGE]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (NOON, datetime(2024, 2, 29, 12, tzinfo=UTC)),
        ("2024-02-29T08:39:55Z", datetime(2024, 2, 29, 8, 39, 55, tzinfo=UTC)),
        ("2024-02-29T12:00:00.5Z", datetime(2024, 2, 29, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("2024-02-29T12:00:00.123987Z", datetime(2024, 2, 29, 12, 0, 0, 123_000, tzinfo=UTC)),
        ("2024-02-29T12:00:00.123456789Z", datetime(2024, 2, 29, 12, 0, 0, 123_000, tzinfo=UTC)),
        ("2024-02-29T13:00:00+01:00", datetime(2024, 2, 29, 12, tzinfo=UTC)),
        ("2024-02-29T07:00:00-0500", datetime(2024, 2, 29, 12, tzinfo=UTC)),
        ("2024-02-29T12:00Z", datetime(2024, 2, 29, 12, tzinfo=UTC)),
        ("2044-01-01T00:00:00Z", datetime(2044, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_off_the_grid_in_the_future_and_in_other_zones_are_read(text, moment):
    rows, rejects = read(line("1", at=text), line("1"))
    assert not rejects
    assert rows[0]["date_time"] == moment


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-30T12:00:00Z",
        "2024-02-29T24:00:00Z",
        "2024-02-29",
        "yesterday",
        "",
        "20240229T120000Z",
        "0024-02-29T12:00:00Z",
        "2024-02-29T12:00:00+30:00",
    ],
)
def test_what_is_not_a_time_is_rejected_and_the_other_rows_stand(text):
    rows, rejects = read(line("1"), line("2.5", at=text), line("3"))
    assert [row["value"] for row in rows] == [1, 3]
    assert rejects == [{"seen_at": SEEN, "line": line("2.5", at=text), "reason": "dateTime is not a time"}]


def test_a_time_without_a_zone_is_rejected_with_that_reason():
    rows, (reject,) = read(line("1", at="2024-02-29T12:00:00"))
    assert not rows
    assert "no zone" in reject["reason"]


@pytest.mark.parametrize("uri", ["", STAGE, f"{ROOT}/stations/1029TH", f"{ROOT}/measures/", "ftp://x/id/measures/a"])
def test_what_is_not_a_measures_uri_is_rejected(uri):
    rows, rejects = read(f"{NOON},{uri},1", line("2"))
    assert [row["value"] for row in rows] == [2]
    assert [(reject["line"], reject["reason"]) for reject in rejects] == [
        (f"{NOON},{uri},1", "measure is not a measure's URI")
    ]


def test_lines_with_too_few_or_too_many_cells_are_rejected():
    rows, rejects = read(NOON, line("1"), line("2") + ",x", line("3"))
    assert [row["value"] for row in rows] == [1, 3]
    assert [(r["line"], r["reason"]) for r in rejects] == [
        (NOON, "1 cells instead of 3"),
        (line("2") + ",x", "4 cells instead of 3"),
    ]


def test_every_line_may_be_rejected():
    rows, rejects = read("a", "b,c", "d,e,f")
    assert not rows
    assert len(rejects) == 3


@pytest.mark.parametrize("odd", ['"2', '2"', '"2|3', '""2"'])
def test_a_quote_without_its_partner_costs_only_its_own_row(odd):
    rows, rejects = read(line("1"), line(odd), line("3"), line('"4|5"'), line('"6"'), line("7"))
    assert len(rows) == 6
    assert not rejects
    assert [row["value"] for row in rows][2:] == [3, None, 6, 7]
    assert rows[1]["value"] is None
    assert [row["raw_value"] for row in rows][3] == "4|5"


def test_a_reading_that_comes_twice_is_given_twice():
    rows, _ = read(line("1"), line("1"))
    assert len(rows) == 2


def test_twin_stations_with_one_reference_are_two_measures():
    rows, _ = read(line("1", "E70139-level"), line("2", "E70139-anglian-level"))
    assert {row["measure_id"] for row in rows} == {"E70139-level", "E70139-anglian-level"}


# Readings: answers that cannot be believed


def test_a_header_alone_is_an_answer_without_rows():
    assert read() == ([], [])
    assert parse_readings(b"dateTime,measure,value\n", SEEN).rows.num_rows == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty"),
        (b"dateTime,measure", "found 'dateTime,measure'"),
        (b"<!DOCTYPE html><html>", "found '<!DOCTYPE html>"),
        (b'{"items": []}\n', 'found \'{"items"'),
        (b"dateTime,date,measure,value\r\n", "found 'dateTime,date,measure,value"),
        (b"\xef\xbb\xbfdateTime,measure,value\r\n", "expected the header"),
        (b"dateTime,measure,value", "found 'dateTime,measure,value'"),
        (answer(line("1"))[:-2], "cut short"),
        (answer(line("1"))[:-1], "cut short"),
        (answer(line("1"), line("\0")), "corrupt"),
        (answer(line("1")) + b"\xff\xfe\r\n", "not UTF-8"),
        (answer() + b"x" * 2_000_000, "cut short"),
    ],
)
def test_an_answer_that_is_not_whole_and_right_is_refused(body, message):
    if body == b"dateTime,measure,value":
        message = "cut short"
    with pytest.raises(SourceError, match=message):
        parse_readings(body, SEEN)


def test_bytes_without_line_ends_do_not_fill_the_memory():
    def endless():
        while True:
            yield b"x" * 100_000

    with pytest.raises(SourceError, match="no line end"):
        parse_readings(endless(), SEEN, block_bytes=1_000)


def test_an_answer_is_given_in_blocks_as_it_arrives():
    asked = []

    def chunks():
        yield answer()
        for number in range(100):
            asked.append(number)
            yield f"{line(number)}\r\n".encode()

    blocks = read_readings(chunks(), SEEN, block_bytes=1_000)
    first = next(blocks)
    # A block is given when the next is there.
    assert 0 < first.rows.num_rows * 2 == len(asked) < 40
    assert first.rows.num_rows + sum(block.rows.num_rows for block in blocks) == 100


# Any table comes back as it was, whatever the blocks

notations = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=8)
moments = st.integers(-30_000_000_000, 32_000_000_000).map(lambda s: datetime.fromtimestamp(s, UTC))
numbers = st.floats(allow_nan=False, allow_infinity=False).map(repr)
cells = st.one_of(
    st.just(""),
    numbers,
    st.lists(numbers, min_size=2, max_size=4).map("|".join),
    st.sampled_from(["NaN", "x,y", 'a"b', "-"]),
)


def expected(text):
    if not text:
        return None, None
    try:
        values = [float(part) for part in text.split("|")]
    except ValueError:
        return None, text
    if any(not math.isfinite(value) for value in values):
        return None, text
    return (values[0] if len(set(values)) == 1 else None), (text if len(values) > 1 else None)


@settings(max_examples=300, deadline=None)
@given(table=st.lists(st.tuples(moments, notations, cells)), size=st.integers(1, 400), step=st.integers(1, 100))
@example(table=[(datetime(2024, 1, 1, tzinfo=UTC), "a\u2028b", "1.5")], size=1, step=1)
def test_any_readings_rendered_as_csv_come_back(table, size, step):
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(HEADER.split(","))
    for at, notation, text in table:
        writer.writerow([at.strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20), f"{ROOT}/measures/{notation}", text])
    body = out.getvalue().encode()
    parsed = parse_readings([body[at : at + step] for at in range(0, len(body), step)], SEEN, block_bytes=size)
    assert parsed.rejects.num_rows == 0
    found = [(r["date_time"], r["measure_id"], (r["value"], r["raw_value"])) for r in parsed.rows.to_pylist()]
    assert found == [(at, notation, expected(text)) for at, notation, text in table]


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=50) | st.text('",\r\n1|é', max_size=50).map(str.encode), size=st.integers(1, 100))
def test_any_bytes_are_refused_or_every_line_is_a_row_or_a_reject(body, size):
    try:
        parsed = parse_readings([answer(), body], SEEN, block_bytes=size)
    except SourceError:
        return
    lines = [each for each in body.decode().replace("\r", "\n").split("\n") if each]
    assert parsed.rows.num_rows + parsed.rejects.num_rows == len(lines)


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_cut_at_any_byte_inside_a_line_is_an_error(step):
    body = answer(line("1.25"), line("2.5"))
    ends = {at + 1 for at in range(len(body)) if body[at : at + 1] == b"\n"}
    for cut in range(len(body)):
        if cut not in ends:
            with pytest.raises(SourceError):
                parse_readings([body[:cut][at : at + step] for at in range(0, cut, step)], SEEN)


# Readings as JSON


def test_json_readings_give_the_rows_of_the_csv():
    uri = f"{ROOT}/measures/{STAGE}"
    body = items(
        {"dateTime": NOON, "measure": uri, "value": 1.329},
        {"dateTime": NOON, "measure": uri, "value": 5},
        {"dateTime": NOON, "measure": uri, "value": [2.796, 2.922]},
        {"dateTime": NOON, "measure": uri, "value": [20.37, 20.37]},
        {"dateTime": NOON, "measure": uri},
        {"date": "2024-02-29", "dateTime": NOON, "measure": {"@id": uri, "parameter": "level"}, "value": 0.691},
        {"dateTime": NOON, "value": 1},
        {"measure": uri},
        "not even an object",
    )
    parsed = parse_readings_json(body, SEEN)
    assert [(r["value"], r["raw_value"]) for r in parsed.rows.to_pylist()] == [
        (1.329, None),
        (5, None),
        (None, "2.796|2.922"),
        (20.37, "20.37|20.37"),
        (None, None),
        (0.691, None),
    ]
    assert set(parsed.rows["measure_id"].to_pylist()) == {STAGE}
    assert parsed.rejects["line"].to_pylist() == [f"{NOON},,1", f",{uri},", ",,"]


def test_json_that_lacks_its_end_is_refused():
    body = items({"dateTime": NOON, "measure": f"{ROOT}/measures/{STAGE}", "value": 1.329})
    for cut in range(len(body)):
        with pytest.raises(SourceError):
            parse_readings_json(body[:cut], SEEN)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("odd/readings_value_is_list_2024.json", {(None, "2.796|2.922")}),
        ("odd/reading_nan_value_omitted.json", {(None, None)}),
        ("odd/readings_view_full_2017.json", {(0.691, None)}),
    ],
)
def test_recorded_odd_values(name, values):
    parsed = parse_readings_json(envelope(recorded(name)), SEEN)
    assert not parsed.rejects.num_rows
    assert {(r["value"], r["raw_value"]) for r in parsed.rows.to_pylist()} == values


@pytest.mark.parametrize(
    "name", ["readings_extreme_values_2024", "readings_off_15min_grid_2024", "station_readings_since_2020"]
)
def test_recorded_odd_readings_are_all_kept(name):
    body = envelope(recorded(f"odd/{name}.json"))
    parsed = parse_readings_json(body, SEEN)
    assert parsed.rejects.num_rows == 0
    assert parsed.rows["value"].to_pylist() == [item["value"] for item in json.loads(body)["items"]]


def test_the_recorded_latest_readings_are_the_same_as_json_and_as_csv():
    body = recorded("national/readings_latest_2024-02-29.json")
    from_json = parse_readings_json(envelope(body), SEEN)
    content = json.loads(body, parse_float=str)
    lines = [
        f"{i['dateTime']},{i['measure']},{'|'.join(i['value']) if isinstance(i['value'], list) else i['value']}"
        for i in (content["items"] if isinstance(content, dict) else content)
    ]
    from_csv = parse_readings(answer(*lines), SEEN)
    assert from_json.rows.num_rows == 5_169
    assert from_json.rejects.num_rows == from_csv.rejects.num_rows == 0
    assert from_json.rows.to_pylist() == from_csv.rows.to_pylist()
    assert from_csv.rows["value"].null_count == 1


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
        "rloi_id": "7041", "wiski_id": "1029TH", "station_reference": "1029TH", "observed_at": SEEN,
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
        table = parse_stations(items({"@id": uri, "label": "old"}, {"@id": uri, "label": "new"}), SEEN)
    assert table["label"].to_pylist() == ["new"]
    assert "1 of 2 stations are listed more than once" in caplog.text


def test_stations_that_share_a_reference_are_different_stations():
    uris = [f"{ROOT}/stations/E7190{suffix}" for suffix in ("", "-southern", "-anglian")]
    table = parse_stations(items(*({"@id": uri, "stationReference": "E7190"} for uri in uris)), SEEN)
    assert table["station_id"].to_pylist() == ["E7190", "E7190-southern", "E7190-anglian"]


def test_an_item_without_id_is_skipped_and_said(caplog):
    with caplog.at_level(logging.WARNING, "flood_assets.ea"):
        table = parse_stations(
            items({"label": "Nameless"}, "text", {"@id": f"{ROOT}/stations/a"}, {"notation": "b"}), SEEN
        )
    assert table["station_id"].to_pylist() == ["a", "b"]
    assert "2 of 4 stations" in caplog.text
    assert "Nameless" in caplog.text


@pytest.mark.parametrize("parse", [parse_stations, parse_measures, parse_readings_json])
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
        parsed = parse(items(odd | {"@id": f"{ROOT}/{kind}/a"}, {"@id": f"{ROOT}/{kind}/b"}), SEEN)
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
        "value_type": "instantaneous", "datum": "datumASD", "period_s": 900, "observed_at": SEEN,
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
    table = parse_measures(items(*({"@id": f"{ROOT}/measures/a-level-{unit}"} for unit in ("mASD", "mAOD"))), SEEN)
    assert table.num_rows == 2


# Recorded stations and measures


def test_the_recorded_stations_of_2020_parse_completely():
    body = recorded("national/stations_national_2020-02-17.json")
    table = parse_stations(envelope(body), SEEN)
    assert table.schema == STATIONS.schema
    assert table.num_rows == len(set(table["station_id"].to_pylist())) == 4_524
    nulls = {name: table[name].null_count for name in ("status", "river", "town", "lat", "label")}
    assert nulls == {"status": 2_299, "river": 2_299, "town": 2_374, "lat": 438, "label": 0}
    assert set(table["status"].to_pylist()) == {None, "Active", "Suspended", "Closed", "ukcmf", "Active|Closed"}
    assert table["opened"].null_count == 2_299


def test_the_recorded_stations_of_the_full_view_have_level_ranges():
    table = parse_stations(envelope(recorded("sample/stations.json")), SEEN)
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
    table = parse_measures(envelope(recorded(name)), SEEN)
    assert table.schema == MEASURES.schema
    assert table.num_rows == count
    assert table["station_id"].null_count == 0
    assert "---" not in set(table["unit"].to_pylist())


def test_the_recorded_measure_without_period():
    (row,) = parse_measures(envelope(recorded("odd/measure_without_period_4067_2026.json")), SEEN).to_pylist()
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
    (row,) = parse_stations(envelope(recorded(f"odd/{name}.json")), SEEN).to_pylist()
    assert {key: row[key] for key in wanted} == wanted


@pytest.mark.parametrize("name", ["stations_without_coordinates_2020_first5", "stations_without_measures_2020"])
def test_recorded_stations_that_lack_things_are_all_kept(name):
    body = envelope(recorded(f"odd/{name}.json"))
    assert parse_stations(body, SEEN).num_rows == len(json.loads(body)["items"])
