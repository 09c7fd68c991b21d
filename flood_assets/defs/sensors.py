"""The sensor that keeps the last 24 hours: it requests a cleanup of the lake, and moves Dagster's partitions on."""

import dagster as dg

from flood_assets.defs.jobs import retention_job
from flood_assets.defs.resources import Clock, LakeResource
from flood_assets.defs.windows import sync_windows
from flood_assets.errors import FloodAssetsError
from flood_assets.partitions import partition_key

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
    unfinished = dg.RunsFilter(job_name=retention_job.name, statuses=_UNFINISHED)
    if running := context.instance.get_run_records(unfinished, limit=1):
        return dg.SkipReason(f"cleanup {running[0].dagster_run.run_id} has not finished")
    oldest = min(found.window for found in expired)
    return dg.RunRequest(
        tags={"flood_assets/reason": f"windows to clean up: {len(expired)}, the oldest {partition_key(oldest)}"}
    )
