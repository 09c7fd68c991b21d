"""The cleanup: what is older than 24 hours leaves the lake, and Dagster is told that it did.

What has expired is decided by the lake from the times of the rows (`flood_assets.lake`); when to clean up, by
`flood_assets.defs.sensors`.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import dagster as dg
from pydantic import Field

from flood_assets import schemas
from flood_assets.defs.assets.common import GROUP, OWNERS
from flood_assets.defs.charts import table
from flood_assets.defs.failures import explained
from flood_assets.defs.resources import Clock, LakeResource
from flood_assets.lake.retention import Expiry
from flood_assets.partitions import cutoff, is_expired, partition_key, window_of_key

# Those with a Dagster partition for each window; the lake's other tables expire likewise.
ASSETS = (schemas.STATIONS, schemas.MEASURES, schemas.READINGS)


class RetentionConfig(dg.Config):
    """How to clean up."""

    dry_run: bool = Field(default=False, description="Only tell what would be deleted and trimmed.")


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"python"},
    code_version="1",
    retry_policy=dg.RetryPolicy(max_retries=2, delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS),
)
def retention(
    context: dg.AssetExecutionContext, config: RetentionConfig, lake: LakeResource, clock: Clock
) -> dg.MaterializeResult[None]:
    """Deletes windows that have expired and trims the one that the cutoff crosses, in every table of the lake.

    Nothing inside the last 24 hours is ever touched. Each expired window that Dagster still shows as holding rows
    is recorded as empty.
    """
    now = clock.now()
    with explained():
        expiries = lake.open().expire(now, dry_run=config.dry_run)
    if not config.dry_run:
        _record_empty(context, now)
    context.log.info("%d windows, dry run: %s", len(expiries), config.dry_run)
    return dg.MaterializeResult(metadata=summary(expiries, now, dry_run=config.dry_run))


def summary(expiries: Sequence[Expiry], now: datetime, *, dry_run: bool) -> dict[str, Any]:
    """What a cleanup did, or would do, as metadata."""
    by_table: dict[tuple[str, str], list[Expiry]] = defaultdict(list)
    for expiry in expiries:
        by_table[expiry.table, expiry.action].append(expiry)
    return {
        "cutoff": dg.MetadataValue.timestamp(cutoff(now)),
        "dry_run": dry_run,
        "windows_deleted": sum(e.action == "deleted" for e in expiries),
        "windows_trimmed": sum(e.action == "trimmed" for e in expiries),
        "rows": _total(e.rows for e in expiries),
        "bytes_freed": _total(e.bytes_freed for e in expiries),
        "details": table(
            ["table", "what", "windows", "rows", "bytes freed"],
            [
                (
                    name,
                    action,
                    _span(e.window for e in found),
                    _total(e.rows for e in found),
                    _total(e.bytes_freed for e in found),
                )
                for (name, action), found in sorted(by_table.items())
            ],
        ),
    }


def _record_empty(context: dg.AssetExecutionContext, now: datetime) -> None:
    """Record each expired window that Dagster believes to hold rows as a materialization of none.

    Not only those that were deleted just now: a cleanup that was killed between deleting and recording is caught up
    with, and so is a lifecycle rule of the bucket, or housekeeping that pruned this record and kept an older one of a
    run that failed. Open-source Dagster cannot wipe single partitions ("Partitioned asset wipe is not supported yet
    for this event log storage").
    """
    for asset in ASSETS:
        asset_key = dg.AssetKey(asset.name)
        newest = context.instance.get_latest_storage_id_by_partition(
            asset_key, dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        expired = [event for key, event in newest.items() if is_expired(window_of_key(key), now)]
        if not expired:
            continue
        records = context.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=asset_key, storage_ids=expired), limit=len(expired), ascending=True
        ).records
        for record in records:
            if record.asset_materialization and "expired" not in record.asset_materialization.metadata:
                context.log_event(
                    dg.AssetMaterialization(
                        asset_key=asset_key,
                        partition=record.partition_key,
                        description="Expired: older than 24 hours, holds nothing.",
                        metadata={"dagster/partition_row_count": 0, "expired": True},
                    )
                )


def _total(numbers: Iterable[int | None]) -> int:
    """The sum of what is known: a damaged window's rows are not."""
    return sum(number for number in numbers if number is not None)


def _span(windows: Iterable[datetime]) -> str:
    ordered = sorted(set(windows))
    keys = [partition_key(window) for window in ordered]
    return keys[0] if len(keys) == 1 else f"{len(keys)}: {keys[0]} to {keys[-1]}"
