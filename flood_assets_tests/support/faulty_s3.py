"""Proxy in front of an S3 server that fails chosen requests and forwards the rest.

    with in_front_of(s3_server) as proxy:
        proxy.on("PUT", "readings/.*hour=09", times=2).answers(503, "SlowDown")
        lake = Lake.open(url, s3=proxy.server)

Which requests: by method, by a pattern that is searched in the path and query, by how many such requests to let pass
first and how many to spoil. What is asked of whom is signed by the client for the proxy's address and checked by the
server as it came, so a server that enforces signatures can stand behind it.
"""

import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from flood_assets_tests.support.s3 import S3Server

# Of one connection to the next; the rest of the head is handed on as it is.
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}

Spoil = Callable[["_Request"], None]


@dataclass
class Fault:
    """Fault of some requests. The last methods choose it; until one is called, requests are only counted."""

    method: str
    pattern: re.Pattern[str]
    after: int
    times: int | None
    seen: int = 0
    spoil: Spoil | None = None

    def answers(self, status: int, code: str) -> "Fault":
        """Answer with an S3 error; the request is not carried out."""
        return self._does(lambda request: request.refuse(status, code))

    def says(self, status: int, body: str) -> "Fault":
        """Send another answer; the request is not carried out."""
        return self._does(lambda request: request.say(status, body))

    def answers_after(self, status: int, code: str) -> "Fault":
        """Answer with an S3 error after the request was carried out."""
        return self._does(lambda request: (request.forward(), request.refuse(status, code)))

    def resets(self) -> "Fault":
        """Reset the connection before the request is carried out."""
        return self._does(lambda request: request.reset())

    def resets_after(self) -> "Fault":
        """Reset the connection after the request was carried out, before the answer."""
        return self._does(lambda request: (request.forward(), request.reset()))

    def stalls(self) -> "Fault":
        """Send no answer while the proxy runs."""
        return self._does(lambda request: request.stall())

    def stalls_in_body(self) -> "Fault":
        """Send half of the answer's body, then nothing."""
        return self._does(lambda request: (request.give(request.forward(), half=True), request.stall()))

    def breaks_in_body(self) -> "Fault":
        """Send half of the answer's body, then reset the connection."""
        return self._does(lambda request: (request.give(request.forward(), half=True), request.reset()))

    def waits_for(self, work: Callable[[], object]) -> "Fault":
        """Run a callback first, then carry out the request as it is."""
        return self._does(lambda request: (work(), request.give(request.forward())))

    def _does(self, spoil: Spoil) -> "Fault":
        self.spoil = spoil
        return self


@dataclass
class Proxy:
    """Running proxy.

    Attributes:
        behind: the server that requests are forwarded to.
        server: the same by the proxy's address, to be given to `Lake.open`.
        asked: method and path with query of every request, in order of arrival.
    """

    behind: S3Server
    server: S3Server
    asked: list[str] = field(default_factory=list)
    _faults: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closing: threading.Event = field(default_factory=threading.Event)

    def on(self, method: str, pattern: str = "", *, after: int = 0, times: int | None = None) -> Fault:
        """Add a fault for matching requests after the first `after` ones, `times` times or for ever."""
        fault = Fault(method, re.compile(pattern), after, times)
        with self._lock:
            self._faults.append(fault)
        return fault

    def heal(self) -> None:
        """End all faults."""
        with self._lock:
            self._faults.clear()

    def count(self, method: str, pattern: str = "") -> int:
        """Count the matching requests."""
        return sum(line.startswith(f"{method} ") and re.search(pattern, line) is not None for line in self.asked)

    def _spoil_of(self, method: str, path: str) -> Spoil | None:
        with self._lock:
            self.asked.append(f"{method} {path}")
            for fault in self._faults:
                if fault.method != method or not fault.pattern.search(path):
                    continue
                fault.seen += 1
                nth = fault.seen - fault.after
                if fault.spoil is not None and nth > 0 and (fault.times is None or nth <= fault.times):
                    return fault.spoil
        return None


@contextmanager
def in_front_of(server: S3Server) -> Iterator[Proxy]:
    """Run a proxy on a free port."""
    upstream = urlsplit(server.endpoint_url).netloc

    class Request(_Request):
        pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Request) as http:
        http.daemon_threads = True
        proxy = Proxy(server, replace(server, endpoint_url=f"http://127.0.0.1:{http.server_port}"))
        Request.proxy, Request.upstream = proxy, upstream
        serving = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        try:
            yield proxy
        finally:
            proxy._closing.set()
            http.shutdown()
            serving.join()


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class _Request(BaseHTTPRequestHandler):
    """One request of a client."""

    proxy: Proxy
    upstream: str
    protocol_version = "HTTP/1.1"
    # Head and body are written one after the other: without this the second waits for the first one's receipt.
    disable_nagle_algorithm = True
    _behind: HTTPConnection | None = None

    def finish(self) -> None:
        super().finish()
        if self._behind:
            self._behind.close()

    def handle_one_request(self) -> None:
        with suppress(ConnectionError):
            super().handle_one_request()
            return
        self.close_connection = True

    def _take(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        spoil = self.proxy._spoil_of(self.command, unquote(self.path))
        if spoil is None:
            self.give(self.forward())
        else:
            spoil(self)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _take  # noqa: N815 - http.server asks for these names

    def forward(self) -> _Answer:
        if self._behind is None:
            self._behind = HTTPConnection(self.upstream, timeout=60)
        connection = self._behind
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    connection.putheader(name, value)
            connection.endheaders(self.body)
            answer = connection.getresponse()
            headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP]
            return _Answer(answer.status, headers, answer.read())
        except (HTTPException, OSError) as error:
            raise AssertionError(f"the server behind the proxy failed at {self.requestline}: {error!r}") from error

    def give(self, answer: _Answer, *, half: bool = False) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in answer.headers):
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: len(answer.body) // 2] if half else answer.body)
        self.wfile.flush()

    def refuse(self, status: int, code: str) -> None:
        self.say(status, f"<Error><Code>{code}</Code><Message>{code} by the test.</Message></Error>")

    def say(self, status: int, body: str) -> None:
        self.give(_Answer(status, [("Content-Type", "application/xml")], body.encode()))

    def reset(self) -> None:
        # Closed with this option, a connection ends with RST and what was not yet sent is dropped.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
        raise ConnectionResetError

    def stall(self) -> None:
        self.proxy._closing.wait()
        raise ConnectionResetError

    def log_message(self, *_: object) -> None:
        pass
