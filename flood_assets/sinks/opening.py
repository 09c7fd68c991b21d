"""Open the sink of a URL. Only the module of its kind is imported, and what that needs."""

# ruff: noqa: PLC0415 - see above

import importlib
from collections.abc import Callable
from datetime import datetime
from functools import partial

from flood_assets import settings
from flood_assets.schemas import CONDITIONS, MEASURES, STATIONS
from flood_assets.sinks.base import Sent, Sink
from flood_assets.sinks.events import CloudEvents

# The class of each scheme, in the module of its name; a webhook is signed, and is opened by itself.
_KINDS = {
    "kinesis": "Kinesis",
    "sqs": "Sqs",
    "sns": "Sns",
    "eventbridge": "EventBridge",
    "dynamodb": "DynamoDb",
    "kafka": "Kafka",
    "postgresql": "PostgreSql",
}
# Those that delete what is a day old, and need the time for it.
_TIMED = {"postgresql"}
# `Sink.tables` of those that have some, to be known before they are opened.
_TABLES = {"postgresql": (STATIONS, MEASURES, CONDITIONS)}


def open_sink(url: str, clock: Callable[[], datetime], *, secret: str | None = None, pause_s: float = 0.5) -> Sink:
    """Open the sink of a URL.

    Args:
        url: one of `FLOOD_PUBLISH`.
        clock: the current time, which a webhook signs, and which decides what a database deletes.
        secret: with which a webhook is signed; None to sign none.
        pause_s: seconds before a second try.

    Raises:
        SettingsError: another kind of URL, or one that is not complete.
        SinkError: nothing that the sink needs is there, such as credentials or a package.
    """
    scheme = settings.sink_scheme(url)
    if scheme in {"https", "http"}:
        from flood_assets.sinks.webhook import Webhook

        return Webhook(url, clock, secret=secret, pause_s=pause_s)
    module = importlib.import_module(f"flood_assets.sinks.{scheme}")
    kind: Callable[..., Sink] = getattr(module, _KINDS[scheme])
    return kind(url, clock, pause_s=pause_s) if scheme in _TIMED else kind(url, pause_s=pause_s)


class Unopened(Sink):
    """A sink that is opened when there is something to send: a tick without changes imports and asks nothing.

    Args:
        url: as of `open_sink`.
        clock: likewise.
        secret: likewise.
        pause_s: likewise.
    """

    def __init__(
        self, url: str, clock: Callable[[], datetime], *, secret: str | None = None, pause_s: float = 0.5
    ) -> None:
        super().__init__(url, pause_s=pause_s)
        self.tables = _TABLES.get(url.partition(":")[0], ())
        self._open = partial(open_sink, url, clock, secret=secret, pause_s=pause_s)
        self._sink: Sink | None = None

    def send(self, events: CloudEvents) -> Sent:  # noqa: D102
        self._sink = self._sink or self._open()
        return self._sink.send(events)

    def is_empty(self) -> bool:  # noqa: D102
        self._sink = self._sink or self._open()
        return self._sink.is_empty()

    def close(self) -> None:  # noqa: D102
        if self._sink is not None:
            self._sink.close()
