"""Write CloudWatch's embedded metric format: a line of JSON in a log becomes metrics, without a call to AWS. Pure.

CloudWatch's first ten metrics cost nothing, and these are ten. They have one dimension, `environment`.
"""

import json
from collections.abc import Mapping
from datetime import datetime

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
