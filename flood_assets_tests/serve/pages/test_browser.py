"""Pages in a real browser: the map, a station, a phone, no script, the keyboard, a screen reader's view of them."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page

from flood_assets.lake.lake import Lake
from flood_assets_tests.support.browsing import drawn, mark_of, needs_chromium, until
from flood_assets_tests.support.listening import listening
from flood_assets_tests.support.paged_lake import DST, EVIL, NOW, STATION_ROWS

AXE = Path(__file__).parent / "vendor" / "axe-core-4.14.1" / "axe.min.js"
PLACED = sum("lat" in row for row in STATION_ROWS)
PHONE = {"width": 360, "height": 740}

pytestmark = [pytest.mark.slow, needs_chromium]


@pytest.fixture(scope="module")
def base(paged: Path) -> Iterator[str]:
    with listening(paged, NOW) as found:
        yield found.url


def inks(page: Page, canvas: str) -> int:
    """Return how many colours a canvas shows."""
    count = """canvas => {
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data, found = new Set();
        for (let i = 0; i < data.length; i += 4) found.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
        return found.size;
    }"""
    return page.eval_on_selector(canvas, count)


def too_wide(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth > window.innerWidth")


def faults(page: Page) -> list[str]:
    """Return what axe-core finds serious or worse."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [
        f"{each['id']} ({each['impact']}): {[node['html'][:120] for node in each['nodes'][:3]]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def test_the_map_is_drawn_with_all_gauges_and_tells_a_gauge(base, browse):
    page = browse(base)
    drawn(page)
    assert page.get_attribute("#map", "data-gauges") == str(PLACED)
    assert inks(page, "#map canvas") > 4
    assert page.query_selector("#map-state") is None
    at = mark_of(page, "Kingston")
    assert at
    page.mouse.click(*at)
    link = page.wait_for_selector(".leaflet-popup a[href^='/station']")
    link.click()
    page.wait_for_url("**/station**")


def test_the_list_and_the_map_follow_the_search(base, browse):
    page = browse(base)
    drawn(page)
    page.fill("#q", "kingston")
    until(page, "document.querySelectorAll('ol.stations li').length === 1")
    until(page, "location.search === '?q=kingston'")
    assert page.inner_text("ol.stations a") == "Kingston"
    assert page.inner_text("#said") == "1 station."
    page.fill("#q", "")
    page.check("input[name=band][value=above]")
    until(page, "location.search === '?band=above'")
    assert page.locator("ol.stations li").count() == 1


def test_a_station_has_charts_that_can_be_read_off(base, browse):
    page = browse(f"{base}/station/K1")
    drawn(page, "charts-drawn")
    assert page.locator(".uplot canvas").count() == 2
    assert inks(page, ".uplot canvas") > 4
    assert not page.is_visible("svg.chart:not(.mark)")
    page.locator(".u-over").first.scroll_into_view_if_needed()
    chart = page.locator(".u-over").first.bounding_box()
    page.mouse.move(chart["x"] + chart["width"] * 0.6, chart["y"] + 50)
    until(page, "/\\d/.test(document.querySelector('.u-legend').textContent)")
    said = page.inner_text(".u-legend >> nth=0")
    assert "20" in said
    assert "GMT (" in said
    assert "November 2026" in said
    assert "UTC)" in said


@pytest.mark.parametrize("path", ["/", "/station/K1", "/station/E", "/rivers", "/warnings", "/status", "/docs"])
def test_a_phone_never_scrolls_sideways(base, browse, path):
    page = browse(f"{base}{path}", viewport=PHONE, has_touch=True, is_mobile=True)
    page.wait_for_load_state("networkidle" if path == "/docs" else "load")
    assert not too_wide(page)


def test_everything_is_there_without_script(base, browse):
    page = browse(base, java_script_enabled=False)
    assert page.is_visible(".picture img")
    assert not page.is_visible("#map")
    page.fill("#q", "bold")
    page.click("text=Search")
    assert page.url.startswith(f"{base}/?q=bold")
    page.click("ol.stations a")
    assert page.inner_text("h1") == EVIL
    assert page.is_visible("svg.chart")
    page.click("text=All 96 readings")
    assert page.is_visible("text=Sat 21 Nov, 08:45 GMT")


def test_a_station_is_found_by_the_keyboard_alone(base, browse):
    page = browse(base)
    drawn(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "q":
            break
    page.keyboard.type("slash")
    page.keyboard.press("Enter")
    until(page, "document.querySelectorAll('ol.stations li').length === 1")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("Boolean(document.activeElement.closest('ol.stations'))"):
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url("**/station?id=S%2F1")
    assert page.inner_text("h1") == "Slash Mill"


def test_the_night_in_which_the_clocks_go_back_has_both_hours(clocks_back, browse):
    with listening(clocks_back, DST) as server:
        page = browse(f"{server.url}/station/K1", timezone_id="America/New_York", locale="en-US")
        drawn(page, "charts-drawn")
        said = page.inner_text("main")
        assert "Sunday 25 October 2026" in said
        page.locator(".u-over").first.scroll_into_view_if_needed()
        over = page.locator(".u-over").first.bounding_box()
        found = set()
        for share in range(840, 960, 6):
            page.mouse.move(over["x"] + over["width"] * share / 1000, over["y"] + 50)
            found.add(page.inner_text(".u-legend >> nth=0"))
        text = " ".join(found)
        assert "01:30 BST (00:30 UTC)" in text
        assert "01:30 GMT (01:30 UTC)" in text


@pytest.mark.parametrize(
    "path",
    ["/", "/?q=nothing+is+called+so", "/station/K1", "/station/K2", "/station/R1", "/rivers/River%20Thames"],
)
@pytest.mark.parametrize("viewport", [{"width": 1280, "height": 900}, PHONE], ids=["desk", "phone"])
def test_axe_finds_nothing_serious(base, browse, path, viewport):
    page = browse(f"{base}{path}", viewport=viewport)
    if path.startswith("/station"):
        drawn(page, "charts-drawn")
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    elif path.startswith("/?") or path == "/":
        drawn(page)
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert faults(page) == []


@pytest.mark.parametrize(
    "path", ["/rivers", "/warnings", "/status", "/docs", "/station/M", "/station/unknown", "/nothing"]
)
def test_axe_finds_nothing_serious_on_the_quieter_pages(base, browse, path):
    page = browse(f"{base}{path}")
    page.wait_for_load_state("networkidle")
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert faults(page) == []


def test_axe_finds_nothing_serious_in_an_open_popup_or_on_the_page_that_waits(base, browse, tmp_path):
    page = browse(base)
    drawn(page)
    page.mouse.click(*mark_of(page, "Kingston"))
    page.wait_for_selector(".leaflet-popup a[href^='/station']")
    # What fades in has less contrast.
    until(page, "getComputedStyle(document.querySelector('.leaflet-popup')).opacity === '1'")
    assert faults(page) == []
    with listening(Lake.open(tmp_path / "none"), NOW) as server:
        assert faults(browse(server.url)) == []


def test_the_page_of_the_api_lists_what_openapi_says(base, browse):
    page = browse(f"{base}/docs")
    page.wait_for_selector("#swagger .opblock")
    assert page.locator("#swagger .opblock").count() >= 19
    page.click("#swagger .opblock-summary-control >> nth=0")
    page.wait_for_selector("text=Only these columns")


def test_the_age_of_a_page_is_that_of_its_data(paged, browse):
    with listening(paged, NOW + timedelta(hours=3)) as server:
        page = browse(server.url)
        assert "These data are old" in page.inner_text("main")
