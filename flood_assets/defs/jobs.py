"""The jobs: what can be run as one. When they run is in `schedules.py` and `sensors.py`."""

from collections.abc import Collection, Sequence
from datetime import datetime

import dagster as dg

from flood_assets.defs.assets.retention import retention
from flood_assets.defs.housekeeping import housekeeping_job
from flood_assets.partitions import partition_key, retained_windows

__all__ = [
    "housekeeping_job",
    "reconcile_job",
    "refresh_job",
    "refresh_requests",
    "retention_job",
    "whole_day",
]

# Selected by key and not by text, for which Dagster would load a parser.
# In-process: a run takes seconds, and a process for each step would take longer than the step.
refresh_job = dg.define_asset_job(
    "refresh_job",
    selection=dg.AssetSelection.assets("stations", "measures", "readings", "completeness"),
    description="Fill what is missing: ask for the newest readings, and for more where a gauge jumped. Then count.",
)
reconcile_job = dg.define_asset_job(
    "reconcile_job",
    selection=dg.AssetSelection.assets("readings", "completeness"),
    description="Read the last 24 hours whole, which finds corrections and readings that came out of order.",
)
retention_job = dg.define_asset_job(
    "retention_job",
    selection=[retention],
    description="Delete and trim what is older than 24 hours.",
)


def whole_day(now: datetime) -> dict[str, str]:
    """The tags that make a run one over all retained windows."""
    return _over(retained_windows(now))


def refresh_requests(now: datetime, gauges_known: Collection[datetime]) -> list[dg.RunRequest]:
    """What a tick asks for: the readings of the retained day, and before them the gauges when a snapshot is due.

    Args:
        now: the time of the tick.
        gauges_known: windows that have a snapshot of the gauges. Without any in the retained day, today's snapshot
            stands for all of it: a day whose readings are there and whose gauges are not would puzzle everybody.
    """
    retained = retained_windows(now)
    due = retained if not set(retained) & set(gauges_known) else [retained[-1]]
    requests = []
    if retained[-1] not in gauges_known:
        requests.append(
            dg.RunRequest(
                run_key=f"gauges {now.isoformat()}",
                asset_selection=[dg.AssetKey("stations"), dg.AssetKey("measures")],
                tags=_over(due),
            )
        )
    requests.append(
        dg.RunRequest(
            run_key=f"readings {now.isoformat()}",
            asset_selection=[dg.AssetKey("readings"), dg.AssetKey("completeness")],
            tags=_over(retained),
            run_config={"ops": {"readings": {"config": {"incremental": True}}}},
        )
    )
    return requests


def _over(windows: Sequence[datetime]) -> dict[str, str]:
    return {
        "dagster/asset_partition_range_start": partition_key(windows[0]),
        "dagster/asset_partition_range_end": partition_key(windows[-1]),
    }
