"""Open the stream of a URL. Only the module of its kind is imported, and what that needs."""

# ruff: noqa: PLC0415 - see above

from collections.abc import Callable
from datetime import datetime

from flood_assets import settings
from flood_assets.consume.stream import Stream


def open_stream(url: str, clock: Callable[[], datetime], *, once: bool = False) -> Stream:
    """Open the stream of a URL.

    Args:
        url: `kinesis://stream`, `kafka://host:port/topic` or `sqs://queue`.
        clock: the current time.
        once: wait for nothing that is not there yet.

    Raises:
        SettingsError: another kind of URL, or one that is not complete.
        SinkError: there is no such stream, or nothing that is needed is there, such as credentials or a package.
    """
    scheme = settings.stream_scheme(url)
    if scheme == "kinesis":
        from flood_assets.consume.kinesis import KinesisStream

        return KinesisStream(url, clock, once=once)
    if scheme == "sqs":
        from flood_assets.consume.sqs import SqsStream

        return SqsStream(url, once=once)
    from flood_assets.consume.kafka import KafkaStream

    return KafkaStream(url, once=once)
