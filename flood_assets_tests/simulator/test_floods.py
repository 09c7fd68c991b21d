"""Flood areas and warnings of the simulated country follow the floods of its rivers."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import requests

from flood_assets.simulator import Simulator, serve
from flood_assets.simulator.floods import ENDED, NAMES

# A wet week, in which summer time ends.
WET = datetime(2026, 10, 29, 9, 20, tzinfo=UTC)
DRY = datetime(2026, 11, 18, 9, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def country():
    return Simulator(stations=60, seed=1)


def warnings(country, moment):
    return {each["floodAreaID"]: each for each in country.floods.warnings(int(moment.timestamp()))}


def test_a_wet_week_has_all_severities_and_a_dry_one_none(country):
    found = warnings(country, WET)
    assert {each["severityLevel"] for each in found.values()} == {1, 2, 3, 4}
    assert all(each["severity"] == NAMES[each["severityLevel"]] for each in found.values())
    assert warnings(country, DRY) == {}


def test_a_warning_begins_worsens_is_re_issued_ends_and_leaves_the_list(country):
    seen, changed = {}, {}
    for hour in range(24 * 6):
        moment = WET + timedelta(hours=hour)
        for area, each in warnings(country, moment).items():
            seen.setdefault(area, []).append(each)
            local = datetime.fromisoformat(each["timeSeverityChanged"]).replace(tzinfo=ZoneInfo("Europe/London"))
            assert local <= moment
            before = changed.get(area)
            if before and before["severityLevel"] != each["severityLevel"]:
                assert each["timeSeverityChanged"] > before["timeSeverityChanged"]
            changed[area] = each
    assert any({1, 2} <= {each["severityLevel"] for each in story} for story in seen.values())
    again = [story for story in seen.values() if len({each["timeMessageChanged"] for each in story}) > 2]
    assert any(
        len({each["timeSeverityChanged"] for each in story}) < len({e["timeMessageChanged"] for e in story})
        for story in again
    )
    over = [story for story in seen.values() if story[-1]["severityLevel"] == ENDED]
    assert over
    later = warnings(country, WET + timedelta(days=6, hours=12))
    assert any(story[-1]["floodAreaID"] not in later for story in over)


def test_what_is_listed_is_the_same_for_everybody_who_asks_later(country):
    once = warnings(country, WET)
    assert once == warnings(Simulator(stations=60, seed=1), WET)
    for area, each in warnings(country, WET + timedelta(minutes=1)).items():
        assert area not in once or each["timeSeverityChanged"] >= once[area]["timeSeverityChanged"]


def test_the_lists_are_served_as_the_api_does(country):
    country.set_clock(WET)
    with serve(country) as server:
        body = requests.get(f"{server.url}/id/floods", timeout=30).json()
        areas = requests.get(f"{server.url}/id/floodAreas", timeout=30).json()["items"]
        assert len(areas) == 1200
        by_id = {each["notation"]: each for each in areas}
        first = body["items"][0]
        assert first["floodArea"]["notation"] in by_id
        assert first["eaRegionName"] == "No longer used"
        assert any("riverOrSea" not in each for each in areas)
        severe = requests.get(f"{server.url}/id/floods?min-severity=1", timeout=30).json()["items"]
        assert {each["severityLevel"] for each in severe} == {1}
        one = requests.get(f"{server.url}/id/floods/{first['floodAreaID']}", timeout=30).json()["items"]
        assert one == first
        shape = requests.get(f"{server.url}/id/floodAreas/{first['floodAreaID']}/polygon", timeout=30).json()
        assert shape["features"][0]["geometry"]["type"] == "MultiPolygon"
        assert requests.get(f"{server.url}/id/floodAreas/none/polygon", timeout=30).status_code == 404
        near = requests.get(
            f"{server.url}/id/floodAreas?lat={areas[0]['lat']}&long={areas[0]['long']}&dist=8", timeout=30
        )
        assert areas[0] in near.json()["items"]
        assert len(near.json()["items"]) < 100
        assert len(requests.get(f"{server.url}/id/floods?_limit=2", timeout=30).json()["items"]) == 2
    country.set_clock(None)
