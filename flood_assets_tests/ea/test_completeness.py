"""Answers that are suspect, and answers that are accepted."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from flood_assets.ea import completeness, plan
from flood_assets.ea.parse import FETCHED
from flood_assets.grouping import Windowed, by_window
from flood_assets.partitions import window_of
from flood_assets.schemas import WATERMARKS

NOW = datetime(2026, 11, 21, 9, 7, 30, tzinfo=UTC)
TODAY, YESTERDAY = date(2026, 11, 21), date(2026, 11, 20)
DAYS = (YESTERDAY, TODAY)
MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)
QUARTER, HOUR = timedelta(minutes=15), timedelta(hours=1)

Key = tuple[str, datetime]


def rows(keys: list[Key]) -> pa.Table:
    ids, times = [key[0] for key in keys], [key[1] for key in keys]
    columns = [ids, times, [1.0] * len(ids), [None] * len(ids), [NOW] * len(ids)]
    return pa.table([pa.array(column) for column in columns], names=FETCHED.names).cast(FETCHED)


def shown(keys: list[Key]) -> Windowed:
    return by_window(rows(keys))


def watermarks(newest: dict[str, datetime]) -> pa.Table:
    return pa.table([list(newest), list(newest.values()), [900] * len(newest)], schema=WATERMARKS)


def country(measures: int = 40) -> list[Key]:
    """Gauges that report each quarter of an hour since yesterday's midnight, one measure after the other."""
    start = MIDNIGHT - 24 * HOUR
    return [(f"m{i:02}", start + n * QUARTER) for i in range(measures) for n in range(int((NOW - start) / QUARTER) + 1)]


def mixed_country(now: datetime) -> list[Key]:
    """Ninety gauges that report each quarter of an hour, and ten that report on the hour."""
    start = MIDNIGHT - 24 * HOUR
    kinds = [("q", 90, QUARTER), ("h", 10, HOUR)]
    return [
        (f"{kind}{i:02}", start + n * step)
        for kind, measures, step in kinds
        for i in range(measures)
        for n in range(int((now - start) / step) + 1)
    ]


def held(keys: list[Key]) -> Mapping[datetime, int]:
    return Counter(window_of(at) for _, at in keys)


def suspect(keys: list[Key], days=DAYS, latest=None, lake=None, listed=0, now=NOW) -> str:
    given = shown(keys)
    return completeness.of_days(
        given,
        days,
        watermarks=plan.watermarks_of(given, now),
        latest=shown(latest) if latest is not None else None,
        held=held(lake or []),
        listed=listed,
        now=now,
    )


def test_a_handful_of_measures_is_suspect_where_a_country_is_listed():
    """All the rules for a country pass over it: cut to seven rows, an empty lake's first answer looked like all."""
    few = country(measures=7)
    assert suspect(few, listed=7) == ""
    assert "show 7 of the 400 measures" in suspect(few, listed=400)
    early = MIDNIGHT + HOUR
    assert suspect([key for key in few if MIDNIGHT <= key[1] <= early], days=DAYS[1:], listed=400, now=early) == ""
    assert suspect(country(), listed=400) == ""


def test_a_whole_answer_is_accepted():
    every = country()
    assert suspect(every) == ""
    assert suspect(every, latest=[key for key in every if key[1] > NOW - QUARTER], lake=every) == ""
    assert suspect(every * 3) == ""


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.97])
@pytest.mark.parametrize("order", ["by measure", "by time"])
def test_an_answer_that_ends_early_is_suspect_by_what_the_lake_holds(order, share):
    every = sorted(country(), key=lambda key: key[order == "by time"])
    assert "readings that the API has shown before" in suspect(every[: int(share * len(every))], lake=every)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("order", ["by measure", "by time"])
def test_of_an_empty_lake_yesterday_is_suspect_by_itself_when_it_ends_early(order, share):
    old = sorted((k for k in country() if k[1] < MIDNIGHT), key=lambda key: key[order == "by time"])
    new = [k for k in country() if k[1] >= MIDNIGHT]
    assert suspect(old + new) == ""
    assert suspect(old[: int(share * len(old))] + new) != ""


def test_days_of_which_each_second_reading_is_absent_are_suspect_by_their_reporting_intervals():
    every = [key for number, key in enumerate(country()) if number * 7919 % 10 < 5]
    assert "their reporting intervals" in suspect(every)


def test_today_is_suspect_when_it_lacks_what_latest_has_just_shown():
    every = country()
    latest = [key for key in every if key[1] > NOW - QUARTER]
    short = [key for key in every if key not in latest[:10]]
    assert "lack the newest reading of 10 of 40 measures" in suspect(short, latest=latest)


def test_a_few_readings_that_were_taken_back_are_accepted():
    every = country()
    assert suspect(every[:-3], lake=every) == ""
    assert suspect(every[: -len(every) // 101], lake=every) == ""
    few = country(3)
    assert suspect(few[:-3], lake=few) == ""


def test_a_handful_of_gauges_may_fall_silent():
    few = [key for key in country(5) if not MIDNIGHT - 9 * HOUR < key[1] < MIDNIGHT]
    assert suspect(few) == ""


def test_the_last_two_hours_are_still_arriving():
    every = country()
    settled = NOW - completeness.SETTLED
    assert suspect([key for key in every if key[1] < settled]) == ""
    assert suspect([key for key in every if key[1] < settled - 3 * HOUR]) != ""


def test_shortly_after_midnight_today_may_hold_nothing():
    now = MIDNIGHT + QUARTER
    assert suspect([key for key in country() if key[1] < MIDNIGHT], now=now) == ""
    assert now < completeness.settled(TODAY) < now + 2 * HOUR


@pytest.mark.parametrize("now", [NOW, MIDNIGHT + 5 * HOUR, MIDNIGHT + 14 * HOUR - QUARTER / 3])
def test_a_source_that_has_24_hours_only_is_not_suspect(now):
    """A served lake is one. The window that the cutoff crosses may be stored whole, and a tenth reports by the hour."""
    every = mixed_country(now)
    kept = [key for key in every if key[1] > now - 24 * HOUR]
    stored = [key for key in every if key[1] >= window_of(now - 24 * HOUR)]
    assert suspect(kept, lake=stored, now=now) == ""
    assert suspect(kept, now=now) == ""
    # Nor does it hide what is missing of the last 24 hours.
    cut = [key for key in kept if not now - 20 * HOUR < key[1] < now - 15 * HOUR]
    assert "less than a third" in suspect(cut, now=now)
    assert "that the API has shown before" in suspect(cut, lake=stored, now=now)


def test_late_in_the_day_a_source_of_24_hours_has_nothing_of_yesterday_from_what_reports_seldom():
    now = MIDNIGHT + 23 * HOUR + timedelta(minutes=40)
    every = mixed_country(now)
    assert suspect([key for key in every if key[1] > now - 24 * HOUR], now=now) == ""
    # One that keeps more must have it.
    lacking = [key for key in every if not (key[0].startswith("h") and key[1] < MIDNIGHT)]
    assert "have no reading of 2026-11-20" in suspect(lacking, now=now)


@pytest.mark.parametrize(("absent", "older", "is_suspect"), [(3, 0, False), (4, 0, True), (0, 4, True), (0, 3, False)])
def test_latest_must_show_what_reported_within_a_day_and_no_older(absent, older, is_suspect):
    newest = {f"m{i:02}": NOW - QUARTER for i in range(100)} | {"long ago": NOW - 26 * HOUR}
    shown = [(name, NOW - (HOUR if number < older else QUARTER)) for number, name in enumerate(newest)]
    shown = shown[: 100 - absent]
    assert bool(completeness.of_latest(rows(shown), watermarks(newest), NOW)) == is_suspect


def test_latest_is_never_suspect_without_watermarks():
    assert completeness.of_latest(rows([]), WATERMARKS.empty_table(), NOW) == ""


def test_spot_checks_are_of_measures_that_are_absent_and_others():
    every = [key for key in country() if key[0] < "m30"]
    chosen = completeness.sample(shown(every), watermarks({f"m{i:02}": NOW for i in range(40)}), DAYS)
    assert len(chosen) == len(set(chosen)) == completeness.SAMPLES
    assert sum(name >= "m30" for name in chosen) == completeness.SAMPLES // 2


def test_spot_checks_are_of_the_measures_there_are():
    assert completeness.sample(shown([]), WATERMARKS.empty_table(), DAYS) == []
    assert completeness.sample(shown(country(2)), WATERMARKS.empty_table(), DAYS) == ["m00", "m01"]


def test_readings_of_spot_checks_beyond_the_days_contradict_them():
    every = country()
    said = [key for key in every if key[0] in {"m01", "m39"}]
    short = [key for key in every if key[0] < "m30"]
    assert completeness.contradicted(shown(short), shown(said), DAYS, NOW)
    assert not completeness.contradicted(shown(every), shown(said), DAYS, NOW)
    # What is not retained, or of another day, proves nothing.
    old = [("m39", NOW - 25 * HOUR - n * QUARTER) for n in range(20)]
    assert not completeness.contradicted(shown(short), shown(old), DAYS, NOW)
    assert not completeness.contradicted(shown(short), shown(said), (YESTERDAY - timedelta(days=1),), NOW)


def test_the_newest_reading_is_absent_only_where_it_is_due():
    assert completeness.absent(shown([("a", NOW), ("b", NOW), ("c", NOW - 24 * HOUR)]), shown([("a", NOW)])) == [
        "b",
        "c",
    ]
    assert completeness.absent(shown([("a", NOW), ("c", NOW - 24 * HOUR)]), shown([]), (TODAY,)) == ["a"]
