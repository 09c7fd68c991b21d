"""Describe stations, measures, flood warnings and flood areas as the Environment Agency's API does.

Their `@id`s are the Agency's. What the lake does not keep is left out: the measure's `unit`, the station's region, the
area's dialling number. A replica that is filled from these items has the same rows.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from flood_assets.serve.snapshot import Snapshot
from flood_assets.serve.tables import FOREVER

ROOT = "http://environment.data.gov.uk/flood-monitoring"
STATION, MEASURE = f"{ROOT}/id/stations/", f"{ROOT}/id/measures/"
READING, _CORE = f"{ROOT}/data/readings/", f"{ROOT}/def/core/"
_FLOOD, _AREA = f"{ROOT}/id/floods/", f"{ROOT}/id/floodAreas/"

STATION_COLUMNS = (
    "@id", "RLOIid", "catchmentName", "dateOpened", "easting", "gridReference", "label", "lat", "long", "northing",
    "notation", "riverName", "stageScale", "stationReference", "status", "town", "wiskiID",
)  # fmt: skip
MEASURE_COLUMNS = (
    "@id", "label", "notation", "stationReference", "station", "parameterName", "parameter", "qualifier", "datumType",
    "period", "unitName", "valueType", "latestReading", "value", "dateTime", "date", "measure",
)  # fmt: skip
FLOOD_COLUMNS = (
    "@id", "description", "eaAreaName", "floodArea", "floodAreaID", "isTidal", "message", "severity", "severityLevel",
    "timeMessageChanged", "timeRaised", "timeSeverityChanged",
)  # fmt: skip
AREA_COLUMNS = (
    "@id", "county", "description", "eaAreaName", "fwdCode", "label", "lat", "long", "notation", "polygon",
    "riverOrSea",
)  # fmt: skip

PARAMETER_NAMES = {
    "level": "Water Level",
    "flow": "Flow",
    "rainfall": "Rainfall",
    "wind": "Wind",
    "temperature": "Temperature",
}
# The Agency's name of each column that is a text.
STATION_TEXTS = {
    "label": "label",
    "riverName": "river",
    "catchmentName": "catchment",
    "town": "town",
    "gridReference": "grid_reference",
    "RLOIid": "rloi_id",
    "wiskiID": "wiski_id",
    "stationReference": "station_reference",
}
_IN_BRIEF = ("@id", "parameter", "parameterName", "period", "qualifier", "unitName")
_IN_READING = ("@id", "datumType", "parameter", "period", "qualifier")


@dataclass(frozen=True)
class Gauges:
    """The stations and measures of a snapshot as items; kept with it.

    Attributes:
        stations: of the newest list, by row of `Snapshot.stations`, without what the full view adds.
        scales: the stage scale of each; None without one.
        types: the kinds of each.
        measures: all measures, by code; those that are not listed have their ids alone.
        listed: whether each is listed.
        of_station: the codes of each station's listed measures, by row.
        until: until when it holds; forever.
    """

    stations: list[dict[str, Any]]
    scales: list[dict[str, Any] | None]
    types: list[list[str]]
    measures: list[dict[str, Any]]
    listed: list[bool]
    of_station: list[list[int]]
    until: datetime = FOREVER

    @classmethod
    def of(cls, snapshot: Snapshot) -> "Gauges":
        """Describe the gauges of a snapshot."""
        listed = snapshot.measures.to_pylist()
        rows = [listed[row] if row >= 0 else None for row in snapshot.listed.tolist()]
        stations = snapshot.stations.to_pylist()
        of_station: list[list[int]] = [[] for _ in stations]
        measures = []
        for code, (row, station) in enumerate(zip(rows, snapshot.station.tolist(), strict=True)):
            known = stations[station] if station >= 0 else None
            measures.append(_measure(snapshot.ids[code].as_py(), row, snapshot.station_ids[code], known))
            if row is not None and station >= 0:
                of_station[station].append(code)
        items = []
        for row, codes in zip(stations, of_station, strict=True):
            item = _station(row)
            if codes:
                item["measures"] = [{k: v for k, v in measures[c].items() if k in _IN_BRIEF} for c in codes]
            items.append(item)
        types = [
            _types(row["station_type"], [measures[code] for code in codes])
            for row, codes in zip(stations, of_station, strict=True)
        ]
        return cls(
            items, [_scale(row) for row in stations], types, measures, [row is not None for row in rows], of_station
        )

    @cached_property
    def station_rows(self) -> Mapping[str, int]:
        """The row of each station, by its id as it is in URIs and decoded."""
        return _by_id(item["@id"].removeprefix(STATION) for item in self.stations)

    @cached_property
    def codes(self) -> Mapping[str, int]:
        """The code of each measure, likewise."""
        return _by_id(item["@id"].removeprefix(MEASURE) for item in self.measures)

    def station(self, row: int, *, full: bool) -> dict[str, Any]:
        """Return a station as a list has it; the full view has its scale inside, and its kinds if they are stored."""
        item, scale = self.stations[row], self.scales[row]
        if scale is None:
            return item
        return item | {"stageScale": scale if full else scale["@id"]}

    def page(self, row: int, latest: Mapping[int, str]) -> dict[str, Any]:
        """Return a station as its own page has it: one measure is no list."""
        measures = [self.with_latest(code, latest) for code in self.of_station[row]]
        item = self.station(row, full=True) | {"type": [f"{_CORE}{kind}" for kind in ("Station", *self.types[row])]}
        return item | ({"measures": measures if len(measures) > 1 else measures[0]} if measures else {})

    def with_latest(self, code: int, latest: Mapping[int, str]) -> dict[str, Any]:
        """Return a measure with its newest reading."""
        found = latest.get(code)
        return self.measures[code] | ({} if found is None else {"latestReading": json.loads(found)})

    @cached_property
    def csv(self) -> pa.Array:
        """The text between the time and the value of a reading in CSV, by code."""
        return _texts(f",{csv_row([item['@id']])}," for item in self.measures)

    @cached_property
    def csv_full(self) -> pa.Array:
        """The same between the date and the value in thirteen columns."""
        names = ("label", "stationReference", "parameter", "qualifier", "datumType", "period", "unitName", "valueType")
        return _texts(
            f",{csv_row([item['@id'], item.get('station'), *(self._object(item).get(name) for name in names)])},"
            for item in self.measures
        )

    @cached_property
    def json(self) -> pa.Array:
        """The measure of a reading in JSON, by code."""
        return _texts(json.dumps(item["@id"]) for item in self.measures)

    @cached_property
    def json_full(self) -> pa.Array:
        """The same as an object."""
        return _texts(json.dumps(self._nested(item)) for item in self.measures)

    @cached_property
    def json_start(self) -> pa.Array:
        """The beginning of a reading in JSON, up to the time in its `@id`, by code."""
        ids = (item["@id"].removeprefix(MEASURE) for item in self.measures)
        return _texts(f',{{"@id":{json.dumps(f"{READING}{each}/")[:-1]}' for each in ids)

    def _object(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return a measure with the name of its station as its label."""
        row = self.station_rows.get(item.get("station", "").removeprefix(STATION)) if "station" in item else None
        return {**item, "label": None if row is None else self.stations[row].get("label")}

    def _nested(self, item: Mapping[str, Any]) -> dict[str, Any]:
        shown = {name: item[name] for name in _IN_READING if name in item}
        if "station" in item:
            shown["station"] = _filled({"@id": item["station"], "label": self._object(item)["label"]})
        more = ("stationReference", "unitName", "valueType")
        return shown | {name: item[name] for name in more if name in item}


def _by_id(ids: Iterable[str]) -> dict[str, int]:
    known = {each: number for number, each in enumerate(ids)}
    return {unquote(each): number for each, number in known.items()} | known


def _station(row: Mapping[str, Any]) -> dict[str, Any]:
    texts = {name: _several(row[column]) for name, column in STATION_TEXTS.items()}
    return _filled(
        {
            "@id": f"{STATION}{row['station_id']}",
            "notation": unquote(row["station_id"]),
            **texts,
            "lat": row["lat"],
            "long": row["long"],
            "easting": _round(row["easting"]),
            "northing": _round(row["northing"]),
            "dateOpened": None if row["opened"] is None else row["opened"].isoformat(),
            "status": _uris(row["status"], "status"),
            "type": _uris(row["station_type"], ""),
        }
    )


def _scale(row: Mapping[str, Any]) -> dict[str, Any] | None:
    at = f"{STATION}{row['station_id']}/stageScale"
    parts = {
        "highestRecent": _filled({"dateTime": _zoneless(row["highest_recent_at"]), "value": row["highest_recent"]}),
        "maxOnRecord": _filled({"value": row["max_on_record"]}),
        "minOnRecord": _filled({"value": row["min_on_record"]}),
    }
    found = {name: {"@id": f"{at}/{name}", **part} for name, part in parts.items() if part}
    found |= _filled({"typicalRangeHigh": row["typical_high"], "typicalRangeLow": row["typical_low"]})
    return {"@id": at, **found} if found else None


def _measure(
    measure_id: str, row: Mapping[str, Any] | None, station_id: str | None, station: Mapping[str, Any] | None
) -> dict[str, Any]:
    if row is None:
        return {"@id": f"{MEASURE}{measure_id}"}
    tail = measure_id if station_id is None else measure_id.removeprefix(f"{station_id}-")
    name = None if station is None else station["label"]
    return _filled(
        {
            "@id": f"{MEASURE}{measure_id}",
            "notation": unquote(measure_id),
            "label": f"{name} - {tail}" if name else tail,
            "station": None if row["station_id"] is None else f"{STATION}{row['station_id']}",
            "stationReference": None if station is None else _several(station["station_reference"]),
            "parameter": _several(row["parameter"]),
            "parameterName": PARAMETER_NAMES.get(row["parameter"]),
            "qualifier": _several(row["qualifier"]),
            # As the Agency writes a unit that is none.
            "unitName": _several(row["unit"]) if row["unit"] else "---",
            "valueType": _several(row["value_type"]),
            "datumType": _uris(row["datum"], ""),
            "period": row["period_s"],
        }
    )


def flood(row: Mapping[str, Any], area: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a flood warning; its times are the Agency's own texts, which have no zone."""
    at = row["flood_area_id"]
    inside = {
        "@id": f"{_AREA}{at}",
        "county": row["county"],
        "notation": at,
        "polygon": None if area is None else area["polygon_url"],
        "riverOrSea": row["river_or_sea"],
    }
    return _filled(
        {
            "@id": f"{_FLOOD}{at}",
            "description": row["description"],
            "eaAreaName": row["ea_area"],
            "floodArea": _filled(inside),
            "floodAreaID": at,
            "isTidal": row["is_tidal"],
            "message": row["message"],
            "severity": row["severity"],
            "severityLevel": row["severity_level"],
            "timeMessageChanged": row["message_changed_given"],
            "timeRaised": row["raised_given"],
            "timeSeverityChanged": row["severity_changed_given"],
        }
    )


def flood_area(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a flood area."""
    return _filled(
        {
            "@id": f"{_AREA}{row['flood_area_id']}",
            "notation": row["flood_area_id"],
            "fwdCode": row["flood_area_id"],
            "label": row["label"],
            "description": row["description"],
            "county": row["county"],
            "riverOrSea": row["river_or_sea"],
            "eaAreaName": row["ea_area"],
            "lat": row["lat"],
            "long": row["long"],
            "polygon": row["polygon_url"],
        }
    )


def flat(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item for a row of CSV: an object is its id, and the newest reading has columns of its own."""
    reading = item.get("latestReading")
    own = {name: value["@id"] if isinstance(value, dict) else value for name, value in item.items()}
    if isinstance(reading, dict):
        own |= {name: reading[name] for name in ("value", "dateTime", "date", "measure") if name in reading}
    return own


def csv_row(cells: Sequence[Any]) -> str:
    """Return cells as a row of CSV without its end; several values of one are joined with a bar, None is empty."""
    out = io.StringIO()
    shown = ["|".join(map(str, cell)) if isinstance(cell, list) else cell for cell in cells]
    csv.writer(out, lineterminator="").writerow(shown)
    # A single empty cell would be quoted.
    return out.getvalue() if len(cells) > 1 or shown[0] not in ("", None) else ""


def _types(stored: str | None, measures: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the kinds of a station; the Agency's lists do not say them, so its measures have to."""
    if stored is not None:
        return stored.split("|")
    qualifiers = {item.get("qualifier") for item in measures}
    traces = [item for item in measures if item.get("parameter") in ("level", "flow")]
    if "Groundwater" in qualifiers:
        return ["Groundwater"]
    if "Tidal Level" in qualifiers:
        return ["Coastal"]
    if not traces:
        return ["Meteorological"] if measures else []
    return ["SingleLevel" if len(traces) == 1 else "MultiTraceLevel"]


def _several(text: str | None) -> str | list[str] | None:
    """Return the values that a bar joins as a list, if they were several; parsing it gives the same text again."""
    if text is None or "|" not in text:
        return text
    parts = text.split("|")
    return parts if len(set(parts)) == len(parts) else text


def _uris(names: str | None, prefix: str) -> str | list[str] | None:
    return None if names is None else _several("|".join(f"{_CORE}{prefix}{name}" for name in names.split("|")))


def _filled(item: dict[str, Any]) -> dict[str, Any]:
    """Return what there is of an item: neither nothing nor NaN, which JSON does not have."""
    return {name: value for name, value in item.items() if value is not None and value == value}  # noqa: PLR0124


def _round(number: float | None) -> float | int | None:
    return int(number) if number is not None and math.isfinite(number) and number == int(number) else number


def _zoneless(moment: datetime | None) -> str | None:
    return None if moment is None else moment.replace(tzinfo=None).isoformat()


def _texts(texts: Iterable[str]) -> pa.Array:
    return pa.array([*texts], pa.string())
