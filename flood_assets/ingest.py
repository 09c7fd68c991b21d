"""Bring the lake up to date, without Dagster: fetch new or chosen readings, then store them.

    batch = fetch(api, lake, None, now)
    upserted, advanced = batch.store(lake)

The asset `readings` does the first and its IO manager the second. What to ask for is decided in `flood_assets.ea.plan`;
how readings are upserted, in `flood_assets.lake`.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.ea import completeness, plan
from flood_assets.ea import fetch as source
from flood_assets.ea.client import Answer, FloodMonitoringApi
from flood_assets.errors import ClockError
from flood_assets.grouping import Floats, by_window
from flood_assets.lake import watermarks as lake_watermarks
from flood_assets.lake.lake import Lake
from flood_assets.lake.write import Upserted
from flood_assets.partitions import WINDOW, retained_windows
from flood_assets.schemas import MEASURES, READINGS, TIME, WATERMARKS, pushed

log = logging.getLogger(__name__)

T = TypeVar("T")

# A clock may be a little off, and two machines never agree to the second.
CLOCK_TOLERANCE = timedelta(minutes=5)
# Columns of the list of measures that are needed to plan, to give each reading its station, and to describe a run.
OF_MEASURES = ("measure_id", "station_id", "parameter", "period_s")


class Ingested(NamedTuple):
    """A stored batch.

    Attributes:
        upserted: what changed in each window.
        advanced: False if stored readings were lost meanwhile, so that no watermark may advance.
    """

    upserted: Upserted
    advanced: bool


@dataclass(frozen=True)
class Batch:
    """Readings that a run fetched, to be stored.

    Attributes:
        now: when the run began.
        reason: why this was asked for.
        answers: the API's answers, for what they cost.
        rows: schema `parse.FETCHED`, one dictionary for all; the last of several rows with one key counts.
        rejects: rows that could not be understood, schema `REJECTS`.
        stations: known measures, the columns `OF_MEASURES`.
        observed_at: when the first request was sent.
        covered: windows that were asked for whole: they exist afterwards even when they hold nothing.
        watermarks: the watermarks once the rows are stored, schema `WATERMARKS`.
        asked: what the API was asked for.
        loss: the loss of stored readings after which the watermarks began.
        unanswered: measures with several new readings that could not be asked for; the next tick does.
        ages_minutes: age of the newest reading of each measure in `latest`; None when that was not asked.
        suspect: why a bulk answer looks incomplete, although it was retried; else empty.
        damaged: windows that were quarantined, and the object that keeps each.
    """

    now: datetime
    reason: str
    answers: Sequence[Answer] = field(repr=False)
    rows: pa.Table
    rejects: pa.Table
    stations: pa.Table
    observed_at: datetime
    covered: Sequence[datetime]
    watermarks: pa.Table
    asked: lake_watermarks.Asked
    loss: str = ""
    unanswered: Sequence[str] = ()
    ages_minutes: Floats | None = None
    suspect: str = ""
    damaged: Mapping[datetime, str] = field(default_factory=dict)

    def store(self, lake: Lake) -> Ingested:
        """Upsert the rows, then advance the watermarks: a run that is killed in between is repeated by the next."""
        upserted = lake.upsert_readings(self.rows, self.observed_at, self.now, stations=self.stations)
        lake.ensure_windows(READINGS, self.covered)
        if len(self.rejects):
            lake.add_rejects(self.rejects)
        advanced = lake_watermarks.advance(lake.store, self.watermarks, self.observed_at, self.asked, loss=self.loss)
        return Ingested(upserted, advanced)


def fetch(api: FloodMonitoringApi, lake: Lake, windows: Sequence[datetime] | None, now: datetime) -> Batch:
    """Fetch readings for the lake; nothing is stored yet, but damaged windows are quarantined.

    Args:
        api: the source.
        lake: the lake to bring up to date.
        windows: to read again, retained ones without gaps; None to find what is new.
        now: when the run began.

    Raises:
        ClockError: the lake was last filled later than now.
        SourceError: a day or `latest` could not be read, or has no reading at all.
        LakeError: the lake could not be read or written.
    """
    complete = lake_watermarks.load(lake.store)
    require_clock(complete.as_of if complete else None, now)
    listed = [stored.window for stored in lake.windows(READINGS)]
    # The API takes longer to answer `latest` than it takes to inspect the lake.
    early = windows is None and plan.before_latest(listed, marked=_marked(complete) is not None, now=now).latest
    latest = _beside(api.latest) if early else None
    stored, damaged = lake.inspect(READINGS, listed)
    if damaged:
        complete = lake_watermarks.load(lake.store)
    measures = lake.newest_snapshot(MEASURES, now, columns=OF_MEASURES)
    if measures is not None:
        measures = measures.filter(pc.invert(pushed(measures["measure_id"])))
    marked = _marked(complete)
    known = plan.Known(
        # What others pushed says nothing of what the API has.
        rows={window: content.rows - content.pushed for window, content in stored.items()},
        watermarks=marked if marked is not None else WATERMARKS.empty_table(),
        measures=measures if measures is not None else MEASURES.schema.empty_table().select(OF_MEASURES),
        marked=marked is not None,
        requests=api.bulk_requests,
    )
    batch = catch_up(api, known, now, latest) if windows is None else reread(api, windows, known, now)
    return replace(batch, loss=complete.loss if complete is not None else "", damaged=damaged)


def reread(
    api: FloodMonitoringApi, windows: Sequence[datetime], lake: plan.Known, now: datetime, reason: str = ""
) -> Batch:
    """Read the days that the windows touch, and keep the readings of the windows (retained ones, oldest first).

    `lake` is its content before, in which the measures have the columns `OF_MEASURES`; `reason` is empty when a person
    asked for it.

    Raises:
        SourceError: the API did not give a day, or has no reading of any.
    """
    chosen = plan.reread(windows)
    read = source.days(api, chosen.days, lake, now)
    if not set(windows).issuperset(read.covered):
        # Only whole days advance the watermarks: a part of a day tells nothing of earlier readings.
        read = read._replace(
            watermarks=WATERMARKS.empty_table(), covered=[window for window in windows if window in read.covered]
        )
    rows = [answer.rows for answer in read.answers]
    whole = set(windows).issuperset(retained_windows(now))
    if not whole:
        rows = [_between(part, windows[0], windows[-1] + WINDOW) for part in rows]
    polled = whole and not read.suspect
    return _batch(now, reason or chosen.reason, lake.measures, read.answers, rows, read, polled=polled)


def catch_up(api: FloodMonitoringApi, lake: plan.Known, now: datetime, latest: Future[Answer] | None = None) -> Batch:
    """Fetch all new readings with the fewest requests.

    `latest` is the API's answer, if it was asked for already, after the watermarks were read; the other arguments are
    those of `reread`.

    Raises:
        SourceError: the API did not give `latest` or a day, or has no reading of it.
    """
    first = plan.before_latest(list(lake.rows), marked=lake.marked, now=now)
    log.info(first.reason)
    if not first.latest:
        windows = [window for window in retained_windows(now) if window.date() in first.days]
        return reread(api, windows, lake, now, first.reason)

    shown, suspect = source.latest(api, lake.watermarks, now, latest)
    newest = shown[-1].rows
    second = plan.after_latest(newest, lake, now)
    log.info(second.reason)
    singles, refused, unanswered = source.each(api, second.since, now)
    taken = newest.filter(pa.array(second.take))
    newer = [_watermarks_of_taken(taken)]
    if singles:
        given = by_window(pa.concat_tables([answer.rows for answer in singles]))
        missing = completeness.absent(by_window(source.only(newest, second.since)), given)
        unanswered += sorted(set(missing) - {*refused, *unanswered})
        newer.append(source.without(plan.watermarks_of(given, now), unanswered))
    read = source.Days((), (), WATERMARKS.empty_table())
    if second.days:
        read = source.days(api, second.days, lake, now, latest=by_window(newest))
        newer.append(read.watermarks)
    left = source.only(newest, [*refused, *unanswered])
    batch = _batch(
        now,
        second.reason,
        lake.measures,
        [*shown, *singles, *read.answers],
        # The newest readings of refused measures are stored, but advance no watermark: earlier ones may be missing.
        [taken, source.only(newest, refused), *(answer.rows for answer in (*singles, *read.answers))],
        read._replace(watermarks=pa.concat_tables(newer), suspect=read.suspect or suspect),
        polled=not (read.suspect or suspect),
        behind=dict(zip(left["measure_id"].to_pylist(), left["date_time"].to_pylist(), strict=True)),
    )
    return replace(
        batch,
        covered=sorted({*batch.covered, retained_windows(now)[-1]}),
        unanswered=unanswered,
        ages_minutes=(now.timestamp() - newest["date_time"].cast(pa.int64()).to_numpy() / 1000) / 60,
    )


def _batch(
    now: datetime,
    reason: str,
    measures: pa.Table,
    answers: Sequence[Answer],
    rows: Sequence[pa.Table],
    read: source.Days,
    *,
    polled: bool,
    behind: Mapping[str, datetime] | None = None,
) -> Batch:
    """Return a batch of all answers, with the chosen rows, and the watermarks of `read`."""
    observed_at = min(answer.observed_at for answer in answers)
    return Batch(
        now=now,
        reason=reason,
        answers=answers,
        rows=pa.concat_tables(rows).unify_dictionaries(),
        rejects=pa.concat_tables([answer.rejects for answer in answers]),
        stations=measures,
        observed_at=observed_at,
        covered=read.covered,
        watermarks=read.watermarks,
        asked=lake_watermarks.Asked.once(observed_at, polled=polled, read=read.covered, behind=behind),
        suspect=read.suspect,
    )


def _watermarks_of_taken(taken: pa.Table) -> pa.Table:
    """Return the watermarks of measures with one new reading, which tells nothing of their reporting interval."""
    ids, newest = taken["measure_id"].cast(pa.string()), taken["date_time"]
    return pa.table([ids, newest, pa.nulls(len(taken), pa.int32())], schema=WATERMARKS)


def _between(rows: pa.Table, start: datetime, end: datetime) -> pa.Table:
    at = rows["date_time"]
    return rows.filter(pc.and_(pc.greater_equal(at, pa.scalar(start, TIME)), pc.less(at, pa.scalar(end, TIME))))


def _marked(complete: lake_watermarks.Watermarks | None) -> pa.Table | None:
    """Return the watermarks that `latest` can be compared with, if there are any."""
    return complete.rows if complete is not None and not complete.forgotten else None


def _beside(work: Callable[[], T]) -> Future[T]:
    """Run work in a thread of its own; a run that ends does not wait for it, as a pool would."""
    given: Future[T] = Future()

    def run() -> None:
        try:
            given.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            given.set_exception(error)

    threading.Thread(target=run, name="beside", daemon=True).start()
    return given


def require_clock(filled_at: datetime | None, now: datetime) -> None:
    """Refuse a clock that contradicts the lake: rows would wrongly count as expired or as future.

    Raises:
        ClockError: the lake was last filled (None: never) more than a few minutes after `now`.
    """
    if filled_at is not None and filled_at > now + CLOCK_TOLERANCE:
        raise ClockError(
            f"this machine's clock says {now:%Y-%m-%d %H:%M:%SZ}, but the lake was filled at "
            f"{filled_at:%Y-%m-%d %H:%M:%SZ}: set the clock (NTP), or use another lake. Nothing was changed"
        )
