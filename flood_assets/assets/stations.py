"""The gauges: snapshots of stations and of the measures that they report.

The API keeps no history of either: the snapshot taken now is stored for each window that was asked for. Readings
are in `readings.py`.
"""

from collections import Counter
from contextlib import closing

import dagster as dg
import pyarrow as pa

from flood_assets.assets.common import asked_windows, from_the_api, retained_of
from flood_assets.assets.pictures import map_of_stations
from flood_assets.explain import explained
from flood_assets.partitions import partition_key
from flood_assets.resources import Clock, LakeResource, Source
from flood_assets.schemas import MEASURES, STATIONS


@from_the_api(STATIONS)
def stations(context: dg.AssetExecutionContext, source: Source, lake: LakeResource, clock: Clock) -> pa.Table:
    """Every station that the API lists: where it is, on which river, what is usual there.

    One row a station, keyed by `station_id`; `station_reference` is not unique. About 5,500 rows from one request.
    """
    with explained(), closing(source.open(clock)) as api:
        windows = asked_windows(context)
        retained_of(windows, clock.now())
        lake.open().claim(source.base_url)
        table = api.stations()
    placed = table.filter(table["lat"].is_valid())
    # Once, at the newest window: the others hold the same, and each picture stays in Dagster's database.
    picture = {"map": map_of_stations(placed), "with_coordinates": len(placed)}
    context.add_asset_metadata(picture, partition_key=partition_key(windows[-1]))
    return table


@from_the_api(MEASURES)
def measures(context: dg.AssetExecutionContext, source: Source, lake: LakeResource, clock: Clock) -> pa.Table:
    """Every measure that the API lists: which quantity at which station, in which unit, how often.

    One row a measure, keyed by `measure_id`. About 7,000 rows from one request.
    """
    with explained(), closing(source.open(clock)) as api:
        retained_of(asked_windows(context), clock.now())
        lake.open().claim(source.base_url)
        table = api.measures()
    parameters = Counter(table["parameter"].to_pylist())
    context.add_asset_metadata({f"measures_of_{name}": count for name, count in parameters.most_common()})
    return table
