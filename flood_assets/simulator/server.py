"""Serve the simulator over HTTP: sockets, framing, compression, faults and control endpoints.

`api` makes the answers. The control endpoints under `/__simulator` are not part of the API:

    PUT clock?now=2026-11-21T10:00:00Z   stop the server's clock (now= empty: let it run)
    PUT faults                           a JSON list of faults, see `faults.Fault`
    GET stats                            requests and uncompressed body bytes by endpoint; PUT reset zeroes them
    GET truth.csv?from=..&to=..          every reading shown now with from < dateTime <= to, corrected values applied
    GET about                            seed, stations, measures, now
"""

import errno
import json
import signal
import socket
import struct
import sys
import threading
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

from flood_assets.simulator import encode, faults
from flood_assets.simulator.api import Answer, Api, Request, as_datetime, parse_moment
from flood_assets.simulator.arrivals import NONE
from flood_assets.simulator.country import Simulator
from flood_assets.simulator.faults import Fault

API_PATH, CONTROL_PATH = "/flood-monitoring", "/__simulator"
_SMALL = 64 * 1024  # bodies up to this size are sent with their length, larger ones in chunks
_WORTH_PACKING = 512
_PAGE = b"<html><head><title>Service unavailable</title></head><body><h1>Service unavailable</h1></body></html>\n"


class Truth(NamedTuple):
    """One reading of a perfect copy; `value` is text as in CSV, such as `1.250`, `1.2|1.3` or empty."""

    time: datetime
    measure: str
    value: str


class Server:
    """Simulator that answers requests in threads of this process until it is closed."""

    def __init__(self, simulator: Simulator, port: int = 0, host: str = "127.0.0.1") -> None:
        self.simulator = simulator
        self._state = _State(simulator)
        self._listen(host, port)

    def _listen(self, host: str, port: int) -> None:
        self._state.stopping.clear()
        self._http = _Http((host, port), self._state)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Port that it listens on."""
        return int(self._http.server_address[1])

    @property
    def url(self) -> str:
        """Root of the API, without a trailing slash."""
        return f"http://{self._http.server_address[0]!s}:{self.port}{API_PATH}"

    @property
    def control(self) -> str:
        """Root of the control endpoints, without a trailing slash."""
        return f"http://{self._http.server_address[0]!s}:{self.port}{CONTROL_PATH}"

    def set_clock(self, moment: datetime | None) -> None:
        """Stop the clock at an aware datetime, or let it run again."""
        self.simulator.set_clock(moment)

    def set_faults(self, wanted: Iterable[Fault | dict[str, Any]]) -> None:
        """Replace the faults that are still to come."""
        self._state.faults.set(wanted)

    def stats(self) -> dict[str, dict[str, int]]:
        """Return requests and uncompressed body bytes by endpoint, such as `/data/readings latest`."""
        return self._state.stats()

    def reset(self) -> None:
        """Set the statistics to zero."""
        self._state.reset()

    def truth(self, start: datetime, end: datetime) -> list[Truth]:
        """Yield every reading shown now with start < dateTime <= end, in no particular order."""
        rows = []
        for texts, part in self._state.api.truth(int(start.timestamp()), int(end.timestamp())):
            names, coarse = [m.notation for m in texts.block.measures], texts.coarse
            for place, time, value, second in zip(*(column.tolist() for column in part), strict=True):
                digits = 1 if coarse[place] else 3
                text = "|".join(_decimal(v, digits) for v in (value, second) if v != NONE)
                rows.append(Truth(as_datetime(time), names[place], text))
        return rows

    @contextmanager
    def away(self) -> Iterator[None]:
        """Refuse connections inside the context; answer at the same address again afterwards."""
        host, port = self._http.server_address[:2]
        self.close()
        try:
            yield
        finally:
            self._listen(str(host), int(port))

    def close(self) -> None:
        """Stop answering, including requests in progress."""
        self._state.stopping.set()
        self._http.shutdown()
        self._http.disconnect()
        self._http.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(simulator: Simulator, port: int = 0, host: str = "127.0.0.1") -> Server:
    """Answer requests in threads of this process until the context is left."""
    return Server(simulator, port, host)


def run(
    stations: int = 5500,
    seed: int = 1,
    port: int = 8765,
    now: Callable[[], datetime] | None = None,
    *,
    host: str = "127.0.0.1",
) -> None:
    """Answer requests until Ctrl-C or SIGTERM; print one line with the URL when ready.

    Exits with 2 and one line when the port cannot be had.
    """
    # A shell that starts it in the background may ignore both signals, and a child inherits that.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        server = serve(Simulator(stations, seed, now), port, host)
    except (OSError, OverflowError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "is in use" if taken else f"of {host} cannot be listened on ({getattr(error, 'strerror', None) or error})"
        sys.stderr.write(f"simulator: port {port} {why}: choose another with --port, or --port 0 for a free one\n")
        sys.exit(2)
    with server:
        sys.stdout.write(f"simulating {stations} stations (seed {seed}) at {server.url}\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


def _decimal(value: int, digits: int) -> str:
    """Format thousandths as CSV does."""
    size = abs(value)
    return f"{'-' if value < 0 else ''}{size // 1000}.{f'{size % 1000:03d}'[:digits]}"


class _State:
    """State shared by the threads of a server."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.api = Api(simulator)
        self.faults = faults.Faults()
        self.stopping = threading.Event()
        self._counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._lock = threading.Lock()

    def count(self, endpoint: str, requests: int, size: int) -> None:
        with self._lock:
            self._counts[endpoint][0] += requests
            self._counts[endpoint][1] += size

    def stats(self) -> dict[str, dict[str, int]]:
        with self._lock:
            return {name: {"requests": n, "bytes": size} for name, (n, size) in sorted(self._counts.items())}

    def reset(self) -> None:
        with self._lock:
            self._counts.clear()

    def counted(self, endpoint: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield a body and count its bytes while it is sent."""
        for piece in pieces:
            self.count(endpoint, 0, len(piece))
            yield piece


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], state: _State) -> None:
        self.state = state
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def remember(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)

    def forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)

    def disconnect(self) -> None:
        """Close the connections that clients keep open, so that no thread waits for them."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Broken(Exception):  # noqa: N818 (not an error: the connection is broken off on purpose)
    """Raised to send no more of an answer."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "flood-assets-simulator"
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024
    server: _Http

    def setup(self) -> None:
        super().setup()
        self.server.remember(self.connection)

    def finish(self) -> None:
        self.server.forget(self.connection)
        with suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
        """Print no line for each request."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the Date header by the simulator's clock."""
        moment = self.server.state.simulator.now if timestamp is None else datetime.fromtimestamp(timestamp, UTC)
        return format_datetime(moment, usegmt=True)

    # ---- requests

    def do_GET(self) -> None:
        """Answer a GET."""
        url = urlsplit(self.path)
        with suppress(ConnectionError, TimeoutError, _Broken):
            if url.path.startswith(f"{CONTROL_PATH}/"):
                self._control(url.path.removeprefix(f"{CONTROL_PATH}/"), _query(url.query))
            elif url.path.startswith(f"{API_PATH}/"):
                self._api(url.path.removeprefix(API_PATH), url.query)
            else:
                self._line(404, "Not Found")
            return
        self.close_connection = True

    def do_PUT(self) -> None:
        """Change the clock, the faults or the statistics."""
        url, state = urlsplit(self.path), self.server.state
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            match url.path.removeprefix(f"{CONTROL_PATH}/"):
                case "clock":
                    moment = _query(url.query).get("now")
                    state.simulator.set_clock(as_datetime(parse_moment(moment)) if moment else None)
                case "faults":
                    state.faults.set(faults.parse(json.loads(content or b"[]")))
                case "reset":
                    state.reset()
                case _:
                    self._line(404, "Not Found")
                    return
        except ValueError as wrong:
            self._line(400, str(wrong))
            return
        self._json({"now": encode.moment(state.simulator.seconds)})

    do_POST = do_PUT  # noqa: N815 (the base class looks for this name)

    def _control(self, name: str, query: dict[str, str]) -> None:
        state = self.server.state
        match name:
            case "stats":
                self._json(state.stats())
            case "about":
                simulator = state.simulator
                about = {"seed": simulator.seed, "stations": simulator.stations, "measures": simulator.measures}
                self._json(about | {"now": encode.moment(simulator.seconds)})
            case "truth.csv":
                try:
                    start, end = parse_moment(query.get("from", "")), parse_moment(query.get("to", ""))
                except ValueError:
                    self._line(400, "truth.csv takes from= and to=, ISO datetimes such as 2026-11-21T10:00:00Z")
                    return
                rows = (
                    piece for texts, part in state.api.truth(start, end) for piece in encode.truth_rows(texts, part)
                )
                self._send(Answer(200, "text/csv;charset=UTF-8", chain([b"dateTime,measure,value\n"], rows)), None)
            case _:
                self._line(404, "Not Found")

    def _api(self, path: str, raw: str) -> None:
        state = self.server.state
        fault = state.faults.take(self.path)
        rows = {"limit": fault.rows, "nothing": 0}.get(fault.kind) if fault else None
        request = Request.of(path, raw, self.headers.get("Accept", ""), rows)
        state.count(request.endpoint, 1, 0)
        if fault and self._broken_off(fault):
            return
        api = Api(state.simulator.ago(fault.seconds)) if fault and fault.kind == "stale" else state.api
        answer = api.answer(request)
        pieces = state.counted(request.endpoint, answer.pieces)
        if fault and answer.status == 200:
            pieces = faults.altered(fault, pieces, request.form == "csv")
        self._send(Answer(answer.status, answer.kind, pieces), fault if answer.status == 200 else None)

    def _broken_off(self, fault: Fault) -> bool:
        """Apply a fault that replaces the answer; return False if the fault alters an answer instead."""
        match fault.kind:
            case "status":
                retry = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
                self._line(fault.status, "Query timed out", retry)
            case "html":
                self._send(Answer(200, "text/html", iter([_PAGE])), None)
            case "redirect_loop":
                self._line(302, "Found", {"Location": self.path})
            case "stall":
                self.server.state.stopping.wait(fault.seconds)
                raise _Broken
            case _:
                return False
        return True

    # ---- answers

    def _json(self, content: object) -> None:
        self._send(Answer(200, "application/json", iter([json.dumps(content).encode() + b"\n"])), None)

    def _line(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        self._send(Answer(status, "text/plain", iter([text.encode()])), None, headers)

    def _send(self, answer: Answer, fault: Fault | None, headers: dict[str, str] | None = None) -> None:
        """Send an answer: with its length if small, in chunks if large, gzipped if the client accepts it."""
        head, _ = _peek(answer.pieces, _WORTH_PACKING)
        packed = len(head) > _WORTH_PACKING and "gzip" in self.headers.get("Accept-Encoding", "")
        plain: Iterator[bytes] = chain([head], answer.pieces)
        pieces = _packed(plain) if packed else plain
        self.send_response(answer.status if answer.status in set(HTTPStatus) else 500)
        self.send_header("Content-Type", answer.kind)
        if packed:
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Vary", "Accept-Encoding")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if fault and fault.kind in ("truncate", "reset", "hang"):
            self._send_part(pieces, fault)
        else:
            self._send_whole(pieces, fault)
        self.wfile.flush()

    def _send_whole(self, pieces: Iterator[bytes], fault: Fault | None) -> None:
        head, ended = _peek(pieces, _SMALL)
        early = fault is not None and fault.kind == "cut_at_line"
        close = self.request_version == "HTTP/1.0" or (early and fault is not None and fault.framing == "close")
        if ended and not early:
            self._frame("Content-Length", str(len(head)))
        elif close:
            self._frame("Connection", "close")
            self.close_connection = True
        else:
            self._frame("Transfer-Encoding", "chunked")
        chunked = (early or not ended) and not close
        body: Iterator[bytes] = _joined(chain([head], pieces))
        if fault and fault.kind == "slow":
            self.wfile.flush()
            body = self._dripping(body, fault.rate)
        for piece in body:
            self._chunk(piece) if chunked else self.wfile.write(piece)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _send_part(self, pieces: Iterator[bytes], fault: Fault) -> None:
        """Send the first part of a body, then end, reset or stall the connection."""
        part = faults.first_part(pieces, fault.after)
        framing = fault.framing or ("close" if fault.kind == "truncate" else "chunked")
        names = {"chunked": ("Transfer-Encoding", "chunked"), "close": ("Connection", "close")}
        self._frame(*names.get(framing, ("Content-Length", str(2 * len(part) + 1))))
        self._chunk(part) if framing == "chunked" else self.wfile.write(part)
        self.wfile.flush()
        if fault.kind == "hang":
            self.server.state.stopping.wait(fault.seconds)
        elif fault.kind == "reset":
            # With a linger time of 0, close sends RST instead of FIN. The pause lets the first part arrive.
            self.server.state.stopping.wait(0.1)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.server.forget(self.connection)
            self.rfile.close()
            self.connection.close()
        raise _Broken

    def _frame(self, name: str, value: str) -> None:
        self.send_header(name, value)
        self.end_headers()

    def _chunk(self, piece: bytes) -> None:
        self.wfile.write(b"%x\r\n" % len(piece))
        self.wfile.write(piece)
        self.wfile.write(b"\r\n")

    def _dripping(self, body: Iterator[bytes], rate: int) -> Iterator[bytes]:
        step = max(1, rate // 10)
        for piece in body:
            for start in range(0, len(piece), step):
                yield piece[start : start + step]
                self.wfile.flush()
                if self.server.state.stopping.wait(step / rate):
                    raise _Broken


def _query(raw: str) -> dict[str, str]:
    return {name: value.replace(" ", "+") for name, value in parse_qsl(raw, keep_blank_values=True)}


def _peek(pieces: Iterator[bytes], size: int) -> tuple[bytes, bool]:
    """Read just over `size` bytes of a body, or all of it; return them and True if that was all."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) > size:
            return head, False
    return head, True


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in pieces large enough for a chunk."""
    held, size = [], 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _SMALL:
            yield b"".join(held)
            held, size = [], 0
    if size:
        yield b"".join(held)


def _packed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Compress a body with gzip at the cheapest level."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    for piece in pieces:
        made = packer.compress(piece)
        if made:
            yield made
    yield packer.flush()
