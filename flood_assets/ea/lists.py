"""Parse the JSON lists of stations, measures, flood warnings and flood areas into Arrow tables.

Every field may be absent, a text, a number, a list of those or an object, so items are decoded without types and each
cell is converted on its own: one odd cell cannot spoil a list, and 5,000 items take 0.1 s. Cells that are not even
JSON are marked by `flood_assets.ea.mending`.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.ea.mending import DEEPEST, NOT_JSON, ODD, mended, text_of
from flood_assets.ea.parse import Parsed, finite, rejected, shown
from flood_assets.errors import SourceError
from flood_assets.partitions import london
from flood_assets.schemas import MEASURES, STATIONS, WARNING_AREAS, WARNINGS, Table

logger = logging.getLogger("flood_assets.ea")

T = TypeVar("T")

ITEMS_AT_ONCE = 10_000
# How the reason of a reject ends that is a whole item.
_NAMELESS = "without '@id'"


def parse_stations(body: bytes | Sequence[bytes], observed_at: datetime) -> Parsed:
    """Parse `/id/stations?_view=full`, or its default view (then without the level ranges).

    Of several bodies, such as those of single stations, the items are put together to one list.

    Fields with several values are joined with `|` where they are text; the first number or date is taken. A cell that
    is not JSON, or holds nothing that its column can store, is null; what it held is among the rejects.

    Returns:
        Rows, schema `STATIONS`, one a station: the last one of a station that is listed twice. Rejects, schema
        `REJECTS`: odd cells, and items that are no station.

    Raises:
        SourceError: the body is not JSON, is cut short, has no list of items, or none of them is a station.
    """
    return _parsed(body, "/id/stations/", _STATION, STATIONS, observed_at)


def parse_measures(body: bytes | Sequence[bytes], observed_at: datetime) -> Parsed:
    """Parse `/id/measures` to rows of schema `MEASURES`; the rest is as for `parse_stations`."""
    return _parsed(body, "/id/measures/", _MEASURE, MEASURES, observed_at)


def parse_warnings(body: bytes, observed_at: datetime) -> Parsed:
    """Parse `/id/floods` to rows of the columns of `WARNINGS` that the API gives; an empty list is a calm day.

    Its times have no zone and are read as Europe/London: of those recorded on 2 March 2024, in winter, none lies after
    the request. The texts are kept beside them. An item without `@id` is known by its `floodAreaID`. Duplicates, odd
    cells and errors are as for `parse_stations`.
    """
    return _parsed(body, "/id/floods/", _WARNING, LISTED_WARNINGS, observed_at, other_id="floodAreaID")


def all_named(rejects: pa.Table) -> bool:
    """Return False if a list had items without an id: then an id that it lacks may be one of theirs."""
    return not pc.any(pc.ends_with(rejects["reason"], pattern=_NAMELESS)).as_py()


def times_ahead(warnings: pa.Table, moment: datetime) -> tuple[int, int]:
    """Count the times of some warnings that lie after a moment: as they are read, and if their texts were in UTC."""
    as_read = as_utc = 0
    for name in ("raised", "severity_changed", "message_changed"):
        as_read += sum(at > moment for at in warnings[f"{name}_at"].to_pylist() if at is not None)
        given = map(_utc, warnings[f"{name}_given"].drop_null().to_pylist())
        as_utc += sum(at > moment for at in given if at is not None)
    return as_read, as_utc


def parse_warning_areas(body: bytes, observed_at: datetime) -> Parsed:
    """Parse `/id/floodAreas` to rows of schema `WARNING_AREAS`; the rest is as for `parse_stations`."""
    return _parsed(body, "/id/floodAreas/", _AREA, WARNING_AREAS, observed_at)


def require_items(body: bytes) -> None:
    """Refuse a body that has neither a list of items nor a single one, or is cut short: SourceError."""
    _undecoded(body, single=True)


def _parsed(
    body: bytes | Sequence[bytes],
    path: str,
    cells: Mapping[str, "_Cell"],
    table: Table,
    observed_at: datetime,
    *,
    other_id: str = "notation",
) -> Parsed:
    """Return one row for each item that has a key, the last one of those with the same."""
    (key,) = table.key
    if isinstance(body, bytes):
        items = _undecoded(body)
    else:
        items = [item for each in body for item in _undecoded(each, single=True)]
    decoder = msgspec.json.Decoder()
    tables = [table.schema.empty_table()]
    last: dict[str, int] = {}
    nameless: list[str] = []
    odd: dict[str, str] = {}
    taken = 0
    for start in range(0, len(items), ITEMS_AT_ONCE):
        rows: list[dict[str, Any]] = []
        for raw in items[start : start + ITEMS_AT_ONCE]:
            item = _decoded(raw, decoder)
            name = _key(item, path, other_id)
            if name is None:
                nameless.append(bytes(raw).decode(errors="replace"))
                continue
            row, wrong = _row(item, cells)
            odd.update((f"{path}{name},{what}", reason) for what, reason in wrong)
            last[name] = taken + len(rows)
            rows.append({key: name, **row, "observed_at": observed_at})
        # What the API lists has no publisher.
        tables.append(pa.table([[row.get(name) for row in rows] for name in table.schema.names], schema=table.schema))
        taken += len(rows)
    found = pa.concat_tables(tables)
    if nameless:
        message = f"{len(nameless)} of {len(items)} {table.name} {_NAMELESS}, such as {shown(nameless[0])}"
        if not len(found):
            raise SourceError(f"the answer cannot be used: {message}")
        logger.warning("%s: skipped", message)
    if twice := len(found) - len(last):
        logger.warning("%d of %d %s are listed more than once: the last is kept", twice, len(items), table.name)
        found = found.take(pa.array(last.values(), pa.int64()))
    if odd:
        line, reason = next(iter(odd.items()))
        logger.warning("%s: odd cells: %d, such as %s: %s", table.name, len(odd), shown(line), reason)
    lines = [*nameless, *odd]
    reasons = [f"one of the {table.name} {_NAMELESS}"] * len(nameless) + list(odd.values())
    return Parsed(found.combine_chunks(), rejected(lines, reasons, observed_at))


def _row(item: dict[str, Any], cells: Mapping[str, "_Cell"]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return the columns of an item; and its odd cells, each as field and text, and the reason."""
    row: dict[str, Any] = {}
    odd = [(field.removeprefix(ODD), "a field whose name is not JSON") for field in item if field.startswith(ODD)]
    for column, cell in cells.items():
        row[column], wrong = cell.of(item)
        if wrong is not None:
            odd.append((wrong, f"not {cell.kind}: {column} is null"))
    return row, odd


class _List(msgspec.Struct):
    items: list[msgspec.Raw]


class _Single(msgspec.Struct):
    items: msgspec.Raw


def _undecoded(body: bytes, *, single: bool = False) -> list[msgspec.Raw]:
    """Return the items of a list undecoded: half a million stations decoded at once take gigabytes.

    With `single`, an item in the place of the list is one of one, as a page of a station has.
    """
    try:
        if single:
            found = _decoded(body, msgspec.json.Decoder(_Single)).items
            if bytes(found).startswith(b"{"):
                return [found]
        return _decoded(body, msgspec.json.Decoder(_List)).items
    except msgspec.ValidationError as wrong:
        raise SourceError(f"the answer has no list of items: it starts {shown(body)}") from wrong


def _decoded(text: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a body or an item of it, mended where it is not JSON or its numbers are too large."""
    try:
        return decoder.decode(text)
    except NOT_JSON as wrong:
        try:
            return decoder.decode(mended(bytes(text)))
        except msgspec.ValidationError:
            raise
        except NOT_JSON:
            whole = bytes(text)
            message = f"not JSON, or cut short ({wrong}): {len(whole):,} bytes that start {shown(whole)}"
            raise SourceError(message) from wrong


def _key(item: Any, path: str, other_id: str) -> str | None:
    """Return the part of `@id` after `path`, as in the URIs of readings; without an `@id`, the other id."""
    if not isinstance(item, dict):
        return None
    uri, notation = item.get("@id"), item.get(other_id)
    key = _after(path, uri) if isinstance(uri, str) else None
    return key if key is not None else notation if isinstance(notation, str) else None


def _after(path: str, uri: str) -> str | None:
    _, found, rest = uri.partition(path)
    return rest if found else None


def _last(uri: str) -> str:
    return uri.rsplit("/", 1)[-1]


def _texts(value: Any, depth: int = 0) -> list[str]:
    """Return all values of a field as texts. An embedded object is its URI."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and depth < DEEPEST:
        return [text for each in value for text in _texts(each, depth + 1)]
    if isinstance(value, dict) and depth < DEEPEST:
        return _texts(value.get("@id"), depth + 1)
    return [] if value is None or isinstance(value, list | dict) else [str(value)]


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
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):  # no time, or none of the years 1 to 9999 in UTC
        return None


def _london(text: str) -> datetime | None:
    """Return the time in UTC of a text without a zone that means the time in England.

    Of the hour that comes twice in October the first is meant, and a time that the clock leaves out in March is taken
    as an hour later: so no time is lost, and none is wrong by more than an hour.
    """
    try:
        moment = datetime.fromisoformat(text)
        return (moment.replace(tzinfo=london()) if moment.tzinfo is None else moment).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _yes_or_no(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.casefold())


class _Cell(NamedTuple):
    """The field of a column, or the one inside others that `path` names; its first text that `read` understands."""

    path: tuple[str, ...]
    read: Callable[[str], Any]
    kind: str

    def of(self, item: dict[str, Any]) -> tuple[Any, str | None]:
        """Return the value in an item; and the field with what it holds, if that is odd."""
        value: Any = item
        for at, name in enumerate(self.path):
            # Of several objects the first.
            inside = (
                next((each for each in value if isinstance(each, dict)), value) if isinstance(value, list) else value
            )
            if not isinstance(inside, dict) or ODD in inside:
                # An object may be given as its URI only.
                fine = isinstance(value, str) or _is_blank(value)
                return None, None if fine else _told(self.path[:at], value)
            if (value := inside.get(name)) is None:
                return None, None
        found, odd = self.stored(value)
        return found, _told(self.path, value) if odd else None

    def stored(self, value: Any) -> tuple[Any, bool]:
        """Return the value to store, and True if a field holds something and nothing of it can be stored."""
        found = next((found for text in _texts(value) if (found := self.read(text)) is not None), None)
        return found, found is None and not _is_blank(value)


class _Text(_Cell):
    """A column of texts: the distinct ones of its field, or what `read` takes of each, joined with `|`."""

    def stored(self, value: Any) -> tuple[Any, bool]:
        """Return the text, and True if a value of the field is none."""
        if isinstance(value, str):
            return self.read(value), False
        each = value if isinstance(value, list) else [value]
        found = dict.fromkeys(text for given in _texts(value) if (text := self.read(given)) is not None)
        return "|".join(found) if found else None, any(not _texts(one) and not _is_blank(one) for one in each)


def _is_blank(value: Any) -> bool:
    return value is None or value in ("", [], {})


def _told(path: Sequence[str], value: Any) -> str:
    return f"{'.'.join(path)},{text_of(value)}"


def _text(*path: str, read: Callable[[str], str | None] = str) -> _Cell:
    return _Text(path, read, "a text")


def _number(*path: str) -> _Cell:
    return _Cell(path, finite, "a number")


def _status(uri: str) -> str:
    return _last(uri).removeprefix("status")


def _station_type(uri: str) -> str | None:
    kind = _last(uri)
    return None if kind == "Station" else kind  # each is also a Station


def _unit(text: str) -> str | None:
    return None if text in {"", "---"} else text


def _station_of(uri: str) -> str | None:
    return _after("/id/stations/", uri)


_STATION = {
    "label": _text("label"),
    "river": _text("riverName"),
    "catchment": _text("catchmentName"),
    "town": _text("town"),
    "lat": _number("lat"),
    "long": _number("long"),
    "easting": _number("easting"),
    "northing": _number("northing"),
    "grid_reference": _text("gridReference"),
    "station_type": _text("type", read=_station_type),
    "status": _text("status", read=_status),
    "opened": _Cell(("dateOpened",), _date, "a date"),
    "typical_low": _number("stageScale", "typicalRangeLow"),
    "typical_high": _number("stageScale", "typicalRangeHigh"),
    "highest_recent": _number("stageScale", "highestRecent", "value"),
    "highest_recent_at": _Cell(("stageScale", "highestRecent", "dateTime"), _utc, "a time"),
    "max_on_record": _number("stageScale", "maxOnRecord", "value"),
    "min_on_record": _number("stageScale", "minOnRecord", "value"),
    "rloi_id": _text("RLOIid"),
    "wiski_id": _text("wiskiID"),
    "station_reference": _text("stationReference"),
}
_MEASURE = {
    "station_id": _Cell(("station",), _station_of, "a station's URI"),
    "parameter": _text("parameter"),
    "qualifier": _text("qualifier"),
    "unit": _text("unitName", read=_unit),
    "value_type": _text("valueType"),
    "datum": _text("datumType", read=_last),
    "period_s": _Cell(("period",), _whole, "a number of seconds"),
}
_WARNING = {
    "severity_level": _Cell(("severityLevel",), _whole, "a number"),
    "severity": _text("severity"),
    "description": _text("description"),
    "message": _text("message"),
    "river_or_sea": _text("floodArea", "riverOrSea"),
    "county": _text("floodArea", "county"),
    "ea_area": _text("eaAreaName"),
    "is_tidal": _Cell(("isTidal",), _yes_or_no, "true or false"),
    "raised_at": _Cell(("timeRaised",), _london, "a time"),
    "severity_changed_at": _Cell(("timeSeverityChanged",), _london, "a time"),
    "message_changed_at": _Cell(("timeMessageChanged",), _london, "a time"),
    "raised_given": _text("timeRaised"),
    "severity_changed_given": _text("timeSeverityChanged"),
    "message_changed_given": _text("timeMessageChanged"),
}
LISTED_WARNINGS = Table(
    WARNINGS.name,
    WARNINGS.key,
    tuple(column for column in WARNINGS.columns if column.name in {*WARNINGS.key, *_WARNING, "observed_at"}),
)
_AREA = {
    "label": _text("label"),
    "description": _text("description"),
    "county": _text("county"),
    "river_or_sea": _text("riverOrSea"),
    "ea_area": _text("eaAreaName"),
    "lat": _number("lat"),
    "long": _number("long"),
    "polygon_url": _text("polygon"),
}
