"""The readings: asks the API for what is new or was asked for, and hands it to the lake to be merged.

How that is done is in `flood_assets.ingest`.
"""

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from flood_assets.defs.assets.common import asked_windows, from_the_api, retained_of
from flood_assets.defs.charts import freshness, liveliest, table
from flood_assets.defs.failures import explained
from flood_assets.defs.io_manager import QUARANTINED_AS
from flood_assets.defs.resources import Clock, LakeResource, Source
from flood_assets.ingest import Batch, fetch
from flood_assets.partitions import partition_key
from flood_assets.schemas import READINGS


class ReadingsConfig(dg.Config):
    """How to read."""

    incremental: bool = Field(
        default=False,
        description="Ask for the newest readings first and for more only where a gauge jumped, over the whole retained "
        "day (what the 15-minute schedule does). Off: read each day that the chosen windows touch.",
    )


@from_the_api(
    READINGS,
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
    with explained(), closing(source.open(clock)) as api:
        windows = asked_windows(context)
        now = clock.now()
        store = lake.open()
        store.claim(source.base_url)
        batch = fetch(api, store, None if config.incremental else retained_of(windows, now), now)
    _describe(context, windows, batch)
    for window, moved in batch.damaged.items():
        context.log.warning("%s was damaged: it is kept as %s", partition_key(window), moved)
        if window in windows:
            context.add_asset_metadata({QUARANTINED_AS: moved}, partition_key=partition_key(window))
    return batch


def _describe(context: dg.AssetExecutionContext, windows: Sequence[datetime], fetched: Batch) -> None:
    """Tell the run's story at its newest window, and why it was read at each that something was read for.

    Once, as each picture stays in Dagster's database.
    """
    rows, answers, snapshot = fetched.rows, fetched.answers, fetched.stations
    story: dict[str, dg.MetadataValue | str | int | float] = {
        "why": fetched.reason,
        "requests": sum(answer.requests for answer in answers),
        "downloaded_bytes": sum(answer.bytes for answer in answers),
        "download_seconds": round(sum(answer.seconds_download for answer in answers), 3),
        "parse_seconds": round(sum(answer.seconds_parse for answer in answers), 3),
        "rows_read": len(rows),
        "rejected_rows": len(fetched.rejects),
        "unknown_measures": _count_unknown(rows, snapshot),
        "preview": preview(rows),
        "picture": (
            liveliest(_levels(rows, snapshot)) if fetched.ages_minutes is None else freshness(fetched.ages_minutes)
        ),
    }
    if fetched.unanswered:
        story["measures_left_for_the_next_tick"] = len(fetched.unanswered)
        some = ", ".join(fetched.unanswered[:5])
        context.log.warning("%d measures could not be asked and stay behind: %s", len(fetched.unanswered), some)
    if fetched.suspect:
        story["suspect"] = fetched.suspect
        context.log.warning(
            "%s. What was shown is stored, and no watermark moved by it: the next run asks for the rest. If it "
            "lasts, the API is in trouble",
            fetched.suspect,
        )
    touched = set(pc.unique(pc.floor_temporal(rows["date_time"], unit="hour")).to_pylist())
    for window in windows:
        if window == windows[-1]:
            context.add_asset_metadata(story, partition_key=partition_key(window))
        elif window in touched:
            context.add_asset_metadata({"why": fetched.reason}, partition_key=partition_key(window))
    context.log.info("%d rows from %s requests: %s", len(rows), story["requests"], fetched.reason)


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


def _levels(rows: pa.Table, snapshot: pa.Table) -> pa.Table:
    """The rows of measures that are levels, if any are known to be: a shower would outshine every river."""
    levels = snapshot.filter(pc.equal(snapshot["parameter"], "level"))["measure_id"].combine_chunks()
    wanted = rows.filter(pc.is_in(rows["measure_id"].cast(pa.string()), value_set=levels))
    return wanted if len(wanted) else rows


def _count_unknown(rows: pa.Table, snapshot: pa.Table) -> int:
    known = pc.is_in(pc.unique(rows["measure_id"]).cast(pa.string()), value_set=snapshot["measure_id"].combine_chunks())
    return len(known) - (pc.sum(known).as_py() or 0)
