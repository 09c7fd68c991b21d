"""Serve a lake to a test over a loopback port, with the server that `flood-assets serve` runs, in a thread."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self

from flood_assets.lake.lake import Lake
from flood_assets.serve.app import create
from flood_assets.serve.limits import Limits
from flood_assets.serve.server import Server
from flood_assets.serve.watch import Watcher

_NEVER = timedelta(days=1)


class Listening:
    """A server of a lake: its address, its watcher, and the time, which a test may set."""

    def __init__(
        self,
        lake: Lake | Path,
        now: datetime,
        options: dict[str, Any],
        limits: dict[str, Any],
        every: timedelta,
        port: int,
    ) -> None:
        self.now = now
        self.lake = lake if isinstance(lake, Lake) else Lake.open(lake)
        self.watcher = Watcher(lambda: self.lake, lambda: self.now, every=every)
        self.app = create(self.watcher, lambda: self.now, **options)
        self.server = Server(self.app, **limits)
        self.socket = socket.create_server(("127.0.0.1", port), backlog=4096)
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self.server.run, args=([self.socket],))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, within: float = 30) -> None:
        """End the server, as Ctrl-C does."""
        self.server.should_exit = True
        self._thread.join(within)
        assert not self._thread.is_alive(), "the server hangs"

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        """Ask once, on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    @contextmanager
    def events(self, path: str = "", headers: dict[str, str] | None = None) -> Iterator["Events"]:
        """Follow the stream."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", f"/api/v1/stream{path}", headers=headers or {})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        try:
            yield Events(answer)
        finally:
            # What is buffered would keep it open.
            answer.close()
            connection.close()


class Events:
    """Server-sent events as a client reads them (WHATWG HTML, 9.2.6)."""

    def __init__(self, answer: Any) -> None:
        self.headers = answer.headers
        self.last_id = ""
        self.comments = 0
        self._lines = answer

    def next(self, *, also_ids: bool = False) -> tuple[str, Any]:
        """Wait for the next event, or with `also_ids` for a block that has an id alone."""
        name, data = "message", list[str]()
        had_id = False
        while True:
            line = self._lines.readline().decode()
            assert line, "the stream has ended"
            line = line.rstrip("\n")
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
            elif field == "id":
                self.last_id, had_id = value, True
            elif line.startswith(":"):
                self.comments += 1
            elif not line and data:
                return name, json.loads("\n".join(data))
            elif not line and had_id and also_ids:
                return "", None


def listening(
    lake: Lake | Path,
    now: datetime,
    *,
    limits: dict[str, Any] | None = None,
    client_limits: Limits | None = None,
    every: timedelta = _NEVER,
    port: int = 0,
    **options: Any,
) -> Listening:
    """Return a server of a lake at a time, to be entered; the watcher looks when the test says so, or by itself.

    `every` is the pause between two looks, `port` one that is free, or 0 for any.
    `limits` are those of the server's connections, `client_limits` those of its clients; the rest is for `create`.
    """
    return Listening(lake, now, {**options, "limits": client_limits}, limits or {}, every, port)
