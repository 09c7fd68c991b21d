"""The API's answers as Arrow tables: bytes in, tables out.

No HTTP and no clock are in here (`flood_assets.ea.client` has them); nothing is merged and no duplicate is
removed (`flood_assets.lake` does that). What is odd in real answers stands as a test each in
`flood_assets_tests/ea/test_parse.py`.

Two kinds of wrong are told apart. An *answer* that cannot be believed (cut short, HTML, another header, bytes
that are not UTF-8) raises `SourceError`, and nothing of it counts. A *row* that cannot be understood goes to
`rejects` with the reason, and the other rows stand: one odd gauge never costs the country its readings.
"""

import logging
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from flood_assets.errors import SourceError
from flood_assets.schemas import MEASURES, REJECTS, STATIONS, TIME, Table

logger = logging.getLogger("flood_assets.ea")

T = TypeVar("T")

# One text per distinct cell and a code per row: a day has half a million rows but some thousand different texts,
# so what is odd is looked for, and numbers and times are read, once per text.
TEXTS = pa.dictionary(pa.int32(), pa.string())

FETCHED = pa.schema(
    [
        pa.field("measure_id", TEXTS, nullable=False),
        pa.field("date_time", TIME, nullable=False),
        pa.field("value", pa.float64()),
        pa.field("raw_value", pa.string()),
        # When the API was asked for the answer that this row is of: of two answers, the later one is right.
        pa.field("observed_at", TIME, nullable=False),
    ]
)

HEADER = b"dateTime,measure,value"
BLOCK_BYTES = 2 << 20
ITEMS_AT_ONCE = 10_000
LONGEST_LINE_BYTES = 1 << 20

# What practically every cell looks like, read by Arrow; the few others go through `_moment` and `_number`.
# 15 digits before the point and a day before 3000 keep Arrow and Python in agreement about each of them.
PLAIN_TIME = r"^[12]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"
PLAIN_NUMBER = r"^-?\d{1,15}(\.\d{1,15})?$"
MEASURE_URI = r"^https?://.+?/id/measures/(?P<id>.+)$"

ANY_TIME = re.compile(r"([12]\d{3}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(Z|[+-]\d\d:?\d\d)?", re.ASCII)
ANY_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


class Parsed(NamedTuple):
    """Readings and the rows that are none.

    Attributes:
        rows: the readings, with schema `FETCHED`, in the order of the answer.
        rejects: what could not be understood, with the schema of `schemas.REJECTS`.
    """

    rows: pa.Table
    rejects: pa.Table


# Readings


def read_readings(chunks: Iterable[bytes], seen_at: datetime, block_bytes: int = BLOCK_BYTES) -> Iterator[Parsed]:
    """Readings of a CSV answer, some MB of it at a time, while it arrives.

    A cell of `value` that is one finite number gives `value`. An empty one (the API leaves out NaN and infinity)
    gives a null. Several numbers, `2.796|2.922`, give a null and the text in `raw_value`; where all are the same
    number, that number and the text. Any other text gives a null and the text. Rows that come twice are given twice.

    Args:
        chunks: the answer's plain bytes, split anywhere.
        seen_at: when the API was asked.
        block_bytes: how much is parsed at a time; bounds the memory.

    Raises:
        SourceError: the answer is empty, cut short, corrupt or something else than this table. Blocks that were
            given before this was found are of an answer that cannot be believed.
    """
    # Arrow needs no lock of Python's: one block is parsed while the next arrives and is unpacked.
    with ThreadPoolExecutor(1, thread_name_prefix="parse") as beside:
        ahead: Future[Parsed] | None = None
        for block in _blocks(chunks, block_bytes):
            before, ahead = ahead, beside.submit(_parse_block, block, seen_at)
            if before is not None:
                yield before.result()
        if ahead is not None:
            yield ahead.result()


def parse_readings(chunks: Iterable[bytes] | bytes, seen_at: datetime, block_bytes: int = BLOCK_BYTES) -> Parsed:
    """A whole CSV answer as one table; see `read_readings`."""
    chunks = [chunks] if isinstance(chunks, bytes) else chunks
    return joined(read_readings(chunks, seen_at, block_bytes))


def parse_readings_json(body: bytes, seen_at: datetime) -> Parsed:
    """A JSON answer of readings, in the default view or `_view=full`, as the same rows that its CSV would give.

    Raises:
        SourceError: the body is no JSON, is cut short or has no list of items.
    """
    # float_hook keeps the number's own text, which is what a CSV answer shows.
    items = [item if isinstance(item, dict) else {} for item in _items(body, msgspec.json.Decoder(float_hook=str))]
    columns = (
        [_text(item.get("dateTime")) or "" for item in items],
        [_text(item.get("measure")) or "" for item in items],
        ["|".join(_texts(item.get("value"))) for item in items],
    )
    return _understood([pa.array(column, pa.string()).dictionary_encode() for column in columns], seen_at)


def joined(parts: Iterable[Parsed]) -> Parsed:
    """All parts in one, with one dictionary of measures."""
    parts = list(parts)
    rows = pa.concat_tables([FETCHED.empty_table(), *(part.rows for part in parts)])
    rejects = pa.concat_tables([REJECTS.schema.empty_table(), *(part.rejects for part in parts)])
    return Parsed(rows.unify_dictionaries().combine_chunks(), rejects)


def distinct(rejects: pa.Table) -> pa.Table:
    """The same rejects, each once."""
    columns = rejects.column_names
    return rejects.group_by(columns, use_threads=False).aggregate([]).select(columns).cast(rejects.schema)


def _blocks(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Whole lines below the header, about `size` bytes at a time; at least one block, perhaps empty."""
    held: list[bytes] = []
    # Bytes that are held, and those of them that follow the last line's end.
    waiting = unended = 0
    header_seen = False
    for chunk in chunks:
        held.append(chunk)
        waiting += len(chunk)
        end = chunk.rfind(b"\n") + 1
        unended = len(chunk) - end if end else unended + len(chunk)
        if not header_seen and end:
            held = [_below_header(b"".join(held))]
            waiting, end = len(held[0]), len(held[0]) - unended
            header_seen = True
        if waiting < size:
            continue
        if header_seen and end:
            held[-1], rest = held[-1][:end], held[-1][end:]
            yield b"".join(held)
            held, waiting = [rest], unended
        elif unended > LONGEST_LINE_BYTES:
            first = b"".join(held)
            raise SourceError(f"not a CSV of readings: no line end in {unended:,} bytes, it starts {_shown(first)}")
    last = b"".join(held)
    if not header_seen:
        if not last:
            raise SourceError("the answer is empty: not even the header of a CSV of readings")
        _check_header(last)
    if unended:
        raise SourceError(f"the answer is cut short: its last line has no end: {_shown(last[-unended:])}")
    yield last


def _below_header(held: bytes) -> bytes:
    """What follows the first line, which must be the header."""
    end = held.index(b"\n")
    _check_header(held[:end])
    return held[end + 1 :]


def _check_header(line: bytes) -> None:
    if line.rstrip(b"\r") != HEADER:
        raise SourceError(f"not a CSV of readings: expected the header '{HEADER.decode()}', found {_shown(line)}")


def _parse_block(block: bytes, seen_at: datetime) -> Parsed:
    """Whole lines of a CSV answer."""
    if not block:
        return Parsed(FETCHED.empty_table(), REJECTS.schema.empty_table())
    if b"\0" in block:
        raise SourceError("the answer is corrupt: it holds a NUL byte")
    if not block.isascii():
        try:
            block.decode()
        except UnicodeDecodeError as wrong:
            raise SourceError(f"the answer is corrupt: not UTF-8: {_shown(block[wrong.start :])}") from wrong
    quoting = b'"' in block
    columns, uneven = _cells(block, quoting=quoting)
    if quoting and (any(map(_breaks_lines, columns)) or any(re.search(r"[\r\n]", line) for line, _ in uneven)):
        # A quote without its partner has swallowed the rows up to the next quote: take each line for itself.
        columns, uneven = _cells(block, quoting=False)
        columns = [_unquoted(column) for column in columns]
    parsed = _understood(columns, seen_at)
    if not uneven:
        return parsed
    rejects = _rejects([line for line, _ in uneven], [f"{found} cells instead of 3" for _, found in uneven], seen_at)
    return Parsed(parsed.rows, pa.concat_tables([parsed.rejects, rejects]))


def _cells(block: bytes, *, quoting: bool) -> tuple[list[pa.DictionaryArray], list[tuple[str, int]]]:
    """The three columns of a block, and each line that has not three cells with how many it has."""
    uneven: list[tuple[str, int]] = []

    def note(row: csv.InvalidRow) -> str:
        uneven.append((row.text, row.actual_columns))
        return "skip"

    names = HEADER.decode().split(",")
    table = csv.read_csv(
        pa.BufferReader(block),
        # In one piece, so that each column has one dictionary.
        read_options=csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names),
        parse_options=csv.ParseOptions(quote_char='"' if quoting else False, invalid_row_handler=note),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(names, TEXTS), null_values=[], strings_can_be_null=False, check_utf8=False
        ),
    )
    return [column.combine_chunks() for column in table.columns], uneven


def _breaks_lines(column: pa.DictionaryArray) -> bool:
    return bool(pc.any(pc.match_substring_regex(column.dictionary, r"[\r\n]")).as_py())


def _unquoted(column: pa.DictionaryArray) -> pa.DictionaryArray:
    texts = pc.replace_substring_regex(column.dictionary, r'^"(.*)"$', r"\1")
    return pa.DictionaryArray.from_arrays(column.indices, texts)


def _understood(columns: Sequence[pa.DictionaryArray], seen_at: datetime) -> Parsed:
    """Readings of the three columns as text."""
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
    return Parsed(rows.filter(good), _rejects(lines, reasons, seen_at))


def _moments(texts: pa.StringArray) -> tuple[pa.Array, pa.Array]:
    """For each text the moment, or null and the reason why it is none."""
    if pc.all(pc.match_substring_regex(texts, PLAIN_TIME), min_count=0).as_py():
        try:
            return texts.cast(TIME), pa.nulls(len(texts), pa.string())
        except pa.ArrowInvalid:
            pass  # 30 February or such; Arrow does not say which text it is
    read = [_moment(text) for text in texts.to_pylist()]
    moments = pa.array([each if isinstance(each, datetime) else None for each in read], TIME)
    return moments, pa.array([each if isinstance(each, str) else None for each in read], pa.string())


def _moment(text: str) -> datetime | str:
    """The moment, whole milliseconds in UTC, or the reason why the text is none."""
    form = ANY_TIME.fullmatch(text)
    if form and not form[2]:
        return "dateTime has no zone: which moment it means is anybody's guess"
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC) if form else None
    except ValueError:
        moment = None
    if moment is None:
        return "dateTime is not a time"
    return moment - timedelta(microseconds=moment.microsecond % 1000)


def _measure_ids(uris: pa.DictionaryArray) -> pa.DictionaryArray:
    """The notations: all that follows `/id/measures/`, as it is; null where that is not what the text is."""
    texts = uris.dictionary
    first = re.search(MEASURE_URI, texts[0].as_py()) if len(texts) else None
    if first:
        # Practically always all URIs have one root, and to cut that off takes a fifth of the time.
        root = first.string[: first.start("id")]
        if pc.all(pc.match_substring_regex(texts, f"^{re.escape(root)}.+$")).as_py():
            return pa.DictionaryArray.from_arrays(uris.indices, pc.utf8_slice_codeunits(texts, len(root)))
    ids = pc.struct_field(pc.extract_regex(texts, MEASURE_URI), "id")
    # Encoded anew, as two URIs (http and https) may hold the same notation.
    encoded = ids.dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices.take(uris.indices), encoded.dictionary)


def _numbers(texts: pa.StringArray) -> tuple[pa.Array, pa.Array]:
    """For each text the one number that it says, or null; and the text itself where the number does not say it all."""
    plain = pc.match_substring_regex(texts, PLAIN_NUMBER)
    numbers = pc.if_else(plain, texts, None).cast(pa.float64())
    if pc.all(plain, min_count=0).as_py():
        return numbers, pa.nulls(len(texts), pa.string())
    odd = [_number(text) for text in texts.filter(pc.invert(plain)).to_pylist()]
    numbers = pc.replace_with_mask(numbers, pc.invert(plain), pa.array([number for number, _ in odd], pa.float64()))
    raw = pc.replace_with_mask(
        pa.nulls(len(texts), pa.string()), pc.invert(plain), pa.array([raw for _, raw in odd], pa.string())
    )
    return numbers, raw


def _number(text: str) -> tuple[float | None, str | None]:
    """`value` and `raw_value` of one cell."""
    if not text:
        return None, None
    parts = text.split("|")
    numbers = {_finite(part) for part in parts}
    number = numbers.pop() if len(numbers) == 1 else None
    return number, text if number is None or len(parts) > 1 else None


def _finite(text: str) -> float | None:
    number = float(text) if ANY_NUMBER.fullmatch(text) else math.nan
    return number if math.isfinite(number) else None


def _rejects(lines: Any, reasons: Any, seen_at: datetime) -> pa.Table:
    return pa.table([pa.repeat(pa.scalar(seen_at, TIME), len(lines)), lines, reasons], schema=REJECTS.schema)


# Stations and measures
#
# Every field may be absent, a text, a number, a list of those or an object, so the answer is decoded without types
# and each cell is asked for what it holds: one odd item cannot spoil a list, and 5,000 of them take 0.1 s.


def parse_stations(body: bytes, observed_at: datetime) -> pa.Table:
    """Stations of `/id/stations?_view=full`, or its default view (then without the level ranges).

    Fields with several values are joined with `|` where they are text; of numbers and dates the first is taken.

    Returns:
        a table with the schema of `schemas.STATIONS`, one row a station; of a station that is listed twice, the last.

    Raises:
        SourceError: the body is no JSON, is cut short, has no list of items, or no item of it is a station.
    """
    return _table(body, "/id/stations/", _station, STATIONS, observed_at)


def parse_measures(body: bytes, observed_at: datetime) -> pa.Table:
    """Measures of `/id/measures`.

    Returns:
        a table with the schema of `schemas.MEASURES`, one row a measure; of a measure that is listed twice, the last.

    Raises:
        SourceError: the body is no JSON, is cut short, has no list of items, or no item of it is a measure.
    """
    return _table(body, "/id/measures/", _measure, MEASURES, observed_at)


def _station(item: Mapping[str, Any]) -> dict[str, Any]:
    scale = _object(item.get("stageScale"))
    highest = _object(scale.get("highestRecent"))
    return {
        "label": _text(item.get("label")),
        "river": _text(item.get("riverName")),
        "catchment": _text(item.get("catchmentName")),
        "town": _text(item.get("town")),
        "lat": _first(item.get("lat"), _finite),
        "long": _first(item.get("long"), _finite),
        "easting": _first(item.get("easting"), _finite),
        "northing": _first(item.get("northing"), _finite),
        "grid_reference": _text(item.get("gridReference")),
        "station_type": _text(item.get("type"), _station_type),
        "status": _text(item.get("status"), lambda uri: _last(uri).removeprefix("status")),
        "opened": _first(item.get("dateOpened"), _date),
        "typical_low": _first(scale.get("typicalRangeLow"), _finite),
        "typical_high": _first(scale.get("typicalRangeHigh"), _finite),
        "highest_recent": _first(highest.get("value"), _finite),
        "highest_recent_at": _first(highest.get("dateTime"), _utc),
        "max_on_record": _first(_object(scale.get("maxOnRecord")).get("value"), _finite),
        "min_on_record": _first(_object(scale.get("minOnRecord")).get("value"), _finite),
        "rloi_id": _text(item.get("RLOIid")),
        "wiski_id": _text(item.get("wiskiID")),
        "station_reference": _text(item.get("stationReference")),
    }


def _measure(item: Mapping[str, Any]) -> dict[str, Any]:
    unit = _text(item.get("unitName"))
    return {
        "station_id": _first(item.get("station"), lambda uri: _after("/id/stations/", uri)),
        "parameter": _text(item.get("parameter")),
        "qualifier": _text(item.get("qualifier")),
        "unit": None if unit in {"", "---"} else unit,
        "value_type": _text(item.get("valueType")),
        "datum": _text(item.get("datumType"), _last),
        "period_s": _first(item.get("period"), _whole),
    }


def _table(
    body: bytes, path: str, cells: Callable[[Mapping[str, Any]], dict[str, Any]], table: Table, observed_at: datetime
) -> pa.Table:
    """One row for each item that has a key, the last one where two have the same."""
    (key,) = table.key
    items = _undecoded(body)
    decoder = msgspec.json.Decoder()
    tables = [table.schema.empty_table()]
    last: dict[str, int] = {}
    taken, skipped, example = 0, 0, ""
    for start in range(0, len(items), ITEMS_AT_ONCE):
        rows: list[dict[str, Any]] = []
        for raw in items[start : start + ITEMS_AT_ONCE]:
            item = _decoded(raw, decoder, body)
            name = _key(item, path)
            if name is None:
                skipped, example = skipped + 1, example or _shown(str(item))
            else:
                last[name] = taken + len(rows)
                rows.append({key: name, **cells(item), "observed_at": observed_at})
        tables.append(pa.table([[row[name] for row in rows] for name in table.schema.names], schema=table.schema))
        taken += len(rows)
    found = pa.concat_tables(tables)
    if skipped:
        message = f"{skipped} of {len(items)} {table.name} without '@id', such as {example}"
        if not len(found):
            raise SourceError(f"the answer cannot be used: {message}")
        logger.warning("%s: skipped", message)
    if twice := len(found) - len(last):
        logger.warning("%d of %d %s are listed more than once: the last is kept", twice, len(items), table.name)
        found = found.take(pa.array(last.values(), pa.int64()))
    return found.combine_chunks()


class _List(msgspec.Struct):
    items: list[msgspec.Raw]


def _undecoded(body: bytes) -> list[msgspec.Raw]:
    """The items of a list one by one: of half a million stations, all decoded at once take gigabytes."""
    try:
        return msgspec.json.decode(body, type=_List).items
    except msgspec.ValidationError as wrong:
        raise SourceError(f"the answer has no list of items: it starts {_shown(body)}") from wrong
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise _not_json(body, wrong) from wrong


def _decoded(item: msgspec.Raw, decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(item)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise _not_json(body, wrong) from wrong


def _not_json(body: bytes, wrong: Exception) -> SourceError:
    return SourceError(f"not JSON, or cut short ({wrong}): {len(body):,} bytes that start {_shown(body)}")


def _items(body: bytes, decoder: msgspec.json.Decoder[Any]) -> list[Any]:
    try:
        answer = decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise _not_json(body, wrong) from wrong
    items = answer.get("items") if isinstance(answer, dict) else None
    if not isinstance(items, list):
        raise SourceError(f"the answer has no list of items: it starts {_shown(body)}")
    return items


def _key(item: Any, path: str) -> str | None:
    """What follows `path` in `@id`, as the URIs in readings have it too; without an `@id`, the notation."""
    if not isinstance(item, dict):
        return None
    uri, notation = item.get("@id"), item.get("notation")
    key = _after(path, uri) if isinstance(uri, str) else None
    return key if key is not None else notation if isinstance(notation, str) else None


def _after(path: str, uri: str) -> str | None:
    _, found, rest = uri.partition(path)
    return rest if found else None


def _last(uri: str) -> str:
    return uri.rsplit("/", 1)[-1]


def _station_type(uri: str) -> str | None:
    kind = _last(uri)
    return None if kind == "Station" else kind  # each is also a Station


def _object(value: Any) -> dict[str, Any]:
    """The object itself, or the first of several; where it is absent or only its URI is given, an empty one."""
    if isinstance(value, list):
        return next((each for each in value if isinstance(each, dict)), {})
    return value if isinstance(value, dict) else {}


def _texts(value: Any) -> list[str]:
    """All that a field says, as texts. An embedded object is its URI."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    if isinstance(value, dict):
        return _texts(value.get("@id"))
    return [] if value is None else [str(value)]


def _text(value: Any, part: Callable[[str], str | None] = str) -> str | None:
    """The different texts of a field, or the `part` of each that is wanted, joined with `|`."""
    parts = dict.fromkeys(each for text in _texts(value) if (each := part(text)) is not None)
    return "|".join(parts) if parts else None


def _first(value: Any, read: Callable[[str], T | None]) -> T | None:
    """The first of a field's texts that `read` understands: deterministic where there are several."""
    return next((found for text in _texts(value) if (found := read(text)) is not None), None)


def _whole(text: str) -> int | None:
    number = _finite(text)
    return int(number) if number is not None and number.is_integer() and 0 < number < 2**31 else None


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def _utc(text: str) -> datetime | None:
    """The moment; the scales' times have no zone and are taken as UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _shown(found: bytes | bytearray | str) -> str:
    """The beginning of what was found, fit for a message."""
    text = found if isinstance(found, str) else bytes(found[:200]).decode(errors="replace")
    return repr(text if len(text) <= 80 else text[:80] + "...")
