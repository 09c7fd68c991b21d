"""How late readings show, learnt only from what was watched."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from flood_assets.ledger.delays import NEVER, delays_of, polled_before, table
from flood_assets.ledger.intervals import reporting_intervals
from flood_assets.schemas import TIMELINESS
from flood_assets_tests.support.ledger_rows import DAY, HOUR, MINUTE, NOW, a_day, every

QUARTER = 15 * MINUTE
# The API is asked at each quarter of an hour.
POLLS = every(QUARTER)


def learnt(rows, polls=POLLS, listed=900, before=None, now=NOW) -> dict:
    """The row of one gauge."""
    day = a_day({"a": rows}, {"a": listed})
    found = table(day, reporting_intervals(day), delays_of(day, polls, before), now)
    assert found.schema == TIMELINESS.schema
    return found.to_pylist()[0]


def at_polls(moments, arrival):
    """Readings as polls find them: first seen at the poll after they have arrived."""
    return [(at, min(p for p in POLLS if p >= at + arrival), None) for at in moments if at + arrival <= POLLS[-1]]


def batch(upload: datetime, moments) -> list:
    return [(at, upload, None) for at in moments]


def test_a_gauge_on_time_is_due_one_round_of_asking_after_its_time():
    found = learnt(at_polls(every(QUARTER), 3 * MINUTE))
    newest = POLLS[-2]
    assert (found["usual_delay_s"], found["due_after_s"], found["interval_s"]) == (900, 900, 900)
    assert (found["newest_at"], found["newest_seen_at"]) == (newest, POLLS[-1])
    assert found["next_due_at"] == newest + QUARTER + QUARTER
    # The first poll of all watches nothing, and the first reading that it watched has none before it.
    assert found["uploads"] == len(POLLS) - 2


def test_a_gauge_that_uploads_twice_a_day_is_due_when_the_first_of_an_upload_is():
    moments = every(QUARTER)
    uploads = [POLLS[44], POLLS[92]]
    rows = batch(uploads[0], moments[:44]) + batch(uploads[1], moments[44:92])
    found = learnt(rows)
    first_of_the_second = moments[44]
    assert found["due_after_s"] == (uploads[1] - first_of_the_second).total_seconds() == 12 * 3600
    assert found["usual_delay_s"] == pytest.approx(6 * 3600, abs=900)
    assert found["uploads"] == 1, "how late the first one was cannot be told: its beginning is not in the day"
    assert found["next_due_at"] == moments[92] + 12 * HOUR


def test_what_nobody_watched_tells_nothing():
    found = learnt([(at, NOW, None) for at in every(QUARTER)[:-1]], polls=[NOW])
    assert (found["usual_delay_s"], found["due_after_s"], found["next_due_at"], found["uploads"]) == (
        None,
        None,
        None,
        0,
    )
    away = learnt([(POLLS[0], POLLS[0], None), *batch(NOW, POLLS[1:])], polls=[POLLS[0], NOW])
    assert away["due_after_s"] is None, "the daemon was away: when in that time they came is not known"


def test_a_straggler_says_nothing_about_the_next_reading():
    rows = [row for row in at_polls(every(QUARTER), 3 * MINUTE) if row[0] != POLLS[50]]
    rows.append((POLLS[50], POLLS[-1], None))
    found = learnt(rows)
    assert (found["usual_delay_s"], found["due_after_s"]) == (900, 900)
    assert found["newest_at"] == POLLS[-2]


def test_one_upload_in_twenty_may_be_later():
    rows = at_polls(every(QUARTER), 3 * MINUTE)
    slower = [(at, seen + QUARTER, None) if i in {30, 60} else (at, seen, None) for i, (at, seen, _) in enumerate(rows)]
    assert learnt(slower)["due_after_s"] == 900
    often = [(at, seen + QUARTER, None) if i % 10 == 5 else (at, seen, None) for i, (at, seen, _) in enumerate(rows)]
    assert learnt(often)["due_after_s"] == 1800


def test_a_silent_gauge_is_remembered():
    before = a_day({"a": at_polls(every(QUARTER), 3 * MINUTE)}, {"a": 900})
    known = table(before, reporting_intervals(before), delays_of(before, POLLS, None), NOW)
    later = [poll + DAY for poll in POLLS]
    found = learnt([], polls=later, before=known, now=NOW + DAY)
    assert (found["due_after_s"], found["usual_delay_s"], found["uploads"]) == (900, 900, 0)
    assert (found["newest_at"], found["next_due_at"]) == (POLLS[-2], POLLS[-2] + 2 * QUARTER)


def test_a_gauge_that_uploads_once_a_day_is_learnt_though_the_upload_before_has_left_the_lake():
    first = a_day({"a": batch(NOW, every(QUARTER))}, {"a": 900})
    known = table(first, reporting_intervals(first), delays_of(first, [NOW], None), NOW)
    later = NOW + DAY
    rows = batch(later, every(QUARTER, now=later))
    found = learnt(rows, polls=[later - QUARTER, later], before=known, now=later)
    assert found["due_after_s"] == (later - rows[0][1 - 1]).total_seconds()
    assert found["due_after_s"] == pytest.approx(24 * 3600, abs=900)


def test_an_event_gauge_is_never_due():
    tips = [NOW - timedelta(seconds=s) for s in (80_001, 60_300, 31_000, 17, 3)]
    found = learnt([(at, NOW, None) for at in sorted(tips)], polls=[NOW - QUARTER, NOW], listed=None)
    assert (found["interval_s"], found["next_due_at"]) == (None, None)
    assert found["newest_at"] == max(tips)


def test_the_poll_of_the_run_that_saw_a_reading_is_not_one_before_it():
    polls = [NOW, NOW + HOUR]
    for moments, before in [
        ((NOW, NOW + timedelta(seconds=40), NOW + 30 * MINUTE), NEVER),
        ((NOW + HOUR, NOW + HOUR + timedelta(seconds=1), NOW + 3 * HOUR), moment(NOW)),
        ((NOW - MINUTE,), NEVER),
    ]:
        assert set(polled_before(polls, np.array([moment(at) for at in moments])).tolist()) == {before}
    assert polled_before([], np.array([moment(NOW)])).tolist() == [NEVER]


def test_of_two_runs_at_once_neither_came_before_the_other():
    polls = [NOW, NOW + HOUR, NOW + HOUR + timedelta(seconds=5)]
    assert polled_before(polls, np.array([moment(NOW + HOUR + timedelta(seconds=9))])).tolist() == [moment(NOW)]


def moment(at: datetime) -> int:
    return int(at.timestamp() * 1000)
