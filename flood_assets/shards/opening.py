"""Open one shard for the steps of a tick: `flood_assets.tick.steps` takes them as for any lake."""

from collections.abc import Callable
from datetime import datetime
from threading import Semaphore

from flood_assets.ea.http import Gate
from flood_assets.lake.archive import Archive
from flood_assets.lake.lake import Lake
from flood_assets.network import Shard
from flood_assets.places import below
from flood_assets.settings import Publishing
from flood_assets.tick.steps import Given


def open_shard(
    shard: Shard,
    common_url: str,
    clock: Callable[[], datetime],
    *,
    gate: Gate | None = None,
    archive: str | None = None,
    publishing: Publishing | None = None,
) -> Given:
    """Return what the steps of a tick work with to fill one shard; nothing is asked or written yet.

    The caller has made sure that the lakes below the common URL are those of this network (`lake.members.claim`); the
    steps make sure that this lake is this shard. Alerts are judged over all shards, and not here.

    Args:
        shard: of the network's file.
        common_url: below which each shard has its lake.
        clock: the current time.
        gate: held around each request, so that all shards together keep to `shard.at_once` at its API; None if this is
            the only one that is filled now.
        archive: as `settings.archive` returns it; below a URL, each shard has a folder of its own.
        publishing: the sinks; each shard sends its own changes.

    Raises:
        SettingsError: the URL is none of a lake.
        LakeError: there are no credentials, or a folder cannot be made.
    """
    lake = Lake.open(shard.lake_url(common_url))
    turns = Semaphore(shard.at_once)
    return Given(
        lake,
        shard.api,
        clock,
        archive=archive_of(lake, shard.name, archive),
        publishing=publishing or Publishing((), None),
        shard=shard,
        gate=gate or (lambda: turns),
    )


def archive_of(lake: Lake, name: str, place: str | None) -> Archive | None:
    """Return where the expired readings of a shard's lake are kept; None to keep none.

    Below the URL of an archive each shard has a folder of its own; the `archive` of a lake is in the shard's lake. An
    empty name is that of a lake without shards.
    """
    if place is None:
        return None
    return Archive.beside(lake.store, below(place, name) if "://" in place else place)
