"""Read the URL of a Kafka topic and open a consumer of it.

To be replaced by the same functions of `flood_assets.sinks.kafka` once that is merged: `topic_of`, `open_consumer`,
`partitions_of`, `explained` and `shown`. That one knows encryption and passwords too.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flood_assets import settings
from flood_assets.errors import SettingsError
from flood_assets.places import split_userinfo
from flood_assets.sinks.base import SinkError

if TYPE_CHECKING:
    from confluent_kafka import Consumer


def topic_of(url: str) -> str:
    """Return the topic of `kafka://host:port[,host:port...]/topic`; SettingsError if it is no such URL."""
    return _parts(url)[1]


def shown(url: str) -> str:
    """Return a URL as it may be shown: without name, password and options."""
    brokers, topic = _parts(url)
    return f"kafka://{brokers}/{topic}"


def open_consumer(url: str, more: Mapping[str, Any] | None = None) -> "Consumer":
    """Open a consumer that is told where to begin, by `assign`, and commits nothing by itself.

    `more` are further settings of librdkafka. SinkError if confluent-kafka is not installed, or a setting is not valid.
    """
    config: dict[str, Any] = {
        "bootstrap.servers": _parts(url)[0],
        "group.id": "flood-assets",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "log_level": "0",
    }
    with explained(shown(url)):
        return _imported().Consumer({**config, **(more or {})})


def partitions_of(consumer: "Consumer", topic: str) -> list[int]:
    """Return the partitions of a topic; KafkaException if no broker answers, or there is no such topic."""
    found = consumer.list_topics(topic, timeout=10).topics[topic]
    if found.error is not None:
        raise _imported().KafkaException(found.error)
    return sorted(found.partitions)


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Turn an error of librdkafka into a SinkError with a remedy."""
    kafka = _imported()
    try:
        yield
    except kafka.KafkaException as error:
        told = error.args[0]
        remedy = "create the topic, or correct the URL" if "UNKNOWN_TOPIC" in told.name() else AWAY
        raise SinkError(f"{place}: {told.str().rstrip('.')} ({told.name()}): {remedy}") from error


AWAY = "are the brokers running, and can they be reached by the names that they give?"


def _parts(url: str) -> tuple[str, str]:
    parts = urlsplit(split_userinfo(url)[0])
    topic = parts.path.strip("/")
    if not parts.netloc or not topic or "/" in topic:
        safe = parts._replace(query="").geturl()
        raise SettingsError(f"'{safe}' names no topic: expected {settings.STREAMS['kafka']}")
    return parts.netloc, topic


def _imported() -> Any:
    try:
        import confluent_kafka  # noqa: PLC0415 - an extra
    except ImportError:
        raise SinkError("kafka:// needs another package: pip install 'flood-assets[kafka]'") from None
    return confluent_kafka
