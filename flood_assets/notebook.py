"""Readings, what changed and what is missing of them, stations and measures as tables, in one line: for notebooks.

    from flood_assets.notebook import load_readings
    load_readings(river="River Thames", parameter="level", last=timedelta(hours=3), joined=True)

Nothing of Dagster needs to run or to be set up: the Parquet windows are read where they lie, and of them only the
columns, hours and row groups that were asked for. How they are read is in `flood_assets.lake.lake`; through Dagster the
same tables are loaded by `flood_assets.defs.io_manager`.

An answer that is empty, or less than was asked for, is no error: it has its columns, and a `NothingFoundWarning` says
why it is so and what to do. Only that nothing changed is no reason to warn. Wrong arguments are errors.
"""

import difflib
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Required, TypedDict, Unpack, overload
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets import quality, settings
from flood_assets.defs.resources import LakeResource
from flood_assets.lake.lake import Lake
from flood_assets.ledger.account import Account, take
from flood_assets.partitions import WINDOW, cutoff, is_expired, utc
from flood_assets.schemas import COMPLETENESS, MEASURES, READINGS, STATIONS, TIMELINESS, Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "NothingFoundWarning",
    "load_changes",
    "load_completeness",
    "load_measures",
    "load_readings",
    "load_stations",
    "load_timeliness",
]

Moment = datetime | str
Texts = str | Iterable[str]
LakePlace = str | os.PathLike[str] | LakeResource

# What `joined` adds to readings, under the names that it has in its own table.
_OF_STATION = ("label", "river", "lat", "long")
_OF_MEASURE = ("parameter", "qualifier", "unit")

# By these columns gauges are found: without the others a snapshot takes a quarter of the time.
_TO_FIND = {
    STATIONS.name: ("station_id", "label", "river"),
    MEASURES.name: ("measure_id", "station_id", "parameter", "qualifier"),
}

# What quality flags are made of.
_FOR_FLAGS = ("measure_id", "date_time", "value")

# What `load_changes` adds to readings, and the order in which it gives them.
_CHANGE = pa.field("change", pa.string(), nullable=False)
_BY_CHANGE = ("changed_at", *READINGS.key)

# How many unknown names are told one by one, and how many similar ones are shown of each.
_TOLD = 5
_SIMILAR = 4


class NothingFoundWarning(UserWarning):
    """The answer is empty, or holds less than was asked for; the message says why and what to do."""


class _RowsWanted(TypedDict, total=False):
    """The keywords of all loaders but `arrow`, for type checkers: each loader spells them out for people."""

    station: Texts | None
    river: Texts | None
    parameter: Texts | None
    measure: Texts | None
    columns: Texts | None
    lake: LakePlace | None
    now: Moment | None


class _ReadingsWanted(_RowsWanted, total=False):
    """Those of `load_readings`."""

    start: Moment | None
    end: Moment | None
    last: timedelta | None
    joined: bool
    flags: bool


class _CountsWanted(_RowsWanted, total=False):
    """Those of `load_completeness`."""

    start: Moment | None
    end: Moment | None
    last: timedelta | None
    joined: bool


class _LatenessWanted(_RowsWanted, total=False):
    """Those of `load_timeliness`."""

    joined: bool


class _ChangesWanted(_RowsWanted, total=False):
    """Those of `load_changes`."""

    since: Required[Moment | timedelta]
    joined: bool


def to_pandas(rows: pa.Table) -> "pd.DataFrame":
    """Convert rows to pandas: text as `str`, dates as datetime64, integers with nulls as Int32."""
    import pandas as pd  # noqa: PLC0415 - a run of the assets never needs it

    frame: pd.DataFrame = rows.to_pandas(date_as_object=False)
    for column in rows.schema:
        if column.type == pa.int32() and column.nullable:
            frame[column.name] = rows[column.name].to_pandas(types_mapper={pa.int32(): pd.Int32Dtype()}.get)
    return frame


@overload
def load_readings(*, arrow: Literal[False] = False, **wanted: Unpack[_ReadingsWanted]) -> "pd.DataFrame": ...


@overload
def load_readings(*, arrow: Literal[True], **wanted: Unpack[_ReadingsWanted]) -> pa.Table: ...


def load_readings(
    *,
    start: Moment | None = None,
    end: Moment | None = None,
    last: timedelta | None = None,
    station: Texts | None = None,
    river: Texts | None = None,
    parameter: Texts | None = None,
    measure: Texts | None = None,
    columns: Texts | None = None,
    joined: bool = False,
    flags: bool = False,
    arrow: bool = False,
    lake: LakePlace | None = None,
    now: Moment | None = None,
) -> "pd.DataFrame | pa.Table":
    """The readings with `start <= date_time < end`, never one older than 24 hours; each gauge's in order of time.

    Each of `station`, `river`, `parameter` and `measure` is one text or several, of which any may fit; of those that
    are given, all must. Labels, rivers and parameters are compared whole and without regard to case.

    Args:
        start: aware datetime, pandas Timestamp, or ISO text with a zone ("2026-11-21T09:00Z"); else 24 hours ago.
        end: likewise; else up to and including now.
        last: instead of `start`: this long before `end`, or before now.
        station: station_id or label, such as "Kingston". Many rain gauges share the label "Rainfall station".
        river: the station's river, such as "River Thames".
        parameter: what is measured, such as "level", "flow" or "rainfall", or the qualifier that narrows it, such as
            "Tidal Level" or "Groundwater".
        measure: measure_id.
        columns: only these, in this order; others are not decoded.
        joined: add label, river, lat and long of the station and parameter, qualifier and unit of the measure, from
            the newest snapshot; it also fills in a `station_id` that was not yet known when the reading was stored.
        flags: add what QARTOD's tests say of each reading: gross_range_flag, spike_flag, rate_of_change_flag,
            flat_line_flag and, as `flag`, the worst of them; 1 is pass, 2 not evaluated, 3 suspect or of high interest,
            4 fail, 9 missing (no value, or several). Values stay as they are, suspect or not. The flags are made on
            reading, from all that is retained of the gauge, so they do not depend on the time that is asked for, and
            may change when later readings have come: the newest is never evaluated for a spike. What they compare
            with is in `flood_assets.quality`.
        arrow: a `pyarrow.Table` instead of a `pandas.DataFrame`.
        lake: URL or path, or a `LakeResource` where S3 needs a profile or endpoint; else $FLOOD_LAKE_URL, else ./lake.
        now: what counts as now, as for `start`; else $FLOOD_NOW, else this machine's time.

    Returns:
        The columns of `flood_assets.schemas.READINGS`, then those of `joined` and of `flags`. In pandas, times are
        datetime64[ms, UTC], text is `str` and flags are int8.

    Raises:
        ValueError: a time without a zone or that is none, a range that ends before it starts, an unknown column.
        TypeError: an argument of another type than said here.
        LakeError: the lake could not be read.
    """
    schema = _readings_schema(joined=joined, flags=flags)
    names = _column_names(columns, schema, _remark(joined=joined, flags=flags))
    moment = _now(now)
    span = _Span.of(start, end, last, moment)
    notes: list[str] = []
    place = _Place.of(lake, moment, whole=joined or flags)
    rows = _readings(place, _Wanted.of(station, river, parameter, measure), span, names, notes)
    _warn(notes)
    return rows if arrow else to_pandas(rows)


@overload
def load_changes(*, arrow: Literal[False] = False, **wanted: Unpack[_ChangesWanted]) -> "pd.DataFrame": ...


@overload
def load_changes(*, arrow: Literal[True], **wanted: Unpack[_ChangesWanted]) -> pa.Table: ...


def load_changes(
    *,
    since: Moment | timedelta,
    station: Texts | None = None,
    river: Texts | None = None,
    parameter: Texts | None = None,
    measure: Texts | None = None,
    columns: Texts | None = None,
    joined: bool = False,
    arrow: bool = False,
    lake: LakePlace | None = None,
    now: Moment | None = None,
) -> "pd.DataFrame | pa.Table":
    """The readings that were first seen or corrected after `since`, by changed_at, measure_id and date_time.

    `since` is an aware datetime, a pandas Timestamp, or ISO text with a zone; a change at that very moment is not
    given. Or it is a timedelta: this long before now. All other arguments, and what is raised, are those of
    `load_readings`.

    One row a reading, as it is now. `change` is "new" when the reading was first seen after `since`, though it may have
    been corrected after that too (then `revision` is above 0), else "revised". A correction that came back to the old
    value is two revisions, and is given though `value` is what it was. `previous_value` is the value before the latest
    correction, which is the value at `since` only if there was one correction after it; it is null where the API had
    given no value then, or several. That a reading was given its station is no change.

    Only readings of the last 24 hours are kept: what changed of older ones is gone with them. That nothing changed
    is usual and brings no warning, also when nobody has refreshed the lake since.

    `changed_at` is when the API was asked; the reading is in the lake only once it has been stored, window by window,
    which may be minutes later. Who asks again and again should therefore let `since` reach back over the longest run,
    and pass over what is known by measure_id, date_time and changed_at.

    Returns:
        The columns of `flood_assets.schemas.READINGS`, then `change` (text), then those of `joined`.
    """
    names = _column_names(columns, _changes_schema(joined=joined), _remark(joined=joined))
    moment = _now(now)
    after = _since(since, moment)
    notes: list[str] = []
    place = _Place.of(lake, moment, whole=joined)
    rows = _changes(place, _Wanted.of(station, river, parameter, measure), after, names, notes)
    _warn(notes)
    return rows if arrow else to_pandas(rows)


@overload
def load_completeness(*, arrow: Literal[False] = False, **wanted: Unpack[_CountsWanted]) -> "pd.DataFrame": ...


@overload
def load_completeness(*, arrow: Literal[True], **wanted: Unpack[_CountsWanted]) -> pa.Table: ...


def load_completeness(
    *,
    start: Moment | None = None,
    end: Moment | None = None,
    last: timedelta | None = None,
    station: Texts | None = None,
    river: Texts | None = None,
    parameter: Texts | None = None,
    measure: Texts | None = None,
    columns: Texts | None = None,
    joined: bool = False,
    arrow: bool = False,
    lake: LakePlace | None = None,
    now: Moment | None = None,
) -> "pd.DataFrame | pa.Table":
    """How complete the readings are: one row a measure and hour, by window and then by measure_id.

    Readings expected, received, late, with several values, without one, and missing; and of the missing, how many the
    gauge did not send (`silent`), how many usually come later (`not_due`), and how many nobody asked for
    (`not_fetched`). It is counted from the readings as they are now, not read from the table `completeness`, which is
    as old as the last refresh. `start`, `end` and `last` choose the hours that they touch; all other arguments, and
    what is raised, are those of `load_readings`.

    Returns:
        The columns of `flood_assets.schemas.COMPLETENESS`, then those of `joined`.
    """
    names = _column_names(columns, _ledger_schema(COMPLETENESS, joined=joined), _remark(joined=joined))
    moment = _now(now)
    span = _Span.of(start, end, last, moment)
    notes: list[str] = []
    place = _Place.of(lake, moment, whole=joined)
    rows = _completeness(place, _Wanted.of(station, river, parameter, measure), span, names, notes)
    _warn(notes)
    return rows if arrow else to_pandas(rows)


@overload
def load_timeliness(*, arrow: Literal[False] = False, **wanted: Unpack[_LatenessWanted]) -> "pd.DataFrame": ...


@overload
def load_timeliness(*, arrow: Literal[True], **wanted: Unpack[_LatenessWanted]) -> pa.Table: ...


def load_timeliness(
    *,
    station: Texts | None = None,
    river: Texts | None = None,
    parameter: Texts | None = None,
    measure: Texts | None = None,
    columns: Texts | None = None,
    joined: bool = False,
    arrow: bool = False,
    lake: LakePlace | None = None,
    now: Moment | None = None,
) -> "pd.DataFrame | pa.Table":
    """How late each measure's readings usually show, its newest one and when the next is due: one row a measure.

    It is learnt from the readings as they are now, and remembered from the table `timeliness` where the day tells
    nothing. All arguments, and what is raised, are those of `load_readings`.

    Returns:
        The columns of `flood_assets.schemas.TIMELINESS`, then those of `joined`; by measure_id.
    """
    names = _column_names(columns, _ledger_schema(TIMELINESS, joined=joined), _remark(joined=joined))
    notes: list[str] = []
    place = _Place.of(lake, _now(now), whole=joined)
    rows = _timeliness(place, _Wanted.of(station, river, parameter, measure), names, notes)
    _warn(notes)
    return rows if arrow else to_pandas(rows)


@overload
def load_stations(*, arrow: Literal[False] = False, **wanted: Unpack[_RowsWanted]) -> "pd.DataFrame": ...


@overload
def load_stations(*, arrow: Literal[True], **wanted: Unpack[_RowsWanted]) -> pa.Table: ...


def load_stations(
    *,
    station: Texts | None = None,
    river: Texts | None = None,
    parameter: Texts | None = None,
    measure: Texts | None = None,
    columns: Texts | None = None,
    arrow: bool = False,
    lake: LakePlace | None = None,
    now: Moment | None = None,
) -> "pd.DataFrame | pa.Table":
    """The stations of the newest snapshot, by station_id: one row a station.

    `parameter` and `measure` choose the stations that measure such a thing. All arguments, and what is raised, are
    those of `load_readings`.

    Returns:
        The columns of `flood_assets.schemas.STATIONS`.
    """
    names = _column_names(columns, STATIONS.schema)
    notes: list[str] = []
    place = _Place.of(lake, _now(now), whole=True)
    rows = _snapshot(place, STATIONS, _Wanted.of(station, river, parameter, measure), notes).select(names)
    _warn(notes)
    return rows if arrow else to_pandas(rows)


@overload
def load_measures(*, arrow: Literal[False] = False, **wanted: Unpack[_RowsWanted]) -> "pd.DataFrame": ...


@overload
def load_measures(*, arrow: Literal[True], **wanted: Unpack[_RowsWanted]) -> pa.Table: ...


def load_measures(
    *,
    station: Texts | None = None,
    river: Texts | None = None,
    parameter: Texts | None = None,
    measure: Texts | None = None,
    columns: Texts | None = None,
    arrow: bool = False,
    lake: LakePlace | None = None,
    now: Moment | None = None,
) -> "pd.DataFrame | pa.Table":
    """The measures of the newest snapshot, by measure_id: one row for each quantity at each station.

    `station` and `river` choose the measures of such stations. All arguments, and what is raised, are those of
    `load_readings`.

    Returns:
        The columns of `flood_assets.schemas.MEASURES`; in pandas `period_s` is Int32, which has missing values.
    """
    names = _column_names(columns, MEASURES.schema)
    notes: list[str] = []
    place = _Place.of(lake, _now(now), whole=True)
    rows = _snapshot(place, MEASURES, _Wanted.of(station, river, parameter, measure), notes).select(names)
    _warn(notes)
    return rows if arrow else to_pandas(rows)


# -- what was asked for


@dataclass(frozen=True)
class _Wanted:
    """The names that were asked for; None where nothing was said."""

    station: tuple[str, ...] | None
    river: tuple[str, ...] | None
    parameter: tuple[str, ...] | None
    measure: tuple[str, ...] | None

    @classmethod
    def of(
        cls, station: Texts | None, river: Texts | None, parameter: Texts | None, measure: Texts | None
    ) -> "_Wanted":
        return cls(
            _texts("station", station),
            _texts("river", river),
            _texts("parameter", parameter),
            _texts("measure", measure),
        )

    @property
    def of_stations(self) -> bool:
        """Whether stations have to be looked up."""
        return self.station is not None or self.river is not None

    @property
    def of_measures(self) -> bool:
        """Whether something was said of measures."""
        return self.parameter is not None or self.measure is not None

    def __str__(self) -> str:
        given = {"station": self.station, "river": self.river, "parameter": self.parameter, "measure": self.measure}
        return ", ".join(f"{name} {_listed(texts)}" for name, texts in given.items() if texts is not None)


@dataclass(frozen=True)
class _Span:
    """`start <= time < end`; None where nothing was said."""

    start: datetime | None
    end: datetime | None

    @classmethod
    def of(cls, start: Moment | None, end: Moment | None, last: timedelta | None, now: datetime) -> "_Span":
        first = None if start is None else _moment("start", start)
        until = None if end is None else _moment("end", end)
        if last is not None:
            if first is not None:
                raise ValueError("start and last both say where to begin: give one of them")
            if not isinstance(last, timedelta):
                raise TypeError(f"last is {last!r}: expected a timedelta, such as timedelta(hours=3)")
            first = _before("last", last, until or now)
        if first is not None and until is not None and until < first:
            raise ValueError(f"start {_shown(first)} is after end {_shown(until)}")
        return cls(first, until)


def _now(now: Moment | None) -> datetime:
    return settings.now() if now is None else _moment("now", now)


def _since(since: Moment | timedelta, now: datetime) -> datetime:
    return _before("since", since, now) if isinstance(since, timedelta) else _moment("since", since)


def _before(name: str, ago: timedelta, moment: datetime) -> datetime:
    if ago < timedelta(0):
        raise ValueError(f"{name} is {ago}: it counts back, so it must not be negative")
    return moment - ago


def _moment(name: str, given: Moment) -> datetime:
    """A plain datetime in UTC."""
    if isinstance(given, str):
        try:
            moment = datetime.fromisoformat(given.strip())
        except ValueError:
            raise ValueError(f"{name} is '{given}': expected a time such as 2026-11-21T09:00Z") from None
    elif isinstance(given, datetime):
        moment = given
    else:
        raise TypeError(
            f"{name} is {given!r}: expected a datetime with a time zone, a pandas Timestamp with one, "
            "or text such as 2026-11-21T09:00Z"
        )
    if moment.tzinfo is None:
        raise ValueError(
            f"{name} is '{given}', which has no time zone: write '...Z' for UTC, or give a datetime with tzinfo"
        )
    found = utc(moment)
    # A pandas Timestamp is a datetime too, with nanoseconds that nothing else understands.
    return datetime(
        found.year, found.month, found.day, found.hour, found.minute, found.second, found.microsecond, tzinfo=UTC
    )


def _texts(name: str, given: Texts | None) -> tuple[str, ...] | None:
    """One text or several as several, each once."""
    if given is None:
        return None
    if isinstance(given, str):
        return (given,)
    texts = tuple(dict.fromkeys(given))
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"{name} has {text!r} among its values: expected text (.dropna() a pandas column)")
    return texts


def _readings_schema(*, joined: bool, flags: bool) -> pa.Schema:
    added = [*(_joined_fields() if joined else []), *(quality.SCHEMA if flags else [])]
    return pa.schema([*READINGS.schema, *added])


def _changes_schema(*, joined: bool) -> pa.Schema:
    return pa.schema([*READINGS.schema, _CHANGE, *(_joined_fields() if joined else [])])


def _ledger_schema(table: Table, *, joined: bool) -> pa.Schema:
    return pa.schema([*table.schema, *(_joined_fields() if joined else [])])


def _joined_fields() -> list[pa.Field]:
    return [STATIONS.schema.field(name) for name in _OF_STATION] + [MEASURES.schema.field(n) for n in _OF_MEASURE]


def _remark(*, joined: bool, flags: bool = True) -> str:
    more = [f"{name}=True" for name, given in (("joined", joined), ("flags", flags)) if not given]
    return f" (others come with {' and '.join(more)})" if more else ""


def _column_names(columns: Texts | None, schema: pa.Schema, remark: str = "") -> list[str]:
    chosen = _texts("columns", columns)
    if chosen is None:
        return list(schema.names)
    if not chosen:
        raise ValueError(f"columns is empty: choose from {', '.join(schema.names)}{remark}")
    unknown = [name for name in chosen if name not in schema.names]
    if unknown:
        raise ValueError(f"no column {_listed(unknown)}: there are {', '.join(schema.names)}{remark}")
    return list(chosen)


# -- where it is


@dataclass
class _Place:
    """A lake at a moment, and its newest snapshots once they were needed. Looking makes no folder.

    Attributes:
        url: where it is.
        now: the moment.
        lake: None when there is none.
        whole: whether snapshots are wanted with all columns, or only with those by which gauges are found.
    """

    url: str
    now: datetime
    lake: Lake | None
    whole: bool
    _snapshots: dict[str, pa.Table | None] = field(default_factory=dict)

    @classmethod
    def of(cls, lake: LakePlace | None, now: datetime, *, whole: bool) -> "_Place":
        url = lake.lake_url if isinstance(lake, LakeResource) else _url(lake) or settings.lake_url()
        parts = urlsplit(url)
        # Opening a lake makes its folder, and a mistyped path should not leave one behind.
        absent = parts.scheme == "file" and not Path(url2pathname(parts.path)).is_dir()
        if absent:
            return cls(url, now, None, whole)
        if isinstance(lake, LakeResource):
            return cls(url, now, lake.open(), whole)
        # The resource brings S3's credentials; for all else making one takes longer than opening the lake.
        opened = LakeResource(url=url).open() if parts.scheme == "s3" else Lake.open(url)
        return cls(url, now, opened, whole)

    def snapshot(self, table: Table) -> pa.Table | None:
        """The newest snapshot; None when there is none."""
        if self.lake is None:
            return None
        if table.name not in self._snapshots:
            columns = None if self.whole else _TO_FIND[table.name]
            self._snapshots[table.name] = self.lake.newest_snapshot(table, self.now, columns=columns)
        return self._snapshots[table.name]

    def why_nothing(self, table: Table) -> str:
        """Why a table has no rows; empty when it has a window that is not expired."""
        stored = [] if self.lake is None else self.lake.windows(table)
        fill = f"run `FLOOD_LAKE_URL={self.url} flood-assets refresh`"
        if self.lake is None:
            return f"there is no lake at {self.url}: {fill}, or say with FLOOD_LAKE_URL or lake= where it is"
        if not stored:
            return f"the lake {self.url} has no {table.name} yet: {fill}"
        newest = stored[-1].window
        if is_expired(newest, self.now):
            return f"the newest {table.name} of the lake {self.url} are of {_shown(newest)}, over a day ago: {fill}"
        if stored[0].window > self.now:
            return f"the lake {self.url} begins at {_shown(stored[0].window)}, after now, which is {_shown(self.now)}"
        return ""


def _url(lake: str | os.PathLike[str] | None) -> str:
    """A URL as it is, a path as one; nothing for the lake of the settings."""
    if lake is None or lake == "":
        return ""
    if isinstance(lake, str) and "://" in lake:
        return lake
    return Path(lake).expanduser().absolute().as_uri()


# -- reading


def _readings(place: _Place, wanted: _Wanted, span: _Span, names: list[str], notes: list[str]) -> pa.Table:
    """The readings that were asked for, with columns of the stations and measures where `names` has such."""
    flagged = not set(quality.SCHEMA.names).isdisjoint(names)
    # A flag follows from what stands around a reading, and must not change with the time that is asked for.
    around = _Span(None, None) if flagged else span
    needed = [*names, *_FOR_FLAGS] if flagged else names
    rows = _own_columns(place, wanted, around, needed, notes)
    if rows is None:
        return _readings_schema(joined=True, flags=True).empty_table().select(names)
    if flagged:
        rows = _within(_with_flags(place, rows, notes), span)
    if _joins(names):
        rows = _with_gauges(place, rows, notes)
    _note_missing_time(place, span, wanted, rows, notes)
    return rows.select(names)


def _changes(place: _Place, wanted: _Wanted, since: datetime, names: list[str], notes: list[str]) -> pa.Table:
    """Of the readings that were asked for, those that changed after `since`, likewise."""
    needed = [*names, *_BY_CHANGE, *(["first_seen_at"] if _CHANGE.name in names else [])]
    # A reading of any hour may have been corrected just now: every retained window has to be looked at.
    kept = _own_columns(place, wanted, _Span(None, None), needed, notes)
    if kept is None:
        return _changes_schema(joined=True).empty_table().select(names)
    rows = kept.filter(pc.greater(kept["changed_at"], since))
    rows = rows.sort_by([(name, "ascending") for name in _BY_CHANGE])
    if _CHANGE.name in names:
        rows = rows.append_column(_CHANGE, pc.if_else(pc.greater(rows["first_seen_at"], since), "new", "revised"))
    if _joins(names):
        rows = _with_gauges(place, rows, notes)
    _note_missing_changes(place, since, kept, notes)
    return rows.select(names)


def _joins(names: Iterable[str]) -> bool:
    return not {*_OF_STATION, *_OF_MEASURE}.isdisjoint(names)


def _own_columns(
    place: _Place, wanted: _Wanted, span: _Span, names: Sequence[str], notes: list[str]
) -> pa.Table | None:
    """Of the readings that were asked for, those of `names` that are stored, and what it takes to join the others.

    None when there is no lake or no such gauge, which the notes then tell.
    """
    ids = _ids(place, wanted, notes)
    if place.lake is None or (ids is not None and not ids and wanted.measure != ()):
        return None
    own = [name for name in names if name in READINGS.schema.names]
    needed = [*own, *(["measure_id", "station_id"] if _joins(names) else ["measure_id"] if ids is not None else [])]
    rows = place.lake.read(
        READINGS, span.start, span.end, now=place.now, columns=list(dict.fromkeys(needed)), measure_ids=ids
    )
    if ids is not None and ids is wanted.measure:
        _note_unknown_measures(place, wanted.measure, rows, notes)
    return rows


def _ids(place: _Place, wanted: _Wanted, notes: list[str]) -> Sequence[str] | None:
    """The measures that were asked for, None for all; the notes tell when there is no lake or no such gauge."""
    if place.lake is None:
        notes.append(place.why_nothing(READINGS))
        return ()
    if wanted.of_stations or wanted.parameter is not None:
        chosen: list[str] = _snapshot(place, MEASURES, wanted, notes)["measure_id"].to_pylist()
        return chosen
    return wanted.measure


def _completeness(place: _Place, wanted: _Wanted, span: _Span, names: list[str], notes: list[str]) -> pa.Table:
    """The counts of the hours that the span touches."""
    account = _account(place, wanted, notes)
    windows = [] if account is None else list(account.windows)
    chosen = [
        account.windows[window]
        for window in windows
        if account and (not span.start or window + WINDOW > span.start) and (not span.end or window < span.end)
    ]
    rows = pa.concat_tables([COMPLETENESS.schema.empty_table(), *chosen])
    _note_missing_time(place, span, wanted, rows, notes)
    return _joined_to(place, rows, names, notes)


def _timeliness(place: _Place, wanted: _Wanted, names: list[str], notes: list[str]) -> pa.Table:
    account = _account(place, wanted, notes)
    return _joined_to(place, TIMELINESS.schema.empty_table() if account is None else account.timeliness, names, notes)


def _account(place: _Place, wanted: _Wanted, notes: list[str]) -> Account | None:
    """The ledger of the gauges that were asked for; None when there is none, which the notes then tell."""
    ids = _ids(place, wanted, notes)
    if place.lake is None or (ids is not None and not ids):
        return None
    account = take(place.lake, place.now, measure_ids=ids)
    if account.lost:
        notes.append(f"{len(account.lost)} windows of readings are damaged and count as not fetched: run doctor")
    if ids is wanted.measure and wanted.measure is not None:
        _note_unknown_measures(place, wanted.measure, account.timeliness, notes)
    return account


def _joined_to(place: _Place, rows: pa.Table, names: list[str], notes: list[str]) -> pa.Table:
    return (_with_gauges(place, rows, notes) if _joins(names) else rows).select(names)


def _with_flags(place: _Place, rows: pa.Table, notes: list[str]) -> pa.Table:
    """The readings with their quality flags, by what the newest snapshots know of their measure and station."""
    measures, stations = (_snapshot_to_join(place, table, notes) for table in (MEASURES, STATIONS))
    flags = quality.flags(rows, measures, stations)
    for name in flags.column_names:
        rows = rows.append_column(flags.schema.field(name), flags[name])
    return rows


def _within(rows: pa.Table, span: _Span) -> pa.Table:
    """Those of the rows that were asked for."""
    if span.start is not None:
        rows = rows.filter(pc.greater_equal(rows["date_time"], span.start))
    if span.end is not None:
        rows = rows.filter(pc.less(rows["date_time"], span.end))
    return rows


def _with_gauges(place: _Place, rows: pa.Table, notes: list[str]) -> pa.Table:
    """The readings with what the newest snapshots know of their measure and station."""
    measures, stations = (_snapshot_to_join(place, table, notes) for table in (MEASURES, STATIONS))
    at = pc.index_in(rows["measure_id"], value_set=measures["measure_id"].combine_chunks())
    # The snapshot may have come after the reading was stored.
    station = pc.coalesce(measures["station_id"].take(at), rows["station_id"])
    rows = rows.set_column(rows.schema.get_field_index("station_id"), READINGS.schema.field("station_id"), station)
    for name in _OF_MEASURE:
        rows = rows.append_column(MEASURES.schema.field(name), measures[name].take(at))
    at = pc.index_in(station, value_set=stations["station_id"].combine_chunks())
    for name in _OF_STATION:
        rows = rows.append_column(STATIONS.schema.field(name), stations[name].take(at))
    return rows


def _snapshot_to_join(place: _Place, table: Table, notes: list[str]) -> pa.Table:
    found = place.snapshot(table)
    if found is not None:
        return found
    note = f"nothing can be joined from {table.name}: {place.why_nothing(table) or 'see the log'}"
    if note not in notes:
        notes.append(note)
    return table.schema.empty_table()


def _snapshot(place: _Place, table: Table, wanted: _Wanted, notes: list[str]) -> pa.Table:
    """The rows of the newest `stations` or `measures` that were asked for."""
    nothing = table.schema.empty_table()
    other = MEASURES if table is STATIONS else STATIONS
    across = wanted.of_measures if table is STATIONS else wanted.of_stations
    snapshots: dict[str, pa.Table] = {}
    for each in (STATIONS, MEASURES) if across else (table,):
        found = place.snapshot(each)
        if found is None:
            notes.append(place.why_nothing(each) or f"no window of {each.name} can be read: see the log")
            return nothing
        snapshots[each.name] = found
    known = len(notes)
    chosen = {name: _chosen(rows, wanted, notes) for name, rows in snapshots.items()}
    rows = chosen[table.name]
    if across:
        rows = rows.filter(_is_in(rows["station_id"], chosen[other.name]["station_id"]))
    if not len(rows) and len(notes) == known:
        together = f"nothing fits all of {wanted}, though each is known"
        notes.append(together if str(wanted) else f"the newest snapshot of {table.name} has no rows")
    return rows


def _chosen(rows: pa.Table, wanted: _Wanted, notes: list[str]) -> pa.Table:
    """Of one snapshot, the rows that have the wanted names; a note for each name that none has."""
    if "label" in rows.column_names:
        fits = [
            _named(rows, "station", wanted.station, ["station_id"], ["label"], notes),
            _named(rows, "river", wanted.river, [], ["river"], notes),
        ]
    else:
        fits = [
            _named(rows, "parameter", wanted.parameter, [], ["parameter", "qualifier"], notes),
            _named(rows, "measure", wanted.measure, ["measure_id"], [], notes),
        ]
    return rows.filter(pa.array(np.logical_and(*fits)))


def _named(
    rows: pa.Table,
    what: str,
    texts: tuple[str, ...] | None,
    ids: list[str],
    labels: list[str],
    notes: list[str],
) -> npt.NDArray[np.bool_]:
    """Whether each row has one of the texts, as it stands in the columns `ids` or but for case in those of `labels`."""
    if texts is None:
        return np.ones(len(rows), np.bool_)
    if not texts:
        notes.append(f"{what} is an empty list, which nothing is in")
    wanted, folded = set(texts), {_folded(text) for text in texts}
    fits, met = np.zeros(len(rows), np.bool_), set[str]()
    for name in (*ids, *labels):
        # Each text once, however many rows have it.
        coded = pa.concat_arrays([pa.array([], pa.string()), *rows[name].chunks]).dictionary_encode()
        given = coded.dictionary.to_pylist()
        hits = [wanted & {text} if name in ids else folded & _spellings(text) for text in given]
        met.update(*hits)
        has = np.array([*map(bool, hits), False])
        fits |= has[coded.indices.fill_null(-1).to_numpy()]
    unknown = [text for text in texts if text not in met and _folded(text) not in met]
    if unknown:
        known = [given for name in (*labels, *ids) for given in sorted(rows[name].drop_null().unique().to_pylist())]
        notes.extend(_unknown(what, unknown, known))
    return fits


def _spellings(given: str) -> set[str]:
    """How a label may be called: the API has some with several names, which the lake joins with `|`."""
    return {_folded(part) for part in (given, *given.split("|"))}


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _is_in(values: pa.ChunkedArray, among: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.is_in(values, value_set=among.drop_null().combine_chunks())


# -- what is told


def _unknown(what: str, texts: Sequence[str], known: Iterable[str]) -> list[str]:
    """A note for each name that nothing has, with those that look like it."""
    names: dict[str, str] = {_folded(name): name for name in known}
    notes = []
    for text in texts[:_TOLD]:
        folded = _folded(text)
        holding = sorted((name for name in names if folded and folded in name), key=len)
        close = difflib.get_close_matches(folded, names, n=_SIMILAR)
        similar = [names[name] for name in dict.fromkeys([*close, *holding])][:_SIMILAR]
        if not similar and len(names) <= 20:
            similar = list(names.values())
        hint = f"there is {_listed(similar)}" if similar else f"nor anything like it, among {len(names):,} names"
        notes.append(f"no {what} is called '{text}'; {hint}")
    if len(texts) > _TOLD:
        notes.append(f"{len(texts) - _TOLD:,} more names of {what} are unknown")
    return notes


def _note_unknown_measures(place: _Place, measures: Sequence[str], rows: pa.Table, notes: list[str]) -> None:
    """A note for each measure without a reading that no snapshot knows either."""
    met = set(pc.unique(rows["measure_id"]).to_pylist())
    silent = [measure for measure in measures if measure not in met]
    if not measures:
        notes.append("measure is an empty list, which nothing is in")
    if not silent:
        return
    snapshot = place.snapshot(MEASURES)
    known = set() if snapshot is None else set(snapshot["measure_id"].to_pylist())
    unknown = [measure for measure in silent if measure not in known]
    if unknown and (known or not place.why_nothing(READINGS)):
        notes.extend(_unknown("measure", unknown, sorted(known)))


def _note_missing_time(place: _Place, span: _Span, wanted: _Wanted, rows: pa.Table, notes: list[str]) -> None:
    """A note when hours were asked for that are not kept, or when there is nothing and nothing says why."""
    edge = cutoff(place.now)
    if span.start is not None and span.start > place.now:
        notes.append(f"start {_shown(span.start)} is after now, which is {_shown(place.now)}")
    elif span.end is not None and span.end <= edge:
        notes.append(f"end {_shown(span.end)} is over a day ago: readings up to {_shown(edge)} are deleted")
    elif span.start is not None and span.start < edge:
        notes.append(f"start {_shown(span.start)} is over a day ago: readings up to {_shown(edge)} are deleted")
    if len(rows) or notes:
        return
    if why := place.why_nothing(READINGS):
        notes.append(why)
        return
    of = f" for {wanted}" if str(wanted) else ""
    first, until = span.start or edge, span.end or place.now
    notes.append(f"no readings{of} from {_shown(first)} to {_shown(until)}: the gauges may be late or silent")


def _note_missing_changes(place: _Place, since: datetime, kept: pa.Table, notes: list[str]) -> None:
    """A note when changes were asked for that are not kept, or when there was nothing that could have changed."""
    if not len(kept) and not notes and (why := place.why_nothing(READINGS)):
        notes.append(why)
    edge = cutoff(place.now)
    if since > place.now:
        notes.append(f"since {_shown(since)} is after now, which is {_shown(place.now)}")
    elif since < edge:
        notes.append(
            f"since {_shown(since)} is over a day ago: only the last 24 hours are kept, "
            f"and readings up to {_shown(edge)} are deleted with their changes"
        )


def _warn(notes: Sequence[str]) -> None:
    """Say it at the line that called the public function."""
    for note in notes:
        warnings.warn(note, NothingFoundWarning, stacklevel=3)


def _listed(texts: Sequence[str]) -> str:
    shown = ", ".join(f"'{text}'" for text in texts[:_TOLD])
    return f"{shown} and {len(texts) - _TOLD:,} more" if len(texts) > _TOLD else shown


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%MZ}"
