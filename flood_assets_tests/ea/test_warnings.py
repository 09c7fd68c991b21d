"""Flood warnings and areas, as the API lists them."""

import json
from datetime import UTC, datetime

import pytest

from flood_assets.ea.lists import all_named, parse_warning_areas, parse_warnings, times_ahead
from flood_assets.errors import SourceError
from flood_assets.schemas import WARNING_AREAS
from flood_assets_tests.support.recordings import recorded

NOW = datetime(2024, 3, 2, 12, 5, tzinfo=UTC)
ROOT = "http://environment.data.gov.uk/flood-monitoring/id"


def body(*items) -> bytes:
    return json.dumps({"meta": {"version": "0.9"}, "items": list(items)}).encode()


def warning(**changed) -> dict:
    area = {"@id": f"{ROOT}/floodAreas/112WAF", "county": "Wiltshire", "notation": "112WAF", "riverOrSea": "Avon"}
    return {
        "@id": f"{ROOT}/floods/112WAF",
        "description": "Upper Avon",
        "eaAreaName": "Wessex",
        "eaRegionName": "No longer used",
        "floodArea": area,
        "floodAreaID": "112WAF",
        "isTidal": False,
        "message": "High. \n\nAvoid the road.\n",
        "severity": "Flood alert",
        "severityLevel": 3,
        "timeMessageChanged": "2024-07-02T10:17:00",
        "timeRaised": "2024-07-02T10:17:59",
        "timeSeverityChanged": "2024-02-06T17:43:00",
        **changed,
    }


def parsed(*items) -> list[dict]:
    return parse_warnings(body(*items), NOW).rows.to_pylist()


def test_times_without_a_zone_are_those_of_england_and_their_text_is_kept():
    (row,) = parsed(warning())
    assert row["raised_at"] == datetime(2024, 7, 2, 9, 17, 59, tzinfo=UTC)
    assert row["severity_changed_at"] == datetime(2024, 2, 6, 17, 43, tzinfo=UTC)
    assert row["raised_given"] == "2024-07-02T10:17:59"
    assert row["flood_area_id"] == "112WAF"
    assert (row["severity_level"], row["is_tidal"], row["county"]) == (3, False, "Wiltshire")
    assert row["message"] == "High. \n\nAvoid the road.\n"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("2024-10-27T01:30:00", datetime(2024, 10, 27, 0, 30, tzinfo=UTC)),  # comes twice
        ("2024-03-31T01:30:00", datetime(2024, 3, 31, 1, 30, tzinfo=UTC)),  # never comes
        ("2024-07-02T10:00:00Z", datetime(2024, 7, 2, 10, tzinfo=UTC)),
        ("tomorrow", None),
    ],
)
def test_odd_times(given, meant):
    (row,) = parsed(warning(timeRaised=given))
    assert (row["raised_at"], row["raised_given"]) == (meant, given)


def test_times_that_lie_ahead_are_counted_as_they_are_read_and_as_if_they_were_in_utc():
    summer = datetime(2024, 7, 2, 9, 30, tzinfo=UTC)
    listed = parse_warnings(body(warning(), warning(**{"@id": f"{ROOT}/floods/2", "timeRaised": "?"})), summer).rows
    assert times_ahead(listed, summer) == (0, 3), "both messages and the time of the first are of 9:17 in UTC"
    assert times_ahead(listed, datetime(2024, 7, 2, 9, tzinfo=UTC)) == (3, 3)
    assert times_ahead(listed, datetime(2024, 7, 3, 9, tzinfo=UTC)) == (0, 0)


def test_an_item_without_its_uri_is_known_by_its_area_and_without_that_the_list_is_not_whole():
    without = {name: value for name, value in warning().items() if name != "@id"}
    found = parse_warnings(body(without, warning(severityLevel="x")), NOW)
    assert found.rows["flood_area_id"].to_pylist() == ["112WAF"]
    assert all_named(found.rejects), "an odd cell is no item"
    found = parse_warnings(body({"severityLevel": 1}, warning()), NOW)
    assert (len(found.rows), all_named(found.rejects)) == (1, False)


def test_missing_fields_are_null_and_odd_ones_are_told():
    bare = {"@id": f"{ROOT}/floods/1", "severityLevel": "high", "isTidal": "perhaps"}
    found = parse_warnings(body(bare), NOW)
    (row,) = found.rows.to_pylist()
    assert {name for name, value in row.items() if value is not None} == {"flood_area_id", "observed_at"}
    assert found.rejects["reason"].to_pylist() == [
        "not a number: severity_level is null",
        "not true or false: is_tidal is null",
    ]


def test_an_empty_list_is_a_calm_day_and_a_cut_one_an_error():
    assert parsed() == []
    whole = body(warning(), warning())
    for end in (len(whole) - 1, len(whole) // 2, 20):
        with pytest.raises(SourceError):
            parse_warnings(whole[:end], NOW)
    with pytest.raises(SourceError, match="no list of items"):
        parse_warnings(b"{}", NOW)


def test_areas():
    item = {
        "@id": f"{ROOT}/floodAreas/112WAF",
        "county": "Wiltshire",
        "description": "From A to B",
        "eaAreaName": "Wessex",
        "label": "Upper Avon",
        "lat": 51.4,
        "long": -2.1,
        "notation": "112WAF",
        "polygon": f"{ROOT}/floodAreas/112WAF/polygon",
        "riverOrSea": "Avon",
    }
    found = parse_warning_areas(body(item), NOW).rows
    assert found.schema == WARNING_AREAS.schema
    assert found.to_pylist() == [
        {
            "flood_area_id": "112WAF",
            "label": "Upper Avon",
            "description": "From A to B",
            "county": "Wiltshire",
            "river_or_sea": "Avon",
            "ea_area": "Wessex",
            "lat": 51.4,
            "long": -2.1,
            "polygon_url": f"{ROOT}/floodAreas/112WAF/polygon",
            "observed_at": NOW,
        }
    ]


def test_all_recorded_warnings_are_read():
    found = parse_warnings(recorded("national/floods_2024-03-02.json"), NOW)
    assert (len(found.rows), len(found.rejects)) == (202, 0)
    levels = found.rows["severity_level"].to_pylist()
    assert [levels.count(level) for level in (1, 2, 3, 4)] == [0, 36, 158, 8]
    assert max(map(len, found.rows["message"].to_pylist())) == 1100
    assert sum("\n" in message for message in found.rows["message"].to_pylist()) == 120
    for name in ("raised_at", "severity_changed_at", "message_changed_at"):
        assert found.rows[name].null_count == 0
        assert max(found.rows[name].to_pylist()) < NOW
    assert found.rows["river_or_sea"].null_count == 1
