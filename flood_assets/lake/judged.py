"""Know when the state of the alerts was judged, and that it is deleted when that is a day ago.

The state is one object beside the tables, `_alerts/state.parquet`; what is in it is in `flood_assets.query.alerts`.
"""

from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from flood_assets.lake.layout import ALERTS_KEY
from flood_assets.lake.objects import Blob, Meta
from flood_assets.lake.store import Store
from flood_assets.partitions import from_ms, is_expired, window_of

# Name in the footer; ms since 1970.
JUDGED_AT = b"judged_at_ms"


def judged_at(blob: Blob) -> datetime | None:
    """Return when a state was judged; None if it is damaged."""
    try:
        said = pq.read_metadata(pa.BufferReader(blob.data)).metadata or {}
        return from_ms(int(said[JUDGED_AT]))
    except (pa.ArrowException, OSError, KeyError, ValueError, OverflowError):
        return None


def expired(store: Store, now: datetime) -> tuple[datetime, Meta] | None:
    """Return the hour in which the state was judged and its object, if that is a day ago; else None.

    A damaged one is as old as its object.
    """
    blob = store.read(ALERTS_KEY)
    if blob is None:
        return None
    window = window_of(judged_at(blob) or blob.meta.modified)
    return (window, blob.meta) if is_expired(window, now) else None
