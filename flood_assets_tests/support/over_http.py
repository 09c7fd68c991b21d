"""Serve a lake to clients that need an address: a real server on a free loopback port, in a thread."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import uvicorn

from flood_assets.lake.lake import Lake
from flood_assets.serve.app import create
from flood_assets.serve.watch import Watcher

# The watcher looks when a test says so.
_NEVER = timedelta(days=1)


class OverHttp:
    """A lake that is served: the root of its addresses, its watcher, and the time, which a test may set."""

    def __init__(self, place: Path | Lake, now: datetime, port: int) -> None:
        self.lake = place if isinstance(place, Lake) else Lake.open(place)
        self.now, self.url = now, f"http://127.0.0.1:{port}"
        self.watcher = Watcher(lambda: self.lake, lambda: self.now, every=_NEVER)
        self.app = create(self.watcher, lambda: self.now)


@contextmanager
def over_http(place: Path | Lake, now: datetime) -> Iterator[OverHttp]:
    """Serve a lake at a moment; the server ends with the context."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        found = OverHttp(place, now, listening.getsockname()[1])
        config = uvicorn.Config(found.app, log_level="error", access_log=False, timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)
        # Its connections wait until it is ready: the port is open already.
        thread = threading.Thread(target=server.run, args=([listening],), name="serve")
        thread.start()
        try:
            yield found
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive(), "the server hangs"
