"""Detect incomplete API responses by comparing them with earlier ones. Pure.

A server that gives up in the middle of an answer may end it cleanly: nothing in HTTP tells that from a whole one. But
the API keeps 28 days. Retained readings that it showed before must be in its answers again, and the newest reading of a
measure in `latest` must be in the answer for its day. An answer that lacks more of them than the API could have removed
is suspect, and some measures are asked for singly, as spot checks: readings that those answers have and the suspect one
does not prove it incomplete. Without such proof the API really has no more, as after an outage, and the answer is
accepted.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.grouping import HOUR_MS, Flags, Ints, Windowed, keys
from flood_assets.partitions import WINDOW, cutoff, midnight, to_ms, windows_between

# The API is not known to remove readings. One in a hundred, or a few, may be missing.
REMOVED = 0.01
FEW = 3
# A proxy may give an answer that is a minute older than the one before: some of the newest readings are missing.
NOT_YET = 0.1
# The fewest measures to which the rules for a whole country apply: single gauges fall silent and come back.
COUNTRY = 20
# Three in four measures have shown an hour by then. Less than a third of the usual readings are an outage of the
# source, or an answer cut short; hours with two fifths of them occur in the recorded days.
SETTLED = timedelta(hours=2)
THIRD = 1 / 3
NEW_MEASURES = 0.05
REGULAR = 0.75
SHORTEST_INTERVAL_S = 300
# Measures to ask for singly.
SAMPLES = 8


def of_latest(latest: pa.Table, watermarks: pa.Table, now: datetime) -> str:
    """Return why `latest` (measure_id, date_time), asked at `now`, looks incomplete; empty when it does not.

    Watermarks older than a day do not count, as the API may have dropped them.
    """
    ids = latest["measure_id"].cast(pa.string()).combine_chunks()
    place = pc.index_in(ids, value_set=watermarks["measure_id"].combine_chunks()).fill_null(-1)
    newest = np.zeros(len(watermarks) + 1, np.int64)
    np.maximum.at(newest, place.to_numpy(zero_copy_only=False), latest["date_time"].cast(pa.int64()).to_numpy())
    watermark = watermarks["newest"].cast(pa.int64()).to_numpy()
    retained = watermark > to_ms(cutoff(now))
    known, lacking = int(retained.sum()), int((retained & (newest[:-1] < watermark)).sum())
    if lacking <= _tolerated(known, REMOVED):
        return ""
    return f"`latest` lacks the newest readings of {lacking} of the {known} measures that reported within a day"


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
    """Return why the answers for some days look incomplete; empty when they do not.

    Args:
        shown: all readings of the answers.
        days: UTC days that follow each other, oldest first.
        watermarks: the watermarks that follow from these, schema `WATERMARKS`.
        latest: readings that `latest` showed before; None when it was not asked.
        held: stored readings of each window.
        listed: number of measures that the API lists; 0 when unknown.
        now: when the run began.
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
    # What is over a day old is not needed, and a source such as a served lake has no more than a day.
    needed = np.array([window > cutoff(now) for window in windows])
    lacking, known = int(np.maximum(there - counts, 0)[needed].sum()), int(there.sum())
    if lacking > _tolerated(known, REMOVED):
        return f"the answers for {named} lack {lacking:,} of {known:,} readings that the API has shown before"
    present = np.count_nonzero(_present(shown))
    if present < COUNTRY <= listed and now >= settled(days[0]):
        return f"the answers for {named} show {present} of the {listed} measures that the API lists"
    if present < COUNTRY:
        return ""
    return (
        _of_hours(windows, counts, needed, now)
        or _of_measures(shown, days, now)
        or _of_intervals(shown, days, watermarks, now)
    )


def _of_hours(windows: Sequence[datetime], counts: Ints, needed: Flags, now: datetime) -> str:
    """Return a text if needed hours have far fewer readings than usual: a country does not fall silent for an hour."""
    usual = float(np.median(counts[counts > 0]))
    settled = np.array([window + WINDOW <= now - SETTLED for window in windows])
    silent = np.flatnonzero(settled & needed & (counts < THIRD * usual))
    if not len(silent):
        return ""
    return (
        f"of {len(windows)} hours {len(silent)}, from {windows[silent[0]]:%Y-%m-%dT%H:%MZ} on, have less than a third "
        f"of the usual {usual:,.0f} readings, the least {counts[silent].min():,}"
    )


def _of_measures(shown: Windowed, days: Sequence[date], now: datetime) -> str:
    """Return a text if many measures appear only on the later day: a country does not grow overnight.

    Of a day that a source has cut off at 24 hours, the end has no reading of what reports seldom.
    """
    for day, following in pairwise(days):
        before, after = _of_days(shown, [day]), _present(_of_days(shown, [following]))
        start, edge = to_ms(midnight(day)), to_ms(cutoff(now))
        if start <= edge and len(before) and not len(before.between(start - 1, edge)):
            continue
        fresh = int(np.count_nonzero(after & ~_present(before)))
        known = int(np.count_nonzero(after))
        if now >= settled(following) and fresh > _tolerated(known, NEW_MEASURES):
            return f"{fresh} of the {known} measures of {following} have no reading of {day}"
    return ""


def _of_intervals(shown: Windowed, days: Sequence[date], watermarks: pa.Table, now: datetime) -> str:
    """Return a text if the gauges skip every fourth reading or more by their own reporting intervals."""
    # A measure that reports by the minute is an event gauge, which has no regular interval.
    regular = watermarks.filter(pc.greater_equal(watermarks["interval_s"], SHORTEST_INTERVAL_S))
    code = pc.index_in(regular["measure_id"].combine_chunks(), value_set=shown.ids)
    code, interval_s = code.to_numpy(zero_copy_only=False), regular["interval_s"].to_numpy()
    for day in days:
        count, first, last = _of_days(shown, [day]).between(to_ms(cutoff(now)), to_ms(now)).spans()
        here = count[code] > 0
        span = (last - first)[code[here]] // 1000
        expected, found = int(np.sum(span // interval_s[here] + 1)), int(np.sum(count[code]))
        if found < REGULAR * expected:
            return f"the measures show {found:,} readings of {day}; their reporting intervals give {expected:,}"
    return ""


def settled(day: date) -> datetime:
    """Return when a day must have readings: before that it may have none yet."""
    return midnight(day) + SETTLED


def absent(newest: Windowed, shown: Windowed, days: Sequence[date] | None = None) -> list[str]:
    """Return the measures whose newest reading, if it is of the days, is not among the shown ones."""
    due = newest if days is None else _of_days(newest, days)
    return _ids(_without(due, shown))


def sample(shown: Windowed, watermarks: pa.Table, days: Sequence[date]) -> list[str]:
    """Choose measures for spot checks: half of them known and absent from one of the days, if any, half others."""
    everywhere = np.logical_and.reduce([_present(_of_days(shown, [day])) for day in days])
    present = set(shown.ids.filter(pa.array(everywhere)).to_pylist())
    lost = {*watermarks["measure_id"].to_pylist(), *_ids(shown)} - present
    chosen = _spread(sorted(lost), SAMPLES // 2)
    return chosen + _spread(sorted(present), SAMPLES - len(chosen))


def contradicted(shown: Windowed, sampled: Windowed, days: Sequence[date], now: datetime) -> bool:
    """Return True if spot checks have retained readings of the days that were not shown."""
    due = _of_days(sampled, days).between(to_ms(cutoff(now)), to_ms(now))
    return len(_without(due, shown)) > _tolerated(len(due), REMOVED)


def _of_days(readings: Windowed, days: Sequence[date]) -> Windowed:
    """Return the readings of days that follow each other."""
    start = to_ms(midnight(days[0]))
    return readings.between(start - 1, start + len(days) * 24 * HOUR_MS - 1)


def _without(readings: Windowed, others: Windowed) -> Windowed:
    """Return the readings that are not among others."""
    to = pc.index_in(readings.ids, value_set=others.ids).fill_null(-1).to_numpy(zero_copy_only=False)
    theirs = {window.start: keys(window.measure, window.time) for window in others.windows}
    left = []
    for window in readings.windows:
        there = theirs.get(window.start)
        if there is None:
            left.append(window)
            continue
        # A measure that the others lack gets a key below all of theirs.
        key = keys(to[window.measure], window.time)
        at = np.minimum(np.searchsorted(there, key), len(there) - 1)
        left.append(window.where(there[at] != key))
    return Windowed(readings.ids, [window for window in left if len(window)])


def _present(readings: Windowed) -> Flags:
    """Flag the ids that have a reading."""
    present = np.zeros(len(readings.ids), np.bool_)
    for window in readings.windows:
        present[window.measure] = True
    return present


def _ids(readings: Windowed) -> list[str]:
    """Return the measures that have a reading, sorted."""
    return readings.ids.filter(pa.array(_present(readings))).to_pylist()


def _tolerated(known: int, share: float) -> float:
    return max(FEW, share * known)


def _spread(ids: Sequence[str], most: int) -> list[str]:
    """Choose some of the ids, evenly over all of them."""
    return [ids[i] for i in sorted({round(at) for at in np.linspace(0, len(ids) - 1, most).tolist()})] if ids else []
