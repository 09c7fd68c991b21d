"""What is looked at from time to time: whether the lake holds anything past its day."""

import dagster as dg

from flood_assets.defs.jobs import retention_job
from flood_assets.defs.resources import Clock, LakeResource
from flood_assets.errors import FloodAssetsError
from flood_assets.partitions import partition_key

_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


@dg.sensor(
    job=retention_job,
    # Readings expire every 15 minutes. Readers cut at 24 hours by themselves, so nobody sees what is between.
    minimum_interval_seconds=15 * 60,
    description="Ask for a cleanup when the lake holds anything older than 24 hours.",
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def retention_sensor(
    context: dg.SensorEvaluationContext, lake: LakeResource, clock: Clock
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a cleanup when a window has expired or the one that the cutoff crosses holds rows past it.

    It looks at the lake and remembers nothing: a cleanup that failed is asked for again, as long as its reason is
    there. It has no run key for the same reason: Dagster never launches twice for one.
    """
    now = clock.now()
    try:
        expired = lake.open().expired(now)
    except FloodAssetsError as error:
        # Raised, the tick fails and shows the whole traceback; the next tick looks again in any case.
        return dg.SkipReason(f"the lake cannot be looked at: {error}")
    if not expired:
        return dg.SkipReason("nothing in the lake is older than 24 hours")
    running = context.instance.get_runs(dg.RunsFilter(job_name=retention_job.name, statuses=_UNDER_WAY), limit=1)
    if running:
        return dg.SkipReason(f"cleanup {running[0].run_id} is under way")
    oldest = min(found.window for found in expired)
    return dg.RunRequest(
        tags={"flood_assets/reason": f"windows to clean up: {len(expired)}, the oldest {partition_key(oldest)}"}
    )
