"""The jobs, and the runs that a tick requests. Their times are in `schedules.py` and `sensors.py`."""

from collections.abc import Collection, Sequence
from datetime import datetime

import dagster as dg

from flood_assets import settings
from flood_assets.defs.assets.landed import landed
from flood_assets.defs.assets.retention import retention
from flood_assets.defs.failures import remember_failure
from flood_assets.defs.windows import FIRST, LAST
from flood_assets.lake.lake import Lake
from flood_assets.partitions import partition_key, retained_windows
from flood_assets.tick import lists

# Selected by key and not by text, for which Dagster would load a parser.
refresh_job = dg.define_asset_job(
    "refresh_job",
    selection=dg.AssetSelection.assets(
        "stations",
        "measures",
        "warning_areas",
        "readings",
        "completeness",
        "conditions",
        "warnings",
        "alerts",
        "published",
    ),
    description="Fetch the newest readings, and more for gauges that skipped some; count completeness, judge the state "
    "of each gauge, list the warnings, judge the alerts and publish what changed.",
    hooks={remember_failure},
)
reconcile_job = dg.define_asset_job(
    "reconcile_job",
    selection=dg.AssetSelection.assets("readings", "completeness", "conditions"),
    description="Read the last 24 hours again, to find corrections and readings that arrived out of order.",
    hooks={remember_failure},
)
retention_job = dg.define_asset_job(
    "retention_job",
    selection=[retention],
    description="Delete expired windows and trim the one that contains the cutoff.",
    hooks={remember_failure},
)
# Without the hook: the sensor asks again within seconds, and what waits is not lost.
landing_job = dg.define_asset_job(
    "landing_job", selection=[landed], description="Ingest the pushed batches that wait, and write their receipts."
)


def whole_day(now: datetime) -> dict[str, str]:
    """Return the tags of a run over all retained windows."""
    return _over(retained_windows(now))


def tick(lake: Lake, now: datetime) -> list[dg.RunRequest]:
    """Return the runs of a tick, after listing the snapshots of stations, measures and flood areas in the lake."""
    snapshots, areas = lists.stored(lake)
    return refresh_requests(now, snapshots, areas, **last_steps())


def last_steps() -> dict[str, bool]:
    """Return which of the last steps of a tick are asked for by the environment, as `refresh_requests` takes them."""
    return {"alerts": settings.alerts_file() is not None, "publishes": settings.publishes()}


def refresh_requests(
    now: datetime,
    snapshots: Collection[datetime],
    areas: Collection[datetime],
    *,
    alerts: bool = False,
    publishes: bool = False,
) -> list[dg.RunRequest]:
    """Return the runs of a tick: readings and warnings, preceded by the lists of gauges and flood areas that are due.

    Which are due is decided by `tick.lists.due`. With `alerts` rules are judged, and if it `publishes`, changes go to
    the sinks, last of all.
    """
    retained = retained_windows(now)
    due = lists.due(now, snapshots, areas)
    names = ["stations", "measures"] if due.gauges else []
    names += ["warning_areas"] * due.areas
    requests = []
    if names:
        requests.append(
            dg.RunRequest(
                run_key=f"gauges {now.isoformat()}",
                asset_selection=[dg.AssetKey(name) for name in names],
                tags=_over(due.gauges or retained[-1:]),
            )
        )
    names = ["readings", "completeness", "conditions", "warnings"]
    names += ["alerts"] * alerts + ["published"] * publishes
    requests.append(
        dg.RunRequest(
            run_key=f"readings {now.isoformat()}",
            asset_selection=[dg.AssetKey(name) for name in names],
            tags=_over(retained),
            run_config={"ops": {"readings": {"config": {"incremental": True}}}},
        )
    )
    return requests


def _over(windows: Sequence[datetime]) -> dict[str, str]:
    return {FIRST: partition_key(windows[0]), LAST: partition_key(windows[-1])}
