"""Flood warnings followed from list to list."""

import itertools
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from flood_assets.ea.client import FloodMonitoringApi
from flood_assets.ea.lists import LISTED_WARNINGS
from flood_assets.schemas import WARNINGS
from flood_assets.simulator import Simulator, serve
from flood_assets.warnings import follow
from flood_assets_tests.support.lake_rows import snapshot

NOW = datetime(2026, 10, 5, 9, 7, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


def listed(at, **levels) -> pa.Table:
    rows = [
        {"flood_area_id": area, "severity_level": level, "message": f"{area} {level}"} for area, level in levels.items()
    ]
    return snapshot(LISTED_WARNINGS, at, *rows)


def followed(*lists: dict[str, int]) -> list[dict]:
    """Return the rows after lists that follow each other by a quarter of an hour."""
    known = None
    for number, levels in enumerate(lists):
        at = NOW + number * QUARTER
        known = follow(known, listed(at, **levels), at)
        assert known.schema == WARNINGS.schema
    return known.to_pylist()


def test_a_new_warning_has_no_past():
    (row,) = followed({"a": 3})
    assert (row["first_seen_at"], row["changed_at"], row["revision"]) == (NOW, NOW, 0)
    assert (row["previous_severity_level"], row["left_at"]) == (None, None)


def test_what_is_listed_again_unchanged_is_not_revised():
    (row,) = followed({"a": 3}, {"a": 3})
    assert (row["first_seen_at"], row["changed_at"], row["revision"]) == (NOW, NOW, 0)
    assert row["observed_at"] == NOW + QUARTER


def test_a_change_of_severity_is_a_revision_with_what_was_before():
    (row,) = followed({"a": 3}, {"a": 2}, {"a": 2}, {"a": 1})
    assert (row["severity_level"], row["previous_severity_level"], row["revision"]) == (1, 2, 2)
    assert (row["first_seen_at"], row["changed_at"]) == (NOW, NOW + 3 * QUARTER)


def test_an_area_that_leaves_the_list_is_no_longer_in_force_and_known_for_a_day():
    row, other = followed({"a": 2, "b": 3}, {"b": 3})
    assert (row["severity_level"], row["previous_severity_level"]) == (4, 2)
    assert (row["left_at"], row["changed_at"], row["revision"]) == (NOW + QUARTER, NOW + QUARTER, 1)
    assert (other["severity_level"], other["left_at"]) == (3, None)
    assert len(followed({"a": 2}, *[{}] * 96)) == 1
    assert followed({"a": 2}, *[{}] * 97) == []


def test_an_area_that_comes_back_is_in_force_again():
    (row,) = followed({"a": 2}, {}, {"a": 2})
    assert (row["severity_level"], row["previous_severity_level"], row["left_at"]) == (2, 4, None)
    assert row["revision"] == 2


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 4)), min_size=1, max_size=12))
def test_what_is_in_force_is_what_was_listed_last_and_every_change_is_counted(lists):
    rows = {row["flood_area_id"]: row for row in followed(*lists)}
    assert {area: row["severity_level"] for area, row in rows.items() if row["left_at"] is None} == lists[-1]
    for area, row in rows.items():
        # Told apart from 4 while listed: leaving the list and coming back are changes of their own.
        story = [each.get(area) for each in lists]
        story = story[next(i for i, level in enumerate(story) if level) :]
        assert row["revision"] == sum(a != b for a, b in itertools.pairwise(story))


def test_warnings_of_a_simulated_flood_are_followed_over_ticks():
    country = Simulator(stations=10, seed=1)
    start = datetime(2026, 10, 5, 9, 7, tzinfo=UTC)
    with serve(country) as server:
        known, seen = None, set()
        for hours in range(0, 60, 3):
            now = start + timedelta(hours=hours)
            country.set_clock(now)
            api = FloodMonitoringApi(server.url, now=lambda now=now: now)
            found = api.warnings()
            api.close()
            assert len(found.rejects) == 0
            known = follow(known, found.rows, now)
            rows = known.to_pylist()
            truth = {
                each["floodAreaID"]: each["severityLevel"] for each in country.floods.warnings(int(now.timestamp()))
            }
            assert {row["flood_area_id"]: row["severity_level"] for row in rows if row["left_at"] is None} == truth
            seen |= {(row["previous_severity_level"], row["severity_level"]) for row in rows}
    assert {(None, 3), (3, 4), (2, 1), (1, 2), (2, 4)} <= seen
