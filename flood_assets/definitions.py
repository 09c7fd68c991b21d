"""The Dagster definitions: the one place where everything is wired.

`defs` is what Dagster loads. Tests, notebooks and other deployments call `build_defs` with resources of their own.
"""

import dagster as dg

from flood_assets.defs.assets.completeness import completeness
from flood_assets.defs.assets.readings import readings
from flood_assets.defs.assets.retention import retention
from flood_assets.defs.assets.stations import measures, stations
from flood_assets.defs.checks import measures_are_sound, readings_checks, stations_are_sound
from flood_assets.defs.io_manager import LakeIOManager
from flood_assets.defs.jobs import housekeeping_job, reconcile_job, refresh_job, retention_job
from flood_assets.defs.resources import Clock, LakeResource, Source
from flood_assets.defs.schedules import housekeeping_every_hour, reconcile_every_6_hours, refresh_every_15_minutes
from flood_assets.defs.sensors import retention_sensor


def build_defs(
    *, source: Source | None = None, lake: LakeResource | None = None, clock: Clock | None = None
) -> dg.Definitions:
    """The definitions over the given API, lake and clock; what is not given comes from the environment at run time."""
    lake = lake or LakeResource()
    clock = clock or Clock()
    return dg.Definitions(
        assets=[stations, measures, readings, completeness, retention],
        asset_checks=[stations_are_sound, measures_are_sound, readings_checks],
        jobs=[refresh_job, reconcile_job, retention_job, housekeeping_job],
        schedules=[refresh_every_15_minutes, reconcile_every_6_hours, housekeeping_every_hour],
        sensors=[retention_sensor],
        resources={
            "source": source or Source(),
            "lake": lake,
            "clock": clock,
            "lake_io": LakeIOManager(lake=lake, clock=clock),
        },
        # A run takes seconds: a process for each step would take longer than the steps.
        executor=dg.in_process_executor,
    )


defs = build_defs()
