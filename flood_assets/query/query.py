"""Answer questions about the lake, each by a function from plain arguments to a `Result`.

`readings` explains the arguments, which are the same for all. Gauges are chosen by `flood_assets.query.filters`.
"""

from typing import Unpack

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets import quality
from flood_assets.query import conditions as rules
from flood_assets.query import filters
from flood_assets.query.filters import Duration, GaugeFilters, Moment, Span, Texts
from flood_assets.query.place import LakePlace, Result
from flood_assets.query.question import LOST, Question
from flood_assets.query.survey import survey
from flood_assets.schemas import COMPLETENESS, CONDITIONS, MEASURES, READINGS, STATIONS, TIMELINESS, Table

# The column that `changes` adds, and the order of its rows.
_CHANGE = pa.field("change", pa.string(), nullable=False)
_BY_CHANGE = ("changed_at", *READINGS.key)


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
    asked = Question.of(lake, now, gauges, READINGS.schema, columns, joined=joined, flags=flags)
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
    asked = Question.of(lake, now, gauges, [*READINGS.schema, _CHANGE], columns, joined=joined)
    # A reading of any hour may have been corrected just now, so every retained window is read.
    kept = asked.stored(Span(), "first_seen_at", *_BY_CHANGE)
    rows = kept.filter(pc.greater(kept["changed_at"], after)).sort_by([(name, "ascending") for name in _BY_CHANGE])
    rows = rows.append_column(_CHANGE, pc.if_else(pc.greater(rows["first_seen_at"], after), "new", "revised"))
    rows = asked.with_gauges(rows)
    asked.note_time(kept, "since", after, lost=f"only the last 24 hours are kept, and {LOST} with their changes")
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
    asked = Question.of(lake, now, gauges, COMPLETENESS.schema, columns, joined=joined)
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
    asked = Question.of(lake, now, gauges, TIMELINESS.schema, columns, joined=joined)
    account = asked.account()
    rows = TIMELINESS.schema.empty_table() if account is None else account.timeliness
    return asked.answer(asked.with_gauges(rows))


def conditions(
    lake: LakePlace,
    now: Moment,
    *,
    band: Texts | None = None,
    trend: Texts | None = None,
    freshness: Texts | None = None,
    columns: Texts | None = None,
    joined: bool = False,
    **gauges: Unpack[GaugeFilters],
) -> Result:
    """Return the state of each gauge: value, band, trend, rain totals, freshness; one row a measure, by measure_id.

    It is calculated from the readings and flags of the last 24 hours as they are now, by the rules of
    `flood_assets.query.conditions.conditions_of`; what is due follows from the newest table `timeliness`. All other
    arguments, and the errors, are those of `readings`.

    Args:
        lake: as for `readings`.
        now: likewise.
        band: only these: "below", "normal", "above" or "record" of the station's typical range; one text or several.
        trend: only these: "rising", "steady", "falling".
        freshness: only these: "current", "late", "silent".
        columns: as for `readings`.
        joined: likewise.
        **gauges: likewise.

    Returns:
        The columns of `flood_assets.schemas.CONDITIONS`, then those of `joined`.
    """
    now = filters.moment("now", now)
    asked = Question.of(lake, now, gauges, CONDITIONS.schema, columns, joined=joined, whole=True)
    wanted = {
        name: filters.words(name, given, known)
        for name, given, known in (
            ("band", band, rules.BANDS),
            ("trend", trend, rules.TRENDS),
            ("freshness", freshness, rules.FRESHNESS),
        )
        if given is not None
    }
    ids = asked.measure_ids
    if asked.place.lake is None or (ids is not None and not ids):
        return asked.answer(asked.with_gauges(CONDITIONS.schema.empty_table()))
    measures, stations = asked.to_join(CONDITIONS.schema.empty_table())
    found = survey(asked.place.lake, now, measures, stations, measure_ids=ids)
    for damage in found.damaged.values():
        raise damage
    rows = found.conditions
    asked.note_unknown_measures(rows)
    asked.to_join(rows)
    if ids is not None:
        rows = rows.filter(pc.is_in(rows["measure_id"], value_set=pa.array(ids, pa.string())))
    for name, words in wanted.items():
        rows = rows.filter(pc.is_in(rows[name], value_set=pa.array(words, pa.string())))
    if not len(rows) and wanted:
        asked.notes.append("no gauge has " + " and ".join(f"{n} {', '.join(w)}" for n, w in wanted.items()))
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
    asked = Question.of(lake, filters.moment("now", now), gauges, table.schema, columns, whole=True)
    return asked.answer(asked.snapshot(table))
