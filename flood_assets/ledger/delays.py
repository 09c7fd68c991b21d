"""How late each gauge's readings show, learnt from when the API was asked and what it showed then.

A delay is known only where somebody watched: the API was asked a short while before the reading was first seen, and did
not show it. It is therefore up to one round of asking longer than the gauge's own. Of an upload, the first reading
counts for when the next one is due: a gauge that uploads twice a day brings its oldest reading twelve hours late and
its newest at once, and its next reading is the oldest of the next upload.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.ledger.day import Day, Flags, milliseconds
from flood_assets.ledger.groups import Floats, Ints, quantile
from flood_assets.ledger.rhythm import Rhythm
from flood_assets.partitions import to_ms
from flood_assets.schemas import TIME, TIMELINESS

# Two rounds of asking: a longer pause says nothing about when in it the reading came.
WATCHED_WITHIN = 30 * 60_000

# So long a run usually takes at most, with room to spare.
ONE_RUN = 2 * 60_000

# One gauge in twenty uploads may be later than usual without being late every day.
DUE_SHARE = 0.95

# Runs do not begin to the second: what is due within a minute after the API was asked counts as due when it was.
JITTER = timedelta(minutes=1)

# Stands for a time that is not known.
NEVER = -(2**62)


@dataclass(frozen=True)
class Delays:
    """What is known of each measure's delay; times are milliseconds, NaN or `NEVER` where they are not known.

    Attributes:
        usual: median delay of its readings.
        due_after: a reading that comes has come by then, 19 times of 20.
        uploads: how many uploads of this day that was learnt from; 0 where it is remembered.
        newest: time of its newest reading.
        seen: when that was first seen.
    """

    usual: Floats
    due_after: Floats
    uploads: Ints
    newest: Ints
    seen: Ints


def polled_before(polls: Sequence[datetime], seen: Ints) -> Ints:
    """The last poll before the run that first saw each reading; `NEVER` where there was none.

    A poll is the beginning of a run, which goes on asking for a while: its own readings are seen after it. And where
    two ran at once, neither came before the other.
    """
    asked = np.array([to_ms(poll) for poll in polls], np.int64)
    own = np.searchsorted(asked, seen, side="right") - 1
    earlier = np.searchsorted(asked, seen - ONE_RUN, side="left")
    found: Ints = np.concatenate([[NEVER], asked])[np.clip(np.minimum(own, earlier), 0, len(asked))]
    return found


def delays_of(day: Day, polls: Sequence[datetime], before: pa.Table | None) -> Delays:
    """What this day tells, and for gauges of which it tells nothing, what was known before.

    Args:
        day: the retained readings.
        polls: when the API was asked where every measure stands, oldest first.
        before: what was known, schema `schemas.TIMELINESS`; None for nothing.
    """
    size = len(day.measures)
    known = before if before is not None else TIMELINESS.schema.empty_table()
    place = pc.index_in(day.measures, value_set=known["measure_id"].combine_chunks())
    then = known.take(place)
    newest, seen = (milliseconds(then[name].fill_null(pa.scalar(0, TIME))) for name in ("newest_at", "newest_seen_at"))
    remembered = np.flatnonzero(then["newest_at"].is_valid().to_numpy())

    # The newest reading that is remembered stands among the day's, as one that nobody watches: it may have left the
    # lake, and what follows it is then still known to be the first of its upload.
    known_at, known_seen = newest[remembered], seen[remembered]
    stored_key, known_key = _in_one((day.measure, day.at), (remembered, known_at))
    place = np.searchsorted(stored_key, known_key)
    measure = np.insert(day.measure, place, remembered)
    at, first_seen = np.insert(day.at, place, known_at), np.insert(day.seen, place, known_seen)
    stored = np.insert(np.ones(len(day.measure), np.bool_), place, False)

    # By when they were shown, inside each measure: `measure` is the same in either order.
    (shown_key,) = _in_one((measure, first_seen))
    order = np.argsort(shown_key, kind="stable")
    watched = order[stored[order] & _next_in_line(measure, at[order], first_seen[order])]
    asked = polled_before(polls, first_seen[watched])
    watched = watched[(asked > NEVER) & (first_seen[watched] - asked <= WATCHED_WITHIN)]

    measure_, late, upload = measure[watched], (first_seen - at)[watched], first_seen[watched]
    first = np.r_[True, (np.diff(measure_) != 0) | (np.diff(upload) != 0)][: len(measure_)]
    uploads = np.bincount(measure_[first], minlength=size)
    learnt = uploads > 0
    usual = quantile(measure_, late, size, 0.5)
    due_after = quantile(measure_[first], late[first], size, DUE_SHARE)
    count = np.bincount(measure, minlength=size)
    heard, last = count > 0, np.cumsum(count) - 1
    return Delays(
        usual=np.where(learnt, usual, _milliseconds_of(then["usual_delay_s"])),
        due_after=np.where(learnt, due_after, _milliseconds_of(then["due_after_s"])),
        uploads=uploads,
        newest=np.where(heard, at[last], NEVER) if len(at) else np.full(size, NEVER),
        seen=np.where(heard, first_seen[last], NEVER) if len(at) else np.full(size, NEVER),
    )


def _in_one(*columns: tuple[Ints, Ints]) -> list[Ints]:
    """Of each measure and time one number, which grows with both; of several columns by the same rule."""
    times = np.concatenate([time for _, time in columns])
    least = times.min(initial=2**62)
    span = times.max(initial=0) - least + 1
    return [measure * span + (time - least) for measure, time in columns]


def _next_in_line(measure: Ints, at: Ints, seen: Ints) -> Flags:
    """Whether each reading is newer than all that had been seen of its measure before, and there was such.

    A straggler says nothing about when the next reading is due, and of an upload whose beginning has left the day
    nobody knows how late its first reading was. Rows are sorted by measure, `seen` and time.
    """
    if not len(measure):
        return np.zeros(0, np.bool_)
    begins = np.r_[True, (np.diff(measure) != 0) | (np.diff(seen) != 0)]
    start = np.flatnonzero(begins)
    # Of each measure the newest time so far: times are made to grow from one measure to the next.
    base = at.min()
    span = at.max() - base + 1
    so_far = np.maximum.accumulate(measure * span + at - base)
    before = np.where(start > 0, so_far[start - 1], -1)[np.cumsum(begins) - 1]
    found: Flags = (before >= measure * span) & (measure * span + at - base > before)
    return found


def table(day: Day, rhythm: Rhythm, delays: Delays, now: datetime) -> pa.Table:
    """The same as a table, schema `schemas.TIMELINESS`."""
    due = np.where(rhythm.step > 0, delays.newest + rhythm.step + delays.due_after, np.nan)
    due = np.where(delays.newest > NEVER, due, np.nan)
    columns = {
        "measure_id": day.measures,
        "station_id": day.stations,
        "interval_s": seconds(np.where(rhythm.step > 0, rhythm.step, np.nan)),
        "usual_delay_s": seconds(delays.usual),
        "due_after_s": seconds(delays.due_after),
        "uploads": pa.array(delays.uploads.astype(np.int32)),
        "newest_at": _moments(np.where(delays.newest > NEVER, delays.newest, np.nan)),
        "newest_seen_at": _moments(np.where(delays.seen > NEVER, delays.seen, np.nan)),
        "next_due_at": _moments(due),
        "observed_at": pa.repeat(pa.scalar(now, TIME), len(day.measures)),
    }
    return pa.table([columns[name] for name in TIMELINESS.schema.names], schema=TIMELINESS.schema)


def seconds(ms: Floats) -> pa.Array:
    """Milliseconds as whole seconds, NaN as null."""
    absent = np.isnan(ms)
    return pa.array(np.where(absent, 0, np.round(ms / 1000)).astype(np.int32), mask=absent)


def _moments(ms: Floats) -> pa.Array:
    absent = np.isnan(ms)
    return pa.array(np.where(absent, 0, ms).astype(np.int64), mask=absent).cast(TIME)


def _milliseconds_of(column: pa.ChunkedArray) -> Floats:
    found: Floats = column.cast(pa.float64()).to_numpy() * 1000
    return found
