"""Odd cells in the lists of stations and measures: each costs its own value, and is told."""

import json
import logging

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flood_assets.ea.lists import parse_measures, parse_stations
from flood_assets.ea.mending import NOT_JSON, mended
from flood_assets.errors import SourceError
from flood_assets.schemas import MEASURES, REJECTS, STATIONS
from flood_assets_tests.ea.test_parse import ROOT, SEEN

# Columns, and the field of each; what is in it goes in place of the @.
IN_STATIONS = {
    "label": '"label": @', "river": '"riverName": @', "catchment": '"catchmentName": @', "town": '"town": @',
    "lat": '"lat": @', "long": '"long": @', "easting": '"easting": @', "northing": '"northing": @',
    "grid_reference": '"gridReference": @', "station_type": '"type": @', "status": '"status": @',
    "opened": '"dateOpened": @', "rloi_id": '"RLOIid": @', "wiski_id": '"wiskiID": @',
    "station_reference": '"stationReference": @', "typical_low": '"stageScale": {"typicalRangeLow": @}',
    "typical_high": '"stageScale": {"typicalRangeHigh": @}',
    "highest_recent": '"stageScale": {"highestRecent": {"value": @}}',
    "highest_recent_at": '"stageScale": {"highestRecent": {"dateTime": @}}',
    "max_on_record": '"stageScale": {"maxOnRecord": {"value": @}}',
    "min_on_record": '"stageScale": {"minOnRecord": {"value": @}}',
}  # fmt: skip
IN_MEASURES = {
    "station_id": '"station": @', "parameter": '"parameter": @', "qualifier": '"qualifier": @', "unit": '"unitName": @',
    "value_type": '"valueType": @', "datum": '"datumType": @', "period_s": '"period": @',
}  # fmt: skip
CELLS = [("stations", *each) for each in IN_STATIONS.items()] + [("measures", *each) for each in IN_MEASURES.items()]
LISTS = {"stations": (parse_stations, STATIONS), "measures": (parse_measures, MEASURES)}
NO_TEXT = {"lat", "long", "easting", "northing", "opened", "typical_low", "typical_high", "highest_recent",
           "highest_recent_at", "max_on_record", "min_on_record", "period_s"}  # fmt: skip

NOT_JSON_CELLS = [
    "NaN", "-Infinity", "1e999", "9" * 5000, "007", "+1", ".5", "1.", "0x10", "True", "None", "undefined", "", "-",
    '"a\tb"', '"a\nb"', '"a\0b"', r'"\x"', r'"\u12"', r'"\ud800"', '"The "Old" weir"', '"6" pipe"',
    "[" * 1200 + "]" * 1200, '{"x":' * 1200 + "1" + "}" * 1200, "[NaN]", '{"@id": NaN}', "1 2", '"a" "b"',
]  # fmt: skip
WRONG_FOR_ALL = ["[{}, {}, 7, []]", "{}x", '{"value": 1}', "[[[[[]]]], {}]"]
WRONG_FOR_NUMBERS = ["true", '"west"', '"NaN"', '"1e999"', '"-"', '["a", "b"]', '"' + "9" * 400 + '"', '{"@id": "x"}']


def whole(kind, *fields):
    """Return a list of three, the second of which has the fields; the others have a cell of each kind."""
    good = '"label": "Good, \\"x\\": {[1]}", "lat": 51.5, "parameter": "level", "period": 900'
    named = [
        f'{{ "@id" : "{ROOT}/{kind}/{name}" , {text} }}'
        for name, text in zip("abc", (good, ", ".join(fields), good), strict=True)
    ]
    return ('{ "meta": {"publisher": "x"}, "items" : [ ' + ", ".join(named) + " ] }").encode(errors="surrogatepass")


def parsed(kind, *fields):
    parse, table = LISTS[kind]
    found = parse(whole(kind, *fields), SEEN)
    assert found.rows.schema == table.schema
    assert found.rejects.schema == REJECTS.schema
    return found.rows.to_pylist(), found.rejects.to_pylist()


@settings(max_examples=200, deadline=None)
@given(cell=st.sampled_from(CELLS), odd=st.sampled_from(NOT_JSON_CELLS))
def test_a_cell_that_is_not_json_is_null_and_told_and_the_list_lives(cell, odd):
    kind, column, field = cell
    rows, rejects = parsed(kind, field.replace("@", odd), '"zzz": 1')
    assert [row[LISTS[kind][1].key[0]] for row in rows] == ["a", "b", "c"]
    assert rows[1][column] is None
    for good in (rows[0], rows[2]):
        assert {'Good, "x": {[1]}', 51.5, "level", 900} & set(good.values())
    assert len(rejects) == 1
    assert rejects[0]["line"].startswith(f"/id/{kind}/b,")
    assert column in rejects[0]["reason"]
    if len(odd) < 10 and odd[:1] not in ("[", "{"):
        assert rejects[0]["line"].endswith(f",{odd}")


@settings(max_examples=100, deadline=None)
@given(cell=st.sampled_from(CELLS), other=st.sampled_from(CELLS), odd=st.sampled_from(NOT_JSON_CELLS))
def test_an_odd_cell_costs_the_other_cells_of_its_item_nothing(cell, other, odd):
    (kind, column, field), (_, unhurt, beside) = cell, other
    if (kind, field[:9]) == (other[0], beside[:9]) or kind != other[0]:
        return
    good = {
        "opened": '"2015-07-08"',
        "highest_recent_at": '"2015-07-08T00:00:00"',
        "station_id": f'"{ROOT}/stations/x"',
    }
    rows, _ = parsed(kind, beside.replace("@", good.get(unhurt, '"7"')), field.replace("@", odd))
    assert rows[1][unhurt] is not None
    assert rows[1][column] is None


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell[1])
def test_a_cell_of_the_wrong_type_is_null_and_told(cell):
    kind, column, field = cell
    for odd in ['{"value": 1}', *(WRONG_FOR_NUMBERS if column in NO_TEXT else [])]:
        rows, rejects = parsed(kind, field.replace("@", odd))
        assert rows[1][column] is None
        assert [column in each["reason"] for each in rejects] == [True], odd


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell[1])
@pytest.mark.parametrize("nothing", ["null", '""', "[]", "{}"])
def test_a_cell_without_anything_is_not_odd(cell, nothing):
    kind, _, field = cell
    assert parsed(kind, field.replace("@", nothing))[1] == []


def test_an_odd_cell_is_told_with_its_gauge_its_field_and_its_text(caplog):
    with caplog.at_level(logging.WARNING, "flood_assets.ea"):
        _, rejects = parsed("stations", '"stageScale": {"typicalRangeLow": NaN, "typicalRangeHigh": "high"}')
    assert [(each["line"], each["reason"]) for each in rejects] == [
        ("/id/stations/b,stageScale.typicalRangeLow,NaN", "not a number: typical_low is null"),
        ("/id/stations/b,stageScale.typicalRangeHigh,high", "not a number: typical_high is null"),
    ]
    assert rejects[0]["seen_at"] == SEEN
    assert "stations: odd cells: 2, such as '/id/stations/b,stageScale.typicalRangeLow,NaN'" in caplog.text


def test_a_time_that_utc_has_no_year_for_is_odd():
    for text in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        rows, rejects = parsed("stations", f'"stageScale": {{"highestRecent": {{"dateTime": "{text}"}}}}')
        assert rows[1]["highest_recent_at"] is None
        assert len(rejects) == 1


def test_a_scale_that_is_no_object_is_told_once():
    rows, rejects = parsed("stations", '"stageScale": 7')
    assert rows[1]["typical_low"] is None
    assert [each["line"] for each in rejects] == ["/id/stations/b,stageScale,7"]


def test_an_item_whose_id_is_not_json_is_kept_among_the_rejects():
    body = f'{{"items": [{{"@id": NaN, "label": "Ewen"}}, {{"@id": "{ROOT}/stations/a"}}]}}'.encode()
    rows, rejects = parse_stations(body, SEEN)
    assert rows["station_id"].to_pylist() == ["a"]
    assert "Ewen" in rejects["line"][0].as_py()
    assert rejects["reason"].to_pylist() == ["one of the stations without '@id'"]


@pytest.mark.parametrize("name", ["lat", "NaN", "'lat'", '"l\tat"', r'"\x"', '"a" "b"', ""])
def test_a_field_whose_name_is_not_json_is_told(name):
    rows, rejects = parsed("stations", f"{name}: 51.5", '"town": "Ewen"')
    assert (rows[1]["lat"], rows[1]["town"]) == (None, "Ewen")
    assert len(rejects) == 1


@pytest.mark.parametrize("odd", ["NaN", '"a\tb"', '"The "Old" weir"'])
def test_a_list_with_an_odd_cell_that_is_cut_short_is_an_error(odd):
    body = whole("stations", f'"label": {odd}', '"lat": 1')
    for cut in range(len(body)):
        with pytest.raises(SourceError):
            parse_stations(body[:cut], SEEN)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(value=JSON, indent=st.sampled_from([None, 0, 2]), ascii_only=st.booleans())
@example(value=[], indent=2, ascii_only=True)
@example(value={"a": {}, "b": [[], {}, '"}', "\\"]}, indent=2, ascii_only=True)
def test_json_is_left_as_it_is(value, indent, ascii_only):
    body = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    assert msgspec.json.decode(mended(body)) == msgspec.json.decode(body)


@settings(max_examples=100, deadline=None)
@given(body=st.text('{}[]:,"\\ \t1aN', max_size=40).map(str.encode) | st.binary(max_size=40))
def test_any_bytes_are_a_list_or_refused(body):
    for text in (body, b'{"items":[{"notation":"a","lat":' + body + b"}]}"):
        try:
            rows, _ = parse_stations(text, SEEN)
        except SourceError:
            continue
        assert len(rows)


@settings(max_examples=100, deadline=None)
@given(body=st.text('{}[]:,"\\ \t1aN', max_size=40).map(str.encode) | st.binary(max_size=40))
def test_whatever_is_mended_is_not_mended_again(body):
    once = mended(body)
    try:
        msgspec.json.decode(once)
    except NOT_JSON:
        return
    assert mended(once) == once
