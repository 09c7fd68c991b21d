"""The gauges: snapshots of stations and of the measures that they report.

The API keeps no history of either: the snapshot taken now is stored for each window that was asked for. Readings
are in `readings.py`.
"""

from collections import Counter

import dagster as dg
import pyarrow as pa

from flood_assets.assets.common import (
    API_POOL,
    GROUP,
    ONE_RUN,
    OWNERS,
    RETRIES,
    asked_windows,
    definition_metadata,
    require_retained,
)
from flood_assets.assets.pictures import map_of_stations
from flood_assets.explain import explained
from flood_assets.partitions import hourly_windows
from flood_assets.resources import Clock, LakeResource, Source
from flood_assets.schemas import MEASURES, STATIONS


@dg.asset(
    partitions_def=hourly_windows,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"python", "parquet"},
    code_version="1",
    pool=API_POOL,
    retry_policy=RETRIES,
    io_manager_key="lake_io",
    metadata=definition_metadata(STATIONS),
)
def stations(context: dg.AssetExecutionContext, source: Source, lake: LakeResource, clock: Clock) -> pa.Table:
    """Every station that the API lists: where it is, on which river, what is usual there.

    One row a station, keyed by `station_id`; `station_reference` is not unique. About 5,500 rows from one request.
    """
    with explained():
        require_retained(asked_windows(context), clock.now())
        lake.open().claim(source.base_url)
        table = source.open(clock).stations()
    placed = table.filter(table["lat"].is_valid())
    context.add_asset_metadata({"map": map_of_stations(placed), "with_coordinates": len(placed)})
    return table


@dg.asset(
    partitions_def=hourly_windows,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"python", "parquet"},
    code_version="1",
    pool=API_POOL,
    retry_policy=RETRIES,
    io_manager_key="lake_io",
    metadata=definition_metadata(MEASURES),
)
def measures(context: dg.AssetExecutionContext, source: Source, lake: LakeResource, clock: Clock) -> pa.Table:
    """Every measure that the API lists: which quantity at which station, in which unit, how often.

    One row a measure, keyed by `measure_id`. About 7,000 rows from one request.
    """
    with explained():
        require_retained(asked_windows(context), clock.now())
        lake.open().claim(source.base_url)
        table = source.open(clock).measures()
    parameters = Counter(table["parameter"].to_pylist())
    context.add_asset_metadata({f"measures_of_{name}": count for name, count in parameters.most_common()})
    return table


stations = stations.with_attributes(backfill_policy=ONE_RUN)
measures = measures.with_attributes(backfill_policy=ONE_RUN)
