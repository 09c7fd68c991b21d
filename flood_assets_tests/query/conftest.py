from collections.abc import Iterator
from pathlib import Path

import pytest

from flood_assets.lake.lake import Lake
from flood_assets_tests.support import questions
from flood_assets_tests.support.seven_gauges import fill


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled") / "the lake"
    fill(Lake.open(folder.as_uri()))
    return folder


@pytest.fixture(autouse=True)
def _asked_by_default(filled: Path) -> Iterator[None]:
    questions.DEFAULT.append(filled)
    yield
    questions.DEFAULT.clear()
