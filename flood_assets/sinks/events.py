"""Say what a sink is given: CloudEvents 1.0 in JSON, whether they are of readings or of alerts.

`flood_assets.publish` makes the events of readings, `flood_assets.alerts` those of alerts; a sink asks for no more than
it needs.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any, Self

import msgspec
import numpy as np
import pyarrow as pa

from flood_assets.grouping import Flags, Ints
from flood_assets.partitions import from_ms

# Media types of one event and of a list of them.
ONE, MANY = "application/cloudevents+json", "application/cloudevents-batch+json"

encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Notice:
    """A message for the subscribers of a topic.

    Attributes:
        event: a CloudEvent.
        group: what keeps its order: notices of one group are delivered in order.
        filters: by which subscribers choose, beside its type.
        subject: what it says in a line, for people; empty if it is none for them.
        text: what it says, for people.
    """

    event: Mapping[str, Any]
    group: str
    filters: Mapping[str, str | int] = field(default_factory=dict)
    subject: str = ""
    text: str = ""


class CloudEvents(ABC):
    """Events to be sent, in the order in which they are."""

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def ids(self) -> list[str]:
        """The id of each event, the same whenever it is sent."""

    @property
    @abstractmethod
    def keys(self) -> list[str]:
        """The key of each event: those of one key stay in order."""

    @property
    @abstractmethod
    def changed(self) -> Ints:
        """The time of each event in ms."""

    @abstractmethod
    def kinds(self) -> list[str]:
        """Return the type of each event."""

    @abstractmethod
    def bodies(self) -> list[dict[str, Any]]:
        """Return the events as plain values; times are texts in UTC."""

    @abstractmethod
    def chosen(self, flags: Flags) -> Self:
        """Return the events whose flag is true."""

    @abstractmethod
    def notices(self) -> list[Notice]:
        """Return what the subscribers of a topic are sent: one notice for each event, or one for all of them."""

    @cached_property
    def hashes(self) -> Ints:
        """The ids as 64-bit numbers, for cursors and for brokers that limit the length of an id."""
        joined = b"".join(blake2b(text.encode(), digest_size=8).digest() for text in self.ids)
        return np.frombuffer(joined, np.int64)

    def documents(self) -> list[bytes]:
        """Return each event as JSON."""
        return [encode(body) for body in self.bodies()]


class ReadingEvents(CloudEvents):
    """Events of readings, for sinks that hold rows of them.

    Attributes:
        rows: the reading of each event, schema `READINGS`.
        source: the API that they come from.
        present: the newest rows of other tables, by name, for a sink that keeps these; only of those that changed. A
            table that has none any more is empty.
    """

    rows: pa.Table
    source: str
    present: Mapping[str, pa.Table]


def batched(documents: Sequence[bytes]) -> bytes:
    """Return JSON events as one JSON list."""
    return b"[" + b",".join(documents) + b"]"


def text_of(ms: int) -> str:
    """Return a time as RFC 3339 in UTC, with milliseconds only where there are some."""
    return f"{from_ms(ms).replace(tzinfo=None).isoformat(timespec='milliseconds' if ms % 1000 else 'seconds')}Z"
