"""Fill shards from their APIs for `change`: with the steps of a tick, and nothing published."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from flood_assets.errors import SourceError
from flood_assets.lake.archive import Archive
from flood_assets.lake.lake import Lake
from flood_assets.network import Shard
from flood_assets.places import below
from flood_assets.shards.change import Gauges
from flood_assets.shards.opening import archive_of, open_shard
from flood_assets.tick.steps import Given, refresh


@dataclass(frozen=True)
class ApiFiller:
    """Opens the lakes below a common URL, and fills them from the APIs of their shards.

    Attributes:
        common_url: below which each shard has its lake.
        clock: the current time.
        archive_place: as FLOOD_ARCHIVE gives it; None to keep no expired readings.
    """

    common_url: str
    clock: Callable[[], datetime]
    archive_place: str | None = None

    def at(self, name: str) -> Lake:
        """Open the lake of a shard's name; of an empty one the lake at the common URL."""
        return Lake.open(below(self.common_url, name))

    def gauges(self, shard: Shard) -> Gauges:
        """Ask the API which gauges a shard has; SourceError if it does not answer."""
        with self._given(shard).api() as api:
            return Gauges(api.stations().rows, api.measures().rows)

    def claim(self, shard: Shard) -> None:
        """Make sure that the lake of a shard is this shard's; WrongLakeError if it is another's."""
        self.at(shard.name).claim(shard.api, shard)

    def refresh(self, shard: Shard) -> None:
        """Bring a shard up to date from its API; SourceError says which steps failed."""
        done = refresh(self._given(shard))
        if done.failed:
            told = "; ".join(f"{step}: {why}" for step, why in done.failed.items())
            raise SourceError(f"the shard {shard.name} could not be filled, and nothing was changed: {told}")

    def archive(self, name: str) -> Archive | None:
        """Return where expired readings of a lake are kept; None to keep none."""
        return archive_of(self.at(name), name, self.archive_place)

    def _given(self, shard: Shard) -> Given:
        return open_shard(shard, self.common_url, self.clock, archive=self.archive_place)
