"""Snapshots of stations and of the measures that they report.

The API keeps no history of either: the list as it is now is stored in each window that was asked for. Readings are in
`readings.py`.
"""

from collections import Counter
from contextlib import closing

import dagster as dg
import pyarrow as pa

from flood_assets.defs.assets.tables import ingested
from flood_assets.defs.failures import explained
from flood_assets.defs.maps import map_of_stations
from flood_assets.defs.resources import Clock, LakeResource, Source
from flood_assets.defs.windows import asked_windows, retained_of
from flood_assets.partitions import partition_key
from flood_assets.schemas import MEASURES, STATIONS, Table
from flood_assets.tick.lists import list_gauges
from flood_assets.tick.outputs import Snapshot
from flood_assets.words import counted


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
        found = list_gauges(api, store, table, windows, now)
    warn_of(context, found.rejects)
    context.add_asset_metadata({"rejected": len(found.rejects)}, partition_key=partition_key(windows[-1]))
    return found


def warn_of(context: dg.AssetExecutionContext, rejects: pa.Table) -> None:
    """Log what of a list could not be understood, if anything."""
    if len(rejects):
        line, reason = (rejects[name][0].as_py() for name in ("line", "reason"))
        number = counted(len(rejects), "cell or item", "cells or items")
        told = f"{number} could not be understood, the first: '{line[:120]}': {reason}"
        context.log.warning("%s. See the table `rejects`", told)
