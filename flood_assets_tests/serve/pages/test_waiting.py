"""A server without a lake, with an empty one, or with one that is being filled: pages say what to do, and wait."""

import pytest

from flood_assets.errors import LakeError
from flood_assets.lake.lake import Lake
from flood_assets.partitions import window_of
from flood_assets.schemas import STATIONS
from flood_assets.serve.pages.render import POLICY
from flood_assets_tests.serve.pages.test_pages import Tags, text_of
from flood_assets_tests.support.browsing import needs_chromium
from flood_assets_tests.support.lake_rows import QUARTER, snapshot
from flood_assets_tests.support.listening import listening
from flood_assets_tests.support.paged_lake import NOW, STATION_ROWS, fill
from flood_assets_tests.support.served import Served, served

PAGES = ("/", "/?q=thames", "/station/K1", "/rivers", "/rivers/River%20Thames", "/map.svg")


def assert_waits(response) -> None:
    """Assert that an answer is the page that waits, for people with and without script."""
    assert (response.status_code, response.headers["retry-after"]) == (503, "15")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-security-policy"] == POLICY
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "flood-assets refresh" in text_of(response.text)
    assert '<noscript><meta http-equiv="refresh" content="15"></noscript>' in response.text
    assert [given for tag, given in Tags(response.text).tags if tag == "script" and "waiting.js" in given["src"]]


@pytest.fixture
def site(tmp_path):
    """A server that cannot open its lake, in a place that is nobody's business."""

    def none() -> Lake:
        raise LakeError("there is no lake at /secret/place yet")

    found = Served(Lake.open(tmp_path), NOW)
    found.watcher._open = none
    with found.client:
        yield found


def test_without_a_lake_every_page_waits_and_says_what_to_do(site):
    for path in (*PAGES, "/warnings", "/status"):
        response = site.client.get(path)
        assert_waits(response)
        assert "There is no data yet" in response.text
        assert "/secret" not in response.text


def test_without_a_lake_the_api_answers_with_a_problem_and_is_described(site):
    for path in ("/api/v1/readings", "/api/v1/latest.csv", "/api/v1/status", "/api/v1/stream"):
        response = site.client.get(path)
        assert (response.status_code, response.headers["content-type"]) == (503, "application/problem+json")
        assert response.headers["retry-after"] == "5"
        assert response.json()["detail"].startswith("no data yet: ")
        assert "/secret" not in response.text
    assert site.client.get("/docs").status_code == 200
    assert site.client.get("/api/v1/openapi.json").status_code == 200


def test_an_empty_lake_waits_too_and_its_state_is_told(tmp_path):
    with served(Lake.open(tmp_path), NOW) as site:
        for path in PAGES:
            assert_waits(site.client.get(path))
        for path in ("/warnings", "/docs"):
            assert site.client.get(path).status_code == 200
        assert "wrong:" in text_of(site.client.get("/status").text)


def test_stations_whose_readings_are_still_being_fetched_are_not_shown_as_silent(tmp_path):
    lake = Lake.open(tmp_path)
    lake.put_snapshots(STATIONS, [window_of(NOW)], snapshot(STATIONS, NOW - QUARTER, *STATION_ROWS))
    with served(lake, NOW) as site:
        assert_waits(site.client.get("/"))
        fill(lake)
        site.watcher.look()
        assert site.client.get("/").status_code == 200


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_the_page_shows_itself_when_the_lake_is_filled(tmp_path, browse, script):
    with listening(Lake.open(tmp_path), NOW) as server:
        page = browse(server.url, java_script_enabled=script)
        assert page.inner_text("h1") == "There is no data yet"
        fill(server.lake)
        server.watcher.look()
        page.wait_for_selector("h1:has-text('River levels')")
