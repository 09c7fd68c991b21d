"""Say what each sink lacks: the outbox is the lake itself, and a cursor says how far a sink has got."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.lake.cursor import Cursor
from flood_assets.lake.layout import PUBLISHED, window_of_dead_letter
from flood_assets.partitions import cutoff, from_ms, is_expired
from flood_assets.schemas import TIME

_ENDING = ".parquet"


@dataclass(frozen=True)
class Beside:
    """Objects below `_published/` that a listing has.

    Attributes:
        cursors: for each sink that has a cursor, the cursor's name in the lake.
        dead: for each of them the number of its dead letters.
    """

    cursors: Mapping[str, str]
    dead: Mapping[str, int]

    @classmethod
    def of(cls, keys: Iterable[str]) -> "Beside":
        """Return what the names of objects say."""
        ours = [key for key in keys if key.startswith(f"{PUBLISHED}/")]
        dead = [key.split("/")[1] for key in ours if window_of_dead_letter(key) is not None]
        names = [key for key in ours if key.count("/") == 1 and key.endswith(_ENDING)]
        cursors = {key.removeprefix(f"{PUBLISHED}/").removesuffix(_ENDING): key for key in names}
        return cls(cursors, {sink: dead.count(sink) for sink in cursors})


def waits_since(
    cursor: Cursor, windows: Mapping[tuple[datetime, str | None], pa.Table], now: datetime
) -> datetime | None:
    """Return when the oldest change was made that a sink has not confirmed; None if it has confirmed all.

    Args:
        cursor: of the sink.
        windows: `date_time` and `changed_at` of the readings, by window and e-tag of the version.
        now: decides what is retained.
    """
    oldest = None
    for (window, e_tag), rows in windows.items():
        if is_expired(window, now) or cursor.has(window, e_tag):
            continue
        kept = rows.filter(pc.greater(rows["date_time"], pa.scalar(cutoff(now), TIME)))
        commits = np.unique(kept["changed_at"].cast(pa.int64()).to_numpy())
        part = cursor.windows.get(window)
        waiting = commits if part is None else commits[~np.isin(commits, part.commits)]
        if len(waiting) and (oldest is None or waiting[0] < oldest):
            oldest = int(waiting[0])
    return None if oldest is None else from_ms(oldest)
