from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flood_assets.lake.lake import Lake
from flood_assets.simulator import Simulator, serve
from flood_assets_tests.support.served import Served, served
from flood_assets_tests.support.seven_gauges import NOW, fill
from flood_assets_tests.support.simulated_lake import fill_from


@pytest.fixture(scope="session")
def seven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "lake"
    fill(Lake.open(folder))
    return folder


@pytest.fixture(scope="session")
def api(seven: Path) -> Iterator[Served]:
    """A lake of seven gauges that no test changes, at a clock that no test changes."""
    with served(seven, NOW) as found:
        yield found


@dataclass(frozen=True)
class Country:
    """A simulated API at a moment, and a lake that was filled from it."""

    url: str
    lake: Path
    now: datetime


@pytest.fixture(scope="session")
def country(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Country]:
    """150 stations with their oddities, on a day with flood warnings."""
    now, folder = datetime(2026, 11, 29, 9, 7, 30, tzinfo=UTC), tmp_path_factory.mktemp("country") / "lake"
    with serve(Simulator(stations=150, seed=1, now=lambda: now)) as source:
        fill_from(source.url, Lake.open(folder), now)
        yield Country(source.url, folder, now)
