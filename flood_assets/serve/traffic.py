"""Count the requests of this server, and the time that their answers take."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import Metric
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What a path begins with, and its name; all else are pages and their files. The first that fits counts.
PARTS = {
    "/api/v1/stream": "stream",
    "/api/": "api",
    "/flood-monitoring": "ea",
    "/ogc": "ogc",
    "/erddap": "erddap",
    "/metrics": "metrics",
    "/healthz": "health",
    "/readyz": "health",
    "/": "pages",
}
_METHODS = ("GET", "HEAD", "POST", "OPTIONS")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Traffic:
    """The requests so far, for a registry of Prometheus' client."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._requests = Counter(
            "flood_assets_http_requests",
            "Answered requests, by part of the server, method and class of status.",
            ("part", "method", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "flood_assets_http_request_duration_seconds",
            "Time from a request to the end of its answer; the stream's are not in it.",
            ("part",),
            buckets=_SECONDS,
            registry=registry,
        )

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        for each in (*self._requests.collect(), *self._seconds.collect()):
            # When each series began is nobody's question, and as many series.
            each.samples = [sample for sample in each.samples if not sample.name.endswith("_created")]
            yield each

    def count(self, scope: Scope, status: int, seconds: float) -> None:
        """Count an answer; a status of 0 for a client that went before it began."""
        part = next(name for start, name in PARTS.items() if scope["path"].startswith(start) or start == "/")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._requests.labels(part, method, f"{status // 100}xx" if status else "none").inc()
        if part != "stream":
            self._seconds.labels(part).observe(seconds)


class Counting:
    """ASGI middleware that counts.

    Args:
        app: answers.
        traffic: where the requests are counted.
    """

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self._app, self._traffic = app, traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception:
            # Answered outside, by 500.
            status = status or 500
            raise
        finally:
            self._traffic.count(scope, status, time.perf_counter() - begun)
