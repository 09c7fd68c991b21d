"""Read a lake once and judge its completeness and timeliness at a moment."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.grouping import BLOCK_ROWS, Blocks, Ints
from flood_assets.lake import watermarks as marking
from flood_assets.lake.lake import Lake
from flood_assets.lake.parquet import DamagedWindowError, schema_of
from flood_assets.lake.uniting import unite, unite_asked
from flood_assets.lake.write import WindowChange
from flood_assets.ledger import delays as lateness
from flood_assets.ledger.counts import counts_of
from flood_assets.ledger.day import LISTED, READ, Day, day_piece, rows_of
from flood_assets.ledger.delays import delays_of
from flood_assets.ledger.intervals import reporting_intervals
from flood_assets.partitions import EPOCH, retained_windows, utc
from flood_assets.schemas import COMPLETENESS, MEASURES, READINGS, TIMELINESS, Table

# The columns of `schemas.COMPLETENESS` that count; what is missing is the sum of the causes.
CAUSES = ("silent", "not_due", "not_fetched")
COUNTS = ("expected", "received", "late", "several", "without_value", "missing", *CAUSES)


@dataclass(frozen=True)
class Account:
    """Completeness and timeliness of a lake at a moment.

    Attributes:
        windows: for each retained window, oldest first, the counts of each measure, schema `schemas.COMPLETENESS`.
        timeliness: reporting interval and delay of each measure, schema `schemas.TIMELINESS`.
        asked: when the API was asked for what.
        lost: windows of readings whose object is damaged: their readings count as not fetched.
        now: when it was counted.
    """

    windows: Mapping[datetime, pa.Table]
    timeliness: pa.Table
    asked: marking.Asked
    lost: frozenset[datetime]
    now: datetime

    def of_each(self, count: str) -> Ints:
        """Sum a count over all windows, for each measure in the order of `timeliness`."""
        found = np.zeros(len(self.timeliness), np.int64)
        for table in self.windows.values():
            found += table[count].to_numpy()
        return found

    def totals(self) -> dict[str, int]:
        """Sum each count over all measures and windows."""
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
            TIMELINESS.name: lake.put_state(TIMELINESS, self.timeliness, self.now),
        }


def take(
    lake: Lake,
    now: datetime,
    *,
    measure_ids: Iterable[str] | None = None,
    most: int = BLOCK_ROWS,
    readings: Iterable[tuple[datetime, pa.Table | DamagedWindowError]] | None = None,
) -> Account:
    """Judge a lake at `now`: decode each window once, then judge its measures block by block.

    Args:
        lake: the lake; it is only read.
        now: decides which readings are retained and which are due.
        measure_ids: only these; others are not decoded.
        most: rows of a block; the result does not depend on it.
        readings: the columns `READ` of the retained readings by window, coded, as `Lake.each` yields them, for a caller
            that needs them too. By default the lake is read.

    Raises:
        LakeError: the lake could not be read.
    """
    ids = None if measure_ids is None else sorted(set(measure_ids))
    if readings is not None:
        return _taken(lake, now, ids, most, readings)
    # What a gauge was asked for, and when, is known to its shard.
    return _united([*lake.each_shard(lambda shard: _taken(shard, now, ids, most, None)).values()], now)


def _taken(
    lake: Lake,
    now: datetime,
    ids: Sequence[str] | None,
    most: int,
    readings: Iterable[tuple[datetime, pa.Table | DamagedWindowError]] | None,
) -> Account:
    # Before the readings: a run that ends meanwhile stores readings first and watermarks last. Readings without their
    # watermarks do no harm; watermarks without their readings would say that gauges were silent.
    watermarks = lake.watermarks()
    snapshot, before = (lake.newest_snapshot(table, now) for table in (MEASURES, TIMELINESS))
    listed = (MEASURES.schema.empty_table() if snapshot is None else snapshot).select(list(LISTED))
    if ids is not None:
        listed = listed.filter(pc.is_in(listed["measure_id"], pa.array(ids, pa.string())))
    windows = retained_windows(now)
    if readings is None:
        readings = lake.each(READINGS, windows, now=now, columns=READ, measure_ids=ids, coded=True)
    pieces, lost = [day_piece(schema_of(READINGS, READ, coded=True).empty_table())], set[datetime]()
    for window, rows in readings:
        if isinstance(rows, DamagedWindowError):
            lost.add(window)
        else:
            pieces.append(day_piece(rows))
    blocks = Blocks.of(pieces, listed["measure_id"].combine_chunks())
    del pieces
    asked = watermarks.asked if watermarks else marking.Asked()

    # In the order of the blocks' measures, so that a block looks up its own only.
    listed = rows_of(blocks.measures, listed)
    before = rows_of(blocks.measures, before if before is not None else TIMELINESS.schema.empty_table())
    watermarks = None if watermarks is None else replace(watermarks, rows=rows_of(blocks.measures, watermarks.rows))
    counts, timeliness = [], [TIMELINESS.schema.empty_table()]
    for block in blocks.each(most):
        here = slice(block.first, block.last)
        day = Day.of(blocks.measures[here], block, listed[here])
        intervals = reporting_intervals(day)
        delays = delays_of(day, asked.polls, before[here])
        marked = None if watermarks is None else replace(watermarks, rows=watermarks.rows[here])
        counts.append(counts_of(day, intervals, delays, marked, lost, now))
        timeliness.append(lateness.table(day, intervals, delays, now))
    nobody = COMPLETENESS.schema.empty_table()
    by_window = {window: pa.concat_tables([nobody, *(each[window] for each in counts)]) for window in windows}
    return Account(by_window, pa.concat_tables(timeliness), asked, frozenset(lost), now)


def _united(parts: Sequence[Account], now: datetime) -> Account:
    """Return the account of several shards; a gauge that two of them have is in that of its newest reading."""
    if len(parts) == 1:
        return parts[0]
    best = dict[str, tuple[datetime, int]]()
    for number, part in enumerate(parts):
        pairs = zip(part.timeliness["measure_id"].to_pylist(), part.timeliness["newest_at"].to_pylist(), strict=True)
        for measure, newest in pairs:
            best[measure] = max(best.get(measure, (EPOCH, -1)), (utc(newest) if newest else EPOCH, number))
    mine = [
        pa.array([measure for measure in part.timeliness["measure_id"].to_pylist() if best[measure][1] == number])
        for number, part in enumerate(parts)
    ]

    def together(table: Table, rows: Sequence[pa.Table]) -> pa.Table:
        own = [
            each
            if len(ids) == len(part.timeliness)
            else each.filter(pc.is_in(each["measure_id"], ids.cast(pa.string())))
            for each, ids, part in zip(rows, mine, parts, strict=True)
        ]
        found = unite(table, [table.schema.empty_table(), *own])
        assert found is not None  # noqa: S101 - for the type checker: each measure is in one of them
        return found

    return Account(
        windows={
            window: together(COMPLETENESS, [part.windows[window] for part in parts]) for window in retained_windows(now)
        },
        timeliness=together(TIMELINESS, [part.timeliness for part in parts]),
        asked=unite_asked([part.asked for part in parts], now),
        lost=frozenset(window for part in parts for window in part.lost),
        now=now,
    )
