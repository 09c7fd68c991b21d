"""Serve a lake to a test, without a network, at a clock that the test sets."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from starlette.testclient import TestClient

from flood_assets.lake.lake import Lake
from flood_assets.serve.app import create
from flood_assets.serve.limits import Limits
from flood_assets.serve.watch import Watcher

# The watcher looks when a test says so.
_NEVER = timedelta(days=1)


class Served:
    """A served lake: its client, its watcher, and the time, which a test may set."""

    def __init__(self, lake: Lake, now: datetime, limits: Limits | None = None) -> None:
        self.lake, self.now = lake, now
        self.watcher = Watcher(lambda: self.lake, lambda: self.now, every=_NEVER)
        self.app = create(self.watcher, lambda: self.now, limits=limits)
        self.client = TestClient(self.app, base_url="http://testserver", raise_server_exceptions=True)

    def get(self, path: str, headers: dict[str, str] | None = None, **params: Any) -> Any:
        """Ask for something below /api/v1 and return the response."""
        return self.client.get(f"/api/v1/{path}", params=params or None, headers=headers)

    def rows(self, name: str, **params: Any) -> list[dict[str, Any]]:
        """Ask for rows as JSON and return them."""
        response = self.get(name, **params)
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = response.json()[name]
        return found


@contextmanager
def served(place: Path | Lake, now: datetime, limits: Limits | None = None) -> Iterator[Served]:
    """Serve a lake at a moment, with limits for clients or none; end the watcher's thread with the context."""
    lake = place if isinstance(place, Lake) else Lake.open(place)
    found = Served(lake, now, limits)
    with found.client:
        yield found


def as_json(rows: pa.Table) -> list[dict[str, Any]]:
    """Return rows as the API says them in JSON, made without its code."""
    return [{name: _cell(value) for name, value in row.items()} for row in rows.to_pylist()]


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z").replace(".000Z", "Z")
    return value.isoformat() if hasattr(value, "isoformat") else value
