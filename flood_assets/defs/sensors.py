"""The sensors: one keeps the last 24 hours and moves Dagster's partitions on, one has pushed batches ingested."""

import dagster as dg

from flood_assets.defs.jobs import landing_job, retention_job
from flood_assets.defs.resources import Clock, LakeResource
from flood_assets.defs.windows import sync_windows
from flood_assets.errors import FloodAssetsError
from flood_assets.landing import batches
from flood_assets.partitions import partition_key
from flood_assets.words import counted

_UNFINISHED = [dg.DagsterRunStatus[name] for name in ("QUEUED", "NOT_STARTED", "STARTING", "STARTED")]


@dg.sensor(
    job=retention_job,
    # Readings expire every 15 minutes. Readers cut at 24 hours by themselves, so nobody sees expired rows meanwhile.
    minimum_interval_seconds=15 * 60,
    description="Keep the last 24 hours as partitions, and request a cleanup when the lake holds anything older.",
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def retention_sensor(
    context: dg.SensorEvaluationContext, lake: LakeResource, clock: Clock
) -> dg.RunRequest | dg.SkipReason:
    """Request a cleanup when a window has expired or the one that contains the cutoff holds expired rows.

    Without a cursor and without a run key, for which Dagster would never launch twice: a cleanup that failed is
    requested again.
    """
    now = clock.now()
    # Before the first run of all, so that the Materialize dialog has windows to choose as soon as the daemon runs.
    sync_windows(context.instance, now)
    try:
        expired = lake.open().expired(now)
    except FloodAssetsError as error:
        # Raised, the tick would fail with a traceback; the next tick tries again in any case.
        return dg.SkipReason(f"the lake could not be read: {error}")
    if not expired:
        return dg.SkipReason("nothing in the lake is older than 24 hours")
    if running := _running(context.instance, retention_job.name):
        return dg.SkipReason(f"cleanup {running} has not finished")
    oldest = min(found.window for found in expired)
    return dg.RunRequest(
        tags={"flood_assets/reason": f"windows to clean up: {len(expired)}, the oldest {partition_key(oldest)}"}
    )


@dg.sensor(
    job=landing_job,
    # A publisher sees its readings within seconds; each look is one listing of `landing/`.
    minimum_interval_seconds=10,
    description="Have pushed batches ingested as soon as they have landed.",
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def landing_sensor(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.RunRequest | dg.SkipReason:
    """Request an ingestion while batches wait and none runs; a run that failed is requested again."""
    try:
        waiting = batches.waiting(lake.open().store)
    except FloodAssetsError as error:
        return dg.SkipReason(f"the lake could not be read: {error}")
    if not waiting:
        return dg.SkipReason("no batch waits")
    if running := _running(context.instance, landing_job.name):
        return dg.SkipReason(f"ingestion {running} has not finished")
    return dg.RunRequest(tags={"flood_assets/reason": f"{counted(len(waiting), 'batch', 'batches')} to ingest"})


def _running(instance: dg.DagsterInstance, job: str) -> str | None:
    """Return the id of an unfinished run of a job; None without one."""
    records = instance.get_run_records(dg.RunsFilter(job_name=job, statuses=_UNFINISHED), limit=1)
    return records[0].dagster_run.run_id if records else None
