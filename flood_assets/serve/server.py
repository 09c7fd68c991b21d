"""Run the application with uvicorn, and with the limits that it lacks.

A request has to arrive within a time and a size; a client that takes nothing of its answer is cut off; of too many
connections the longest idle one gives way to a new one; streams end before the server does.
"""

import asyncio
import resource
import socket
from http import HTTPStatus
from typing import Any

import msgspec
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from flood_assets.serve.headers import DEFAULTS

# Seconds from the first byte of a request, or from the connection, to the last byte of the request.
REQUEST_S = 20
# Seconds without a byte taken, with 64 KiB or more waiting; the least is 2 kB a second.
STALL_S = 30
# Bytes of the request's line and headers.
MOST_HEAD = 64 * 1024
CONNECTIONS = 10_000
# Files that are no connections: the lake, the event loop, libraries.
_OTHER_FILES = 200
_ENDING_S = 5


class Server(uvicorn.Server):
    """A server of one application.

    Args:
        app: the application.
        request_s: seconds for a request to arrive.
        stall_s: seconds that a client may take nothing.
        connections: how many at once, if the system allows so many files.
    """

    def __init__(
        self, app: FastAPI, *, request_s: float = REQUEST_S, stall_s: float = STALL_S, connections: int = CONNECTIONS
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Connection,
                ws="none",
                log_level="error",
                access_log=False,
                server_header=False,
                # Whom to believe is decided in `limits`, by the operator's word alone.
                proxy_headers=False,
                timeout_keep_alive=20,
                timeout_graceful_shutdown=_ENDING_S,
            )
        )
        self._app = app
        self.server_state = _State(request_s, stall_s, min(connections, _files() - _OTHER_FILES))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, which would be waited for, and then the server."""
        self._app.state.stream.close()
        await super().shutdown(sockets)


class _State(ServerState):
    def __init__(self, request_s: float, stall_s: float, most: int) -> None:
        super().__init__()
        self.request_s, self.stall_s, self.most = request_s, stall_s, most
        # Without a request that has arrived, the longest first.
        self.idle: dict[_Connection, None] = {}


class _Connection(HttpToolsProtocol):
    """A connection with limits."""

    server_state: _State
    _deadline: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _heading = False
    _head = 0
    _too_large = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        state = self.server_state
        if len(self.connections) > state.most:
            longest = next(iter(state.idle), self)
            longest.transport.abort()
            state.idle.pop(longest, None)
            if longest is self:
                return
        state.idle[self] = None
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self.server_state.idle.pop(self, None)
        for timer in (self._deadline, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._heading and not self.transport.is_closing():
            self._head += len(data)
            if self._head > MOST_HEAD:
                self._too_large = True
                self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._heading, self._head = True, 0
        self._await_request()

    def on_headers_complete(self) -> None:
        self._heading = False
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MOST_HEAD:
            self._too_large = True
            # The parser ends with it, and `send_400_response` is called.
            raise ValueError(MOST_HEAD)
        self.server_state.idle.pop(self, None)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing() and self.cycle.response_complete:
            self.server_state.idle[self] = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self.server_state.stall_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()

    def send_400_response(self, msg: str) -> None:
        status, detail = 400, msg
        if self._too_large:
            status, detail = 431, f"a request has {MOST_HEAD} bytes of URL and headers at most"
        data = msgspec.json.encode({"status": status, "detail": detail})
        head = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode())]
        head += [b"%s: %s" % each for each in (*DEFAULTS, (b"content-type", b"application/problem+json"))]
        head += [b"connection: close", b"content-length: %d" % len(data)]
        self.transport.write(b"\r\n".join([*head, b"", data]))
        self.transport.close()

    def _await_request(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.server_state.request_s, self.transport.abort)


def _files() -> int:
    """Return how many files this process may open, after raising the limit as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard > 0 else CONNECTIONS + _OTHER_FILES
