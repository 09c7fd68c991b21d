"""Say exactly how far a client of the stream has got, in the text of an event's id. Pure.

A *commit* is what one request's rows changed in one window: (`changed_at`, window). A window is replaced whole, so a
snapshot has all of a commit or nothing of it, also one that was taken in the middle of a run. A position is the set of
commits that a client has been sent, so it depends on the lake alone: any process over the same lake goes on from it,
whether that one's snapshot is older or newer.

`changed_at` alone would not do: a run that asked the API earlier than another may commit later, and the windows of one
run are committed one after another. The watermarks' `as_of` would not do either: it is that of the latest request, and
says nothing of a run with an earlier one that is still committing.

Limits: two runs that asked in the same millisecond and changed the same window are one commit, of which the later half
is not sent to who has had the earlier (a stopped clock, `FLOOD_NOW`, makes such runs). A commit of which every row was
corrected again before it was sent is not sent; the corrections are.
"""

import base64
import binascii
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import groupby

import numpy as np

from flood_assets.grouping import Ints
from flood_assets.partitions import RETENTION, WINDOW, cutoff, from_ms, to_ms

# A commit is one number: changed_at in ms, then the window in hours since 1970. It sorts by time of change.
_HOUR_BITS = 20
_HOUR = (1 << _HOUR_BITS) - 1
_HOUR_MS = int(WINDOW.total_seconds() * 1000)
_VERSION = 1
# Some 700 bytes for a day of ticks.
_LONGEST = 12_000
_MOST_HOURS = 64
_LONGEST_NUMBER = 10


class PositionError(ValueError):
    """An id from which nothing can be resumed; the message says why."""


@dataclass(frozen=True)
class Part:
    """The row up to which a commit has been sent that is too large for one event."""

    commit: int
    measure_id: str
    at: int


@dataclass(frozen=True, eq=False)
class Position:
    """The commits that a client has been sent.

    Attributes:
        commits: sorted, distinct.
        taken_at: ms, when the lake was looked at from which they were sent last.
        parts: commits that have been sent in part.
    """

    commits: Ints
    taken_at: int
    parts: tuple[Part, ...] = ()

    @cached_property
    def id(self) -> str:
        """The position as text, for `Last-Event-ID`."""
        data = bytes([_VERSION, *_encoded(self)])
        return base64.urlsafe_b64encode(data + zlib.crc32(data).to_bytes(4)).decode().rstrip("=")

    @classmethod
    def of(cls, text: str, now: datetime) -> "Position":
        """Return the position of an id.

        Raises:
            PositionError: it is no id of this stream, or over a day old.
        """
        try:
            if len(text) > _LONGEST:
                raise ValueError(len(text))  # noqa: TRY301 - one message for all of it
            data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
            if len(data) < 5 or zlib.crc32(data[:-4]).to_bytes(4) != data[-4:] or data[0] != _VERSION:
                raise ValueError(text)  # noqa: TRY301
            found = _decoded(data[1:-4])
        except (ValueError, StopIteration, OverflowError, binascii.Error):
            raise PositionError(f"'{text[:40]}' is no id of this stream") from None
        if found.taken_at <= to_ms(now - RETENTION):
            raise PositionError(f"the id is of {from_ms(found.taken_at):%Y-%m-%dT%H:%M:%SZ}, over a day ago")
        return found

    def all_of(self, commits: Ints, taken_at: datetime) -> "Position":
        """Return the position after all commits of a snapshot that was taken then, without those of expired windows."""
        found = self.with_(commits)
        oldest = to_ms(cutoff(taken_at)) // _HOUR_MS
        kept = found.commits[(found.commits & _HOUR) >= oldest]
        parts = tuple(part for part in found.parts if part.commit & _HOUR >= oldest)
        return Position(kept, max(to_ms(taken_at), self.taken_at), parts)

    def with_(self, commits: Ints, part: Part | None = None) -> "Position":
        """Return the position after some commits, and perhaps a part of another."""
        both = np.union1d(self.commits, commits)
        parts = {each.commit: each for each in (*self.parts, *([part] if part else []))}
        # One that this process has not seen yet was sent by another process.
        left = tuple(each for each in parts.values() if each.commit not in both)
        return Position(both, self.taken_at, left)


def commits_of(changed: Ints, at: Ints) -> Ints:
    """Return the commit of each row, from changed_at and date_time in ms."""
    found: Ints = (changed << _HOUR_BITS) | (at // _HOUR_MS)
    return found


def _encoded(position: Position) -> Iterator[int]:
    """Yield bytes: per time of change the ms since the one before, and a mask of windows back from its own."""
    pairs = [divmod(each, 1 << _HOUR_BITS) for each in position.commits.tolist()]
    # Gauges whose clocks are ahead have windows after that of the request.
    ahead = max([0, *(hour - changed // _HOUR_MS for changed, hour in pairs)])
    groups = [(changed, [hour for _, hour in group]) for changed, group in groupby(pairs, lambda pair: pair[0])]
    for number in (position.taken_at, ahead, len(groups)):
        yield from _number(number)
    before = 0
    for changed, hours in groups:
        yield from _number(changed - before)
        before = changed
        newest = changed // _HOUR_MS + ahead
        yield from _number(sum(1 << (newest - hour) for hour in hours))
    for part in position.parts:
        name = part.measure_id.encode()
        for number in (part.commit, part.at, len(name)):
            yield from _number(number)
        yield from name


def _decoded(data: bytes) -> Position:
    left = iter(data)
    taken_at, ahead, groups = _next_number(left), _next_number(left), _next_number(left)
    if ahead > _MOST_HOURS:
        raise ValueError(ahead)
    commits, changed = list[int](), 0
    for _ in range(groups):
        changed += _next_number(left)
        mask = _next_number(left)
        newest = changed // _HOUR_MS + ahead
        hours = [newest - bit for bit in range(mask.bit_length()) if mask >> bit & 1]
        if not all(0 <= hour < 1 << _HOUR_BITS for hour in hours):
            raise ValueError(changed)
        commits += [changed << _HOUR_BITS | hour for hour in hours]
    parts, rest = [], bytes(left)
    while rest:
        left = iter(rest)
        commit, at, length = _next_number(left), _next_number(left), _next_number(left)
        rest = bytes(left)
        parts.append(Part(commit, rest[:length].decode(), at))
        rest = rest[length:]
    return Position(np.unique(np.array(commits, np.int64)), taken_at, tuple(parts))


def _number(number: int) -> Iterator[int]:
    while number > 127:
        yield number & 127 | 128
        number >>= 7
    yield number


def _next_number(data: Iterator[int]) -> int:
    number = 0
    for place in range(_LONGEST_NUMBER):
        byte = next(data)
        number |= (byte & 127) << 7 * place
        if byte < 128:
            return number
    raise ValueError(number)
