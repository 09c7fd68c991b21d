"""Parse the filters of a question: times, and the texts by which gauges are chosen.

To add a filter by name, add it to `FILTERS` and to `GaugeFilters`; every question then takes it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from numbers import Integral
from typing import Any, TypedDict, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.partitions import WINDOW, utc
from flood_assets.query import durations, names
from flood_assets.schemas import MEASURES, STATIONS, Table

Moment = datetime | str
# A timedelta, or what pandas.Timedelta takes: text such as 3h, a numpy.timedelta64, an offset such as Hour(3).
Duration = Any
Texts = str | int | Iterable[str | int]


@dataclass(frozen=True)
class ByName:
    """A filter by text in columns of a snapshot; see `names.match`."""

    table: Table
    columns: names.Columns


FILTERS: Mapping[str, ByName] = {
    "station": ByName(
        STATIONS,
        names.Columns(ids=("station_id",), labels=("label",), others=("rloi_id", "wiski_id", "station_reference")),
    ),
    "river": ByName(STATIONS, names.Columns(labels=("river",))),
    "catchment": ByName(STATIONS, names.Columns(labels=("catchment",))),
    "town": ByName(STATIONS, names.Columns(labels=("town",))),
    "parameter": ByName(MEASURES, names.Columns(labels=("parameter", "qualifier"))),
    "measure": ByName(MEASURES, names.Columns(ids=("measure_id",))),
}
# Filters that people ask for and the API has no field for, and what there is instead.
_NO_SUCH = {"county": "the API gives no station's county; choose by catchment, town or river"}


class GaugeFilters(TypedDict, total=False):
    """The gauges of a question. Each filter is one text or several, of which any may match; all filters must match."""

    station: Texts | None
    river: Texts | None
    catchment: Texts | None
    town: Texts | None
    parameter: Texts | None
    measure: Texts | None


@dataclass(frozen=True)
class Gauges:
    """The gauges of a question: the texts of each filter that was given."""

    texts: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, given: GaugeFilters) -> "Gauges":
        """Return the filters that are not None; TypeError for an unknown filter or a value that is no text."""
        if unknown := sorted(given.keys() - FILTERS.keys()):
            why = next((_NO_SUCH[name] for name in unknown if name in _NO_SUCH), None)
            by = why or f"gauges are chosen by {', '.join(FILTERS)}"
            raise TypeError(f"unknown argument {names.listed(unknown)}: {by}")
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
        own = [column for name in self.texts for column in FILTERS[name].columns.all if FILTERS[name].table is table]
        return list(dict.fromkeys([*table.key, "station_id", *own]))

    def choose(self, table: Table, rows: pa.Table, notes: list[str], matched: list[str]) -> pa.Table:
        """Return the rows of a snapshot that match every filter on its columns.

        Unknown names are told in `notes`, names that were not matched as they were given in `matched`.
        """
        fits = np.ones(len(rows), np.bool_)
        for name, given in self.texts.items():
            by = FILTERS[name]
            if by.table is table:
                fits &= names.match(rows, name, given, by.columns, notes, matched)
        return rows.filter(pa.array(fits))

    def __str__(self) -> str:
        return ", ".join(f"{name} {names.listed(given)}" for name, given in self.texts.items())


@dataclass(frozen=True)
class Span:
    """The times `start <= time < end`; None on either side for everything retained."""

    start: datetime | None = None
    end: datetime | None = None

    @classmethod
    def of(cls, start: Moment | None, end: Moment | None, last: Duration | None, now: datetime) -> "Span":
        """Return the span of the arguments; `last` counts back from `end`, else from `now`. Errors as for `moment`."""
        first = None if start is None else moment("start", start)
        until = None if end is None else moment("end", end)
        if last is not None:
            if first is not None:
                raise ValueError("start and last exclude each other: give one of them")
            first = _before("last", duration("last", last), until or now)
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


def since(given: Moment | Duration, now: datetime) -> datetime:
    """Return the time after which changes count; a duration counts back from `now`. Errors as for `moment`."""
    if isinstance(given, str):
        # 09:00:00 would be a duration too, where a person may mean a time.
        ago = durations.parse(given) if any(letter.isalpha() for letter in given) else None
    else:
        ago = _timedelta(given)
    return moment("since", given) if ago is None else _before("since", ago, now)


def duration(name: str, given: Duration) -> timedelta:
    """Return a duration as a timedelta; ValueError for other text, TypeError for anything else, as for `moment`."""
    found = durations.parse(given) if isinstance(given, str) else _timedelta(given)
    if found is None:
        error = ValueError if isinstance(given, str) else TypeError
        raise error(f"{name} is {given!r}: expected a timedelta, or text such as '3h', '90min' or '1 day'")
    return found


def _timedelta(given: Duration) -> timedelta | None:
    """Return the timedelta of one, of numpy's, or of an offset of pandas that has a fixed length; None of others."""
    if isinstance(given, np.timedelta64):
        given = given.astype("timedelta64[us]").item()
    if isinstance(given, timedelta):
        # A pandas Timedelta is one too, and gives pandas Timestamps.
        return timedelta(given.days, given.seconds, given.microseconds)
    nanoseconds = getattr(given, "nanos", None)
    return timedelta(microseconds=nanoseconds / 1000) if isinstance(nanoseconds, int) else None


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
    """Return one text or several as a tuple without repetitions; TypeError for anything else among them.

    A whole number is taken as its text: ids look like numbers.
    """
    if given is None:
        return None
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, Iterable):
        if (text := _text(given)) is None:
            raise TypeError(f"{name} is {given!r}: expected text such as '{given}', or a list of texts")
        return (text,)
    found = dict[str, None]()
    for each in given:
        if (text := _text(each)) is None:
            raise TypeError(f"{name} has {each!r} among its values: expected text (.dropna() a pandas column)")
        found[text] = None
    return tuple(found)


def _text(given: object) -> str | None:
    """Return a text, or a whole number as one; None for anything else."""
    if isinstance(given, bool):
        return None
    return str(given) if isinstance(given, str | Integral) else None


def words(name: str, given: Texts, known: Collection[str], named: Iterable[str] | None = None) -> tuple[str, ...]:
    """Return one word or several of those that are known; ValueError for another, or for none.

    `named` are those that the error names; None for all.
    """
    found = texts(name, given) or ()
    wrong = [word for word in found if word not in known]
    if wrong or not found:
        said = f"has no {names.listed(wrong)}" if wrong else "is empty"
        raise ValueError(f"{name} {said}: choose from {', '.join(named or known)}")
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
    try:
        return moment - ago
    except OverflowError:
        raise ValueError(f"{name} is {ago}, which begins before the year 1: 24 hours are kept") from None
