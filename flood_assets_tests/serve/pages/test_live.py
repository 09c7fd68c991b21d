"""Open pages follow the lake: what changes is shown without a reload, what a reader has done stays, nothing is lost."""

import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flood_assets.lake.lake import Lake
from flood_assets_tests.support.browsing import drawn, mark_of, needs_chromium, until
from flood_assets_tests.support.lake_rows import QUARTER, fetched
from flood_assets_tests.support.listening import Listening, listening
from flood_assets_tests.support.paged_lake import NOW, fill

pytestmark = [pytest.mark.slow, needs_chromium]

NEXT = NOW.replace(minute=15, second=0)
LOOK = timedelta(milliseconds=100)
CONNECTED = "'connected' in document.getElementById('live').dataset"
ABOVE, WITHIN = [0x0B, 0x5F, 0xAE], [0x4D, 0x67, 0x80]
# Playwright's browsers have no hidden tabs.
HIDEABLE = "window.away = false; Object.defineProperty(document, 'hidden', { get: () => window.away });"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return fill(Lake.open(tmp_path / "lake"))


@pytest.fixture
def server(lake):
    with listening(lake, NOW, every=LOOK) as found:
        yield found


def change(server: Listening, minutes: float, *rows: tuple) -> None:
    """Commit readings some minutes later; nobody tells the server."""
    server.now = NOW + timedelta(minutes=minutes)
    server.lake.upsert_readings(fetched(*rows), server.now, server.now)


def ink_at(page, at: list[float]) -> list[int]:
    """Return the colour of the map at a place of the window."""
    return page.evaluate(
        """([x, y]) => {
            const canvas = document.querySelector("#map canvas"), box = canvas.getBoundingClientRect();
            return [...canvas.getContext("2d").getImageData(x - box.x, y - box.y, 1, 1).data].slice(0, 3);
        }""",
        at,
    )


def centre_of(page, name: str) -> list[float]:
    """Return the middle of a mark: the mean of the places at which it is pointed at."""
    x, y = mark_of(page, name)
    return page.evaluate(
        """([x, y]) => {
            const map = document.querySelector("#map"), hit = [];
            for (let dy = -20; dy <= 20; dy += 1) for (let dx = -20; dx <= 20; dx += 1) {
                map.dispatchEvent(new MouseEvent("mousemove", {clientX: x + dx, clientY: y + dy, bubbles: true}));
                if (map.classList.contains("leaflet-interactive")) hit.push([x + dx, y + dy]);
            }
            return [0, 1].map((k) => Math.round(hit.reduce((sum, each) => sum + each[k], 0) / hit.length));
        }""",
        [x, y],
    )


def in_map(page, at: list[float]) -> list[float]:
    """Return a place of the window as one of the map."""
    box = page.query_selector("#map").bounding_box()
    return [round(at[0] - box["x"]), round(at[1] - box["y"])]


def noting(app, ids: list[bytes | None]):
    """Note the `Last-Event-ID` of each client of the stream."""

    async def answer(scope, receive, send) -> None:
        if scope["type"] == "http" and scope["path"].endswith("/stream"):
            ids.append(dict(scope["headers"]).get(b"last-event-id"))
        await app(scope, receive, send)

    return answer


def asked_for(page, server: Listening) -> list[str]:
    """Return a list that grows by the path of each request of a page, but for the stream."""
    found: list[str] = []
    page.on("request", lambda r: found.append(r.url.removeprefix(server.url)) if "/stream" not in r.url else None)
    return found


def test_the_map_and_its_list_follow_a_commit_and_keep_what_the_reader_has_done(server, browse):
    page = browse(server.url, hurried=True)
    drawn(page)
    until(page, CONNECTED)
    page.evaluate("window.stays = true")
    # Nearer than the whole country, with Kingston chosen and the list scrolled.
    page.focus("#map")
    page.keyboard.press("+")
    page.wait_for_timeout(500)
    at = centre_of(page, "Hull Docks")
    there = in_map(page, at)
    page.mouse.click(*at)
    page.wait_for_selector(".leaflet-popup :text('Hull Docks')")
    page.focus("ol.stations a >> nth=3")
    focused = page.evaluate("document.activeElement.textContent")
    top = page.evaluate("document.activeElement.getBoundingClientRect().top")
    assert page.evaluate("window.scrollY") > 0
    assert page.inner_text("ol.stations li >> nth=0").startswith("Kingston")
    change(server, 10, ("K1-level", NEXT, 1.2), ("K2-tide", NEXT, 3.25))
    until(page, "!document.querySelector('ol.stations').textContent.includes('Above the typical range')")
    assert "1.2\u00a0m" in page.inner_text("ol.stations li:has-text('Kingston')")
    assert page.inner_text("label.choice:has([value=above]) .count") == "0"
    # The popup is the same one, at the same place, and says the new level.
    until(page, "document.querySelector('.leaflet-popup').textContent.includes('3.25')")
    assert page.evaluate("[window.stays, document.activeElement.textContent]") == [True, focused]
    # Within two lines, as one may be added above.
    assert abs(page.evaluate("document.activeElement.getBoundingClientRect().top") - top) < 60
    page.click(".leaflet-popup-close-button")
    until(page, "!document.querySelector('.leaflet-popup')")
    assert in_map(page, centre_of(page, "Hull Docks")) == there


def test_a_mark_changes_its_colour(server, browse):
    page = browse(server.url, hurried=True)
    drawn(page)
    until(page, CONNECTED)
    at = centre_of(page, "Kingston")
    assert ink_at(page, at) == ABOVE
    asked = asked_for(page, server)
    change(server, 10, ("K1-level", NEXT, 1.2))
    until(page, "document.querySelector('label.choice:has([value=above]) .count').textContent === '0'")
    until(page, "document.getElementById('live').textContent.includes('Up to date at')")
    assert ink_at(page, at) == WITHIN
    # Once soon, and once when no more came: another process may have been asked, which had not looked yet.
    while asked.count("/") < 2:
        page.wait_for_timeout(200)
    until(page, CONNECTED)


def test_a_hydrograph_follows_a_commit_and_stays_enlarged(server, browse):
    page = browse(f"{server.url}/station/K1", hurried=True)
    drawn(page, "charts-drawn")
    until(page, CONNECTED)
    page.evaluate("window.stays = true")
    page.click("summary:has-text('All 96 readings') >> nth=0")
    over = page.locator(".u-over").first
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.7, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.99, middle, steps=5)
    page.mouse.up()

    def pointed_at(share: float) -> str:
        page.mouse.move(box["x"] + box["width"] * share - 3, middle)
        page.mouse.move(box["x"] + box["width"] * share, middle)
        return page.inner_text(".u-legend >> nth=0")

    before, scrolled = pointed_at(0.5), page.evaluate("window.scrollY")
    # The correction of a reading that is in sight, and a new one.
    corrected = NOW.replace(minute=0, second=0) - 12 * QUARTER
    page.evaluate("getSelection().selectAllChildren(document.querySelector('h1'))")
    change(server, 10, ("K1-level", NEXT, 1.2), ("K1-level", corrected, 1.25))
    until(page, "document.querySelector('.headline').textContent.includes('1.2')")
    assert "within its typical range" in page.inner_text(".headline")
    assert page.evaluate("[window.stays, window.scrollY, getSelection().toString()]") == [True, scrolled, "Kingston"]
    assert page.is_visible("th:has-text('09:15 GMT') >> nth=0")
    box = over.bounding_box()
    # The same time at the same place of the enlarged chart.
    assert pointed_at(0.5) == before
    said = [pointed_at(share / 100) for share in range(2, 100)]
    assert any("1.25 m, 1.4 before its correction" in each for each in said)
    page.mouse.dblclick(box["x"] + box["width"] * 0.5, middle)
    assert "09:15 GMT" in pointed_at(0.999)
    assert "1.2 m" in pointed_at(0.999)


def test_a_page_that_lost_its_server_goes_on_after_its_last_event(lake, browse):
    with listening(lake, NOW, every=LOOK) as server:
        page = browse(f"{server.url}/station/K1", hurried=True)
        drawn(page, "charts-drawn")
        until(page, CONNECTED)
        change(server, 8, ("K1-level", NEXT, 1.1))
        until(page, "document.querySelector('.headline').textContent.includes('1.1')")
    until(page, f"!({CONNECTED})")
    ids: list[bytes | None] = []
    later = listening(lake, NOW, every=LOOK, port=server.port)
    later.app.add_middleware(noting, ids=ids)
    # Committed while nobody served it.
    change(later, 10, ("K1-level", NEXT, 1.3))
    with later:
        until(page, "document.querySelector('.headline').textContent.includes('1.3')")
        until(page, CONNECTED)
        assert any(ids)
        change(later, 12, ("K1-level", NEXT, 1.45))
        until(page, "document.querySelector('.headline').textContent.includes('1.45')")


class _Refusing(BaseHTTPRequestHandler):
    """What a proxy answers while the server behind it is away."""

    def do_GET(self) -> None:
        self.send_error(502)

    def log_message(self, *_: object) -> None:
        pass


def test_a_page_that_is_refused_comes_back_by_itself(lake, browse):
    with listening(lake, NOW, every=LOOK) as server:
        page = browse(f"{server.url}/station/K1", hurried=True)
        drawn(page, "charts-drawn")
        until(page, CONNECTED)
    refused = threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", server.port), _Refusing) as proxy:
        page.on("response", lambda answer: refused.set() if answer.status == 502 else None)
        threading.Thread(target=proxy.serve_forever).start()
        while not refused.is_set():
            page.wait_for_timeout(100)
        proxy.shutdown()
    later = listening(lake, NOW, every=LOOK, port=server.port)
    change(later, 10, ("K1-level", NEXT, 1.3))
    with later:
        until(page, "document.querySelector('.headline').textContent.includes('1.3')")
        until(page, CONNECTED)


def test_many_changes_are_few_requests_and_the_last_one_is_shown(server, browse):
    page = browse(server.url)
    drawn(page)
    until(page, CONNECTED)
    asked, begun = asked_for(page, server), time.monotonic()
    for number in range(12):
        change(server, 8 + number / 10, ("K1-level", NEXT, 2 + number / 10))
        time.sleep(0.3)
    until(page, "document.querySelector('ol.stations').textContent.includes('3.1')")
    until(page, "document.getElementById('live').textContent.includes('Up to date')")
    page.wait_for_timeout(500)
    # One soon, one when no more come, and one each quarter of a minute between.
    most = 2 + (time.monotonic() - begun) / 15
    assert 1 <= asked.count("/") <= most
    assert asked.count("/map.json") <= most
    # Places and files are not asked for again.
    assert set(asked) <= {"/", "/map.json"}


def test_a_hidden_tab_asks_for_nothing_and_catches_up_when_it_is_seen(server, browse):
    page = browse(server.url)
    drawn(page)
    page.add_init_script(HIDEABLE)
    page.reload()
    drawn(page)
    until(page, CONNECTED)
    asked = asked_for(page, server)
    page.evaluate("window.away = true; document.dispatchEvent(new Event('visibilitychange'))")
    change(server, 10, ("K1-level", NEXT, 1.2))
    page.wait_for_timeout(4000)
    assert asked == []
    page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    until(page, "document.querySelector('ol.stations').textContent.includes('1.2')")


def test_a_reader_can_stop_the_page_from_moving(server, browse):
    page = browse(f"{server.url}/station/K1", reduced_motion="reduce")
    drawn(page, "charts-drawn")
    until(page, CONNECTED)
    page.uncheck("#live input")
    asked, before = asked_for(page, server), page.inner_text(".headline")
    change(server, 10, ("K1-level", NEXT, 1.2))
    page.wait_for_selector("#live button:visible")
    assert "New readings have come." in page.inner_text("#live")
    assert page.inner_text(".headline") == before
    assert asked == []
    page.click("#live button")
    until(page, "document.querySelector('.headline').textContent.includes('1.2')")
    # It is remembered.
    page.goto(server.url)
    drawn(page)
    assert not page.is_checked("#live input")


def test_an_untouched_page_opens_no_second_stream(server, browse):
    page = browse(server.url)
    drawn(page)
    until(page, CONNECTED)
    assert server.app.state.stream.clients == 1
    page.goto(f"{server.url}/rivers")
    deadline = time.monotonic() + 60
    while server.app.state.stream.clients and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.app.state.stream.clients == 0
