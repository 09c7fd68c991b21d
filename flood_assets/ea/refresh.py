"""Carrying out a plan: ask the API for what `plan` decided, and say how far the answers make the past complete.

It knows the lake only by what it is told of it: which windows are there, and the marks.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.ea import plan
from flood_assets.ea.client import Answer, FloodMonitoringApi, NotFoundError
from flood_assets.errors import SourceError
from flood_assets.partitions import WINDOW, cutoff, retained_windows
from flood_assets.schemas import MARKS, TIME

log = logging.getLogger(__name__)

# Requests for single measures under way at once: the API asks its users to go easy.
AT_ONCE = 4

# After so many that could not be answered the API is in trouble: the others wait for the next tick.
GIVE_UP_AFTER = 5


@dataclass(frozen=True)
class Fetched:
    """What the API gave, and what that is worth.

    Attributes:
        rows: schema `parse.FETCHED`, one dictionary for all; a reading that is there twice counts as it came last.
        rejects: rows that could not be understood.
        observed_at: when the first of the requests was sent.
        covered: windows that were asked for whole.
        marks: how far the past of each measure is complete once the rows are stored, schema `MARKS`.
        reason: why this was asked for.
        answers: the answers, for what they cost.
        polled: whether it was asked where every measure stands, and for what is new of each.
        read: windows that were read whole.
        behind: measures that have more than could be had, and the newest time that the API showed of each.
        unanswered: measures that jumped and could not be asked; the next tick sees them jump again.
        ages_minutes: how old the newest reading of each measure in `latest` is; None when that was not asked.
    """

    rows: pa.Table
    rejects: pa.Table
    observed_at: datetime
    covered: Sequence[datetime]
    marks: pa.Table
    reason: str
    answers: Sequence[Answer] = field(repr=False)
    polled: bool
    read: Sequence[datetime]
    behind: Mapping[str, datetime] = field(default_factory=dict)
    unanswered: Sequence[str] = ()
    ages_minutes: npt.NDArray[np.float64] | None = None


def reread(api: FloodMonitoringApi, windows: Sequence[datetime], now: datetime) -> Fetched:
    """Read the days that the windows touch, and keep the readings of the windows.

    Args:
        api: where to ask.
        windows: without gaps, oldest first.
        now: when the run began.
    """
    chosen = plan.reread(windows)
    answers = _days(api, chosen.days)
    rows = pa.concat_tables([answer.rows for answer in answers])
    retained = set(retained_windows(now))
    whole = retained <= set(windows)
    if not whole:
        rows = _between(rows, windows[0], windows[-1] + WINDOW)
    # A part of the day says nothing of what came before it: only the whole day moves the marks.
    marks = plan.marks_of(rows, now) if whole else MARKS.empty_table()
    covered = [window for window in windows if window in retained]
    return _fetched(rows, answers, covered, marks, chosen.reason, polled=whole, read=covered)


def catch_up(
    api: FloodMonitoringApi,
    *,
    stored: Sequence[datetime],
    marks: pa.Table | None,
    measures: pa.Table,
    now: datetime,
) -> Fetched:
    """Find what is new with as little asking as loses nothing.

    Args:
        api: where to ask.
        stored: the windows of readings that the lake holds.
        marks: how far it is complete; None when it does not know.
        measures: the newest snapshot of `measures`; may be empty.
        now: when the run began.

    Raises:
        SourceError: the API did not give what everything else depends on: `latest`, or a day.
    """
    first = plan.before_latest(stored, marked=marks is not None, now=now)
    log.info(first.reason)
    known = marks if marks is not None else MARKS.empty_table()
    if not first.latest:
        answers = _days(api, first.days)
        rows = pa.concat_tables([answer.rows for answer in answers])
        complete = plan.credible(plan.marks_of(rows, now), known, measures, first.days[0], now)
        windows = _of_days(first.days, now)
        whole = windows.issuperset(retained_windows(now))
        return _fetched(rows, answers, windows, complete, first.reason, polled=whole, read=windows)

    latest = api.latest()
    second = plan.after_latest(latest.rows, known, measures, now)
    log.info(second.reason)
    singles, refused, unanswered = _each(api, second.since, now)
    days = _days(api, second.days)
    taken = latest.rows.filter(pa.array(second.take))
    # Stored, so that the newest reading is there, but no mark moves: what came before it could not be had.
    shown = _of_measures(latest.rows, refused)
    left = _of_measures(latest.rows, [*refused, *unanswered])
    newer = [_marks_of_taken(taken)]
    if singles:
        newer.append(plan.marks_of(pa.concat_tables([answer.rows for answer in singles]), now))
    if days:
        of_days = plan.marks_of(pa.concat_tables([answer.rows for answer in days]), now)
        newer.append(plan.credible(of_days, known, measures, second.days[0], now))
    return _fetched(
        pa.concat_tables([taken, shown, *(answer.rows for answer in (*singles, *days))]),
        [latest, *singles, *days],
        {*_of_days(second.days, now), retained_windows(now)[-1]},
        pa.concat_tables(newer),
        second.reason,
        polled=True,
        read=_of_days(second.days, now),
        behind=dict(zip(left["measure_id"].to_pylist(), left["date_time"].to_pylist(), strict=True)),
        unanswered=unanswered,
        ages_minutes=(now.timestamp() - latest.rows["date_time"].cast(pa.int64()).to_numpy() / 1000) / 60,
    )


def _days(api: FloodMonitoringApi, days: Sequence[date]) -> list[Answer]:
    """Read days, the newest first.

    A batch that arrives between two requests is then in the older day's answer and not in the newer's: the gauge's
    newest reading stays behind, and the next tick sees it jump. The other way round, the hole would be hidden.
    """
    return [api.readings_of_day(day) for day in sorted(days, reverse=True)]


def _each(api: FloodMonitoringApi, measures: Sequence[str], now: datetime) -> tuple[list[Answer], list[str], list[str]]:
    """Ask for the retained day of each measure.

    Not only for what is newer than its mark: a batch brings corrections and stragglers, and a day of one gauge is
    a hundred rows.

    Returns:
        The answers; the measures that the API shows in `latest` but does not know by name, be that a 404 or an
        answer without rows, of which the newest reading is all that can be had until a day is read; and those that
        could not be asked.
    """
    answers: list[Answer] = []
    refused: list[str] = []
    unanswered: list[str] = []
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="since") as pool:
        asked = [(measure, pool.submit(api.readings_since, measure, cutoff(now))) for measure in measures]
        for measure, waiting in asked:
            if len(unanswered) == GIVE_UP_AFTER:
                for _, later in asked:
                    later.cancel()
            try:
                answer = waiting.result()
            except CancelledError:
                unanswered.append(measure)
            except NotFoundError:
                refused.append(measure)
            except SourceError as error:
                log.warning("measure %s stays behind until the next tick: %s", measure, error)
                unanswered.append(measure)
            else:
                answers.append(answer)
                if not len(answer.rows):
                    refused.append(measure)
    return answers, refused, unanswered


def _marks_of_taken(taken: pa.Table) -> pa.Table:
    """The marks of measures that moved by one step; their habit is not judged by one reading."""
    ids, newest = taken["measure_id"].cast(pa.string()), taken["date_time"]
    return pa.table([ids, newest, pa.nulls(len(taken), pa.int32())], schema=MARKS)


def _of_measures(rows: pa.Table, measures: Sequence[str]) -> pa.Table:
    return rows.filter(pc.is_in(rows["measure_id"].cast(pa.string()), pa.array(measures, pa.string())))


def _between(rows: pa.Table, start: datetime, end: datetime) -> pa.Table:
    at = rows["date_time"]
    return rows.filter(pc.and_(pc.greater_equal(at, pa.scalar(start, TIME)), pc.less(at, pa.scalar(end, TIME))))


def _of_days(days: Iterable[date], now: datetime) -> set[datetime]:
    wanted = set(days)
    return {window for window in retained_windows(now) if window.date() in wanted}


def _fetched(
    rows: pa.Table,
    answers: Sequence[Answer],
    covered: Iterable[datetime],
    marks: pa.Table,
    reason: str,
    *,
    polled: bool,
    read: Iterable[datetime],
    behind: Mapping[str, datetime] | None = None,
    unanswered: Sequence[str] = (),
    ages_minutes: npt.NDArray[np.float64] | None = None,
) -> Fetched:
    return Fetched(
        rows=rows.unify_dictionaries(),
        rejects=pa.concat_tables([answer.rejects for answer in answers]),
        observed_at=min(answer.observed_at for answer in answers),
        covered=sorted(covered),
        marks=marks,
        reason=reason,
        answers=answers,
        polled=polled,
        read=sorted(read),
        behind=behind or {},
        unanswered=unanswered,
        ages_minutes=ages_minutes,
    )
