"""Parse the filters of a question: times, and the texts by which gauges are chosen.

To add a filter by name, add it to `FILTERS` and to `GaugeFilters`; every question then takes it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypedDict, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.partitions import WINDOW, utc
from flood_assets.query import names
from flood_assets.schemas import MEASURES, STATIONS, Table

Moment = datetime | str
Texts = str | Iterable[str]


@dataclass(frozen=True)
class ByName:
    """A filter by text in columns of a snapshot: `ids` must be equal, `labels` are compared without regard to case."""

    table: Table
    ids: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.ids, *self.labels)


FILTERS: Mapping[str, ByName] = {
    "station": ByName(STATIONS, ids=("station_id",), labels=("label",)),
    "river": ByName(STATIONS, labels=("river",)),
    "parameter": ByName(MEASURES, labels=("parameter", "qualifier")),
    "measure": ByName(MEASURES, ids=("measure_id",)),
}


class GaugeFilters(TypedDict, total=False):
    """The gauges of a question. Each filter is one text or several, of which any may match; all filters must match."""

    station: Texts | None
    river: Texts | None
    parameter: Texts | None
    measure: Texts | None


@dataclass(frozen=True)
class Gauges:
    """The gauges of a question: the texts of each filter that was given."""

    texts: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, given: GaugeFilters) -> "Gauges":
        """Return the filters that are not None; TypeError for an unknown filter or a value that is no text."""
        if unknown := names.listed(sorted(given.keys() - FILTERS.keys())):
            raise TypeError(f"unknown argument {unknown}: gauges are chosen by {', '.join(FILTERS)}")
        found = {name: texts(name, cast("Texts | None", given.get(name))) for name in FILTERS}
        return cls({name: chosen for name, chosen in found.items() if chosen is not None})

    def concern(self, table: Table) -> bool:
        """Return True when a filter chooses among the rows of this snapshot."""
        return any(FILTERS[name].table is table for name in self.texts)

    @property
    def only_measures(self) -> bool:
        """True when measure_ids say it all, or nothing was said, so that no snapshot is needed."""
        return self.texts.keys() <= {"measure"}

    def columns(self, table: Table) -> list[str]:
        """Return the columns of a snapshot by which they are found; reading only these takes a tenth of the time."""
        own = [column for name in self.texts for column in FILTERS[name].columns if FILTERS[name].table is table]
        return list(dict.fromkeys([*table.key, "station_id", *own]))

    def choose(self, table: Table, rows: pa.Table, notes: list[str]) -> pa.Table:
        """Return the rows of a snapshot that match every filter on its columns; unknown names go into the notes."""
        fits = np.ones(len(rows), np.bool_)
        for name, given in self.texts.items():
            by = FILTERS[name]
            if by.table is table:
                fits &= names.match(rows, name, given, by.ids, by.labels, notes)
        return rows.filter(pa.array(fits))

    def __str__(self) -> str:
        return ", ".join(f"{name} {names.listed(given)}" for name, given in self.texts.items())


@dataclass(frozen=True)
class Span:
    """The times `start <= time < end`; None on either side for everything retained."""

    start: datetime | None = None
    end: datetime | None = None

    @classmethod
    def of(cls, start: Moment | None, end: Moment | None, last: timedelta | None, now: datetime) -> "Span":
        """Return the span of the arguments; `last` counts back from `end`, else from `now`. Errors as for `moment`."""
        first = None if start is None else moment("start", start)
        until = None if end is None else moment("end", end)
        if last is not None:
            if first is not None:
                raise ValueError("start and last exclude each other: give one of them")
            if not isinstance(last, timedelta):
                raise TypeError(f"last is {last!r}: expected a timedelta, such as timedelta(hours=3)")
            first = _before("last", last, until or now)
        if first is not None and until is not None and until < first:
            raise ValueError(f"start {shown(first)} is after end {shown(until)}")
        return cls(first, until)

    def cut(self, rows: pa.Table) -> pa.Table:
        """Return the readings inside."""
        if self.start is not None:
            rows = rows.filter(pc.greater_equal(rows["date_time"], self.start))
        if self.end is not None:
            rows = rows.filter(pc.less(rows["date_time"], self.end))
        return rows

    def touches(self, window: datetime) -> bool:
        """Return True when a part of the window is inside."""
        return not (self.start and window + WINDOW <= self.start) and not (self.end and window >= self.end)


def since(given: Moment | timedelta, now: datetime) -> datetime:
    """Return the time after which changes count; a timedelta counts back from `now`."""
    return _before("since", given, now) if isinstance(given, timedelta) else moment("since", given)


def moment(name: str, given: Moment) -> datetime:
    """Return a time as a plain datetime in UTC.

    A ValueError (no time, or no zone) or a TypeError (neither datetime nor text) begins with the argument's name.
    """
    if isinstance(given, str):
        try:
            found = datetime.fromisoformat(given.strip())
        except ValueError:
            raise ValueError(f"{name} is '{given}': expected a time such as 2026-11-21T09:00Z") from None
    elif isinstance(given, datetime):
        found = given
    else:
        raise TypeError(
            f"{name} is {given!r}: expected a datetime with a time zone, a pandas Timestamp with one, "
            "or text such as 2026-11-21T09:00Z"
        )
    if found.tzinfo is None:
        raise ValueError(
            f"{name} is '{given}', which has no time zone: write '...Z' for UTC, or give a datetime with tzinfo"
        )
    found = utc(found)
    # A pandas Timestamp is a datetime too, with nanoseconds that nothing else understands.
    return datetime(*found.timetuple()[:6], found.microsecond, tzinfo=UTC)


def texts(name: str, given: Texts | None) -> tuple[str, ...] | None:
    """Return one text or several as a tuple without repetitions; TypeError for anything else among them."""
    if given is None:
        return None
    if isinstance(given, str):
        return (given,)
    found = tuple(dict.fromkeys(given))
    for text in found:
        if not isinstance(text, str):
            raise TypeError(f"{name} has {text!r} among its values: expected text (.dropna() a pandas column)")
    return found


def words(name: str, given: Texts, known: Sequence[str]) -> tuple[str, ...]:
    """Return one word or several of those that are known; ValueError for another, or for none."""
    found = texts(name, given) or ()
    wrong = [word for word in found if word not in known]
    if wrong or not found:
        said = f"has no {names.listed(wrong)}" if wrong else "is empty"
        raise ValueError(f"{name} {said}: choose from {', '.join(known)}")
    return found


def columns(given: Texts | None, known: Sequence[str], options: Sequence[str]) -> list[str]:
    """Return the column names that were given, or all that are known; ValueError for an unknown one, or none.

    `options` are those that would add columns, for the error.
    """
    chosen = texts("columns", given)
    if chosen is None:
        return list(known)
    others = f" (others come with {' and '.join(f'{option}=True' for option in options)})" if options else ""
    if not chosen:
        raise ValueError(f"columns is empty: choose from {', '.join(known)}{others}")
    if unknown := [name for name in chosen if name not in known]:
        raise ValueError(f"no column {names.listed(unknown)}: there are {', '.join(known)}{others}")
    return list(chosen)


def shown(moment: datetime) -> str:
    """Return a time as messages show it."""
    return f"{moment:%Y-%m-%d %H:%MZ}"


def _before(name: str, ago: timedelta, moment: datetime) -> datetime:
    if ago < timedelta(0):
        raise ValueError(f"{name} is {ago}: it counts back, so it must not be negative")
    return moment - ago
