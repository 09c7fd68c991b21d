"""Decide what to ask the API for, from counts and times, each decision with its reason. Pure.

A refresh that asked only for `latest` would lose readings that a gauge uploads in a batch; one that always read whole
days would move sixty times the bytes. So a tick compares `latest` with the *watermarks*: per measure, the time up to
which everything the API published is stored. A measure that advanced by one reporting interval needs only its new
reading. One with several new readings is asked for by name, or the day is read whole when that costs less.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.grouping import Flags, Floats, Ints, MeasureBlock, Windowed, begins, ordered
from flood_assets.partitions import WINDOW, cutoff, days_of, midnight, retained_windows, to_ms, utc
from flood_assets.schemas import TIME, WATERMARKS
from flood_assets.words import counted

# Cost of a request in seconds of the API's time: a day of 490,000 rows took about 14 s in 2026, a small answer takes
# about a quarter of a second.
REQUEST_S = 0.25
ROWS_PER_S = 35_000
# A reading up to this many intervals after the last is the next one: seconds vary, gauges do not skip readings.
INTERVAL_TOLERANCE = 1.1


@dataclass(frozen=True)
class Known:
    """The lake before a fetch, as far as a fetch depends on it.

    Attributes:
        rows: number of stored readings of each window.
        watermarks: schema `WATERMARKS`.
        measures: the newest snapshot, at least measure_id and period_s; may be empty.
        marked: False if there are no watermarks to compare `latest` with, so that the whole day has to be read.
        requests: how many a bulk answer takes: one, or one for each station of a shard.
    """

    rows: Mapping[datetime, int]
    watermarks: pa.Table
    measures: pa.Table
    marked: bool = True
    requests: int = 1


@dataclass(frozen=True)
class Plan:
    """Requests to make.

    Attributes:
        reason: why, for the log and the run's metadata.
        days: UTC days to read whole, oldest first.
        latest: True to ask for `latest` first, and then call `after_latest`.
        since: measures whose retained day to ask for, one request each.
        take: rows of `latest` to store as they are: the measures with one new reading. Empty without `latest`.
    """

    reason: str
    days: tuple[date, ...] = ()
    latest: bool = False
    since: tuple[str, ...] = ()
    take: Flags = field(default_factory=lambda: np.zeros(0, np.bool_))


def reread(windows: Sequence[datetime]) -> Plan:
    """Plan to read each day that the windows touch, for a reconcile or for windows that a person asked for."""
    days = days_of(windows)
    return Plan(reason=f"reading {_days(days)} again, as requested", days=tuple(days))


def before_latest(stored: Sequence[datetime], *, marked: bool, now: datetime) -> Plan:
    """Plan from the stored windows alone: read days if windows are missing, else ask for `latest`.

    `marked` is True if the lake has watermarks to compare `latest` with.
    """
    retained = retained_windows(now)
    if not marked:
        return Plan(reason="first fill: downloading the whole day", days=tuple(days_of(retained)))
    # Every window must be there except the two ends of the day: the hour that has just begun may not have been written
    # yet, and the retention may have emptied the one that contains the cutoff.
    missing = sorted(set(retained[1:-1]) - set(stored))
    if missing:
        # The window before the hole is probably half filled. Today is always read: without `latest` nothing else brings
        # the newest readings, and after midnight a hole may end with yesterday.
        days = days_of([max(missing[0] - WINDOW, retained[0]), *missing, retained[-1]])
        are, first = "is" if len(missing) == 1 else "are", f"the first is {missing[0]:%Y-%m-%dT%H:%MZ}"
        gone = f"{counted(len(missing), 'window')} {are} missing, {first}"
        return Plan(f"{gone}: downloading {_days(days)}", days=tuple(days))
    return Plan(reason="no window is missing: asking for the newest readings", latest=True)


def after_latest(latest: pa.Table, lake: Known, now: datetime) -> Plan:
    """Plan what else to ask for, given the newest reading of each measure and the lake before.

    The answer `latest`, asked at `now`, has one row a measure: measure_id (dictionary or string), date_time.
    """
    now = utc(now)
    ids = latest["measure_id"].cast(pa.string()).combine_chunks()
    at = _milliseconds(latest["date_time"])
    watermark, interval = _stand(ids, lake)
    # A watermark older than the cutoff tells nothing: the whole day may be new.
    edge = to_ms(cutoff(now))
    newer = at > np.maximum(watermark, edge)
    take = newer & (watermark > edge) & (at - watermark <= interval * INTERVAL_TOLERANCE) & (at <= to_ms(now))
    several = newer & ~take
    # Today's answer is enough if the first reading after the watermark is dated today.
    today = np.maximum(_due(watermark, interval), edge) >= to_ms(midnight(now.date()))
    return _cheapest(ids, several & today, several & ~today, take, interval, now, REQUEST_S * lake.requests)


def _cheapest(
    ids: pa.Array,
    within_today: Flags,
    earlier: Flags,
    take: Flags,
    interval: Floats,
    now: datetime,
    bulk_s: float,
) -> Plan:
    """Choose the cheapest of three ways to fetch the measures with several new readings; `bulk_s` without its rows."""
    several = within_today | earlier
    today = now.date()
    rows_a_day = float(np.sum(86_400_000 / interval[np.isfinite(interval) & (interval > 0)]))
    day_s = bulk_s + rows_a_day / ROWS_PER_S
    since_midnight = (now - midnight(today)) / timedelta(days=1)
    today_s = bulk_s + rows_a_day * since_midnight / ROWS_PER_S
    each_s = int(several.sum()) * REQUEST_S
    options = [
        (each_s, (), several),
        (today_s + int(earlier.sum()) * REQUEST_S, (today,), earlier),
        (today_s + day_s, (today - timedelta(days=1), today), np.zeros_like(several)),
    ]
    cost, days, since = min(options, key=lambda option: option[0])
    one, more = int(take.sum()), int(several.sum())
    have = [counted(one, "measure has", "measures have"), f"{more:,} {'has' if more == 1 else 'have'}"]
    reason = f"{have[0]} one new reading, {have[1]} several"
    if days:
        single = f" and {counted(int(since.sum()), 'measure')}" if since.any() else ""
        reason += f": downloading {_days(days)}{single} (about {cost:.1f} s, one by one {each_s:.1f} s)"
    elif each_s:
        reason += f": asking for each of them (about {cost:.1f} s)"
    # A page of `latest` may repeat rows of the one before it.
    chosen = pc.unique(ids.filter(pa.array(since))).to_pylist()
    return Plan(reason=reason, days=tuple(days), latest=True, since=tuple(chosen), take=take)


def watermarks_of(readings: Windowed, now: datetime) -> pa.Table:
    """Return the watermarks that follow from all retained readings of some measures.

    Args:
        readings: every retained reading of each measure in it.
        now: later readings do not count: the gauge's clock is wrong, and earlier readings are still to come.

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
    interval = np.zeros(len(last), dtype=np.int64)
    interval[known] = gaps[(start + (count - 1) // 10)[known]]
    return pa.table(
        [
            ids.take(pa.array(block.first + measure[last])),
            pa.array(at[last]).cast(TIME),
            pa.array((interval // 1000).astype(np.int32), mask=~known),
        ],
        schema=WATERMARKS,
    )


def credible(newer: pa.Table, lake: Known, first_day: date, now: datetime) -> pa.Table:
    """Return the newer watermarks of measures that are complete although only days from `first_day` on were read.

    A measure whose next reading may be dated before that keeps its old watermark, and the next tick fetches the rest:
    its batch arrived after `latest` was asked, or its own request failed. All UTC days from `first_day` to those of the
    newer watermarks (schema `WATERMARKS`) were read; `lake` is its content before.
    """
    start = midnight(first_day)
    if start <= cutoff(now):
        return newer
    watermark, interval = _stand(newer["measure_id"].combine_chunks(), lake)
    return newer.filter(pa.array(_due(watermark, interval) >= to_ms(start)))


def _stand(ids: pa.Array, lake: Known) -> tuple[Ints, Floats]:
    """Return each measure's watermark, long ago without one, and reporting interval, both in milliseconds.

    The interval is the shorter of the listed period and the observed interval. It is NaN while the latter is unknown:
    a gauge that is listed with 15 minutes may report every five. It is NaN for an event gauge, which is listed without
    a period: any reading may hide another, however regular the last ones were. A measure that is not listed has only
    its observed interval.
    """
    index = _index_in(ids, lake.watermarks["measure_id"])
    watermark = np.append(_milliseconds(lake.watermarks["newest"]), 0)[index]
    observed = _at(lake.watermarks["interval_s"], index, absent=np.nan)
    listed = _at(lake.measures["period_s"], _index_in(ids, lake.measures["measure_id"]), absent=np.inf)
    return watermark, np.minimum(listed, observed) * 1000


def _due(watermark: Ints, interval: Floats) -> Floats:
    """Return the earliest possible time of the reading after the watermark: any, if the interval is not known."""
    return watermark.astype(np.float64) + np.where(np.isnan(interval), 0, interval)


def _index_in(ids: pa.Array, known: pa.ChunkedArray) -> Ints:
    """Return the place of each id among the known ones; -1 for others."""
    found = pc.index_in(ids, value_set=known.combine_chunks())
    return found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)


def _at(column: pa.ChunkedArray, index: Ints, absent: float) -> Floats:
    """Return the column's numbers at the indices: NaN for null, `absent` where the index is -1."""
    return np.append(column.cast(pa.float64()).to_numpy(), absent)[index]


def _milliseconds(times: pa.ChunkedArray) -> Ints:
    return times.cast(TIME).cast(pa.int64()).to_numpy()


def _days(days: Sequence[date]) -> str:
    return " and ".join(str(day) for day in days)
