"""The jobs: what can be run as one. When they run is in `schedules.py` and `sensors.py`."""

from datetime import datetime

import dagster as dg

from flood_assets.assets.retention import retention
from flood_assets.housekeeping import housekeeping_job
from flood_assets.partitions import partition_key, retained_windows

__all__ = [
    "housekeeping_job",
    "one_window",
    "reconcile_job",
    "refresh_job",
    "refresh_requests",
    "retention_job",
    "whole_day",
]

# In-process: a run takes seconds, and a process for each step would take longer than the step.
refresh_job = dg.define_asset_job(
    "refresh_job",
    selection=["stations", "measures", "readings"],
    description="Fill what is missing: ask for the newest readings, and for more where a gauge jumped.",
)
reconcile_job = dg.define_asset_job(
    "reconcile_job",
    selection=["readings"],
    description="Read the last 24 hours whole, which finds corrections and readings that came out of order.",
)
retention_job = dg.define_asset_job(
    "retention_job",
    selection=[retention],
    description="Delete and trim what is older than 24 hours.",
)


def whole_day(now: datetime) -> dict[str, str]:
    """The tags that make a run one over all retained windows."""
    windows = retained_windows(now)
    return {
        "dagster/asset_partition_range_start": partition_key(windows[0]),
        "dagster/asset_partition_range_end": partition_key(windows[-1]),
    }


def one_window(window: datetime) -> dict[str, str]:
    """The tags that make a run one over a single window."""
    key = partition_key(window)
    return {"dagster/asset_partition_range_start": key, "dagster/asset_partition_range_end": key}


def refresh_requests(now: datetime, *, snapshot: bool) -> list[dg.RunRequest]:
    """What a tick asks for: the readings of the retained day, and before them the gauges when a snapshot is due."""
    requests = []
    if snapshot:
        window = retained_windows(now)[-1]
        requests.append(
            dg.RunRequest(
                run_key=f"gauges {now.isoformat()}",
                asset_selection=[dg.AssetKey("stations"), dg.AssetKey("measures")],
                partition_key=partition_key(window),
            )
        )
    requests.append(
        dg.RunRequest(
            run_key=f"readings {now.isoformat()}",
            asset_selection=[dg.AssetKey("readings")],
            tags=whole_day(now),
            run_config={"ops": {"readings": {"config": {"incremental": True}}}},
        )
    )
    return requests
