"""Say what every stream does: give its records in portions, from a position on."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from flood_assets.sinks.base import name_of


class Record(NamedTuple):
    """A record of a stream, and what names it there: a sequence number, an offset or a message id."""

    id: str
    data: bytes


class Position(msgspec.Struct, frozen=True):
    """Say how far a place of a stream was read.

    Attributes:
        after: id of the last record that was read; empty for none.
        at: the time up to which everything that came was read, as far as it is known.
        ended: True if the place was closed, and is read to its end.
    """

    after: str = ""
    at: datetime | None = None
    ended: bool = False

    def and_(self, other: "Position") -> "Position":
        """Return the one that is further."""
        return max(self, other, key=lambda each: (each.ended, int(each.after or -1), each.at is not None, each.at))


class Portion(NamedTuple):
    """Records that follow each other in one place of a stream, perhaps none.

    Attributes:
        place: a shard or a partition; of a queue its only one.
        records: in their order.
        position: how far the place is read then; None if nothing is to be remembered.
    """

    place: str
    records: Sequence[Record]
    position: Position | None = None


class Stream(ABC):
    """A stream that is read by one thread.

    Args:
        url: of the stream, without a password.

    Attributes:
        name: names its objects in the lake.
        identity: changes when another stream is made under the same URL: the positions of the old one mean nothing.
        rereads: True if what was read can be read again.
        pause_s: seconds to wait after a round without records; 0 if `read` waits by itself.
        lost: what was found to be lost since the last look, each with what to do.
    """

    rereads = True
    pause_s = 0.0

    def __init__(self, url: str) -> None:
        self.url, self.name = url, name_of(url)
        self.identity = url
        self.lost: list[str] = []

    @abstractmethod
    def seek(self, positions: Mapping[str, Position], *, newest: bool = False) -> None:
        """Begin after these positions, and in other places with the oldest record; with what is new if `newest`."""

    @abstractmethod
    def read(self) -> Sequence[Portion]:
        """Return what came next, perhaps nothing.

        Raises:
            SinkError: the stream cannot be read.
        """

    @property
    @abstractmethod
    def drained(self) -> bool:
        """True if the last `read` found that nothing more is there."""

    def confirm(self, portions: Sequence[Portion]) -> None:  # noqa: B027 - most have nothing to confirm
        """Be told that the records of these portions are safe."""

    def close(self) -> None:  # noqa: B027 - likewise
        """Close connections."""

    def take_lost(self) -> list[str]:
        """Return what was lost, once."""
        found, self.lost = self.lost, []
        return found
