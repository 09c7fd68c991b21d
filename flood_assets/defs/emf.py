"""Print a line of CloudWatch's embedded metric format for each run that ended, if FLOOD_EMF names the environment.

Under Dagster two sensors do it, in the log of the code server: only there is it known that a run ended whose process
was killed. In the terminal `flood_assets.cli.run` prints one for its command.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from flood_assets import emf
from flood_assets.defs.jobs import reconcile_job, refresh_job

# Metadata of assets, and the metrics that sum them.
_OF = {
    "readings": {"added": "RowsNew", "revised": "RowsRevised"},
    "completeness": {"silent": "MissingSilent", "not_due": "MissingNotDue", "not_fetched": "MissingNotFetched"},
}
_SINK, _NEWEST = "lag_s: ", "newest"
_SHOWN = {dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.STEP_FAILURE}


def measured(events: Iterable[dg.DagsterEvent], now: datetime) -> tuple[dict[str, float], list[str]]:
    """Return what the events of a run say, by the names of `emf.UNITS`, and the steps that failed."""
    found, newest = dict[str, float](), list[float]()
    steps, refreshed = list[str](), False
    for event in events:
        if event.is_step_failure:
            steps.append(str(event.step_key))
        if not event.is_step_materialization:
            continue
        recorded = event.step_materialization_data.materialization
        asset = recorded.asset_key.to_user_string()
        refreshed = refreshed or asset == "readings"
        values: dict[str, Any] = {name: value.value for name, value in recorded.metadata.items()}
        for name, metric in _OF.get(asset, {}).items():
            if name in values:
                found[metric] = found.get(metric, 0.0) + values[name]
        if asset == "readings" and _NEWEST in values:
            newest.append(values[_NEWEST])
        if asset == "published" and (lags := [value for name, value in values.items() if name.startswith(_SINK)]):
            found["SinkLag"] = max(lags)
    if newest:
        found["NewestReadingAge"] = max(0.0, now.timestamp() - max(newest))
    if refreshed or "readings" in steps:
        found["RefreshSucceeded"] = float("readings" not in steps)
    return {**found, "Failures": float(len(steps))}, steps


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
    def told(context: dg.RunStatusSensorContext) -> None:
        run_id, instance = context.dagster_run.run_id, context.instance
        record = instance.get_run_record_by_id(run_id)
        began, ended = (0.0, 0.0) if record is None else (record.start_time or 0.0, record.end_time or 0.0)
        events = [entry.dagster_event for entry in instance.all_logs(run_id, of_type=_SHOWN) if entry.dagster_event]
        values, steps = measured(events, datetime.fromtimestamp(ended, UTC))
        values["Duration"] = round(ended - began, 3) if began else 0.0
        if status is dg.DagsterRunStatus.FAILURE:
            values["Failures"] = max(1.0, values["Failures"])
        at = datetime.fromtimestamp(ended, UTC)
        line = emf.line(values, environment, at, job=context.dagster_run.job_name, run=run_id, failed=", ".join(steps))
        print(line, flush=True)

    return told
