"""Parse the JSON lists of stations and measures into Arrow tables.

Every field may be absent, a text, a number, a list of those or an object, so items are decoded without types and each
cell is converted on its own: one odd item cannot spoil a list, and 5,000 of them take 0.1 s.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, TypeVar

import msgspec
import pyarrow as pa

from flood_assets.ea.parse import finite, shown
from flood_assets.errors import SourceError
from flood_assets.schemas import MEASURES, STATIONS, Table

logger = logging.getLogger("flood_assets.ea")

T = TypeVar("T")

ITEMS_AT_ONCE = 10_000


def parse_stations(body: bytes, observed_at: datetime) -> pa.Table:
    """Parse `/id/stations?_view=full`, or its default view (then without the level ranges).

    Fields with several values are joined with `|` where they are text; the first number or date is taken.

    Returns:
        A table, schema `STATIONS`, one row a station; the last one of a station that is listed twice.

    Raises:
        SourceError: the body is not JSON, is cut short, has no list of items, or none of them is a station.
    """
    return _table(body, "/id/stations/", _station, STATIONS, observed_at)


def parse_measures(body: bytes, observed_at: datetime) -> pa.Table:
    """Parse `/id/measures` to a table, schema `MEASURES`; duplicates and errors as for `parse_stations`."""
    return _table(body, "/id/measures/", _measure, MEASURES, observed_at)


def _station(item: Mapping[str, Any]) -> dict[str, Any]:
    scale = _object(item.get("stageScale"))
    highest = _object(scale.get("highestRecent"))
    return {
        "label": _text(item.get("label")),
        "river": _text(item.get("riverName")),
        "catchment": _text(item.get("catchmentName")),
        "town": _text(item.get("town")),
        "lat": _first(item.get("lat"), finite),
        "long": _first(item.get("long"), finite),
        "easting": _first(item.get("easting"), finite),
        "northing": _first(item.get("northing"), finite),
        "grid_reference": _text(item.get("gridReference")),
        "station_type": _text(item.get("type"), _station_type),
        "status": _text(item.get("status"), lambda uri: _last(uri).removeprefix("status")),
        "opened": _first(item.get("dateOpened"), _date),
        "typical_low": _first(scale.get("typicalRangeLow"), finite),
        "typical_high": _first(scale.get("typicalRangeHigh"), finite),
        "highest_recent": _first(highest.get("value"), finite),
        "highest_recent_at": _first(highest.get("dateTime"), _utc),
        "max_on_record": _first(_object(scale.get("maxOnRecord")).get("value"), finite),
        "min_on_record": _first(_object(scale.get("minOnRecord")).get("value"), finite),
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
    """Return one row for each item that has a key, the last one of those with the same."""
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
                skipped, example = skipped + 1, example or shown(str(item))
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
    """Return the items of a list undecoded: half a million stations decoded at once take gigabytes."""
    try:
        return msgspec.json.decode(body, type=_List).items
    except msgspec.ValidationError as wrong:
        raise SourceError(f"the answer has no list of items: it starts {shown(body)}") from wrong
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise _not_json(body, wrong) from wrong


def _decoded(item: msgspec.Raw, decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(item)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise _not_json(body, wrong) from wrong


def _not_json(body: bytes, wrong: Exception) -> SourceError:
    return SourceError(f"not JSON, or cut short ({wrong}): {len(body):,} bytes that start {shown(body)}")


def _key(item: Any, path: str) -> str | None:
    """Return the part of `@id` after `path`, as in the URIs of readings; without an `@id`, the notation."""
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
    """Return the object, or the first of several; an empty one where it is absent or given as its URI only."""
    if isinstance(value, list):
        return next((each for each in value if isinstance(each, dict)), {})
    return value if isinstance(value, dict) else {}


def _texts(value: Any) -> list[str]:
    """Return all values of a field as texts. An embedded object is its URI."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    if isinstance(value, dict):
        return _texts(value.get("@id"))
    return [] if value is None else [str(value)]


def _text(value: Any, part: Callable[[str], str | None] = str) -> str | None:
    """Join the distinct texts of a field, or the `part` of each, with `|`; parts that are None are left out."""
    parts = dict.fromkeys(each for text in _texts(value) if (each := part(text)) is not None)
    return "|".join(parts) if parts else None


def _first(value: Any, read: Callable[[str], T | None]) -> T | None:
    """Return the first of a field's texts that `read` understands."""
    return next((found for text in _texts(value) if (found := read(text)) is not None), None)


def _whole(text: str) -> int | None:
    number = finite(text)
    return int(number) if number is not None and number.is_integer() and 0 < number < 2**31 else None


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def _utc(text: str) -> datetime | None:
    """Return the time in UTC; the scales' times have no zone and are taken as UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
