"""Parse CSV answers of readings into Arrow tables; the JSON lists of gauges are parsed in `flood_assets.ea.lists`.

Duplicates stay. Each oddity of real answers has a test in `flood_assets_tests/ea/test_parse.py`.

An *answer* that is not whole (cut short, HTML, without a needed column, bytes that are not UTF-8) raises `SourceError`,
and nothing of it counts. A *row* that cannot be understood goes to `rejects` with the reason, and the other rows count.
Columns go by name: their order does not matter, and one that is not needed is ignored.
"""

import logging
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from csv import Error as CsvError
from csv import reader
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from flood_assets.errors import SourceError
from flood_assets.schemas import REJECTS, TIME

logger = logging.getLogger("flood_assets.ea")

# One text per distinct cell and a code per row: a day has half a million rows but some thousand different texts, so
# numbers and times are read once per text.
TEXTS = pa.dictionary(pa.int32(), pa.string())

FETCHED = pa.schema(
    [
        pa.field("measure_id", TEXTS, nullable=False),
        pa.field("date_time", TIME, nullable=False),
        pa.field("value", pa.float64()),
        pa.field("raw_value", pa.string()),
        # When the API was asked for this row's answer: of two answers, the later one is right.
        pa.field("observed_at", TIME, nullable=False),
    ]
)

NEEDED = ("dateTime", "measure", "value")
BLOCK_BYTES = 2 << 20
LONGEST_LINE_BYTES = 1 << 20
# Forms of practically every cell, read by Arrow; the few others go through `_moment` and `_number`.
# 15 digits before the point and a day before 3000 keep Arrow and Python in agreement about each of them.
PLAIN_TIME = r"^[12]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"
PLAIN_NUMBER = r"^-?\d{1,15}(\.\d{1,15})?$"
MEASURE_URI = r"^https?://.+?/id/measures/(?P<id>.+)$"

ANY_TIME = re.compile(r"([12]\d{3}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(Z|[+-]\d\d:?\d\d)?", re.ASCII)
ANY_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


class Parsed(NamedTuple):
    """Rows of an answer, and what of it could not be understood.

    Attributes:
        rows: of readings, schema `FETCHED`; of a list of gauges, that of its table.
        rejects: rows, or cells of a list of gauges, that could not be understood, schema `REJECTS`.
    """

    rows: pa.Table
    rejects: pa.Table


def read_readings(chunks: Iterable[bytes], seen_at: datetime, block_bytes: int = BLOCK_BYTES) -> Iterator[Parsed]:
    """Parse a CSV answer while it arrives, some MB at a time.

    A cell of `value` that is one finite number gives `value`. An empty one (the API leaves out NaN and infinity)
    gives a null. Several numbers, `2.796|2.922`, give a null and the text in `raw_value`; where all are the same
    number, that number and the text. Any other text gives a null and the text. Rows that come twice are given twice.

    Args:
        chunks: the answer's plain bytes, split anywhere.
        seen_at: when the API was asked.
        block_bytes: how much is parsed at a time; bounds the memory.

    Raises:
        SourceError: the answer is empty, cut short, corrupt or another table; discard the blocks given before.
    """
    # Arrow releases Python's lock: one block is parsed while the next arrives and is decompressed.
    with ThreadPoolExecutor(1, thread_name_prefix="parse") as beside:
        ahead: Future[Parsed] | None = None
        for names, block, last in _blocks(chunks, block_bytes):
            before = ahead
            # Nothing arrives after the last block, so a small answer needs no other thread.
            parsed = _parse_block(names, block, seen_at) if last else None
            ahead = None if last else beside.submit(_parse_block, names, block, seen_at)
            if before is not None:
                yield before.result()
            if parsed is not None:
                yield parsed


def parse_readings(chunks: Iterable[bytes] | bytes, seen_at: datetime, block_bytes: int = BLOCK_BYTES) -> Parsed:
    """Parse a whole CSV answer, with one dictionary of measures; see `read_readings`."""
    parts = list(read_readings([chunks] if isinstance(chunks, bytes) else chunks, seen_at, block_bytes))
    rows = pa.concat_tables([part.rows for part in parts])
    return Parsed(rows.unify_dictionaries().combine_chunks(), pa.concat_tables([part.rejects for part in parts]))


def _blocks(chunks: Iterable[bytes], size: int) -> Iterator[tuple[Sequence[str], bytes, bool]]:
    """Yield the names of the columns and whole lines, about `size` bytes; True with the last, perhaps empty block."""
    held: list[bytes] = []
    names: Sequence[str] = ()
    # Bytes held, and those after the last line end.
    waiting = unended = 0
    for chunk in chunks:
        held.append(chunk)
        waiting += len(chunk)
        end = chunk.rfind(b"\n") + 1
        unended = len(chunk) - end if end else unended + len(chunk)
        if not names and end:
            header, _, below = b"".join(held).partition(b"\n")
            names = _names(header)
            held, waiting, end = [below], len(below), len(below) - unended
        if waiting < size:
            continue
        if names and end:
            held[-1], rest = held[-1][:end], held[-1][end:]
            yield names, b"".join(held), False
            held, waiting = [rest], unended
        elif unended > LONGEST_LINE_BYTES:
            first = b"".join(held)
            raise SourceError(f"not a CSV of readings: no line end in {unended:,} bytes, it starts {shown(first)}")
    last = b"".join(held)
    if not names:
        if not last:
            raise SourceError("the answer is empty: not even the header of a CSV of readings")
        names = _names(last)
    if unended:
        raise SourceError(f"the answer is cut short: its last line has no end: {shown(last[-unended:])}")
    yield names, last, True


def _names(header: bytes) -> Sequence[str]:
    """Return the names of the columns, in the API's order; SourceError if not each of the needed ones is there once."""
    header = header.rstrip(b"\r")
    try:
        names = tuple(name.strip() for name in next(reader([header.decode(errors="replace")]), []))
    except CsvError:  # a name of over 100,000 characters
        names = ()
    if names == NEEDED:
        return names
    if wrong := [name for name in NEEDED if names.count(name) != 1]:
        raise SourceError(
            f"not a CSV of readings: expected the header '{','.join(NEEDED)}', found {shown(header)}, which does not "
            f"have {' and '.join(wrong)} once"
        )
    _tell(",".join(name for name in names if name not in NEEDED))
    return names


@cache  # once: a day may take thousands of answers
def _tell(unknown: str) -> None:
    if unknown:
        logger.warning("the API's readings have columns that are not known, and are ignored: %s", unknown)


def _parse_block(names: Sequence[str], block: bytes, seen_at: datetime) -> Parsed:
    """Parse whole lines of a CSV answer."""
    if not block:
        return Parsed(FETCHED.empty_table(), REJECTS.schema.empty_table())
    if b"\0" in block:
        raise SourceError("the answer is corrupt: it holds a NUL byte")
    if not block.isascii():
        try:
            block.decode()
        except UnicodeDecodeError as wrong:
            raise SourceError(f"the answer is corrupt: not UTF-8: {shown(block[wrong.start :])}") from wrong
    quoting = b'"' in block
    columns, uneven = _cells(names, block, quoting=quoting)
    if quoting and (any(map(_breaks_lines, columns)) or any(re.search(r"[\r\n]", line) for line, _ in uneven)):
        # An unpaired quote has swallowed the rows up to the next quote: parse without quotes.
        columns, uneven = _cells(names, block, quoting=False)
        columns = [_unquoted(column) for column in columns]
    parsed = _understood(columns[: len(NEEDED)], seen_at)
    if not uneven:
        return parsed
    reasons = [f"{found} cells instead of {len(names)}" for _, found in uneven]
    rejects = rejected([line for line, _ in uneven], reasons, seen_at)
    return Parsed(parsed.rows, pa.concat_tables([parsed.rejects, rejects]))


def _cells(
    names: Sequence[str], block: bytes, *, quoting: bool
) -> tuple[list[pa.DictionaryArray], list[tuple[str, int]]]:
    """Return the needed columns of a block, and the others if they may hold a quote that swallows rows.

    Also returns the lines with another number of cells than there are names, and that number.
    """
    uneven: list[tuple[str, int]] = []

    def note(row: csv.InvalidRow) -> str:
        uneven.append((row.text, row.actual_columns))
        return "skip"

    # Unknown columns may share a name.
    columns = [name if name in NEEDED else f"{at} {name}" for at, name in enumerate(names)]
    others = [name for name in columns if name not in NEEDED] if quoting else []
    table = csv.read_csv(
        pa.BufferReader(block),
        # In one block, so that each column has one dictionary.
        read_options=csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=columns),
        parse_options=csv.ParseOptions(quote_char='"' if quoting else False, invalid_row_handler=note),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(columns, TEXTS),
            include_columns=[*NEEDED, *others],
            null_values=[],
            strings_can_be_null=False,
            check_utf8=False,
        ),
    )
    return [column.combine_chunks() for column in table.columns], uneven


def _breaks_lines(column: pa.DictionaryArray) -> bool:
    return bool(pc.any(pc.match_substring_regex(column.dictionary, r"[\r\n]")).as_py())


def _unquoted(column: pa.DictionaryArray) -> pa.DictionaryArray:
    texts = pc.replace_substring_regex(column.dictionary, r'^"(.*)"$', r"\1")
    return pa.DictionaryArray.from_arrays(column.indices, texts)


def _understood(columns: Sequence[pa.DictionaryArray], seen_at: datetime) -> Parsed:
    """Convert the three columns of text."""
    times, measures, values = columns
    moments, time_reasons = _moments(times.dictionary)
    date_time = moments.take(times.indices)
    measure_id = _measure_ids(measures)
    numbers, raw_texts = _numbers(values.dictionary)
    seen = pa.repeat(pa.scalar(seen_at, TIME), len(date_time))
    rows = pa.table(
        [measure_id, date_time, numbers.take(values.indices), raw_texts.take(values.indices), seen], schema=FETCHED
    )
    good = pc.and_(date_time.is_valid(), measure_id.is_valid())
    if pc.all(good, min_count=0).as_py():
        return Parsed(rows, REJECTS.schema.empty_table())
    bad = pc.invert(good)
    cells = [column.filter(bad).cast(pa.string()) for column in (times, measures, values)]
    lines = pc.binary_join_element_wise(*cells, ",")
    reasons = pc.coalesce(time_reasons.take(times.indices).filter(bad), pa.scalar("measure is not a measure's URI"))
    return Parsed(rows.filter(good), rejected(lines, reasons, seen_at))


def _moments(texts: pa.StringArray) -> tuple[pa.Array, pa.Array]:
    """Return for each text its time, or null and the reason why it is not a time."""
    if pc.all(pc.match_substring_regex(texts, PLAIN_TIME), min_count=0).as_py():
        try:
            return texts.cast(TIME), pa.nulls(len(texts), pa.string())
        except pa.ArrowInvalid:
            pass  # 30 February or such; Arrow does not say in which text
    read = [_moment(text) for text in texts.to_pylist()]
    moments = pa.array([each if isinstance(each, datetime) else None for each in read], TIME)
    return moments, pa.array([each if isinstance(each, str) else None for each in read], pa.string())


def _moment(text: str) -> datetime | str:
    """Return the time in UTC, whole milliseconds, or the reason why the text is not a time."""
    form = ANY_TIME.fullmatch(text)
    if not form:
        return "dateTime is not a time"
    if not form[2]:
        return "dateTime has no time zone"
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return "dateTime is not a time"
    return moment - timedelta(microseconds=moment.microsecond % 1000)


def _measure_ids(uris: pa.DictionaryArray) -> pa.DictionaryArray:
    """Return the notations: everything after `/id/measures/`, unchanged; null where a text has another form."""
    texts = uris.dictionary
    first = re.search(MEASURE_URI, texts[0].as_py()) if len(texts) else None
    if first:
        # Practically always all URIs have one root; cutting that off takes a tenth of the time.
        root = first.string[: first.start("id")]
        longer = pc.greater(pc.binary_length(texts), len(root.encode()))
        if pc.all(pc.and_(longer, pc.starts_with(texts, root))).as_py():
            return pa.DictionaryArray.from_arrays(uris.indices, pc.utf8_slice_codeunits(texts, len(root)))
    ids = pc.struct_field(pc.extract_regex(texts, MEASURE_URI), "id")
    # Encoded again, as two URIs (http and https) may hold the same notation.
    encoded = ids.dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices.take(uris.indices), encoded.dictionary)


def _numbers(texts: pa.StringArray) -> tuple[pa.Array, pa.Array]:
    """Return for each text its one number, or null; and the text where the number does not tell it all."""
    plain = pc.match_substring_regex(texts, PLAIN_NUMBER)
    numbers = pc.if_else(plain, texts, None).cast(pa.float64())
    if pc.all(plain, min_count=0).as_py():
        return numbers, pa.nulls(len(texts), pa.string())
    odd = pc.invert(plain)
    cells = [_number(text) for text in texts.filter(odd).to_pylist()]
    numbers = pc.replace_with_mask(numbers, odd, pa.array([number for number, _ in cells], pa.float64()))
    raws = pa.array([raw for _, raw in cells], pa.string())
    return numbers, pc.replace_with_mask(pa.nulls(len(texts), pa.string()), odd, raws)


def _number(text: str) -> tuple[float | None, str | None]:
    """Return `value` and `raw_value` of one cell."""
    if not text:
        return None, None
    parts = text.split("|")
    numbers = {finite(part) for part in parts}
    number = numbers.pop() if len(numbers) == 1 else None
    return number, text if number is None or len(parts) > 1 else None


def finite(text: str) -> float | None:
    """Return the number that a text holds; None for any other text, infinity and NaN."""
    number = float(text) if ANY_NUMBER.fullmatch(text) else math.nan
    return number if math.isfinite(number) else None


def rejected(lines: Any, reasons: Any, seen_at: datetime) -> pa.Table:
    """Return rejects, schema `REJECTS`, all seen at one time."""
    return pa.table([pa.repeat(pa.scalar(seen_at, TIME), len(lines)), lines, reasons], schema=REJECTS.schema)


def shown(found: bytes | bytearray | str) -> str:
    """Return the beginning of a text, for a message."""
    text = found if isinstance(found, str) else bytes(found[:200]).decode(errors="replace")
    return repr(text if len(text) <= 80 else text[:80] + "...")
