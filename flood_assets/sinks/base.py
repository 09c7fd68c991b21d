"""Say what every sink does, and name it as the lake remembers it."""

import hashlib
import random
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np

from flood_assets.errors import FloodAssetsError
from flood_assets.grouping import Flags
from flood_assets.places import split_userinfo
from flood_assets.schemas import Table
from flood_assets.sinks.events import CloudEvents, ReadingEvents

TRIES = 4
LONGEST_PAUSE_S = 8.0


class SinkError(FloodAssetsError):
    """Sink that could not be reached, or refused; nothing was confirmed. The message says what to do."""


@dataclass(frozen=True)
class Sent:
    """The events of a batch that a sink has confirmed.

    Attributes:
        confirmed: for each event.
        trouble: why the others were not.
        refused: reason by the number of an event that the sink will never take. It counts as confirmed, and is kept as
            a dead letter.
    """

    confirmed: Flags
    trouble: str = ""
    refused: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def whole(cls, events: CloudEvents) -> "Sent":
        """Return that all of a batch was confirmed."""
        return cls(np.ones(len(events), np.bool_))


class Sink(ABC):
    """A place to which events are sent. It is used by one thread.

    Args:
        url: as in `FLOOD_PUBLISH`, or of a `[[notify]]` of the rules of alerts.
        pause_s: seconds before the second try; it doubles.
    """

    # Tables of which it keeps the present beside the readings. One that has some gets all changes in one batch, which
    # holds those of the tables too and may have no event: what it shows is one state of the lake.
    tables: tuple[Table, ...] = ()

    def __init__(self, url: str, *, pause_s: float = 0.5) -> None:
        self.name = name_of(url)
        self._pause_s = pause_s

    @abstractmethod
    def send(self, events: CloudEvents) -> Sent:
        """Send a batch; SinkError if nothing of it was confirmed."""

    def is_empty(self) -> bool:
        """Return True if it has nothing, whatever it confirmed: then everything is sent again."""
        return False

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Close connections."""

    def pause(self, attempt: int, least_s: float = 0) -> None:
        """Wait before another try: a random time that grows, and at least what the sink asked for."""
        paused(self._pause_s)(attempt, least_s)


def paused(pause_s: float) -> Callable[[int, float], None]:
    """Return what waits before another try, as `Sink.pause` does."""

    def pause(attempt: int, least_s: float) -> None:
        longest = min(LONGEST_PAUSE_S, pause_s * 2**attempt)
        time.sleep(min(LONGEST_PAUSE_S, max(least_s, random.uniform(longest / 2, longest))))

    return pause


def only_readings(events: CloudEvents, name: str) -> ReadingEvents:
    """Return the events for a sink that holds rows of readings; SinkError if they are others."""
    if isinstance(events, ReadingEvents):
        return events
    raise SinkError(f"{name} holds readings and takes no alerts: send these to a queue, topic, bus, stream or webhook")


def name_of(url: str) -> str:
    """Return the name of a sink: its scheme, where it is, and a digest of its URL without name and password.

    The path of a webhook may be secret, so only the host is in it.
    """
    plain = split_userinfo(url)[0]
    scheme, _, rest = plain.partition("://")
    place = urlsplit(plain).netloc if scheme in {"http", "https"} else rest.partition("?")[0]
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", place).strip("-.")[-60:]
    return f"{scheme}-{slug}-{hashlib.sha256(plain.encode()).hexdigest()[:8]}"


def portions(sizes: Sequence[int], most: int, most_bytes: int, *, each: int = 1) -> list[tuple[int, int]]:
    """Return (start, end) of consecutive items, at most so many and so large; one that is larger stands alone.

    `each` is what an item needs beside its own bytes.
    """
    found, start, total = [], 0, 0
    for number, size in enumerate(sizes):
        if number > start and (number - start >= most or total + size + each > most_bytes):
            found.append((start, number))
            start, total = number, 0
        total += size + each
    return [*found, (start, len(sizes))] if len(sizes) else []
