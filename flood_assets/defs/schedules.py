"""When the API is asked. What a run then does is in `jobs.py` and `assets/`."""

from collections.abc import Sequence

import dagster as dg

from flood_assets.defs.jobs import housekeeping_job, reconcile_job, refresh_job, refresh_requests, whole_day
from flood_assets.defs.resources import Clock
from flood_assets.partitions import partition_key, retained_windows, utc


@dg.schedule(
    job=refresh_job,
    # Data on the API changes at most every 15 minutes; gauges that report on time show three minutes later.
    cron_schedule="*/15 * * * *",
    description="Fill what is missing; the first tick of an hour also takes a snapshot of the gauges.",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def refresh_every_15_minutes(context: dg.ScheduleEvaluationContext) -> Sequence[dg.RunRequest]:
    """A tick: fill what is missing. The first tick of an hour also takes a snapshot of the gauges.

    Whether one is due is judged by what Dagster has recorded of this hour's window, so that a missed tick is made up
    for. Not by what it recorded last: a cleanup records of older windows that they hold nothing.
    """
    now = utc(context.scheduled_execution_time)
    stations, measures = (
        context.instance.get_materialized_partitions(dg.AssetKey(asset)) for asset in ("stations", "measures")
    )
    known = [window for window in retained_windows(now) if partition_key(window) in stations & measures]
    return refresh_requests(now, known)


@dg.schedule(
    job=reconcile_job,
    # Between two ticks, so that neither waits for the other.
    cron_schedule="7 1,7,13,19 * * *",
    description="Read the last 24 hours whole, for corrections and readings that came out of order.",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def reconcile_every_6_hours(context: dg.ScheduleEvaluationContext, clock: Clock) -> dg.RunRequest:
    """Read the whole day again: corrections and readings that came out of order are not to be seen otherwise.

    The day is that of the clock and not of the tick: a daemon that was away makes up for the newest tick that it
    missed, up to six hours late, and part of that tick's day cannot be had any more.
    """
    due = utc(context.scheduled_execution_time)
    return dg.RunRequest(run_key=f"reconcile {due.isoformat()}", tags=whole_day(clock.now()))


@dg.schedule(
    job=housekeeping_job,
    cron_schedule="41 * * * *",
    description="Prune Dagster's own records of runs.",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def housekeeping_every_hour(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Prune Dagster's own records a little every hour, so that no single cleanup is long."""
    return dg.RunRequest(run_key=f"housekeeping {utc(context.scheduled_execution_time).isoformat()}")
