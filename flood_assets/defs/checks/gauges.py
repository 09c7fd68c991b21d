"""The checks of the snapshots of stations and measures."""

from datetime import datetime

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.defs.failures import explained
from flood_assets.defs.resources import Clock, LakeResource
from flood_assets.lake.lake import Lake
from flood_assets.schemas import MEASURES, STATIONS, Table


@dg.asset_check(
    asset="stations", description="No station is listed twice, most have coordinates, and every window is readable."
)
def stations_valid(lake: LakeResource, clock: Clock) -> dg.AssetCheckResult:
    """Check the newest snapshot of stations."""
    rows, duplicates, damaged = _newest(lake, STATIONS, clock)
    placed = len(rows) - rows["lat"].null_count
    return dg.AssetCheckResult(
        passed=duplicates == 0 and placed > len(rows) / 2 and not damaged,
        metadata={
            "stations": len(rows),
            "duplicate_rows": duplicates,
            "without_coordinates": len(rows) - placed,
            "damaged": damaged,
        },
    )


@dg.asset_check(
    asset="measures", description="No measure is listed twice, each has a station, and every window is readable."
)
def measures_valid(lake: LakeResource, clock: Clock) -> dg.AssetCheckResult:
    """Check the newest snapshot of measures."""
    rows, duplicates, damaged = _newest(lake, MEASURES, clock)
    without_station = rows["station_id"].null_count
    return dg.AssetCheckResult(
        passed=len(rows) > 0 and duplicates == 0 and without_station == 0 and not damaged,
        severity=dg.AssetCheckSeverity.ERROR if duplicates or damaged else dg.AssetCheckSeverity.WARN,
        metadata={
            "measures": len(rows),
            "duplicate_rows": duplicates,
            "without_station": without_station,
            "without_period": rows["period_s"].null_count,
            "damaged": damaged,
        },
    )


def _newest(lake: LakeResource, table: Table, clock: Clock) -> tuple[pa.Table, int, int]:
    """Return the newest snapshot, its duplicate rows, and the damaged windows, which the next snapshot replaces."""
    with explained():
        store = lake.open()
        rows = snapshot(store, table, clock.now())
        return rows, len(rows) - len(pc.unique(rows[table.key[0]])), len(store.damaged(table))


def snapshot(lake: Lake, table: Table, now: datetime) -> pa.Table:
    """Return the newest snapshot; an empty table if there is none."""
    newest = lake.newest_snapshot(table, now)
    return newest if newest is not None else table.schema.empty_table()
