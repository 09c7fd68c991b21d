"""Answer `/api/v1`: one resource for each table, in each format, with the same filters."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flood_assets.query.status import look
from flood_assets.query.status_json import content
from flood_assets.schemas import (
    ALERTS,
    COMPLETENESS,
    CONDITIONS,
    MEASURES,
    READINGS,
    STATIONS,
    TIMELINESS,
    WARNINGS,
    Table,
)
from flood_assets.serve import asked, deprecated, formats, tables
from flood_assets.serve.bodies import Bodies, Body
from flood_assets.serve.errors import BadRequestError
from flood_assets.serve.headers import NOTES
from flood_assets.serve.http import problem, send
from flood_assets.serve.openapi import of_rows, of_status
from flood_assets.serve.paging import Answer, Part, names_of, part_of
from flood_assets.serve.parameters import described, parse
from flood_assets.serve.snapshot import Snapshot
from flood_assets.serve.watch import Watcher

PREFIX = "/api/v1"
# As JSON the day of the country would be 110 MB: it comes in pages. All other formats give all rows.
MOST_JSON_ROWS = 50_000
# Gauges whose rows are looked up and encoded at once, without a thread.
_FEW_GAUGES = 20


@dataclass(frozen=True)
class Resource:
    """A table that is served.

    Attributes:
        summary: one line.
        model: the parameters.
        answer: gives the rows.
        table: names and explains the columns.
        placed: True if its rows have positions, so that GeoJSON can be asked for.
    """

    summary: str
    model: type[asked.Page]
    answer: Callable[[Snapshot, Any, datetime], Answer]
    table: Table
    placed: bool = False


RESOURCES: Mapping[str, Resource] = {
    "stations": Resource("Stations of the newest list", asked.Gauges, tables.stations, STATIONS, placed=True),
    "measures": Resource("What each station measures", asked.Gauges, tables.measures, MEASURES),
    "readings": Resource("Readings of the last 24 hours", asked.Readings, tables.readings, READINGS),
    "latest": Resource("The newest reading of each measure", asked.Joined, tables.latest, READINGS, placed=True),
    "conditions": Resource(
        "Value, band, trend, rain and freshness of each gauge",
        asked.Conditions,
        tables.conditions,
        CONDITIONS,
        placed=True,
    ),
    "changes": Resource("Readings that are new or were corrected", asked.Changes, tables.changes, READINGS),
    "completeness": Resource("Expected and missing readings by hour", asked.Spanned, tables.completeness, COMPLETENESS),
    "timeliness": Resource(
        "Usual delay, and when the next reading is due", asked.Joined, tables.timeliness, TIMELINESS
    ),
    "warnings": Resource("Flood warnings", asked.Warnings, tables.warnings, WARNINGS),
    "alerts": Resource(
        "Alerts by rules of whoever runs this server: no official warnings", asked.Alerts, tables.alerts, ALERTS
    ),
}


Endpoint = Callable[[Request], Awaitable[Response]]


class Api:
    """The answers to requests, from the watcher's snapshot.

    Args:
        watcher: has the snapshot.
        clock: the current time.

    Attributes:
        endpoints: the resources by their paths, which are asked for most.
    """

    def __init__(self, watcher: Watcher, clock: Callable[[], datetime]) -> None:
        self.watcher, self.clock = watcher, clock
        self.bodies = Bodies()
        self.endpoints: dict[str, Endpoint] = {}

    async def answer(
        self, request: Request, make: Callable[[Snapshot, datetime], Body], *, quick: bool = False, key: str = ""
    ) -> Response:
        """Answer from what is kept, or make it.

        Args:
            request: its path and query are the key of what is kept.
            make: makes the body from the snapshot, at the moment.
            quick: True to make it at once; in a thread otherwise.
            key: further part of the key, if more than the URL decides.
        """
        snapshot, now = self.watcher.snapshot, self.clock()
        if snapshot is None:
            why = self.watcher.trouble or "the lake has not been read yet"
            return problem(request, 503, f"no data yet: {why}", headers={"retry-after": "5"})
        place = f"{request.scope['path']}?{request.scope['query_string'].decode('latin-1')} {key}"
        body = self.bodies.get(snapshot, place, now)
        try:
            if body is None and quick:
                body = make(snapshot, now)
                self.bodies.keep(snapshot, place, body, now)
            elif body is None:
                body = await self.bodies.made(snapshot, place, now, lambda: make(snapshot, now))
        except BadRequestError as error:
            return problem(request, 400, str(error))
        response = send(request, body, now, self.watcher.age() if self.watcher.trouble else None)
        if snapshot.notes:
            response.headers[NOTES] = "; ".join(snapshot.notes).encode("ascii", "replace").decode()
        return response


def router(api: Api) -> APIRouter:
    """Return the routes of all resources."""
    routes = APIRouter(prefix=PREFIX)
    for name, resource in RESOURCES.items():
        _add(routes, api, name, resource)

    async def status(request: Request) -> Response:
        return await api.answer(request, _status)

    routes.add_api_route(
        "/status", status, methods=["GET"], summary="State of the lake", operation_id="status", responses=of_status()
    )
    routes.add_api_route("/status", status, methods=["HEAD"], include_in_schema=False)
    return routes


def _add(routes: APIRouter, api: Api, name: str, resource: Resource) -> None:
    known = [each for each in formats.MEDIA_TYPES if each != "geojson" or resource.placed]

    async def by_accept(request: Request) -> Response:
        wanted = accepted(request.headers.get("accept", ""), known)
        if wanted is None:
            there = ", ".join(formats.MEDIA_TYPES[each] for each in known)
            return problem(request, 406, f"none of the accepted types is served: there are {there}")
        return await answered(request, wanted)

    async def by_suffix(request: Request) -> Response:
        wanted = request.path_params["suffix"]
        if wanted not in known:
            return problem(request, 404, f"there is no format '{wanted[:40]}' of {name}: there are {', '.join(known)}")
        return await answered(request, wanted)

    async def answered(request: Request, format_: str) -> Response:
        try:
            given = parse(resource.model, request)
        except BadRequestError as error:
            return problem(request, 400, str(error))
        return await api.answer(
            request,
            lambda snapshot, now: body_of(request, snapshot, now, name, given, format_),
            quick=_is_quick(api, name, given, format_),
            key=format_,
        )

    suffix = {"name": "suffix", "in": "path", "required": True, "schema": {"enum": known}}
    for path, endpoint in ((f"/{name}", by_accept), (f"/{name}.{{suffix}}", by_suffix)):
        routes.add_api_route(
            path,
            endpoint,
            methods=["GET"],
            summary=resource.summary,
            description=(resource.answer.__doc__ or "").split(";")[0],
            operation_id=name if endpoint is by_accept else f"{name}_as",
            response_class=Response,
            responses=of_rows(name, resource.table, known),
            openapi_extra={
                "parameters": [*([suffix] if endpoint is by_suffix else []), *described(resource.model)],
            },
        )
        routes.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False)
    api.endpoints[f"{PREFIX}/{name}"] = by_accept
    api.endpoints |= {f"{PREFIX}/{name}.{each}": partial(answered, format_=each) for each in known}


def body_of(request: Request, snapshot: Snapshot, now: datetime, name: str, given: Any, format_: str) -> Body:
    """Return the body of an answer.

    Raises:
        BadRequestError: the parameters have no meaning.
    """
    resource = RESOURCES[name]
    if format_ == "geojson" and not getattr(given, "joined", True):
        # The position is a part of what is joined.
        given = given.model_copy(update={"joined": True})
    answer = resource.answer(snapshot, given, now)
    names = names_of(answer, given.columns)
    textual = format_ in ("json", "geojson")
    limit = given.limit or (MOST_JSON_ROWS if textual else None)
    part = part_of(answer, limit, given.after)
    following = None if part.next is None else _next(request, part.next, limit)
    headers = deprecated.headers((*given.model_fields_set, *names)) if deprecated.DEPRECATED else {}
    if following:
        headers["link"] = ", ".join(filter(None, (f'<{following}>; rel="next"', headers.get("link"))))
    if textual:
        texts = _texts(answer, names, part, format_)
        said = _said(snapshot, answer, part, following, format_)
        parts: Iterable[bytes] = [formats.json_object("features" if format_ == "geojson" else name, texts, said)]
    else:
        headers["number-matched"] = str(answer.count)
        parts = formats.FILES[format_](answer.rows.select(names).slice(part.start, part.end - part.start))
    return Body.of_parts(parts, formats.MEDIA_TYPES[format_], snapshot.cut(now), answer.until, headers)


def accepted(header: str, known: list[str]) -> str | None:
    """Return the format that an Accept header likes best; JSON where it says nothing, None for none of them."""
    best: tuple[float, int, str] | None = None
    if not header.strip():
        return "json"
    for number, each in enumerate(header.lower().split(",")):
        kind, *parameters = (part.strip() for part in each.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        try:
            liking = float(quality)
        except ValueError:
            continue
        found = next((name for name in known if formats.MEDIA_TYPES[name].partition(";")[0] == kind), None)
        if found is None and kind in ("*/*", "application/*"):
            found = "json"
        if found is None and kind == "text/*":
            found = "csv"
        if found and liking > 0 and (best is None or (-liking, number) < best[:2]):
            best = (-liking, number, found)
    return best[2] if best else None


def _is_quick(api: Api, name: str, given: Any, format_: str) -> bool:
    """Return True if an answer takes some milliseconds at most, so that a thread would only cost more."""
    ids = [*getattr(given, "station_id", ()), *getattr(given, "measure_id", ())]
    if name in ("readings", "changes"):
        return 0 < len(ids) <= _FEW_GAUGES
    # Of rows that are encoded already a part is quickly chosen.
    snapshot = api.watcher.snapshot
    joined = getattr(given, "joined", False) or (format_ == "geojson" and name != "stations")
    whole = not given.model_fields_set - {"joined", "columns"}
    if snapshot is None or whole or given.columns is not None:
        return False
    return snapshot.has(f"{name} joined" if joined else name, api.clock())


def _texts(answer: Answer, names: list[str], part: Part, format_: str) -> list[str]:
    """Return the encoded rows of a part; rows of the whole country are encoded once for all requests."""
    if answer.as_json is not None and format_ == "json":
        return answer.as_json(names, part.start, part.end)
    if answer.whole is not None and names == answer.names:
        texts = answer.whole.texts(format_)
        if answer.places is None:
            return texts[part.start : part.end]
        return [texts[place] for place in answer.places[part.start : part.end].tolist()]
    rows = answer.rows.slice(part.start, part.end - part.start)
    if format_ == "geojson":
        places = [name for name in (*formats.POSITION, *answer.key) if name not in names]
        return formats.features(rows.select([*names, *places]), answer.key, names)
    return formats.json_rows(rows.select(names))


def _said(snapshot: Snapshot, answer: Answer, part: Part, following: str | None, format_: str) -> dict[str, Any]:
    said: dict[str, Any] = {"type": "FeatureCollection"} if format_ == "geojson" else {}
    said["as_of"] = None if snapshot.as_of is None else f"{snapshot.as_of:%Y-%m-%dT%H:%M:%SZ}"
    said["numberMatched"] = answer.count
    said["numberReturned"] = part.end - part.start
    if notes := [*dict.fromkeys((*snapshot.notes, *answer.notes))]:
        said["notes"] = notes
    if following:
        said["next"] = following
    return said


def _next(request: Request, place: str, limit: int | None) -> str:
    """Return the path of the next page, with the parameters of this one."""
    given = [(name, value) for name, value in request.query_params.multi_items() if name not in ("after", "limit")]
    return f"{request.url.path}?{urlencode([*given, ('limit', str(limit)), ('after', place)])}"


def _status(snapshot: Snapshot, now: datetime) -> Body:
    said = content(look(snapshot.lake, now))
    # Where the lake is stored is nobody's business.
    for each in (said, *said.get("shards", {}).values()):
        del each["lake"]
    said["faults"] = [*dict.fromkeys((*snapshot.notes, *said["faults"]))]
    return Body(msgspec.json.encode(said), "application/json", snapshot.cut(now), now + timedelta(seconds=30))
