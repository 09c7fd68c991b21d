"""Put a station's page together: each measure's state and day, the warnings near it, and its neighbours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import atan2, cos, degrees, radians
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.partitions import RETENTION
from flood_assets.quality import FAIL, SUSPECT
from flood_assets.quality.kinds import Kind
from flood_assets.query import nearby
from flood_assets.serve import asked, tables
from flood_assets.serve.api import PREFIX
from flood_assets.serve.formats import MEDIA_TYPES
from flood_assets.serve.pages import chart, words
from flood_assets.serve.pages.overview import Overview
from flood_assets.serve.pages.sentence import sentence
from flood_assets.serve.pages.warned import Warned
from flood_assets.serve.snapshot import Snapshot

# Neighbours that are shown; the page of the river has all.
NEIGHBOURS = 10
_FAR_KM = 1000.0
_COMPASS = ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Hour:
    """Expected and received readings of an hour, and why any are missing."""

    start: datetime
    expected: int
    received: int
    why: str


@dataclass(frozen=True)
class MeasureView:
    """A measure as its page shows it.

    Attributes:
        measure: a row of `schemas.MEASURES`; its id only if no list has it.
        condition: a row of `schemas.CONDITIONS`.
        name: what it measures.
        sentence: its state in words.
        series: its day.
        readings: rows of `schemas.READINGS` with `flag`, the newest first.
        hours: completeness.
    """

    measure: Row
    condition: Row
    name: str
    sentence: str
    series: chart.Series
    readings: Sequence[Row]
    hours: Sequence[Hour]
    timeliness: Row | None
    now: datetime

    @property
    def picture(self) -> Any:
        """The chart as SVG."""
        return chart.picture(self.series, self.name, self.now)

    @property
    def missing(self) -> list[tuple[datetime, datetime]]:
        """The gaps in the chart."""
        return chart.gaps(self.series, self.now - RETENTION, self.now)

    @property
    def said(self) -> str:
        """Summary of the chart, in words."""
        return chart.said(self.series, self.missing)

    @property
    def data(self) -> str:
        """Content of the chart as JSON, for the page's script."""
        return chart.data(self.series, self.missing, self.now)

    @property
    def marks(self) -> list[tuple[str, str]]:
        """The marks that the chart has, and what they mean."""
        return chart.marks_of(self.series)

    @property
    def corrections(self) -> list[Row]:
        """The readings that were corrected, the latest correction first."""
        return sorted((row for row in self.readings if row["revision"]), key=lambda r: r["changed_at"], reverse=True)

    @property
    def odd(self) -> list[Row]:
        """The readings that are flagged, or have no single value."""
        return [row for row in self.readings if row["value"] is None or row["flag"] in (SUSPECT, FAIL)]

    @property
    def totals(self) -> tuple[int, int]:
        """Expected readings of the day, and how many of them are missing."""
        expected = sum(hour.expected for hour in self.hours)
        return expected, sum(max(0, hour.expected - hour.received) for hour in self.hours)

    @property
    def rain(self) -> bool:
        """True for rain by period."""
        return self.series.kind is Kind.RAIN

    @property
    def links(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """Downloads: the resource's name, and of each format its name and address."""
        asked_for = {"measure_id": self.measure["measure_id"]}
        return _links(asked_for)


@dataclass(frozen=True)
class StationView:
    """A station as its page shows it; `row` is of `schemas.STATIONS`, with its id only if no list has it."""

    row: Row
    label: str
    measures: Sequence[MeasureView]
    warnings: Sequence[Row]
    neighbours: Sequence[Row]
    others: int
    where: str
    until: datetime


def links_of(station_id: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return what can be downloaded of a station; nothing for an id that no parameter can hold."""
    return _links({"station_id": station_id}) if station_id else []


def _links(asked_for: Mapping[str, str]) -> list[tuple[str, list[tuple[str, str]]]]:
    names = {
        "Readings, with flags": ("readings", {"flags": "true"}),
        "Corrections and new readings": ("changes", {"since": "24h"}),
        "Completeness by hour": ("completeness", {}),
        "State": ("conditions", {}),
    }
    return [
        (
            said,
            [
                ({"json": "JSON", "csv": "CSV", "arrow": "Arrow", "parquet": "Parquet"}[format_],
                 f"{PREFIX}/{name}.{format_}?{urlencode({**asked_for, **more})}")
                for format_ in MEDIA_TYPES
                if format_ != "geojson"
            ],
        )
        for said, (name, more) in names.items()
    ]  # fmt: skip


def view(snapshot: Snapshot, now: datetime, station_id: str | None, measure_id: str = "") -> StationView | None:
    """Return a station by its id, or by one of its measures; None if nobody knows it.

    A measure whose station nobody knows has a page of its own.
    """
    if measure_id and measure_id in snapshot.codes:
        station_id = snapshot.station_ids[snapshot.codes[measure_id]]
        ids = [measure_id] if station_id is None else _measures_of(snapshot, station_id)
    elif station_id is not None and not measure_id and station_id in snapshot.of_station:
        ids = _measures_of(snapshot, station_id)
    else:
        return None
    seen = Overview.of(snapshot, now)
    place = snapshot.station_rows.get(station_id or "") if station_id is not None and len(seen.stations) else None
    row = _unlisted(station_id) if place is None else seen.stations.slice(place, 1).to_pylist()[0]
    measures, until = _views(snapshot, now, row, ids, seen)
    if place is None and not any(each.readings for each in measures):
        return None
    warned = Warned.of(snapshot, now)
    neighbours, others, where = _neighbours(seen, place, row)
    return StationView(
        row,
        row["label"] or (f"Station {station_id}" if station_id else measure_id or "Station without a name"),
        measures,
        warned.near(row) if place is not None else (),
        neighbours,
        others,
        where,
        min(until, seen.until, warned.until),
    )


def _measures_of(snapshot: Snapshot, station_id: str) -> list[str]:
    found: list[str] = snapshot.ids.take(pa.array(snapshot.of_station[station_id], pa.int64())).to_pylist()
    return found


def _unlisted(station_id: str | None) -> dict[str, Any]:
    names = ("label", "river", "catchment", "town", "lat", "long", "typical_low", "typical_high", "max_on_record")
    more = ("highest_recent", "highest_recent_at", "rloi_id", "wiski_id", "station_reference", "status", "opened")
    return {**dict.fromkeys((*names, *more, "grid_reference", "min_on_record")), "station_id": station_id}


def _views(
    snapshot: Snapshot, now: datetime, station: Row, ids: Sequence[str], seen: Overview
) -> tuple[list[MeasureView], datetime]:
    """Return the station's measures, what people look for first, and until when their rows are retained."""
    if not ids:
        return [], seen.until
    found = tables.readings(snapshot, asked.Readings(measure_id=list(ids), flags=True), now)
    hours = tables.completeness(snapshot, asked.Spanned(measure_id=list(ids)), now)
    reporting = tables.timeliness(snapshot, asked.Joined(measure_id=list(ids)), now)
    due = {row["measure_id"]: row for row in reporting.rows.to_pylist()}
    counts: dict[str, list[Row]] = {}
    for row in hours.rows.to_pylist():
        counts.setdefault(row["measure_id"], []).append(row)
    views = []
    for measure_id in ids:
        code = snapshot.codes[measure_id]
        listed = int(snapshot.listed[code])
        measure = snapshot.measures.slice(listed, 1).to_pylist()[0] if listed >= 0 else {"measure_id": measure_id}
        condition = seen.conditions.slice(code, 1).to_pylist()[0]
        kind = Kind(int(seen.kind_of[code]))
        rows = found.rows.filter(pc.equal(found.rows["measure_id"], measure_id)).to_pylist()
        series = _series(kind, measure, condition, station, rows, due.get(measure_id))
        name = words.name_of(kind, measure)
        views.append(
            MeasureView(
                measure,
                condition,
                name,
                sentence(kind, name, condition, series),
                series,
                rows[::-1],
                [_hour(row) for row in counts.get(measure_id, ())],
                due.get(measure_id),
                now,
            )
        )
    order = list(words.KIND_OF)
    views.sort(
        key=lambda each: (
            each.condition["band"] is None,
            not each.readings,
            order.index(each.series.kind),
            not words.unit(each.series.unit),
        )
    )
    names = words.told_apart([(each.name, each.measure) for each in views])
    views = [replace(each, name=name) for each, name in zip(views, names, strict=True)]
    ends = [each.until for each in (found, hours, reporting) if each.until is not None]
    return views, min([seen.until, *ends])


def _series(
    kind: Kind, measure: Row, condition: Row, station: Row, rows: Sequence[Row], reporting: Row | None
) -> chart.Series:
    interval = (reporting or {}).get("interval_s") or measure.get("period_s")
    low, high = station["typical_low"], station["typical_high"]
    # The range belongs to the measure that has a band, and to no other.
    ranged = condition["band"] is not None and low is not None and high is not None
    highest = [each for each in (station["max_on_record"], station["highest_recent"]) if each is not None]
    return chart.Series(
        kind,
        measure.get("unit"),
        [row["date_time"] for row in rows],
        [row["value"] for row in rows],
        [row["flag"] for row in rows],
        [row["raw_value"] for row in rows],
        [row["previous_value"] if row["revision"] else None for row in rows],
        timedelta(seconds=interval) if interval and kind is not Kind.RAIN_EVENT else None,
        (low, high) if ranged else None,
        max(highest) if ranged and highest else None,
        condition["next_due_at"],
    )


def _hour(row: Row) -> Hour:
    causes = {"silent": "not reported by the gauge", "not_due": "not due yet", "not_fetched": "not fetched by us"}
    why = ", ".join(f"{row[name]} {said}" for name, said in causes.items() if row[name])
    return Hour(row["window_start"], row["expected"], row["received"], why)


def _neighbours(seen: Overview, place: int | None, row: Row) -> tuple[list[dict[str, Any]], int, str]:
    """Return the nearest other stations of the river, how many more it has, and what they are.

    The API gives no order along a river. Without a river, those within 8 km.
    """
    if place is None:
        return [], 0, ""
    placed = row["lat"] is not None and row["long"] is not None
    here = pa.table({"lat": pa.array([row["lat"]], pa.float64()), "long": pa.array([row["long"]], pa.float64())})
    rivers = seen.stations["river"].to_pylist()
    # All tidal gauges have one "river".
    of_river = bool(row["river"]) and row["river"].casefold() != "tide"
    if of_river:
        chosen = [at for at, river in enumerate(rivers) if river == row["river"] and at != place]
    else:
        chosen = [at for at in nearby.near(here, seen.stations).second.tolist() if at != place] if placed else []
    where = "river" if of_river else "near" if placed else ""
    stations = seen.stations.take(pa.array(chosen, pa.int64()))
    pairs = nearby.near(here, stations, _FAR_KM)
    km = dict(zip(pairs.second.tolist(), pairs.km.tolist(), strict=True))
    order = sorted(range(len(chosen)), key=lambda at: (km.get(at, _FAR_KM), seen.labels[chosen[at]]))
    found = [
        {**seen.row(chosen[at]), "km": km.get(at), "direction": _direction(row, stations, at) if at in km else ""}
        for at in order[:NEIGHBOURS]
    ]
    return found, max(0, len(order) - NEIGHBOURS), where


def _direction(here: Row, stations: pa.Table, at: int) -> str:
    """Return in which direction a station lies."""
    lat, long = (stations[name][at].as_py() for name in ("lat", "long"))
    east = (long - here["long"]) * cos(radians(here["lat"]))
    return _COMPASS[round(degrees(atan2(east, lat - here["lat"])) / 45) % 8]
