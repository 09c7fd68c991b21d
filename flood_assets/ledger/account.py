"""The account of a lake: its readings, watermarks and measures read once, and everything that follows from them."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.lake import watermarks as marking
from flood_assets.lake.blocks import MOST, Blocks, Piece
from flood_assets.lake.lake import READERS, Lake, WindowChange
from flood_assets.lake.parquet import DamagedWindowError, schema_of
from flood_assets.ledger import delays as lateness
from flood_assets.ledger.counts import Evidence, counts_of
from flood_assets.ledger.day import LISTED, READ, Day, kept
from flood_assets.ledger.delays import delays_of
from flood_assets.ledger.groups import Ints
from flood_assets.ledger.rhythm import rhythm_of
from flood_assets.partitions import retained_windows, window_of
from flood_assets.schemas import COMPLETENESS, MEASURES, READINGS, TIMELINESS

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
        now: when it was counted.
    """

    windows: Mapping[datetime, pa.Table]
    timeliness: pa.Table
    asked: marking.Asked
    lost: frozenset[datetime]
    now: datetime

    def of_each(self, count: str) -> Ints:
        """One of the counts over all windows, for each measure in the order of `timeliness`."""
        found = np.zeros(len(self.timeliness), np.int64)
        for table in self.windows.values():
            found += table[count].to_numpy()
        return found

    def totals(self) -> dict[str, int]:
        """Each count over all measures and windows."""
        return {name: int(self.of_each(name).sum()) for name in COUNTS}

    def store(self, lake: Lake) -> dict[str, list[WindowChange]]:
        """Store the counts in their windows and `timeliness` in the current one; return the changes by table.

        Raises:
            LakeError: the lake could not be read or written.
        """
        counts = [
            change for each, rows in self.windows.items() for change in lake.put_snapshots(COMPLETENESS, [each], rows)
        ]
        return {
            COMPLETENESS.name: counts,
            TIMELINESS.name: lake.put_snapshots(TIMELINESS, [window_of(self.now)], self.timeliness),
        }


def take(
    lake: Lake,
    now: datetime,
    *,
    measure_ids: Iterable[str] | None = None,
    most: int = MOST,
    read: Callable[[datetime], pa.Table] | None = None,
) -> Account:
    """Judge what a lake holds at `now`: each window is decoded once, and the measures are judged block by block.

    Args:
        lake: the lake; it is only read.
        now: decides what is retained and what is due.
        measure_ids: only these; others are not decoded.
        most: how many rows are judged at once; what comes of it does not depend on it.
        read: gives the retained rows of a window, coded, for who looks at them at the same time; it may be asked for
            several windows at once. Else the lake is asked.

    Raises:
        LakeError: the lake could not be read.
    """
    ids = None if measure_ids is None else sorted(set(measure_ids))
    # Before the readings: a run that ends meanwhile stores readings first and watermarks last, and what it adds to the
    # readings only is no harm, while watermarks without their readings would say that gauges were silent.
    watermarks = marking.load(lake)
    listed, before = _only(lake.newest_snapshot(MEASURES, now), ids), lake.newest_snapshot(TIMELINESS, now)
    windows = retained_windows(now)
    if read is None:
        read = partial(lake.read_window, READINGS, now=now, columns=READ, measure_ids=ids, coded=True)
    with ThreadPoolExecutor(READERS) as pool:
        found = list(pool.map(partial(_kept, read), windows))
    nothing = kept(schema_of(READINGS, READ, coded=True).empty_table())
    pieces = [nothing, *(each for each in found if each is not None)]
    blocks = Blocks(pieces, listed["measure_id"].combine_chunks())
    lost = frozenset(window for window, each in zip(windows, found, strict=True) if each is None)
    del found, pieces
    asked = watermarks.asked if watermarks else marking.Asked()

    # What is known of the measures, in their order, so that a block looks up its own only.
    listed = _of(blocks.measures, listed)
    before = _of(blocks.measures, before if before is not None else TIMELINESS.schema.empty_table())
    watermarks = None if watermarks is None else replace(watermarks, rows=_of(blocks.measures, watermarks.rows))
    counts, timeliness = [], [TIMELINESS.schema.empty_table()]
    for block in blocks.each(most):
        here = slice(block.first, block.last)
        day = Day.among(blocks.measures[here], block, listed[here])
        rhythm = rhythm_of(day)
        delays = delays_of(day, asked.polls, before[here])
        marked = None if watermarks is None else replace(watermarks, rows=watermarks.rows[here])
        counts.append(counts_of(day, rhythm, delays, Evidence(marked, lost), now))
        timeliness.append(lateness.table(day, rhythm, delays, now))
    nobody = COMPLETENESS.schema.empty_table()
    by_window = {window: pa.concat_tables([nobody, *(each[window] for each in counts)]) for window in windows}
    return Account(by_window, pa.concat_tables(timeliness), asked, lost, now)


def _of(measures: pa.Array, known: pa.Table) -> pa.Table:
    """For each measure its row of a table; nulls where it has none."""
    return known.take(pc.index_in(measures, value_set=known["measure_id"].combine_chunks()))


def _only(snapshot: pa.Table | None, ids: list[str] | None) -> pa.Table:
    """What is needed of the measures, and only of those that were asked for."""
    listed = (MEASURES.schema.empty_table() if snapshot is None else snapshot).select(list(LISTED))
    return listed if ids is None else listed.filter(pc.is_in(listed["measure_id"], pa.array(ids, pa.string())))


def _kept(read: Callable[[datetime], pa.Table], window: datetime) -> Piece | None:
    """What is needed of a window's readings; None when it is damaged."""
    try:
        return kept(read(window))
    except DamagedWindowError:
        return None
