"""Decode the body of a push into rows: JSON, NDJSON, CSV, Arrow or Parquet, perhaps compressed with gzip.

JSON may bring stations and measures too, as lists of an object; the other formats are tables, and have readings only.
Nothing here trusts a size that the body tells of itself. Rules for the rows are in `rules`.
"""

import csv
import io
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from flood_assets.landing import binary
from flood_assets.landing.errors import TooLargeError, UnknownTypeError, UnreadableError

if TYPE_CHECKING:
    from _csv import Reader as CsvReader

# Bytes of a body, as it is sent and unpacked.
MOST_BYTES = 5_000_000
MOST_ROWS = 100_000
SPLIT = "send it as several batches, each with an Idempotency-Key of its own"

_GZIP = 31


class Unreadable(str):
    """A row that is no row: why."""

    __slots__ = ()


# A row as it was sent, or why there is none in its place.
Given = object


class Body(NamedTuple):
    """The rows of a body, by their lists; each a mapping, `Unreadable`, or what the publisher sent in its place."""

    readings: Sequence[Given] = ()
    stations: Sequence[Given] = ()
    measures: Sequence[Given] = ()


def unpacked(data: bytes, encoding: str) -> bytes:
    """Return a body without its content-encoding.

    Raises:
        TooLargeError: it is larger than a batch may be.
        UnreadableError: it is damaged, or ends early.
        UnknownTypeError: it is encoded in another way.
    """
    if encoding in ("", "identity"):
        return data
    if encoding not in ("gzip", "x-gzip"):
        raise UnknownTypeError(f"Content-Encoding is '{encoding[:40]}': expected gzip, or none")
    unpacker = zlib.decompressobj(_GZIP)
    try:
        found = unpacker.decompress(data, MOST_BYTES + 1)
    except zlib.error as error:
        raise UnreadableError(f"the body cannot be unpacked as gzip: {error}") from None
    if len(found) > MOST_BYTES:
        raise TooLargeError(f"the body is over {MOST_BYTES:,} bytes when it is unpacked: {SPLIT}")
    if not unpacker.eof:
        raise UnreadableError(f"the gzip of the body ends early, after {len(data):,} bytes: send it again")
    if unpacker.unused_data:
        raise UnreadableError("something follows the gzip of the body: send one gzip member")
    return found


def decoded(data: bytes, media_type: str) -> Body:
    """Return the rows of an unpacked body.

    Raises:
        TooLargeError: it has too many rows, or needs too much memory.
        UnreadableError: it cannot be decoded.
        UnknownTypeError: a media type that is not taken.
    """
    kind = media_type.partition(";")[0].strip().lower()
    decode = DECODERS.get(kind)
    if decode is None:
        told = f"'{kind[:60]}'" if kind else "missing"
        raise UnknownTypeError(f"Content-Type is {told}: expected {', '.join(DECODERS)}")
    rows = decode(data)
    found = rows if isinstance(rows, Body) else Body(rows)
    many = sum(map(len, found))
    if not many:
        raise UnreadableError("the body has no row: send at least one reading")
    if many > MOST_ROWS:
        raise TooLargeError(f"the body has over {MOST_ROWS:,} rows: {SPLIT}")
    return found


def _json(data: bytes) -> Body:
    try:
        found = msgspec.json.decode(data)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"the body is no JSON: {error}") from None
    lists = found if isinstance(found, dict) else {"readings": found}
    if not lists or not set(lists) <= set(Body._fields) or not all(isinstance(each, list) for each in lists.values()):
        raise UnreadableError(
            'the JSON is no list of readings: expected [{"measure_id": ...}, ...], or an object with lists as '
            "readings, stations and measures"
        )
    return Body(**lists)


def _ndjson(data: bytes) -> Sequence[Given]:
    lines = [line for line in data.split(b"\n") if line.strip()]
    return lines if len(lines) > MOST_ROWS else [row_of_line(line) for line in lines]


def row_of_line(line: bytes) -> Given:
    """Return the row in a line of NDJSON."""
    try:
        return msgspec.json.decode(line)
    except (ValueError, RecursionError) as error:
        return Unreadable(f"the line is no JSON: {error}")


def _csv(data: bytes) -> Sequence[Given]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"the CSV is no UTF-8: {error}") from None
    # One more than there may be; they are refused later.
    return list(islice(rows_of_csv(csv.reader(io.StringIO(text, newline=""), strict=True)), MOST_ROWS + 1))


def rows_of_csv(lines: "CsvReader") -> Iterator[Given]:
    """Yield each line of a CSV as a row; an empty cell is none.

    Raises:
        UnreadableError: its first line does not name the columns, or a line cannot be read.
    """
    try:
        names = [name.strip() for name in next(lines, [])]
        if "measure_id" not in names or len(set(names)) < len(names):
            raise UnreadableError(
                f"the first line of the CSV is '{','.join(names)[:80]}': expected the names of its columns, such as "
                "measure_id,date_time,value"
            )
        for cells in filter(None, lines):
            if len(cells) != len(names):
                yield Unreadable(f"the line has {len(cells)} cells, the first one {len(names)}")
            else:
                yield {name: cell for name, cell in zip(names, cells, strict=True) if cell}
    except csv.Error as error:
        raise UnreadableError(f"line {lines.line_num} of the CSV cannot be read: {error}") from None


def _of_arrow(data: bytes) -> Sequence[Given]:
    return binary.rows_of(data, "arrow", MOST_ROWS)


def _of_parquet(data: bytes) -> Sequence[Given]:
    return binary.rows_of(data, "parquet", MOST_ROWS)


DECODERS: Mapping[str, Callable[[bytes], Sequence[Given] | Body]] = {
    "application/json": _json,
    "application/x-ndjson": _ndjson,
    "application/ndjson": _ndjson,
    "text/csv": _csv,
    "application/vnd.apache.arrow.stream": _of_arrow,
    "application/vnd.apache.arrow.file": _of_arrow,
    "application/vnd.apache.parquet": _of_parquet,
}
