"""Whether an answer can be all that the API has: judged by what it showed before, and shows elsewhere.

A server that gives up in the middle of an answer may end it cleanly: nothing on the wire tells that from a whole one.
But the API forgets nothing for 28 days. What it has shown of the retained day it shows again, and of a measure whose
newest reading is in `latest` that reading is in the answer for its day. An answer that lacks more of this than the API
could have taken back is doubted, and `refresh` asks some measures singly: what those answers hold and the doubted one
does not is proof. Without such proof the API really has no more, as after an outage of its own, and is believed.

Pure: what was shown comes in by window, and nothing here asks.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.grouping import HOUR_MS, Windowed, keys
from flood_assets.partitions import WINDOW, cutoff, midnight, to_ms, windows_between
from flood_assets.schemas import TIME

# The API is not known to take readings back. One in a hundred, or a few, are no reason for doubt.
TAKEN_BACK = 0.01
FEW = 3

# A proxy may give an answer that is a minute older than the one before: some readings that were just shown are absent.
NOT_YET = 0.1

# What is said of a whole country is said of this many measures at least: single gauges fall silent and come back.
COUNTRY = 20

# Three in four measures have shown an hour by then. Less than a third of it is an outage of the source, or an answer
# cut short; in the recorded days hours with two fifths of the usual occur.
SETTLED = timedelta(hours=2)
THIRD = 1 / 3
NEW_MEASURES = 0.05
RHYTHM = 0.75
SHORTEST_STEP_S = 300

# Measures that are asked singly to tell which.
WITNESSES = 8


def of_latest(latest: pa.Table, watermarks: pa.Table, now: datetime) -> str:
    """Why `latest` cannot be all; empty when it can.

    Args:
        latest: measure_id, date_time.
        watermarks: schema `WATERMARKS`; those older than a day have no say, as the API may have forgotten them.
        now: when it was asked.
    """
    known = watermarks.filter(pc.greater(watermarks["newest"], pa.scalar(cutoff(now), TIME)))
    # Of several readings of a measure the first that is found, which is the newest.
    shown = latest.take(pc.sort_indices(latest, sort_keys=[("date_time", "descending")]))
    ids = shown["measure_id"].cast(pa.string()).combine_chunks()
    newest = shown["date_time"].take(pc.index_in(known["measure_id"], value_set=ids))
    lacking = len(known) - (pc.sum(pc.greater_equal(newest, known["newest"])).as_py() or 0)
    if lacking <= _tolerated(len(known), TAKEN_BACK):
        return ""
    return f"`latest` lacks {lacking} of the {len(known)} measures that reported within a day, or shows them older"


def of_days(
    shown: Windowed,
    days: Sequence[date],
    *,
    watermarks: pa.Table,
    latest: Windowed | None,
    held: Mapping[datetime, int],
    listed: int,
    now: datetime,
) -> str:
    """Why the answers for some days cannot be all; empty when they can.

    Args:
        shown: what they gave together.
        days: UTC days that follow each other, oldest first.
        watermarks: the watermarks that follow from what they gave, schema `WATERMARKS`.
        latest: what `latest` showed before; None when it was not asked.
        held: how many readings the lake holds of each of its windows.
        listed: how many measures the API lists; 0 when that is not known.
        now: when they were asked.
    """
    named = " and ".join(str(day) for day in days)
    if latest is not None:
        newest = _of_days(latest, days)
        lacking = len(_without(newest, shown))
        if lacking > _tolerated(len(newest), NOT_YET):
            return f"the answers for {named} lack the newest reading of {lacking} of {len(newest)} measures"
    windows = windows_between(midnight(days[0]), min(midnight(days[-1]) + timedelta(hours=23), now))
    of_each = {window.start: len(window) for window in shown.windows}
    counts = np.array([of_each.get(to_ms(window), 0) for window in windows])
    there = np.array([held.get(window, 0) for window in windows])
    lacking, known = int(np.maximum(there - counts, 0).sum()), int(there.sum())
    if lacking > _tolerated(known, TAKEN_BACK):
        return f"the answers for {named} lack {lacking:,} of {known:,} readings that the API has shown before"
    present = np.count_nonzero(_present(shown))
    if present < COUNTRY <= listed and now >= settled(days[0]):
        return f"the answers for {named} show {present} of the {listed} measures that the API lists"
    if present < COUNTRY:
        return ""
    return _of_hours(windows, counts, now) or _of_measures(shown, days, now) or _of_rhythm(shown, days, watermarks, now)


def _of_hours(windows: Sequence[datetime], counts: npt.NDArray[np.int64], now: datetime) -> str:
    """A country does not fall silent for an hour."""
    usual = float(np.median(counts[counts > 0]))
    settled = np.array([window + WINDOW <= now - SETTLED for window in windows])
    silent = np.flatnonzero(settled & (counts < THIRD * usual))
    if not len(silent):
        return ""
    return (
        f"of {len(windows)} hours {len(silent)}, from {windows[silent[0]]:%Y-%m-%dT%H:%MZ} on, have less than a third "
        f"of the usual {usual:,.0f} readings, the least {counts[silent].min():,}"
    )


def _of_measures(shown: Windowed, days: Sequence[date], now: datetime) -> str:
    """Nor does it grow overnight."""
    for day, following in pairwise(days):
        after = _present(_of_days(shown, [following]))
        fresh = int(np.count_nonzero(after & ~_present(_of_days(shown, [day]))))
        known = int(np.count_nonzero(after))
        if now >= settled(following) and fresh > _tolerated(known, NEW_MEASURES):
            return f"{fresh} of the {known} measures of {following} have no reading of {day}"
    return ""


def _of_rhythm(shown: Windowed, days: Sequence[date], watermarks: pa.Table, now: datetime) -> str:
    """Nor do its gauges skip every third reading of a day."""
    # What reports by the minute is an event gauge: it has no rhythm to keep.
    regular = watermarks.filter(pc.greater_equal(watermarks["interval_s"], SHORTEST_STEP_S))
    code = pc.index_in(regular["measure_id"].combine_chunks(), value_set=shown.ids)
    code, step = code.to_numpy(zero_copy_only=False), regular["interval_s"].to_numpy()
    for day in days:
        count, first, last = _of_days(shown, [day]).between(to_ms(cutoff(now)), to_ms(now)).spans()
        here = count[code] > 0
        span = (last - first)[code[here]] // 1000
        expected, found = int(np.sum(span // step[here] + 1)), int(np.sum(count[code]))
        if found < RHYTHM * expected:
            return f"the measures show {found:,} readings of {day} where their own rhythm makes {expected:,}"
    return ""


def settled(day: date) -> datetime:
    """When a day must have readings: before that it may have none yet."""
    return midnight(day) + SETTLED


def absent(newest: Windowed, shown: Windowed, days: Sequence[date] | None = None) -> list[str]:
    """The measures whose newest reading, if it is of the days, is not among those that were shown."""
    due = newest if days is None else _of_days(newest, days)
    return _ids(_without(due, shown))


def witnesses(shown: Windowed, watermarks: pa.Table, days: Sequence[date]) -> list[str]:
    """Measures to ask singly: half of them known and absent from one of the days, if there are any, half others."""
    everywhere = np.logical_and.reduce([_present(_of_days(shown, [day])) for day in days])
    present = set(shown.ids.filter(pa.array(everywhere)).to_pylist())
    lost = {*watermarks["measure_id"].to_pylist(), *_ids(shown)} - present
    chosen = _spread(sorted(lost), WITNESSES // 2)
    return chosen + _spread(sorted(present), WITNESSES - len(chosen))


def contradicted(shown: Windowed, said: Windowed, days: Sequence[date], now: datetime) -> bool:
    """Whether witnesses say of retained readings of the days that were not shown."""
    of_them = _of_days(said, days).between(to_ms(cutoff(now)), to_ms(now))
    return len(_without(of_them, shown)) > _tolerated(len(of_them), TAKEN_BACK)


def _of_days(readings: Windowed, days: Sequence[date]) -> Windowed:
    """The readings of days that follow each other."""
    start = to_ms(midnight(days[0]))
    return readings.between(start - 1, start + len(days) * 24 * HOUR_MS - 1)


def _without(readings: Windowed, others: Windowed) -> Windowed:
    """Those of the readings that are not among others."""
    to = pc.index_in(readings.ids, value_set=others.ids).fill_null(-1).to_numpy(zero_copy_only=False)
    theirs = {window.start: keys(window.measure, window.time) for window in others.windows}
    left = []
    for window in readings.windows:
        there = theirs.get(window.start)
        if there is None:
            left.append(window)
            continue
        # A measure that the others have not has a key below all of theirs.
        key = keys(to[window.measure], window.time)
        at = np.minimum(np.searchsorted(there, key), len(there) - 1)
        left.append(window.where(there[at] != key))
    return Windowed(readings.ids, [window for window in left if len(window)])


def _present(readings: Windowed) -> npt.NDArray[np.bool_]:
    """Whether each of the ids has a reading."""
    present = np.zeros(len(readings.ids), np.bool_)
    for window in readings.windows:
        present[window.measure] = True
    return present


def _ids(readings: Windowed) -> list[str]:
    """The measures that have a reading, sorted."""
    found: list[str] = readings.ids.filter(pa.array(_present(readings))).to_pylist()
    return found


def _tolerated(known: int, share: float) -> float:
    return max(FEW, share * known)


def _spread(ids: Sequence[str], most: int) -> list[str]:
    """Some of the ids, evenly over all of them."""
    return [ids[i] for i in sorted({round(at) for at in np.linspace(0, len(ids) - 1, most).tolist()})] if ids else []
