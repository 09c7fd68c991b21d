"""The account of a lake: its readings, marks and measures read once, and everything that follows from them."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.lake import marks as marking
from flood_assets.lake.lake import READERS, Lake
from flood_assets.lake.parquet import DamagedWindowError, schema_of
from flood_assets.ledger import delays as lateness
from flood_assets.ledger.counts import Evidence, counts_of
from flood_assets.ledger.day import LISTED, READ, Day
from flood_assets.ledger.delays import delays_of
from flood_assets.ledger.groups import Ints
from flood_assets.ledger.rhythm import rhythm_of
from flood_assets.partitions import retained_windows
from flood_assets.schemas import MEASURES, READINGS, TIMELINESS

# The columns of `schemas.COMPLETENESS` that count; what is missing is the sum of the causes.
CAUSES = ("silent", "not_due", "not_fetched")
COUNTS = ("expected", "received", "late", "several", "without_value", "missing", *CAUSES)


@dataclass(frozen=True)
class Account:
    """What the ledger says of a lake at a moment.

    Attributes:
        windows: of each retained window, oldest first, the counts of each measure, schema `schemas.COMPLETENESS`.
        timeliness: how late each measure reports, schema `schemas.TIMELINESS`.
        asked: when the API was asked for what.
        lost: windows of readings whose object is damaged: what they held counts as not fetched.
    """

    windows: Mapping[datetime, pa.Table]
    timeliness: pa.Table
    asked: marking.Asked
    lost: frozenset[datetime]

    def of_each(self, count: str) -> Ints:
        """One of the counts over all windows, for each measure in the order of `timeliness`."""
        found = np.zeros(len(self.timeliness), np.int64)
        for table in self.windows.values():
            found += table[count].to_numpy()
        return found

    def totals(self) -> dict[str, int]:
        """Each count over all measures and windows."""
        return {name: int(self.of_each(name).sum()) for name in COUNTS}


def take(lake: Lake, now: datetime, *, measure_ids: Iterable[str] | None = None) -> Account:
    """Judge what a lake holds at `now`.

    Args:
        lake: the lake; it is only read.
        now: decides what is retained and what is due.
        measure_ids: only these; others are not decoded.

    Raises:
        LakeError: the lake could not be read.
    """
    ids = None if measure_ids is None else sorted(set(measure_ids))
    # Before the readings: a run that ends meanwhile stores readings first and marks last, and what it adds to the
    # readings only is no harm, while marks without their readings would say that gauges were silent.
    marks = marking.load(lake)
    listed, before = _only(lake.newest_snapshot(MEASURES, now), ids), lake.newest_snapshot(TIMELINESS, now)
    windows = retained_windows(now)
    with ThreadPoolExecutor(READERS) as pool:
        found = list(pool.map(lambda window: _rows(lake, window, now, ids), windows))
    rows = [each for each in found if each is not None]
    lost = frozenset(window for window, each in zip(windows, found, strict=True) if each is None)
    nothing = schema_of(READINGS, READ, coded=True).empty_table()
    day = Day.of(pa.concat_tables([nothing, *rows]).unify_dictionaries(), listed)
    rhythm = rhythm_of(day)
    asked = marks.asked if marks else marking.Asked()
    delays = delays_of(day, asked.polls, before)
    counts = counts_of(day, rhythm, delays, Evidence(marks, lost), now)
    return Account(counts, lateness.table(day, rhythm, delays, now), asked, lost)


def _only(snapshot: pa.Table | None, ids: list[str] | None) -> pa.Table:
    """What is needed of the measures, and only of those that were asked for."""
    listed = (MEASURES.schema.empty_table() if snapshot is None else snapshot).select(list(LISTED))
    return listed if ids is None else listed.filter(pc.is_in(listed["measure_id"], pa.array(ids, pa.string())))


def _rows(lake: Lake, window: datetime, now: datetime, ids: list[str] | None) -> pa.Table | None:
    """What is needed of a window's readings; None when it is damaged."""
    try:
        return lake.read_window(READINGS, window, now=now, columns=READ, measure_ids=ids, coded=True)
    except DamagedWindowError:
        return None
