"""Print a line of CloudWatch's embedded metric format for each run that ended, if FLOOD_EMF names the environment.

Under Dagster two sensors do it, in the log of the code server: only there is it known that a run ended whose process
was killed. In the terminal `flood_assets.cli.run` prints one for its command.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from flood_assets import emf
from flood_assets.defs.jobs import reconcile_job, refresh_job

_SHOWN = {dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.STEP_FAILURE}


def told(events: Iterable[dg.DagsterEvent]) -> tuple[list[tuple[str, Mapping[str, Any]]], list[str]]:
    """Return what the steps of a run told, as `emf.measured` takes it, and the steps that failed."""
    found, failed = list[tuple[str, Mapping[str, Any]]](), list[str]()
    for event in events:
        if event.is_step_failure:
            failed.append(str(event.step_key))
        if event.is_step_materialization:
            recorded = event.step_materialization_data.materialization
            values = {name: value.value for name, value in recorded.metadata.items()}
            found.append((recorded.asset_key.to_user_string(), values))
    return found, failed


def sensors(environment: str) -> list[dg.RunStatusSensorDefinition]:
    """Return the sensors of an environment: one for runs that succeeded, and one for those that did not."""
    return [_sensor(environment, status) for status in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE)]


def _sensor(environment: str, status: dg.DagsterRunStatus) -> dg.RunStatusSensorDefinition:
    @dg.run_status_sensor(
        status,
        name=f"emf_of_{status.value.lower()}",
        description="Print the metrics of each run for CloudWatch.",
        monitored_jobs=[refresh_job, reconcile_job],
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def tell(context: dg.RunStatusSensorContext) -> None:
        run_id, instance = context.dagster_run.run_id, context.instance
        record = instance.get_run_record_by_id(run_id)
        began, ended = (0.0, 0.0) if record is None else (record.start_time or 0.0, record.end_time or 0.0)
        events = [entry.dagster_event for entry in instance.all_logs(run_id, of_type=_SHOWN) if entry.dagster_event]
        line = emf.of_run(
            *told(events),
            environment,
            datetime.fromtimestamp(ended, UTC),
            seconds=ended - began if began else 0.0,
            ended_well=status is dg.DagsterRunStatus.SUCCESS,
            job=context.dagster_run.job_name,
            run=run_id,
        )
        print(line, flush=True)

    return tell
