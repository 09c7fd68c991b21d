from collections.abc import Iterator
from pathlib import Path

import pytest

from flood_assets.lake.lake import Lake
from flood_assets_tests.support.served import Served, served
from flood_assets_tests.support.seven_gauges import NOW, fill


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
