"""Put the parts of the server together: an ASGI application over one lake."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any

from anyio import to_thread
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from flood_assets import __version__
from flood_assets.serve import api as rows
from flood_assets.serve import asked, push
from flood_assets.serve.dialects import ea, erddap, features
from flood_assets.serve.headers import DEFAULTS, NOTES, SafeHeaders
from flood_assets.serve.http import problem
from flood_assets.serve.limits import METRICS_PATH, SHOWN, Limits, Throttle
from flood_assets.serve.metrics import Metrics
from flood_assets.serve.openapi import SECURITY, of_stream
from flood_assets.serve.pages import routes as pages
from flood_assets.serve.parameters import described
from flood_assets.serve.stream import CLIENTS, Stream
from flood_assets.serve.traffic import Counting, Traffic
from flood_assets.serve.watch import UNREADY_AFTER, Watcher

_THREADS = 4

_SAID = """\
The last 24 hours of every river, tide, rain and groundwater gauge in England, from the Environment Agency's real-time
flood-monitoring API. This uses Environment Agency flood and river level data from the real-time data API (Beta).

Times are UTC. Values are as the Agency published them; flags stand beside them. An answer without a `next` link is the
whole answer, and `numberMatched` always counts all of its rows.
"""


def create(
    watcher: Watcher, clock: Callable[[], datetime], *, clients: int = CLIENTS, limits: Limits | None = None
) -> FastAPI:
    """Return the application.

    Args:
        watcher: is started and stopped with it.
        clock: the current time.
        clients: how many may follow the stream at once; `state.stream` is to be closed before the server ends.
        limits: for clients; None for none.
    """
    stream = Stream(watcher, clock, most=clients)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # What takes long is work for a core, not waiting; and each thread keeps a heap of its own.
        to_thread.current_default_thread_limiter().total_tokens = _THREADS
        stream.start()
        watcher.start()
        try:
            yield
        finally:
            stream.close()
            watcher.stop()

    app = FastAPI(
        title="flood_assets",
        version=__version__,
        description=_SAID,
        lifespan=lifespan,
        openapi_url=f"{rows.PREFIX}/openapi.json",
        # Both load their scripts from a foreign host.
        docs_url=None,
        redoc_url=None,
        # Another spelling of a path is another path: nothing is there.
        redirect_slashes=False,
    )
    answers = rows.Api(watcher, clock)
    app.add_middleware(Shortcut, endpoints=answers.endpoints)
    if limits is not None:
        app.add_middleware(Throttle, limits=limits, clock=time.monotonic)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["GET", "HEAD", "OPTIONS"],
        allow_headers=["Authorization", "X-Api-Key", "Range", "If-None-Match", "Last-Event-ID"],
        expose_headers=["ETag", "Link", "Number-Matched", "Age", "Content-Range", "Retry-After", NOTES, *SHOWN],
    )
    app.add_middleware(SafeHeaders)
    traffic = Traffic()
    app.add_middleware(Counting, traffic=traffic)
    app.add_exception_handler(HTTPException, _refused(clock))
    app.add_exception_handler(Exception, _failed(clock))
    app.include_router(rows.router(answers))
    app.state.stream = stream
    app.openapi = partial(_with_keys, app.openapi)  # type: ignore[method-assign]
    app.add_api_route(
        f"{rows.PREFIX}/stream",
        stream.answer,
        methods=["GET"],
        summary="Changes as they come, as server-sent events",
        operation_id="stream",
        response_class=Response,
        responses=of_stream(),
        openapi_extra={"parameters": described(asked.Stream)},
    )
    app.include_router(push.router(push.Push(watcher, clock)))
    app.router.routes += ea.routes(answers)
    app.router.routes += features.routes(answers)
    app.include_router(pages.router(answers))
    app.router.routes += erddap.routes(answers)
    app.add_api_route(METRICS_PATH, Metrics(watcher, stream, traffic, clock).answer, include_in_schema=False)
    app.add_api_route("/healthz", _alive, include_in_schema=False)
    app.add_api_route("/readyz", _ready(watcher), include_in_schema=False)
    return app


class Shortcut:
    """Answer what is asked for most without FastAPI's routing, which takes a third of a millisecond.

    Args:
        app: answers everything else.
        endpoints: by path.
    """

    def __init__(self, app: ASGIApp, endpoints: Mapping[str, rows.Endpoint]) -> None:
        self._app, self._endpoints = app, endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        endpoint = self._endpoints.get(scope["path"]) if scope["type"] == "http" else None
        if endpoint is None or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        response = await endpoint(Request(scope, receive))
        await response(scope, receive, send)


def _with_keys(described: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return OpenAPI's description with the ways to send a key."""
    found = described()
    found.setdefault("components", {})["securitySchemes"] = SECURITY
    return found


async def _alive() -> Response:
    return JSONResponse({"alive": True})


def _ready(watcher: Watcher) -> Callable[[Request], Any]:
    async def ready(request: Request) -> Response:
        age = watcher.age()
        if age is None or age > UNREADY_AFTER:
            why = watcher.trouble or "the lake has not been read yet"
            return problem(request, 503, f"the lake was last read {'never' if age is None else f'{age} ago'}: {why}")
        return JSONResponse({"ready": True, "age_s": int(age.total_seconds())}, headers={"cache-control": "no-store"})

    return ready


def _refused(clock: Callable[[], datetime]) -> Callable[[Request, Exception], Any]:
    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - for the type checker
        if error.status_code == 404 and pages.is_page(request):
            return pages.refused(request, clock(), 404, "There is no such page", "The address leads to nothing here.")
        detail = f"there is nothing at {request.url.path[:200]}" if error.status_code == 404 else str(error.detail)
        headers = {"allow": _allowed(request)} if error.status_code == 405 else error.headers
        return problem(request, error.status_code, detail, headers=headers)

    return refused


def _allowed(request: Request) -> str:
    """Return the methods of all routes of a path: Starlette tells those of the first one."""
    routes = request.app.routes
    asked = [(method, {**request.scope, "method": method}) for method in ("GET", "HEAD", "POST")]
    return ", ".join(
        method for method, scope in asked if any(route.matches(scope)[0] == Match.FULL for route in routes)
    )


def _failed(clock: Callable[[], datetime]) -> Callable[[Request, Exception], Any]:
    """Return the answer to what nobody foresaw; the log has its traceback. It passes no middleware."""

    async def failed(request: Request, _: Exception) -> Response:
        why = "this server has a fault, and its log says which: try again, or tell the operator the address"
        if pages.is_page(request):
            response = pages.refused(request, clock(), 500, "This page cannot be shown", why)
        else:
            response = problem(request, 500, why)
        for name, value in DEFAULTS:
            response.headers.setdefault(name.decode(), value.decode())
        return response

    return failed
