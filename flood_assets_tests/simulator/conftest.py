"""Simulators with a stopped clock behind a real local HTTP server."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import requests

from flood_assets.simulator import Server, Simulator, serve

NOW = datetime(2026, 11, 21, 12, 14, tzinfo=UTC)


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    """Serve 300 stations at NOW, for tests that change nothing."""
    with serve(Simulator(300, seed=7, now=lambda: NOW)) as server:
        yield server


@pytest.fixture
def server() -> Iterator[Server]:
    """Serve 120 stations at NOW, for tests that set clocks and faults."""
    with serve(Simulator(120, seed=3, now=lambda: NOW)) as server:
        yield server


@pytest.fixture(scope="session")
def country() -> Simulator:
    """Return the whole country at NOW."""
    return Simulator(now=lambda: NOW)


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session
