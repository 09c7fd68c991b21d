"""Answer under `/flood-monitoring` as the Environment Agency's real-time API does, with its paths, names and limits.

What speaks to the Agency speaks to this server: `FLOOD_API_URL=http://here/flood-monitoring flood-assets refresh` fills
an equal lake. There are 24 hours instead of 28 days, the outlines of flood areas are not kept, and there is no RDF.
Items are described in `ea_items`, readings encoded in `ea_readings`.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flood_assets.grouping import Flags, Ints
from flood_assets.partitions import midnight
from flood_assets.query.filters import Span
from flood_assets.schemas import WARNING_AREAS
from flood_assets.serve import asked, tables
from flood_assets.serve.api import Api
from flood_assets.serve.bodies import Body
from flood_assets.serve.choosing import mask
from flood_assets.serve.dialects import ea_items as items
from flood_assets.serve.dialects.ea_asked import FORMS, PREFIX, Asked, RefusedError
from flood_assets.serve.dialects.ea_items import ROOT, Gauges
from flood_assets.serve.dialects.ea_readings import Readings, Texts
from flood_assets.serve.snapshot import Snapshot

DEFAULT_LIMIT, HARD_LIMIT = 500, 10_000

_OF_MEASURE = {"parameter", "parameterName", "qualifier", "stationReference", "station"}
_OF_READING = _OF_MEASURE | {"measure", "latest", "today", "date", "startdate", "enddate"}
_NEAR = ("lat", "long", "dist")
_EXACT = ("label", "town", "catchmentName", "riverName", "stationReference", "RLOIid")
_OF_STATION = {*_EXACT, *_NEAR, "parameter", "parameterName", "qualifier", "search", "type", "status"}
_DAY = timedelta(days=1)
# Names of what is kept with a snapshot.
_GAUGES, _TEXTS = "ea gauges", "ea texts"


def routes(api: Api) -> list[Route]:
    """Return the routes of the Agency's paths."""

    async def answer(request: Request) -> Response:
        try:
            given = Asked.of(request)
            key = f"ea {given.form} {given.path}"
            return await api.answer(request, _maker(given), quick=_is_quick(api, given), key=key)
        except RefusedError as refused:
            return Response(str(refused), refused.status, {"cache-control": "no-store"}, "text/plain")

    return [Route(f"{PREFIX}/{{path:path}}", answer, methods=["GET"])]


def _is_quick(api: Api, given: Asked) -> bool:
    """Return True for what one gauge or station has, once what all have in common is known."""
    snapshot = api.watcher.snapshot
    return (
        snapshot is not None
        and len(given.path) > 2
        and given.path[1] in ("stations", "measures")
        and all(snapshot.has(name, api.clock()) for name in (_GAUGES, _TEXTS))
    )


def _maker(given: Asked) -> Callable[[Snapshot, datetime], Body]:
    """Return what answers a request; RefusedError if nothing does."""
    match given.path:
        case ("id", "stations"):
            make = partial(_stations, given)
        case ("id", "measures"):
            make = partial(_measures, given, of=None)
        case ("data", "readings"):
            make = partial(_readings, given, of=None)
        case ("data", "readings", measure, stamp):
            make = partial(_reading, given, measure=measure, stamp=stamp)
        case ("id", "stations", station, *rest):
            make = partial(_of_station, given, station=station, rest=rest)
        case ("id", "measures", measure, *rest):
            make = partial(_of_measure, given, measure=measure, rest=rest)
        case ("id", "floods", *rest):
            make = partial(_floods, given, rest=rest)
        case ("id", "floodAreas", *rest):
            make = partial(_areas, given, rest=rest)
        case _:
            raise _not_found()
    return make


# ---- stations and measures


def _stations(given: Asked, snapshot: Snapshot, now: datetime) -> Body:
    given.check(_OF_STATION)
    _require(snapshot, now, "stations")
    gauges, query, rows = _gauges(snapshot), given.query, snapshot.stations
    fits: Flags = np.ones(len(rows), np.bool_)
    for name in _EXACT:
        if name in query:
            fits &= _has(rows[items.STATION_TEXTS[name]], query[name])
    if "status" in query:
        fits &= _has(rows["status"], query["status"])
    if "type" in query:
        fits &= np.array([query["type"] in kinds for kinds in gauges.types], np.bool_)
    if "search" in query:
        fits &= _true(pc.match_substring(rows["label"], query["search"], ignore_case=True))
    traits = {name: query[name] for name in ("parameter", "parameterName", "qualifier") if name in query}
    if traits:
        here = snapshot.station[_matching(snapshot, traits)]
        fits &= mask(here[here >= 0], len(rows))
    fits &= _near(given, snapshot.lat, snapshot.long)
    found = (gauges.station(row, full=given.full) for row in np.flatnonzero(fits).tolist())
    return _listing(given, snapshot, now, found, items.STATION_COLUMNS, None)


def _of_station(given: Asked, snapshot: Snapshot, now: datetime, station: str, rest: Sequence[str]) -> Body:
    gauges = _gauges(snapshot)
    row = gauges.station_rows.get(station)
    if row is None:
        raise _not_found()
    if not rest:
        latest, until = _latest(snapshot, now, gauges.of_station[row])
        return _single(given, snapshot, now, gauges.page(row, latest), until)
    match [*rest]:
        case ["measures"]:
            return _measures(given, snapshot, now, gauges.of_station[row])
        case ["readings"]:
            codes = snapshot.of_station[snapshot.stations["station_id"][row].as_py()]
            return _readings(given, snapshot, now, codes)
        case ["stageScale"] if (scale := gauges.scales[row]) is not None:
            return _single(given, snapshot, now, scale, None)
    raise _not_found()


def _measures(given: Asked, snapshot: Snapshot, now: datetime, of: list[int] | None) -> Body:
    given.check(_OF_MEASURE)
    _require(snapshot, now, "measures")
    gauges = _gauges(snapshot)
    fits = _matching(snapshot, given.query) & (snapshot.listed >= 0)
    if of is not None:
        fits &= mask(of, len(fits))
    codes = np.flatnonzero(fits).tolist()
    latest, until = _latest(snapshot, now, codes)
    found = (gauges.with_latest(code, latest) for code in codes)
    return _listing(given, snapshot, now, found, items.MEASURE_COLUMNS, until)


def _of_measure(given: Asked, snapshot: Snapshot, now: datetime, measure: str, rest: Sequence[str]) -> Body:
    gauges = _gauges(snapshot)
    code = gauges.codes.get(measure)
    if code is None:
        raise _not_found()
    if [*rest] == ["readings"]:
        return _readings(given, snapshot, now, [code])
    if rest or not gauges.listed[code]:
        raise _not_found()
    latest, until = _latest(snapshot, now, [code])
    return _single(given, snapshot, now, gauges.with_latest(code, latest), until)


def _matching(snapshot: Snapshot, query: Mapping[str, str]) -> Flags:
    """Return a mask of the measures, by code, that pass the filters of a request."""
    fits: Flags = np.ones(len(snapshot.ids), np.bool_)
    gauges = _gauges(snapshot)
    for name in ("parameter", "qualifier"):
        if name in query:
            fits &= _at(_has(snapshot.measures[name], query[name]), snapshot.listed)
    if "parameterName" in query:
        called = [name for name, words in items.PARAMETER_NAMES.items() if words == query["parameterName"]]
        fits &= _at(_true(pc.is_in(snapshot.measures["parameter"], pa.array(called, pa.string()))), snapshot.listed)
    if "stationReference" in query:
        fits &= _at(_has(snapshot.stations["station_reference"], query["stationReference"]), snapshot.station)
    for name, known, of in (
        ("station", gauges.station_rows, snapshot.station),
        ("measure", gauges.codes, np.arange(len(fits))),
    ):
        if name in query:
            wanted = query[name].rpartition(f"/id/{name}s/")[2]
            fits &= of == known.get(wanted, -2)
    return fits


def _near(given: Asked, lat: Any, long: Any) -> Flags:
    """Return a mask of what lies within `dist` km of `lat` and `long`; of all, unless all three are given."""
    if not all(name in given.query for name in _NEAR):
        everything: Flags = np.ones(len(lat), np.bool_)
        return everything
    try:
        y, x, km = (float(given.query[name]) for name in _NEAR)
    except ValueError as wrong:
        raise RefusedError(400, f"Bad format for lat, long or dist: {str(wrong)[:120]}") from None
    north, east = (lat - y) * 111.2, (long - x) * 111.2 * math.cos(math.radians(y))
    found: Flags = np.hypot(north, east) <= km
    return found


# ---- readings


def _readings(given: Asked, snapshot: Snapshot, now: datetime, of: list[int] | None) -> Body:
    given.check(_OF_READING | (set() if of is None else {"since"}))
    codes = None
    if of is not None or set(given.query) & (_OF_MEASURE | {"measure"}):
        fits = _matching(snapshot, given.query)
        codes = np.flatnonzero(fits if of is None else fits & mask(of, len(fits)))
    places, until = _places(given, snapshot, now, codes)
    unlimited = bool({"latest", "today", "date"} & set(given.query))
    limit = given.number("_limit")
    if limit is None:
        limit = None if unlimited else DEFAULT_LIMIT
    elif not 0 <= limit <= HARD_LIMIT:
        limit = HARD_LIMIT
    if "_sorted" in given.query:
        places = places[np.argsort(-snapshot.day.at[places], kind="stable")]
    offset = max(0, given.number("_offset") or 0)
    found = Readings(snapshot.day, places, _texts(snapshot), _gauges(snapshot))
    if offset or (limit is not None and len(places)):
        # A limit counts values, of which a reading may have several.
        each = found.count()
        first = np.cumsum(each) - each
        fits = (first >= offset) & (first < offset + (limit if limit is not None else 1 << 62))
        found = replace(found, places=places[fits])
    body = found.csv(full=given.full) if given.form == "csv" else _enveloped(given, found, limit, offset)
    return Body.of_parts(body, FORMS[given.form], snapshot.cut(now), until)


def _places(given: Asked, snapshot: Snapshot, now: datetime, codes: Ints | None) -> tuple[Ints, datetime | None]:
    """Return the places of the readings of the span that is asked for, and until when there are no others."""
    query = given.query
    date, start, since, last = (given.moment(name) for name in ("date", "startdate", "since", "enddate"))
    if "latest" in query:
        newest = tables.latest(snapshot, asked.Joined(), now)
        places = tables.newest(snapshot, now)
        if codes is not None:
            places = places[mask(codes, len(snapshot.ids))[snapshot.day.measure[places]]]
        return places, newest.until
    span, end = Span(), None
    if "today" in query:
        today = midnight(now.astimezone(UTC).date())
        span, end = Span(today), today + _DAY
    elif date is not None:
        span = Span(date, date + _DAY)
    elif start is not None or last is not None:
        span = Span(start, None if last is None else midnight(last.date()) + _DAY)
    elif since is not None:
        span = Span(since + timedelta(milliseconds=1))
    places, until = tables.retained(snapshot, codes, span, now)
    return places, min(until or tables.FOREVER, end or tables.FOREVER)


def _enveloped(given: Asked, found: Readings, limit: int | None, offset: int) -> Iterator[bytes]:
    yield _envelope(given, limit, offset)
    yield from found.json(full=given.full)
    yield b"]}\n"


def _reading(given: Asked, snapshot: Snapshot, now: datetime, measure: str, stamp: str) -> Body:
    gauges = _gauges(snapshot)
    code, parts = gauges.codes.get(measure), re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d)Z", stamp)
    try:
        at = datetime.fromisoformat(f"{parts[1]}T{parts[2]}:{parts[3]}:{parts[4]}+00:00") if parts else None
    except ValueError:
        at = None
    if code is None or at is None or at.year > 9000:
        raise _not_found()
    span = Span(at, at + timedelta(milliseconds=1))
    places, until = tables.retained(snapshot, np.array([code]), span, now)
    if not len(places):
        raise _not_found()
    (text,) = Readings(snapshot.day, places, _texts(snapshot), gauges).items()
    return _single(given, snapshot, now, json.loads(text), until)


def _latest(snapshot: Snapshot, now: datetime, codes: list[int]) -> tuple[dict[int, str], datetime | None]:
    """Return the newest reading of measures as items, by code, and until when they are the newest."""
    places = tables.newest(snapshot, now)
    measure = snapshot.day.measure[places]
    here = mask(codes, len(snapshot.ids))[measure]
    found = Readings(snapshot.day, places[here], _texts(snapshot), _gauges(snapshot)).items()
    until = tables.latest(snapshot, asked.Joined(), now).until
    return dict(zip(measure[here].tolist(), found, strict=True)), until


# ---- flood warnings


def _floods(given: Asked, snapshot: Snapshot, now: datetime, rest: Sequence[str]) -> Body:
    known = snapshot.warnings(now)
    if known is None:
        raise _none_stored("flood warnings")
    areas = snapshot.lake.newest_snapshot(WARNING_AREAS, now)
    of_area = {} if areas is None else {row["flood_area_id"]: row for row in areas.to_pylist()}
    # What has left the Agency's list has left this one; what it lists as no longer in force is here too.
    rows = known.rows.filter(pc.is_null(known.rows["left_at"])).to_pylist()
    found = [items.flood(row, of_area.get(row["flood_area_id"])) for row in rows]
    until = now + timedelta(minutes=1)
    if rest:
        return _one_of(given, snapshot, now, found, rest, until)
    given.check({"min-severity", "county"})
    least, county = given.number("min-severity"), given.query.get("county", "")
    found = [
        item
        for item in found
        if (least is None or item.get("severityLevel", 0) <= least) and county in item["floodArea"].get("county", "")
    ]
    return _listing(given, snapshot, now, found, items.FLOOD_COLUMNS, until)


def _areas(given: Asked, snapshot: Snapshot, now: datetime, rest: Sequence[str]) -> Body:
    rows = snapshot.lake.newest_snapshot(WARNING_AREAS, now)
    if rows is None or not len(rows):
        raise _none_stored("flood areas")
    until = now + timedelta(minutes=1)
    if len(rest) == 2 and rest[1] == "polygon":
        raise RefusedError(404, "Outlines are not kept here: the Agency has them at the same path")
    if rest:
        return _one_of(given, snapshot, now, map(items.flood_area, rows.to_pylist()), rest, until)
    given.check(_NEAR)
    near = _near(given, *(rows[name].to_numpy() for name in ("lat", "long")))
    return _listing(
        given, snapshot, now, map(items.flood_area, rows.filter(pa.array(near)).to_pylist()), items.AREA_COLUMNS, until
    )


# ---- answers


def _listing(
    given: Asked,
    snapshot: Snapshot,
    now: datetime,
    found: Iterable[dict[str, Any]],
    columns: Sequence[str],
    until: datetime | None,
) -> Body:
    """Return a list, which is limited only on request."""
    limit, offset = given.number("_limit"), max(0, given.number("_offset") or 0)
    limit = None if limit is None or limit < 0 else limit
    some = [*found][offset : None if limit is None else offset + limit]
    if given.form == "csv":
        lines = [items.csv_row(columns)]
        lines += [items.csv_row([each.get(name) for name in columns]) for each in map(items.flat, some)]
        parts = [f"{line}\r\n".encode() for line in lines]
    else:
        texts = ",\n".join(json.dumps(each) for each in some)
        parts = [_envelope(given, limit, offset), texts.encode(), b"]}\n"]
    return Body.of_parts(parts, FORMS[given.form], snapshot.cut(now), until)


def _single(given: Asked, snapshot: Snapshot, now: datetime, item: dict[str, Any], until: datetime | None) -> Body:
    given.check(())
    if given.form == "csv":
        raise RefusedError(406, "A single item is not available as csv")
    data = _envelope(given, None, 0)[:-1] + json.dumps(item).encode() + b"}\n"
    return Body(data, FORMS["json"], snapshot.cut(now), until)


def _one_of(
    given: Asked,
    snapshot: Snapshot,
    now: datetime,
    found: Iterable[dict[str, Any]],
    rest: Sequence[str],
    until: datetime,
) -> Body:
    for item in found:
        if [unquote(item["@id"].rpartition("/")[2])] == [*rest]:
            return _single(given, snapshot, now, item, until)
    raise _not_found()


def _envelope(given: Asked, limit: int | None, offset: int) -> bytes:
    """Return what stands before the items, up to the bracket of their list."""
    query = f"?{given.raw}" if given.raw else ""
    meta: dict[str, Any] = {
        "publisher": "Environment Agency",
        "licence": "http://www.nationalarchives.gov.uk/doc/open-government-licence/version/3/",
        "documentation": f"{ROOT}/doc/reference",
        "version": "0.9",
        "comment": "Status: Beta service; a copy of the last 24 hours, served by flood_assets",
        "hasFormat": [f"{ROOT}/{'/'.join(given.path)}.csv{query}"],
    }
    if limit is not None:
        meta["limit"] = limit
    if offset:
        meta["offset"] = offset
    said = json.dumps({"@context": f"{ROOT}/meta/context.jsonld", "meta": meta})
    return f'{said[:-1]},"items":['.encode()


def _gauges(snapshot: Snapshot) -> Gauges:
    return snapshot.kept(_GAUGES, snapshot.taken_at, lambda: Gauges.of(snapshot))


def _texts(snapshot: Snapshot) -> Texts:
    return snapshot.kept(_TEXTS, snapshot.taken_at, lambda: Texts.of(snapshot.day, tables.FOREVER))


def _require(snapshot: Snapshot, now: datetime, name: str) -> None:
    """Raise RefusedError if the lake has no list of the last 24 hours: an empty one would say that there is none."""
    list_ = tables.stations if name == "stations" else tables.measures
    if not list_(snapshot, asked.Gauges(), now).count:
        raise _none_stored(name)


def _none_stored(name: str) -> RefusedError:
    return RefusedError(503, f"The lake that is served has no list of {name} of the last 24 hours")


def _not_found() -> RefusedError:
    return RefusedError(404, "Not Found")


def _has(column: pa.ChunkedArray, value: str) -> Flags:
    """Return a mask of the texts that are a value, or several of which it is one."""
    same = _true(pc.equal(column, value))
    several = _true(pc.match_substring(column, "|"))
    if several.any():
        at = np.flatnonzero(several)
        same[at] = [value in text.split("|") for text in column.take(pa.array(at)).to_pylist()]
    return same


def _true(flags: pa.ChunkedArray) -> Flags:
    found: Flags = np.array(pc.fill_null(flags, False), np.bool_)
    return found


def _at(flags: Flags, places: Ints) -> Flags:
    found: Flags = np.append(flags, False)[places]
    return found
