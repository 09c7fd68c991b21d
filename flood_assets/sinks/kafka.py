"""Publish to a Kafka topic: one message for each event, its key the measure, so that a gauge stays in its partition.

The message is the event in structured JSON, as CloudEvents' Kafka binding has it. The producer is idempotent: what
librdkafka sends again by itself is stored once. An event is confirmed by its own delivery report, from all replicas in
sync.

`topic_of` and `config_of` read the URL for whoever reads a topic too.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

import numpy as np

from flood_assets import settings
from flood_assets.errors import SettingsError
from flood_assets.sinks.base import Sent, Sink, SinkError
from flood_assets.sinks.events import ONE, CloudEvents

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Producer

# Seconds without any confirmation after which the brokers are taken to be away.
PATIENCE_S = 20.0

_BROKERS = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
_TOPIC = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
# Options of librdkafka that a URL may have, with what they may be; None for any text.
_COMMON: dict[str, tuple[str, ...] | None] = {
    "security.protocol": ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    "sasl.mechanism": ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
    "ssl.ca.location": None,
    "ssl.certificate.location": None,
    "ssl.key.location": None,
    "client.id": None,
}
_OF_WRITERS: dict[str, tuple[str, ...] | None] = {"compression.type": ("none", "gzip", "snappy", "lz4", "zstd")}
_OF_READERS: dict[str, tuple[str, ...] | None] = {"group.id": None}
_WRITER: dict[str, Any] = {
    "enable.idempotence": True,
    "acks": "all",
    # That of Java's clients: theirs find a measure in the same partition.
    "partitioner": "murmur2_random",
    # Small requests: a broker that takes less than librdkafka's megabyte refuses the whole of one.
    "batch.size": 200_000,
    "message.timeout.ms": 120_000,
    # How long a topic that is not there is looked for.
    "topic.metadata.propagation.max.ms": 10_000,
}
_HEADERS: dict[str, str | bytes | None] = {"content-type": ONE}
# What is wrong with the message itself, or with another one of its request.
_CONTENT = frozenset({"MSG_SIZE_TOO_LARGE", "INVALID_RECORD", "INVALID_MSG"})


class Kafka(Sink):
    """`kafka://host:port/topic`, of several brokers with commas between.

    Args:
        url: see `topic_of` and `config_of`.
        pause_s: as of `Sink`; librdkafka makes pauses of its own.
        patience_s: seconds without any confirmation after which the rest waits for the next tick.
    """

    def __init__(self, url: str, *, pause_s: float = 0.5, patience_s: float = PATIENCE_S) -> None:
        super().__init__(url, pause_s=pause_s)
        self._topic, self._patience_s = topic_of(url), patience_s
        self._config = {**_WRITER, "compression.type": "lz4", **config_of(url), "error_cb": self._heard}
        self._said: KafkaError | None = None
        self._producer: Producer | None = None
        _imported()

    def send(self, events: CloudEvents) -> Sent:  # noqa: D102
        documents, keys = events.documents(), [measure.encode() for measure in events.keys]
        errors, trouble = self._put(range(len(documents)), keys, documents)
        refused = dict[int, str]()
        for number in [number for number, error in errors.items() if error and error.name() in _CONTENT]:
            # Alone: a request fails as a whole for one of its messages.
            if trouble:
                break
            alone, trouble = self._put([number], keys, documents)
            errors |= alone
            if (error := alone.get(number)) and error.name() in _CONTENT:
                errors[number], refused[number] = None, error.str()
        confirmed = np.array([errors.get(number, True) is None for number in range(len(documents))], np.bool_)
        if not trouble and (left := [error for error in errors.values() if error]):
            trouble = told(self.name, left[0])
        if trouble and not confirmed.any():
            raise SinkError(trouble)
        return Sent(confirmed, trouble, refused)

    def close(self) -> None:  # noqa: D102
        self._producer = None

    def _put(
        self, numbers: Sequence[int], keys: Sequence[bytes], documents: Sequence[bytes]
    ) -> tuple[dict[int, "KafkaError | None"], str]:
        """Put messages; return the report of each, None if it is stored, and why it was given up; empty if it was not.

        Raises:
            SinkError: the settings are not valid.
        """
        kafka = _imported()
        reports: dict[int, KafkaError | None] = {}

        def reported(number: int, error: "KafkaError | None", _message: Any) -> None:
            reports[number] = error

        producer, self._said = self._opened(), None
        for number in numbers:
            heard = partial(reported, number)
            while True:
                try:
                    producer.produce(self._topic, documents[number], keys[number], headers=_HEADERS, on_delivery=heard)
                except BufferError:
                    if trouble := self._waited(producer, len(producer) // 2):
                        return reports, trouble
                    continue
                except kafka.KafkaException as error:
                    # Larger than librdkafka itself takes.
                    reports[number] = error.args[0]
                break
        return reports, self._waited(producer, 0)

    def _opened(self) -> "Producer":
        if self._producer is None:
            with explained(self.name):
                self._producer = _imported().Producer(self._config)
        return self._producer

    def _waited(self, producer: "Producer", most: int) -> str:
        """Wait until at most so many messages have no report yet; return why it was given up, or an empty text."""
        left, since = len(producer), time.monotonic()
        while left > most:
            producer.poll(0.1)
            if len(producer) < left:
                left, since = len(producer), time.monotonic()
            elif time.monotonic() - since > self._patience_s or (self._said and is_final(self._said)):
                break
        else:
            return ""
        # All at once, so that nothing is stored later than what was sent after it. Another producer sends it again.
        producer.purge()
        producer.flush(1)
        self._producer = None
        return (
            told(self.name, self._said)
            if self._said
            else (f"{self.name}: nothing was confirmed for {self._patience_s:.0f} s: {AWAY}")
        )

    def _heard(self, error: "KafkaError") -> None:
        """Remember what librdkafka says of its connections; that all are down says less than why one is."""
        if self._said is None or error.name() != "_ALL_BROKERS_DOWN":
            self._said = error


def topic_of(url: str) -> str:
    """Return the topic of `kafka://[name:password@]host:port[,host:port...]/topic[?option=value&...]`.

    Raises:
        SettingsError: it is no such URL. What it shows has neither a password nor options.
    """
    return _parts(url)[1]


def config_of(url: str, environ: Mapping[str, str] | None = None, *, reads: bool = False) -> dict[str, str]:
    """Return librdkafka's settings of a URL: brokers, options, and name and password.

    These are of the URL, or of `FLOOD_KAFKA_USERNAME` and `FLOOD_KAFKA_PASSWORD`, and are sent encrypted unless an
    option says otherwise.

    Args:
        url: as of `topic_of`.
        environ: the environment; None for that of the process.
        reads: True for a consumer's settings, False for a producer's.

    Raises:
        SettingsError: an option that is not known, or lacks what it needs.
    """
    brokers, _, query, given = _parts(url)
    known = _COMMON | (_OF_READERS if reads else _OF_WRITERS)
    found = {"bootstrap.servers": brokers}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name in (_OF_WRITERS if reads else _OF_READERS):
            continue
        if name not in known:
            secret = "password" in name or "username" in name
            remedy = (
                "write them before the host, or set FLOOD_KAFKA_USERNAME and FLOOD_KAFKA_PASSWORD"
                if secret
                else f"expected one of {', '.join(known)}"
            )
            raise SettingsError(f"kafka:// has no option '{name}': {remedy}")
        allowed = known[name]
        if not text or (allowed and text not in allowed):
            raise SettingsError(f"{name} is '{text}': expected {' or '.join(allowed) if allowed else 'a text'}")
        found[name] = text
    login = given or settings.kafka_login(environ)
    protocol = found.setdefault("security.protocol", "SASL_SSL" if login else "PLAINTEXT")
    if protocol.startswith("SASL"):
        if login is None:
            raise SettingsError(f"{protocol} needs a name: set FLOOD_KAFKA_USERNAME and FLOOD_KAFKA_PASSWORD")
        found.setdefault("sasl.mechanism", "PLAIN")
        found["sasl.username"], found["sasl.password"] = login
    return {**found, "log_level": "0", "reconnect.backoff.max.ms": "1000"}


def open_consumer(url: str, more: Mapping[str, Any] | None = None) -> "Consumer":
    """Open a consumer that is told where to begin, by `assign`, and commits nothing by itself.

    Args:
        url: as of `topic_of`.
        more: further settings of librdkafka.

    Raises:
        SettingsError: the URL is not complete.
        SinkError: confluent-kafka is not installed, or the settings are not valid.
    """
    config: dict[str, Any] = {"group.id": "flood-assets", "enable.auto.commit": False, "auto.offset.reset": "earliest"}
    config |= {**config_of(url, reads=True), **(more or {})}
    with explained(shown(url)):
        return _imported().Consumer(config)


def partitions_of(consumer: "Consumer", topic: str) -> list[int]:
    """Return the partitions of a topic.

    Raises:
        KafkaException: no broker answers, or there is no such topic; see `explained`.
    """
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
        raise SinkError(told(place, error.args[0])) from error


def shown(url: str) -> str:
    """Return a URL as it may be shown: without name, password and options."""
    brokers, topic, _, _ = _parts(url)
    return f"kafka://{brokers}/{topic}"


def _parts(url: str) -> tuple[str, str, str, tuple[str, str] | None]:
    """Return the brokers, the topic and the query of a URL, and its name and password.

    `urlsplit` takes no brackets of an IPv6 address behind a comma.
    """
    scheme, _, rest = url.partition("://")
    authority, _, tail = rest.partition("/")
    userinfo, found, brokers = authority.rpartition("@")
    topic, _, query = tail.partition("?")
    # One name is for all brokers: before a second @ another one would be taken for a part of the password. The other
    # signs end a host elsewhere, which would show the password.
    whole = scheme == "kafka" and "#" not in tail and not re.search("[@?#]", userinfo)
    if not (whole and all(map(_BROKERS.fullmatch, brokers.split(","))) and _TOPIC.fullmatch(topic)):
        safe = rest.rpartition("@")[2].partition("?")[0]
        raise SettingsError(
            f"'{scheme}://{safe}' names no topic: expected {settings.SINKS['kafka']}, with commas between brokers"
        )
    name, _, password = userinfo.partition(":")
    return brokers, topic, query, (unquote(name), unquote(password)) if found else None


def _imported() -> Any:
    try:
        import confluent_kafka  # noqa: PLC0415 - an extra
    except ImportError:
        raise SinkError("kafka:// needs another package: pip install 'flood-assets[kafka]'") from None
    return confluent_kafka


AWAY = "are the brokers running, and can they be reached by the names that they give?"
_REMEDIES = (
    ("AUTHENTICATION|AUTHORIZATION|SASL", "check the name, the password, sasl.mechanism and the rights"),
    ("UNKNOWN_TOPIC|UNKNOWN_PARTITION", "create the topic, or correct the URL"),
    ("_SSL|_INVALID_ARG", "check security.protocol and the files of ssl.ca.location and the others"),
)


def told(place: str, error: "KafkaError") -> str:
    """Return what went wrong at a place, and the remedy."""
    remedy = next((remedy for pattern, remedy in _REMEDIES if re.search(pattern, error.name())), AWAY)
    return f"{place}: {error.str().rstrip('.')} ({error.name()}): {remedy}"


def is_final(error: "KafkaError") -> bool:
    """Return True if waiting does not help."""
    return bool(error.fatal()) or error.name() in {"_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED"}
