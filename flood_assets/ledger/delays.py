"""Delay from a reading to its first appearance in the API, learnt per gauge from when the API was asked.

A delay is known only if the API was asked shortly before the reading was first seen and did not show it yet. It is
therefore up to one round of asking longer than the gauge's own; of a pushed reading it is always known. The first
reading of an upload counts for when the next one is due: a gauge that uploads twice a day shows its oldest reading
twelve hours late and its newest at once, and its next reading is the oldest of the next upload.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from flood_assets.grouping import Flags, Floats, Ints, Packing, begins, quantile
from flood_assets.ledger.day import Day, milliseconds, rows_of
from flood_assets.ledger.intervals import ReportingIntervals
from flood_assets.partitions import to_ms
from flood_assets.schemas import TIME, TIMELINESS

# Two rounds of asking: after a longer pause nobody knows when in it the reading came.
WATCHED_WITHIN = 30 * 60_000

# Longest usual run, with room to spare.
ONE_RUN = 2 * 60_000

# One upload in twenty may be later than usual without the gauge being late every day.
DUE_SHARE = 0.95

# Runs do not begin to the second: a reading due within a minute after the API was asked counts as due when it was.
JITTER = timedelta(minutes=1)

# Stands for a time that is not known.
NEVER = -(2**62)


@dataclass(frozen=True)
class Delays:
    """Delays of each measure; ms, NaN or `NEVER` where they are not known.

    Attributes:
        usual: median delay of its readings.
        due_after: 95th percentile of the delay of the first reading of an upload.
        uploads: number of uploads of this day that was learnt from; 0 where the delays are remembered.
        newest: time of its newest reading.
        seen: when that was first seen.
    """

    usual: Floats
    due_after: Floats
    uploads: Ints
    newest: Ints
    seen: Ints


def polled_before(polls: Sequence[datetime], seen: Ints) -> Ints:
    """Return the last poll before the run that first saw each reading; `NEVER` where there was none.

    A poll is the beginning of a run, which goes on asking for a while: its own readings are seen after it. Of two runs
    at once, neither counts as before the other.
    """
    asked = np.array([to_ms(poll) for poll in polls], np.int64)
    own = np.searchsorted(asked, seen, side="right") - 1
    earlier = np.searchsorted(asked, seen - ONE_RUN, side="left")
    found: Ints = np.concatenate([[NEVER], asked])[np.clip(np.minimum(own, earlier), 0, len(asked))]
    return found


def delays_of(day: Day, polls: Sequence[datetime], before: pa.Table | None) -> Delays:
    """Learn the delay of each measure from this day; keep the earlier one where the day shows none.

    Args:
        day: the retained readings.
        polls: when the API was asked for the newest reading of every measure, oldest first.
        before: delays known before, schema `schemas.TIMELINESS`; None for none.
    """
    size = len(day.measures)
    then = rows_of(day.measures, before if before is not None else TIMELINESS.schema.empty_table())
    newest, seen = (milliseconds(then[name].fill_null(pa.scalar(0, TIME))) for name in ("newest_at", "newest_seen_at"))
    remembered = np.flatnonzero(then["newest_at"].is_valid().to_numpy())

    # The remembered newest reading joins the day's as one that nobody watched: it may have left the lake, and the
    # reading after it is then still known to be the first of its upload.
    known_at, known_seen = newest[remembered], seen[remembered]
    packing = Packing.of(day.at, known_at)
    place = np.searchsorted(packing.pack(day.measure, day.at), packing.pack(remembered, known_at))
    measure = np.insert(day.measure, place, remembered)
    at, first_seen = np.insert(day.at, place, known_at), np.insert(day.seen, place, known_seen)
    stored = np.insert(np.ones(len(day.measure), np.bool_), place, False)

    # In the order in which they were shown, inside each measure: `measure` is the same in either order.
    order = np.argsort(Packing.of(first_seen).pack(measure, first_seen), kind="stable")
    watched = order[stored[order] & _next_in_line(measure, at[order], first_seen[order])]
    asked = polled_before(polls, first_seen[watched])
    asked_before = (asked > NEVER) & (first_seen[watched] - asked <= WATCHED_WITHIN)
    watched = watched[asked_before | day.pushed[measure[watched]]]

    of, late = measure[watched], (first_seen - at)[watched]
    first = begins(of, first_seen[watched])
    uploads = np.bincount(of[first], minlength=size)
    learnt = uploads > 0
    count = np.bincount(measure, minlength=size)
    heard, last = np.flatnonzero(count), np.cumsum(count) - 1
    newest, seen = np.full(size, NEVER), np.full(size, NEVER)
    newest[heard], seen[heard] = at[last[heard]], first_seen[last[heard]]
    usual, due = (then[name].cast(pa.float64()).to_numpy() * 1000 for name in ("usual_delay_s", "due_after_s"))
    return Delays(
        usual=np.where(learnt, quantile(of, late, size, 0.5), usual),
        due_after=np.where(learnt, quantile(of[first], late[first], size, DUE_SHARE), due),
        uploads=uploads,
        newest=newest,
        seen=seen,
    )


def _next_in_line(measure: Ints, at: Ints, seen: Ints) -> Flags:
    """Flag readings that are newer than all readings of their measure seen before, if there was one.

    A straggler says nothing about when the next reading is due, and if the beginning of an upload has left the day
    nobody knows how late its first reading was. Rows are sorted by measure, `seen` and time.
    """
    packing = Packing.of(at)
    key = packing.pack(measure, at)
    upload = begins(measure, seen)
    start = np.flatnonzero(upload)
    # The newest reading before each upload: its measure's, as keys grow from one measure to the next.
    before = np.where(start > 0, np.maximum.accumulate(key)[start - 1], -1)[np.cumsum(upload) - 1]
    found: Flags = (before // packing.span == measure) & (key > before)
    return found


def table(day: Day, intervals: ReportingIntervals, delays: Delays, now: datetime) -> pa.Table:
    """Return intervals, delays and due times of a day's measures as a table, schema `schemas.TIMELINESS`."""
    interval = np.where(intervals.interval > 0, intervals.interval, np.nan)
    newest = np.where(delays.newest > NEVER, delays.newest, np.nan)
    columns = {
        "measure_id": day.measures,
        "station_id": day.stations,
        "interval_s": seconds(interval),
        "usual_delay_s": seconds(delays.usual),
        "due_after_s": seconds(delays.due_after),
        "uploads": pa.array(delays.uploads.astype(np.int32)),
        "newest_at": _moments(newest),
        "newest_seen_at": _moments(np.where(delays.seen > NEVER, delays.seen, np.nan)),
        "next_due_at": _moments(newest + interval + delays.due_after),
        "observed_at": pa.repeat(pa.scalar(now, TIME), len(day.measures)),
    }
    return pa.table([columns[name] for name in TIMELINESS.schema.names], schema=TIMELINESS.schema)


def seconds(ms: Floats) -> pa.Array:
    """Return milliseconds as whole seconds, NaN as null."""
    return pa.array(np.round(ms / 1000), from_pandas=True).cast(pa.int32())


def _moments(ms: Floats) -> pa.Array:
    return pa.array(np.floor(ms), from_pandas=True).cast(pa.int64()).cast(TIME)
