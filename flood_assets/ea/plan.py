"""What to ask the API for: pure decisions from counts and times, each with its reason.

A refresh that asked only `latest` would lose what a gauge uploads in a batch; one that always read whole days
would move sixty times the bytes. So a tick compares `latest` with the *watermarks*: of each measure, the time up to
which everything that the API has shown of it was asked for and stored. A measure that moved by one step is done
with its one new row. One that jumped is asked for its retained day, or the day is read whole when that costs less.

Nothing here asks, stores or knows the time: `client` asks, the lake stores, `now` is an argument.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.grouping import MeasureBlock, Windowed, begins, ordered
from flood_assets.partitions import WINDOW, cutoff, days_of, midnight, retained_windows, to_ms, utc
from flood_assets.schemas import TIME, WATERMARKS

# What a request costs, in seconds of the API's time: a day of 490,000 rows took it about 14 s in 2026, a small answer
# takes about a quarter of a second.
REQUEST_S = 0.25
ROWS_PER_S = 35_000

# A reading that comes this much later than one step is still the next one: seconds wander, gauges do not skip.
STEP_TOLERANCE = 1.1


@dataclass(frozen=True)
class Plan:
    """What to ask for.

    Attributes:
        reason: why, as a sentence for the log and the run's metadata.
        days: UTC days to read whole, oldest first.
        latest: whether to ask `latest` first, and then `after_latest` for the rest.
        since: measures to ask for their retained day, one request each.
        take: which rows of `latest` to store as they are: the measures that moved by one step. Empty without `latest`.
    """

    reason: str
    days: tuple[date, ...] = ()
    latest: bool = False
    since: tuple[str, ...] = ()
    take: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))


def reread(windows: Sequence[datetime]) -> Plan:
    """Read each day that the windows touch: for a reconcile, and for windows that a person asked for."""
    days = days_of(windows)
    return Plan(reason=f"re-read {_days(days)}: asked for", days=tuple(days))


def before_latest(stored: Sequence[datetime], *, marked: bool, now: datetime) -> Plan:
    """Decide from the stored windows alone whether `latest` can be enough to start from.

    Args:
        stored: the windows that the lake holds.
        marked: whether the lake has watermarks to compare `latest` with.
        now: the time of the tick.
    """
    retained = retained_windows(now)
    if not marked:
        return Plan(reason="nothing to compare `latest` with: read the whole day", days=tuple(days_of(retained)))
    # Any window without an object is a hole, but for the two ends of the day: the hour that has just begun may not
    # have been written yet, and the one that the cutoff crosses may have been emptied by the retention.
    missing = sorted(set(retained[1:-1]) - set(stored))
    if missing:
        # The window before the hole was probably left half filled. Today in any case: without `latest`, nothing else
        # brings what has come since, and after midnight a hole may end with yesterday.
        days = days_of([max(missing[0] - WINDOW, retained[0]), *missing, retained[-1]])
        return Plan(
            reason=f"{len(missing)} windows are missing, the first {missing[0]:%Y-%m-%dT%H:%MZ}", days=tuple(days)
        )
    return Plan(reason="all windows are there", latest=True)


def after_latest(latest: pa.Table, watermarks: pa.Table, measures: pa.Table, now: datetime) -> Plan:
    """Decide what else to ask for, now that `latest` shows where each measure stands.

    Args:
        latest: the answer, one row a measure: measure_id (dictionary or string), date_time.
        watermarks: schema `WATERMARKS`.
        measures: the newest snapshot (measure_id, period_s); may be empty.
        now: the time at which `latest` was asked.

    Returns:
        The plan: which rows of `latest` to take, which measures jumped, and whether days are read instead.
    """
    now = utc(now)
    ids = latest["measure_id"].cast(pa.string()).combine_chunks()
    at = _milliseconds(latest["date_time"])
    watermark, step = _stand(ids, watermarks, measures)
    # A watermark that has left the retained day only says that the whole day may be new.
    edge = to_ms(cutoff(now))
    moved = at > np.maximum(watermark, edge)
    take = moved & (watermark > edge) & (at - watermark <= step * STEP_TOLERANCE) & (at <= to_ms(now))
    jumped = moved & ~take
    # Where the next reading after the watermark falls on today, today's answer holds all that is new of this measure.
    within_today = jumped & (np.maximum(_due(watermark, step), edge) >= to_ms(midnight(now.date())))
    return _cheapest(ids, within_today, jumped & ~within_today, take, step, now)


def _cheapest(
    ids: pa.Array,
    within_today: npt.NDArray[np.bool_],
    earlier: npt.NDArray[np.bool_],
    take: npt.NDArray[np.bool_],
    step: npt.NDArray[np.float64],
    now: datetime,
) -> Plan:
    """Of the three ways to catch up with the measures that jumped, the one that costs the API least."""
    jumped = within_today | earlier
    today = now.date()
    yesterday = today - timedelta(days=1)
    rows_a_day = float(np.sum(86_400_000 / step[np.isfinite(step) & (step > 0)]))
    day_s = REQUEST_S + rows_a_day / ROWS_PER_S
    since_midnight = (now - midnight(today)) / timedelta(days=1)
    today_s = REQUEST_S + rows_a_day * since_midnight / ROWS_PER_S
    each = int(jumped.sum()) * REQUEST_S
    options = [
        (each, (), jumped),
        (today_s + int(earlier.sum()) * REQUEST_S, (today,), earlier),
        (today_s + day_s, (yesterday, today), np.zeros_like(jumped)),
    ]
    cost, days, since = min(options, key=lambda option: option[0])
    counts = f"{int(take.sum())} measures moved by one step, {int(jumped.sum())} jumped"
    if not days:
        reason = f"{counts}: ask each, about {cost:.1f} s of the API's time"
    else:
        each_s = f"asking each would take about {each:.1f} s"
        reason = f"{counts}: {each_s}, {_days(days)} and {int(since.sum())} measures {cost:.1f} s"
    # A page of `latest` may repeat what the one before it held.
    chosen = pc.unique(ids.filter(pa.array(since))).to_pylist()
    return Plan(reason=reason, days=tuple(days), latest=True, since=tuple(chosen), take=take)


def watermarks_of(readings: Windowed, now: datetime) -> pa.Table:
    """The watermarks that follow from all retained readings of some measures.

    Args:
        readings: every retained reading of each measure that is in it.
        now: readings after this have no say: the gauge's clock is wrong, and what is due is still to come.

    Returns:
        Schema `WATERMARKS`, one row a measure that has a retained reading. `interval_s` is the 10th percentile of the
        gaps: a gauge that reports every five minutes in a flood counts as a five-minute gauge for that day.
    """
    retained = readings.between(to_ms(cutoff(now)), to_ms(now))
    found = [_watermarks_of(retained.ids, block) for block in retained.by_measure().each()]
    return pa.concat_tables([WATERMARKS.empty_table(), *found]).combine_chunks()


def _watermarks_of(ids: pa.Array, block: MeasureBlock) -> pa.Table:
    if not len(block.measure):
        return WATERMARKS.empty_table()
    measure, at = block.measure, block.columns["at"]
    first = np.flatnonzero(begins(measure))
    last = np.append(first[1:], len(measure)) - 1
    inside = measure[1:] == measure[:-1]
    # Sorted by size inside each measure.
    gaps = ordered(measure[1:][inside], np.diff(at)[inside])[1]
    count = last - first  # gaps of each measure
    start = np.cumsum(count) - count
    known = count >= 2
    step = np.zeros(len(last), dtype=np.int64)
    step[known] = gaps[(start + (count - 1) // 10)[known]]
    return pa.table(
        [
            ids.take(pa.array(block.first + measure[last])),
            pa.array(at[last]).cast(TIME),
            pa.array((step // 1000).astype(np.int32), mask=~known),
        ],
        schema=WATERMARKS,
    )


def credible(newer: pa.Table, watermarks: pa.Table, measures: pa.Table, first_day: date, now: datetime) -> pa.Table:
    """Those of the newer watermarks whose past is complete although only days from `first_day` on were read.

    A measure whose next reading may be dated before that keeps its old watermark, so that the next tick sees it jump:
    its batch arrived after `latest` was asked, or it could not be asked itself.

    Args:
        newer: what follows from the days, schema `WATERMARKS`.
        watermarks: how far the lake was complete before, schema `WATERMARKS`.
        measures: the newest snapshot (measure_id, period_s); may be empty.
        first_day: the oldest UTC day that was read; all days from it to those of the newer watermarks were.
        now: the time of the tick.
    """
    start = midnight(first_day)
    if start <= cutoff(now):
        return newer
    watermark, step = _stand(newer["measure_id"].combine_chunks(), watermarks, measures)
    return newer.filter(pa.array(_due(watermark, step) >= to_ms(start)))


def _stand(
    ids: pa.Array, watermarks: pa.Table, measures: pa.Table
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Where each measure stands, in milliseconds: its watermark, long ago without one, and its step.

    The step is the shorter of what is nominal and what is usual. It is NaN where the habit is not known yet: a gauge
    that is listed with 15 minutes may report every five. It is NaN for an event gauge, which is listed without a
    period: whatever it shows may hide another event, however regular the last ones were. A measure that is not
    listed at all is judged by its habit alone.
    """
    index = _index_in(ids, watermarks["measure_id"])
    watermark = np.append(_milliseconds(watermarks["newest"]), 0)[index]
    usual = _at(watermarks["interval_s"], index, absent=np.nan)
    nominal = _at(measures["period_s"], _index_in(ids, measures["measure_id"]), absent=np.inf)
    return watermark, np.minimum(nominal, usual) * 1000


def _due(watermark: npt.NDArray[np.int64], step: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The earliest time that the reading after the watermark can have: any, where the step is not known."""
    earliest: npt.NDArray[np.float64] = watermark.astype(np.float64) + np.where(np.isnan(step), 0, step)
    return earliest


def _index_in(ids: pa.Array, known: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Where each id stands among the known ones; -1 where it does not."""
    found = pc.index_in(ids, value_set=known.combine_chunks())
    return found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)


def _at(column: pa.ChunkedArray, index: npt.NDArray[np.int64], absent: float) -> npt.NDArray[np.float64]:
    """The column's numbers at the indices: NaN for null, `absent` where the index is -1."""
    values = np.append(column.cast(pa.float64()).to_numpy(), absent)
    return values[index]


def _milliseconds(times: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return times.cast(TIME).cast(pa.int64()).to_numpy()


def _days(days: Sequence[date]) -> str:
    return " and ".join(str(day) for day in days)
