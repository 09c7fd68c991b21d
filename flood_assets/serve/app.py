"""Put the parts of the server together: an ASGI application over one lake."""

import difflib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flood_assets import __version__
from flood_assets.serve import api as rows
from flood_assets.serve.http import problem
from flood_assets.serve.pages import routes as pages
from flood_assets.serve.watch import UNREADY_AFTER, Watcher

_SAID = """\
The last 24 hours of every river, tide, rain and groundwater gauge in England, from the Environment Agency's real-time
flood-monitoring API. This uses Environment Agency flood and river level data from the real-time data API (Beta).

Times are UTC. Values are as the Agency published them; flags stand beside them. An answer without a `next` link is the
whole answer, and `numberMatched` always counts all of its rows.
"""


def create(watcher: Watcher, clock: Callable[[], datetime]) -> FastAPI:
    """Return the application; it starts and stops the watcher."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watcher.start()
        try:
            yield
        finally:
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
    )
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["GET", "HEAD", "OPTIONS"],
        allow_headers=["Authorization", "Range", "If-None-Match"],
        expose_headers=["ETag", "Link", "Number-Matched", "Age", "Content-Range", "Retry-After"],
    )
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    answers = rows.Api(watcher, clock)
    app.include_router(rows.router(answers))
    app.include_router(pages.router(answers))
    app.add_api_route("/healthz", _alive, include_in_schema=False)
    app.add_api_route("/readyz", _ready(watcher), include_in_schema=False)
    return app


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


async def _invalid(request: Request, error: Exception) -> Response:
    """Return what is wrong with the parameters of a request, each with its name and value."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - for the type checker
    told = [_told(request, each) for each in error.errors()]
    return problem(request, 400, "; ".join(dict.fromkeys(told)))


def _told(request: Request, error: Any) -> str:
    name = str(error["loc"][1]) if len(error["loc"]) > 1 else ""
    given = str(error.get("input"))[:80]
    if error["type"] == "extra_forbidden":
        known = _known(request)
        near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}"
        return f"unknown parameter '{name[:80]}': {hint}"
    if error["type"] == "missing":
        return f"{name} is missing: {_meaning(request, name)}"
    if error["loc"][0] == "path":
        return f"there is no format '{given}': {error['msg']}"
    return f"{name} is '{given}': {error['msg'][:1].lower()}{error['msg'][1:]}"


def _model(request: Request) -> Any:
    name = re.sub(r"\..*", "", request.url.path.rpartition("/")[2])
    resource = rows.RESOURCES.get(name)
    return resource.model if resource else None


def _known(request: Request) -> list[str]:
    model = _model(request)
    return sorted(model.model_fields) if model else []


def _meaning(request: Request, name: str) -> str:
    model = _model(request)
    return str(model.model_fields[name].description) if model and name in model.model_fields else "it is needed"


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - for the type checker
    detail = f"there is nothing at {request.url.path[:200]}" if error.status_code == 404 else str(error.detail)
    return problem(request, error.status_code, detail, headers=error.headers)
