"""Carrying out a plan: ask the API for what `plan` decided, and say how far the answers make the past complete.

It knows the lake only by what it is told of it: which windows are there, and the watermarks.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.ea import completeness, plan
from flood_assets.ea.client import Answer, FloodMonitoringApi
from flood_assets.ea.http import NotFoundError
from flood_assets.ea.parse import FETCHED
from flood_assets.errors import SourceError
from flood_assets.grouping import Windowed, by_window
from flood_assets.partitions import WINDOW, cutoff, retained_windows
from flood_assets.schemas import TIME, WATERMARKS

log = logging.getLogger(__name__)

# Requests for single measures under way at once: the API asks its users to go easy.
AT_ONCE = 4

# How often a bulk answer that cannot be all is asked for once more.
ASK_AGAIN = 2

LATER = "the next run asks again. If it lasts, look at the address in a browser and at the API's own news"

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
        watermarks: how far the past of each measure is complete once the rows are stored, schema `WATERMARKS`.
        reason: why this was asked for.
        answers: the answers, for what they cost.
        polled: whether it was asked where every measure stands, and for what is new of each.
        read: windows that were read whole.
        behind: measures that have more than could be had, and the newest time that the API showed of each.
        unanswered: measures that jumped and could not be asked; the next tick sees them jump again.
        ages_minutes: how old the newest reading of each measure in `latest` is; None when that was not asked.
        suspect: why a bulk answer cannot be all that the API has, although it was asked for again; else empty.
    """

    rows: pa.Table
    rejects: pa.Table
    observed_at: datetime
    covered: Sequence[datetime]
    watermarks: pa.Table
    reason: str
    answers: Sequence[Answer] = field(repr=False)
    polled: bool
    read: Sequence[datetime]
    behind: Mapping[str, datetime] = field(default_factory=dict)
    unanswered: Sequence[str] = ()
    ages_minutes: npt.NDArray[np.float64] | None = None
    suspect: str = ""


def reread(
    api: FloodMonitoringApi,
    windows: Sequence[datetime],
    now: datetime,
    *,
    watermarks: pa.Table | None = None,
    held: Mapping[datetime, int] | None = None,
    listed: int = 0,
) -> Fetched:
    """Read the days that the windows touch, and keep the readings of the windows.

    Args:
        api: where to ask.
        windows: without gaps, oldest first.
        now: when the run began.
        watermarks: how far the lake is complete; None when it does not know.
        held: how many readings the lake holds of each window; None when nothing is known of it.
        listed: how many measures the API lists; 0 when that is not known.

    Raises:
        SourceError: the API did not give a day, or has no reading of any.
    """
    chosen = plan.reread(windows)
    read = _days(api, chosen.days, watermarks=watermarks, held=held or {}, listed=listed, now=now)
    rows = read.rows
    retained = set(retained_windows(now))
    whole = retained <= set(windows)
    if not whole:
        rows = _between(rows, windows[0], windows[-1] + WINDOW)
    # A part of the day says nothing of what came before it: only the whole day moves the watermarks.
    complete = read.watermarks if whole and not read.suspect else WATERMARKS.empty_table()
    covered = [] if read.suspect else [window for window in windows if window in retained]
    polled = whole and not read.suspect
    return _fetched(
        rows, read.answers, covered, complete, chosen.reason, polled=polled, read=covered, suspect=read.suspect
    )


def catch_up(
    api: FloodMonitoringApi,
    *,
    held: Mapping[datetime, int],
    watermarks: pa.Table | None,
    measures: pa.Table,
    now: datetime,
    latest: Future[Answer] | None = None,
) -> Fetched:
    """Find what is new with as little asking as loses nothing.

    Args:
        api: where to ask.
        held: the windows of readings that the lake holds, and how many of each.
        watermarks: how far it is complete; None when it does not know.
        measures: the newest snapshot of `measures`; may be empty.
        now: when the run began.
        latest: what the API says is newest, if it has been asked already, after the watermarks were read.

    Raises:
        SourceError: the API did not give what everything else depends on, `latest` or a day, or has no reading of it.
    """
    first = plan.before_latest(list(held), marked=watermarks is not None, now=now)
    log.info(first.reason)
    known = watermarks if watermarks is not None else WATERMARKS.empty_table()
    if not first.latest:
        read = _days(api, first.days, watermarks=watermarks, held=held, listed=len(measures), now=now)
        complete, covered = WATERMARKS.empty_table(), set[datetime]()
        if not read.suspect:
            complete = plan.credible(read.watermarks, known, measures, first.days[0], now)
            covered = _of_days(first.days, now)
        polled = covered.issuperset(retained_windows(now))
        return _fetched(
            read.rows, read.answers, covered, complete, first.reason, polled=polled, read=covered, suspect=read.suspect
        )

    newest, asked, suspect = _latest(api, known, now, latest)
    second = plan.after_latest(newest.rows, known, measures, now)
    log.info(second.reason)
    singles, refused, unanswered = _each(api, second.since, now)
    taken = newest.rows.filter(pa.array(second.take))
    # Stored, so that the newest reading is there, but no watermark moves: what came before it could not be had.
    shown = _of_measures(newest.rows, refused)
    newer, covered = [_watermarks_of_taken(taken)], {retained_windows(now)[-1]}
    whole = set[datetime]()
    if singles:
        rows = pa.concat_tables([answer.rows for answer in singles])
        named = _of_measures(newest.rows, second.since)
        given = by_window(rows)
        short = sorted(set(completeness.absent(by_window(named), given)) - {*refused, *unanswered})
        unanswered += short
        newer.append(_without(plan.watermarks_of(given, now), short))
    read = _Read([], Windowed.of_nothing(), WATERMARKS.empty_table(), "")
    if second.days:
        stand = by_window(newest.rows)
        read = _days(api, second.days, watermarks=watermarks, held=held, listed=len(measures), now=now, latest=stand)
        suspect = read.suspect or suspect
        if not read.suspect:
            whole = _of_days(second.days, now)
            complete = plan.credible(read.watermarks, known, measures, second.days[0], now)
            newer.append(_without(complete, completeness.absent(stand, read.shown, second.days)))
    left = _of_measures(newest.rows, [*refused, *unanswered])
    return _fetched(
        pa.concat_tables([taken, shown, *(answer.rows for answer in (*singles, *read.answers))]),
        [*asked, *singles, *read.answers],
        covered | whole,
        pa.concat_tables(newer),
        second.reason,
        polled=not suspect,
        read=whole,
        behind=dict(zip(left["measure_id"].to_pylist(), left["date_time"].to_pylist(), strict=True)),
        unanswered=unanswered,
        ages_minutes=(now.timestamp() - newest.rows["date_time"].cast(pa.int64()).to_numpy() / 1000) / 60,
        suspect=suspect,
    )


def _latest(
    api: FloodMonitoringApi, watermarks: pa.Table, now: datetime, first: Future[Answer] | None
) -> tuple[Answer, list[Answer], str]:
    """The answer that shows most, all that were given for it, and why none can be all.

    What a measure has that is absent, the next tick sees: its watermark stays where it is.
    """
    answers = [first.result() if first else api.latest()]
    while (suspect := completeness.of_latest(answers[-1].rows, watermarks, now)) and len(answers) <= ASK_AGAIN:
        log.warning("%s: asked for again", suspect)
        answers.append(api.latest())
    best = max(reversed(answers), key=lambda answer: len(answer.rows)) if suspect else answers[-1]
    if not len(best.rows):
        raise SourceError(
            f"{api.base_url}/data/readings.csv?latest: the answer has no reading of any measure, but the API keeps 28 "
            f"days of them: it is in trouble. Nothing was changed; {LATER}"
        )
    return best, answers, suspect


@dataclass(frozen=True)
class _Read:
    """Days that were read.

    Attributes:
        answers: all answers for them, those of witnesses too.
        shown: what the days' own answers hold.
        watermarks: what follows from it, schema `WATERMARKS`.
        suspect: why these cannot be all; empty when they can.
    """

    answers: list[Answer]
    shown: Windowed
    watermarks: pa.Table
    suspect: str

    @property
    def rows(self) -> pa.Table:
        return pa.concat_tables([answer.rows for answer in self.answers])


def _days(
    api: FloodMonitoringApi,
    days: Sequence[date],
    *,
    watermarks: pa.Table | None,
    held: Mapping[datetime, int],
    listed: int,
    now: datetime,
    latest: Windowed | None = None,
) -> _Read:
    """Read days until the answers can be all that there is of them, or until that is proved by witnesses.

    The newest day first: a batch that arrives between two requests is then in the older day's answer and not in the
    newer's. The gauge's newest reading stays behind, and the next tick sees it jump. The other way round, the hole
    would be hidden.
    """
    known = watermarks if watermarks is not None else WATERMARKS.empty_table()
    # What witnesses say is stored too, but does not count for the days: else they would agree with themselves.
    answers: list[Answer] = []
    witnesses: list[Answer] = []
    for _ in range(1 + ASK_AGAIN):
        answers += [api.readings_of_day(day) for day in sorted(days, reverse=True)]
        shown = by_window(pa.concat_tables([answer.rows for answer in answers]))
        if not len(shown) and now >= completeness.settled(days[0]):
            raise SourceError(
                f"{api.base_url}/data/readings.csv?date={days[0]}: the API has no reading of any measure of "
                f"{' and '.join(map(str, days))}: it is in trouble. Nothing was changed; {LATER}"
            )
        newer = plan.watermarks_of(shown, now)
        suspect = completeness.of_days(shown, days, watermarks=newer, latest=latest, held=held, listed=listed, now=now)
        if not suspect:
            break
        singles, _, _ = _each(api, completeness.witnesses(shown, known, days), now)
        said = pa.concat_tables([FETCHED.empty_table(), *(single.rows for single in singles)])
        witnesses += singles
        if len(said) and not completeness.contradicted(shown, by_window(said), days, now):
            log.warning("%s: but so say %d measures that were asked singly; believed", suspect, len(singles))
            suspect = ""
            break
        log.warning("%s, and measures that were asked singly have more: asked for again", suspect)
    return _Read([*answers, *witnesses], shown, newer, suspect)


def _each(api: FloodMonitoringApi, measures: Sequence[str], now: datetime) -> tuple[list[Answer], list[str], list[str]]:
    """Ask for the retained day of each measure.

    Not only for what is newer than its watermark: a batch brings corrections and stragglers, and a day of one gauge is
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


def _watermarks_of_taken(taken: pa.Table) -> pa.Table:
    """The watermarks of measures that moved by one step; their habit is not judged by one reading."""
    ids, newest = taken["measure_id"].cast(pa.string()), taken["date_time"]
    return pa.table([ids, newest, pa.nulls(len(taken), pa.int32())], schema=WATERMARKS)


def _of_measures(rows: pa.Table, measures: Sequence[str]) -> pa.Table:
    return rows.filter(pc.is_in(rows["measure_id"].cast(pa.string()), pa.array(measures, pa.string())))


def _without(watermarks: pa.Table, measures: Sequence[str]) -> pa.Table:
    """The watermarks of other measures."""
    return watermarks.filter(pc.invert(pc.is_in(watermarks["measure_id"], pa.array(measures, pa.string()))))


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
    watermarks: pa.Table,
    reason: str,
    *,
    polled: bool,
    read: Iterable[datetime],
    behind: Mapping[str, datetime] | None = None,
    unanswered: Sequence[str] = (),
    ages_minutes: npt.NDArray[np.float64] | None = None,
    suspect: str = "",
) -> Fetched:
    return Fetched(
        rows=rows.unify_dictionaries(),
        rejects=pa.concat_tables([answer.rejects for answer in answers]),
        observed_at=min(answer.observed_at for answer in answers),
        covered=sorted(covered),
        watermarks=watermarks,
        reason=reason,
        answers=answers,
        polled=polled,
        read=sorted(read),
        behind=behind or {},
        unanswered=unanswered,
        ages_minutes=ages_minutes,
        suspect=suspect,
    )
