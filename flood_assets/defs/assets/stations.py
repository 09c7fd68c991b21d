"""The gauges: snapshots of stations and of the measures that they report.

The API keeps no history of either: the snapshot taken now is stored for each window that was asked for. Readings
are in `readings.py`.
"""

from collections import Counter
from contextlib import closing
from datetime import datetime

import dagster as dg
import pyarrow as pa

from flood_assets.defs.assets.common import asked_windows, from_the_api, retained_of
from flood_assets.defs.charts import map_of_stations
from flood_assets.defs.failures import explained
from flood_assets.defs.resources import Clock, LakeResource, Source
from flood_assets.errors import SourceError
from flood_assets.lake.lake import Lake
from flood_assets.partitions import partition_key
from flood_assets.schemas import MEASURES, STATIONS, Table

# A country does not lose a tenth of its gauges in a day.
STAYS = 0.9


@from_the_api(STATIONS)
def stations(context: dg.AssetExecutionContext, source: Source, lake: LakeResource, clock: Clock) -> pa.Table:
    """Every station that the API lists: where it is, on which river, what is usual there.

    One row a station, keyed by `station_id`; `station_reference` is not unique. About 5,500 rows from one request.
    """
    with explained(), closing(source.open(clock)) as api:
        windows, now, store = asked_windows(context), clock.now(), lake.open()
        retained_of(windows, now)
        store.claim(source.base_url)
        table = api.stations()
        _require_no_shorter(STATIONS, table, store, now)
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
        now, store = clock.now(), lake.open()
        retained_of(asked_windows(context), now)
        store.claim(source.base_url)
        table = api.measures()
        _require_no_shorter(MEASURES, table, store, now)
    parameters = Counter(table["parameter"].to_pylist())
    context.add_asset_metadata({f"measures_of_{name}": count for name, count in parameters.most_common()})
    return table


def _require_no_shorter(kind: Table, rows: pa.Table, store: Lake, now: datetime) -> None:
    """Refuse a list that is much shorter than the one before it: no end of a JSON list tells that it is not limited.

    Refused in vain, it is believed when the one before it has expired.
    """
    before = store.newest_snapshot(kind, now)
    if before is not None and len(rows) < STAYS * len(before):
        raise SourceError(
            f"the list of {kind.name} has {len(rows)} rows, the one before it {len(before)}: it was cut short or "
            "limited, and the one before it stays. A later run asks again; if the gauges are really gone, it is "
            "believed a day after the last long one"
        )
