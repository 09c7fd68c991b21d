from collections.abc import Iterator
from pathlib import Path

import pytest

from flood_assets.lake.lake import Lake
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
