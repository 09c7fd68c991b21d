"""Fixtures that several tests of images and hosts share."""

from collections.abc import Iterator
from typing import Any

import pytest

from flood_assets_tests.support import containers


@pytest.fixture(scope="session")
def engine() -> Iterator[containers.Engine]:
    """Containers as this machine can run them; skips the test, and says why, where it cannot."""
    if lacking := containers.missing():
        pytest.skip(lacking)
    made = containers.Engine(containers.FOLDER)
    yield made
    made.close()


@pytest.fixture(scope="session")
def image(engine: containers.Engine) -> dict[str, Any]:
    """The image, built, as podman describes it."""
    return engine.build()
