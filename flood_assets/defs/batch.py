"""Adapter until `flood_assets.ingest.fetch` returns one `Batch` that stores itself.

Then import `Batch` and `fetch` from there and delete this file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flood_assets import ingest
from flood_assets.lake.lake import Lake, Upserted

if TYPE_CHECKING:
    from flood_assets.ea.client import FloodMonitoringApi


@dataclass(frozen=True)
class Ingested:
    """The result of storing a batch: the upsert, and whether the watermarks advanced."""

    upserted: Upserted
    advanced: bool


@dataclass(frozen=True)
class Batch:
    """A fetch with everything about it."""

    parts: ingest.Batch
    fetched: Any
    damaged: dict[datetime, str]
    now: datetime

    def __getattr__(self, name: str) -> Any:
        return getattr(self.parts if hasattr(self.parts, name) else self.fetched, name)

    def store(self, lake: Lake) -> Ingested:
        """Upsert the rows and advance the watermarks."""
        return Ingested(*ingest.store(lake, self.parts, self.now))


def fetch(api: "FloodMonitoringApi", lake: Lake, windows: Sequence[datetime] | None, now: datetime) -> Batch:
    """Fetch as `flood_assets.ingest.fetch` does."""
    fetched, parts, damaged = ingest.fetch(api, lake, windows, now)
    return Batch(parts, fetched, damaged, now)
