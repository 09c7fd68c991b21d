"""Test API outages of hours, gaps in its data and mixed faults, through the real jobs over many ticks."""

import os
import re
from datetime import datetime, timedelta

import dagster as dg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flood_assets.defs.jobs import refresh_requests
from flood_assets.defs.schedules import refresh_every_15_minutes
from flood_assets.partitions import cutoff, window_of
from flood_assets.schemas import MEASURES, READINGS, STATIONS
from flood_assets_tests.conftest import HOUR, NOW, QUARTER, Place, failure_of
from flood_assets_tests.defs.test_sensors import look
from flood_assets_tests.proofs.test_source_faults import lean_tick
from flood_assets_tests.support.faulty import Trial, copied, country, full, waits

__all__ = ["country", "full", "waits"]

AWAY = (
    r"1 tries and \d+ s; the last problem: ConnectionError: .*Connection refused.* a later run fetches what is missing"
)


def in_vain(place: Place, moments: list[datetime]) -> None:
    """Run ticks while the API is down: each says why it failed and changes nothing."""
    trial = Trial(place)
    before = trial.files()
    with place.server.away():
        for moment in moments:
            place.now = moment
            result = lean_tick(place)
            assert not result.success
            assert re.search(AWAY, failure_of(result))
    assert trial.files() == before


def every(step: timedelta, start: datetime, end: datetime) -> list[datetime]:
    return [start + number * step for number in range(1, (end - start) // step + 1)]


def asked_for(place: Place) -> list[dg.RunRequest]:
    """Return what the schedule requests at this moment."""
    context = dg.build_schedule_context(
        instance=place.instance,
        resources={"lake": place.lake_resource},
        scheduled_execution_time=place.now,
        repository_def=place.defs.get_repository_def(),
    )
    return refresh_every_15_minutes.evaluate_tick(context).run_requests


@pytest.mark.timeout(600)
def test_after_six_hours_away_one_tick_brings_all_that_can_be_had_and_nothing_has_piled_up(place, full, instance):
    copied(full, place)
    usual = len(refresh_requests(NOW, [], []))
    back = NOW + 6 * HOUR
    in_vain(place, every(HOUR, NOW, back - QUARTER))
    place.at(back)
    trial = Trial(place)
    trial.observe()
    # Schedules need an instance on disk; the failed ticks were quicker in memory, and leave nothing that they look at.
    place.instance = instance
    requests = asked_for(place)
    assert len(requests) == usual == 2
    for request in requests:
        result = place.run("refresh_job", request)
        assert result.success, failure_of(result)
    assert place.requests() <= 6
    trial.nothing_made_up_or_lost()
    trial.no_watermark_hides_anything()
    trial.equals_truth(values=False)
    assert "windows to clean up" in look(place).tags["flood_assets/reason"]
    assert place.expire().success
    assert look(place) == "nothing in the lake is older than 24 hours"
    assert place.reconcile().success
    trial.equals_truth()


def test_an_api_that_is_away_from_the_start_leaves_nothing_behind_and_is_filled_when_it_comes(place):
    in_vain(place, every(HOUR, NOW, NOW + 3 * HOUR))
    assert not any(place.lake.windows(table) for table in (READINGS, STATIONS, MEASURES))
    assert look(place) == "nothing in the lake is older than 24 hours"
    place.at(NOW + 4 * HOUR)
    assert place.tick(snapshot=True).success
    Trial(place).equals_truth()


def test_after_thirty_hours_away_the_lake_is_empty_and_one_tick_fills_it_again(place, full):
    copied(full, place)
    back = NOW + 30 * HOUR
    for moment in every(6 * HOUR, NOW, back):
        in_vain(place, every(2 * HOUR, moment - 6 * HOUR, moment))
        place.at(moment)
        assert place.expire().success
        assert all(at > cutoff(moment) for _, at in Trial(place).rows())
    assert not any(place.lake.windows(table) for table in (READINGS, STATIONS, MEASURES))
    trial = Trial(place)
    trial.observe()
    assert place.tick(snapshot=True).success
    trial.nothing_made_up_or_lost()
    trial.equals_truth()
    # Nothing is left to be asked for.
    place.at(back + QUARTER)
    assert lean_tick(place).success
    trial.equals_truth(values=False)


@pytest.mark.parametrize("lake", ["full", "empty"])
def test_a_hole_of_the_apis_own_is_accepted_once_it_is_proved_and_filled_when_the_api_fills_it(place, full, lake):
    if lake == "full":
        copied(full, place)
    start, end = NOW - 2 * HOUR, NOW + 3 * HOUR
    hole = {"kind": "hole", "start": f"{start:%Y-%m-%dT%H:%M:%SZ}", "end": f"{end:%Y-%m-%dT%H:%M:%SZ}"}
    place.at(NOW + 8 * HOUR)
    trial = Trial(place)
    trial.observe()
    place.server.set_faults([{**hole, "match": "readings.csv", "times": 0}])
    can_be_had = {key for key in trial.truth() if not start <= key[1] < end}
    for number in range(3):
        place.at(NOW + 8 * HOUR + number * QUARTER)
        trial.observe()
        can_be_had |= {key for key in trial.truth() if not start <= key[1] < end}
        assert lean_tick(place).success
        told = place.materializations("readings", window_of(place.now))[0].metadata
        assert "suspect" not in told
        # The hole is looked into once: then the watermarks are past it, and a tick costs what it always does.
        assert number == 0 or place.requests() <= 4
        trial.nothing_made_up_or_lost()
    held = trial.rows()
    retained = {key for key in can_be_had if key[1] > cutoff(place.now)}
    assert retained <= held.keys()
    # What the lake had of the hole, it keeps.
    assert {key for key in trial.before if key[1] > cutoff(place.now)} <= held.keys()
    place.server.set_faults([])
    trial.observe()
    assert place.reconcile().success
    trial.equals_truth()


# All of them mixed

# A longer search, with other stories each time: FLOOD_FAULT_STORIES=200 pytest -k whatever_the_source_does
STORIES = int(os.environ.get("FLOOD_FAULT_STORIES", "0"))

matches = st.sampled_from(["", "?latest", "date=", "date=2026-10-14", "date=2026-10-15", "since=", "/id/"])
kinds = st.one_of(
    st.builds(
        lambda status, retry: {"kind": "status", "status": status, "retry_after": retry},
        st.sampled_from([429, 500, 503, 404]),
        st.sampled_from([None, 5]),
    ),
    st.sampled_from(
        [
            {"kind": "truncate"},
            {"kind": "truncate", "framing": "length"},
            {"kind": "truncate", "framing": "chunked", "after": 40},
            {"kind": "cut_at_line"},
            {"kind": "cut_at_line", "after": 3000},
            {"kind": "lossy"},
            {"kind": "nothing"},
            {"kind": "empty"},
            {"kind": "html"},
            {"kind": "garbage"},
            {"kind": "header"},
            {"kind": "stall", "seconds": 0},
            {"kind": "redirect_loop"},
            {"kind": "repeat", "rounds": 3},
            {"kind": "strangers"},
            {"kind": "limit", "rows": 500},
            {"kind": "limit", "rows": 7},
            {"kind": "no_final_newline"},
        ]
    ),
)
faults = st.builds(
    lambda kind, match, times: {**kind, "match": match, "times": times}, kinds, matches, st.sampled_from([1, 2, 0])
)
steps = st.tuples(
    st.sampled_from(["tick", "tick", "tick", "reconcile", "expire", "gauges"]),
    st.sampled_from([15, 15, 30, 75, 600]),
    st.lists(faults, max_size=2),
)


def gauges(place: Place) -> dg.ExecuteInProcessResult:
    for table in (STATIONS, MEASURES):
        result = place.materialize(table.name, window_of(place.now))
    return result


RUNS = {"tick": lean_tick, "reconcile": Place.reconcile, "expire": Place.expire, "gauges": gauges}


def play(place: Place, story: list) -> None:
    """Run each step with its faults; then one healthy reconcile makes the lake equal to the truth."""
    trial = Trial(place)
    for run, minutes, waiting in story:
        place.at(place.now + timedelta(minutes=minutes))
        trial.observe()
        place.server.set_faults(waiting)
        RUNS[run](place)
        place.server.set_faults([])
        trial.nothing_made_up_or_lost()
        trial.no_watermark_hides_anything()
    place.at(place.now + QUARTER)
    trial.observe()
    assert gauges(place).success
    assert lean_tick(place).success
    trial.no_watermark_hides_anything()
    trial.equals_truth(values=False)
    assert place.reconcile().success
    trial.equals_truth()


@pytest.mark.timeout(1800)
@given(st.booleans(), st.lists(steps, min_size=2, max_size=4))
# The days of a cold fill end early but cleanly; meanwhile single measures cannot be asked.
@example(
    False,
    [
        ("tick", 15, [{"kind": "cut_at_line", "match": "date=2026-10-14", "times": 0}]),
        ("tick", 15, [{"kind": "status", "status": 503, "match": "since=", "times": 0}]),
    ],
)
# An empty lake's first answers are seven rows each, cut cleanly.
@example(False, [("gauges", 15, []), ("tick", 15, [{"kind": "limit", "rows": 7, "match": "", "times": 2}])])
@settings(
    max_examples=STORIES or 4, deadline=None, database=None, derandomize=not STORIES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
def test_whatever_the_source_does_nothing_is_made_up_lost_or_hidden(
    country, full, waits, no_waiting, tmp_path_factory, filled, story
):
    with dg.DagsterInstance.ephemeral() as instance:
        place = Place(country, tmp_path_factory.mktemp("lake").as_uri(), instance)
        if filled:
            copied(full, place)
        play(place, story)
