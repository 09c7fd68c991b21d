"""The definition of retained that tests compare with."""

from datetime import datetime

from flood_assets.partitions import cutoff, utc


def is_retained(moment: datetime, now: datetime) -> bool:
    """Return True if a reading of this moment belongs in the lake at `now`."""
    return cutoff(now) < utc(moment) <= now
