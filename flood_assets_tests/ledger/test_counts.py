"""What is expected, received and missing of each measure in each hour, and whose fault it is; to the reading."""

from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from flood_assets.lake.watermarks import Asked
from flood_assets.ledger import counts as counting
from flood_assets.ledger.counts import counts_of
from flood_assets.ledger.delays import delays_of
from flood_assets.ledger.intervals import reporting_intervals
from flood_assets.partitions import retained_windows, window_of
from flood_assets.schemas import COMPLETENESS
from flood_assets_tests.support.ledger_rows import DAY, HOUR, MINUTE, NOW, SECOND, a_day, every, marked

QUARTER = 15 * MINUTE
CAUSES = ("silent", "not_due", "not_fetched")


def counted(readings, listed, watermarks=None, now=NOW, lost=frozenset()) -> dict[tuple[str, datetime], dict]:
    """The counts by measure and window."""
    day = a_day(readings, listed)
    delays = delays_of(day, watermarks.asked.polls if watermarks else (), None)
    found = counts_of(day, reporting_intervals(day), delays, watermarks, lost, now)
    assert list(found) == retained_windows(now)
    rows = {}
    for window, table in found.items():
        assert table.schema == COMPLETENESS.schema
        for row in table.to_pylist():
            assert row["window_start"] == window
            assert row["missing"] == sum(row[cause] for cause in CAUSES)
            assert 0 <= row["missing"] <= row["expected"]
            rows[row["measure_id"], window] = row
    return rows


def summed(rows, name: str, measure: str = "a") -> int:
    return sum(row[name] for (of, _), row in rows.items() if of == measure)


def polled(newest: datetime, at: datetime = NOW, **more):
    """Watermarks after a poll that found everything up to `newest` of the measure a."""
    return marked(at, {"a": newest}, Asked((at,), **more))


@pytest.mark.parametrize("step", [5, 15, 30, 60])
@pytest.mark.parametrize("phase", [timedelta(), SECOND, 7 * MINUTE, 7.5 * MINUTE])
@pytest.mark.parametrize(
    "now",
    [NOW, window_of(NOW), window_of(NOW) - SECOND, window_of(NOW) + SECOND, NOW + timedelta(microseconds=1)],
    ids=str,
)
def test_a_whole_day_is_what_is_expected_also_at_its_two_ends(step, phase, now):
    moments = every(step * MINUTE, phase=phase, now=now)
    rows = counted({"a": moments}, {"a": step * 60}, now=now)
    by_window = Counter(window_of(moment) for moment in moments)
    for (_, window), row in rows.items():
        assert (row["expected"], row["received"], row["missing"]) == (by_window[window], by_window[window], 0)
        assert row["interval_s"] == step * 60


def test_an_event_gauge_lacks_nothing():
    tips = [NOW - s * SECOND for s in (80_001, 60_300, 60_299, 31_000, 17)]
    rows = counted({"a": tips}, {"a": None}, polled(NOW))
    assert (summed(rows, "expected"), summed(rows, "missing"), summed(rows, "received")) == (0, 0, 5)
    assert rows["a", window_of(tips[1])]["received"] == 2


def test_a_gauge_without_a_reading_is_expected_at_whole_periods():
    rows = counted({}, {"a": 900, "b": 3600}, marked(NOW, {}, Asked((NOW,))))
    assert (summed(rows, "expected", "a"), summed(rows, "silent", "a")) == (96, 96)
    assert (summed(rows, "expected", "b"), summed(rows, "silent", "b")) == (24, 24)
    assert [rows["a", w]["expected"] for w in retained_windows(NOW)] == [3, *[4] * 23, 1]


def test_several_values_and_none_are_counted_and_make_nothing_missing():
    rows = every(QUARTER)
    odd = {5: "1|2", 6: "", 7: "2|1|1"}
    found = counted({"a": [(at, at, odd.get(i)) for i, at in enumerate(rows)]}, {"a": 900}, polled(NOW))
    assert (summed(found, "several"), summed(found, "without_value"), summed(found, "missing")) == (2, 1, 0)
    assert summed(found, "received") == 96


def test_readings_between_the_steps_are_received_and_take_no_place():
    rows = every(QUARTER)
    found = counted({"a": sorted([*rows[:50], *rows[51:], rows[40] + 5 * MINUTE])}, {"a": 900}, polled(NOW))
    assert (summed(found, "expected"), summed(found, "received"), summed(found, "missing")) == (96, 96, 1)


def test_a_gap_before_the_watermark_is_the_gauges_silence():
    rows = every(QUARTER)
    found = counted({"a": [*rows[:20], *rows[28:]]}, {"a": 900}, polled(rows[-1]))
    assert (summed(found, "silent"), summed(found, "missing")) == (8, 8)
    assert {window for (_, window), row in found.items() if row["missing"]} == {
        window_of(rows[i]) for i in range(20, 28)
    }


def watched(newest: datetime, asked: datetime) -> list:
    """A gauge that shows within a quarter of an hour, as far as `newest`."""
    return [(at, at + QUARTER, None) for at in every(QUARTER) if at <= newest and at + QUARTER <= asked]


def watermarks_of_watched(newest: datetime, asked: datetime, **more):
    return marked(asked, {"a": newest}, Asked(tuple(p for p in every(QUARTER) if p <= asked), **more))


def test_what_is_after_the_watermark_is_silent_only_if_the_api_was_asked_when_it_was_due():
    newest, asked = every(QUARTER)[60], every(QUARTER)[80]
    rows = counted({"a": watched(newest, asked)}, {"a": 900}, watermarks_of_watched(newest, asked))
    # Asked at 80: what is of 79 and before was due by then. 94 and 95 are not due yet at NOW, or only just.
    assert summed(rows, "silent") == 80 - 61
    assert summed(rows, "not_fetched") == 95 - 80 - 1
    assert summed(rows, "not_due") == 2
    assert summed(rows, "missing") == 95 - 60


def test_a_gauge_that_nobody_watched_is_given_half_a_day():
    rows = every(QUARTER)
    found = counted({"a": rows[:20]}, {"a": 900}, polled(rows[19]))
    overdue = [at for at in rows[20:] if at + 12 * HOUR <= NOW + MINUTE]
    assert (summed(found, "silent"), summed(found, "not_due")) == (len(overdue), 76 - len(overdue))


def test_without_watermarks_nothing_that_is_due_was_asked_for():
    rows = every(QUARTER)
    found = counted({"a": rows[90:]}, {"a": 900})
    assert summed(found, "not_fetched") + summed(found, "not_due") == 90
    assert summed(found, "silent") == 0


def test_a_window_that_was_read_whole_is_known_though_the_day_is_not():
    rows = every(QUARTER)
    window = window_of(rows[10])
    in_it = [at for at in rows if window_of(at) == window]
    asked = Asked((), {window: NOW})
    found = counted({"a": in_it[1:]}, {"a": 900}, marked(NOW, {}, asked))
    assert (found["a", window]["silent"], found["a", window]["missing"]) == (1, 1)
    assert found["a", window + HOUR]["not_fetched"] == 4


def test_what_the_api_showed_and_could_not_be_asked_for_is_our_fault():
    newest, asked, shown = every(QUARTER)[60], every(QUARTER)[94], every(QUARTER)[70]
    evidence = watermarks_of_watched(newest, asked, behind={"a": shown, "stranger": shown})
    rows = counted({"a": watched(newest, asked)}, {"a": 900}, evidence)
    assert summed(rows, "not_fetched") == 10
    assert summed(rows, "silent") == 94 - 71


def test_what_was_lost_with_a_damaged_window_is_not_the_gauges_silence():
    rows = every(QUARTER)
    window = window_of(rows[50])
    kept = [at for at in rows if window_of(at) != window]
    found = counted({"a": kept}, {"a": 900}, polled(rows[-1], read={window: NOW}), lost=frozenset([window]))
    assert found["a", window]["not_fetched"] == 4
    assert summed(found, "silent") == 0


def test_late_is_what_a_poll_did_not_find_though_it_was_due():
    rows = every(QUARTER)
    seen = [(at, at + QUARTER, None) for at in rows[:-1]]
    seen[40] = (rows[40], rows[43], None)
    seen[50] = (rows[50], rows[52], None)
    found = counted({"a": seen}, {"a": 900}, marked(NOW, {"a": rows[-2]}, Asked(tuple(rows))))
    assert summed(found, "late") == 2
    assert found["a", window_of(rows[40])]["late"] == 1


def test_what_came_late_only_because_nobody_asked_is_not_late():
    rows = every(QUARTER)
    polls = (*rows[:40], *rows[60:])
    seen = [(at, min(p for p in polls if p > at), None) for at in rows[:-1]]
    found = counted({"a": seen}, {"a": 900}, marked(NOW, {"a": rows[-2]}, Asked(polls)))
    assert summed(found, "late") == 0


def test_a_clock_that_wanders_lacks_nothing_at_the_edge_of_the_day():
    now = window_of(NOW)
    moments = [now - DAY + (i - 4) * QUARTER for i in range(101)]
    wandering = [at + (i % 3 - 1) * 20 * SECOND for i, at in enumerate(moments)]
    kept = [at for at in wandering if now - DAY < at <= now]
    found = counted({"a": kept}, {"a": 900}, polled(max(kept), at=now), now=now)
    assert summed(found, "missing") == 0


def test_a_network_of_any_size_is_counted_in_blocks(monkeypatch):
    rows = {f"m{i}": every(QUARTER)[i:] for i in range(7)}
    whole = counted(rows, dict.fromkeys(rows, 900))
    monkeypatch.setattr(counting, "AT_ONCE", 100)
    assert counted(rows, dict.fromkeys(rows, 900)) == whole


def test_nothing_at_all_is_no_error():
    assert counted({}, {}) == {}


# -- against a plain model

gauge = st.fixed_dictionaries(
    {
        "step": st.sampled_from([300, 900, 3600]),
        "phase": st.sampled_from([0, 1, 299, 150]),
        "absent": st.sets(st.integers(0, 287), max_size=12),
        "newest": st.integers(0, 24),  # hours ago
        "behind": st.one_of(st.none(), st.integers(0, 24)),
    }
)


def why(at, watermark, behind, asked, now, *, watched: bool) -> str:
    if watermark and at <= watermark:
        return "silent"
    if behind and at <= behind:
        return "not_fetched"
    due = at + (12 * HOUR if watched else 0 * HOUR)
    if max(asked) + MINUTE >= due:
        return "silent"
    return "not_due" if now < due + 20 * MINUTE else "not_fetched"


@given(
    st.lists(gauge, min_size=1, max_size=4),
    st.integers(0, 26 * 60),
    st.sets(st.integers(0, 24), max_size=3),
    st.integers(0, 3600),
)
@example([{"step": 900, "phase": 0, "absent": set(), "newest": 0, "behind": None}], 0, set(), 0)
@settings(max_examples=150, deadline=None)
def test_each_count_is_that_of_a_plain_loop_over_the_moments(gauges, asked_ago, read_ago, shift):
    now = NOW + shift * SECOND
    asked_at = now - asked_ago * MINUTE
    windows = retained_windows(now)
    read = {windows[i]: now - 30 * MINUTE for i in read_ago}
    readings, listed, watermarks, behind, expected = {}, {}, {}, {}, {}
    for number, each in enumerate(gauges):
        name, step = f"g{number}", each["step"] * SECOND
        moments = every(step, phase=each["phase"] * SECOND, now=now)
        newest = now - each["newest"] * HOUR
        stored = [at for i, at in enumerate(moments) if i not in each["absent"] and at <= newest]
        # Who reports every second hour only, for want of the others, is taken at the word of its habit.
        gaps = Counter(b - a for a, b in pairwise(stored))
        habit = min(gaps, key=lambda gap: (-gaps[gap], gap), default=step)
        assume(habit == step or gaps.total() < 3 or gaps[habit] < gaps.total() / 2)
        readings[name], listed[name] = [(at, now - DAY, None) for at in stored], each["step"]
        if stored:
            watermarks[name] = max(stored)
        if each["behind"] is not None:
            behind[name] = now - each["behind"] * HOUR
        # Without a reading nobody knows at which second the gauge reports.
        if not stored:
            moments = every(step, now=now)
        for at in moments:
            moment = (at, watermarks.get(name), behind.get(name), [asked_at, read.get(window_of(at), asked_at)])
            cause = "received" if at in stored else why(*moment, now, watched=bool(stored))
            expected.setdefault((name, window_of(at)), Counter())[cause] += 1
    evidence = marked(now, watermarks, Asked((asked_at,), read, behind))
    rows = counted(readings, listed, evidence, now=now)
    for key, row in rows.items():
        want = expected.get(key, Counter())
        assert {name: row[name] for name in ("received", *CAUSES)} == {n: want[n] for n in ("received", *CAUSES)}, key
        assert row["expected"] == want.total()
