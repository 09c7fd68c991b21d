"""All Dagster definitions: the one place where assets, checks, jobs, schedules, sensors and resources are wired.

Dagster calls `defs` when it loads the project. Tests, notebooks and other deployments call `build_defs` with resources
of their own. There are no Components and no AutomationCondition: one source and range ticks are better explicit.
"""

import dagster as dg

from flood_assets import settings
from flood_assets.defs.assets.alerts import alerts
from flood_assets.defs.assets.completeness import completeness, timeliness
from flood_assets.defs.assets.conditions import conditions
from flood_assets.defs.assets.landed import landed
from flood_assets.defs.assets.published import published
from flood_assets.defs.assets.readings import readings, rejects
from flood_assets.defs.assets.retention import retention
from flood_assets.defs.assets.stations import measures, stations
from flood_assets.defs.assets.warnings import warning_areas, warnings
from flood_assets.defs.checks.gauges import measures_valid, stations_valid
from flood_assets.defs.checks.readings import readings_checks
from flood_assets.defs.emf import sensors as emf_sensors
from flood_assets.defs.housekeeping import housekeeping_job
from flood_assets.defs.io_manager import LakeIOManager
from flood_assets.defs.jobs import landing_job, reconcile_job, refresh_job, retention_job
from flood_assets.defs.resources import Clock, LakeResource, Source
from flood_assets.defs.schedules import housekeeping_every_hour, reconcile_every_6_hours, refresh_every_15_minutes
from flood_assets.defs.sensors import landing_sensor, retention_sensor


def build_defs(
    *,
    source: Source | None = None,
    lake: LakeResource | None = None,
    clock: Clock | None = None,
    emf: str | None = None,
) -> dg.Definitions:
    """Return the definitions for an API, a lake and a clock; without one, the environment decides at run time.

    With `emf`, the name of an environment, each run prints metrics for CloudWatch.
    """
    lake = lake or LakeResource()
    clock = clock or Clock()
    return dg.Definitions(
        assets=[
            stations,
            measures,
            readings,
            rejects,
            completeness,
            timeliness,
            conditions,
            warning_areas,
            warnings,
            alerts,
            published,
            retention,
            landed,
        ],
        asset_checks=[stations_valid, measures_valid, readings_checks],
        jobs=[refresh_job, reconcile_job, retention_job, landing_job, housekeeping_job],
        schedules=[refresh_every_15_minutes, reconcile_every_6_hours, housekeeping_every_hour],
        sensors=[retention_sensor, landing_sensor, *(emf_sensors(emf) if emf else [])],
        resources={
            "source": source or Source(),
            "lake": lake,
            "clock": clock,
            "lake_io": LakeIOManager(lake=lake, clock=clock),
        },
        # A run takes seconds: a process for each step would take longer than the steps.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions for the API, the lake and the clock that the environment names, or for its network."""
    if (file := settings.network_file()) is not None:
        from flood_assets.defs.shards import network_defs  # noqa: PLC0415 - most lakes have no shards
        from flood_assets.network import read_network  # noqa: PLC0415

        return network_defs(read_network(file, settings.api_url()))
    return build_defs(emf=settings.emf())
