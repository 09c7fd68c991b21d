"""Look at pages in a real Chromium."""

import time
from pathlib import Path

import pytest
from playwright.sync_api import Page

CHROMIUM = "/usr/bin/chromium"
# Timers of several seconds take a tenth of them: a page that waits 30 s to 45 s to ask again would wait in earnest.
HURRIED = """
    const wait = window.setTimeout;
    window.setTimeout = (then, ms, ...more) => wait(then, ms >= 5000 ? ms / 10 : ms, ...more);
"""
needs_chromium = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium: `apt-get install chromium`")


def until(page: Page, true: str) -> None:
    """Wait until an expression is true, asked from outside: the page's policy forbids Playwright's own eval."""
    for _ in range(2400):
        if page.evaluate(true):
            return
        time.sleep(0.05)
    pytest.fail(f"never true: {true}")


def drawn(page: Page, mark: str = "map-drawn") -> None:
    until(page, f"performance.getEntriesByName('{mark}').length > 0")


def mark_of(page: Page, name: str) -> list[float] | None:
    """Return where the mark of a station is in the window, by what the map says when it is pointed at."""
    return page.evaluate(
        """async (name) => {
            const map = document.querySelector("#map"), box = map.getBoundingClientRect();
            // One that is being closed fades.
            const said = () => [...document.querySelectorAll(".leaflet-tooltip")]
                .filter((each) => each.style.opacity !== "0").map((each) => each.textContent).join();
            for (let y = 4; y < box.height; y += 4) for (let x = 4; x < box.width; x += 4) {
                const at = {clientX: box.x + x, clientY: box.y + y, bubbles: true};
                map.dispatchEvent(new MouseEvent("mousemove", at));
                if (!map.classList.contains("leaflet-interactive")) continue;
                for (let i = 0; i < 500 && !said(); i++) await new Promise((then) => setTimeout(then, 20));
                if (said().includes(name)) return [at.clientX, at.clientY];
            }
            return null;
        }""",
        name,
    )
