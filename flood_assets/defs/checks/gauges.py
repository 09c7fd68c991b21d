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
    asset="stations", description="No station is there twice, most have coordinates, and all windows can be read."
)
def stations_are_sound(lake: LakeResource, clock: Clock) -> dg.AssetCheckResult:
    """Judge the newest snapshot of stations."""
    with explained():
        table, damaged = _newest_snapshot(lake, STATIONS, clock)
    twice = len(table) - len(pc.unique(table["station_id"]))
    placed = len(table) - table["lat"].null_count
    return dg.AssetCheckResult(
        passed=twice == 0 and placed > len(table) / 2 and not damaged,
        metadata={
            "stations": len(table),
            "rows_too_many": twice,
            "without_coordinates": len(table) - placed,
            "damaged": len(damaged),
        },
    )


@dg.asset_check(
    asset="measures", description="No measure is there twice, each belongs to a station, and all windows can be read."
)
def measures_are_sound(lake: LakeResource, clock: Clock) -> dg.AssetCheckResult:
    """Judge the newest snapshot of measures."""
    with explained():
        table, damaged = _newest_snapshot(lake, MEASURES, clock)
    twice = len(table) - len(pc.unique(table["measure_id"]))
    homeless = table["station_id"].null_count
    return dg.AssetCheckResult(
        passed=len(table) > 0 and twice == 0 and homeless == 0 and not damaged,
        severity=dg.AssetCheckSeverity.ERROR if twice or damaged else dg.AssetCheckSeverity.WARN,
        metadata={
            "measures": len(table),
            "rows_too_many": twice,
            "without_station": homeless,
            "without_period": table["period_s"].null_count,
            "damaged": len(damaged),
        },
    )


def _newest_snapshot(lake: LakeResource, table: Table, clock: Clock) -> tuple[pa.Table, list[datetime]]:
    """The rows of the newest snapshot, and the windows that cannot be read: the next snapshot takes their place."""
    store = lake.open()
    return snapshot(store, table, clock.now()), store.damaged(table)


def snapshot(store: Lake, table: Table, now: datetime) -> pa.Table:
    """The rows of the newest snapshot; none without one."""
    newest = store.newest_snapshot(table, now)
    return newest if newest is not None else table.schema.empty_table()
