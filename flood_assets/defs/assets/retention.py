"""The cleanup: rows older than 24 hours leave the lake, and Dagster's partitions follow.

The lake decides by the times of the rows what has expired (`flood_assets.lake`); `flood_assets.defs.sensors` decides
when to clean up.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import dagster as dg
from pydantic import Field

from flood_assets import schemas
from flood_assets.defs.assets.tables import GROUP, OWNERS
from flood_assets.defs.charts import table
from flood_assets.defs.failures import explained
from flood_assets.defs.resources import Clock, LakeResource
from flood_assets.defs.windows import sync_windows
from flood_assets.lake.archive import Archive
from flood_assets.lake.objects import Versions
from flood_assets.lake.retention import Expiry
from flood_assets.landing import batches
from flood_assets.partitions import cutoff, partition_key
from flood_assets.words import counted

NOTHING_KEPT = "no_old_versions"
ARCHIVED = "expired_readings_archived"


class RetentionConfig(dg.Config):
    """The way in which the lake is cleaned up."""

    dry_run: bool = Field(default=False, description="Report what would be deleted and trimmed, and change nothing.")


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"python"},
    code_version="1",
    deps=list(schemas.TABLES),
    check_specs=[
        dg.AssetCheckSpec(
            NOTHING_KEPT, asset="retention", description="The bucket keeps no old versions of what has expired."
        ),
        dg.AssetCheckSpec(
            ARCHIVED,
            asset="retention",
            description="No expired reading waits in the lake for the archive of FLOOD_ARCHIVE.",
        ),
    ],
    retry_policy=dg.RetryPolicy(max_retries=2, delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS),
)
def retention(
    context: dg.AssetExecutionContext, config: RetentionConfig, lake: LakeResource, clock: Clock
) -> Iterator[dg.MaterializeResult[None]]:
    """Delete expired windows of every table and trim the one that contains the cutoff.

    Receipts of pushed batches go a day after they were written. Nothing inside the last 24 hours is ever touched.
    Expired windows leave Dagster's partitions too. With FLOOD_ARCHIVE, readings are stored in the archive first; while
    that fails they stay, and the check `expired_readings_archived` says why.
    """
    now = clock.now()
    with explained():
        opened = lake.open()
        archive = lake.archive(opened)
        expiries = opened.expire(now, dry_run=config.dry_run, archive=archive)
        receipts = batches.expire(opened.store, now, dry_run=config.dry_run)
    if not config.dry_run:
        sync_windows(context.instance, now)
    mode = " to clean up; nothing was changed" if config.dry_run else " cleaned up"
    waiting = [each for each in expiries if each.action == "waits"]
    context.log.info("%s%s", counted(len(expiries) - len(waiting), "window"), mode)
    kept = {} if archive is None else {"archive": archive.url, "rows_archived": sum(e.archived for e in expiries)}
    yield dg.MaterializeResult(
        metadata=summary(expiries, now, dry_run=config.dry_run) | kept | {"receipts_deleted": receipts},
        check_results=[judge(opened.store.versions()), judge_archived(waiting, archive)],
    )


def judge(versions: Versions) -> dg.AssetCheckResult:
    """Return a warning if the bucket keeps what has expired; what is not known is told and passes."""
    return dg.AssetCheckResult(
        check_name=NOTHING_KEPT,
        passed=versions.kept is not True,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"found": versions.found} | ({"remedy": versions.remedy} if versions.remedy else {}),
    )


def judge_archived(waiting: Sequence[Expiry], archive: Archive | None) -> dg.AssetCheckResult:
    """Return an error if readings wait for the archive."""
    told: dict[str, Any] = {"archive": archive.url if archive else "FLOOD_ARCHIVE is not set: nothing is kept"}
    if waiting:
        told |= {"waiting": _span(each.window for each in waiting), "reason": waiting[0].why}
    return dg.AssetCheckResult(check_name=ARCHIVED, passed=not waiting, metadata=told)


def summary(expiries: Sequence[Expiry], now: datetime, *, dry_run: bool) -> dict[str, Any]:
    """Return metadata that summarises a cleanup."""
    by_table: dict[tuple[str, str], list[Expiry]] = defaultdict(list)
    for expiry in expiries:
        by_table[expiry.table, expiry.action].append(expiry)
    details = [(*key, _span(e.window for e in found), *_totals(found)) for key, found in sorted(by_table.items())]
    rows, freed = _totals(expiries)
    return {
        "cutoff": dg.MetadataValue.timestamp(cutoff(now)),
        "dry_run": dry_run,
        "windows_deleted": sum(e.action == "deleted" for e in expiries),
        "windows_trimmed": sum(e.action == "trimmed" for e in expiries),
        "rows": rows,
        "bytes_freed": freed,
        "details": table(["table", "action", "windows", "rows", "bytes freed"], details),
    }


def _totals(expiries: Sequence[Expiry]) -> tuple[int, int]:
    """Return rows and bytes freed, as far as known: the rows of a damaged window are not."""
    return sum(e.rows or 0 for e in expiries), sum(e.bytes_freed or 0 for e in expiries)


def _span(windows: Iterable[datetime]) -> str:
    keys = [partition_key(window) for window in sorted(set(windows))]
    return keys[0] if len(keys) == 1 else f"{len(keys)}: {keys[0]} to {keys[-1]}"
