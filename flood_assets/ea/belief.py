"""Whether an answer can be all that the API has: judged by what it showed before, and shows elsewhere.

A server that gives up in the middle of an answer may end it cleanly: nothing on the wire tells that from a whole one.
But the API forgets nothing for 28 days. What it has shown of the retained day it shows again, and of a measure whose
newest reading is in `latest` that reading is in the answer for its day. An answer that lacks more of this than the API
could have taken back is doubted, and `refresh` asks some measures singly: what those answers hold and the doubted one
does not is proof. Without such proof the API really has no more, as after an outage of its own, and is believed.

Pure: what was shown comes in as tables, and nothing here asks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.ea.plan import marks_of
from flood_assets.partitions import WINDOW, cutoff, windows_between
from flood_assets.schemas import TIME

# How many readings the lake holds of each of some windows; of those that are not there none.
Held = Callable[[Sequence[datetime]], Mapping[datetime, int]]

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

# A reading as one number: the code of its measure, and so many bits of milliseconds since 1970.
_TIME_BITS = 42


@dataclass(frozen=True)
class Shown:
    """Readings, each once: what is compared.

    Attributes:
        ids: distinct measures; some may have no reading.
        measure: code into `ids` of each reading.
        time: ms.
    """

    ids: pa.Array
    measure: npt.NDArray[np.int64]
    time: npt.NDArray[np.int64]

    @classmethod
    def of(cls, rows: pa.Table) -> "Shown":
        """The readings of a table: measure_id (dictionary or string), date_time."""
        column = rows["measure_id"]
        if not pa.types.is_dictionary(column.type):
            column = column.cast(pa.string()).dictionary_encode()
        rows = pa.table([column, rows["date_time"].cast(TIME)], names=["measure_id", "date_time"])
        rows = rows.unify_dictionaries().combine_chunks()
        if not len(rows):
            return cls(pa.array([], pa.string()), np.zeros(0, np.int64), np.zeros(0, np.int64))
        coded = rows["measure_id"].chunk(0)
        codes = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        keys = np.unique(codes << _TIME_BITS | rows["date_time"].cast(pa.int64()).to_numpy())
        return cls(coded.dictionary, keys >> _TIME_BITS, keys & ((1 << _TIME_BITS) - 1))

    def __len__(self) -> int:
        return len(self.time)

    def between(self, after: datetime, until: datetime) -> "Shown":
        """Those with after < time <= until."""
        return self._where((self.time > _ms(after)) & (self.time <= _ms(until)))

    def of_days(self, days: Sequence[date]) -> "Shown":
        """Those of days that follow each other."""
        start, end = _midnight(days[0]), _midnight(days[-1]) + timedelta(days=1)
        return self._where((self.time >= _ms(start)) & (self.time < _ms(end)))

    def without(self, others: "Shown") -> "Shown":
        """Those that are not among others."""
        codes = pc.index_in(self.ids, value_set=others.ids).fill_null(-1).to_numpy(zero_copy_only=False)
        keys = codes.astype(np.int64)[self.measure] << _TIME_BITS | self.time
        return self._where(~np.isin(keys, others.measure << _TIME_BITS | others.time))

    def measures(self) -> list[str]:
        """The measures that have a reading, sorted."""
        return sorted(self.ids.take(pa.array(np.unique(self.measure))).to_pylist())

    def per_window(self, windows: Sequence[datetime]) -> npt.NDArray[np.int64]:
        """How many readings each of some windows has that follow each other."""
        hour = self.time // 3_600_000 - _ms(windows[0]) // 3_600_000
        inside = hour[(hour >= 0) & (hour < len(windows))]
        return np.bincount(inside, minlength=len(windows)).astype(np.int64)

    def _where(self, kept: npt.NDArray[np.bool_]) -> "Shown":
        return Shown(self.ids, self.measure[kept], self.time[kept])


def of_latest(latest: pa.Table, marks: pa.Table, now: datetime) -> str:
    """Why `latest` cannot be all; empty when it can.

    Args:
        latest: measure_id, date_time.
        marks: schema `MARKS`; those older than a day have no say, as the API may have forgotten them.
        now: when it was asked.
    """
    known = marks.filter(pc.greater(marks["newest"], pa.scalar(cutoff(now), TIME)))
    shown = latest.group_by("measure_id").aggregate([("date_time", "max")])
    ids = shown["measure_id"].cast(pa.string()).combine_chunks()
    newest = shown["date_time_max"].take(pc.index_in(known["measure_id"], value_set=ids))
    lacking = len(known) - (pc.sum(pc.greater_equal(newest, known["newest"])).as_py() or 0)
    if lacking <= _tolerated(len(known), TAKEN_BACK):
        return ""
    return f"`latest` lacks {lacking} of the {len(known)} measures that reported within a day, or shows them older"


def of_days(rows: pa.Table, days: Sequence[date], latest: pa.Table | None, held: Held | None, now: datetime) -> str:
    """Why the answers for some days cannot be all; empty when they can.

    Args:
        rows: what they gave together: measure_id, date_time.
        days: UTC days that follow each other, oldest first.
        latest: what `latest` showed before: measure_id, date_time; None when it was not asked.
        held: asks the lake how many readings it holds; None when nothing is known of it.
        now: when they were asked.
    """
    named = " and ".join(str(day) for day in days)
    shown = Shown.of(rows)
    if latest is not None:
        newest = Shown.of(latest).of_days(days)
        lacking = len(newest.without(shown))
        if lacking > _tolerated(len(newest), NOT_YET):
            return f"the answers for {named} lack the newest reading of {lacking} of {len(newest)} measures"
    windows = windows_between(_midnight(days[0]), min(_midnight(days[-1]) + timedelta(hours=23), now))
    counts = shown.per_window(windows)
    if held is not None:
        there = held(windows)
        lacking = sum(max(0, there.get(w, 0) - n) for w, n in zip(windows, counts.tolist(), strict=True))
        known = sum(there.values())
        if lacking > _tolerated(known, TAKEN_BACK):
            return f"the answers for {named} lack {lacking:,} of {known:,} readings that the API has shown before"
    if len(shown.measures()) < COUNTRY:
        return ""
    return _of_hours(windows, counts, now) or _of_measures(shown, days, now) or _of_rhythm(rows, shown, now)


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


def _of_measures(shown: Shown, days: Sequence[date], now: datetime) -> str:
    """Nor does it grow overnight."""
    for day, following in pairwise(days):
        after = set(shown.of_days([following]).measures())
        fresh = after - set(shown.of_days([day]).measures())
        if now >= settled(following) and len(fresh) > _tolerated(len(after), NEW_MEASURES):
            return f"{len(fresh)} of the {len(after)} measures of {following} have no reading of {day}"
    return ""


def _of_rhythm(rows: pa.Table, shown: Shown, now: datetime) -> str:
    """Nor do its gauges skip every third reading."""
    marks = marks_of(rows, now)
    step = marks["step_s"].to_numpy()
    retained = shown.between(cutoff(now), now)
    codes, first, count = np.unique(retained.measure, return_index=True, return_counts=True)
    of = pc.index_in(marks["measure_id"], value_set=shown.ids.take(pa.array(codes))).to_numpy()
    span = (retained.time[first + count - 1] - retained.time[first])[of] / 1000
    # What reports by the minute is an event gauge: it has no rhythm to keep.
    regular = step >= SHORTEST_STEP_S
    expected = int(np.sum(span[regular] // step[regular] + 1))
    found = int(np.sum(count[of][regular]))
    if found >= RHYTHM * expected:
        return ""
    return f"the measures show {found:,} readings where their own rhythm makes {expected:,}"


def settled(day: date) -> datetime:
    """When a day must have readings: before that it may have none yet."""
    return _midnight(day) + SETTLED


def absent(newest: pa.Table, rows: pa.Table, days: Sequence[date] | None = None) -> list[str]:
    """The measures whose newest reading (measure_id, date_time), if it is of the days, is not among the rows."""
    due = Shown.of(newest)
    return (due if days is None else due.of_days(days)).without(Shown.of(rows)).measures()


def witnesses(rows: pa.Table, marks: pa.Table, days: Sequence[date]) -> list[str]:
    """Measures to ask singly: half of them known and absent from one of the days, if there are any, half others."""
    shown = Shown.of(rows)
    of_each = [set(shown.of_days([day]).measures()) for day in days]
    present = set.intersection(*of_each)
    lost = {*marks["measure_id"].to_pylist(), *shown.measures()} - present
    chosen = _spread(sorted(lost), WITNESSES // 2)
    return chosen + _spread(sorted(present), WITNESSES - len(chosen))


def contradicted(rows: pa.Table, said: pa.Table, days: Sequence[date], now: datetime) -> bool:
    """Whether witnesses (measure_id, date_time) show retained readings of the days that are not among the rows."""
    of_them = Shown.of(said).of_days(days).between(cutoff(now), now)
    return len(of_them.without(Shown.of(rows))) > _tolerated(len(of_them), TAKEN_BACK)


def _tolerated(known: int, share: float) -> float:
    return max(FEW, share * known)


def _spread(ids: Sequence[str], most: int) -> list[str]:
    """Some of the ids, evenly over all of them."""
    return [ids[i] for i in sorted({round(at) for at in np.linspace(0, len(ids) - 1, most).tolist()})] if ids else []


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
