"""Count expected and received readings per measure and window, and the cause of each missing one.

A gauge's reporting interval makes a row of moments at which a reading is expected. A reading within half an interval of
such a moment takes its place. A place that nothing takes is missing, for one of three reasons:

* *silent*: the API was asked when the reading was due, and had none. Every empty place before a measure's watermark is
  silent: the gauge has reported something newer, and everything up to there was asked for.
* *not due*: this gauge usually reports later.
* *not fetched*: nobody has asked since it was due, the API showed that there is more and it was not available, or the
  window that held it is damaged.

Nobody asks for pushed measures, so of those nothing is ever not fetched: what is due and did not come is silent.

A reading that the API shows later than a newer one of the same measure counts as silent until a reconcile finds it.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.grouping import HOUR_MS, Flags, Floats, Ints, runs
from flood_assets.lake.watermarks import Asked, Watermarks
from flood_assets.ledger.day import Day, milliseconds
from flood_assets.ledger.delays import JITTER, NEVER, Delays, polled_before, seconds
from flood_assets.ledger.intervals import ReportingIntervals
from flood_assets.partitions import cutoff, retained_windows, to_ms
from flood_assets.schemas import COMPLETENESS, TIME

# Allowed delay of a gauge that was never watched: 98.96 % of the measures in the whole `latest` of 2024-02-29 were at
# most this far behind.
UNWATCHED = 12 * HOUR_MS

JITTER_MS = JITTER // timedelta(milliseconds=1)

# A reading that is due is asked for at the next tick, and the tick takes a moment.
ROUND = 20 * 60_000

# Places worked on at once: so many need some 100 MB, and a country has 700,000.
AT_ONCE = 1_000_000


@dataclass(frozen=True)
class _Known:
    """Record of asking, by measure (`watermark`, `behind`, `due_after`) and window (`asked`, `lost`); ms or `NEVER`."""

    watermark: Ints
    behind: Ints
    due_after: Floats
    asked: Ints
    lost: Flags

    @classmethod
    def of(
        cls, watermarks: Watermarks | None, lost: Container[datetime], day: Day, delays: Delays, windows: list[datetime]
    ) -> "_Known":
        watermark = np.full(len(day.measures), NEVER)
        asked = watermarks.asked if watermarks else Asked()
        if watermarks is not None:
            watermark = _by_measure(day, watermarks.rows["measure_id"], milliseconds(watermarks.rows["newest"]))
        shown = np.array([to_ms(moment) for moment in asked.behind.values()], np.int64)
        polled = to_ms(asked.polls[-1]) if asked.polls else NEVER
        read = [to_ms(asked.read[window]) if window in asked.read else NEVER for window in windows]
        # A gauge that has not reported all day and was never watched has nothing to wait for.
        unknown = np.where(np.bincount(day.measure, minlength=len(day.measures)) > 0, UNWATCHED, 0)
        return cls(
            watermark=watermark,
            behind=_by_measure(day, pa.chunked_array([pa.array(list(asked.behind), pa.string())]), shown),
            due_after=np.where(np.isnan(delays.due_after), unknown, delays.due_after),
            asked=np.maximum(np.array(read, np.int64), polled),
            lost=np.array([window in lost for window in windows], np.bool_),
        )


def _by_measure(day: Day, ids: pa.ChunkedArray, at: Ints) -> Ints:
    """Return the time of each of the day's measures, `NEVER` for those without an id."""
    place = pc.index_in(ids.combine_chunks(), value_set=day.measures).fill_null(-1).to_numpy(zero_copy_only=False)
    found = np.full(len(day.measures), NEVER)
    found[place[place >= 0]] = at[place >= 0]
    return found


def counts_of(
    day: Day,
    intervals: ReportingIntervals,
    delays: Delays,
    watermarks: Watermarks | None,
    lost: Container[datetime],
    now: datetime,
) -> Mapping[datetime, pa.Table]:
    """Return for each retained window, oldest first, a table of schema `schemas.COMPLETENESS`: one row a measure.

    Only moments after the cutoff and up to now count, so the first and the last window expect less than others.

    Args:
        day: the retained readings.
        intervals: reporting intervals of its measures.
        delays: delays of its measures.
        watermarks: the lake's, which say when the API was asked for what; None when it has none.
        lost: windows whose object is damaged.
        now: decides which readings are retained and which are due.
    """
    windows = retained_windows(now)
    size, width = len(day.measures), len(windows)
    origin, cut, end = to_ms(windows[0]), to_ms(cutoff(now)), to_ms(now)
    known = _Known.of(watermarks, lost, day, delays, windows)

    kept = (day.at > cut) & (day.at <= end)
    cell = (day.measure * width + (day.at - origin) // HOUR_MS)[kept]
    overdue = polled_before(watermarks.asked.polls if watermarks else (), day.seen)
    due = day.at + known.due_after[day.measure]
    late = np.where(day.pushed[day.measure], day.seen > due + JITTER_MS, overdue >= due)
    found = {
        "received": np.bincount(cell, minlength=size * width),
        "late": np.bincount(cell[late[kept]], minlength=size * width),
        "several": np.bincount(cell[day.several[kept]], minlength=size * width),
        "without_value": np.bincount(cell[day.empty[kept]], minlength=size * width),
        **{name: np.zeros(size * width, np.int64) for name in ("expected", "silent", "not_due", "not_fetched")},
    }
    for a, b in runs(_places(intervals, cut, end)[1], AT_ONCE):
        for name, count in _expected(day, intervals, known, (a, b), cut, end, origin).items():
            found[name][a * width : b * width] = count
    found["missing"] = found["silent"] + found["not_due"] + found["not_fetched"]

    by_window = {name: np.ascontiguousarray(count.reshape(size, width).T, np.int32) for name, count in found.items()}
    same = {
        "measure_id": day.measures,
        "station_id": day.stations,
        "interval_s": seconds(np.where(intervals.interval > 0, intervals.interval, np.nan)),
        "observed_at": pa.repeat(pa.scalar(now, TIME), size),
    }
    tables = {}
    for number, window in enumerate(windows):
        columns = same | {name: pa.array(count[number]) for name, count in by_window.items()}
        columns["window_start"] = pa.repeat(pa.scalar(window, TIME), size)
        names = COMPLETENESS.schema.names
        tables[window] = pa.table([columns[name] for name in names], schema=COMPLETENESS.schema)
    return tables


def _places(intervals: ReportingIntervals, cut: int, end: int) -> tuple[Ints, Ints]:
    """Return the number of each measure's first place after the cutoff, and how many there are until now."""
    interval = np.maximum(intervals.interval, 1)
    first = (cut - intervals.phase) // interval + 1
    return first, np.where(intervals.interval > 0, (end - intervals.phase) // interval - first + 1, 0)


def _expected(
    day: Day, intervals: ReportingIntervals, known: _Known, block: tuple[int, int], cut: int, end: int, origin: int
) -> dict[str, Ints]:
    """Count the expected readings of a block of measures, and the missing ones by cause, by measure and window."""
    a, b = block
    width = len(known.asked)
    first, count = (column[a:b] for column in _places(intervals, cut, end))
    interval, phase = np.maximum(intervals.interval[a:b], 1), intervals.phase[a:b]
    offset = np.cumsum(count) - count

    rows = slice(*np.searchsorted(day.measure, (a, b)).tolist())
    whose, read = day.measure[rows] - a, day.at[rows]
    own = interval[whose]
    place = (read - phase[whose] + own // 2) // own - first[whose]
    inside = (place >= 0) & (place < count[whose])
    absent = np.ones(count.sum(), np.bool_)
    absent[(offset[whose] + place)[inside]] = False

    # How many places come before each window's end.
    ends = origin + HOUR_MS * np.arange(width + 1)[:, None]
    before = np.clip((ends - 1 - phase) // interval + 1 - first, 0, count)
    expected = np.diff(before, axis=0).T

    # The reading of a wandering clock at the very edge of the day may lie just past it and be gone. It wanders by less
    # than an interval: only the first place can be that one.
    due = np.flatnonzero(count)
    at = (phase + first * interval)[due]
    gone = absent[offset[due]] & (at - intervals.wander[a:b][due] <= cut)
    absent[offset[due[gone]]] = False
    expected[due[gone], (at[gone] - origin) // HOUR_MS] -= 1

    of = np.repeat(np.arange(b - a), count)[absent]
    at = phase[of] + (first[of] + np.flatnonzero(absent) - offset[of]) * interval[of]
    window, measure = (at - origin) // HOUR_MS, of + a
    due = at + known.due_after[measure]
    passed, lost = at <= known.watermark[measure], known.lost[window]
    ours = np.where(passed, lost, at <= known.behind[measure])
    silent = ~ours & (passed | (~lost & (known.asked[window] + JITTER_MS >= due)))
    pushed = day.pushed[measure]
    silent = np.where(pushed, end >= due + ROUND, silent)
    not_due = np.where(pushed, ~silent, ~ours & ~silent & (end < due + ROUND))
    causes = {"silent": silent, "not_due": not_due, "not_fetched": ~silent & ~not_due}
    cell = of * width + window
    missing = {name: np.bincount(cell[which], minlength=(b - a) * width) for name, which in causes.items()}
    return {"expected": expected.ravel(), **missing}
