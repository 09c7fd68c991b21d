"""Write CloudWatch's embedded metric format: a line of JSON in a log becomes metrics, without a call to AWS. Pure.

CloudWatch's first ten metrics cost nothing, and these are ten. They have one dimension, `environment`. What the steps
of a run told is collected by `flood_assets.defs.emf`, for Dagster and the commands, by `flood_assets.functions`, and by
`flood_assets.shards.metrics`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from flood_assets.partitions import to_ms

NAMESPACE = "FloodAssets"
DIMENSION = "environment"
UNITS = {
    "RefreshSucceeded": "Count",
    "Failures": "Count",
    "Duration": "Seconds",
    "NewestReadingAge": "Seconds",
    "SinkLag": "Seconds",
    "RowsNew": "Count",
    "RowsRevised": "Count",
    "MissingSilent": "Count",
    "MissingNotDue": "Count",
    "MissingNotFetched": "Count",
}

# What steps tell, and the metrics that sum it.
_OF = {
    "readings": {"added": "RowsNew", "revised": "RowsRevised"},
    "completeness": {"silent": "MissingSilent", "not_due": "MissingNotDue", "not_fetched": "MissingNotFetched"},
}
# Of readings: the newest time, in seconds since 1970. Of a publication: begins the name of each sink's lag in seconds.
NEWEST, LAG = "newest", "lag_s: "


def measured(told: Iterable[tuple[str, Mapping[str, Any]]], failed: Sequence[str], at: datetime) -> dict[str, float]:
    """Return the metrics of a run, by the names of `UNITS`; those that it has nothing to say of are not there.

    Args:
        told: steps that stored something, with what they tell; a step comes once, or once for each of its windows.
        failed: the steps that failed.
        at: when the run ended.
    """
    found, newest, lags = dict[str, float](), list[float](), list[float]()
    refreshed = False
    for step, values in told:
        for name, metric in _OF.get(step, {}).items():
            if name in values:
                found[metric] = found.get(metric, 0.0) + values[name]
        if step == "readings":
            refreshed = True
            newest += [values[NEWEST]] if NEWEST in values else []
        if step == "published":
            lags += [value for name, value in values.items() if name.startswith(LAG)]
    if newest:
        found["NewestReadingAge"] = max(0.0, at.timestamp() - max(newest))
    if lags:
        found["SinkLag"] = max(lags)
    if refreshed or "readings" in failed:
        found["RefreshSucceeded"] = float("readings" not in failed)
    return {**found, "Failures": float(len(failed))}


def of_run(
    told: Iterable[tuple[str, Mapping[str, Any]]],
    failed: Sequence[str],
    environment: str,
    at: datetime,
    *,
    seconds: float,
    ended_well: bool,
    **said: str,
) -> str:
    """Return the line of a run that took so many seconds; one that did not end well counts as a failure at least."""
    values = measured(told, failed, at)
    values["Duration"] = round(seconds, 3)
    values["Failures"] = max(values["Failures"], float(not ended_well))
    return line(values, environment, at, **said, failed=", ".join(failed))


def line(values: Mapping[str, float], environment: str, at: datetime, **said: str) -> str:
    """Return the line of a run, without an end of line.

    Args:
        values: metrics by the names of `UNITS`; those that the run has nothing to say of are not there.
        environment: value of the dimension.
        at: when the run ended.
        said: more members, which CloudWatch keeps in the log and makes no metrics of.
    """
    metrics = [{"Name": name, "Unit": unit} for name, unit in UNITS.items() if name in values]
    directive = {"Namespace": NAMESPACE, "Dimensions": [[DIMENSION]], "Metrics": metrics}
    metadata = {"Timestamp": to_ms(at), "CloudWatchMetrics": [directive]}
    return json.dumps({"_aws": metadata, DIMENSION: environment, **said, **values})
