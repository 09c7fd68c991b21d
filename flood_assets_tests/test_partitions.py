"""Windows, days and what is retained."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flood_assets.partitions import (
    WINDOW,
    cutoff,
    days_of,
    is_expired,
    partition_key,
    retained_windows,
    utc,
    window_of,
    window_of_key,
    windows_between,
)
from flood_assets_tests.support.retained import is_retained

ON_THE_HOUR = datetime(2026, 11, 21, 9, tzinfo=UTC)
LONG_AGO = datetime(1990, 1, 1, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)
SUMMER = timezone(timedelta(hours=1))

moments = st.timedeltas(timedelta(0), timedelta(days=20_000)).map(lambda later: LONG_AGO + later)
around = st.timedeltas(timedelta(hours=-26), timedelta(hours=2))


@given(moments)
@example(ON_THE_HOUR)
@example(ON_THE_HOUR - INSTANT)
@example(ON_THE_HOUR + INSTANT)
@example(datetime(2027, 1, 1, tzinfo=UTC))
def test_there_are_always_25_retained_windows_without_gaps(now):
    windows = retained_windows(now)
    assert len(windows) == 25
    assert windows == sorted({window_of(window) for window in windows})
    assert windows[-1] - windows[0] == 24 * WINDOW


@given(moments, around)
@example(ON_THE_HOUR, timedelta(0))
@example(ON_THE_HOUR, timedelta(hours=-24))
@example(ON_THE_HOUR, timedelta(hours=-24) + INSTANT)
@example(ON_THE_HOUR, INSTANT)
def test_the_retained_windows_hold_exactly_the_retained_moments(now, away):
    moment = now + away
    in_one = window_of(moment) in retained_windows(now)
    assert in_one or not is_retained(moment, now)
    assert not in_one or any(is_retained(window_of(moment) + part, now) for part in _instants(now, moment))


def _instants(now, moment):
    """The moments of a window at which something may change: its two ends and those that `now` divides."""
    start = window_of(moment)
    return [t - start for t in (start, start + WINDOW - INSTANT, now, cutoff(now) + INSTANT) if window_of(t) == start]


@given(moments, around)
@example(ON_THE_HOUR, timedelta(hours=-25))
@example(ON_THE_HOUR, timedelta(hours=-25) - INSTANT)
def test_a_window_has_expired_when_and_only_when_none_of_its_moments_is_retained(now, away):
    window = window_of(now + away)
    if window > now:
        assert not is_expired(window, now)
    else:
        newest = min(window + WINDOW - INSTANT, now)
        assert is_expired(window, now) == (not is_retained(newest, now))
        assert is_expired(window, now) == (window not in retained_windows(now))


@pytest.mark.parametrize(
    ("away", "retained"),
    [
        (timedelta(0), True),
        (INSTANT, False),
        (timedelta(hours=-24), False),
        (timedelta(hours=-24) + INSTANT, True),
    ],
)
def test_a_moment_is_retained_until_it_is_a_day_old(away, retained):
    assert is_retained(ON_THE_HOUR + away, ON_THE_HOUR) is retained


@given(moments)
def test_a_key_names_its_window_and_the_other_way_round(moment):
    window = window_of(moment)
    assert window_of_key(partition_key(window)) == window
    assert partition_key(window) == f"{window:%Y-%m-%d-%H}:00"


@pytest.mark.parametrize("key", ["", "2026-11-21", "2026-11-21-09:30", "2026-11-21-9:00", "2026-13-01-00:00"])
def test_what_is_no_key_of_a_window_is_refused(key):
    with pytest.raises(ValueError, match=r"does not match|expected one such as"):
        window_of_key(key)


def test_clocks_that_change_make_no_window_longer_or_twice():
    """On 2027-03-28 and 2026-10-25 clocks change in England; hours of UTC do not."""
    for day in (date(2027, 3, 28), date(2026, 10, 25)):
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        keys = [partition_key(window) for window in windows_between(start, start + timedelta(hours=23))]
        assert len(set(keys)) == 24
        assert [window_of_key(key) for key in keys] == [start + n * WINDOW for n in range(24)]


def test_windows_between_two_moments_include_those_of_both():
    first, last = ON_THE_HOUR + timedelta(minutes=59), ON_THE_HOUR + WINDOW
    assert windows_between(first, last) == [ON_THE_HOUR, last]
    assert windows_between(last, last) == [last]
    assert windows_between(last, first) == []


def test_another_zone_is_the_same_moment():
    summer = datetime(2026, 11, 22, 0, 30, tzinfo=SUMMER)
    assert window_of(summer) == datetime(2026, 11, 21, 23, tzinfo=UTC)
    assert partition_key(window_of(summer)) == partition_key(summer.replace(minute=0)) == "2026-11-21-23:00"
    assert days_of([summer]) == [date(2026, 11, 21)]
    assert retained_windows(summer) == retained_windows(utc(summer))


def test_days_are_given_once_and_the_oldest_first():
    windows = retained_windows(datetime(2027, 1, 1, 3, tzinfo=UTC))
    assert days_of(reversed(windows)) == [date(2026, 12, 31), date(2027, 1, 1)]
    assert days_of([]) == []


@pytest.mark.parametrize(
    "asked",
    [
        utc,
        window_of,
        partition_key,
        cutoff,
        retained_windows,
        lambda naive: is_retained(naive, ON_THE_HOUR),
        lambda naive: is_retained(ON_THE_HOUR, naive),
        lambda naive: is_expired(naive, ON_THE_HOUR),
        lambda naive: is_expired(ON_THE_HOUR, naive),
        lambda naive: windows_between(naive, ON_THE_HOUR),
        lambda naive: days_of([naive]),
    ],
)
def test_a_time_without_a_zone_is_refused(asked):
    with pytest.raises(ValueError, match="has no time zone"):
        asked(datetime(2026, 11, 21, 9))  # noqa: DTZ001 - that is the point
