"""Send bodies as HTTP wants it: conditions, ranges, compression, HEAD, and problems in JSON (RFC 9457)."""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from flood_assets.serve.bodies import Body

# How long an answer may be used again without asking, at most: the lake changes every quarter of an hour.
FRESH_S = 15
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def send(request: Request, body: Body, now: datetime, age: timedelta | None = None) -> Response:
    """Return the answer to a request whose body is known.

    Args:
        request: its headers decide what of the body is sent.
        body: the whole.
        now: the moment of the answer, which limits how long it may be used again.
        age: how long ago the lake was last seen, if that is worth saying.
    """
    part = request.headers.get("range") if request.method == "GET" else None
    # A part is one of the bytes as they are.
    zipped = part is None and body.worth_compressing and "gzip" in request.headers.get("accept-encoding", "")
    tags = f'"{body.digest}"', f'"{body.digest}-gzip"'
    tag = tags[zipped]
    fresh = FRESH_S if body.until is None else max(0, min(FRESH_S, int((body.until - now).total_seconds())))
    headers = {
        "etag": tag,
        "last-modified": format_datetime(body.modified.astimezone(UTC), usegmt=True),
        "cache-control": f"public, max-age={fresh}",
        "vary": "accept, accept-encoding",
        "accept-ranges": "bytes",
        **body.headers,
    }
    if age is not None:
        headers["age"] = str(int(age.total_seconds()))
    if _unchanged(request, tags, body.modified):
        # The client may have the answer as it was before it was compressed.
        known = request.headers.get("if-none-match", "")
        headers["etag"] = next((each for each in (tag, *tags) if each in known), tag)
        return Response(status_code=304, headers=headers)
    if zipped:
        headers["content-encoding"] = "gzip"
        return Response(body.gzipped, body.status, headers, body.media_type)
    start, end, status = 0, body.size, body.status
    if part and _in_range(request, tag, body.modified):
        span = _span(part, body.size)
        if span == (0, 0):
            whole = {"content-range": f"bytes */{body.size}"}
            return problem(request, 416, f"Range is {_shown(part)}: there are {body.size} bytes", headers=whole)
        if span:
            (start, end), status = span, 206
            headers["content-range"] = f"bytes {start}-{end - 1}/{body.size}"
    if not body.is_packed:
        return Response(body.data[start:end], status, headers, body.media_type)
    headers["content-length"] = str(end - start)
    if request.method == "HEAD":
        return Response(None, status, headers, body.media_type)
    return StreamingResponse(body.parts(start, end), status, headers, body.media_type)


def problem(
    request: Request,
    status: int,
    detail: str,
    *,
    title: str = "",
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Response:
    """Return an error as `application/problem+json`; the detail says what was wrong and what to do, `more` the rest."""
    said = {
        "type": "about:blank",
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        **(more or {}),
    }
    data = msgspec.json.encode(said)
    return Response(data, status, {"cache-control": "no-store", **(headers or {})}, "application/problem+json")


def _shown(text: str) -> str:
    return f"'{text[:80]}'"


def _unchanged(request: Request, tags: Collection[str], modified: datetime) -> bool:
    """Return True if the client has the answer already (RFC 9110, 13.1)."""
    known = request.headers.get("if-none-match")
    if known is not None:
        return any(each.strip().removeprefix("W/") in (*tags, "*") for each in known.split(","))
    since = _time(request.headers.get("if-modified-since"))
    return since is not None and modified.replace(microsecond=0) <= since


def _in_range(request: Request, tag: str, modified: datetime) -> bool:
    """Return True if a part is wanted of this version (RFC 9110, 13.1.5)."""
    known = request.headers.get("if-range")
    if known is None or known == tag:
        return True
    return _time(known) == modified.replace(microsecond=0)


def _time(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)


def _span(text: str, size: int) -> tuple[int, int] | None:
    """Return the bytes [start, end) of a range; (0, 0) if there are none, None for a range that is sent whole."""
    match = _RANGE.fullmatch(text.replace(" ", ""))
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        return (max(0, size - int(last)), size) if int(last) and size else (0, 0)
    if last and int(last) < int(first):
        return None
    return (int(first), min(size, int(last) + 1 if last else size)) if int(first) < size else (0, 0)
