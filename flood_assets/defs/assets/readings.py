"""The readings: fetched from the API, to be upserted into the lake; rows that could not be parsed are its rejects.

Fetching and storing are in `flood_assets.ingest`.
"""

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from flood_assets.defs.assets.tables import ingested, stored_with
from flood_assets.defs.charts import freshness, liveliest, table
from flood_assets.defs.checks.gauges import snapshot
from flood_assets.defs.failures import explained
from flood_assets.defs.io_manager import QUARANTINED_AS
from flood_assets.defs.resources import Clock, LakeResource, Source
from flood_assets.defs.windows import asked_windows, retained_of
from flood_assets.ingest import Batch, fetch
from flood_assets.lake.lake import Lake
from flood_assets.partitions import cutoff, partition_key
from flood_assets.schemas import MEASURES, READINGS, REJECTS, STATIONS, TIME
from flood_assets.words import counted


class ReadingsConfig(dg.Config):
    """The way in which readings are fetched."""

    incremental: bool = Field(
        default=False,
        description="Fetch the newest readings first and more only for gauges that skipped some, over all retained "
        "windows (the 15-minute schedule does). Off: read each day that the chosen windows touch.",
    )


# Not inputs: only the newest snapshot is used, whichever window holds it.
@ingested(READINGS, deps=["stations", "measures"])
def readings(
    context: dg.AssetExecutionContext, config: ReadingsConfig, source: Source, lake: LakeResource, clock: Clock
) -> Batch:
    """Fetch the readings of every gauge over the last 24 hours, one row per measure and time.

    Keyed by (`measure_id`, `date_time`). A late reading is stored in the window of its own time; a corrected one keeps
    the old value in `previous_value`. The newest `measures` give each reading its station; `stations` and `measures`
    give the checks their limits.
    """
    with explained(), closing(source.open(clock)) as api:
        windows, now, store = asked_windows(context), clock.now(), lake.open()
        store.claim(source.base_url)
        batch = fetch(api, store, None if config.incremental else retained_of(windows, now), now)
    _describe(context, windows, batch, store)
    return batch


rejects = stored_with(
    "readings",
    REJECTS,
    "Rows of the API that could not be stored as readings, and cells of its lists that could not be stored, "
    "each as the API gave it, with the reason.",
    deps=[],
)


def _describe(context: dg.AssetExecutionContext, windows: Sequence[datetime], batch: Batch, lake: Lake) -> None:
    """Record the fetch at the newest window, and its reason at each window that readings were fetched for.

    Only once, as each chart stays in Dagster's database.
    """
    rows, costs = batch.rows, [answer.cost for answer in batch.answers]
    told: dict[str, dg.MetadataValue | str | int | float] = {
        "reason": batch.reason,
        "requests": sum(cost.requests for cost in costs),
        "downloaded_bytes": sum(cost.bytes for cost in costs),
        "download_seconds": round(sum(cost.seconds_download for cost in costs), 3),
        "parse_seconds": round(sum(cost.seconds_parse for cost in costs), 3),
        "rows_read": len(rows),
        "rejected_rows": len(batch.rejects),
        "unknown_measures": _count_unknown(rows, batch.stations),
        "preview": preview(rows, batch.now),
        "chart": _chart(batch, lake),
    }
    if batch.unanswered:
        told["measures_deferred"] = len(batch.unanswered)
        some = ", ".join(batch.unanswered[:5])
        deferred = counted(len(batch.unanswered), "measure")
        context.log.warning("no answer for %s, deferred to the next run: %s", deferred, some)
    if batch.suspect:
        told["suspect"] = batch.suspect
        context.log.warning(
            "%s. The readings are stored, but no watermark advances: the next run asks again. If this lasts, the API "
            "is in trouble",
            batch.suspect,
        )
    touched = set(pc.unique(pc.floor_temporal(rows["date_time"], unit="hour")).to_pylist())
    for window in windows[:-1]:
        if window in touched:
            context.add_asset_metadata({"reason": batch.reason}, partition_key=partition_key(window))
    context.add_asset_metadata(told, partition_key=partition_key(windows[-1]))
    for window, name in batch.damaged.items():
        context.log.warning("window %s was damaged: it is quarantined as %s", partition_key(window), name)
        if window in windows:
            context.add_asset_metadata({QUARANTINED_AS: name}, partition_key=partition_key(window))
    requests = counted(sum(cost.requests for cost in costs), "request")
    context.log.info("%s from %s: %s", counted(len(rows), "row"), requests, batch.reason)


def preview(rows: pa.Table, now: datetime, most: int = 8) -> dg.MarkdownMetadataValue:
    """Return the newest readings that the run stored as a table: not those that are expired or dated later than now."""
    time = pc.field("date_time")
    rows = rows.filter((time > pa.scalar(cutoff(now), TIME)) & (time <= pa.scalar(now, TIME)))
    # The answers of a tick overlap and may give a reading three times: as in the lake, the last one counts.
    newest = pc.select_k_unstable(rows, k=3 * most, sort_keys=[("date_time", "descending")]).sort()
    names = ("measure_id", "date_time", "value", "raw_value")
    texts = {
        (at, measure): raw if value is None else f"{value:g}"
        for measure, at, value, raw in zip(*(rows[name].take(newest).to_pylist() for name in names), strict=True)
    }
    shown = [
        (measure, f"{at:%Y-%m-%d %H:%M}", texts[at, measure]) for at, measure in sorted(texts, reverse=True)[:most]
    ]
    return table(["measure", "time (UTC)", "value"], shown)


def _chart(batch: Batch, lake: Lake) -> dg.MarkdownMetadataValue:
    """Draw the age of every gauge's newest reading if the run fetched that, else what moved most in whole days."""
    if batch.ages_minutes is not None:
        return freshness(batch.ages_minutes)
    with explained():
        measures, stations = (snapshot(lake, listed, batch.now) for listed in (MEASURES, STATIONS))
    return liveliest(batch.rows, measures, stations, batch.now)


def _count_unknown(rows: pa.Table, measures: pa.Table) -> int:
    known = pc.is_in(pc.unique(rows["measure_id"]).cast(pa.string()), value_set=measures["measure_id"].combine_chunks())
    return len(known) - (pc.sum(known).as_py() or 0)
