"""Answer questions about the lake, each by a function from plain arguments to a `Result`.

`readings` explains the arguments, which are the same for all. Gauges are chosen by `flood_assets.query.filters`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Unpack

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets import quality
from flood_assets.ledger.account import Account, take
from flood_assets.partitions import cutoff
from flood_assets.query import filters
from flood_assets.query.filters import Duration, GaugeFilters, Gauges, Moment, Span, Texts, shown
from flood_assets.query.names import nothing_given, suggestions
from flood_assets.query.place import LakePlace, Place
from flood_assets.schemas import COMPLETENESS, MEASURES, READINGS, STATIONS, TIMELINESS, Table
from flood_assets.words import counted

# The columns that `joined` adds, under the names that they have in their own table.
_OF_STATION = [STATIONS.schema.field(name) for name in ("label", "river", "lat", "long")]
_OF_MEASURE = [MEASURES.schema.field(name) for name in ("parameter", "qualifier", "unit")]

# The column that `changes` adds, and the order of its rows.
_CHANGE = pa.field("change", pa.string(), nullable=False)
_BY_CHANGE = ("changed_at", *READINGS.key)

# For notes: until when.
_LOST = "readings up to {} are deleted"


@dataclass(frozen=True)
class Result:
    """The answer to a question.

    Attributes:
        rows: the answer; an empty one has its columns.
        notes: why it is empty, or less than was asked for, and what to do; empty when there is nothing to say.
    """

    rows: pa.Table
    notes: list[str]


def readings(
    lake: LakePlace,
    now: Moment,
    *,
    start: Moment | None = None,
    end: Moment | None = None,
    last: Duration | None = None,
    columns: Texts | None = None,
    joined: bool = False,
    flags: bool = False,
    **gauges: Unpack[GaugeFilters],
) -> Result:
    """Return readings with `start <= date_time < end`, never older than 24 hours, and each gauge's in order of time.

    Each of the filters, such as `station` and `river`, is one text or several, of which any may match; of those that
    are given, all must. Names are compared whole and without regard to case. A name that nothing is called matches
    by its words instead ("Thames" finds "River Thames"), and a note says what was matched.

    Args:
        lake: URL, path, open `Lake`, or an object that opens one, such as `LakeResource`.
        now: a time, as `start`, that decides what is retained.
        start: aware datetime, pandas Timestamp, or ISO text with a zone ("2026-11-21T09:00Z"); else 24 hours ago.
        end: likewise; else up to and including now.
        last: instead of `start`: this long before `end`, or before now; a timedelta, or text such as "3h", "90min",
            "1 day 02:00:00" or "PT3H", as pandas.Timedelta takes it.
        columns: only these, in this order; others are not decoded.
        joined: add label, river, lat and long of the station and parameter, qualifier and unit of the measure, from
            the newest snapshot; also fill in each `station_id` that was not yet known when the reading was stored.
        flags: add the results of QARTOD's tests: gross_range_flag, spike_flag, rate_of_change_flag, flat_line_flag
            and, as `flag`, the worst of them; 1 is pass, 2 not evaluated, 3 suspect or of high interest, 4 fail, 9
            missing (no value, or several). Values stay as they are. The flags are computed on reading, from all that
            is retained of the gauge, so they do not depend on the time that is asked for, and may change when later
            readings come: the newest is never evaluated for a spike. Thresholds are in `flood_assets.quality`.
        **gauges: None for all gauges, else
            station: station_id or label, such as "Kingston"; or else the number of the station's public page
                (`rloi_id`), `wiski_id` or `station_reference`. Many rain gauges share the label "Rainfall station".
            river: the station's river, such as "River Thames".
            catchment: the station's catchment, such as "Cotswolds".
            town: the nearest town.
            parameter: "level", "flow", "rainfall", ..., or the qualifier that narrows it, such as "Tidal Level".
            measure: measure_id.

    Returns:
        The columns of `flood_assets.schemas.READINGS`, then those of `joined` and of `flags`.

    Raises:
        ValueError: a time without a zone or that is none, a range that ends before it starts, an unknown column.
        TypeError: an argument of another type or name.
        LakeError: the lake could not be read.
    """
    now = filters.moment("now", now)
    span = Span.of(start, end, last, now)
    asked = _Question.of(lake, now, gauges, READINGS.schema, columns, joined=joined, flags=flags)
    if flags:
        # A flag depends on the readings around it, and must not change with the time that is asked for.
        rows = asked.stored(Span(), "measure_id", "date_time", "value")
        found = quality.flags(rows, *asked.to_join(rows))
        for each in quality.SCHEMA:
            rows = rows.append_column(each, found[each.name])
        rows = span.cut(rows)
    else:
        rows = asked.stored(span)
    rows = asked.with_gauges(rows)
    asked.note_missing(rows, span)
    return asked.answer(rows)


def changes(
    lake: LakePlace,
    now: Moment,
    *,
    since: Moment | Duration,
    columns: Texts | None = None,
    joined: bool = False,
    **gauges: Unpack[GaugeFilters],
) -> Result:
    """Return the readings that were first seen or corrected after `since`, by changed_at, measure_id and date_time.

    `since` is a time, which itself is excluded, or a duration, as `last`: this long before now. All other arguments,
    and the errors, are those of `readings`.

    One row a reading, as it is now. `change` is "new" when it was first seen after `since`, even if it was corrected
    after that too (`revision` is above 0), else "revised". A correction back to the old value is two revisions.
    `previous_value` is the value before the latest correction only; null where the API had given none then, or several.
    A reading that was only given its station did not change. Readings older than 24 hours are deleted with their
    changes. That nothing changed is usual and brings no note.

    `changed_at` is when the API was asked; the reading is in the lake only once it has been stored, which may be
    minutes later. Readers who poll should let `since` reach back over the longest run, and skip what they know by
    measure_id, date_time and changed_at.

    Returns:
        The columns of `flood_assets.schemas.READINGS`, then `change` (text), then those of `joined`.
    """
    now = filters.moment("now", now)
    after = filters.since(since, now)
    asked = _Question.of(lake, now, gauges, [*READINGS.schema, _CHANGE], columns, joined=joined)
    # A reading of any hour may have been corrected just now, so every retained window is read.
    kept = asked.stored(Span(), "first_seen_at", *_BY_CHANGE)
    rows = kept.filter(pc.greater(kept["changed_at"], after)).sort_by([(name, "ascending") for name in _BY_CHANGE])
    rows = rows.append_column(_CHANGE, pc.if_else(pc.greater(rows["first_seen_at"], after), "new", "revised"))
    rows = asked.with_gauges(rows)
    asked.note_time(kept, "since", after, lost=f"only the last 24 hours are kept, and {_LOST} with their changes")
    return asked.answer(rows)


def completeness(
    lake: LakePlace,
    now: Moment,
    *,
    start: Moment | None = None,
    end: Moment | None = None,
    last: Duration | None = None,
    columns: Texts | None = None,
    joined: bool = False,
    **gauges: Unpack[GaugeFilters],
) -> Result:
    """Count expected, received and missing readings per measure and hour, with the cause of each gap.

    Readings are expected, received, late, with several values, without one, and missing; of the missing, the gauge did
    not send some (`silent`), some usually come later (`not_due`), and some were not asked for (`not_fetched`). All is
    counted from the readings as they are now, not read from the table `completeness`, which is as old as the last
    refresh. `start`, `end` and `last` choose the hours that they touch; all other arguments, and the errors, are those
    of `readings`.

    Returns:
        The columns of `flood_assets.schemas.COMPLETENESS`, then those of `joined`; by window_start and measure_id.
    """
    now = filters.moment("now", now)
    span = Span.of(start, end, last, now)
    asked = _Question.of(lake, now, gauges, COMPLETENESS.schema, columns, joined=joined)
    account = asked.account()
    counts = [] if account is None else [rows for window, rows in account.windows.items() if span.touches(window)]
    rows = pa.concat_tables([COMPLETENESS.schema.empty_table(), *counts])
    asked.note_missing(rows, span)
    return asked.answer(asked.with_gauges(rows))


def timeliness(
    lake: LakePlace, now: Moment, *, columns: Texts | None = None, joined: bool = False, **gauges: Unpack[GaugeFilters]
) -> Result:
    """Return each measure's usual delay, its newest reading and when the next is due: one row a measure, by measure_id.

    It is learnt from the readings as they are now, and remembered from the table `timeliness` where the day tells
    nothing. All arguments, and the errors, are those of `readings`.

    Returns:
        The columns of `flood_assets.schemas.TIMELINESS`, then those of `joined`.
    """
    now = filters.moment("now", now)
    asked = _Question.of(lake, now, gauges, TIMELINESS.schema, columns, joined=joined)
    account = asked.account()
    rows = TIMELINESS.schema.empty_table() if account is None else account.timeliness
    return asked.answer(asked.with_gauges(rows))


def stations(lake: LakePlace, now: Moment, *, columns: Texts | None = None, **gauges: Unpack[GaugeFilters]) -> Result:
    """Return the stations of the newest snapshot, by station_id, with the columns of `flood_assets.schemas.STATIONS`.

    `parameter` and `measure` choose the stations that have such a measure. All arguments, and the errors, are those of
    `readings`.
    """
    return _snapshot(STATIONS, lake, now, columns, gauges)


def measures(lake: LakePlace, now: Moment, *, columns: Texts | None = None, **gauges: Unpack[GaugeFilters]) -> Result:
    """Return the measures of the newest snapshot, by measure_id, with the columns of `flood_assets.schemas.MEASURES`.

    `station`, `river`, `catchment` and `town` choose the measures at such stations. All arguments, and the errors, are
    those of `readings`.
    """
    return _snapshot(MEASURES, lake, now, columns, gauges)


def _snapshot(table: Table, lake: LakePlace, now: Moment, columns: Texts | None, gauges: GaugeFilters) -> Result:
    asked = _Question.of(lake, filters.moment("now", now), gauges, table.schema, columns, whole=True)
    return asked.answer(asked.snapshot(table))


@dataclass(frozen=True)
class _Question:
    """A lake at a moment, the gauges and columns that are asked for, and the notes so far."""

    place: Place
    gauges: Gauges
    names: Sequence[str]
    joined: bool
    notes: list[str] = field(default_factory=list)
    # What was found though it is not called as it was asked for: told as well, and no reason for an empty answer.
    matched: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        lake: LakePlace,
        now: datetime,
        gauges: GaugeFilters,
        own: Iterable[pa.Field],
        columns: Texts | None,
        *,
        joined: bool = False,
        flags: bool = False,
        whole: bool = False,
    ) -> "_Question":
        names = [each.name for each in own]
        if joined:
            names += [each.name for each in (*_OF_STATION, *_OF_MEASURE)]
        if flags:
            names += quality.SCHEMA.names
        more = [] if whole else [option for option, given in (("joined", joined), ("flags", flags)) if not given]
        names = filters.columns(columns, names, more)
        chosen = Gauges.of(gauges)
        place = Place.of(lake, now, None if whole or joined or flags else chosen.columns)
        return cls(place, chosen, names, joined)

    def answer(self, rows: pa.Table) -> Result:
        return Result(rows.select(self.names), [*self.matched, *self.notes])

    def measure_ids(self) -> Sequence[str] | None:
        """Return the ids of the measures that are asked for, None for all; note why there are none."""
        if self.place.lake is None:
            self.notes.append(self.place.why_nothing(READINGS))
            return ()
        if not self.gauges.only_measures:
            found: list[str] = self.snapshot(MEASURES)["measure_id"].to_pylist()
            return found
        ids = self.gauges.texts.get("measure")
        if ids == ():
            self.notes.append(nothing_given("measure"))
        return ids

    def stored(self, span: Span, *more: str) -> pa.Table:
        """Return the stored readings with the columns that are asked for, `more`, and those that a join needs."""
        ids = self.measure_ids()
        if self.place.lake is None or (ids is not None and not ids):
            return READINGS.schema.empty_table()
        keys = ["measure_id", "station_id"] if self.joined else [] if ids is None else ["measure_id"]
        own = [name for name in (*self.names, *more, *keys) if name in READINGS.schema.names]
        columns = list(dict.fromkeys(own))
        now = self.place.now
        rows = self.place.lake.read(READINGS, span.start, span.end, now=now, columns=columns, measure_ids=ids)
        self.note_unknown_measures(rows)
        return rows

    def account(self) -> Account | None:
        """Return the ledger of the gauges; None without a lake or gauges, which is noted."""
        ids = self.measure_ids()
        if self.place.lake is None or (ids is not None and not ids):
            return None
        account = take(self.place.lake, self.place.now, measure_ids=ids)
        if account.lost:
            lost = f"{counted(len(account.lost), 'damaged window')} of readings: what was in them counts as not fetched"
            self.notes.append(f"{lost}: run `flood-assets doctor`")
        self.note_unknown_measures(account.timeliness)
        return account

    def snapshot(self, table: Table) -> pa.Table:
        """Return the rows of the newest `stations` or `measures` that match all filters; note why there are none."""
        other = MEASURES if table is STATIONS else STATIONS
        tables = (STATIONS, MEASURES) if self.gauges.concern(other) else (table,)
        for each in tables:
            if self.place.snapshot(each) is None:
                self.notes.append(self.place.why_no_snapshot(each))
                return table.schema.empty_table()
        before = len(self.notes)
        chosen = {
            each.name: self.gauges.choose(each, self.place.snapshot(each), self.notes, self.matched) for each in tables
        }
        rows = chosen[table.name]
        if other.name in chosen:
            there = chosen[other.name]["station_id"].drop_null().combine_chunks()
            rows = rows.filter(pc.is_in(rows["station_id"], value_set=there))
        if not len(rows) and len(self.notes) == before:
            together = f"no gauge matches all of {self.gauges}, though each name is known"
            self.notes.append(together if self.gauges.texts else f"the newest snapshot of {table.name} has no rows")
        return rows

    def to_join(self, rows: pa.Table) -> tuple[pa.Table, pa.Table]:
        """Return the newest measures and stations; empty where there is no snapshot, which is noted if rows need it."""
        found = []
        for table in (MEASURES, STATIONS):
            snapshot = self.place.snapshot(table)
            if snapshot is None and len(rows):
                note = f"nothing can be joined from {table.name}: {self.place.why_no_snapshot(table)}"
                self.notes.extend({note} - {*self.notes})
            found.append(table.schema.empty_table() if snapshot is None else snapshot)
        return found[0], found[1]

    def with_gauges(self, rows: pa.Table) -> pa.Table:
        """Add what the newest snapshots know of each row's measure and station, if that was asked for."""
        if not self.joined:
            return rows
        measures, stations = self.to_join(rows)
        at = pc.index_in(rows["measure_id"], value_set=measures["measure_id"].combine_chunks())
        # The snapshot may be newer than the row, and know a station that was unknown then.
        station = pc.coalesce(measures["station_id"].take(at), rows["station_id"])
        rows = rows.set_column(rows.schema.get_field_index("station_id"), READINGS.schema.field("station_id"), station)
        for each in _OF_MEASURE:
            rows = rows.append_column(each, measures[each.name].take(at))
        at = pc.index_in(station, value_set=stations["station_id"].combine_chunks())
        for each in _OF_STATION:
            rows = rows.append_column(each, stations[each.name].take(at))
        return rows

    def note_unknown_measures(self, rows: pa.Table) -> None:
        """Note each measure_id that has no row and is in no snapshot."""
        asked = self.gauges.texts.get("measure", ()) if self.gauges.only_measures else ()
        met = set(pc.unique(rows["measure_id"]).to_pylist()) if asked else set()
        silent = [measure for measure in asked if measure not in met]
        if not silent:
            return
        snapshot = self.place.snapshot(MEASURES)
        known = set() if snapshot is None else set(snapshot["measure_id"].to_pylist())
        unknown = [measure for measure in silent if measure not in known]
        if unknown and (known or not self.place.why_nothing(READINGS)):
            self.notes.extend(suggestions("measure", unknown, sorted(known)))

    def note_missing(self, rows: pa.Table, span: Span) -> None:
        """Note hours that are not retained, and why there is nothing."""
        self.note_time(rows, "start", span.start, span.end)
        if not len(rows) and not self.notes:
            of = f" for {self.gauges}" if self.gauges.texts else ""
            first, until = span.start or cutoff(self.place.now), span.end or self.place.now
            self.notes.append(
                f"no readings{of} from {shown(first)} to {shown(until)}: the gauges may be late or silent"
            )

    def note_time(
        self, rows: pa.Table, name: str, start: datetime | None, end: datetime | None = None, *, lost: str = _LOST
    ) -> None:
        """Note why the lake has no rows, and a time that is not retained, or is yet to come."""
        if not len(rows) and not self.notes and (why := self.place.why_nothing(READINGS)):
            self.notes.append(why)
        now, edge = self.place.now, cutoff(self.place.now)
        past = f"is over a day ago: {lost.format(shown(edge))}"
        if start is not None and start > now:
            self.notes.append(f"{name} {shown(start)} is after now, which is {shown(now)}")
        elif end is not None and end <= edge:
            self.notes.append(f"end {shown(end)} {past}")
        elif start is not None and start < edge:
            self.notes.append(f"{name} {shown(start)} {past}")
