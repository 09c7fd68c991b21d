"""A webhook's receiver on a free port of 127.0.0.1, and what a receiver makes of events, by rules of its own."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """What came, and how it is answered.

    Attributes:
        url: of the server.
        requests: the headers and body of each request, in order.
        paths: the path of each.
        answer: gives the status for a body; the headers of an answer may follow.
    """

    url: str
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    answer: Callable[[list[dict[str, Any]]], int] = lambda _events: 204
    headers: dict[str, str] = field(default_factory=dict)
    accepted: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found.paths.append(self.path)
            found.requests.append(({name.lower(): text for name, text in self.headers.items()}, body))
            events = json.loads(body)
            status = found.answer(events)
            if status < 300:
                found.accepted += events
            self.send_response(status)
            for name, text in found.headers.items():
                self.send_header(name, text)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Receiver(f"http://127.0.0.1:{server.server_port}/hook")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def is_signed(headers: dict[str, str], body: bytes, key: bytes) -> bool:
    """Check a signature as standardwebhooks.com describes it."""
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    return headers["webhook-signature"] == f"v1,{wanted}"


def newest(events: Iterable[dict[str, Any]]) -> dict[tuple[str, str], float | None]:
    """Return the value of each reading after dropping known ids, as docs/publishing.md tells receivers to."""
    seen: set[str] = set()
    held: dict[tuple[str, str], tuple[tuple[datetime, int], float | None]] = {}
    for event in events:
        if event["id"] in seen:
            continue
        seen.add(event["id"])
        data = event["data"]
        key = (data["measure_id"], data["date_time"])
        order = (datetime.fromisoformat(data["changed_at"]), data["revision"])
        if key not in held or held[key][0] <= order:
            held[key] = (order, data["value"])
    return {key: value for key, (_, value) in held.items()}
