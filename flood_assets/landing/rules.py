"""Decide which readings of a push are accepted, and say why others are not. Pure.

Stations and measures are the subject of `gauges`.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from functools import cache
from typing import Any

import msgspec

from flood_assets.landing.bodies import Given, Unreadable
from flood_assets.landing.objects import Refused, Rows
from flood_assets.partitions import cutoff, to_ms
from flood_assets.schemas import READINGS, SEPARATOR, publisher_of

# A publisher's clock may be a little off.
AHEAD = timedelta(minutes=5)
# Refused rows of a batch that are told and kept one by one; all are counted.
TOLD = 1000
_LINE = 300
_FIELDS = ("measure_id", "date_time", "value", "raw_value", "unit")
# A row that was read from this server has these too; they are ours to decide.
_OURS = set(READINGS.schema.names) - set(_FIELDS)
_ID = re.compile(r"[!-~]{1,200}")
_RAW = re.compile(r"[ -~]{1,100}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Publisher:
    """A publisher: its name, and True in `feed` if it may write the API's own measures."""

    name: str
    feed: bool = False


@dataclass(frozen=True)
class Checked:
    """The rows of a batch after validation.

    Attributes:
        readings: accepted ones, each key once.
        repeated: accepted ones whose key came again later; the last one counts.
        refused: the first `TOLD` of the others.
        refused_rows: number of all others.
    """

    readings: Rows
    repeated: int
    refused: Sequence[Refused]
    refused_rows: int


class RefusedError(Exception):
    """Why a row is not accepted."""


def require_fields(row: Mapping[Any, Any], fields: Sequence[str], ignored: Collection[str]) -> None:
    """Refuse a row with a field that is unknown, and name the nearest one."""
    for name in row:
        if name not in fields and name not in ignored:
            near = get_close_matches(str(name), fields, 1)
            raise RefusedError(
                f"unknown field {shown(name)}: " + (f"did you mean {near[0]}?" if near else "leave it out")
            )


def own_id(name: str, given: Any, publisher: Publisher) -> str:
    """Return the id in a field, if it is one that the publisher may write."""
    if given is None:
        raise RefusedError(f"{name} is missing")
    if not isinstance(given, str) or not _ID.fullmatch(given):
        raise RefusedError(f"{name} is {shown(given)}: expected up to 200 letters, digits and signs, without spaces")
    own = f"{publisher.name}{SEPARATOR}"
    if given.startswith(own) and len(given) > len(own):
        return given
    if publisher.feed and publisher_of(given) is None:
        return given
    raise RefusedError(f"{name} is {shown(given)}: those of '{publisher.name}' begin with '{own}'")


def check(
    rows: Sequence[Given],
    publisher: Publisher,
    now: datetime,
    units: Callable[[], Mapping[str, str]],
    *,
    first: int = 1,
) -> Checked:
    """Validate the rows of a batch.

    Args:
        rows: as `bodies.rows_of` returns them.
        publisher: who pushes.
        now: nothing older than a day before it is accepted, and nothing later than a few minutes after.
        units: gives the unit of each listed measure; called once, if a row has a unit.
        first: number of the first row.
    """
    units = cache(units)
    found = dict[tuple[str, int], tuple[float | None, str | None]]()
    refused, count, accepted = list[Refused](), 0, 0
    for number, row in enumerate(rows, first):
        try:
            key, value = _checked(row, publisher, now, units)
        except RefusedError as error:
            count += 1
            if len(refused) < TOLD:
                refused.append(Refused(number, str(error), line_of(row)))
            continue
        accepted += 1
        found.pop(key, None)
        found[key] = value
    columns = Rows(
        measure_id=[measure for measure, _ in found],
        date_time=[at for _, at in found],
        value=[value for value, _ in found.values()],
        raw_value=[raw for _, raw in found.values()],
    )
    return Checked(columns, accepted - len(found), refused, count)


def _checked(
    row: Given, publisher: Publisher, now: datetime, units: Callable[[], Mapping[str, str]]
) -> tuple[tuple[str, int], tuple[float | None, str | None]]:
    if isinstance(row, Unreadable):
        raise RefusedError(str(row))
    if not isinstance(row, dict):
        raise RefusedError(f"it is {shown(row)}: expected an object with measure_id, date_time and value")
    require_fields(row, _FIELDS, _OURS)
    measure = own_id("measure_id", row.get("measure_id"), publisher)
    at = _time(row.get("date_time"), now)
    value, raw = _value(row.get("value"), row.get("raw_value"))
    if row.get("unit") is not None:
        known = units().get(measure)
        if known is None:
            raise RefusedError(f"unit is {shown(row['unit'])}, and no unit of {measure} is known: leave it out")
        if row["unit"] != known:
            raise RefusedError(f"unit is {shown(row['unit'])}: {measure} is measured in {known}")
    return (measure, at), (value, raw)


def _time(given: Any, now: datetime) -> int:
    try:
        moment = datetime.fromisoformat(given) if isinstance(given, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        told = "missing" if given is None else shown(given)
        raise RefusedError(f"date_time is {told}: expected a time with a zone, such as {now:%Y-%m-%dT%H:%M:%SZ}")
    if moment <= cutoff(now):
        raise RefusedError(f"date_time is {shown(given)}, over 24 hours before {now:%Y-%m-%dT%H:%M:%SZ}: too old")
    if moment > now + AHEAD:
        raise RefusedError(
            f"date_time is {shown(given)}, after {now:%Y-%m-%dT%H:%M:%SZ}: set the gauge's clock, or send it then"
        )
    return to_ms(moment)


def _value(given: Any, raw: Any) -> tuple[float | None, str | None]:
    if given is None and raw is not None:
        if not isinstance(raw, str) or not _RAW.fullmatch(raw):
            raise RefusedError(f"raw_value is {shown(raw)}: expected up to 100 characters of text")
        return None, raw
    wrong = RefusedError(f"value is {'missing' if given is None else shown(given)}: expected a number")
    if given is None or isinstance(given, bool) or not isinstance(given, int | float | str):
        raise wrong
    if isinstance(given, str) and not _NUMBER.fullmatch(given):
        raise wrong
    if raw is not None:
        raise RefusedError(f"raw_value is {shown(raw)} beside a value: it is for what is no number, leave it out")
    try:
        value = float(given)
    except (ValueError, OverflowError):
        raise wrong from None
    if not math.isfinite(value):
        raise wrong
    return value, None


def shown(value: object) -> str:
    """Return a value as a refusal quotes it."""
    text = value if isinstance(value, str) else _text(value)
    return f"'{text[:60]}'"


def line_of(row: Given) -> str:
    """Return a refused row as far as it is kept."""
    return "" if isinstance(row, Unreadable) else _text(row)[:_LINE]


def _text(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return str(value)
