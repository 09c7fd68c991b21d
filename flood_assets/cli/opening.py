"""Open the lake for the commands that only read it."""

from datetime import datetime

from flood_assets.errors import LakeError
from flood_assets.lake.lake import Lake
from flood_assets.query.place import Place


def opened(lake_url: str, now: datetime) -> Lake:
    """Return the lake; LakeError if there is none."""
    lake = Place.of(lake_url, now).lake
    if lake is None:
        raise LakeError(f"there is no lake at {lake_url}: `flood-assets refresh` makes and fills it")
    return lake
