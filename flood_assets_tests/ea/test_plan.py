"""What is asked for, in each case and at each edge of it."""

import itertools
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flood_assets.ea import parse, plan
from flood_assets.grouping import by_window
from flood_assets.partitions import cutoff, retained_windows
from flood_assets.schemas import TIME, WATERMARKS

NOW = datetime(2026, 11, 21, 9, 7, 30, tzinfo=UTC)
TODAY, YESTERDAY = date(2026, 11, 21), date(2026, 11, 20)
STEP = timedelta(minutes=15)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def at(hour: int, minute: int = 0, day: int = 21) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def latest(*rows: tuple[str, datetime], coded: bool = True) -> pa.Table:
    ids, times = ([row[i] for row in rows] for i in (0, 1))
    kind = parse.TEXTS if coded else pa.string()
    return pa.table({"measure_id": pa.array(ids, pa.string()).cast(kind), "date_time": pa.array(times, TIME)})


def known(*rows: tuple[str, datetime, int | None]) -> pa.Table:
    return pa.table([pa.array([row[i] for row in rows], WATERMARKS.field(i).type) for i in range(3)], schema=WATERMARKS)


def snapshot(**period_of: int | None) -> pa.Table:
    return pa.table(
        {
            "measure_id": pa.array(list(period_of), pa.string()),
            "period_s": pa.array(list(period_of.values()), pa.int32()),
        }
    )


# Enough gauges that report regularly to make a day worth its size: nobody else is asked a day for a single gauge.
MANY = [f"g{i}" for i in range(200)]


def after_latest(rows: pa.Table, watermarks: pa.Table, measures: pa.Table, now: datetime) -> plan.Plan:
    return plan.after_latest(rows, plan.Known({}, watermarks, measures), now)


def credible_of(newer: pa.Table, watermarks: pa.Table, measures: pa.Table, first_day: date, now: datetime) -> pa.Table:
    return plan.credible(newer, plan.Known({}, watermarks, measures), first_day, now)


def country(*rows: tuple[str, datetime], now: datetime = NOW) -> pa.Table:
    """`latest` with others that have not moved."""
    return latest(*rows, *((name, now - STEP) for name in MANY))


def country_watermarks(*rows: tuple[str, datetime, int | None], now: datetime = NOW) -> pa.Table:
    return known(*rows, *((name, now - STEP, 900) for name in MANY))


# -- re-reading


@pytest.mark.parametrize(
    ("windows", "days"),
    [
        ([at(9)], [TODAY]),
        ([at(23, day=20)], [YESTERDAY]),
        ([at(23, day=20), at(0)], [YESTERDAY, TODAY]),
        (retained_windows(NOW), [YESTERDAY, TODAY]),
        (retained_windows(datetime(2027, 1, 1, 0, 5, tzinfo=UTC)), [date(2026, 12, 31), date(2027, 1, 1)]),
        (retained_windows(datetime(2028, 3, 1, 5, tzinfo=UTC)), [date(2028, 2, 29), date(2028, 3, 1)]),
    ],
)
def test_each_day_that_the_windows_touch_is_read_once(windows, days):
    chosen = plan.reread(windows)
    assert list(chosen.days) == days
    assert (chosen.latest, chosen.since, len(chosen.take)) == (False, (), 0)
    assert all(str(day) in chosen.reason for day in days)


# -- before `latest`


@pytest.mark.parametrize("now", [NOW, at(0), at(0, 5), datetime(2027, 1, 1, 12, tzinfo=UTC)])
@pytest.mark.parametrize("stored", [False, True])
def test_a_cold_start_reads_both_days_whatever_is_stored(now, stored):
    chosen = plan.before_latest(retained_windows(now) if stored else [], marked=False, now=now)
    assert chosen.days == (now.date() - timedelta(days=1), now.date())
    assert not chosen.latest
    assert chosen.reason == "first fill: downloading the whole day"


@pytest.mark.parametrize("now", [NOW, at(9), at(0), at(0, 5), at(23, 59)])
@pytest.mark.parametrize("absent", [[], [0], [-1], [0, -1]])
def test_the_two_ends_of_the_day_are_no_holes(now, absent):
    windows = retained_windows(now)
    stored = set(windows) - {windows[i] for i in absent}
    chosen = plan.before_latest(list(stored), marked=True, now=now)
    assert chosen.latest
    assert chosen.days == ()


@pytest.mark.parametrize(
    ("missing", "days"),
    [
        # Today too, which `latest` would otherwise have shown.
        ([at(10, day=20)], [YESTERDAY, TODAY]),
        ([at(23, day=20)], [YESTERDAY, TODAY]),
        ([at(8)], [TODAY]),
        ([at(1)], [TODAY]),
        # The window before a hole was left half filled.
        ([at(0)], [YESTERDAY, TODAY]),
        ([at(23, day=20), at(0)], [YESTERDAY, TODAY]),
        ([at(10, day=20), at(8)], [YESTERDAY, TODAY]),
    ],
)
def test_the_days_of_a_hole_are_read(missing, days):
    stored = set(retained_windows(NOW)) - set(missing)
    chosen = plan.before_latest(list(stored), marked=True, now=NOW)
    assert list(chosen.days) == days
    assert not chosen.latest
    gone = "1 window is" if len(missing) == 1 else f"{len(missing)} windows are"
    assert f"{gone} missing, the first is {missing[0]:%Y-%m-%dT%H:00Z}" in chosen.reason


def test_a_lake_whose_windows_have_all_expired_has_a_hole_of_a_day():
    chosen = plan.before_latest(retained_windows(NOW - timedelta(days=3)), marked=True, now=NOW)
    assert chosen.days == (YESTERDAY, TODAY)


def test_a_hole_over_the_end_of_a_year():
    now = datetime(2027, 1, 1, 2, tzinfo=UTC)
    chosen = plan.before_latest(retained_windows(now - timedelta(hours=4)), marked=True, now=now)
    assert chosen.days == (date(2026, 12, 31), date(2027, 1, 1))


# -- after `latest`: one measure among many that stay


WATERMARK = at(8, 45)
TAKE, ASK, LEAVE = "take", "ask", "leave"


@pytest.mark.parametrize(
    ("newest", "watermark", "usual", "nominal", "does"),
    [
        # how far it moved
        (WATERMARK, WATERMARK, 900, 900, LEAVE),
        (WATERMARK - STEP, WATERMARK, 900, 900, LEAVE),
        (WATERMARK + SECOND, WATERMARK, 900, 900, TAKE),
        (WATERMARK + STEP, WATERMARK, 900, 900, TAKE),
        (WATERMARK + STEP * 1.1, WATERMARK, 900, 900, TAKE),
        (WATERMARK + STEP * 1.1 + SECOND, WATERMARK, 900, 900, ASK),
        (at(9), at(8, 30), 900, 900, ASK),
        # by what its step is judged
        (at(9), WATERMARK, 300, 900, ASK),
        (at(9), WATERMARK, 900, 300, ASK),
        (at(9), at(8), 3600, 3600, TAKE),
        (at(9), at(8), 900, 3600, ASK),
        (at(9), at(8), 3600, 900, ASK),
        # listed without a period, however regular it was
        (at(9), WATERMARK, 900, None, ASK),
        # listed with one, but its habit is not known yet
        (at(9), WATERMARK, None, 900, ASK),
        (at(9), WATERMARK, None, None, ASK),
        # not listed
        (at(9), WATERMARK, 900, 0, TAKE),
        (at(9), at(8, 30), 900, 0, ASK),
        (at(9), WATERMARK, None, 0, ASK),
        # not marked
        (at(9), None, None, 900, ASK),
        (cutoff(NOW) + SECOND, None, None, 900, ASK),
        (cutoff(NOW), None, None, 900, LEAVE),
        (at(9, day=1), None, None, 900, LEAVE),
        # a watermark at the edge of the day
        (at(9), cutoff(NOW) - timedelta(days=3), 900, 900, ASK),
        (cutoff(NOW) + SECOND, cutoff(NOW), 900, 900, ASK),
        (cutoff(NOW) + STEP, cutoff(NOW) + SECOND, 900, 900, TAKE),
        (cutoff(NOW), cutoff(NOW) - STEP, 900, 900, LEAVE),
        # dated later than now, where it is due
        (NOW, NOW - STEP, 900, 900, TAKE),
        (NOW + SECOND, NOW - STEP, 900, 900, ASK),
        (at(9, day=28), at(9), 900, 900, ASK),
    ],
)
def test_what_becomes_of_a_measure(newest, watermark, usual, nominal, does):
    period = {} if nominal == 0 else {"m": nominal}
    rows = country(("m", newest))
    chosen = after_latest(
        rows,
        country_watermarks(*([("m", watermark, usual)] if watermark else [])),
        snapshot(**period, **dict.fromkeys(MANY, 900)),
        NOW,
    )
    assert chosen.latest
    assert chosen.days == ()
    assert (chosen.since == ("m",)) is (does == ASK)
    taken = rows["measure_id"].filter(pa.array(chosen.take)).to_pylist()
    assert taken == (["m"] if does == TAKE else [])


@pytest.mark.parametrize("coded", [False, True])
def test_ids_may_be_coded_or_not(coded):
    rows = latest(("m", at(9)), ("n", at(9)), coded=coded)
    chosen = after_latest(rows, known(("n", at(8), 900), ("m", WATERMARK, 900)), snapshot(m=900, n=900), NOW)
    assert chosen.take.tolist() == [True, False]
    assert chosen.since == ("n",)


def test_ids_in_several_chunks_are_told_apart():
    rows = pa.concat_tables([latest(("m", at(9))), latest(("n", at(9)))])
    watermarks = pa.concat_tables([known(("n", at(8), 900)), known(("m", WATERMARK, 900))])
    chosen = after_latest(rows, watermarks, snapshot(m=900, n=900), NOW)
    assert (chosen.take.tolist(), chosen.since) == ([True, False], ("n",))


def test_nothing_shown_asks_for_nothing():
    for watermarks in (known(), known(("m", WATERMARK, 900))):
        chosen = after_latest(parse.FETCHED.empty_table(), watermarks, snapshot(), NOW)
        assert (chosen.since, chosen.days, len(chosen.take)) == ((), (), 0)


def test_a_lake_without_watermarks_asks_everybody_or_reads_both_days():
    few = after_latest(latest(("m", at(9))), known(), snapshot(), NOW)
    assert few.since == ("m",)
    many = after_latest(latest(*((name, at(9)) for name in MANY)), known(), snapshot(), NOW)
    assert (many.since, many.days) == ((), (YESTERDAY, TODAY))
    assert not many.take.any()


def test_where_a_day_takes_a_request_for_each_station_many_measures_are_asked_for_instead():
    def chosen(requests: int) -> plan.Plan:
        lake = plan.Known({}, known(), snapshot(), requests=requests)
        return plan.after_latest(latest(*((name, at(9)) for name in MANY)), lake, NOW)

    assert (chosen(1).since, chosen(1).days) == ((), (YESTERDAY, TODAY))
    dear = chosen(len(MANY))
    assert (sorted(dear.since), dear.days) == (sorted(MANY), ())


def test_a_measure_that_an_overlapping_page_repeats_is_asked_once():
    chosen = after_latest(country(("m", at(9)), ("m", at(9))), country_watermarks(), snapshot(), NOW)
    assert chosen.since == ("m",)


def test_times_of_any_zone_count_as_the_moments_that_they_are():
    now = datetime(2026, 7, 1, 23, 30, tzinfo=UTC)  # 00:30 of the next day in England
    rows = latest(*((name, now - STEP) for name in MANY))
    watermarks = known(*((name, now - 20 * STEP, 900) for name in MANY))
    here = after_latest(rows, watermarks, snapshot(), now)
    there = after_latest(rows, watermarks, snapshot(), now.astimezone(ZoneInfo("Europe/London")))
    assert here.days == there.days == (now.date(),)
    assert here.reason == there.reason


# -- after `latest`: one by one, today, or both days


def jumped(count: int, watermark: datetime, now: datetime = NOW, of: int = 5000) -> plan.Plan:
    """A country of 15-minute gauges of which some jumped from a watermark."""
    names = [f"g{i}" for i in range(of)]
    newest = now - timedelta(minutes=5)
    rows = latest(*((name, newest) for name in names))
    watermarks = known(*((name, watermark if i < count else newest, 900) for i, name in enumerate(names)))
    return after_latest(rows, watermarks, snapshot(**dict.fromkeys(names, 900)), now)


def test_some_are_asked_one_by_one():
    chosen = jumped(20, at(8))
    assert (len(chosen.since), chosen.days) == (20, ())
    assert chosen.reason == ("0 measures have one new reading, 20 have several: asking for each of them (about 5.0 s)")


def test_many_that_jumped_within_today_cost_one_reading_of_today():
    # 5,000 gauges x 96 rows x 9.125 h / 24 h / 35,000 rows a second and 0.25 s for the request are 5.5 s: 21 requests.
    chosen = jumped(22, at(8))
    assert (chosen.since, chosen.days) == ((), (TODAY,))
    assert chosen.reason.endswith("22 have several: downloading 2026-11-21 (about 5.5 s, one by one 5.5 s)")
    assert len(jumped(21, at(8)).since) == 21


def test_one_is_told_in_the_singular():
    assert jumped(1, at(8)).reason.startswith("0 measures have one new reading, 1 has several: ")
    assert plan.before_latest([w for w in retained_windows(NOW) if w != at(3)], marked=True, now=NOW).reason.startswith(
        "1 window is missing, the first is 2026-11-21T03:00Z: "
    )


def test_those_that_reach_back_before_midnight_are_asked_beside_today():
    names = [f"g{i}" for i in range(5000)]
    rows = latest(*((name, at(9)) for name in names))
    back = {3: at(23, 30, day=20), 4: at(23, 45, day=20), 5: at(12, day=20)}
    watermarks = known(*((name, back.get(i, at(8) if i < 60 else at(9)), 900) for i, name in enumerate(names)))
    chosen = after_latest(rows, watermarks, snapshot(), NOW)
    assert chosen.days == (TODAY,)
    # From 23:45 the next reading is that of midnight: today's answer has it.
    assert chosen.since == ("g3", "g5")
    assert "2026-11-21 and 2 measures (" in chosen.reason


def test_when_most_reach_back_before_midnight_both_days_are_read():
    chosen = jumped(3000, at(22, day=20))
    assert (chosen.since, chosen.days) == ((), (YESTERDAY, TODAY))


def test_just_after_midnight_today_is_cheap():
    chosen = jumped(3, at(0), at(0, 40))
    assert (chosen.since, chosen.days) == ((), (TODAY,))


@pytest.mark.parametrize("now", [datetime(2027, 1, 1, 6, tzinfo=UTC), datetime(2028, 3, 1, 6, tzinfo=UTC)])
def test_days_at_the_end_of_a_month(now):
    chosen = jumped(3000, now - timedelta(hours=20), now)
    assert chosen.days == ((now - timedelta(days=1)).date(), now.date())


@pytest.mark.parametrize("watermark", [None, cutoff(at(23, 50)) - 2 * MINUTE])
def test_without_a_watermark_in_the_day_the_next_reading_may_be_of_any_time(watermark):
    """Ten minutes of yesterday are retained: a step counts from a watermark, never from the cutoff."""
    now = at(23, 50)
    names = [f"g{i}" for i in range(2000)]
    rows = latest(*((name, at(23, 45)) for name in names))
    fresh = known(*((name, at(22), 900) for name in names[1:]))
    stale = known(*([("g0", watermark, 900)] if watermark else []))
    chosen = after_latest(rows, pa.concat_tables([fresh, stale]), snapshot(**dict.fromkeys(names, 900)), now)
    assert chosen.days == (TODAY,)
    assert chosen.since == (("g0",) if watermark is None else ())


@given(st.integers(0, 400), st.integers(0, 400), st.integers(0, 23), st.integers(0, 59))
@settings(deadline=None, max_examples=50)
def test_every_measure_that_moved_is_taken_asked_or_within_what_is_read(steps, back, hour, minute):
    now = at(hour, minute)
    watermark = now - back * STEP / 4
    newest = min(watermark + steps * STEP / 4, now)
    rows = latest(*((f"g{i}", newest if i % 2 else watermark) for i in range(100)))
    chosen = after_latest(rows, known(*((f"g{i}", watermark, 900) for i in range(100))), snapshot(), now)
    done = set(rows["measure_id"].filter(pa.array(chosen.take)).to_pylist())
    assert not done & set(chosen.since)
    for i, (name, moment) in enumerate(zip(rows["measure_id"].to_pylist(), rows["date_time"].to_pylist(), strict=True)):
        moved = moment > max(watermark, cutoff(now))
        if not moved:
            assert name not in done | set(chosen.since)
        elif name not in done | set(chosen.since):
            first = max(watermark + STEP, cutoff(now) + SECOND)
            assert chosen.days[0] <= first.date()
            assert chosen.days[-1] == now.date()
            assert i % 2


# -- watermarks


def readings(*rows: tuple[str, datetime]) -> pa.Table:
    return latest(*rows)


def every(step: timedelta, start: datetime, count: int, name: str = "m") -> list[tuple[str, datetime]]:
    return [(name, start + i * step) for i in range(count)]


def watermarks_of(*rows: tuple[str, datetime], now: datetime = NOW) -> list[tuple[str, datetime, int | None]]:
    found = plan.watermarks_of(by_window(readings(*rows)), now)
    assert found.schema == WATERMARKS
    return sorted((r["measure_id"], r["newest"], r["interval_s"]) for r in found.to_pylist())


@pytest.mark.parametrize(
    ("rows", "newest", "step"),
    [
        ([("m", at(8))], at(8), None),
        (every(STEP, at(8), 2), at(8, 15), None),
        (every(STEP, at(8), 3), at(8, 30), 900),
        (list(reversed(every(STEP, at(8), 3))), at(8, 30), 900),
        ([*every(STEP, at(8), 3), *every(STEP, at(8), 3)], at(8, 30), 900),
        ([("m", at(8))] * 5, at(8), None),
        # the shorter of two gaps; of eleven the second
        ([("m", at(6)), ("m", at(7)), ("m", at(7, 15))], at(7, 15), 900),
        ([*every(STEP, at(5), 10), ("m", at(7, 20))], at(7, 20), 300),
        ([*every(STEP, at(5), 11), ("m", at(7, 35))], at(7, 35), 900),
        # a flood: reports every five minutes for three of 24 hours
        ([*every(STEP, at(10, day=20), 80), *every(5 * MINUTE, at(6), 36)], at(8, 55), 300),
        # single odd minutes do not make a five-minute gauge
        ([*every(STEP, at(10, day=20), 90), ("m", at(3, 2)), ("m", at(5, 2))], at(8, 15), 900),
        # later than now has no say
        ([*every(STEP, at(8), 3), ("m", NOW), ("m", NOW + SECOND), ("m", at(12))], NOW, 900),
        # neither has what is older than a day
        ([("m", cutoff(NOW)), ("m", cutoff(NOW) + SECOND)], cutoff(NOW) + SECOND, None),
    ],
)
def test_the_watermark_of_a_measure(rows, newest, step):
    assert watermarks_of(*rows) == [("m", newest, step)]


def test_measures_do_not_mix():
    rows = [*every(STEP, at(7), 5, "a"), ("b", at(7)), *every(5 * MINUTE, at(8), 4, "c")]
    mixed = [rows[i] for i in np.random.default_rng(1).permutation(len(rows))]
    assert watermarks_of(*mixed) == [("a", at(8), 900), ("b", at(7), None), ("c", at(8, 15), 300)]


@pytest.mark.parametrize("rows", [[], [("m", NOW + SECOND)], [("m", cutoff(NOW))]])
def test_without_a_retained_reading_there_is_no_watermark(rows):
    assert watermarks_of(*rows) == []


def test_answers_are_counted_together_whatever_their_dictionaries():
    together = pa.concat_tables([readings(("a", at(7)), ("b", at(8))), readings(("b", at(7)), ("a", at(8)))])
    assert {(r["measure_id"], r["newest"]) for r in plan.watermarks_of(by_window(together), NOW).to_pylist()} == {
        ("a", at(8)),
        ("b", at(8)),
    }
    assert not len(plan.watermarks_of(by_window(parse.FETCHED.empty_table()), NOW))


def slow_watermarks(rows: list[tuple[str, datetime]], now: datetime) -> list[tuple[str, datetime, int | None]]:
    """The same, one measure at a time."""
    found = []
    for name in sorted({name for name, _ in rows}):
        times = sorted({t for n, t in rows if n == name and cutoff(now) < t <= now})
        gaps = sorted(int((b - a).total_seconds()) for a, b in itertools.pairwise(times))
        if times:
            found.append((name, times[-1], gaps[(len(gaps) - 1) // 10] if len(gaps) >= 2 else None))
    return found


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdefgh"),
            st.integers(-90_000, 3600).map(lambda s: NOW + (s // 60 * 60 if s % 3 else s) * SECOND),
        ),
        max_size=120,
    )
)
@example([("a", NOW - timedelta(days=1)), ("a", NOW - timedelta(days=1) + SECOND)])
@settings(deadline=None)
def test_the_watermarks_of_many_measures_are_those_of_each(rows):
    assert watermarks_of(*rows) == slow_watermarks(rows, NOW)


# -- credible watermarks


@pytest.mark.parametrize(
    ("watermark", "usual", "nominal", "credible"),
    [
        (at(0), 900, 900, True),
        (at(23, 45, day=20), 900, 900, True),
        (at(23, 44, day=20), 900, 900, False),
        (at(23, 30, day=20), 900, 900, False),
        (at(23, day=20), 3600, 3600, True),
        # the shorter of nominal and usual, as `after_latest` has it
        (at(23, day=20), 3600, 900, False),
        (at(23, day=20), 900, 3600, False),
        (at(23, day=20), 3600, 0, True),
        # event gauges and unknown habits: only a watermark of today reaches today
        (at(23, 59, day=20), 3600, None, False),
        (at(23, 59, day=20), None, 900, False),
        (at(0), None, None, True),
        (None, None, 900, False),
        (at(9, day=1), 900, 900, False),
    ],
)
def test_a_day_makes_the_past_complete_where_the_watermark_reaches_it(watermark, usual, nominal, credible):
    newer = known(("m", at(9), 900))
    watermarks = known(*([("m", watermark, usual)] if watermark else []), ("other", at(9), 900))
    found = credible_of(newer, watermarks, snapshot(**({} if nominal == 0 else {"m": nominal})), TODAY, NOW)
    assert found.equals(newer) is credible
    assert len(found) == credible


@pytest.mark.parametrize(("first_day", "now"), [(YESTERDAY, NOW), (YESTERDAY, at(0)), (TODAY, at(0, day=22))])
def test_days_that_reach_back_to_the_cutoff_make_everything_complete(first_day, now):
    newer = known(("m", at(9), None), ("n", at(8), 900))
    assert credible_of(newer, known(), snapshot(), first_day, now).equals(newer)


def test_no_newer_watermarks_stay_none():
    assert not len(credible_of(known(), known(("m", WATERMARK, 900)), snapshot(), TODAY, NOW))
    assert not len(credible_of(known(("m", at(9), 900)), known(), snapshot(), TODAY, NOW))
