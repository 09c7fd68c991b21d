"""Snapshots of stations and of the measures that they report.

The API keeps no history of either: the list as it is now is stored in each window that was asked for. Readings are in
`readings.py`.
"""

from collections import Counter
from contextlib import closing
from datetime import datetime

import dagster as dg
import pyarrow as pa

from flood_assets.defs.assets.tables import ingested
from flood_assets.defs.failures import explained
from flood_assets.defs.maps import map_of_stations
from flood_assets.defs.outputs import Snapshot
from flood_assets.defs.resources import Clock, LakeResource, Source
from flood_assets.defs.windows import asked_windows, retained_of
from flood_assets.errors import SourceError
from flood_assets.lake.lake import Lake
from flood_assets.lake.listed import may_be_pushed, of_api
from flood_assets.partitions import partition_key
from flood_assets.schemas import MEASURES, STATIONS, Table
from flood_assets.words import counted

# A country does not lose a tenth of its gauges, or of its flood areas, in a day.
SHRINKS_TO = 0.9


@ingested(STATIONS)
def stations(context: dg.AssetExecutionContext, source: Source, lake: LakeResource, clock: Clock) -> Snapshot:
    """List every station that the API knows, with its place, its river and its typical range.

    One row per station, keyed by `station_id`; `station_reference` is not unique. About 5,500 rows from one request.
    """
    snapshot = _fetch(context, STATIONS, source, lake, clock)
    placed = snapshot.rows.filter(snapshot.rows["lat"].is_valid())
    # Only at the newest window: the others hold the same list, and each chart stays in Dagster's database.
    chart = {"map": map_of_stations(placed), "with_coordinates": len(placed)}
    context.add_asset_metadata(chart, partition_key=partition_key(snapshot.windows[-1]))
    return snapshot


@ingested(MEASURES)
def measures(context: dg.AssetExecutionContext, source: Source, lake: LakeResource, clock: Clock) -> Snapshot:
    """List every measure that the API knows, with its station, quantity, unit and period.

    One row per measure, keyed by `measure_id`. About 7,000 rows from one request.
    """
    snapshot = _fetch(context, MEASURES, source, lake, clock)
    parameters = Counter(snapshot.rows["parameter"].to_pylist())
    context.add_asset_metadata({f"measures_of_{name}": count for name, count in parameters.most_common()})
    return snapshot


def _fetch(
    context: dg.AssetExecutionContext, table: Table, source: Source, lake: LakeResource, clock: Clock
) -> Snapshot:
    """Fetch a list for the windows of the run."""
    with explained(), closing(source.open(clock)) as api:
        windows, now, store = asked_windows(context), clock.now(), lake.open()
        retained_of(windows, now)
        store.claim(source.base_url)
        found = api.stations() if table is STATIONS else api.measures()
        require_no_shorter(table, found.rows, store, now)
    warn_of(context, found.rejects)
    context.add_asset_metadata({"rejected": len(found.rejects)}, partition_key=partition_key(windows[-1]))
    return Snapshot(table, found.rows, windows, now, found.rejects)


def warn_of(context: dg.AssetExecutionContext, rejects: pa.Table) -> None:
    """Log what of a list could not be understood, if anything."""
    if len(rejects):
        line, reason = (rejects[name][0].as_py() for name in ("line", "reason"))
        number = counted(len(rejects), "cell or item", "cells or items")
        told = f"{number} could not be understood, the first: '{line[:120]}': {reason}"
        context.log.warning("%s. See the table `rejects`", told)


def require_no_shorter(table: Table, rows: pa.Table, lake: Lake, now: datetime) -> None:
    """Refuse a list that is much shorter than the previous snapshot: the API does not mark a list that it cut short.

    A wrongly refused list is accepted once the previous snapshot expires.
    """
    before = lake.newest_snapshot(table, now)
    if before is not None and may_be_pushed(table):
        before = of_api(before)
    if before is not None and len(rows) < SHRINKS_TO * len(before):
        raise SourceError(
            f"the API lists {len(rows)} {table.name}, the previous snapshot has {len(before)}: the list was cut short, "
            "and the previous snapshot stays. A later run asks again; if the others are really gone, the shorter list "
            "is accepted a day after the last long one"
        )
