"""Answer a request with the rows of a table, from a snapshot, at a moment.

What is asked most (readings, latest, stations) is answered from the snapshot's columns; the rest by
`flood_assets.query` on its frozen lake, or by the same rules.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets import quality, query
from flood_assets.grouping import Blocks, CodedPiece, Ints
from flood_assets.ledger.account import Account, take
from flood_assets.partitions import RETENTION, WINDOW, cutoff, from_ms, to_ms, window_of
from flood_assets.query import filters
from flood_assets.query.filters import Span
from flood_assets.query.question import LOST
from flood_assets.query.survey import judge
from flood_assets.schemas import (
    ALERTS,
    COMPLETENESS,
    CONDITIONS,
    MEASURES,
    READINGS,
    STATIONS,
    TIMELINESS,
    WARNINGS,
    Table,
)
from flood_assets.serve import asked
from flood_assets.serve.choosing import Chosen, chosen, mask
from flood_assets.serve.errors import valid
from flood_assets.serve.formats import json_of_codes, plain
from flood_assets.serve.paging import Answer, Whole
from flood_assets.serve.snapshot import Snapshot

_COMMAND = re.compile(r": run `FLOOD_LAKE_URL=.*")
# What depends on the clock in more ways than by the age of its readings is calculated again after this time.
_STALE = timedelta(seconds=60)
# Measures up to which each one's readings are looked up; more are found by looking at all readings.
_FEW = 100
_FAR = 1 << 62
FOREVER = datetime.max.replace(tzinfo=UTC)
_DAY_MS = int(RETENTION / timedelta(milliseconds=1))

_OF_STATION = [STATIONS.schema.field(name) for name in ("label", "river", "lat", "long")]
_OF_MEASURE = [MEASURES.schema.field(name) for name in ("parameter", "qualifier", "unit")]


def readings(snapshot: Snapshot, given: asked.Readings, now: datetime) -> Answer:
    """Return readings, by measure_id and date_time; see `query.readings`."""
    gauges = chosen(snapshot, given)
    span = _span(given, now)
    last = None if given.last is None else now - (span.start or now)
    notes = (*gauges.notes, *_of_time(span, now))
    at = _retained(snapshot, gauges.measures, Span() if given.flags else span, now)
    until = _until(snapshot, at, now, last)
    if not given.joined and not given.flags:
        day = snapshot.day

        def as_json(names: Sequence[str], start: int, end: int) -> list[str]:
            return json_of_codes({name: day.coded[name] for name in names}, at[start:end])

        names = READINGS.schema.names
        return Answer(len(at), names, READINGS.key, lambda: _rows(snapshot, at), notes, until, as_json=as_json)
    rows = bare = _rows(snapshot, at)
    rows = _with_gauges(snapshot, rows) if given.joined else rows
    if given.flags:
        found = quality.flags(bare, snapshot.measures, snapshot.stations)
        for each in quality.SCHEMA:
            rows = rows.append_column(each, found[each.name])
        rows = span.cut(rows)
    return Answer.of(rows, READINGS.key, notes, until)


def latest(snapshot: Snapshot, given: asked.Joined, now: datetime) -> Answer:
    """Return the newest reading of each measure that has one in the last 24 hours, by measure_id."""
    gauges = chosen(snapshot, given)
    return _joined("latest", snapshot, given, now, _latest).answer(gauges.measures, gauges.notes)


def stations(snapshot: Snapshot, given: asked.Gauges, now: datetime) -> Answer:
    """Return the stations of the newest list, by station_id."""
    gauges = chosen(snapshot, given)
    found = snapshot.kept("stations", now, lambda: _listed(snapshot.stations, STATIONS, now))
    return found.answer(gauges.stations, (*gauges.notes, *_no_list(found, STATIONS)))


def measures(snapshot: Snapshot, given: asked.Gauges, now: datetime) -> Answer:
    """Return the measures of the newest list, by measure_id."""
    gauges = chosen(snapshot, given)
    found = snapshot.kept("measures", now, lambda: _listed(snapshot.measures, MEASURES, now))
    listed = None if gauges.measures is None else snapshot.listed[gauges.measures]
    return found.answer(None if listed is None else listed[listed >= 0], (*gauges.notes, *_no_list(found, MEASURES)))


def changes(snapshot: Snapshot, given: asked.Changes, now: datetime) -> Answer:
    """Return the readings that were first seen or corrected after a time, by changed_at; see `query.changes`."""
    gauges = chosen(snapshot, given)
    since = valid(lambda: filters.since(given.since, now))
    rows = _rows(snapshot, _retained(snapshot, gauges.measures, Span(), now))
    rows = rows.filter(pc.greater(rows["changed_at"], since))
    rows = rows.append_column("change", pc.if_else(pc.greater(rows["first_seen_at"], since), "new", "revised"))
    order = ("changed_at", *READINGS.key)
    rows = rows.sort_by([(name, "ascending") for name in order])
    rows = _with_gauges(snapshot, rows) if given.joined else rows
    relative = any(letter in given.since for letter in "hms") and "T" not in given.since.lstrip("P")
    until = now if relative else _until(snapshot, np.arange(len(snapshot.day.at)), now, None)
    return Answer.of(rows, order, gauges.notes, until)


def changed(snapshot: Snapshot, at: Ints, *, joined: bool) -> pa.Table:
    """Return the readings at some places, in this order, as `changes` has them; `revised` if ever corrected."""
    rows = plain(snapshot.day.rows.take(pa.array(at)))
    rows = rows.append_column("change", pc.if_else(pc.greater(rows["revision"], 0), "revised", "new"))
    return _with_gauges(snapshot, rows) if joined else rows


def conditions(snapshot: Snapshot, given: asked.Conditions, now: datetime) -> Answer:
    """Return the state of each gauge at about this moment, by measure_id; see `query.conditions`."""
    gauges = chosen(snapshot, given)
    found = _joined("conditions", snapshot, given, now, _conditions)
    codes = gauges.measures
    for name in ("band", "trend", "freshness"):
        if words := getattr(given, name):
            fits = pc.fill_null(pc.is_in(found.rows[name], value_set=pa.array(words, pa.string())), False)
            codes = found.of[fits.to_numpy()] if codes is None else np.intersect1d(codes, found.of[fits.to_numpy()])
    return found.answer(codes, gauges.notes)


def completeness(snapshot: Snapshot, given: asked.Spanned, now: datetime) -> Answer:
    """Count expected, received and missing readings per measure and hour; see `query.completeness`."""
    gauges = chosen(snapshot, given)
    span = _span(given, now)
    found = Accounted.of(snapshot, now)
    rows = pa.concat_tables(
        [COMPLETENESS.schema.empty_table(), *(t for w, t in found.account.windows.items() if span.touches(w))]
    )
    rows = _of_measures(snapshot, rows, gauges)
    rows = _with_gauges(snapshot, rows) if given.joined else rows
    return Answer.of(rows, ("window_start", "measure_id"), (*gauges.notes, *_of_time(span, now)), found.until)


def timeliness(snapshot: Snapshot, given: asked.Joined, now: datetime) -> Answer:
    """Return each measure's usual delay, and when its next reading is due; see `query.timeliness`."""
    gauges = chosen(snapshot, given)
    found = Accounted.of(snapshot, now)
    rows = _of_measures(snapshot, found.account.timeliness, gauges)
    rows = _with_gauges(snapshot, rows) if given.joined else rows
    return Answer.of(rows, TIMELINESS.key, gauges.notes, found.until)


def warnings(snapshot: Snapshot, given: asked.Warnings, now: datetime) -> Answer:
    """Return the flood warnings, the most severe first; see `query.warnings`."""
    found = valid(
        lambda: query.warnings(
            snapshot.lake,
            now,
            severity=given.severity or None,
            area=given.area or None,
            county=given.county or None,
            river=given.river or None,
            near=given.near or None,
            in_force=given.in_force,
        )
    )
    key = ("severity_level", *(["distance_km"] if given.near else []), *WARNINGS.key)
    return Answer.of(found.rows, key, _public(found.notes, snapshot), now + _STALE)


def alerts(snapshot: Snapshot, given: asked.Alerts, now: datetime) -> Answer:
    """Return the alerts that last and those that ended in the last 24 hours, by since; see `query.alerts`."""
    found = valid(
        lambda: query.alerts(
            snapshot.lake,
            now,
            status=given.status or None,
            rule=given.rule or None,
            kind=given.kind or None,
            severity=given.severity or None,
            station=given.station or None,
        )
    )
    return Answer.of(found.rows, ("since", *ALERTS.key), _public(found.notes, snapshot), now + _STALE)


def _public(notes: Sequence[str], snapshot: Snapshot) -> tuple[str, ...]:
    """Return notes for strangers: without commands that only the operator of the lake can run."""
    return tuple(_COMMAND.sub("", note).replace(f"the lake {snapshot.lake.url}", "the lake") for note in notes)


def _joined(
    name: str, snapshot: Snapshot, given: asked.Joined, now: datetime, make: Callable[[Snapshot, datetime], Whole]
) -> Whole:
    """Return rows of all gauges, joined with what is known of these if that is asked for; made once for a while."""
    bare = snapshot.kept(name, now, lambda: make(snapshot, now))
    if not given.joined:
        return bare
    return snapshot.kept(
        f"{name} joined", now, lambda: replace(bare, rows=_with_gauges(snapshot, bare.rows), _texts={})
    )


def newest(snapshot: Snapshot, now: datetime) -> Ints:
    """Return the place of the newest reading of each measure that has one in the last 24 hours, ascending."""
    day = snapshot.day
    begun, ended = day.first[:-1], day.first[1:]
    if len(day.times) and day.times[-1] > to_ms(now):
        not_yet = np.cumsum(np.append(0, day.at > to_ms(now)))
        ended = ended - (not_yet[ended] - not_yet[begun])
    at = (ended - 1)[ended > begun]
    return at[day.at[at] > to_ms(cutoff(now))]


def retained(snapshot: Snapshot, codes: Ints | None, span: Span, now: datetime) -> tuple[Ints, datetime | None]:
    """Return the places of the retained readings of some measures in a span, and until when there are no others.

    Args:
        snapshot: what they are in.
        codes: the measures; None for all.
        span: has moments that do not depend on `now`.
        now: the moment of the answer.
    """
    at = _retained(snapshot, codes, span, now)
    return at, _until(snapshot, at, now, None)


def _latest(snapshot: Snapshot, now: datetime) -> Whole:
    at = newest(snapshot, now)
    until = _until(snapshot, at, now, None) or FOREVER
    return Whole(_rows(snapshot, at).combine_chunks(), snapshot.day.measure[at], ("measure_id",), until)


def _conditions(snapshot: Snapshot, now: datetime) -> Whole:
    at = _retained(snapshot, None, Span(), now)
    value = snapshot.day.rows["value"].to_numpy()[at]
    piece = CodedPiece(snapshot.day.measure[at].astype(np.int32), {"at": snapshot.day.at[at], "value": value})
    rows, _ = judge(Blocks(snapshot.ids, [piece]), snapshot.measures, snapshot.stations, snapshot.timeliness, now)
    return Whole(rows.combine_chunks(), np.arange(len(rows)), CONDITIONS.key, _soon(snapshot, now))


def _listed(rows: pa.Table, table: Table, now: datetime) -> Whole:
    newest = pc.max(rows["observed_at"]).as_py()
    until = FOREVER if newest is None else window_of(newest) + WINDOW + RETENTION
    rows = rows if now < until else rows.slice(0, 0)
    return Whole(rows, np.arange(len(rows)), table.key, until if now < until else FOREVER)


def _no_list(found: Whole, table: Table) -> list[str]:
    why = f"the lake has no {table.name} of the last 24 hours: run `flood-assets refresh`"
    return [] if len(found.rows) else [why]


@dataclass(frozen=True)
class Accounted:
    """Completeness and timeliness of all gauges, and until when they hold."""

    account: Account
    until: datetime

    @classmethod
    def of(cls, snapshot: Snapshot, now: datetime) -> "Accounted":
        """Return the account at `now`, or that of some seconds ago if nothing has become a day old since."""
        return snapshot.kept("account", now, lambda: cls._accounted(snapshot, now))

    @classmethod
    def _accounted(cls, snapshot: Snapshot, now: datetime) -> "Accounted":
        return cls(take(snapshot.lake, now), _soon(snapshot, now))


def _soon(snapshot: Snapshot, now: datetime) -> datetime:
    return min(now + _STALE, _until(snapshot, None, now, None) or now + _STALE)


def _span(given: asked.Spanned, now: datetime) -> Span:
    return valid(lambda: Span.of(given.start, given.end, given.last, now))


def _retained(snapshot: Snapshot, codes: Ints | None, span: Span, now: datetime) -> Ints:
    """Return the places of the retained readings of some measures in a span, ascending."""
    ms = to_ms(now)
    first = max(ms - _DAY_MS + 1, _ceil(span.start) if span.start else 0)
    end = min(ms + 1, _ceil(span.end) if span.end else _FAR)
    day = snapshot.day
    if codes is not None and len(codes) <= _FEW:
        found = [np.zeros(0, np.int64)]
        for code in codes.tolist():
            here = day.of(code)
            low, high = np.searchsorted(day.at[here], (first, end)) + here.start
            found.append(np.arange(low, high))
        return found[1] if len(found) == 2 else np.concatenate(found)
    fits = (day.at >= first) & (day.at < end)
    if codes is not None:
        fits &= mask(codes, len(snapshot.ids))[day.measure]
    return np.flatnonzero(fits)


def _ceil(moment: datetime) -> int:
    """Return the first whole ms since 1970 that is not before a moment."""
    return to_ms(moment + timedelta(microseconds=999))


def _rows(snapshot: Snapshot, at: Ints) -> pa.Table:
    """Return the readings at some places."""
    rows = snapshot.day.rows
    if len(at) and at[-1] - at[0] + 1 == len(at):
        return plain(rows.slice(int(at[0]), len(at)))
    return plain(rows.take(pa.array(at)))


def _until(snapshot: Snapshot, at: Ints | None, now: datetime, last: timedelta | None) -> datetime | None:
    """Return when the first of some readings becomes a day old, or leaves the span, or one dated later comes of age.

    Args:
        snapshot: what they are in.
        at: their places; None for all.
        now: the moment of the answer.
        last: the length of a span that ends now; None without one.
    """
    day, ms = snapshot.day, to_ms(now)
    edge = ms - _DAY_MS
    length = _DAY_MS if last is None else min(_DAY_MS, last // timedelta(milliseconds=1))
    ends = []
    if at is None:
        ends += [int(t) + _DAY_MS for t in day.times[np.searchsorted(day.times, edge, "right") :][:1]]
    elif len(at):
        here = day.at[at]
        here = here[here > ms - length]
        ends += [int(here.min()) + length] if len(here) else []
    ends += day.times[np.searchsorted(day.times, ms, "right") :][:1].tolist()
    return from_ms(min(ends)) if ends else None


def _with_gauges(snapshot: Snapshot, rows: pa.Table) -> pa.Table:
    """Add what the newest lists know of each row's measure and station."""
    code = pc.index_in(rows["measure_id"], value_set=snapshot.ids).to_numpy()
    station_id = pa.array([snapshot.station_ids[each] for each in code.tolist()], pa.string())
    rows = rows.set_column(rows.schema.get_field_index("station_id"), READINGS.schema.field("station_id"), station_id)
    listed, station = (_nulls(places[code]) for places in (snapshot.listed, snapshot.station))
    for each in _OF_STATION:
        rows = rows.append_column(each, snapshot.stations[each.name].take(station))
    for each in _OF_MEASURE:
        rows = rows.append_column(each, snapshot.measures[each.name].take(listed))
    return rows


def _of_measures(snapshot: Snapshot, rows: pa.Table, gauges: Chosen) -> pa.Table:
    if gauges.measures is None:
        return rows
    return rows.filter(pc.is_in(rows["measure_id"], value_set=snapshot.ids.take(pa.array(gauges.measures))))


def _of_time(span: Span, now: datetime) -> list[str]:
    """Return a note for a span that is not retained."""
    if span.start is None and span.end is None:
        return []
    edge = cutoff(now)
    lost = f"is over a day ago: {LOST.format(filters.shown(edge))}"
    if span.end is not None and span.end <= edge:
        return [f"end {filters.shown(span.end)} {lost}"]
    if span.start is not None and span.start < edge:
        return [f"start {filters.shown(span.start)} {lost}"]
    if span.start is not None and span.start > now:
        return [f"start {filters.shown(span.start)} is after now, which is {filters.shown(now)}"]
    return []


def _nulls(places: Ints) -> pa.Array:
    return pa.array(places, mask=places < 0)
