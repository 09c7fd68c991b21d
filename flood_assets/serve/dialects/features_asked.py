"""The collections of features, and what each can be asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, Field

from flood_assets.schemas import CONDITIONS, READINGS, STATIONS, WARNING_AREAS, WARNINGS, Table
from flood_assets.serve import asked, formats, tables
from flood_assets.serve.errors import BadRequestError
from flood_assets.serve.paging import Answer
from flood_assets.serve.snapshot import Snapshot

PAGE, MOST = 1000, 10_000
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"

_Crs = Literal["http://www.opengis.net/def/crs/OGC/1.3/CRS84"]

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?"


class _Items(BaseModel):
    """Parameters that each collection has."""

    limit: Annotated[
        int | None, Field(ge=1, description=f"Features of a page: {PAGE:,} by default, {MOST:,} at most.")
    ] = PAGE
    offset: Annotated[int, Field(ge=0, le=1 << 40, description="Features before the page.")] = 0
    bbox: Annotated[
        str | None,
        Field(
            pattern=rf"^{_NUMBER}(,{_NUMBER}){{3}}((,{_NUMBER}){{2}})?$",
            max_length=300,
            description="Inside west, south, east and north in degrees (CRS84); those without a position are not.",
        ),
    ] = None
    datetime: Annotated[
        str | None,
        Field(
            max_length=80, description="At a time, or in an interval such as 2026-11-21T09:00:00Z/.. with both ends."
        ),
    ] = None
    crs: Annotated[_Crs | None, Field(description="That of the answer; there is one.")] = None
    bbox_crs: Annotated[_Crs | None, Field(alias="bbox-crs", description="That of the box; there is one.")] = None
    f: Annotated[Literal["json", "geojson"] | None, Field(description="GeoJSON is all there is.")] = None


class _Stations(_Items, asked.Gauges):
    pass


class _Latest(_Items, asked.Joined):
    pass


class _Conditions(_Items, asked.Conditions):
    pass


class _Warnings(_Items, asked.Warnings):
    pass


class Nothing(asked.Page):
    """Parameters of what is no list."""

    f: Annotated[Literal["json"] | None, Field(description="JSON is all there is.")] = None


@dataclass(frozen=True)
class Collection:
    """A collection of features.

    Attributes:
        title: what it is called.
        description: what it has.
        table: explains its columns.
        key: the column whose value is a feature's id.
        model: what it can be asked for.
        answer: gives the rows, which have lat and long.
        time: the column that `datetime` is compared with; empty where features have no time, and all fit.
    """

    title: str
    description: str
    table: Table
    key: str
    model: type[asked.Page]
    answer: Callable[[Snapshot, Any, datetime], Answer]
    time: str = ""


def _warnings(snapshot: Snapshot, given: Any, now: datetime) -> Answer:
    """Return flood warnings, each at the centre of its area."""
    found = tables.warnings(snapshot, given, now)
    rows, areas = found.rows, snapshot.lake.newest_snapshot(WARNING_AREAS, now)
    areas = WARNING_AREAS.schema.empty_table() if areas is None else areas
    at = pc.index_in(rows["flood_area_id"], value_set=areas["flood_area_id"].combine_chunks())
    for name in formats.POSITION:
        rows = rows.append_column(WARNING_AREAS.schema.field(name), areas[name].take(at))
    if given.bbox is not None:
        west, south, east, north = box_of(given.bbox)
        lat, long = (np.asarray(rows[name].to_numpy(), np.float64) for name in formats.POSITION)
        beside = (long >= west) & (long <= east) if west <= east else (long >= west) | (long <= east)
        rows = rows.filter(pa.array((lat >= south) & (lat <= north) & beside))
    return Answer.of(rows, found.key, found.notes, found.until)


COLLECTIONS: Mapping[str, Collection] = {
    "stations": Collection(
        "Stations", "Stations of the newest list", STATIONS, "station_id", _Stations, tables.stations
    ),
    "latest": Collection(
        "Newest readings",
        "The newest reading of each measure that has one in the last 24 hours",
        READINGS,
        "measure_id",
        _Latest,
        tables.latest,
        "date_time",
    ),
    "conditions": Collection(
        "Conditions",
        "Value, band, trend, rain and freshness of each gauge",
        CONDITIONS,
        "measure_id",
        _Conditions,
        tables.conditions,
        "date_time",
    ),
    "warnings": Collection(
        "Flood warnings",
        "Flood alerts and warnings in force, each at the centre of its area",
        WARNINGS,
        "flood_area_id",
        _Warnings,
        _warnings,
        "raised_at",
    ),
}


def box_of(text: str) -> tuple[float, float, float, float]:
    """Return west, south, east and north; of a box with heights without these."""
    numbers = [float(each) for each in text.split(",")]
    west, south, east, north = numbers if len(numbers) == 4 else (*numbers[:2], *numbers[3:5])
    if south > north:
        raise BadRequestError(f"bbox is {text}: its south, {south:g}, is above its north, {north:g}")
    # Beyond the poles and the date line there is nothing more.
    return max(west, -999.0), max(south, -999.0), min(east, 999.0), min(north, 999.0)


def span_of(text: str | None) -> tuple[datetime | None, ...] | None:
    """Return the two ends of an interval, None for an open one; of a single time twice the same."""
    if text is None:
        return None
    parts = text.split("/")
    found = tuple(None if part in ("", "..") else _moment(part, text) for part in parts)
    if len(found) == 1 and found[0] is not None:
        return found[0], found[0]
    if len(found) != 2 or found == (None, None):
        raise BadRequestError(f"datetime is '{text}': expected a time, or two with / between them, of which .. is open")
    if found[0] is not None and found[1] is not None and found[0] > found[1]:
        raise BadRequestError(f"datetime is '{text}': it ends before it begins")
    return found


def _moment(part: str, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(part.replace(" ", "+"))
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadRequestError(f"datetime is '{text}': '{part}' is no time such as 2026-11-21T09:00:00Z") from None
