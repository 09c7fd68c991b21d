"""Charts: what is a gap, which readings are marked, and a time axis on which no hour is lost or doubled."""

import json
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import inf, nan

import pytest

from flood_assets.partitions import london
from flood_assets.quality import FAIL, MISSING, PASS, SUSPECT
from flood_assets.quality.kinds import Kind
from flood_assets.serve.pages import chart, words

NOW = datetime(2026, 11, 21, 9, 7, 30, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
START = NOW - timedelta(hours=24)


def series(values, *, first=None, kind=Kind.RIVER, flags=None, interval=QUARTER, due=None, raw=None, **more):
    """A reading each quarter from `first`, by default up to nine o'clock; None leaves one out."""
    newest = NOW.replace(minute=0, second=0)
    first = first or newest - QUARTER * (len(values) - 1)
    rows = [(first + QUARTER * i, value) for i, value in enumerate(values) if value != "gap"]
    count = len(rows)
    return chart.Series(
        kind,
        more.pop("unit", "m"),
        [at for at, _ in rows],
        [value for _, value in rows],
        flags or [PASS] * count,
        raw or [None] * count,
        more.pop("before", None) or [None] * count,
        interval,
        more.pop("typical", None),
        more.pop("record", None),
        due,
    )


DAY = [1.0] * 96


def test_a_whole_day_has_no_gap_and_the_newest_reading_may_be_a_while_ago():
    assert chart.gaps(series(DAY), START, NOW) == []
    assert chart.gaps(series(DAY, due=NOW + QUARTER), START, NOW) == []


def test_what_is_missing_is_a_gap_from_the_reading_before_to_the_time_of_the_first_missing_one():
    values = [*DAY[:50], "gap", "gap", *DAY[52:]]
    at = NOW.replace(minute=0, second=0) - QUARTER * 46
    assert chart.gaps(series(values), START, NOW) == [(at, at + 2 * QUARTER)]


def test_a_day_that_begins_late_or_ends_early_has_gaps_at_its_ends():
    late = series(DAY[:40])
    assert chart.gaps(late, START, NOW) == [(START, NOW.replace(minute=0, second=0) - QUARTER * 40)]
    early = series(DAY[:40], first=START, due=NOW - timedelta(hours=10))
    assert chart.gaps(early, START, NOW) == [(START + QUARTER * 39, NOW)]
    assert chart.gaps(series([], due=None), START, NOW) == [(START, NOW)]


def test_of_tips_of_a_bucket_nobody_knows_what_is_missing():
    assert chart.gaps(series([0.2, "gap", "gap", 0.2], kind=Kind.RAIN_EVENT, interval=None), START, NOW) == []


def test_a_line_ends_where_a_gap_begins():
    values = [*DAY[:50], "gap", "gap", *DAY[52:]]
    (line,) = re.findall(r'class="line" d="([^"]+)"', chart.picture(series(values), "River level", NOW))
    assert line.count("M") == 2
    assert line.count("L") == 92


def test_what_failed_is_marked_and_neither_joined_nor_part_of_the_scale():
    values = [*DAY[:50], 99.0, *DAY[51:]]
    flags = [FAIL if value == 99 else PASS for value in values]
    flags[10] = SUSPECT
    shown = chart.picture(series(values, flags=flags), "River level", NOW)
    assert shown.count('class="fail"') == 1
    assert shown.count('class="suspect"') == 1
    assert chart.said(series(values, flags=flags), []) == "From 1\u00a0m to 1\u00a0m in 95 readings."
    assert max(float(each) for each in re.findall(r'text-anchor="end">([\d.]+)<', shown)) < 2


@pytest.mark.parametrize("value", [nan, inf, -inf, -999.0])
def test_numbers_that_are_none_break_nothing(value):
    found = series([1.0, value, 2.0])
    assert "nan" not in chart.picture(found, "River level", NOW)
    assert "inf" not in chart.picture(found, "River level", NOW).replace("information", "")
    assert json.loads(chart.data(found, [], NOW))["mark"][1] == "fail"


def test_several_values_are_shown_as_their_range():
    found = series([1.0, None, 2.0], raw=[None, "1.2|1.9|x", None], flags=[PASS, MISSING, PASS])
    assert chart.marks_of(found) == [("several", "several values at one time, not used")]
    assert json.loads(chart.data(found, [], NOW))["several"] == {"1": [1.2, 1.9]}


def test_a_name_with_markup_is_text():
    shown = chart.picture(series(DAY, unit="<m>"), "<b>Level</b>", NOW)
    assert "<b>" not in shown
    assert "<m>" not in shown


@pytest.mark.parametrize("typical", [None, (0.5, 1.5), (1.0, 1.0)])
@pytest.mark.parametrize("record", [None, 1.8, 40.0])
@pytest.mark.parametrize("values", [[1.0], [0.0, 0.0], [-3.2, 1e-4], [58.001, 58.002], [0.001, 12000.0]])
def test_every_scale_has_a_few_round_labels(values, typical, record):
    shown = chart.picture(series(values, typical=typical, record=record), "River level", NOW)
    labels = re.findall(r'text-anchor="end">([^<]*\d)</text>', shown)
    numbers = [each for each in labels if "record" not in each]
    assert 2 <= len(numbers) <= 8
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("now", [datetime(2026, 10, 25, 3, tzinfo=UTC), datetime(2026, 3, 29, 12, tzinfo=UTC), NOW])
def test_the_time_axis_goes_on_evenly_over_a_change_of_the_clocks(now):
    found = chart.ticks(now - timedelta(hours=24), now)
    assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(hours=4)}
    assert len({f"{each.astimezone(london()):%H:%M %Z}" for each in found}) == len(found)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"),
        (0.0, "0"),
        (-0.0001, "0"),
        (1234.5, "1,234.5"),
        (-0.25, "\N{MINUS SIGN}0.25"),
        (10.0, "10"),
        (0.1 + 0.2, "0.3"),
    ],
)
def test_numbers_are_written_as_people_do(value, text):
    assert words.number(value) == text


def test_times_in_england_have_their_zone_and_utc_beside():
    summer = datetime(2026, 7, 1, 23, 30, tzinfo=UTC)
    assert "00:30 BST on Thursday 2 July 2026" in words.long(summer)
    assert "(Wed 23:30 UTC)" in words.long(summer)
    assert "Sat 21 Nov, 09:07 GMT" in words.short(NOW)
    assert "(09:07 UTC)" in words.short(NOW)


def test_all_of_something_is_a_hundred_percent_and_nothing_less_is():
    assert [words.percent(each) for each in (1.0, 0.99999, 0.875, 0.0, None)] == [
        "100\u00a0%",
        "99.9\u00a0%",
        "87.5\u00a0%",
        "0\u00a0%",
        "\N{EN DASH}",
    ]


def test_a_correction_has_a_ring_at_the_value_before_it_and_a_line_to_the_one_now():
    values, before = [1.0, 1.1, 1.2], [None, 1.9, None]
    drawn = chart.picture(series(values, before=before), "River level", NOW)
    ring = re.search(
        r'<path class="before" d="M([\d.]+) ([\d.]+)V([\d.]+)"/><circle class="before" cx="([\d.]+)" cy="([\d.]+)"',
        drawn,
    )
    x, top, bottom, cx, cy = map(float, ring.groups())
    assert (x, top) == (cx, cy)
    assert top < bottom
    assert drawn.count("<circle") == 1
    assert json.loads(chart.data(series(values, before=before), [], NOW))["before"] == {"1": 1.9}
    assert ("before", "value before a correction") in chart.marks_of(series(values, before=before))
    assert chart.marks_of(series(values)) == []
