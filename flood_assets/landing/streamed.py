"""Decode and validate an uploaded file piece by piece, so that memory holds its accepted readings and no more.

The file is first copied to this machine, a part at a time. CSV and NDJSON are read line by line, Arrow and Parquet in a
process of its own (`binary`), batch by batch and row group by row group.
"""

import csv
import hashlib
import tempfile
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from flood_assets.lake.objects import Meta
from flood_assets.lake.store import Store
from flood_assets.landing import binary, bodies, rules
from flood_assets.landing.bodies import Given
from flood_assets.landing.errors import TooLargeError, UnknownTypeError, UnreadableError
from flood_assets.landing.objects import Refused
from flood_assets.landing.uploads import Upload
from flood_assets.schemas import TIME

# Bytes of a file as it is uploaded and unpacked, and its rows: the day of a country has half a million.
MOST_BYTES, MOST_UNPACKED, MOST_ROWS = 200_000_000, 500_000_000, 1_000_000
AT_ONCE = 10_000
_PART, _LONGEST_LINE = 1024 * 1024, 65_536
# Empty lines count, too: half a GB of them is packed into half a MB.
_MOST_LINES = 2 * MOST_ROWS
_BY_LINES = ("text/csv", "application/x-ndjson", "application/ndjson")
_BINARY = {
    "application/vnd.apache.arrow.stream": "arrow",
    "application/vnd.apache.arrow.file": "arrow",
    "application/vnd.apache.parquet": "parquet",
}
MEDIA_TYPES = (*_BY_LINES, *_BINARY)


@dataclass(frozen=True)
class Read:
    """The rows of an uploaded file after validation.

    Attributes:
        readings: accepted ones, each key once: measure_id, date_time, value, raw_value, observed_at, batch.
        digest: SHA-256 of the file.
        given: rows that it has.
        repeated: accepted ones whose key came again later; the last one counts.
        refused: the first of the others.
        refused_rows: number of all others.
    """

    readings: pa.Table
    digest: str
    given: int
    repeated: int
    refused: Sequence[Refused]
    refused_rows: int


def require_type(media_type: str, encoding: str) -> None:
    """Refuse a media type or an encoding that cannot be read piece by piece."""
    if media_type not in MEDIA_TYPES:
        raise UnknownTypeError(f"media_type is '{media_type[:60]}': expected {', '.join(MEDIA_TYPES)}")
    if encoding and (encoding != "gzip" or media_type in _BINARY):
        raise UnknownTypeError(f"encoding is '{encoding[:40]}': expected gzip, of CSV or NDJSON, or none")


def read(
    store: Store, content: Meta, upload: Upload, landed_at: datetime, units: Callable[[], Mapping[str, str]]
) -> Read:
    """Read an uploaded file and validate its rows.

    Args:
        store: the lake's.
        content: the file.
        upload: what was announced.
        landed_at: when it came.
        units: as for `rules.check`.

    Raises:
        TooLargeError: it is over a limit.
        UnreadableError: it cannot be decoded, or is not what was announced.
        ConflictError: it was replaced or deleted meanwhile.
    """
    if content.size != upload.size:
        raise UnreadableError(f"the file has {content.size:,} bytes, and {upload.size:,} were announced")
    publisher = rules.Publisher(upload.publisher, feed=upload.feed)
    with tempfile.TemporaryDirectory(prefix="flood-upload-") as folder:
        path = Path(folder) / "content"
        digest = _copy(store, content, path)
        if upload.sha256 and digest != upload.sha256:
            raise UnreadableError(f"the SHA-256 of the file is {digest}, and {upload.sha256} was announced")
        tables, refused, given, refused_rows = list[pa.Table](), list[Refused](), 0, 0
        with closing(_pieces(path, upload)) as pieces:
            for rows in pieces:
                checked = rules.check(rows, publisher, landed_at, units, first=given + 1)
                given += len(rows)
                if given > MOST_ROWS:
                    raise TooLargeError(f"the file has over {MOST_ROWS:,} rows: send it as several files")
                refused += checked.refused[: rules.TOLD - len(refused)]
                refused_rows += checked.refused_rows
                columns = checked.readings
                tables.append(
                    pa.table(
                        {
                            "measure_id": pa.array(columns.measure_id, pa.string()),
                            "date_time": pa.array(columns.date_time, pa.int64()).cast(TIME),
                            "value": pa.array(columns.value, pa.float64()),
                            "raw_value": pa.array(columns.raw_value, pa.string()),
                        }
                    )
                )
    if not given:
        raise UnreadableError("the file has no row: send at least one reading")
    every = pa.concat_tables(tables)
    readings = _last_of_each(every)
    readings = readings.append_column("observed_at", pa.repeat(pa.scalar(landed_at, TIME), len(readings)))
    readings = readings.append_column("batch", pa.array(np.zeros(len(readings), np.int64)))
    repeated = given - refused_rows - len(readings)
    return Read(readings, digest, given, repeated, refused, refused_rows)


def _last_of_each(rows: pa.Table) -> pa.Table:
    """Return of each key the last row."""
    number = pa.array(np.arange(len(rows)))
    last = rows.select(["measure_id", "date_time"]).append_column("row", number)
    found = last.group_by(["measure_id", "date_time"]).aggregate([("row", "max")])
    return rows if len(found) == len(rows) else rows.take(found["row_max"])


def _copy(store: Store, content: Meta, path: Path) -> str:
    """Copy a file to this machine and return its SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, content.size, _PART):
            part = store.get_range(content, start, min(start + _PART, content.size))
            digest.update(part)
            file.write(part)
    return digest.hexdigest()


def _pieces(path: Path, upload: Upload) -> Generator[Sequence[Given], None, None]:
    """Yield the rows of a file, some at a time."""
    kind = _BINARY.get(upload.media_type)
    if kind is not None:
        yield from binary.pieces_of(path, kind, MOST_ROWS)
        return
    lines = _lines(_unpacked(path, upload.encoding))
    rows = _of_csv(lines) if upload.media_type == "text/csv" else map(bodies.row_of_line, filter(bytes.strip, lines))
    while piece := list(islice(rows, AT_ONCE)):
        yield piece


def _unpacked(path: Path, encoding: str) -> Iterator[bytes]:
    """Yield the bytes of a file in parts, without its encoding."""
    unpacker, size = zlib.decompressobj(31), 0
    with path.open("rb") as file:
        while part := file.read(65_536):
            while part:
                try:
                    # 64 kB may hold 64 MB.
                    found = unpacker.decompress(part, _PART) if encoding else part
                except zlib.error as error:
                    raise UnreadableError(f"the file cannot be unpacked as gzip: {error}") from None
                part = unpacker.unconsumed_tail if encoding else b""
                size += len(found)
                if size > MOST_UNPACKED:
                    raise TooLargeError(f"the file is over {MOST_UNPACKED:,} bytes when it is unpacked: send less")
                if unpacker.unused_data:
                    raise UnreadableError("something follows the gzip of the file: send one gzip member")
                yield found
    if encoding and not unpacker.eof:
        raise UnreadableError("the gzip of the file ends early: send it again")


def _lines(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Yield lines with their ends."""
    left, number = b"", 0
    for part in chain(parts, [b""]):
        *whole, left = (left + part).split(b"\n")
        for line in whole:
            number += 1
            if number > _MOST_LINES:
                raise TooLargeError(f"the file has over {_MOST_LINES:,} lines: send it as several files")
            if len(line) > _LONGEST_LINE:
                raise UnreadableError(f"line {number} of the file is over {_LONGEST_LINE:,} bytes")
            yield line + b"\n"
        if len(left) > _LONGEST_LINE:
            raise UnreadableError(f"line {number + 1} of the file is over {_LONGEST_LINE:,} bytes")
    if left:
        yield left


def _of_csv(lines: Iterator[bytes]) -> Iterator[Given]:
    """Yield the rows of a CSV."""

    def decoded() -> Iterator[str]:
        for number, line in enumerate(lines):
            try:
                yield line.decode("utf-8-sig" if not number else "utf-8")
            except UnicodeDecodeError as error:
                raise UnreadableError(f"line {number + 1} of the CSV is no UTF-8: {error}") from None

    yield from bodies.rows_of_csv(csv.reader(decoded(), strict=True))
