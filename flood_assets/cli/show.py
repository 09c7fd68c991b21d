"""Print the state of a station or a river, for `flood-assets show`."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Unpack

import click
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from flood_assets import quality, query
from flood_assets.errors import FloodAssetsError
from flood_assets.lake.lake import Lake
from flood_assets.partitions import london
from flood_assets.query.conditions import RAIN_HOURS
from flood_assets.query.filters import GaugeFilters
from flood_assets.query.nearby import WITHIN_KM
from flood_assets.query.place import Place

Row = Mapping[str, Any]

# Stations that are listed where a name fits several; warnings that are shown of a station or river.
LISTED, WARNED = 20, 5
_BARS = "▁▂▃▄▅▆▇█"
_ARROWS = {"rising": "↑", "steady": "→", "falling": "↓"}
_BANDS = {
    "below": "below the typical range",
    "normal": "within the typical range",
    "above": "ABOVE the typical range",
    "record": "ABOVE THE HIGHEST ON RECORD",
}
# One bar an hour.
_BARS_A_DAY = 24


class NotFoundError(FloodAssetsError):
    """No station and no river has the name."""


@dataclass(frozen=True)
class _Found:
    """Stations of a name, warnings near them, their measures, and each measure's condition and the day's readings."""

    stations: list[Row]
    measures: dict[str, Row]
    conditions: list[Row]
    readings: pa.Table
    warnings: query.Result


def show(lake_url: str, name: str, now: datetime) -> None:
    """Print the state of the station or the river of a name; of several stations, their names only.

    Raises:
        NotFoundError: neither a station nor a river is called so; the message suggests similar names.
        LakeError: the lake could not be read.
    """
    console = Console(highlight=False, markup=False)
    lake = Place.of(lake_url, now).lake
    if lake is None:
        raise NotFoundError(f"there is no lake at {lake_url}: `flood-assets refresh` makes and fills it")
    stations = query.stations(lake, now, station=name)
    rivers = query.stations(lake, now, river=name) if _of_name(stations) else None
    # Notes say that the name matches by its words only, or not at all: a river's whole name comes before that.
    if rivers is not None and _of_name(rivers) and len(stations.rows):
        rivers = None
    rows = stations.rows if rivers is None else rivers.rows
    if not len(rows):
        raise NotFoundError("; ".join(dict.fromkeys([*stations.notes, *(rivers.notes if rivers else [])])))
    found = rows.to_pylist()
    for note in stations.missing:
        click.echo(note, err=True)
    # A script that reads it finds each line whole.
    for note in _of_name(rivers or stations):
        console.print(note, soft_wrap=not console.is_terminal)
    if rivers is not None:
        lines = _river(name, _found(lake, found, now, river=name), now)
    elif len(found) > 1:
        lines = _several(name, found)
    else:
        lines = _station(_found(lake, found, now, station=found[0]["station_id"]), now)
    for line in lines:
        console.print(line.rstrip(), soft_wrap=not console.is_terminal)


def _of_name(found: query.Result) -> list[str]:
    """Return the notes on the name that was asked for."""
    return [note for note in found.notes if note not in found.missing]


def _found(lake: Lake, stations: list[Row], now: datetime, **gauges: Unpack[GaugeFilters]) -> _Found:
    measures = {row["measure_id"]: row for row in query.measures(lake, now, **gauges).rows.to_pylist()}
    conditions = query.conditions(lake, now, **gauges).rows.to_pylist()
    columns = ("measure_id", "date_time", "value")
    readings = query.readings(lake, now, columns=columns, **gauges).rows
    warnings = query.warnings(lake, now, near=[station["station_id"] for station in stations])
    return _Found(stations, measures, conditions, readings, warnings)


def _several(name: str, stations: Sequence[Row]) -> Iterator[str]:
    yield f"{len(stations)} stations are called '{name}': give the id of one"
    for station in stations[:LISTED]:
        yield f"  {station['station_id'] or chr(39) * 2:<12} {_label(station)}: {_place(station) or 'place not known'}"
    if len(stations) > LISTED:
        yield f"  and {len(stations) - LISTED:,} more"


def _station(found: _Found, now: datetime) -> Iterator[str]:
    (station,) = found.stations
    page = f", page {station['rloi_id']} on 'check for flooding'" if station["rloi_id"] else ""
    yield f"{_label(station)} ({station['station_id']}{page})"
    if place := _place(station):
        yield place
    if not found.conditions:
        yield "It has no measures, and so no readings."
    for condition in found.conditions:
        measure = found.measures.get(condition["measure_id"], {})
        yield ""
        yield from _measure(station, measure, condition, _values(found.readings, condition["measure_id"]), now)
    yield ""
    yield from _warnings(found.warnings)


def _measure(
    station: Row, measure: Row, condition: Row, day: Sequence[tuple[datetime, float]], now: datetime
) -> Iterator[str]:
    unit = measure.get("unit") or ""
    kind = " ".join(each for each in (measure.get("parameter"), measure.get("qualifier")) if each)
    yield f"{kind or 'measure'}  [{condition['measure_id']}]"
    if condition["value"] is None:
        yield f"  no usable reading in the last 24 hours{_freshness(condition)}"
        return
    yield f"  {_number(condition['value'])} {unit} at {_time(condition['date_time'])}{_freshness(condition)}"
    if condition["band"]:
        low, high = _number(station["typical_low"]), _number(station["typical_high"])
        yield f"  {_BANDS[condition['band']]} (typical {low} to {high} {unit})"
    if condition["trend"]:
        rate = f", {condition['rate_per_hour']:+.3f} {unit} an hour" if condition["trend"] != "steady" else ""
        yield f"  {_ARROWS[condition['trend']]} {condition['trend']}{rate}"
    if condition["rain_24h_coverage"] is not None:
        for hours in RAIN_HOURS:
            yield f"  rain of {hours:>2} h: {_rain(condition, hours)}"
    if len(day) > 1:
        yield f"  {_spark(day, now)}  {_number(condition['min_24h'])} to {_number(condition['max_24h'])} in 24 hours"
    if condition["passed_over"]:
        count = condition["passed_over"]
        yield f"  {count} newer reading{'s are' if count > 1 else ' is'} not used: no single value, or a failed check"
    if condition["flag"] == quality.SUSPECT:
        yield "  this reading is suspect or of high interest: see the quality flags"


def _river(name: str, found: _Found, now: datetime) -> Iterator[str]:
    yield f"{found.stations[0]['river'] or name}: {len(found.stations)} stations"
    yield ""
    by_id = {station["station_id"]: station for station in found.stations}
    yield _line("station", "", "value", "unit", "range", " ", "time", "last 24 hours")
    order = sorted(found.conditions, key=lambda row: (_label(by_id.get(row["station_id"], {})), row["measure_id"]))
    for condition in order:
        measure = found.measures.get(condition["measure_id"], {})
        time = condition["date_time"]
        yield _line(
            _label(by_id.get(condition["station_id"], {})),
            measure.get("parameter") or "",
            _number(condition["value"]),
            measure.get("unit") or "",
            condition["band"] or "",
            _ARROWS.get(condition["trend"], " "),
            f"{time.astimezone(london()):%H:%M}" if time else "silent",
            _spark(_values(found.readings, condition["measure_id"]), now),
        )
    yield ""
    yield from _warnings(found.warnings)
    yield ""
    yield f"times are those of {now.astimezone(london()):%Z} ({now:%Y-%m-%d %H:%M}Z is now)"


def _warnings(near: query.Result) -> Iterator[str]:
    """Yield lines of at most 80 columns about the warnings in force near by, the most severe first."""
    rows = near.rows.to_pylist()
    yield f"Warnings within {WITHIN_KM:g} km: {len(rows) if rows else 'none'}"
    for note in () if rows else near.notes:
        yield from textwrap.wrap(note, 80, initial_indent="  ", subsequent_indent="  ")
    for row in rows[:WARNED]:
        name = row["label"] or row["description"] or row["flood_area_id"]
        yield _cut(f"  {row['severity'] or 'Warning of unknown severity'}: {name} ({row['distance_km']:.1f} km)")
        if row["severity_changed_at"]:
            yield f"    since {_time(row['severity_changed_at'], dated=True)}"
        if row["message"] and row["message"].strip():
            yield _cut(f"    {row['message'].strip().splitlines()[0]}")
    if len(rows) > WARNED:
        yield f"  and {len(rows) - WARNED:,} more"


def _cut(line: str) -> str:
    return line if len(line) <= 80 else f"{line[:79].rstrip()}…"


def _line(label: str, parameter: str, value: str, unit: str, band: str, arrow: str, time: str, spark: str) -> str:
    """Return a line of at most 80 columns."""
    return f"{label[:18]:<18} {parameter[:5]:<5} {value:>8} {unit[:4]:<4} {band:<6}{arrow} {time:<6} {spark}"


def _values(readings: pa.Table, measure: str) -> list[tuple[datetime, float]]:
    rows = readings.filter(pc.equal(readings["measure_id"], measure)).to_pylist()
    return [(row["date_time"], row["value"]) for row in rows if row["value"] is not None]


def _spark(day: Sequence[tuple[datetime, float]], now: datetime) -> str:
    """Return a bar for each of the last 24 hours, by the hour's last value; a blank for an hour without one."""
    bars: list[float | None] = [None] * _BARS_A_DAY
    for time, value in day:
        hours = int((now - time).total_seconds() // 3600)
        if 0 <= hours < _BARS_A_DAY:
            bars[_BARS_A_DAY - 1 - hours] = value
    there = [value for value in bars if value is not None]
    if not there:
        return ""
    low, span = min(there), max(there) - min(there)
    return "".join(
        " " if value is None else _BARS[round((value - low) / span * (len(_BARS) - 1)) if span else 0] for value in bars
    )


def _rain(condition: Row, hours: int) -> str:
    total, coverage = condition[f"rain_{hours}h"], condition[f"rain_{hours}h_coverage"]
    if total is None:
        return "no readings"
    return f"{total:.1f} mm ({coverage:.0%} of the readings)"


def _freshness(condition: Row) -> str:
    if condition["freshness"] is None:
        return ""
    due = f", next due {_time(condition['next_due_at'])}" if condition["next_due_at"] else ""
    return f"; {condition['freshness']}{due if condition['freshness'] == 'current' else ''}"


def _time(moment: datetime, *, dated: bool = False) -> str:
    """Return a time as people in England read it, with UTC beside where that is another."""
    local = moment.astimezone(london())
    day = f"{local:%a} {local.day} {local:%b %Y}" if dated else f"{local:%a}"
    beside = "" if local.utcoffset() == moment.utcoffset() else f" ({moment:%H:%M}Z)"
    return f"{day} {local:%H:%M %Z}{beside}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.3f}".rstrip("0").rstrip(".")


def _label(station: Row) -> str:
    return station.get("label") or station.get("station_id") or "unknown station"


def _place(station: Row) -> str:
    where = [station["river"], station["town"], station["catchment"] and f"{station['catchment']} catchment"]
    if station["lat"] is not None and station["long"] is not None:
        east = "E" if station["long"] >= 0 else "W"
        where.append(f"{station['lat']:.4f} N {abs(station['long']):.4f} {east}")
    return ", ".join(each for each in where if each)
