"""Answer requests for pages, for the map's data and for static files."""

from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flood_assets.serve.api import PREFIX, RESOURCES, Api
from flood_assets.serve.bodies import Body
from flood_assets.serve.errors import BadRequestError
from flood_assets.serve.http import problem as plain_problem
from flood_assets.serve.http import send
from flood_assets.serve.pages import alarms, mapped, river, state, static, station, warned
from flood_assets.serve.pages.finding import FILTERS, PAGE, Search
from flood_assets.serve.pages.outline import MARKS, outline
from flood_assets.serve.pages.overview import Overview
from flood_assets.serve.pages.render import page, problem, waiting
from flood_assets.serve.pages.warned import Warned
from flood_assets.serve.snapshot import Snapshot

Make = Callable[[Request, Snapshot, datetime], Body]
# Programs ask below these, whatever they accept.
_DATA = ("/api/", "/ogc", "/erddap", "/flood-monitoring", static.PREFIX)


def router(api: Api) -> APIRouter:
    """Return the routes of all pages, of the map's data and of the static files; none is a part of the API."""
    api.watcher.follow(partial(_prepare, api.clock))
    routes = APIRouter(include_in_schema=False)
    for path, make in _PAGES:
        routes.add_api_route(path, _endpoint(api, make), methods=["GET", "HEAD"], response_class=Response)
    routes.add_api_route(
        f"{static.PREFIX}/{{digest}}/{{path:path}}", _file(api), methods=["GET", "HEAD"], response_class=Response
    )
    return routes


def _prepare(clock: Callable[[], datetime], before: Snapshot | None, snapshot: Snapshot) -> None:
    """Put the stations side by side for a new snapshot before somebody waits for it, if pages were ever asked for."""
    if before is not None and before.has_made("overview"):
        Overview.of(snapshot, clock())


def is_page(request: Request) -> bool:
    """Return True if a person's browser asks for something that is not data."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(_DATA)


def refused(request: Request, now: datetime, status: int, title: str, text: str) -> Response:
    """Return a page that says what was wrong."""
    return send(request, problem(None, now, status, title, text), now)


def _endpoint(api: Api, make: Make) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def answered(request: Request) -> Response:
        """Answer with a page, also if there is no data or the address is wrong."""
        now = api.clock()
        if api.watcher.snapshot is None:
            body = _docs(request, None, now) if make is _docs else waiting(None, now)
            return send(request, body, now)
        return await api.answer(request, lambda snapshot, now: made(request, snapshot, now))

    def made(request: Request, snapshot: Snapshot, now: datetime) -> Body:
        try:
            if make in _OF_READINGS and not snapshot.has_readings(now):
                return waiting(snapshot, now)
            return make(request, snapshot, now)
        except BadRequestError as error:
            return problem(snapshot, now, 400, "This address cannot be answered", str(error))

    return answered


def _file(api: Api) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def file(request: Request) -> Response:
        found = static.body(request.path_params["digest"], request.path_params["path"])
        if found is None:
            return plain_problem(request, 404, f"there is nothing at {request.url.path[:200]}")
        return send(request, found, api.clock())

    return file


def _home(request: Request, snapshot: Snapshot, now: datetime) -> Body:
    """Return the map and the list, or of these the list only, which the map's script puts in its place."""
    search = Search.of(request.query_params.multi_items())
    seen = Overview.of(snapshot, now)
    found = search.stations(seen)
    pages = max(1, -(-len(found) // PAGE))
    if search.page > pages:
        raise BadRequestError(f"page is '{search.page}': the list has {pages}")
    first = (search.page - 1) * PAGE
    warnings = Warned.of(snapshot, now)
    bands = seen.band.tolist()
    return page(
        "list.html" if request.query_params.get("part") == "list" else "home.html",
        snapshot,
        now,
        until=min(seen.until, warnings.until),
        search=search,
        filters=FILTERS,
        marks=MARKS,
        rows=[seen.row(at) for at in found[first : first + PAGE].tolist()],
        first=first,
        found=len(found),
        pages=pages,
        stations=len(seen.stations),
        nowhere=int((~seen.placed).sum()),
        rivers=search.rivers(seen),
        suggestions=[] if len(found) else search.suggestions(seen),
        places=None if search.all else found.tolist(),
        listed=seen.name,
        counts=[(band, said, bands.count(code)) for code, band, said in _bands()],
        warnings=warnings,
    )


def _bands() -> list[tuple[int, str, str]]:
    known = list(FILTERS["band"].items())
    return [(3 - place if place < 4 else -1, band, said) for place, (band, said) in enumerate(known)]


def _bands_drawn(_: Request, snapshot: Snapshot, now: datetime) -> Body:
    return mapped.bands(snapshot, now)


def _places_drawn(request: Request, snapshot: Snapshot, now: datetime) -> Body:
    return mapped.places(snapshot, now, request.query_params.get("list", ""))


def _mark(request: Request, snapshot: Snapshot, now: datetime) -> Body:
    """Return what the map says of a station."""
    seen = Overview.of(snapshot, now)
    place = mapped.place_in(seen, request.query_params.get("list", ""), request.query_params.get("place", ""))
    return page("mark.html", snapshot, now, until=seen.until, row=seen.row(place), marks=MARKS)


def _picture(_: Request, snapshot: Snapshot, now: datetime) -> Body:
    seen = Overview.of(snapshot, now)
    body = Body(outline(seen), "image/svg+xml", snapshot.cut(now), seen.until)
    assert body.gzipped  # noqa: S101
    return body


def _station(request: Request, snapshot: Snapshot, now: datetime) -> Body:
    station_id = request.path_params.get("station_id", request.query_params.get("id"))
    measure_id = request.query_params.get("measure_id", "")
    if station_id is None and not measure_id:
        raise BadRequestError("id is missing: give a station's id, or measure_id")
    found = station.view(snapshot, now, station_id, measure_id)
    if found is None:
        what = f"measure '{measure_id[:80]}'" if measure_id else f"station '{(station_id or '')[:80]}'"
        seen = Overview.of(snapshot, now)
        told = Search(station_id or measure_id, {}).suggestions(seen)
        return problem(
            snapshot, now, 404, "There is no such station", f"The lists of the last 24 hours have no {what}.", *told
        )
    links = station.links_of(found.row["station_id"] or "")
    return page("station.html", snapshot, now, until=found.until, view=found, links=links, marks=MARKS)


def _river(request: Request, snapshot: Snapshot, now: datetime) -> Body:
    name = request.path_params.get("name", request.query_params.get("name", ""))
    seen = Overview.of(snapshot, now)
    if not name:
        return page("rivers.html", snapshot, now, until=seen.until, rivers=river.rivers(seen))
    found = river.view(snapshot, seen, name)
    if found is None:
        return problem(snapshot, now, 404, "There is no such river", river.similar(seen, name[:200]))
    named = len(warned.chosen(Warned.of(snapshot, now).active, found.name, ""))
    return page("river.html", snapshot, now, until=seen.until, view=found, marks=MARKS, warnings=named)


def _warnings(request: Request, snapshot: Snapshot, now: datetime) -> Body:
    given = {name: request.query_params.get(name, "")[:200].strip() for name in ("river", "county")}
    known = Warned.of(snapshot, now)
    seen = Overview.of(snapshot, now)
    active, ended = (warned.chosen(rows, **given) for rows in (known.active, known.ended))
    return page(
        "warnings.html",
        snapshot,
        now,
        until=min(known.until, seen.until),
        warned=known,
        given=given,
        rivers=warned.texts([known.active, known.ended], "river_or_sea"),
        counties=warned.texts([known.active, known.ended], "county"),
        active=known.with_stations(active, seen.stations),
        ended=ended.to_pylist(),
    )


def _status(_: Request, snapshot: Snapshot, now: datetime) -> Body:
    found = state.view(snapshot, now)
    return page(
        "status.html",
        snapshot,
        now,
        until=found.until,
        view=found,
        summary=state.summary(found.status),
        names=state.TABLES,
        warned=Warned.of(snapshot, now),
    )


def _docs(_: Request, snapshot: Snapshot | None, now: datetime) -> Body:
    return page("docs.html", snapshot, now, resources=RESOURCES, prefix=PREFIX)


_PAGES: Sequence[tuple[str, Make]] = (
    ("/", _home),
    ("/map.json", _bands_drawn),
    ("/map/places.json", _places_drawn),
    ("/map/station", _mark),
    ("/map.svg", _picture),
    ("/station", _station),
    ("/station/{station_id:path}", _station),
    ("/rivers", _river),
    ("/rivers/{name:path}", _river),
    ("/warnings", _warnings),
    ("/alerts", alarms.alarms),
    ("/alerts.atom", alarms.feed),
    ("/alerts/{alert_id}.cap", alarms.message),
    ("/status", _status),
    ("/docs", _docs),
)
# Without a reading of the last 24 hours they would be misleading: no station has a level then.
_OF_READINGS = (_home, _bands_drawn, _places_drawn, _mark, _picture, _station, _river)
