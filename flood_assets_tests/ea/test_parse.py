import csv
import io
import json
import logging
import math
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flood_assets.ea import parse
from flood_assets.ea.parse import FETCHED, parse_readings, read_readings
from flood_assets.errors import SourceError
from flood_assets.schemas import REJECTS
from flood_assets_tests.support.recordings import envelope, readings_csv, recorded

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
    assert "no time zone" in reject["reason"]


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


# Readings: answers that are not accepted


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
        (b"dateTime,date,measure\r\n", "found 'dateTime,date,measure', which does not have value once"),
        (b"dateTime,value\r\n2024-02-29T12:00:00Z,1\r\n", "which does not have measure once"),
        (b"dateTime,measure,value,value\r\n", "which does not have value once"),
        (b"datetime,measure,value\r\n", "which does not have dateTime once"),
        (b"\r\n", "does not have dateTime and measure and value once"),
        (b"x" * 200_000 + b"\r\n", "expected the header"),
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


# Columns go by name


@pytest.fixture
def told_anew():
    """Have unknown columns told as in a new process."""
    parse._tell.cache_clear()
    yield
    parse._tell.cache_clear()


def test_an_unknown_column_is_ignored_and_told_once(told_anew, caplog):
    body = f"{HEADER},quality\r\n{line('0.368')},Good\r\n".encode()
    with caplog.at_level(logging.WARNING, "flood_assets.ea"):
        found = [parse_readings(body, SEEN) for _ in range(3)]
    assert [parsed.rows["value"].to_pylist() for parsed in found] == [[0.368]] * 3
    assert all(parsed.rows.schema == FETCHED and not len(parsed.rejects) for parsed in found)
    assert [record.getMessage() for record in caplog.records] == [
        "the API's readings have columns that are not known, and are ignored: quality"
    ]


def test_the_known_columns_are_not_told(told_anew, caplog):
    with caplog.at_level(logging.WARNING, "flood_assets.ea"):
        read(line("1"))
    assert not caplog.records


def test_a_line_with_too_few_cells_is_rejected_with_the_number_of_columns():
    body = f"{HEADER},quality\r\n{line('1')}\r\n{line('2')},Good\r\n".encode()
    parsed = parse_readings(body, SEEN)
    assert parsed.rows["value"].to_pylist() == [2]
    assert parsed.rejects["reason"].to_pylist() == ["3 cells instead of 4"]


@pytest.mark.parametrize("odd", ['"2', '2"', '""2"', '"2\r\n3'])
def test_a_quote_without_its_partner_in_an_unknown_column_costs_no_other_row(odd):
    rows = [f"{line('1')},Good", f"{line('2')},{odd}", f"{line('3')},Good", f'{line("4")},"Good"']
    parsed = parse_readings("\r\n".join([f"{HEADER},quality", *rows, ""]).encode(), SEEN)
    assert set(parsed.rows["value"].to_pylist()) >= {1, 3, 4}


def test_the_recorded_columns_of_the_full_view_are_readings(told_anew):
    names = "dateTime,date,measure,station,label,stationReference,parameter,qualifier,datumType,period,unitName"
    row = f'{NOON},2024-02-29,{ROOT}/measures/{STAGE},{ROOT}/stations/1029TH,"Lock, upper",1029TH,level,Stage,,900,mASD'
    names, row = f"{names},valueType,value", f"{row},instantaneous,0.443"
    (found,) = parse_readings(f"{names}\r\n{row}\r\n".encode(), SEEN).rows.to_pylist()
    assert (found["measure_id"], found["value"]) == (STAGE, 0.443)


@settings(max_examples=50, deadline=None)
@given(
    names=st.lists(st.sampled_from(["date", "quality", "a,b", "", "unit"]), max_size=4).flatmap(
        lambda unknown: st.permutations([*HEADER.split(","), *unknown])
    ),
    table=st.lists(st.tuples(st.sampled_from(["", "1.5", "2|3", 'a"b', "x,y"]), st.sampled_from(["", "z", "p,q"]))),
    size=st.integers(1, 400),
)
def test_columns_in_any_order_among_any_others_give_the_same_readings(names, table, size):
    out, plain = io.StringIO(), io.StringIO()
    for target, columns in ((out, names), (plain, HEADER.split(","))):
        writer = csv.writer(target, lineterminator="\r\n")
        writer.writerow(columns)
        for number, (value, other) in enumerate(table):
            cells = {"dateTime": NOON, "measure": f"{ROOT}/measures/m{number}", "value": value}
            writer.writerow([cells.get(name, other) for name in columns])
    parsed, wanted = (parse_readings(target.getvalue().encode(), SEEN, block_bytes=size) for target in (out, plain))
    assert parsed.rows.to_pylist() == wanted.rows.to_pylist()
    assert not len(parsed.rejects)


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


# Recorded readings


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("odd/readings_value_is_list_2024.json", {(None, "2.796|2.922")}),
        ("odd/reading_nan_value_omitted.json", {(None, None)}),
        ("odd/readings_view_full_2017.json", {(0.691, None)}),
    ],
)
def test_recorded_odd_values(name, values):
    parsed = parse_readings(readings_csv(recorded(name)), SEEN)
    assert not parsed.rejects.num_rows
    assert {(r["value"], r["raw_value"]) for r in parsed.rows.to_pylist()} == values


@pytest.mark.parametrize(
    "name", ["readings_extreme_values_2024", "readings_off_15min_grid_2024", "station_readings_since_2020"]
)
def test_recorded_odd_readings_are_all_kept(name):
    body = recorded(f"odd/{name}.json")
    parsed = parse_readings(readings_csv(body), SEEN)
    assert parsed.rejects.num_rows == 0
    assert parsed.rows["value"].to_pylist() == [item["value"] for item in json.loads(envelope(body))["items"]]


def test_the_recorded_latest_readings_parse_completely():
    parsed = parse_readings(readings_csv(recorded("national/readings_latest_2024-02-29.json")), SEEN)
    assert parsed.rows.num_rows == 5_169
    assert parsed.rejects.num_rows == 0
    assert parsed.rows["value"].null_count == 1
