from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from flood_assets.lake.lake import Lake
from flood_assets_tests.support.browsing import CHROMIUM, HURRIED
from flood_assets_tests.support.paged_lake import DST, NOW, fill
from flood_assets_tests.support.served import Served, served


@pytest.fixture(scope="session")
def paged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paged") / "lake"
    fill(Lake.open(folder))
    return folder


@pytest.fixture(scope="session")
def clocks_back(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same lake in the night in which the clocks go back."""
    folder = tmp_path_factory.mktemp("clocks") / "lake"
    fill(Lake.open(folder), DST)
    return folder


@pytest.fixture(scope="session")
def site(paged: Path) -> Iterator[Served]:
    """Pages of a lake that no test changes, at a clock that no test changes."""
    with served(paged, NOW) as found:
        yield found


# Playwright has an event loop in this thread as long as it runs, beside which no test can have its own.
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

    def browse(address: str, *, hurried: bool = False, **settings) -> Page:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
        context.set_default_timeout(120_000)
        contexts.append(context)
        if hurried:
            context.add_init_script(HURRIED)
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
