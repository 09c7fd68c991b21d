"""Cut an answer into pages and columns."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.grouping import Ints
from flood_assets.query import filters
from flood_assets.serve.errors import BadRequestError, valid
from flood_assets.serve.formats import features, json_rows


@dataclass(frozen=True)
class Whole:
    """Rows of all gauges, one or more of each, in the order of `key`, and until when they hold.

    Attributes:
        rows: all of them.
        of: the code of each row's measure, or the row of its station; ascending.
        key: the columns that make a row unique.
        until: until when they hold as long as the snapshot stays the same; None for as long as that.
    """

    rows: pa.Table
    of: Ints
    key: tuple[str, ...]
    until: datetime
    _texts: dict[str, list[str]] = field(default_factory=dict)

    def texts(self, format_: str) -> list[str]:
        """Return each row encoded, as `json` or `geojson`; once for all requests."""
        if format_ not in self._texts:
            self._texts[format_] = features(self.rows, self.key) if format_ == "geojson" else json_rows(self.rows)
        return self._texts[format_]

    def answer(self, chosen: Ints | None, notes: tuple[str, ...]) -> "Answer":
        """Return the rows of some measures or stations; None for all."""
        if chosen is None:
            return Answer(len(self.rows), self.rows.column_names, self.key, lambda: self.rows, notes, self.until, self)
        if len(chosen) == 1:
            places = np.arange(*np.searchsorted(self.of, (chosen[0], chosen[0] + 1)))
        else:
            fits = np.zeros(1 + max(self.of.max(initial=0), chosen.max(initial=0)), np.bool_)
            fits[chosen] = True
            places = np.flatnonzero(fits[self.of])

        def rows() -> pa.Table:
            return self.rows.take(pa.array(places))

        return Answer(len(places), self.rows.column_names, self.key, rows, notes, self.until, self, places)


@dataclass(frozen=True)
class Answer:
    """Rows that were asked for.

    Attributes:
        count: how many there are.
        names: the names of their columns.
        key: the columns that make a row unique, and in whose order they are.
        make: gives the rows; they are made only if their texts are not known.
        notes: what there is to say, such as names that nothing is called.
        until: until when the answer holds, as long as the snapshot stays the same; None for as long as that.
        whole: the rows that these were chosen from, perhaps with their texts; None without such.
        places: the place of each row in `whole`; None for all of it.
        as_json: gives the JSON of some columns of the rows from one to another, quicker than from the rows; or None.
    """

    count: int
    names: list[str]
    key: tuple[str, ...]
    make: Callable[[], pa.Table]
    notes: tuple[str, ...] = ()
    until: datetime | None = None
    whole: Whole | None = None
    places: Ints | None = None
    as_json: Callable[[Sequence[str], int, int], list[str]] | None = None

    @classmethod
    def of(
        cls, rows: pa.Table, key: tuple[str, ...], notes: tuple[str, ...] = (), until: datetime | None = None
    ) -> "Answer":
        """Return an answer whose rows are made."""
        return cls(len(rows), rows.column_names, key, lambda: rows, notes, until)

    @cached_property
    def rows(self) -> pa.Table:
        """All rows."""
        return self.make()


def names_of(answer: Answer, columns: str | None) -> list[str]:
    """Return the names of the columns that are asked for, separated by commas; all for None."""
    wanted = None if columns is None else [name.strip() for name in columns.split(",") if name.strip()]
    return valid(lambda: filters.columns(wanted, answer.names, []))


@dataclass(frozen=True)
class Part:
    """Some rows of an answer that follow each other.

    Attributes:
        start: the first one.
        end: the one after the last.
        next: where the next part begins, for `after`; None for the last one.
    """

    start: int
    end: int
    next: str | None


def part_of(answer: Answer, limit: int | None, after: str | None) -> Part:
    """Return which rows come after a place, at most `limit` of them.

    The place is a key and not a number of rows: what comes or goes before it moves nothing.
    """
    start = 0
    if after is not None:
        start = answer.count - (pc.sum(_beyond(answer.rows, answer.key, _decoded(after, answer))).as_py() or 0)
    if limit is None or answer.count - start <= limit:
        return Part(start, answer.count, None)
    return Part(start, start + limit, _encoded(answer.rows.slice(start, limit), answer.key))


def _encoded(rows: pa.Table, key: Sequence[str]) -> str:
    last = rows.slice(len(rows) - 1).select(key)
    values = [c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in last.columns]
    data = msgspec.json.encode([value[0].as_py() for value in values])
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(after: str, answer: Answer) -> list[pa.Scalar]:
    try:
        values = msgspec.json.decode(base64.urlsafe_b64decode(after + "=" * (-len(after) % 4)))
        types = [answer.rows.schema.field(name).type for name in answer.key]
        found = [
            pa.scalar(v, pa.int64()).cast(t) if pa.types.is_timestamp(t) and v is not None else pa.scalar(v, t)
            for v, t in zip(values, types, strict=True)
        ]
    except (ValueError, TypeError, msgspec.DecodeError, pa.ArrowException):
        raise BadRequestError("after is no place of this list: follow the `next` link of the page before") from None
    return found


def _beyond(rows: pa.Table, key: Sequence[str], place: Sequence[pa.Scalar]) -> pa.ChunkedArray:
    """Return a mask of the rows whose key is greater; null comes after all others, as in the order of rows."""
    found: Any = pa.scalar(False)
    for name, value in reversed([*zip(key, place, strict=True)]):
        column = rows[name]
        if value.is_valid:
            greater, same = pc.fill_null(pc.greater(column, value), True), pc.fill_null(pc.equal(column, value), False)
        else:
            greater, same = pa.scalar(False), pc.is_null(column)
        found = pc.or_(greater, pc.and_(same, found))
    return found if len(rows) else pa.chunked_array([[]], pa.bool_())
