"""Flood warnings followed from list to list."""

import itertools
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from flood_assets.ea.client import FloodMonitoringApi
from flood_assets.ea.lists import LISTED_WARNINGS
from flood_assets.schemas import WARNING_AREAS, WARNINGS
from flood_assets.simulator import Simulator, serve
from flood_assets.warnings import follow, in_force, named
from flood_assets_tests.support.lake_rows import snapshot

NOW = datetime(2026, 10, 5, 9, 7, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


def listed(at, **levels) -> pa.Table:
    rows = [
        {"flood_area_id": area, "severity_level": level, "message": f"{area} {level}"} for area, level in levels.items()
    ]
    return snapshot(LISTED_WARNINGS, at, *rows)


def areas(**labels) -> pa.Table:
    rows = [{"flood_area_id": area, "label": label} for area, label in labels.items()]
    return snapshot(WARNING_AREAS, NOW, *rows)


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


def test_one_that_left_over_a_day_ago_and_comes_back_is_new():
    known = follow(None, listed(NOW, a=2), NOW)
    known = follow(known, listed(NOW + QUARTER), NOW + QUARTER)
    later = NOW + QUARTER + timedelta(days=1)
    (row,) = follow(known, listed(later, a=3), later).to_pylist()
    assert (row["first_seen_at"], row["previous_severity_level"], row["revision"]) == (later, None, 0)


def test_a_list_with_items_of_unknown_areas_ends_nothing_and_changes_what_it_names():
    known = follow(None, listed(NOW, a=2, b=3), NOW)
    later = NOW + QUARTER
    a, b = follow(known, listed(later, a=1), later, whole=False).to_pylist()
    assert (a["severity_level"], a["revision"]) == (1, 1)
    assert (b["severity_level"], b["left_at"], b["revision"], b["observed_at"]) == (3, None, 0, NOW)


def test_in_force_is_what_is_listed_and_not_as_ended():
    known = follow(None, listed(NOW, a=2, b=3, c=4, d=None), NOW)
    later = NOW + QUARTER
    known = follow(known, listed(later, a=2, c=4, d=None), later)
    assert in_force(known)["flood_area_id"].to_pylist() == ["a", "d"], "an unknown severity may be any"


def test_names_are_those_of_the_areas_and_a_new_name_is_no_change_of_the_warning():
    known = named(follow(None, listed(NOW, a=2, b=3), NOW), areas(a="Avon", z="Zeal"))
    assert known["label"].to_pylist() == ["Avon", None]
    later = NOW + QUARTER
    known = follow(known, listed(later, a=2, b=3), later)
    assert named(known, None)["label"].to_pylist() == ["Avon", None]
    assert named(known, areas(b="Box"))["label"].to_pylist() == ["Avon", "Box"]
    known = named(known, areas(a="Upper Avon", b="Box"))
    assert known["label"].to_pylist() == ["Upper Avon", "Box"]
    assert known["revision"].to_pylist() == [0, 0]
    assert known.schema == WARNINGS.schema


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
