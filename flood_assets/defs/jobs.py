"""The jobs, and the runs that a tick requests. Their times are in `schedules.py` and `sensors.py`."""

from collections.abc import Collection, Sequence
from datetime import datetime

import dagster as dg

from flood_assets.defs.assets.retention import retention
from flood_assets.defs.failures import remember_failure
from flood_assets.defs.windows import FIRST, LAST
from flood_assets.lake.lake import Lake
from flood_assets.partitions import partition_key, retained_windows
from flood_assets.schemas import MEASURES, STATIONS

# Selected by key and not by text, for which Dagster would load a parser.
refresh_job = dg.define_asset_job(
    "refresh_job",
    selection=dg.AssetSelection.assets("stations", "measures", "readings", "completeness", "conditions"),
    description="Fetch the newest readings, and more for gauges that skipped some; then count completeness and judge "
    "the state of each gauge.",
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


def whole_day(now: datetime) -> dict[str, str]:
    """Return the tags of a run over all retained windows."""
    return _over(retained_windows(now))


def tick(lake: Lake, now: datetime) -> list[dg.RunRequest]:
    """Return the runs of a tick, after listing the snapshots of stations and measures that the lake holds."""
    stations, measures = ({stored.window for stored in lake.windows(table)} for table in (STATIONS, MEASURES))
    return refresh_requests(now, stations & measures)


def refresh_requests(now: datetime, snapshots: Collection[datetime]) -> list[dg.RunRequest]:
    """Return the runs of a tick: the retained readings, preceded by a snapshot of the gauges if one is due.

    The list as it is now is stored in each retained window after the newest of the `snapshots` of stations and
    measures: no window stays without its gauges, neither those before the first tick nor those of missed ones.
    """
    retained = retained_windows(now)
    newest = max(set(retained) & set(snapshots), default=None)
    due = [window for window in retained if newest is None or window > newest]
    requests = []
    if due:
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
            asset_selection=[dg.AssetKey(name) for name in ("readings", "completeness", "conditions")],
            tags=_over(retained),
            run_config={"ops": {"readings": {"config": {"incremental": True}}}},
        )
    )
    return requests


def _over(windows: Sequence[datetime]) -> dict[str, str]:
    return {FIRST: partition_key(windows[0]), LAST: partition_key(windows[-1])}
