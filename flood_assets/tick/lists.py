"""Fetch the lists of gauges, flood areas and flood warnings, and decide when they are due."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.ea.client import FloodMonitoringApi
from flood_assets.ea.lists import all_named
from flood_assets.errors import SourceError
from flood_assets.ingest import require_clock
from flood_assets.lake.current import Present, asked_at
from flood_assets.lake.lake import Lake
from flood_assets.lake.listed import may_be_pushed, of_api
from flood_assets.partitions import retained_windows, window_of
from flood_assets.schemas import MEASURES, STATIONS, WARNING_AREAS, WARNINGS, Table
from flood_assets.tick.outputs import Snapshot
from flood_assets.warnings import follow, in_force, named

# The list of flood areas is fetched again after so long: three hours of ticks can fail before the old one has expired.
AREAS_LAST = timedelta(hours=22)
# A country does not lose a tenth of its gauges, or of its flood areas, in a day.
SHRINKS_TO = 0.9


class Due(NamedTuple):
    """Lists that are due: the windows in which to store those of gauges, and whether to list the flood areas."""

    gauges: Sequence[datetime]
    areas: bool


class Listing(NamedTuple):
    """The flood warnings as they are known after a list.

    Attributes:
        snapshot: to be stored.
        rows: as the API listed them.
        asked_at: when the API was asked.
        odd: why the list ends no warning; empty if it does.
    """

    snapshot: Snapshot
    rows: pa.Table
    asked_at: datetime
    odd: str


def due(now: datetime, snapshots: Collection[datetime], areas: Collection[datetime]) -> Due:
    """Return the lists that are due.

    The gauges as they are now are stored in each retained window after the newest of the `snapshots` of stations and
    measures: no window stays without its gauges, neither those before the first tick nor those of missed ones. The
    flood areas are due when the newest of `areas` is as old as `AREAS_LAST`.
    """
    retained = retained_windows(now)
    newest = max(set(retained) & set(snapshots), default=None)
    gauges = [window for window in retained if newest is None or window > newest]
    return Due(gauges, not any(window_of(now) - AREAS_LAST < window <= now for window in areas))


def stored(lake: Lake) -> tuple[set[datetime], set[datetime]]:
    """Return the windows with snapshots of both stations and measures, and those with flood areas, as `due` takes them.

    Raises:
        LakeError: the lake could not be read.
    """
    stations, measures, areas = (
        {found.window for found in lake.windows(table)} for table in (STATIONS, MEASURES, WARNING_AREAS)
    )
    return stations & measures, areas


def list_gauges(
    api: FloodMonitoringApi, lake: Lake, table: Table, windows: Sequence[datetime], now: datetime
) -> Snapshot:
    """Fetch the stations or the measures, for some windows.

    Raises:
        SourceError: there is no list, or it was cut short.
        LakeError: the lake could not be read.
    """
    found = api.stations() if table is STATIONS else api.measures()
    require_no_shorter(table, found.rows, lake, now, unknown=found.unknown)
    return Snapshot(table, found.rows, windows, now, found.rejects, unknown=found.unknown)


def list_areas(api: FloodMonitoringApi, lake: Lake, now: datetime) -> Snapshot:
    """Fetch the flood areas; errors as for `list_gauges`."""
    found = api.warning_areas()
    require_no_shorter(WARNING_AREAS, found.rows, lake, now)
    return Snapshot(WARNING_AREAS, found.rows, [window_of(now)], now, found.rejects)


def list_warnings(api: FloodMonitoringApi, lake: Lake, now: datetime) -> Listing:
    """Fetch the flood warnings, and follow them from the last list to this one.

    Raises:
        SourceError: there is no list: the last one stands.
        ClockError: the last list is of a later time.
        LakeError: the lake could not be read.
    """
    require_clock(asked_at(lake.store, WARNINGS), now)
    found = api.warnings()
    before = lake.newest_snapshot(WARNINGS, now)
    areas = lake.newest_snapshot(WARNING_AREAS, now, columns=("flood_area_id", "label"))
    # To decode all of a day's windows at each tick would cost as much as the readings do.
    mend = window_of(now) not in {each.window for each in lake.windows(WARNINGS)}
    whole = all_named(found.rejects)
    rows = named(follow(before, found.rows, found.asked_at, whole=whole), areas)
    present = Present(in_force(rows), found.asked_at)
    snapshot = Snapshot(WARNINGS, rows, [window_of(now)], now, found.rejects, present, mend=mend)
    odd = "" if whole else "some items name no area, so the list ends no warning: see the table `rejects`"
    return Listing(snapshot, found.rows, found.asked_at, odd)


def require_no_shorter(table: Table, rows: pa.Table, lake: Lake, now: datetime, *, unknown: Sequence[str] = ()) -> None:
    """Refuse a list that is much shorter than the previous snapshot: the API does not mark a list that it cut short.

    A wrongly refused list is accepted once the previous snapshot expires. Stations that the API says it does not know
    (`unknown`) are not missed.
    """
    before = lake.newest_snapshot(table, now)
    if before is not None and unknown:
        before = before.filter(pc.invert(pc.is_in(before["station_id"], pa.array(unknown))))
    if before is not None and may_be_pushed(table):
        before = of_api(before)
    if before is not None and len(rows) < SHRINKS_TO * len(before):
        raise SourceError(
            f"the API lists {len(rows)} {table.name}, the previous snapshot has {len(before)}: the list was cut short, "
            "and the previous snapshot stays. A later run asks again; if the others are really gone, the shorter list "
            "is accepted a day after the last long one"
        )
