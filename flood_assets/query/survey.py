"""Read a lake once, flag its readings, and judge each gauge by them: its condition, and the counts of the flags.

The readings are judged block by block, so that a network a hundred times larger than a country fits into memory. The
rules are in `conditions` and in `flood_assets.quality`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from flood_assets import quality
from flood_assets.grouping import BLOCK_ROWS, Blocks, Piece
from flood_assets.lake.lake import Lake
from flood_assets.lake.parquet import DamagedWindowError, schema_of
from flood_assets.ledger.day import milliseconds
from flood_assets.partitions import retained_windows
from flood_assets.quality.tally import Tally
from flood_assets.query.conditions import Known
from flood_assets.schemas import CONDITIONS, READINGS, TIMELINESS

_READ = ("measure_id", "date_time", "value")


@dataclass(frozen=True)
class Survey:
    """Conditions of a lake at a moment.

    Attributes:
        conditions: the state of each measure, schema `schemas.CONDITIONS`, by measure_id.
        tally: counts of the flags of the readings.
        damaged: windows of readings that cannot be read, and why: the readings in them are in no condition.
    """

    conditions: pa.Table
    tally: Tally
    damaged: Mapping[datetime, DamagedWindowError]


def survey(
    lake: Lake, now: datetime, measures: pa.Table, stations: pa.Table, *, measure_ids: Iterable[str] | None = None
) -> Survey:
    """Survey a lake at `now`.

    Args:
        lake: the lake; it is only read.
        now: decides which readings are retained and which are due.
        measures: the newest snapshot, schema `schemas.MEASURES`.
        stations: likewise, `schemas.STATIONS`.
        measure_ids: only the readings of these are read; the others are judged as if they had none.

    Raises:
        LakeError: the lake could not be read.
    """
    timeliness = lake.newest_snapshot(TIMELINESS, now)
    timeliness = TIMELINESS.schema.empty_table() if timeliness is None else timeliness
    day, damaged = day_of(lake, now, [measures, timeliness], measure_ids)
    conditions, tally = judge(day, measures, stations, timeliness, now)
    return Survey(conditions, tally, damaged)


def day_of(
    lake: Lake, now: datetime, listed: Iterable[pa.Table], measure_ids: Iterable[str] | None = None
) -> tuple[Blocks, dict[datetime, DamagedWindowError]]:
    """Read the retained readings as `judge` takes them, with the measures of some tables; and what is damaged."""
    damaged: dict[datetime, DamagedWindowError] = {}
    pieces = [_piece(schema_of(READINGS, _READ, coded=True).empty_table())]
    windows = retained_windows(now)
    for window, rows in lake.each(READINGS, windows, now=now, columns=_READ, measure_ids=measure_ids, coded=True):
        if isinstance(rows, DamagedWindowError):
            damaged[window] = rows
        else:
            pieces.append(_piece(rows))
    return Blocks.of(pieces, pa.concat_arrays([table["measure_id"].combine_chunks() for table in listed])), damaged


def judge(
    day: Blocks,
    measures: pa.Table,
    stations: pa.Table,
    timeliness: pa.Table,
    now: datetime,
    *,
    most: int = BLOCK_ROWS,
) -> tuple[pa.Table, Tally]:
    """Return the conditions of a day's measures, and the counts of its flags. Pure.

    Args:
        day: rows with the columns `at` (ms since 1970) and `value` (NaN for null); its measures contain those listed.
        measures: as for `conditions_of`.
        stations: likewise.
        timeliness: likewise.
        now: likewise.
        most: rows to judge at once; the result does not depend on it.
    """
    known, tally = Known.of(day.measures, measures, stations, timeliness), Tally(day.measures)
    found = [CONDITIONS.schema.empty_table()]
    for block in day.each(most):
        here = known.some(block.first, block.last)
        time, value = block.columns["at"], block.columns["value"]
        tests = quality.flag(block.measure, time, value, here.gauges)
        worst = quality.worst(list(tests))
        tally.add(block, worst, tests)
        found.append(here.conditions(block.measure, time, value, worst, now))
    return pa.concat_tables(found), tally


def _piece(rows: pa.Table) -> Piece:
    value = np.asarray(rows["value"].to_numpy(), np.float64)
    return Piece.of(rows["measure_id"], {"at": milliseconds(rows["date_time"]), "value": value})
