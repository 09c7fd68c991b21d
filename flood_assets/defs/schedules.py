"""The times at which jobs run. The jobs and the runs of a tick are in `jobs.py`."""

from collections.abc import Sequence

import dagster as dg

from flood_assets.defs.housekeeping import housekeeping_job
from flood_assets.defs.jobs import last_steps, reconcile_job, refresh_job, refresh_requests, tick, whole_day
from flood_assets.defs.resources import Clock, LakeResource
from flood_assets.defs.windows import sync_windows
from flood_assets.errors import FloodAssetsError, WrongLakeError
from flood_assets.partitions import utc, window_of


@dg.schedule(
    job=refresh_job,
    # Data on the API changes at most every 15 minutes; gauges that report on time show three minutes later.
    cron_schedule="*/15 * * * *",
    description="Fetch the newest readings and the flood warnings; the first tick of an hour also takes a snapshot of "
    "the gauges, and one of a day lists the flood areas.",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def refresh_every_15_minutes(
    context: dg.ScheduleEvaluationContext, lake: LakeResource
) -> Sequence[dg.RunRequest] | dg.SkipReason:
    """Request the runs of a tick; the lake, not Dagster's records, says whether a snapshot is due.

    Nothing is requested for a lake that follows a stream.
    """
    now = utc(context.scheduled_execution_time)
    sync_windows(context.instance, now)
    try:
        opened = lake.open()
        opened.require_api()
        return tick(opened, now)
    except WrongLakeError as error:
        return dg.SkipReason(str(error))
    except FloodAssetsError:
        # The run meets the same fault, reports it and retries; a snapshot waits for the next tick.
        return refresh_requests(now, [window_of(now)], [window_of(now)], **last_steps())


@dg.schedule(
    job=reconcile_job,
    # Between two ticks, so that neither waits for the other.
    cron_schedule="7 1,7,13,19 * * *",
    description="Read the last 24 hours again, to find corrections and readings that arrived out of order.",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def reconcile_every_6_hours(
    context: dg.ScheduleEvaluationContext, lake: LakeResource, clock: Clock
) -> dg.RunRequest | dg.SkipReason:
    """Request a run over the last 24 hours: nothing else finds corrections and readings out of order.

    Nothing is requested for a lake that follows a stream.

    The clock decides the windows, not the tick: a daemon that was down starts the latest missed tick up to six hours
    late, and part of that tick's day has expired by then.
    """
    due = utc(context.scheduled_execution_time)
    now = clock.now()
    sync_windows(context.instance, now)
    try:
        lake.open().require_api()
    except WrongLakeError as error:
        return dg.SkipReason(str(error))
    except FloodAssetsError:
        pass  # the run meets the same fault, and reports it
    return dg.RunRequest(run_key=f"reconcile {due.isoformat()}", tags=whole_day(now))


@dg.schedule(
    job=housekeeping_job,
    cron_schedule="41 * * * *",
    description="Delete Dagster's own records of old runs.",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def housekeeping_every_hour(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Request a little housekeeping every hour, so that none takes long."""
    return dg.RunRequest(run_key=f"housekeeping {utc(context.scheduled_execution_time).isoformat()}")
