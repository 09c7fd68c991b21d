"""Pruning of Dagster's own records: runs with their events, compute logs, and what they leave on disk.

Dagster prunes ticks by itself (`retention` in dagster.yaml) but neither runs nor events: a run over 25 windows
leaves 370 KB in SQLite, 36 MB a day, and Dagster itself never deletes them. The lake's own data is the
business of `assets/retention.py`.
"""

from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from pydantic import Field

from flood_assets.assets.retention import ASSETS
from flood_assets.resources import Clock

ENDED_WELL = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED]


class HousekeepingConfig(dg.Config):
    """What is kept, and how much is done at once."""

    keep_days: float = Field(default=3, description="Runs that ended well or were cancelled are kept for this long.")
    keep_failures_days: float = Field(default=14, description="Runs that failed are kept for this long.")
    most: int = Field(
        default=500, description="At most so many runs are deleted at once, the oldest first, failures last."
    )


@dg.op
def prune_runs(context: dg.OpExecutionContext, config: HousekeepingConfig, clock: Clock) -> None:
    """Delete finished runs that are older than they need to be, the oldest first."""
    now = clock.now()
    deleted = prune(context.instance, now, config)
    context.log.info("deleted %d runs with their events and logs", deleted)
    context.add_output_metadata({"runs_deleted": deleted})


@dg.job(description="Prune Dagster's own records: runs, events and compute logs older than some days.")
def housekeeping_job() -> None:
    """See `prune_runs`."""
    prune_runs()


def prune(instance: dg.DagsterInstance, now: datetime, config: HousekeepingConfig) -> int:
    """Delete old finished runs; how many.

    Args:
        instance: the Dagster instance.
        now: the ages are taken from here.
        config: ages and the most that is deleted.
    """
    # Two questions and not one: after a long outage, failures that are still kept would fill the answer to one.
    old: list[dg.RunRecord] = []
    for statuses, days in ((ENDED_WELL, config.keep_days), ([dg.DagsterRunStatus.FAILURE], config.keep_failures_days)):
        before = dg.RunsFilter(statuses=statuses, created_before=now - timedelta(days=days))
        # Dagster takes a limit of 0 for none.
        if room := config.most - len(old):
            old += instance.get_run_records(before, limit=room, ascending=True)
    runs = [record.dagster_run.run_id for record in old]
    # First, because nothing would lead to them once their runs are gone.
    _forget_checks(instance, runs)
    for run in runs:
        instance.compute_log_manager.delete_logs(prefix=[run])
        instance.delete_run(run)
        _remove_shard(instance, run)
    if old:
        # Dagster caches which partitions are materialized and does not notice that the events are gone (#18369).
        instance.wipe_asset_cached_status([dg.AssetKey(asset.name) for asset in ASSETS])
    return len(old)


def _forget_checks(instance: dg.DagsterInstance, run_ids: list[str]) -> None:
    """Remove the results of the runs' checks, which `delete_run` leaves behind and no public API removes.

    The table is the same in SQLite and Postgres; another kind of storage keeps its results.
    """
    storage = instance.event_log_storage
    if isinstance(storage, SqlEventLogStorage):
        results = AssetCheckExecutionsTable
        with storage.index_transaction() as connection:
            connection.execute(results.delete().where(results.c.run_id.in_(run_ids)))


def _remove_shard(instance: dg.DagsterInstance, run_id: str) -> None:
    """Remove the run's own database file, which SQLite storage makes for each run and `delete_run` leaves behind."""
    path_for_shard = getattr(instance.event_log_storage, "path_for_shard", None)
    if path_for_shard is not None:
        for suffix in ("", "-wal", "-shm"):
            Path(path_for_shard(run_id) + suffix).unlink(missing_ok=True)
