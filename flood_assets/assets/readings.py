"""The readings: asks the API for what is new or was asked for, and hands it to the lake to be merged.

What to ask for is decided in `flood_assets.ea.plan`; how readings are merged, in `flood_assets.lake`.
"""

from collections.abc import Sequence
from datetime import datetime

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

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
from flood_assets.assets.pictures import freshness, liveliest, table
from flood_assets.ea.refresh import Fetched, catch_up, reread
from flood_assets.explain import explained
from flood_assets.lake.io_manager import Batch
from flood_assets.partitions import hourly_windows, partition_key
from flood_assets.resources import Clock, LakeResource, Source
from flood_assets.schemas import MEASURES, READINGS


class ReadingsConfig(dg.Config):
    """How to read."""

    incremental: bool = Field(
        default=False,
        description="Ask for the newest readings first and for more only where a gauge jumped, over the whole retained "
        "day (what the 15-minute schedule does). Off: read each day that the chosen windows touch.",
    )


@dg.asset(
    partitions_def=hourly_windows,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"python", "parquet"},
    code_version="1",
    pool=API_POOL,
    retry_policy=RETRIES,
    io_manager_key="lake_io",
    metadata=definition_metadata(READINGS),
    # Not an input: only the newest snapshot is wanted, whichever window of the day behind it lies in.
    deps=[
        dg.AssetDep("measures", partition_mapping=dg.TimeWindowPartitionMapping(start_offset=-24)),
    ],
)
def readings(
    context: dg.AssetExecutionContext,
    config: ReadingsConfig,
    source: Source,
    lake: LakeResource,
    clock: Clock,
) -> Batch:
    """The readings of every gauge over the last 24 hours, one row a measure and time.

    Keyed by (`measure_id`, `date_time`). A late reading lands in its own window; a corrected one keeps the old value
    in `previous_value`.
    """
    windows = asked_windows(context)
    with explained():
        now = clock.now()
        store = lake.open()
        store.claim(source.base_url)
        api = source.open(clock)
        snapshot = store.newest_snapshot(MEASURES, now)
        if config.incremental:
            marks = store.marks()
            fetched = catch_up(
                api,
                stored=[stored.window for stored in store.windows(READINGS)],
                marks=marks,
                measures=snapshot,
                now=now,
            )
        else:
            require_retained(windows, now)
            fetched = reread(api, windows, now)
    rows = with_stations(fetched.rows, snapshot)
    _describe(context, windows, rows, fetched)
    return Batch(
        rows=rows,
        rejects=fetched.rejects,
        observed_at=fetched.observed_at,
        covered=fetched.covered,
        marks=fetched.marks,
    )


readings = readings.with_attributes(backfill_policy=ONE_RUN)


def with_stations(rows: pa.Table, measures: pa.Table) -> pa.Table:
    """The rows with `station_id`, null where the snapshot does not know the measure.

    Looked up for the distinct measures only, and dictionary-coded like them.
    """
    rows = rows.unify_dictionaries()
    if not len(rows):
        return rows.append_column("station_id", pa.nulls(0, pa.dictionary(pa.int32(), pa.string())))
    distinct = rows["measure_id"].chunk(0).dictionary
    found = pc.index_in(distinct, measures["measure_id"].combine_chunks())
    stations = measures["station_id"].take(found).combine_chunks().dictionary_encode()
    chunks = [
        pa.DictionaryArray.from_arrays(stations.indices.take(chunk.indices), stations.dictionary)
        for chunk in rows["measure_id"].chunks
    ]
    return rows.append_column("station_id", pa.chunked_array(chunks))


def _describe(
    context: dg.AssetExecutionContext, windows: Sequence[datetime], rows: pa.Table, fetched: Fetched
) -> None:
    """Tell the run's story where it is looked for: at the newest window, and at those that something was read for."""
    answers = fetched.answers
    story: dict[str, dg.MetadataValue | str | int | float] = {
        "why": fetched.reason,
        "requests": sum(answer.requests for answer in answers),
        "downloaded_bytes": sum(answer.bytes for answer in answers),
        "download_seconds": round(sum(answer.seconds_download for answer in answers), 3),
        "parse_seconds": round(sum(answer.seconds_parse for answer in answers), 3),
        "rows_read": len(rows),
        "rejected_rows": len(fetched.rejects),
        "unknown_measures": _count_unknown(rows),
        "preview": preview(rows),
        "picture": liveliest(rows) if fetched.ages_minutes is None else freshness(fetched.ages_minutes),
    }
    if fetched.unanswered:
        story["measures_left_for_the_next_tick"] = len(fetched.unanswered)
        context.log.warning(
            f"{len(fetched.unanswered)} measures could not be asked and stay behind: {', '.join(fetched.unanswered[:5])}"
        )
    touched = set(pc.unique(pc.floor_temporal(rows["date_time"], unit="hour")).to_pylist())
    for window in windows:
        if window in touched or window == windows[-1]:
            context.add_asset_metadata(story, partition_key=partition_key(window))
    context.log.info(f"{len(rows):,} rows from {story['requests']} requests: {fetched.reason}")


def preview(rows: pa.Table, most: int = 8) -> dg.MarkdownMetadataValue:
    """The newest readings of the run, one a gauge, as a table."""
    newest = pc.select_k_unstable(rows, k=most, sort_keys=[("date_time", "descending")])
    shown = rows.take(newest).select(["measure_id", "date_time", "value", "raw_value"]).to_pylist()
    return table(
        ["measure", "time (UTC)", "value"],
        [
            (
                row["measure_id"],
                f"{row['date_time']:%Y-%m-%d %H:%M}",
                row["raw_value"] if row["value"] is None else f"{row['value']:g}",
            )
            for row in shown
        ],
    )


def _count_unknown(rows: pa.Table) -> int:
    unknown = rows.filter(rows["station_id"].is_null())
    return len(pc.unique(unknown["measure_id"]))
