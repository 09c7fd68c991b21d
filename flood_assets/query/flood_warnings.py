"""Answer questions about flood warnings and flood areas, and which areas and stations lie near each other.

The rules of what is in force are in `flood_assets.warnings`, those of what is near in `nearby`; questions about gauges
are in `query`.
"""

from datetime import datetime, timedelta
from typing import NamedTuple, Unpack

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.lake.lake import Lake
from flood_assets.partitions import WINDOW, cutoff, is_expired
from flood_assets.query import filters, names, nearby
from flood_assets.query.filters import GaugeFilters, Moment, Texts, shown
from flood_assets.query.place import LakePlace, Place, Result
from flood_assets.query.query import stations
from flood_assets.schemas import WARNING_AREAS, WARNINGS
from flood_assets.warnings import in_force as only_in_force

# A list of warnings is due with each tick; one of over an hour ago is told.
OVERDUE = timedelta(hours=1)

DISTANCE = pa.field("distance_km", pa.float64())
STATION_AREAS = pa.schema(
    [
        pa.field("station_id", pa.string(), nullable=False),
        pa.field("flood_area_id", pa.string(), nullable=False),
        DISTANCE,
        pa.field("station", pa.string()),
        pa.field("area", pa.string()),
    ]
)

# The words that are taken for each severity level; the API's own are among them.
_SEVERITIES = {
    1: ("severe", "severe flood warning"),
    2: ("warning", "flood warning"),
    3: ("alert", "flood alert"),
    4: ("ended", "warning no longer in force"),
}
# By which areas are found. Counties and rivers are several, separated by commas.
_BY = {
    "area": names.Columns(ids=("flood_area_id",), labels=("label", "description")),
    "county": names.Columns(labels=("county",)),
    "river": names.Columns(labels=("river_or_sea",)),
}
_NAMED = ("flood_area_id", "label", "description", "county", "river_or_sea")


class Known(NamedTuple):
    """The warnings of the last 24 hours as they are known, schema `WARNINGS`, and when the API was last asked."""

    rows: pa.Table
    asked_at: datetime


def known(lake: Lake, now: datetime) -> Known | None:
    """Return the warnings of the last 24 hours as they were known at `now`; None if no list is stored.

    No rows are a calm day. The time is exact for the last list; of an earlier hour it is the hour's start.
    DamagedWindowError if no window with a list can be read.
    """
    listed = (each.window for each in lake.windows(WARNINGS))
    windows = [window for window in listed if window <= now and not is_expired(window, now)]
    if not windows:
        return None
    rows = lake.newest_snapshot(WARNINGS, now)
    if rows is None:
        # A calm day, unless the window is damaged.
        rows = lake.read(WARNINGS, max(windows), max(windows) + WINDOW, now=now)
    kept = pc.or_(pc.is_null(rows["left_at"]), pc.fill_null(pc.greater(rows["left_at"], cutoff(now)), False))
    last = lake.listed_at(WARNINGS)
    return Known(rows.filter(kept), last if last is not None and last <= now else max(windows))


def warnings(
    lake: LakePlace,
    now: Moment,
    *,
    severity: Texts | None = None,
    area: Texts | None = None,
    county: Texts | None = None,
    river: Texts | None = None,
    near: Texts | None = None,
    in_force: bool = True,
    columns: Texts | None = None,
) -> Result:
    """Return the flood alerts and warnings in force, the most severe first; with `near`, of these the nearest first.

    Each filter is one text or several, of which any may match; of those that are given, all must. Names are compared as
    for `readings`, with those of all flood areas. A note says if the last list is over an hour old. That nothing is in
    force is told too: it is a calm day, and not a fault.

    Args:
        lake: as for `readings`.
        now: likewise.
        severity: "severe", "warning", "alert" or "ended", the API's words for them, or the levels 1 to 4.
        area: flood_area_id, label or description of the flood area.
        county: one of the area's counties, such as "Wiltshire".
        river: one of the area's rivers, or its part of the sea, such as "River Lambourn".
        near: name or id of a station, as `station` of `readings`: only areas whose centre is within 8 km of it, as the
            official service joins them.
        in_force: False for all of the last 24 hours: also those that have ended or left the list. `left_at`,
            `previous_severity_level`, `changed_at` and `revision` say what happened.
        columns: as for `readings`.

    Returns:
        The columns of `flood_assets.schemas.WARNINGS`, and with `near` distance_km.

    Raises:
        ValueError: an unknown severity or column, a time without a zone.
        TypeError: an argument of another type or name.
        LakeError: the lake could not be read.
    """
    now = filters.moment("now", now)
    levels = None if severity is None else _levels(severity)
    chosen = _columns(columns, WARNINGS.schema, near)
    place = Place.of(lake, now)
    notes: list[str] = []
    found = None if place.lake is None else known(place.lake, now)
    if place.lake is None or found is None:
        rows = _with_distance(WARNINGS.schema.empty_table(), near)
        return place.result(rows.select(chosen), [place.why_nothing(WARNINGS)])
    rows = only_in_force(found.rows) if in_force else found.rows
    if now - found.asked_at > OVERDUE:
        notes.append(
            f"the last list of flood warnings is of {shown(found.asked_at)}, over an hour ago: run "
            f"`FLOOD_LAKE_URL={place.url} flood-assets refresh`"
        )
    areas = _catalogue(place, found.rows)
    fits, matched, missing = _chosen(areas, {"area": area, "county": county, "river": river})
    areas = areas.filter(fits)
    if near is not None:
        areas = _near(place, areas, near, matched, missing)
    at = pc.index_in(rows["flood_area_id"], value_set=areas["flood_area_id"].combine_chunks())
    rows = _with_distance(rows, near)
    if near is not None:
        rows = rows.set_column(rows.num_columns - 1, DISTANCE, areas[DISTANCE.name].take(at))
    rows = rows.filter(pc.is_valid(at))
    if levels is not None:
        rows = rows.filter(pc.is_in(rows["severity_level"], value_set=pa.array(levels, pa.int32())))
    if not len(rows) and not missing:
        state = "in force" if in_force else "known of the last 24 hours"
        missing.append(f"no such flood warning is {state}, by the list of {shown(found.asked_at)}")
    order = ["severity_level", *([DISTANCE.name] if near is not None else []), "flood_area_id"]
    rows = rows.sort_by([(name, "ascending") for name in order])
    return place.result(rows.select(chosen), [*notes, *matched, *missing])


def warning_areas(
    lake: LakePlace,
    now: Moment,
    *,
    area: Texts | None = None,
    county: Texts | None = None,
    river: Texts | None = None,
    near: Texts | None = None,
    columns: Texts | None = None,
) -> Result:
    """Return the flood areas of the newest list, by flood_area_id; with `near`, the nearest first.

    All arguments, and the errors, are those of `warnings`.

    Returns:
        The columns of `flood_assets.schemas.WARNING_AREAS`, and with `near` distance_km.
    """
    now = filters.moment("now", now)
    chosen = _columns(columns, WARNING_AREAS.schema, near)
    place = Place.of(lake, now)
    areas = place.snapshot(WARNING_AREAS)
    if areas is None:
        rows = _with_distance(WARNING_AREAS.schema.empty_table(), near)
        return place.result(rows.select(chosen), [place.why_no_snapshot(WARNING_AREAS)])
    fits, matched, missing = _chosen(areas, {"area": area, "county": county, "river": river})
    rows = areas.filter(fits)
    if near is not None:
        rows = _near(place, rows, near, matched, missing)
        rows = rows.sort_by([(DISTANCE.name, "ascending"), ("flood_area_id", "ascending")])
    if not len(rows) and not missing:
        missing.append("no flood area matches all of that, though each name is known")
    return place.result(rows.select(chosen), [*matched, *missing])


def station_areas(
    lake: LakePlace,
    now: Moment,
    *,
    area: Texts | None = None,
    columns: Texts | None = None,
    **gauges: Unpack[GaugeFilters],
) -> Result:
    """Return which flood areas have their centre within 8 km of which stations, as the official service joins them.

    By station_id, and of each the nearest area first. `station` and the other filters of `readings` choose the
    stations, `area` the flood areas, as for `warnings`; so a station tells its areas, and an area its stations.

    Returns:
        station_id, flood_area_id, distance_km, station (the station's label) and area (the area's label).
    """
    now = filters.moment("now", now)
    chosen = filters.columns(columns, STATION_AREAS.names, [])
    place = Place.of(lake, now)
    of = stations(place.lake or lake, now, columns=("station_id", "label", "lat", "long"), **gauges)
    areas = place.snapshot(WARNING_AREAS)
    notes = list(of.notes)
    if areas is None:
        notes += {place.why_no_snapshot(WARNING_AREAS)} - {*notes}
        areas = WARNING_AREAS.schema.empty_table()
    elif area is not None:
        fits, matched, missing = _chosen(areas, {"area": area})
        areas, notes = areas.filter(fits), [*notes, *matched, *missing]
    pairs = nearby.near(of.rows, areas)
    first, second = (pa.array(each) for each in (pairs.first, pairs.second))
    names_of_both = of.rows["label"].take(first), areas["label"].take(second)
    ids = of.rows["station_id"].take(first), areas["flood_area_id"].take(second)
    rows = pa.table([*ids, pa.array(pairs.km), *names_of_both], schema=STATION_AREAS)
    if not len(rows) and not notes:
        notes.append(f"no flood area has its centre within {nearby.WITHIN_KM:g} km of such a station")
    return place.result(rows.select(chosen), notes)


def _columns(columns: Texts | None, schema: pa.Schema, near: Texts | None) -> list[str]:
    own = [*schema.names, *([DISTANCE.name] if near is not None else [])]
    return filters.columns(columns, own, [] if near is not None else ["near"])


def _with_distance(rows: pa.Table, near: Texts | None) -> pa.Table:
    return rows if near is None else rows.append_column(DISTANCE, pa.nulls(len(rows), pa.float64()))


def _levels(given: Texts) -> list[int]:
    """Return the severity levels of some words or numbers; ValueError for another."""
    words = {word: level for level, texts in _SEVERITIES.items() for word in (str(level), *texts)}
    asked = [text.casefold().strip() for text in filters.texts("severity", given) or ()]
    found = filters.words("severity", asked, words, [texts[0] for texts in _SEVERITIES.values()])
    return sorted({words[text] for text in found})


def _catalogue(place: Place, warned: pa.Table) -> pa.Table:
    """Return all flood areas by name and place, also those of warnings that no list of areas has."""
    of_warnings = warned.select(_NAMED)
    for name in ("lat", "long"):
        of_warnings = of_warnings.append_column(name, pa.nulls(len(warned), pa.float64()))
    areas = place.snapshot(WARNING_AREAS)
    if areas is None:
        return of_warnings
    areas = areas.select([*_NAMED, "lat", "long"])
    there = pc.is_in(of_warnings["flood_area_id"], value_set=areas["flood_area_id"].combine_chunks())
    return pa.concat_tables([areas, of_warnings.filter(pc.invert(there))], promote_options="permissive")


def _chosen(areas: pa.Table, given: dict[str, Texts | None]) -> tuple[pa.Array, list[str], list[str]]:
    """Return a mask of the areas that match each filter; notes of what was matched by words, and of unknown names."""
    matched, missing = list[str](), list[str]()
    for name in ("county", "river_or_sea"):
        # `names.match` knows several names of a cell by the bar between them.
        several = pc.replace_substring_regex(areas[name], r"\s*,\s*", "|")
        areas = areas.set_column(areas.schema.get_field_index(name), name, several)
    fits = np.ones(len(areas), np.bool_)
    for name, texts in given.items():
        if texts is not None:
            wanted = filters.texts(name, texts) or ()
            fits &= names.match(areas, name, wanted, _BY[name], missing, matched)
    return pa.array(fits), matched, missing


def _near(place: Place, areas: pa.Table, near: Texts, matched: list[str], missing: list[str]) -> pa.Table:
    """Return the areas that are near stations of a name, with their distance; note why there can be none."""
    assert place.lake is not None  # noqa: S101 - for the type checker: there are areas
    of = stations(place.lake, place.now, station=near, columns=("station_id", "lat", "long"))
    (matched if len(of.rows) else missing).extend(of.notes)
    if len(of.rows) and of.rows["lat"].null_count == len(of.rows):
        missing.append(f"the API gives no position of the station {names.listed(filters.texts('near', near) or ())}")
    if place.snapshot(WARNING_AREAS) is None:
        missing.append(f"it is not known what is near: {place.why_no_snapshot(WARNING_AREAS)}")
    km = nearby.nearest(areas, of.rows)
    return areas.append_column(DISTANCE, km).filter(km.is_valid())
