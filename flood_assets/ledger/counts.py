"""What each window lets expect of each measure, what came, and for what is missing the cause.

A gauge's rhythm makes a row of moments at which a reading is expected. One that is within half a step of such a moment
takes its place. A place that nothing takes is missing, for one of three reasons:

* *silent*: the API was asked when the reading was due, and had none. Before a measure's watermark this is so for every
place
  that is empty: the gauge has reported something newer, and everything up to there was asked for.
* *not due*: this gauge usually reports later.
* *not fetched*: nobody has asked since it was due; or the API showed that there is more and it could not be had; or
  what was had was lost with a damaged window.

What the API shows too late for the order of its own times (a reading older than one that it showed before) counts as
silent until a reconcile finds it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.lake.watermarks import Asked, Watermarks
from flood_assets.ledger.day import Day, Flags, milliseconds
from flood_assets.ledger.delays import JITTER, NEVER, Delays, polled_before, seconds
from flood_assets.ledger.groups import Floats, Ints
from flood_assets.ledger.rhythm import Rhythm
from flood_assets.partitions import cutoff, retained_windows, to_ms
from flood_assets.schemas import COMPLETENESS, TIME

HOUR = 3_600_000

# How long a gauge is given whose delay nobody has watched yet: 98.96 % of the measures in the whole `latest` of
# 2024-02-29 were at most this far behind.
UNWATCHED = 12 * HOUR

JITTER_MS = JITTER // timedelta(milliseconds=1)

# What is due is asked for at the next tick, and the tick takes a moment.
ROUND = 20 * 60_000

# Places worked on at once: so many need some 100 MB, and a country has 700,000.
AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Evidence:
    """What the lake knows of its own asking.

    Attributes:
        watermarks: how far it is complete and when the API was asked for what; None when it does not know.
        lost: windows whose object cannot be read.
    """

    watermarks: Watermarks | None
    lost: frozenset[datetime] = field(default_factory=frozenset)


@dataclass(frozen=True)
class _Of:
    """The evidence by measure and by window; ms, `NEVER` where there is none."""

    watermark: Ints
    behind: Ints
    due_after: Floats
    asked: Ints
    lost: Flags

    @classmethod
    def of(cls, evidence: Evidence, day: Day, delays: Delays, windows: list[datetime]) -> "_Of":
        size = len(day.measures)
        watermark, behind = np.full(size, NEVER), np.full(size, NEVER)
        asked = watermarks.asked if (watermarks := evidence.watermarks) else Asked()
        if watermarks is not None:
            at = _places(day, watermarks.rows["measure_id"].combine_chunks())
            watermark[at[at >= 0]] = milliseconds(watermarks.rows["newest"])[at >= 0]
            at = _places(day, pa.array(list(asked.behind), pa.string()))
            behind[at[at >= 0]] = np.array([to_ms(moment) for moment in asked.behind.values()], np.int64)[at >= 0]
        polled = to_ms(asked.polls[-1]) if asked.polls else NEVER
        read = {window: to_ms(moment) for window, moment in asked.read.items()}
        heard = np.bincount(day.measure, minlength=size) > 0
        # A gauge that has not reported all day and was never watched has nothing to wait for.
        unknown = np.where(heard, UNWATCHED, 0)
        return cls(
            watermark=watermark,
            behind=behind,
            due_after=np.where(np.isnan(delays.due_after), unknown, delays.due_after),
            asked=np.array([max(polled, read.get(window, NEVER)) for window in windows], np.int64),
            lost=np.array([window in evidence.lost for window in windows], np.bool_),
        )


def counts_of(
    day: Day, rhythm: Rhythm, delays: Delays, evidence: Evidence, now: datetime
) -> Mapping[datetime, pa.Table]:
    """For each retained window, oldest first, a table of schema `schemas.COMPLETENESS`: one row a measure.

    Only moments after the cutoff and up to now count, so the first and the last window let expect less than others.
    """
    windows = retained_windows(now)
    size, width = len(day.measures), len(windows)
    first, cut, end = to_ms(windows[0]), to_ms(cutoff(now)), to_ms(now)
    of = _Of.of(evidence, day, delays, windows)

    kept = (day.at > cut) & (day.at <= end)
    cell = (day.measure * width + (day.at - first) // HOUR)[kept]
    overdue = polled_before(watermarks.asked.polls if (watermarks := evidence.watermarks) else (), day.seen)
    late = overdue >= day.at + of.due_after[day.measure]
    found = {
        "received": np.bincount(cell, minlength=size * width),
        "late": np.bincount(cell[late[kept]], minlength=size * width),
        "several": np.bincount(cell[day.several[kept]], minlength=size * width),
        "without_value": np.bincount(cell[day.empty[kept]], minlength=size * width),
        **{name: np.zeros(size * width, np.int64) for name in ("expected", "silent", "not_due", "not_fetched")},
    }
    for a, b in _blocks(rhythm, cut, end):
        _expect(found, day, rhythm, of, (a, b), cut, end, first, width)
    found["missing"] = found["silent"] + found["not_due"] + found["not_fetched"]

    by_window = {name: count.reshape(size, width) for name, count in found.items()}
    step = seconds(np.where(rhythm.step > 0, rhythm.step, np.nan))
    observed = pa.repeat(pa.scalar(now, TIME), size)
    tables = {}
    for number, window in enumerate(windows):
        columns = {
            "measure_id": day.measures,
            "window_start": pa.repeat(pa.scalar(window, TIME), size),
            "station_id": day.stations,
            "interval_s": step,
            "observed_at": observed,
            **{name: pa.array(count[:, number].astype(np.int32)) for name, count in by_window.items()},
        }
        names = COMPLETENESS.schema.names
        tables[window] = pa.table([columns[name] for name in names], schema=COMPLETENESS.schema)
    return tables


def _slots(rhythm: Rhythm, cut: int, end: int) -> tuple[Ints, Ints]:
    """The number of each measure's first expected moment after the cutoff, and how many there are until now."""
    step = np.maximum(rhythm.step, 1)
    first = (cut - rhythm.phase) // step + 1
    return first, np.where(rhythm.step > 0, (end - rhythm.phase) // step - first + 1, 0)


def _blocks(rhythm: Rhythm, cut: int, end: int) -> list[tuple[int, int]]:
    """Measures from-to, so many at once that memory stays bounded in a network of any size."""
    count = _slots(rhythm, cut, end)[1]
    block = np.cumsum(count) // AT_ONCE
    edges = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), len(count)]
    return list(pairwise(edges))


def _expect(
    found: dict[str, Ints],
    day: Day,
    rhythm: Rhythm,
    of: _Of,
    block: tuple[int, int],
    cut: int,
    end: int,
    origin: int,
    width: int,
) -> None:
    """Count what is expected of a block of measures, and why what is missing is so."""
    a, b = block
    first, count = (column[a:b] for column in _slots(rhythm, cut, end))
    step, phase = np.maximum(rhythm.step[a:b], 1), rhythm.phase[a:b]
    offset = np.cumsum(count) - count

    rows = slice(*np.searchsorted(day.measure, (a, b)).tolist())
    whose, read = day.measure[rows] - a, day.at[rows]
    own = step[whose]
    place = (read - phase[whose] + own // 2) // own - first[whose]
    inside = (place >= 0) & (place < count[whose])
    absent = np.ones(count.sum(), np.bool_)
    absent[(offset[whose] + place)[inside]] = False

    # How many places come before each window's end.
    ends = origin + HOUR * np.arange(width + 1)[:, None]
    before = np.clip((ends - 1 - phase) // step + 1 - first, 0, count)
    expected = np.diff(before, axis=0).T

    # Of a clock that wanders, the reading at the very edge of the day may lie just past it and be gone. It wanders by
    # less than a step: only the first place can be that one.
    due = np.flatnonzero(count)
    at = (phase + first * step)[due]
    gone = absent[offset[due]] & (at - rhythm.wander[a:b][due] <= cut)
    absent[offset[due[gone]]] = False
    expected[due[gone], (at[gone] - origin) // HOUR] -= 1
    found["expected"][a * width : b * width] = expected.ravel()

    measure = np.repeat(np.arange(b - a), count)[absent]
    at = phase[measure] + (first[measure] + np.flatnonzero(absent) - offset[measure]) * step[measure]
    measure += a
    cell = measure * width + (at - origin) // HOUR
    due = at + of.due_after[measure]
    passed, lost = at <= of.watermark[measure], of.lost[cell % width]
    ours = np.where(passed, lost, at <= of.behind[measure])
    silent = ~ours & (passed | (~lost & (of.asked[cell % width] + JITTER_MS >= due)))
    not_due = ~ours & ~silent & (end < due + ROUND)
    for name, which in (("silent", silent), ("not_due", not_due), ("not_fetched", ~silent & ~not_due)):
        found[name] += np.bincount(cell[which], minlength=len(found[name]))


def _places(day: Day, ids: pa.Array) -> Ints:
    """Where ids stand among the day's measures; -1 where they do not."""
    place = pc.index_in(ids, value_set=day.measures).fill_null(-1)
    found: Ints = place.to_numpy(zero_copy_only=False).astype(np.int64)
    return found
