"""Read the query of an ERDDAP tabledap request: variables, constraints, and functions such as `distinct()`. Pure.

The whole query may be percent-encoded, with its `&`, `=` and `,`: it is decoded first, and an `&` between quotes is no
separator.
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import unquote_plus

OPERATORS = ("!=", "=~", "<=", ">=", "=", "<", ">")
ORDERS = ("orderBy", "orderByDescending", "orderByMax", "orderByMin")

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PART = re.compile(rf'(?:{_QUOTED}|[^&"]|")*', re.DOTALL)
_CONSTRAINT = re.compile(rf"\s*(\w+)\s*({'|'.join(OPERATORS)})(.*)", re.DOTALL)
_FUNCTION = re.compile(r"\s*(\w+)\((.*)\)\s*", re.DOTALL)
# An unencoded plus sign arrives as a space.
_RELATIVE = re.compile(r"(now|(?:min|max)\((\w+)\))(?:\s*([+\- ])\s*(\d+(?:\.\d+)?)\s*([a-z]*))?", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE)
_SECONDS = {"second": 1, "sec": 1, "minute": 60, "min": 60, "hour": 3600, "day": 86_400, "week": 604_800}
# As long as there is one day of data, a month need not be exact.
_SECONDS |= {"month": 30 * 86_400, "year": 365 * 86_400}
_FAR = 1e11
_MOST = 100


class QueryError(ValueError):
    """A query that cannot be answered; the message is what ERDDAP puts after `Query error: `."""


class Constraint(NamedTuple):
    """A variable, an operator, and the text that is compared with; `shown` is the whole."""

    name: str
    operator: str
    value: str
    quoted: bool
    shown: str


@dataclass(frozen=True)
class Query:
    """A query.

    Attributes:
        names: the variables; empty for all.
        constraints: of which all must be met.
        distinct: whether equal rows are given once.
        order: a function of `ORDERS`, and its variables; None without one.
    """

    names: tuple[str, ...]
    constraints: tuple[Constraint, ...]
    distinct: bool = False
    order: tuple[str, tuple[str, ...]] | None = None

    @classmethod
    def of(cls, raw: str) -> "Query":
        """Read a query as it was sent; QueryError if it is none."""
        first, *rest = _parts(unquote_plus(raw))
        if len(rest) > _MOST:
            raise QueryError(f"there are more than {_MOST} constraints")
        if _CONSTRAINT.fullmatch(first) and not re.fullmatch(r"[\w,\s]*", first):
            raise QueryError(f'"{first[:100]}" stands before the first &: variables come first, then &constraints')
        names = tuple(name.strip() for name in first.split(",") if name.strip())
        constraints, distinct, order = list[Constraint](), False, None
        for part in rest:
            function = _FUNCTION.fullmatch(part)
            if not part.strip():
                continue
            if function and function[1] == "distinct" and not function[2].strip():
                distinct = True
            elif function and function[1] in ORDERS:
                if order is not None:
                    raise QueryError(f"there may be one of {', '.join(ORDERS)}")
                order = function[1], _arguments(function[1], function[2])
            elif function and not _CONSTRAINT.fullmatch(part):
                there = ", ".join(("distinct", *ORDERS))
                raise QueryError(f'Unrecognized function "{function[1][:40]}": there are {there}')
            else:
                constraints.append(_constraint(part))
        return cls(names, tuple(constraints), distinct, order)

    @property
    def is_relative(self) -> bool:
        """True if it compares with the current time or with an extreme, so that its rows may soon differ."""
        return any(_RELATIVE.fullmatch(each.value.strip()) for each in self.constraints)


def moment(each: Constraint, now: datetime, extreme: Callable[[str, str], float]) -> float:
    """Return the time that a constraint compares with, seconds since 1970; NaN for no time.

    Args:
        each: the constraint; `now-3hours`, `max(time)-1day`, seconds since 1970, or a time in ISO 8601.
        now: the current time.
        extreme: gives `min` or `max` of a variable of the dataset.
    """
    relative = _RELATIVE.fullmatch(each.value.strip())
    if relative:
        start, name, sign, count, unit = relative.groups()
        base = now.timestamp() if name is None else extreme(start[:3].lower(), name)
        unit = (unit or "").lower().removesuffix("s") or "second"
        if unit not in _SECONDS:
            raise QueryError(f'Invalid units "{unit}" in {each.shown}: there are {", ".join(_SECONDS)}')
        return base + (0 if count is None else (-1 if sign == "-" else 1) * float(count) * _SECONDS[unit])
    text = each.value.strip()
    if _NUMBER.fullmatch(text):
        return max(-_FAR, min(float(text), _FAR))
    if text in ("", "NaN"):
        return math.nan
    try:
        found = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return (found.replace(tzinfo=UTC) if found.tzinfo is None else found).timestamp()
    except (ValueError, OverflowError):
        raise QueryError(
            f"Invalid time in {each.shown}: expected one such as 2026-11-21T09:00:00Z or now-3hours"
        ) from None


def number(each: Constraint, extreme: Callable[[str, str], float]) -> float:
    """Return the number that a constraint compares with; NaN for none."""
    text = each.value.strip()
    relative = _RELATIVE.fullmatch(text)
    if relative and relative[2] is not None and not relative[5]:
        base = extreme(relative[1][:3].lower(), relative[2])
        return base + (0 if relative[4] is None else (-1 if relative[3] == "-" else 1) * float(relative[4]))
    if text == "NaN":
        return math.nan
    if not _NUMBER.fullmatch(text):
        raise QueryError(f"Invalid number in {each.shown}")
    return float(text)


def as_time(seconds: float) -> datetime:
    """Return the time that is so many seconds after 1970."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def _parts(text: str) -> list[str]:
    found, at = list[str](), 0
    while at <= len(text):
        part = _PART.match(text, at)
        end = part.end() if part else at
        found.append(text[at:end])
        at = end + 1
    return found


def _constraint(part: str) -> Constraint:
    match = _CONSTRAINT.fullmatch(part)
    if match is None:
        raise QueryError(
            f'Invalid constraint "{part[:100]}": expected a variable, one of {" ".join(OPERATORS)}, and a value'
        )
    name, operator, value = match.groups()
    quoted = re.fullmatch(rf"\s*{_QUOTED}\s*", value, re.DOTALL) is not None
    shown = f'"{part[:100]}"'
    if not quoted and '"' in value:
        raise QueryError(f"a double quote has no partner in {shown}")
    if quoted:
        try:
            value = str(json.loads(value, strict=False))
        except ValueError:
            raise QueryError(f"what is between the quotes of {shown} is no JSON string") from None
    return Constraint(name, operator, value, quoted, shown)


def _arguments(name: str, text: str) -> tuple[str, ...]:
    inside = re.fullmatch(r'\s*"([^"]*)"\s*', text)
    found = tuple(each.strip() for each in (inside[1] if inside else "").split(",") if each.strip())
    if not found:
        raise QueryError(f'{name}({text[:60]}) needs variables between quotes, such as {name}("station_id,time")')
    return found
