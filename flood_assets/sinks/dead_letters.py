"""Keep what a sink refused for its content, for a day: one object of the lake for each event."""

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from flood_assets.lake.layout import dead_letter_key
from flood_assets.lake.objects import Blob
from flood_assets.lake.store import Revision, Store
from flood_assets.partitions import to_ms
from flood_assets.sinks.events import CloudEvents, text_of

logger = logging.getLogger("flood_assets.sinks")


def keep(
    store: Store,
    sink: str,
    events: CloudEvents,
    refused: Mapping[int, str],
    windows: Sequence[datetime],
    now: datetime,
) -> None:
    """Keep events that a sink refused for good; they expire with their windows.

    Args:
        store: of the lake.
        sink: its name.
        events: all that were sent.
        refused: reason by the number of the event.
        windows: of each event.
        now: when it was refused.
    """
    bodies, hashes = events.bodies(), events.hashes.tolist()
    for number, reason in refused.items():
        told: dict[str, Any] = {"reason": reason, "at": text_of(to_ms(now)), "event": bodies[number]}
        logger.error("%s refused %s for good: %s", sink, bodies[number]["id"], reason)
        key = dead_letter_key(sink, windows[number], f"{hashes[number] & (1 << 64) - 1:016x}")
        revision = Revision(json.dumps(told, indent=1).encode(), None)

        def kept(_blob: Blob | None, revision: Revision[None] = revision) -> Revision[None]:
            return revision

        store.update(key, kept)
