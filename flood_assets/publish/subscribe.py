"""Receive what is published, for `flood-assets subscribe`: from Kinesis, SQS or Kafka, or as a webhook."""

import hmac
import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from flood_assets import settings
from flood_assets.consume.opening import open_stream
from flood_assets.errors import SettingsError
from flood_assets.places import split_userinfo
from flood_assets.sinks import webhook

# Of a request's body, and how far its time may be from ours.
_LARGEST, _SKEW_S = 5_000_000, 300

Event = dict[str, Any]


def subscribe(
    url: str, clock: Callable[[], datetime], *, secret: str | None = None, once: bool = False
) -> Iterator[Event]:
    """Yield events as they arrive.

    Args:
        url: `kinesis://stream`, from its oldest record if `once`, else from now on; `sqs://queue`, whose messages are
            deleted when the next ones are asked for; `kafka://host:port/topic`, from its oldest message if `once`, else
            from now on; `http://127.0.0.1:port/` to listen as a webhook.
        clock: the current time.
        secret: refuse requests to the webhook that are not signed with it.
        once: end when nothing more is there; a webhook ends after its first request.

    Raises:
        SettingsError: another kind of URL.
        SinkError: AWS or the brokers could not be asked.
    """
    scheme = settings.sink_scheme(url)
    if scheme in settings.STREAMS:
        return _of_stream(url, clock, once=once)
    if scheme == "http":
        return _of_webhook(url, clock, secret, once=once)
    shown = split_userinfo(url)[0].partition("?")[0]
    raise SettingsError(
        f"'{shown}' cannot be subscribed to: expected kinesis://, sqs://, kafka:// or http://127.0.0.1:9000/"
    )


def _of_stream(url: str, clock: Callable[[], datetime], *, once: bool) -> Iterator[Event]:
    with closing(open_stream(url, clock, once=once)) as stream:
        stream.seek({}, newest=not once)
        while True:
            portions = stream.read()
            yield from (json.loads(record.data) for portion in portions for record in portion.records)
            stream.confirm(portions)
            if once and not portions and stream.drained:
                return
            if not portions:
                time.sleep(stream.pause_s)


def _of_webhook(url: str, clock: Callable[[], datetime], secret: str | None, *, once: bool) -> Iterator[Event]:
    parts = urlsplit(url)
    arrived: queue.Queue[list[Event]] = queue.Queue()
    key = None if secret is None else webhook.key_of(secret)
    try:
        server = ThreadingHTTPServer((parts.hostname or "", parts.port or 80), partial(_Hook, arrived.put, clock, key))
    except OSError as error:
        raise SettingsError(f"cannot listen on {parts.netloc} ({error.strerror}): choose another port") from None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        while True:
            yield from arrived.get()
            if once:
                return
    finally:
        server.shutdown()
        server.server_close()


class _Hook(BaseHTTPRequestHandler):
    """Take POST requests with events, and refuse those that are not signed as they should be."""

    def __init__(
        self, take: Callable[[list[Event]], None], clock: Callable[[], datetime], key: bytes | None, *rest: Any
    ) -> None:
        self._take, self._clock, self._key = take, clock, key
        super().__init__(*rest)

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > _LARGEST:
            self._answer(413)
            return
        body = self.rfile.read(int(length))
        if not self._signed(body):
            self._answer(401)
            return
        try:
            found = json.loads(body)
        except ValueError:
            self._answer(400)
            return
        self._answer(204)
        self._take(found if isinstance(found, list) else [found])

    def _signed(self, body: bytes) -> bool:
        if self._key is None:
            return True
        stamp, sent = self.headers.get("webhook-timestamp", ""), self.headers.get("webhook-signature", "")
        now = self._clock()
        if not stamp.isdecimal() or abs(int(stamp) - now.timestamp()) > _SKEW_S:
            return False
        at = datetime.fromtimestamp(int(stamp), now.tzinfo)
        wanted = webhook.signed(self._key, self.headers.get("webhook-id", ""), at, body)["webhook-signature"]
        return any(hmac.compare_digest(wanted.encode(), each.encode()) for each in sent.split())

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Print nothing: the events are what is printed."""
