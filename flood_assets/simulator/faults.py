"""Define the faults of answers and apply the ones that change a body.

Set faults through `/__simulator/faults` or `Server.set_faults`. Faults of the connection (a reset, a stall, a body cut
short) are applied in `server`.
"""

import json
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import chain, repeat
from typing import Any, Literal, get_args

Kind = Literal[
    "status", "truncate", "cut_at_line", "stall", "slow", "html", "reset", "garbage", "header", "empty", "nothing",
    "redirect_loop", "no_final_newline", "limit", "lossy", "hole", "repeat", "strangers", "hang",
    "stale",
]  # fmt: skip
Framing = Literal["", "chunked", "close", "length"]

# Number of rows of measures that no list has, and the suffix of their ids.
STRANGERS, STRANGER = 5, b"-stranger"

# Bodies up to this size are held back to find their middle; a longer one breaks after this many bytes.
_HELD = 4 * 2**20


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        match: affects requests whose path and query contain this text.
        kind: what happens. `status`: the answer is `status`. `truncate`: the body ends in the middle, also that of a
            gzip stream; `framing` says what the headers promised: `close` (nothing; the default), `chunked` (a last
            chunk that never comes) or `length` (more bytes). `cut_at_line`: the body ends early but cleanly at the
            end of a line, properly closed `chunked` (the default) or by `close`. `stall`: silence for `seconds`,
            then the connection is closed. `slow`: `rate` bytes a second. `html`: a web page with status 200.
            `reset`: connection reset in the middle of the body. `garbage`: some bytes in the middle are replaced.
            `header`: the first line of a CSV names other columns. `empty`: status 200 and no body. `nothing`: no
            items or rows. `redirect_loop`: 302 to itself. `no_final_newline`: the last line is not ended. `limit`:
            only the first `rows` rows after `_offset`, silently. `lossy`: only about every second row of a CSV, the
            same ones each time, ended cleanly. `hole`: readings of a CSV with `start` <= dateTime < `end` are not
            shown. `repeat`: all rows or items `rounds` times over; 0 or less: without end. `strangers`: the first rows
            of a CSV are repeated under measures that no list has. `hang`: the first half of the body, then silence for
            `seconds`, then the connection is closed. `stale`: the answer of `seconds` ago, with the present Date.
        times: number of requests it affects; 0 or less for all.
        status: for `status`.
        retry_after: the Retry-After header of `status`, if any.
        seconds: for `stall`, `hang` and `stale`.
        rate: for `slow`.
        rows: for `limit`.
        framing: for `truncate` and `cut_at_line`.
        start: for `hole`, as the API writes times.
        end: for `hole`.
        rounds: for `repeat`.
        after: cut, reset or garble after this many bytes of the body instead of in the middle.
    """

    match: str = ""
    kind: Kind = "status"
    times: int = 1
    status: int = 503
    retry_after: str | int | None = None
    seconds: float = 30.0
    rate: int = 1024
    rows: int = 500
    framing: Framing = ""
    after: int | None = None
    start: str = ""
    end: str = ""
    rounds: int = 10

    @classmethod
    def of(cls, wanted: "Fault | dict[str, Any]") -> "Fault":
        """Build a fault from JSON; raise ValueError for an unknown kind or setting."""
        if isinstance(wanted, Fault):
            return wanted
        unknown = set(wanted) - {f.name for f in fields(cls)}
        if unknown:
            names = ", ".join(sorted(unknown))
            raise ValueError(f"unknown fault setting {names}: see flood_assets.simulator.faults.Fault")
        fault = cls(**wanted)
        if fault.kind not in get_args(Kind):
            raise ValueError(f"fault kind is {fault.kind!r}: expected one of {', '.join(get_args(Kind))}")
        return fault


class Faults:
    """Queue of faults still to come."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Fault, int]] = []
        self._lock = threading.Lock()

    def set(self, wanted: Iterable[Fault | dict[str, Any]]) -> None:
        """Replace the waiting faults."""
        found = [Fault.of(one) for one in wanted]
        with self._lock:
            self._waiting = [(fault, fault.times) for fault in found]

    def take(self, target: str) -> Fault | None:
        """Return the first fault that matches a path and query, or None, and count it as used once."""
        with self._lock:
            for i, (fault, left) in enumerate(self._waiting):
                if fault.match in target:
                    if left == 1:
                        del self._waiting[i]
                    else:
                        self._waiting[i] = (fault, left - 1)
                    return fault
        return None


def altered(fault: Fault, pieces: Iterator[bytes], is_csv: bool) -> Iterator[bytes]:
    """Return the body altered by the fault; unchanged if the fault does not concern bodies."""
    match fault.kind:
        case "garbage":
            pieces = _garbled(pieces, fault.after)
        case "header" if is_csv:
            pieces = _renamed(pieces)
        case "empty":
            pieces = iter(())
        case "no_final_newline":
            pieces = _unended(pieces)
        case "cut_at_line":
            pieces = _cut_at_line(pieces, fault.after)
        case "lossy" if is_csv:
            pieces = _filtered(pieces, lambda row: zlib.crc32(row) & 1 == 0)
        case "hole" if is_csv:
            start, end = fault.start.encode(), fault.end.encode()
            pieces = _filtered(pieces, lambda row: not start <= row.partition(b",")[0] < end)
        case "repeat":
            pieces = _repeated(pieces, fault.rounds, is_csv)
        case "strangers" if is_csv:
            pieces = _joined_by_strangers(pieces)
    return pieces


def first_part(pieces: Iterator[bytes], after: int | None) -> bytes:
    """Return the part of a body sent before it breaks off: half of it, or `after` bytes."""
    held = _held(pieces)
    return held[0][: held[1] if after is None else after]


def _held(pieces: Iterator[bytes]) -> tuple[bytes, int]:
    """Return the start of a body and the offset taken as its middle."""
    found, size = [], 0
    for piece in pieces:
        found.append(piece)
        size += len(piece)
        if size > _HELD:
            break
    return b"".join(found), size // 2


def _garbled(pieces: Iterator[bytes], after: int | None) -> Iterator[bytes]:
    body, middle = _held(pieces)
    at = middle if after is None else after
    yield body[:at] + b"\x00\xff<<<"[: len(body) - at] + body[at + 5 :]
    yield from pieces


def _renamed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    head, _, rest = next(pieces, b"").partition(b"\r\n")
    yield b",".join(b"column" + str(i).encode() for i in range(1 + head.count(b","))) + b"\r\n" + rest
    yield from pieces


def _unended(pieces: Iterator[bytes]) -> Iterator[bytes]:
    last = b""
    for piece in pieces:
        if last:
            yield last
        last = piece
    yield last.rstrip(b"\r\n")


def _cut_at_line(pieces: Iterator[bytes], after: int | None) -> Iterator[bytes]:
    body, middle = _held(pieces)
    end = body.rfind(b"\n", 0, middle if after is None else after) + 1
    yield body[:end]


def _rows(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the lines of a CSV with their line ends, header first."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line + b"\n"
    if rest:
        yield rest


def _filtered(pieces: Iterator[bytes], kept: Callable[[bytes], bool]) -> Iterator[bytes]:
    rows = _rows(pieces)
    return chain([next(rows, b"")], filter(kept, rows))


def _repeated(pieces: Iterator[bytes], rounds: int, is_csv: bool) -> Iterator[bytes]:
    """Repeat a body; one round of it is held in memory."""
    more = repeat(None, rounds - 1) if rounds > 0 else repeat(None)
    if is_csv:
        header, *rows = _rows(pieces)
        body = b"".join(rows)
        return chain([header, body], (body for _ in more))
    content = json.loads(b"".join(pieces))
    items = json.dumps(content["items"])[1:-1].encode()
    head = json.dumps({"meta": content["meta"]})[:-1].encode() + b', "items": ['
    return chain([head + items], (b"," + items for _ in more), [b"]}"])


def _joined_by_strangers(pieces: Iterator[bytes]) -> Iterator[bytes]:
    first: list[bytes] = []
    for row in _rows(pieces):
        if len(first) <= STRANGERS:
            first.append(row)
        yield row
    for row in first[1:]:
        time, measure, value = row.split(b",")
        yield b",".join([time, measure + STRANGER, value])


def parse(content: object) -> Sequence[dict[str, Any]]:
    """Parse JSON as a list of objects; raise ValueError if it is not one."""
    if isinstance(content, list) and all(isinstance(one, dict) for one in content):
        return content
    raise ValueError("faults: expected a JSON list of objects")
