"""One run without Dagster: what the lake lacks is asked of the API, merged and marked.

    fetched, batch, damaged = fetch(api, lake, None, now)
    merge, marked = store(lake, batch, now)

The asset `readings` does the first and its IO manager the second. What to ask for is decided in `flood_assets.ea.plan`;
how readings are merged, in `flood_assets.lake`.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from flood_assets.errors import ClockError
from flood_assets.lake import watermarks
from flood_assets.lake.lake import Lake, Upserted
from flood_assets.schemas import MEASURES, READINGS

if TYPE_CHECKING:
    from flood_assets.ea.client import FloodMonitoringApi
    from flood_assets.ea.fetch import Fetched

T = TypeVar("T")

# A clock may be a little off, and two machines never agree to the second.
CLOCK_TOLERANCE = timedelta(minutes=5)

# What is needed of the list of measures: to plan, to give each reading its station, and to tell of a run.
OF_MEASURES = ("measure_id", "station_id", "parameter", "period_s")


@dataclass(frozen=True)
class Batch:
    """What a run fetched of `readings`, to be merged into the lake.

    Attributes:
        rows: measure_id (dictionary), date_time, value, raw_value, and observed_at: when the API was asked for it.
        rejects: rows that could not be understood, schema `REJECTS`.
        stations: of the measures that are known, the columns `OF_MEASURES`.
        observed_at: when the API was asked first.
        covered: windows that were asked for whole: they exist afterwards even when they hold nothing.
        watermarks: how far the lake is complete once the rows are stored, schema `WATERMARKS`.
        asked: what the API was asked for.
        loss: which loss of stored readings the watermarks followed before.
    """

    rows: pa.Table
    rejects: pa.Table
    stations: pa.Table
    observed_at: datetime
    covered: Sequence[datetime]
    watermarks: pa.Table
    asked: watermarks.Asked = field(default_factory=watermarks.Asked)
    loss: str = ""


def fetch(
    api: "FloodMonitoringApi", lake: Lake, windows: Sequence[datetime] | None, now: datetime
) -> "tuple[Fetched, Batch, dict[datetime, str]]":
    """Ask for what is wanted, up to what is to be stored.

    Args:
        api: where to ask.
        lake: what is there already; windows of it that are damaged are quarantined.
        windows: to read again, retained ones without gaps; None to find what is new.
        now: when the run began.

    Returns:
        What the API gave; the same for the lake to merge; the damaged windows and where each was moved.

    Raises:
        ClockError: the lake was filled later than now.
        SourceError: the API did not give what everything else depends on.
        LakeError: the lake could not be read or written.
    """
    # Definitions are loaded far more often than the API is asked.
    from flood_assets.ea.fetch import catch_up, reread  # noqa: PLC0415
    from flood_assets.ea.plan import before_latest  # noqa: PLC0415

    complete = watermarks.load(lake.store)
    _require_clock(complete, now)
    listed = [stored.window for stored in lake.windows(READINGS)]
    # The API takes longer to say what is newest than a look at the lake takes.
    early = windows is None and before_latest(listed, marked=_marked(complete) is not None, now=now).latest
    latest = _beside(api.latest) if early else None
    stored, damaged = lake.inspect(READINGS, listed)
    if damaged:
        complete = watermarks.load(lake.store)
    known = lake.newest_snapshot(MEASURES, now, columns=OF_MEASURES)
    snapshot = known if known is not None else MEASURES.schema.empty_table().select(OF_MEASURES)
    marked, held = _marked(complete), {window: content.rows for window, content in stored.items()}
    if windows is None:
        fetched = catch_up(api, held=held, watermarks=marked, measures=snapshot, now=now, latest=latest)
    else:
        fetched = reread(api, windows, now, held=held, watermarks=marked, listed=len(snapshot))
    batch = Batch(
        rows=fetched.rows,
        rejects=fetched.rejects,
        stations=snapshot,
        observed_at=fetched.observed_at,
        covered=fetched.covered,
        watermarks=fetched.watermarks,
        asked=watermarks.Asked.once(
            fetched.observed_at, polled=fetched.polled, read=fetched.read, behind=fetched.behind
        ),
        loss=complete.loss if complete is not None else "",
    )
    return fetched, batch, damaged


def store(lake: Lake, batch: Batch, now: datetime) -> tuple[Upserted, bool]:
    """Merge a batch. The watermarks go last: a run that is killed before leaves them behind, and the next asks again.

    Returns:
        What became of it; and whether the watermarks moved: they do not when stored readings were lost meanwhile.

    Raises:
        LakeError: the lake could not be read or written.
    """
    merge = lake.upsert_readings(batch.rows, batch.observed_at, now, stations=batch.stations)
    lake.ensure_windows(READINGS, batch.covered)
    if len(batch.rejects):
        lake.add_rejects(batch.rejects)
    return merge, watermarks.advance(lake.store, batch.watermarks, batch.observed_at, batch.asked, loss=batch.loss)


def _marked(complete: watermarks.Watermarks | None) -> pa.Table | None:
    """The watermarks that `latest` can be compared with, if there are any."""
    return complete.rows if complete is not None and not complete.forgotten else None


def _beside(work: Callable[[], T]) -> Future[T]:
    """What work gives that goes on beside this thread; a run that is ended does not wait for it, as a pool would."""
    given: Future[T] = Future()

    def run() -> None:
        try:
            given.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            given.set_exception(error)

    threading.Thread(target=run, name="beside", daemon=True).start()
    return given


def _require_clock(complete: watermarks.Watermarks | None, now: datetime) -> None:
    """Refuse a clock that contradicts the lake: it would judge wrongly what is retained and what is yet to come."""
    if complete is not None and complete.as_of > now + CLOCK_TOLERANCE:
        raise ClockError(
            f"this machine's clock says {now:%Y-%m-%d %H:%M:%SZ}, but the lake was filled at "
            f"{complete.as_of:%Y-%m-%d %H:%M:%SZ}: set the clock (NTP), or use another lake. Nothing was changed"
        )
