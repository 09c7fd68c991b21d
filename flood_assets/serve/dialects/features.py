"""Answer under `/ogc` as OGC API - Features (part 1: core, GeoJSON, OpenAPI 3.0) for GDAL, QGIS and OWSLib.

The collections are stations, newest readings, conditions and flood warnings; what they can be asked for is what the
same resources of `/api/v1` can. A page has `limit` features and a link to the next one, which goes on after the last
feature whatever has come or gone meanwhile.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote, urlencode

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flood_assets.serve import formats
from flood_assets.serve.api import Api
from flood_assets.serve.bodies import Body
from flood_assets.serve.dialects import features_described as about
from flood_assets.serve.dialects.features_asked import COLLECTIONS, MOST, PAGE, Collection, Nothing, box_of, span_of
from flood_assets.serve.dialects.features_described import GEOJSON, JSON, link
from flood_assets.serve.errors import BadRequestError
from flood_assets.serve.http import problem
from flood_assets.serve.paging import Answer, Part, names_of, part_of
from flood_assets.serve.parameters import parse
from flood_assets.serve.snapshot import Snapshot

PREFIX = "/ogc"

_HOST = re.compile(r"[\w.:\[\]-]{1,255}", re.ASCII)


def routes(api: Api) -> list[Route]:
    """Return the routes of the landing page and of all below it."""

    async def answer(request: Request) -> Response:
        # An id may have an encoded slash, and an empty one leaves a slash at the end.
        raw = (request.scope.get("raw_path") or quote(request.scope["path"]).encode()).decode("latin-1")
        path = [unquote(part) for part in raw.partition("?")[0].partition(PREFIX)[2].split("/")[1:]]
        base = _base(request)
        try:
            make, quick = _maker(api, request, path if len(path) == 4 else [each for each in path if each], base)
        except BadRequestError as error:
            return problem(request, 400, str(error))
        return await api.answer(request, make, quick=quick, key=f"ogc {base} {path}")

    return [Route(each, answer, methods=["GET"]) for each in (PREFIX, f"{PREFIX}/{{path:path}}")]


def _base(request: Request) -> str:
    """Return the address of the landing page as the client wrote it; links have to be absolute."""
    host = request.headers.get("host", "")
    return f"{request.url.scheme}://{host}{PREFIX}" if _HOST.fullmatch(host) else PREFIX


Maker = Callable[[Snapshot, datetime], Body]


def _maker(api: Api, request: Request, path: list[str], base: str) -> tuple[Maker, bool]:
    """Return what answers a request, and True if it does so at once."""
    if path[:1] == ["collections"] and len(path) > 1 and path[1] not in COLLECTIONS:
        raise HTTPException(404)
    if path[:1] == ["collections"] and path[2:] == ["items"]:
        name, snapshot = path[1], api.watcher.snapshot
        given: Any = parse(COLLECTIONS[name].model, request)
        query = request.scope["query_string"].decode("latin-1")
        kept = f"{name} joined" if "joined" in COLLECTIONS[name].model.model_fields else name
        quick = snapshot is not None and snapshot.has(kept, api.clock())
        return lambda found, now: _items(found, now, name, given, base, query), quick
    parse(Nothing, request)
    if path[:1] == ["collections"] and path[2:3] == ["items"] and len(path) == 4:
        return lambda found, now: _item(found, now, path[1], path[3], base), False

    def described(snapshot: Snapshot, now: datetime) -> Body:
        said, kind = _described(snapshot, now, path, base)
        return Body(msgspec.json.encode(said), kind, snapshot.cut(now))

    return described, False


def _described(snapshot: Snapshot, now: datetime, path: list[str], base: str) -> tuple[dict[str, Any], str]:
    """Return what there is to say at a path, and its type."""
    match path:
        case []:
            return about.landing(base), JSON
        case ["conformance"]:
            return {"conformsTo": about.CONFORMS}, JSON
        case ["api"]:
            return about.definition(base), about.OPENAPI
        case ["collections"]:
            return about.collections(snapshot, base), JSON
        case ["collections", name]:
            return about.collection(snapshot, name, base), JSON
        case ["collections", name, "schema"]:
            return about.schema(snapshot, now, name, base), about.SCHEMA
    raise HTTPException(404)


# ---- features


def _items(snapshot: Snapshot, now: datetime, name: str, given: Any, base: str, query: str) -> Body:
    collection, span = COLLECTIONS[name], span_of(given.datetime)
    box = None if given.bbox is None else ",".join(f"{each:.20f}" for each in box_of(given.bbox))
    joined = {"joined": True} if "joined" in collection.model.model_fields else {}
    answer = collection.answer(snapshot, given.model_copy(update={"bbox": box, **joined}), now)
    if span is not None and collection.time:
        answer = _at_time(answer, collection.time, span)
    limit = min(given.limit or PAGE, MOST)
    if given.offset and given.after is not None:
        raise BadRequestError("offset and after exclude each other: follow the `next` link as it is")
    if given.offset:
        start = part_of(answer, given.offset, None).next
        part = Part(answer.count, answer.count, None) if start is None else part_of(answer, limit, start)
    else:
        part = part_of(answer, limit, given.after)
    here = f"{base}/collections/{name}"
    links = [link(f"{here}/items{query and '?'}{query}", "self", GEOJSON), link(here, "collection", JSON)]
    if part.next is not None:
        asked_for = given.model_dump(exclude_unset=True, by_alias=True, exclude={"limit", "offset", "after"})
        further = urlencode({**asked_for, "limit": limit, "after": part.next}, doseq=True)
        links.append(link(f"{here}/items?{further}", "next", GEOJSON))
    said = {
        "type": "FeatureCollection",
        "timeStamp": f"{snapshot.cut(now).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "numberMatched": answer.count,
        "numberReturned": part.end - part.start,
        "links": links,
    }
    data = formats.json_object("features", _texts(answer, collection, part, given.columns), said)
    return Body.of_parts([data], GEOJSON, snapshot.cut(now), answer.until)


def _item(snapshot: Snapshot, now: datetime, name: str, one: str, base: str) -> Body:
    collection = COLLECTIONS[name]
    model: Any = collection.model
    # The id is not checked as a parameter is: it may be empty.
    own = {"joined": True} if "joined" in model.model_fields else {}
    if collection.key == "flood_area_id":
        answer = collection.answer(snapshot, model.model_construct(in_force=False), now)
        here = np.flatnonzero(pc.equal(answer.rows["flood_area_id"], one).to_numpy())
        answer = Answer.of(answer.rows.take(pa.array(here)), answer.key, (), answer.until)
    else:
        answer = collection.answer(snapshot, model.model_construct(**{collection.key: (one,)}, **own), now)
    if not answer.count:
        raise HTTPException(404)
    (text,) = _texts(answer, collection, Part(0, 1, None))
    here_is, it_is = f"{base}/collections/{name}", quote(one, safe="")
    links = [link(f"{here_is}/items/{it_is}", "self", GEOJSON), link(here_is, "collection", JSON)]
    data = f'{text[:-1]},"links":{msgspec.json.encode(links).decode()}}}'.encode()
    return Body(data, GEOJSON, snapshot.cut(now), answer.until)


def _texts(answer: Answer, collection: Collection, part: Part, columns: str | None = None) -> list[str]:
    """Return the features of a page; those of the whole country are encoded once for all requests."""
    if answer.whole is None or columns is not None:
        rows = answer.rows.slice(part.start, part.end - part.start)
        return formats.features(rows, (collection.key,), names_of(answer, columns))
    texts = answer.whole.texts("geojson")
    if answer.places is None:
        return texts[part.start : part.end]
    return [texts[place] for place in answer.places[part.start : part.end].tolist()]


def _at_time(answer: Answer, column: str, span: tuple[datetime | None, ...]) -> Answer:
    """Return the features whose time lies in a span, both ends included."""
    fits = np.ones(answer.count, np.bool_)
    for moment, compare in zip(span, (pc.greater_equal, pc.less_equal), strict=True):
        if moment is not None:
            fits &= pc.fill_null(compare(answer.rows[column], moment), False).to_numpy()
    here = np.flatnonzero(fits)
    places = here if answer.places is None else answer.places[here]
    rows = answer.rows
    return replace(answer, count=len(here), places=places, make=lambda: rows.take(pa.array(here)))
