"""Housekeeping: delete Dagster's own records of this project's old runs; those of other code locations stay.

Dagster prunes ticks by itself (`retention` in dagster.yaml) but neither runs nor events: a run over 25 windows leaves
over a megabyte in SQLite, over 100 MB a day. The lake's own data is cleaned up in `assets/retention.py`.

No VACUUM is needed: SQLite reuses the pages of deleted rows, and its files stop growing.
"""

from datetime import datetime, timedelta

import dagster as dg
from pydantic import Field

from flood_assets.defs import dagster_storage
from flood_assets.defs.own_records import LABEL, RETENTION, SHARDS, is_own_backfill, own_runs
from flood_assets.defs.resources import Clock
from flood_assets.schemas import MEASURES, READINGS, STATIONS
from flood_assets.words import counted

# The assets with a Dagster partition for each window, or for each shard.
PARTITIONED = [*(dg.AssetKey(table.name) for table in (STATIONS, MEASURES, READINGS)), SHARDS, RETENTION]
ENDED_WELL = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED]


class HousekeepingConfig(dg.Config):
    """The ages at which runs are deleted, and the most that are deleted at once."""

    keep_days: float = Field(default=3, description="Successful and cancelled runs are kept for this long.")
    keep_failures_days: float = Field(default=14, description="Failed runs are kept for this long.")
    most: int = Field(default=500, description="The most runs to delete at once, the oldest first, failures last.")


@dg.op
def prune_runs(context: dg.OpExecutionContext, config: HousekeepingConfig, clock: Clock) -> None:
    """Delete old finished runs, the oldest first."""
    deleted = prune(context.instance, clock.now(), config, context.run.tags.get(LABEL))
    context.log.info("deleted %s, with events and logs", counted(deleted, "run"))
    context.add_output_metadata({"runs_deleted": deleted})


@dg.job(description="Delete Dagster's records of this project's old runs: runs, events, compute logs and backfills.")
def housekeeping_job() -> None:
    """Run `prune_runs`."""
    prune_runs()


def prune(instance: dg.DagsterInstance, now: datetime, config: HousekeepingConfig, label: str | None = None) -> int:
    """Delete this code location's old finished runs, their ages counted from `now`, and return how many.

    `label` is the one with which Dagster tags the runs of this code location; see `own_records`.
    """
    ended_before = now - timedelta(days=config.keep_days)
    failed_before = now - timedelta(days=config.keep_failures_days)
    # Two searches and not one: after a long outage, failures that are still kept would fill the limit of one.
    old = own_runs(instance, ENDED_WELL, ended_before, label, config.most)
    old += own_runs(instance, [dg.DagsterRunStatus.FAILURE], failed_before, label, config.most - len(old))
    dagster_storage.delete_runs(instance, old)
    dagster_storage.delete_backfills(
        instance,
        succeeded_before=ended_before,
        failed_before=failed_before,
        of=lambda backfill: is_own_backfill(backfill, label),
    )
    if old:
        # The cached status of partitions does not notice that events were deleted (dagster#18369).
        instance.wipe_asset_cached_status(PARTITIONED)
    return len(old)
