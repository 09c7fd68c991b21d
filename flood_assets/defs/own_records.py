"""Tell the runs and backfills of this code location from those of others that share the Dagster instance.

A run that Dagster's webserver or daemon launches carries the label of its code location. One that starts in a terminal
or a notebook carries none: it is ours if it materializes our assets, or is a job of ours without assets.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import dagster as dg

from flood_assets.defs.assets.alerts import alerts
from flood_assets.defs.assets.landed import landed
from flood_assets.defs.assets.published import published
from flood_assets.defs.assets.retention import retention
from flood_assets.defs.jobs import landing_job, reconcile_job, refresh_job, retention_job
from flood_assets.schemas import TABLES

if TYPE_CHECKING:
    from dagster._core.execution.backfill import PartitionBackfill

# Dagster's name for a tag with the label, and for the jobs of `dagster asset materialize` and `dagster.materialize`.
LABEL = ".dagster/repository"
_OF_ASSETS = ("__ASSET_JOB", "__ephemeral_asset_job__")

# Where there is a network, its shards are the partitions of these two.
SHARDS, RETENTION = dg.AssetKey("shards"), retention.key
ASSETS = frozenset(
    {*(dg.AssetKey(name) for name in TABLES), SHARDS, alerts.key, landed.key, published.key, retention.key}
)
_JOBS = (refresh_job.name, reconcile_job.name, retention_job.name, landing_job.name, "housekeeping_job")
_PAGE = 200


def own_runs(
    instance: dg.DagsterInstance,
    statuses: Sequence[dg.DagsterRunStatus],
    before: datetime,
    label: str | None,
    most: int,
) -> list[str]:
    """Return the ids of this code location's runs, the oldest first.

    Args:
        instance: whose runs to search.
        statuses: those that a run may have.
        before: the time before which a run was created.
        label: that of this code location, as Dagster tags its runs; None: only runs without a label are ours.
        most: the most to return.
    """
    found: list[dg.RunRecord] = []
    if label:
        found += islice(_pages(instance, statuses, before, tags={LABEL: label}), most)
    for name in (*_JOBS, *_OF_ASSETS):
        of_job = _pages(instance, statuses, before, job_name=name)
        found += islice((one for one in of_job if _is_own(instance, one.dagster_run)), most)
    found.sort(key=lambda one: one.create_timestamp)
    return [one.dagster_run.run_id for one in found[:most]]


def _pages(
    instance: dg.DagsterInstance, statuses: Sequence[dg.DagsterRunStatus], before: datetime, **more: Any
) -> Iterator[dg.RunRecord]:
    wanted, cursor = dg.RunsFilter(statuses=statuses, created_before=before, **more), None
    while page := instance.get_run_records(wanted, limit=_PAGE, ascending=True, cursor=cursor):
        yield from page
        cursor = page[-1].dagster_run.run_id


def _is_own(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Return True for a run without a label that materializes assets of ours and no others."""
    if LABEL in run.tags:
        return False
    assets = set(run.asset_selection or _planned(instance, run))
    return assets <= ASSETS if assets else run.job_name in _JOBS


def _planned(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Iterator[dg.AssetKey]:
    planned = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    for record in instance.get_records_for_run(run.run_id, of_type=planned).records:
        if record.asset_key:
            yield record.asset_key


def is_own_backfill(backfill: "PartitionBackfill", label: str | None) -> bool:
    """Return True if a backfill is over assets of ours only, or over a job of this code location."""
    if backfill.asset_selection:
        return set(backfill.asset_selection) <= ASSETS
    origin = backfill.partition_set_origin
    return origin is not None and origin.repository_origin.get_label() == label
