"""Dagster's own storage, where Dagster has no public API: the one module to look at when its version changes.

Open-source Dagster offers no public way to find and delete backfills, to delete check results, to remove the files of
deleted runs, or to add a partition that another process adds at the same moment.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from dagster._core.execution.backfill import PartitionBackfill


def add_partitions(instance: dg.DagsterInstance, name: str, keys: Sequence[str]) -> None:
    """Add keys to dynamic partitions, in this order.

    Dagster looks for the keys and then inserts those that it did not find: of two processes that do so at once (the
    sensor and a schedule, or a command in the terminal) the second meets the database's unique index.
    """
    from sqlalchemy.exc import IntegrityError  # noqa: PLC0415 - as below

    try:
        instance.add_dynamic_partitions(name, keys)
    except IntegrityError:
        instance.add_dynamic_partitions(name, keys)


def backfills_under_way(instance: dg.DagsterInstance, assets: AbstractSet[dg.AssetKey]) -> bool:
    """Return True if a backfill over any of the assets, or over a job, has not finished."""
    from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus  # noqa: PLC0415

    under_way = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
    found = instance.get_backfills(BulkActionsFilter(statuses=under_way))
    return any(not each.asset_selection or not assets.isdisjoint(each.asset_selection) for each in found)


def delete_runs(instance: dg.DagsterInstance, runs: Sequence[str]) -> None:
    """Delete runs with their events, check results and compute logs, and the files of runs that no longer exist.

    `DagsterInstance.delete_run` deletes the run first: of one that was killed half-way nobody would find the events.
    """
    for run in runs:
        instance.compute_log_manager.delete_logs(prefix=[run])
        instance.event_log_storage.delete_events(run)
    _delete_check_results(instance, runs)
    for run in runs:
        instance.run_storage.delete_run(run)
    _remove_shards(instance)


def _delete_check_results(instance: dg.DagsterInstance, runs: Sequence[str]) -> None:
    """Delete the check results that `delete_events` leaves behind.

    The table is the same in SQLite and Postgres; another kind of storage keeps its results.
    """
    # These imports and those of `delete_backfills` bring SQLAlchemy, Alembic and rich: a third of a second for each
    # process that only lists the jobs.
    from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable  # noqa: PLC0415
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage  # noqa: PLC0415

    if isinstance(storage := instance.event_log_storage, SqlEventLogStorage):
        with storage.index_transaction() as connection:
            table = AssetCheckExecutionsTable
            connection.execute(table.delete().where(table.c.run_id.in_(runs)))


def _remove_shards(instance: dg.DagsterInstance) -> None:
    """Remove the SQLite files of runs that no longer exist: Dagster makes one for each run and never deletes it.

    Opening a deleted run makes its file again, so all files are checked, not only those of the runs just deleted.
    Files are listed before runs, because a run exists before its file.
    """
    storage: Any = instance.event_log_storage
    if hasattr(storage, "path_for_shard"):
        for run in set(storage.get_all_run_ids()) - set(instance.get_run_ids()):
            for suffix in ("", "-wal", "-shm"):
                Path(storage.path_for_shard(run) + suffix).unlink(missing_ok=True)


def delete_backfills(
    instance: dg.DagsterInstance,
    *,
    succeeded_before: datetime,
    failed_before: datetime,
    of: Callable[["PartitionBackfill"], bool],
) -> None:
    """Delete finished backfills that were created before these times, have no runs left and are ours (`of`).

    The tables are the same in SQLite and Postgres; another kind of storage keeps its backfills.
    """
    from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus  # noqa: PLC0415
    from dagster._core.storage.runs.schema import BackfillTagsTable, BulkActionsTable  # noqa: PLC0415
    from dagster._core.storage.runs.sql_run_storage import SqlRunStorage  # noqa: PLC0415

    storage = instance.run_storage
    if not isinstance(storage, SqlRunStorage):
        return
    # Backfills have statuses of their own, other than their runs'.
    succeeded = [BulkActionStatus.COMPLETED_SUCCESS, BulkActionStatus.COMPLETED, BulkActionStatus.CANCELED]
    failed = [BulkActionStatus.COMPLETED_FAILED, BulkActionStatus.FAILED]
    for statuses, before in ((succeeded, succeeded_before), (failed, failed_before)):
        found = instance.get_backfills(BulkActionsFilter(statuses=statuses, created_before=before))
        ids = [each.backfill_id for each in found if of(each)]
        gone = [each for each in ids if not instance.get_run_ids(dg.RunsFilter.for_backfill(each), limit=1)]
        with storage.connect() as connection:
            connection.execute(BackfillTagsTable.delete().where(BackfillTagsTable.c.backfill_id.in_(gone)))
            connection.execute(BulkActionsTable.delete().where(BulkActionsTable.c.key.in_(gone)))
