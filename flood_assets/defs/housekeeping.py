"""Pruning of Dagster's own records: runs with their events, compute logs, backfills, and what they leave on disk.

Dagster prunes ticks by itself (`retention` in dagster.yaml) but neither runs nor events: a run over 25 windows
leaves over a megabyte in SQLite, over 100 MB a day, and Dagster itself never deletes them. The lake's own data is the
business of `assets/retention.py`.

No VACUUM is needed: SQLite fills the pages of what was deleted again, and its files stop growing.
"""

from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
from pydantic import Field

from flood_assets.defs.assets.retention import ASSETS
from flood_assets.defs.resources import Clock

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
    for run in runs:
        instance.compute_log_manager.delete_logs(prefix=[run])
        instance.event_log_storage.delete_events(run)
    _forget_checks(instance, runs)
    # What leads to all the rest goes last: a run of which this was killed half-way is found again the next time.
    for run in runs:
        instance.run_storage.delete_run(run)
    _remove_shards(instance)
    _forget_backfills(instance, now, config)
    if old:
        # Dagster caches which partitions are materialized and does not notice that the events are gone (#18369).
        instance.wipe_asset_cached_status([dg.AssetKey(asset.name) for asset in ASSETS])
    return len(old)


def _forget_checks(instance: dg.DagsterInstance, run_ids: list[str]) -> None:
    """Remove the results of the runs' checks, which `delete_events` leaves behind and no public API removes.

    The table is the same in SQLite and Postgres; another kind of storage keeps its results.
    """
    # These imports and those of `_forget_backfills` bring SQLAlchemy, Alembic and rich: a third of a second for each
    # process that only wants to know which jobs there are.
    from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable  # noqa: PLC0415
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage  # noqa: PLC0415

    storage = instance.event_log_storage
    if isinstance(storage, SqlEventLogStorage):
        results = AssetCheckExecutionsTable
        with storage.index_transaction() as connection:
            connection.execute(results.delete().where(results.c.run_id.in_(run_ids)))


def _remove_shards(instance: dg.DagsterInstance) -> None:
    """Remove the database files of runs that are no more: SQLite storage makes one for each run and never deletes it.

    Whoever looks at a run after it was deleted makes its file anew: all files are gone through, not only those of the
    runs that were just pruned. Files are listed before runs, because a run is there before its file.
    """
    path_for_shard = getattr(instance.event_log_storage, "path_for_shard", None)
    list_shards = getattr(instance.event_log_storage, "get_all_run_ids", None)
    if path_for_shard is None or list_shards is None:
        return
    for run in set(list_shards()) - set(instance.get_run_ids()):
        for suffix in ("", "-wal", "-shm"):
            Path(path_for_shard(run) + suffix).unlink(missing_ok=True)


def _forget_backfills(instance: dg.DagsterInstance, now: datetime, config: HousekeepingConfig) -> None:
    """Remove backfills that have ended, are as old as runs may be and have no runs left; no public API does.

    The tables are the same in SQLite and Postgres; another kind of storage keeps its backfills.
    """
    from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus  # noqa: PLC0415
    from dagster._core.storage.runs.schema import BackfillTagsTable, BulkActionsTable  # noqa: PLC0415
    from dagster._core.storage.runs.sql_run_storage import SqlRunStorage  # noqa: PLC0415

    storage = instance.run_storage
    if not isinstance(storage, SqlRunStorage):
        return
    # Backfills have statuses of their own, other than their runs'.
    well = [BulkActionStatus.COMPLETED_SUCCESS, BulkActionStatus.COMPLETED, BulkActionStatus.CANCELED]
    badly = [BulkActionStatus.COMPLETED_FAILED, BulkActionStatus.FAILED]
    for statuses, days in ((well, config.keep_days), (badly, config.keep_failures_days)):
        ended = BulkActionsFilter(statuses=statuses, created_before=now - timedelta(days=days))
        gone = [
            backfill.backfill_id
            for backfill in instance.get_backfills(ended)
            if not instance.get_run_ids(dg.RunsFilter.for_backfill(backfill.backfill_id), limit=1)
        ]
        with storage.connect() as connection:
            connection.execute(BackfillTagsTable.delete().where(BackfillTagsTable.c.backfill_id.in_(gone)))
            connection.execute(BulkActionsTable.delete().where(BulkActionsTable.c.key.in_(gone)))
