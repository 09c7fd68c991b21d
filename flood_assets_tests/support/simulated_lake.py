"""Fill a lake from the simulated API in a second, without Dagster."""

from datetime import datetime

from flood_assets import ingest
from flood_assets.ea.client import FloodMonitoringApi
from flood_assets.lake.lake import Lake
from flood_assets.partitions import window_of
from flood_assets.schemas import MEASURES, STATIONS, WARNING_AREAS, WARNINGS
from flood_assets.warnings import follow, named


def fill_from(url: str, lake: Lake, now: datetime) -> None:
    """Store all lists, the warnings and a day of readings, as a first refresh does."""
    api = FloodMonitoringApi(url, now=lambda: now)
    lake.claim(url)
    areas = api.warning_areas().rows
    for table, rows in ((STATIONS, api.stations().rows), (MEASURES, api.measures().rows), (WARNING_AREAS, areas)):
        lake.put_snapshots(table, [window_of(now)], rows)
    lake.put_snapshots(WARNINGS, [window_of(now)], named(follow(None, api.warnings().rows, now), areas))
    ingest.fetch(api, lake, None, now).store(lake)
    api.close()
