"""Decide which stations and measures of a push are accepted, and say why others are not. Pure.

A row has the columns of `schemas.STATIONS` or `schemas.MEASURES`; one with `removed` leaves the list.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from flood_assets.landing.bodies import Given
from flood_assets.landing.objects import Gauge, Refused
from flood_assets.landing.rules import TOLD, Publisher, RefusedError, line_of, own_id, require_fields, shown
from flood_assets.partitions import EPOCH, to_ms
from flood_assets.schemas import MEASURES, STATIONS, Table, publisher_of

# The server decides these; a row that was read from it has them too.
OURS = ("publisher", "observed_at")
REMOVED = "removed"
_TEXT = 500
_GREATEST = 1e12
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_WITHIN = {"lat": (-90.0, 90.0), "long": (-180.0, 180.0)}
_LONGEST_PERIOD = 7 * 86_400


@dataclass(frozen=True)
class CheckedList:
    """The stations or the measures of a batch after validation.

    Attributes:
        rows: accepted ones, each key once, without the columns that are null.
        repeated: accepted ones whose key came again later; the last one counts.
        refused: the first `TOLD` of the others.
        refused_rows: number of all others.
    """

    rows: Sequence[Gauge]
    repeated: int
    refused: Sequence[Refused]
    refused_rows: int


def fields_of(table: Table) -> list[str]:
    """Return the fields that a pushed row of a list may have."""
    return [name for name in table.schema.names if name not in OURS] + [REMOVED]


def check(table: Table, rows: Sequence[Given], publisher: Publisher) -> CheckedList:
    """Validate the rows of a batch for a list, `STATIONS` or `MEASURES`."""
    found, refused, count, accepted = dict[str, Gauge](), list[Refused](), 0, 0
    fields, (key,) = fields_of(table), table.key
    for number, row in enumerate(rows, 1):
        try:
            given = _checked(table, row, fields, publisher)
        except RefusedError as error:
            count += 1
            if len(refused) < TOLD:
                refused.append(Refused(number, str(error), line_of(row), table.name))
            continue
        accepted += 1
        found[str(given[key])] = given
    return CheckedList(list(found.values()), accepted - len(found), refused, count)


def listed(table: Table, rows: Sequence[Gauge], landed_at: datetime) -> pa.Table:
    """Return accepted rows, without those that are removed, with the schema of their table."""
    (key,) = table.key
    kept = [row for row in rows if not row.get(REMOVED)]
    more: dict[str, list[Any]] = {
        "publisher": [publisher_of(str(row[key])) for row in kept],
        "observed_at": [landed_at] * len(kept),
    }
    columns = []
    for field in table.schema:
        cells = more.get(field.name) or [row.get(field.name) for row in kept]
        if pa.types.is_timestamp(field.type) and field.name not in more:
            columns.append(pa.array(cells, pa.int64()).cast(field.type))
        elif pa.types.is_date(field.type):
            columns.append(pa.array(cells, pa.int32()).cast(field.type))
        else:
            columns.append(pa.array(cells, field.type))
    return pa.table(columns, schema=table.schema)


def removed(table: Table, rows: Sequence[Gauge]) -> list[str]:
    """Return the keys that leave the list."""
    (key,) = table.key
    return [str(row[key]) for row in rows if row.get(REMOVED)]


def _checked(table: Table, row: Given, fields: Sequence[str], publisher: Publisher) -> Gauge:
    (key,) = table.key
    if not isinstance(row, dict):
        raise RefusedError(f"it is {shown(row)}: expected an object with {key}")
    require_fields(row, fields, OURS)
    found: dict[str, str | float | int | bool] = {key: own_id(key, row.get(key), publisher)}
    leaves = row.get(REMOVED)
    if leaves is not None and not isinstance(leaves, bool):
        raise RefusedError(f"{REMOVED} is {shown(leaves)}: expected true, to take it from the list")
    if leaves:
        return {**found, REMOVED: True}
    if table is MEASURES:
        found["station_id"] = own_id("station_id", row.get("station_id"), publisher)
    for field in table.schema:
        given = row.get(field.name)
        if given is not None and field.name not in found and field.name not in OURS:
            found[field.name] = _cell(field, given)
    if table is STATIONS and ("lat" in found) != ("long" in found):
        raise RefusedError(f"{'long' if 'lat' in found else 'lat'} is missing: a position has lat and long")
    _require_range(found)
    return found


def _cell(field: pa.Field, given: Any) -> str | float | int:
    """Return what a field holds, as JSON can keep it: a date as days and a time as ms since 1970."""
    is_a = pa.types
    kinds = ((is_a.is_string, _text), (is_a.is_floating, _number), (is_a.is_integer, _seconds), (is_a.is_date, _days))
    make = next((make for fits, make in kinds if fits(field.type)), _moment)
    try:
        return make(field.name, given)
    except ValueError as error:
        raise RefusedError(f"{field.name} is {shown(given)}: expected {error.args[0]}") from None


def _text(_: str, given: Any) -> str:
    if not isinstance(given, str) or not given.strip() or len(given) > _TEXT or not given.isprintable():
        raise ValueError(f"text of up to {_TEXT} printable characters")
    return given


def _number(name: str, given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not abs(given) < _GREATEST:
        raise ValueError("a number")
    least, most = _WITHIN.get(name, (-_GREATEST, _GREATEST))
    if not least <= given <= most:
        raise ValueError(f"degrees from {least:g} to {most:g}")
    return float(given)


def _seconds(_: str, given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= _LONGEST_PERIOD:
        raise ValueError(f"whole seconds, from 1 to {_LONGEST_PERIOD:,}")
    return given


def _days(_: str, given: Any) -> int:
    with suppress(ValueError):
        if isinstance(given, str) and _DATE.fullmatch(given):
            return (date.fromisoformat(given) - EPOCH.date()).days
    raise ValueError("a date, such as 2024-02-29")


def _moment(_: str, given: Any) -> int:
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(given) if isinstance(given, str) else None
        if moment is not None and moment.tzinfo is not None:
            return to_ms(moment.astimezone(UTC))
    raise ValueError("a time with a zone, such as 2024-02-29T09:00:00Z")


def _require_range(row: Mapping[str, Any]) -> None:
    """Refuse a typical range that is upside down: each level would be out of it."""
    low, high = row.get("typical_low"), row.get("typical_high")
    if low is not None and high is not None and low > high:
        raise RefusedError(f"typical_low is {shown(low)}, above typical_high, which is {shown(high)}")
