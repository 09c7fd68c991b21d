"""Pages in a real browser: the map, a station, a phone, no script, the keyboard, a screen reader's view of them."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from flood_assets.lake.lake import Lake
from flood_assets_tests.support.paged_lake import DST, EVIL, NOW, STATION_ROWS
from flood_assets_tests.support.served import Served

AXE = Path(__file__).parent / "vendor" / "axe-core-4.14.1" / "axe.min.js"
CHROMIUM = "/usr/bin/chromium"
PLACED = sum("lat" in row for row in STATION_ROWS)
PHONE = {"width": 360, "height": 740}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium: `apt-get install chromium`"),
]


@contextmanager
def listening(folder: Path, now) -> Iterator[str]:
    """Serve a lake on a free port of this machine."""
    app = Served(Lake.open(folder), now).app
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            while not _answers(base):
                time.sleep(0.05)
            yield base
        finally:
            server.should_exit = True
            thread.join()


def _answers(base: str) -> bool:
    try:
        with urlopen(f"{base}/healthz", timeout=30) as answer:
            return answer.status == 200
    except URLError:
        return False


@pytest.fixture(scope="module")
def base(paged: Path) -> Iterator[str]:
    with listening(paged, NOW) as found:
        yield found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def browse(chromium: Browser, tmp_path: Path):
    """Open a page; afterwards nothing was asked of another host, and neither script nor policy complained."""
    opened, contexts = [], []

    def browse(address: str, **settings) -> Page:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
        context.set_default_timeout(120_000)
        contexts.append(context)
        page = context.new_page()
        page.wrong = []
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.on(
            "console", lambda said: page.wrong.append(said.text) if "Content Security Policy" in said.text else None
        )
        page.on(
            "request",
            lambda r: page.wrong.append(r.url) if "//127.0.0.1" not in r.url and r.url[:5] != "data:" else None,
        )
        page.goto(address)
        opened.append(page)
        return page

    yield browse
    for number, page in enumerate(opened):
        page.screenshot(path=tmp_path / f"{number}.png", full_page=True)
        assert page.wrong == []
    for context in contexts:
        context.close()


def until(page: Page, true: str) -> None:
    """Wait until an expression is true, asked from outside: the page's policy forbids Playwright's own eval."""
    for _ in range(2400):
        if page.evaluate(true):
            return
        time.sleep(0.05)
    pytest.fail(f"never true: {true}")


def drawn(page: Page, mark: str = "map-drawn") -> None:
    until(page, f"performance.getEntriesByName('{mark}').length > 0")


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
    box = page.query_selector("#map").bounding_box()
    at = page.evaluate(
        """() => new Promise((found) => {
            const map = document.querySelector("#map"), box = map.getBoundingClientRect();
            for (let y = 0; y < box.height; y += 4) for (let x = 0; x < box.width; x += 4) {
                map.dispatchEvent(new MouseEvent("mousemove", {clientX: box.x + x, clientY: box.y + y, bubbles: true}));
                const tip = document.querySelector(".leaflet-tooltip");
                if (tip && tip.textContent.includes("Kingston")) return found([x, y]);
            }
            found(null);
        })"""
    )
    assert at
    page.mouse.click(box["x"] + at[0], box["y"] + at[1])
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
    with listening(clocks_back, DST) as base:
        page = browse(f"{base}/station/K1", timezone_id="America/New_York", locale="en-US")
        drawn(page, "charts-drawn")
        said = page.inner_text("main")
        assert "Sunday 25 October 2026" in said
        over = page.locator(".u-over").first.bounding_box()
        found = set()
        for share in range(840, 960, 6):
            page.mouse.move(over["x"] + over["width"] * share / 1000, over["y"] + 50)
            found.add(page.inner_text(".u-legend >> nth=0"))
        text = " ".join(found)
        assert "01:30 BST (00:30 UTC)" in text
        assert "01:30 GMT (01:30 UTC)" in text


@pytest.mark.parametrize(
    "path", ["/", "/?q=nothing+is+called+so", "/station/K1", "/station/R1", "/rivers/River%20Thames"]
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


@pytest.mark.parametrize("path", ["/rivers", "/warnings", "/status", "/station/unknown"])
def test_axe_finds_nothing_serious_on_the_quieter_pages(base, browse, path):
    assert faults(browse(f"{base}{path}")) == []


def test_the_page_of_the_api_lists_what_openapi_says(base, browse):
    page = browse(f"{base}/docs")
    page.wait_for_selector("#swagger .opblock")
    assert page.locator("#swagger .opblock").count() >= 19
    page.click("#swagger .opblock-summary-control >> nth=0")
    page.wait_for_selector("text=Only these columns")


def test_the_age_of_a_page_is_that_of_its_data(paged, browse):
    with listening(paged, NOW + timedelta(hours=3)) as base:
        page = browse(base)
        assert "These data are old" in page.inner_text("main")
