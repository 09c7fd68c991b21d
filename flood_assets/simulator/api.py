"""Parse requests to the flood-monitoring API and stream the answers; no sockets.

`Api.answer` returns a status, a content type and an iterator of bytes, which `server` sends. Answers are generated
block by block while they are sent, so memory does not depend on their size.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any
from urllib.parse import parse_qsl, unquote

import numpy as np

from flood_assets.simulator import encode
from flood_assets.simulator.arrivals import AHEAD, NONE
from flood_assets.simulator.cache import Cache
from flood_assets.simulator.chance import Ints
from flood_assets.simulator.country import DAY, Rows, Simulator, everything
from flood_assets.simulator.network import BLOCK, ROOT, Block, Measure, Station

DEFAULT_LIMIT, HARD_LIMIT = 500, 10_000

_COMMON = {"_view", "_limit", "_offset", "_sorted"}
_MEASURE_FILTERS = {"parameter", "parameterName", "qualifier", "stationReference", "station"}
_READING_FILTERS = _MEASURE_FILTERS | {"measure", "latest", "today", "date", "startdate", "enddate"}
_EXACT = {"label", "town", "catchmentName", "riverName", "stationReference", "RLOIid"}
_STATION_FILTERS = _EXACT | {
    "parameter", "parameterName", "qualifier", "search", "lat", "long", "dist", "type", "status",
}  # fmt: skip
_STATION_COLUMNS = (
    "@id", "RLOIid", "catchmentName", "dateOpened", "datumOffset", "downstageScale", "easting", "gridReference",
    "label", "lat", "long", "northing", "notation", "riverName", "stageScale", "stationReference", "status", "town",
    "wiskiID",
)  # fmt: skip
_MEASURE_COLUMNS = (
    "@id", "label", "notation", "stationReference", "station", "parameterName", "parameter", "qualifier", "datumType",
    "period", "unit", "unitName", "valueType", "latestReading", "value", "dateTime", "date", "measure",
)  # fmt: skip

_FLOOD_COLUMNS = (
    "@id", "description", "eaAreaName", "eaRegionName", "floodArea", "floodAreaID", "isTidal", "message", "severity",
    "severityLevel", "timeMessageChanged", "timeRaised", "timeSeverityChanged",
)  # fmt: skip
_AREA_COLUMNS = (
    "@id", "county", "description", "eaAreaName", "fwdCode", "isTidal", "label", "lat", "long", "notation", "polygon",
    "quickDialNumber", "riverOrSea",
)  # fmt: skip

Stream = Iterator[tuple[Block, Rows]]


class RefusedError(Exception):
    """Request answered with a status other than 200 and a line of text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Request:
    """Parsed request.

    Attributes:
        path: path below the API's root, without the format suffix, such as `/data/readings`.
        form: `json` or `csv`.
        query: first value of each parameter.
        raw: query string as it was sent.
        rows: maximum number of rows, whatever the limit; set by a fault.
    """

    path: str
    form: str
    query: dict[str, str]
    raw: str
    rows: int | None = None

    @classmethod
    def of(cls, path: str, raw: str, accept: str = "", rows: int | None = None) -> "Request":
        """Parse a path below the root, a query string and an Accept header."""
        path = unquote(path)
        form = "csv" if "text/csv" in accept else "json"
        suffix = re.search(r"\.(json|csv|rdf|ttl|html)$", path)
        if suffix:
            form, path = suffix[1], path[: suffix.start()]
        query: dict[str, str] = {}
        for name, value in parse_qsl(raw, keep_blank_values=True):
            query.setdefault(name, value)  # the first value of a repeated filter counts
        return cls(path.rstrip("/") if path.count("/") < 3 else path, form, query, raw, rows)

    @property
    def full(self) -> bool:
        """True if the full view is requested."""
        return self.query.get("_view") == "full"

    @property
    def endpoint(self) -> str:
        """Key for the statistics: the path without ids, plus the parameter that decides the size of the answer."""
        parts = self.path.removeprefix("/").split("/")
        if len(parts) > 2:
            parts[2] = "*"
        flags = [flag for flag in ("latest", "today", "date", "startdate", "since") if flag in self.query]
        return " ".join(["/" + "/".join(parts[:4]), *flags])

    def check(self, allowed: set[str]) -> None:
        """Raise RefusedError (400) for parameters that the endpoint does not know."""
        unknown = sorted(set(self.query) - allowed - _COMMON)
        if unknown:
            names = ", ".join(unknown)
            text = f"Did not recognize request parameters [{names}] as valid for this endpoint, incorrect endpoint?"
            raise RefusedError(400, text)

    def number(self, name: str) -> int | None:
        """Return a parameter as an int, or None if it is absent."""
        text = self.query.get(name)
        if text is None:
            return None
        try:
            return int(text)
        except ValueError as wrong:
            raise RefusedError(400, f"Bad format for {name}, should be an integer but was {text}") from wrong

    def moment(self, name: str) -> int | None:
        """Return a date or datetime parameter in seconds since 1970, or None; a date alone is its midnight."""
        text = self.query.get(name)
        if text is None:
            return None
        try:
            return parse_moment(text)
        except ValueError as wrong:
            raise RefusedError(
                400, f"Bad format for {name}, should be a legal ISO date or datetime but was {text}"
            ) from wrong


@dataclass(frozen=True)
class Answer:
    """HTTP status, content type, and the body in pieces."""

    status: int
    kind: str
    pieces: Iterator[bytes]


@dataclass(frozen=True)
class _Span:
    """Requested times: start <= time < end, or only the newest reading of each measure."""

    start: int = 0
    end: int = 0
    latest: bool = False


def parse_moment(text: str) -> int:
    """Return an ISO date or datetime in seconds since 1970, rounded down; no zone means UTC."""
    if not re.match(r"\d{4}-\d\d-\d\d($|T)", text):
        raise ValueError(text)
    found = datetime.fromisoformat(text.replace(" ", "+"))
    return math.floor((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


class Api:
    """Endpoints of the API over a simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self._texts: Cache[int, encode.Texts] = Cache(64, lambda n: encode.Texts(self._block(n)))

    def answer(self, request: Request) -> Answer:
        """Answer a request below the root."""
        try:
            pieces = self._route(request)
        except RefusedError as refused:
            return Answer(refused.status, "text/plain", iter([str(refused).encode()]))
        kind = "text/csv" if request.form == "csv" else "application/json"
        return Answer(200, f"{kind};charset=UTF-8", pieces)

    def truth(self, start: int, end: int) -> Iterator[tuple[encode.Texts, Rows]]:
        """Yield every reading with start < time <= end that is shown now."""
        now = self.simulator.seconds
        for block in self.simulator.blocks:
            for part in self._days(block, everything(block), _Span(start + 1, end + 1), now):
                yield self._texts_of(block), part

    def _block(self, number: int) -> Block:
        return self.simulator.block_of(number * BLOCK)

    def _texts_of(self, block: Block) -> encode.Texts:
        return self._texts[block.index]

    def _route(self, request: Request) -> Iterator[bytes]:
        if request.form not in ("json", "csv"):
            raise RefusedError(406, f"{request.form} is not a format of this simulator: expected json or csv")
        match request.path.removeprefix("/").split("/"):
            case ["id", "stations" | "measures" as listed]:
                return (self._stations if listed == "stations" else self._measures)(request)
            case ["data", "readings"]:
                request.check(_READING_FILTERS)
                return self._readings(request, self._selected(request))
            case ["data", "readings", notation, stamp]:
                return self._reading(request, notation, stamp)
            case ["id", "stations", notation, *rest]:
                return self._at_station(request, notation, rest)
            case ["id", "measures", notation, *rest]:
                return self._at_measure(request, notation, rest)
            case ["id", "floods" | "floodAreas" as listed, *rest]:
                return (self._floods if listed == "floods" else self._areas)(request, rest)
        raise RefusedError(404, "Not Found")

    # ---- floods

    def _floods(self, request: Request, rest: list[str]) -> Iterator[bytes]:
        items = self.simulator.floods.warnings(self.simulator.seconds)
        if rest:
            return _one_of(request, items, rest)
        request.check({"min-severity", "county"})
        least, county = request.number("min-severity") or 4, request.query.get("county", "")
        items = [item for item in items if item["severityLevel"] <= least and county in item["floodArea"]["county"]]
        return _listing(request, iter([items]), _FLOOD_COLUMNS)

    def _areas(self, request: Request, rest: list[str]) -> Iterator[bytes]:
        match rest:
            case []:
                request.check({"lat", "long", "dist"})
                near = _near(request) or (lambda _: True)
                items = [item for item in self.simulator.floods.areas() if near(item)]
                return _listing(request, iter([items]), _AREA_COLUMNS)
            case [notation, "polygon"] if polygon := self.simulator.floods.polygon(notation):
                return iter([json.dumps(polygon).encode()])
        return _one_of(request, self.simulator.floods.areas(), rest)

    # ---- stations

    def _stations(self, request: Request) -> Iterator[bytes]:
        request.check(_STATION_FILTERS)
        keeps = _station_filter(request)

        def blocks() -> Iterator[list[dict[str, Any]]]:
            for block in self.simulator.blocks:
                found = (s for s in block.stations if keeps(block, s))
                yield [_listed(block, s, request.full) for s in found]

        return _listing(request, blocks(), _STATION_COLUMNS)

    def _at_station(self, request: Request, notation: str, rest: list[str]) -> Iterator[bytes]:
        index = self.simulator.network.find(notation)
        if index is None:
            raise RefusedError(404, "Not Found")
        block = self.simulator.block_of(index)
        station = block.stations[index % BLOCK]
        listed = np.array([m for m in station.measures if not block.signals.unlisted[m]], dtype=np.int64)
        match rest:
            case []:
                return _single(request, self._page(block, station, listed))
            case ["measures"]:
                request.check(_MEASURE_FILTERS)
                items = self._measure_items(block, listed, _measure_filter(request), self.simulator.seconds)
                return _listing(request, iter([items]), _MEASURE_COLUMNS)
            case ["readings"]:
                request.check(_READING_FILTERS | {"since"})
                keeps = _measure_filter(request)
                chosen = [m for m in listed.tolist() if keeps(block.measures[m])]
                return self._readings(request, iter([(block, np.array(chosen, dtype=np.int64))]))
            case [scale] if scale in station.scales:
                return _single(request, station.scales[scale])
        raise RefusedError(404, "Not Found")

    def _page(self, block: Block, station: Station, listed: Ints) -> dict[str, Any]:
        item = _listed(block, station, full=True) | station.detail
        items = self._measure_items(block, listed, lambda _: True, self.simulator.seconds, single=True)
        if items:
            item["measures"] = items if len(items) > 1 else items[0]
        return dict(sorted(item.items()))

    # ---- measures

    def _measures(self, request: Request) -> Iterator[bytes]:
        request.check(_MEASURE_FILTERS)
        keeps, now = _measure_filter(request), self.simulator.seconds

        def blocks() -> Iterator[list[dict[str, Any]]]:
            for block in self.simulator.blocks:
                yield self._measure_items(block, np.flatnonzero(~block.signals.unlisted), keeps, now)

        return _listing(request, blocks(), _MEASURE_COLUMNS)

    def _measure_items(
        self, block: Block, places: Ints, keeps: Callable[[Measure], bool], now: int, *, single: bool = False
    ) -> list[dict[str, Any]]:
        """Return measures with their newest readings; a single page links to a dead measure's last reading instead."""
        chosen = [m for m in places.tolist() if keeps(block.measures[m])]
        rows = self.simulator.latest(block, np.array(chosen, dtype=np.int64), now)
        latest = {m: (t, v, s) for m, t, v, s in zip(*(c.tolist() for c in rows), strict=True)}
        items = []
        for place in chosen:
            item = dict(block.measures[place].item)
            notation = block.measures[place].notation
            if place in latest:
                item["latestReading"] = encode.reading(notation, *latest[place])
            elif single and block.signals.number[place] % 19 == 0:
                item["latestReading"] = f"{ROOT}/data/readings/{notation}/2021-06-16T09-30-00Z"
            items.append(dict(sorted(item.items())))
        return items

    def _at_measure(self, request: Request, notation: str, rest: list[str]) -> Iterator[bytes]:
        block, place = self._measure(notation)
        which = np.array([place], dtype=np.int64)
        match rest:
            case [] if not block.signals.unlisted[place]:
                items = self._measure_items(block, which, lambda _: True, self.simulator.seconds, single=True)
                return _single(request, items[0])
            case ["readings"]:
                request.check(_READING_FILTERS | {"since"})
                return self._readings(request, iter([(block, which)]))
        raise RefusedError(404, "Not Found")

    def _measure(self, notation: str) -> tuple[Block, int]:
        for index in self.simulator.network.find_measure(notation):
            block = self.simulator.block_of(index)
            for place in block.stations[index % BLOCK].measures:
                if block.measures[place].notation == notation:
                    return block, place
        raise RefusedError(404, "Not Found")

    # ---- readings

    def _selected(self, request: Request) -> Iterator[tuple[Block, Ints]]:
        """Yield, block by block, the measures that pass the filters of a request."""
        one = request.query.get("measure", "").removeprefix(f"{ROOT}/id/measures/")
        if one:
            try:
                block, place = self._measure(unquote(one))
            except RefusedError:
                return iter(())
            return iter([(block, np.array([place], dtype=np.int64))])
        if not set(request.query) & _MEASURE_FILTERS:
            return ((block, everything(block)) for block in self.simulator.blocks)
        keeps = _measure_filter(request)
        blocks: Iterable[Block] = self.simulator.blocks
        at = request.query.get("station", "").removeprefix(f"{ROOT}/id/stations/")
        index = self.simulator.network.find(at) if "station" in request.query else None
        if index is not None:
            blocks = [self.simulator.block_of(index)]
        return (
            (block, np.array([i for i, m in enumerate(block.measures) if keeps(m)], dtype=np.int64)) for block in blocks
        )

    def _span(self, request: Request, now: int) -> _Span:
        midnight, future = now // DAY * DAY, now + AHEAD + 1
        date, start, since = request.moment("date"), request.moment("startdate"), request.moment("since")
        last = request.moment("enddate")
        if "latest" in request.query:
            return _Span(latest=True)
        if "today" in request.query:
            return _Span(midnight, midnight + DAY)
        if date is not None:
            return _Span(date, date + DAY)
        if start is not None or last is not None:
            return _Span(start or 0, future if last is None else last // DAY * DAY + DAY)
        return _Span(0 if since is None else since + 1, future)

    def _readings(self, request: Request, chosen: Iterator[tuple[Block, Ints]]) -> Iterator[bytes]:
        now = self.simulator.seconds
        span = self._span(request, now)
        unlimited = bool({"latest", "today", "date"} & set(request.query))
        limit = request.number("_limit")
        if limit is None:
            limit = None if unlimited else DEFAULT_LIMIT
        elif not 0 <= limit <= HARD_LIMIT:
            limit = HARD_LIMIT
        offset = request.number("_offset") or 0
        if "_sorted" in request.query:
            stream = self._newest_first(list(chosen), span, now)
        else:
            stream = ((block, part) for block, which in chosen for part in self._days(block, which, span, now))
        shown = limit if request.rows is None else min(request.rows, HARD_LIMIT if limit is None else limit)
        if shown is not None or offset:
            stream = _paged(stream, offset, shown)
        return self._encoded(request, stream, limit, offset)

    def _days(self, block: Block, which: Ints, span: _Span, now: int) -> Iterator[Rows]:
        """Yield the readings of a span, a day at a time; in one piece for few measures."""
        if span.latest:
            yield self.simulator.latest(block, which, now)
            return
        start, end = max(span.start, self.simulator.oldest(now)), min(span.end, now + AHEAD + 1)
        step = DAY if which.size > 24 else 32 * DAY
        while start < end and which.size:
            until = min((start // DAY) * DAY + step, end)
            yield self.simulator.shown(block, which, start, until, now)
            start = until

    def _newest_first(self, chosen: list[tuple[Block, Ints]], span: _Span, now: int) -> Stream:
        """Yield readings in descending order of time, made hour by hour so that only one hour is in memory."""
        if span.latest:
            span = _Span(self.simulator.oldest(now), now + AHEAD + 1, latest=True)
        newest = {block.index: self.simulator.latest(block, which, now) for block, which in chosen if span.latest}
        start, end = max(span.start, self.simulator.oldest(now)), min(span.end, now + AHEAD + 1)
        step = 3600 if len(chosen) > 1 else 32 * DAY
        while start < end:
            since = max(start, (end - 1) // step * step)
            parts = []
            for block, which in chosen:
                rows = newest.get(block.index) or self.simulator.shown(block, which, since, end, now)
                if span.latest:
                    rows = rows.take((rows.time >= since) & (rows.time < end))
                parts.append((block, rows.take(np.argsort(-rows.time, kind="stable"))))
            yield from _merged(parts)
            end = since

    def _encoded(self, request: Request, stream: Stream, limit: int | None, offset: int) -> Iterator[bytes]:
        if request.form == "csv":
            header = encode.FULL_HEADER if request.full else encode.HEADER
            body = (
                piece
                for block, rows in stream
                for piece in encode.csv_rows(self._texts_of(block), rows, full=request.full)
            )
            return chain([",".join(header).encode() + b"\r\n"], body)
        items = (
            piece
            for block, rows in stream
            for piece in encode.json_items(self._texts_of(block), rows, full=request.full)
        )
        return _enveloped(request, items, limit, offset)

    def _reading(self, request: Request, notation: str, stamp: str) -> Iterator[bytes]:
        block, place = self._measure(notation)
        match = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d)Z", stamp)
        if not match:
            raise RefusedError(404, "Not Found")
        try:
            time = parse_moment(f"{match[1]}T{match[2]}:{match[3]}:{match[4]}Z")
        except ValueError:
            raise RefusedError(404, "Not Found") from None
        rows = self.simulator.shown(block, np.array([place]), time, time + 1, self.simulator.seconds)
        if not rows.time.size:
            raise RefusedError(404, "Not Found")
        return _single(request, encode.reading(notation, time, int(rows.value[0]), int(rows.second[0])))


def _merged(parts: list[tuple[Block, Rows]]) -> Stream:
    """Merge streams that are each in descending order of time into one; equal times stay in order of block."""
    if len(parts) == 1:
        yield parts[0]
        return
    times = np.unique(np.concatenate([rows.time for _, rows in parts]))[::-1]
    starts = [np.searchsorted(-rows.time, -times, side="left") for _, rows in parts]
    ends = [np.searchsorted(-rows.time, -times, side="right") for _, rows in parts]
    for i in range(times.size):
        for (block, rows), start, end in zip(parts, starts, ends, strict=True):
            if end[i] > start[i]:
                yield block, rows.take(slice(start[i], end[i]))


def _paged(stream: Stream, offset: int, limit: int | None) -> Stream:
    """Skip `offset` rows and yield `limit`; as in the real API, a reading with two values is two rows but one item."""
    at = 0
    for block, rows in stream:
        if limit is not None and at >= offset + limit:
            return
        weight = 1 + (rows.second != NONE)
        first = at + np.cumsum(weight) - weight
        at += int(weight.sum())
        chosen = first >= offset
        if limit is not None:
            chosen &= first < offset + limit
        yield block, rows.take(chosen)


def _enveloped(request: Request, items: Iterator[bytes], limit: int | None, offset: int) -> Iterator[bytes]:
    """Wrap items, each preceded by a comma and a line feed, as a JSON answer."""
    yield _envelope(request, limit, offset, ("csv", "rdf", "ttl", "html"))[:-1] + b',"items":['
    first = True
    for piece in items:
        yield piece[1:] if first else piece
        first = False
    yield b"]}\n"


def _envelope(request: Request, limit: int | None, offset: int, forms: Sequence[str]) -> bytes:
    query = f"?{request.raw}" if request.raw else ""
    meta: dict[str, Any] = {
        "publisher": "Environment Agency",
        "licence": "http://www.nationalarchives.gov.uk/doc/open-government-licence/version/3/",
        "documentation": f"{ROOT}/doc/reference",
        "version": "0.9",
        "comment": "Status: Beta service",
        "hasFormat": [f"{ROOT}{request.path}.{form}{query}" for form in forms],
    }
    if limit is not None:
        meta["limit"] = limit
    if offset:
        meta["offset"] = offset
    return json.dumps({"@context": f"{ROOT}/meta/context.jsonld", "meta": meta}).encode()


def _single(request: Request, item: dict[str, Any]) -> Iterator[bytes]:
    request.check(set())
    if request.form == "csv":
        raise RefusedError(406, "A single item is not available as csv")
    envelope = _envelope(request, None, 0, ("rdf", "ttl", "html"))
    return iter([envelope[:-1] + b',"items":' + json.dumps(item).encode() + b"}\n"])


def _one_of(request: Request, items: list[dict[str, Any]], rest: list[str]) -> Iterator[bytes]:
    """Yield the item whose URI ends in `rest`; RefusedError (404) without one."""
    for item in items:
        if [item["@id"].rsplit("/", 1)[-1]] == rest:
            return _single(request, item)
    raise RefusedError(404, "Not Found")


def _listing(request: Request, blocks: Iterator[list[dict[str, Any]]], columns: Sequence[str]) -> Iterator[bytes]:
    """Yield a list of stations or measures; limited only on request."""
    limit, offset = request.number("_limit"), request.number("_offset") or 0
    limit = None if limit is None or limit < 0 else limit
    shown = limit if request.rows is None else request.rows
    pages = blocks if shown is None and not offset else _sliced(blocks, offset, shown)
    if request.form == "csv":
        rows = (encode.table(columns, [_flattened(item) for item in page]) for page in pages)
        return chain([",".join(columns).encode() + b"\r\n"], rows)
    items = (b"".join(b",\n" + json.dumps(item).encode() for item in page) for page in pages if page)
    return _enveloped(request, items, limit, offset)


def _sliced(blocks: Iterator[list[dict[str, Any]]], offset: int, limit: int | None) -> Iterator[list[dict[str, Any]]]:
    at, end = 0, math.inf if limit is None else offset + limit
    for items in blocks:
        if at >= end:
            return
        yield [item for i, item in enumerate(items, at) if offset <= i < end]
        at += len(items)


def _flattened(item: dict[str, Any]) -> dict[str, Any]:
    """Flatten an item for a table: nested objects become their id, the newest reading gets its own columns."""
    flat = {k: v["@id"] if isinstance(v, dict) else v for k, v in item.items()}
    reading = item.get("latestReading")
    if isinstance(reading, dict):
        flat |= {k: reading[k] for k in ("value", "dateTime", "date", "measure") if k in reading}
    return flat


def _listed(block: Block, station: Station, full: bool) -> dict[str, Any]:
    """Return a station as a list item."""
    item = dict(station.item)
    measures = [m.brief() for m in block.listed(station)]
    if measures:
        item["measures"] = measures
    return dict(sorted((item | station.scales if full else item).items()))


def _measure_filter(request: Request) -> Callable[[Measure], bool]:
    wanted = {k: v for k, v in request.query.items() if k in _MEASURE_FILTERS}
    return lambda measure: all(measure.item.get(k) == v for k, v in wanted.items())


def _station_filter(request: Request) -> Callable[[Block, Station], bool]:
    """Return a predicate for stations that pass all filters of a request."""
    query = request.query
    exact = {k: v for k, v in query.items() if k in _EXACT}
    traits = {k: query[k] for k in ("parameter", "parameterName", "qualifier") if k in query}
    near = _near(request)

    def keeps(block: Block, station: Station) -> bool:
        item = station.item
        return (
            all(v in _several(item.get(k)) for k, v in exact.items())
            and ("status" not in query or f"{ROOT}/def/core/status{query['status']}" in _several(item.get("status")))
            and ("type" not in query or f"{ROOT}/def/core/{query['type']}" in station.detail["type"])
            and query.get("search", "").lower() in str(item["label"]).lower()
            and (not traits or any(traits.items() <= m.brief().items() for m in block.listed(station)))
            and (near is None or near(item))
        )

    return keeps


def _several(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _near(request: Request) -> Callable[[dict[str, Any]], bool] | None:
    """Return a predicate for stations within `dist` km of `lat`, `long`; None if the request has no such filter."""
    given = [request.query[k] for k in ("lat", "long", "dist") if k in request.query]
    if len(given) < 3:
        return None
    try:
        lat, long, dist = map(float, given)
    except ValueError as wrong:
        raise RefusedError(400, f"Bad format for lat, long or dist: {wrong}") from wrong

    def near(item: dict[str, Any]) -> bool:
        if "lat" not in item:
            return False
        north, east = (item["lat"] - lat) * 111.2, (item["long"] - long) * 111.2 * math.cos(math.radians(lat))
        return math.hypot(north, east) <= dist

    return near


def as_datetime(seconds: int) -> datetime:
    """Convert seconds since 1970 to an aware datetime in UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
