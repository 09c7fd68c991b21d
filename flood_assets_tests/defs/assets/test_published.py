"""The asset `published` in real ticks: what reaches a receiver, and what a receiver that is away costs the others."""

import sys

import dagster as dg
import pytest

from flood_assets.schemas import READINGS
from flood_assets_tests.conftest import NOW, QUARTER, Place, failure_of
from flood_assets_tests.support.postgresql import Database, equal
from flood_assets_tests.support.receiving import Receiver, newest, receiving

AWAY = "http://127.0.0.1:9/"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr("flood_assets.sinks.base.LONGEST_PAUSE_S", 0)


@pytest.fixture
def receiver():
    with receiving() as found:
        yield found


def told(place: Place) -> dict:
    (record,) = place.instance.fetch_materializations(dg.AssetKey("published"), limit=1).records
    return {name: entry.value for name, entry in record.asset_materialization.metadata.items()}


def check(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (found,) = [e for e in result.get_asset_check_evaluations() if e.check_name == "sinks_keep_up"]
    return found


def held(place: Place) -> dict:
    rows = place.lake.read(READINGS, now=place.now).to_pylist()
    return {(row["measure_id"], f"{row['date_time']:%Y-%m-%dT%H:%M:%SZ}"): row["value"] for row in rows}


def retained(receiver: Receiver, place: Place) -> dict:
    stored = held(place)
    return {key: value for key, value in newest(receiver.accepted).items() if key in stored}


def test_a_tick_without_sinks_does_not_publish(place):
    result = place.tick(snapshot=True)
    assert result.success
    assert "published" not in {event.step_key for event in result.all_events}


def test_each_tick_sends_what_it_stored(place, receiver, monkeypatch):
    monkeypatch.setenv("FLOOD_PUBLISH", receiver.url)
    assert place.tick(snapshot=True).success
    assert newest(receiver.accepted) == held(place)
    for quarter in (1, 2, 3):
        place.at(NOW + quarter * QUARTER)
        before = len(receiver.accepted)
        result = place.tick()
        assert result.success
        assert check(result).passed
        assert told(place)["events"] == len(receiver.accepted) - before > 0
        assert retained(receiver, place) == held(place)
    assert len({event["id"] for event in receiver.accepted}) == len(receiver.accepted)


def test_a_database_has_the_conditions_of_the_same_tick(place, postgresql, monkeypatch):
    database = Database(postgresql.primary, "ticks")
    monkeypatch.setenv("FLOOD_PUBLISH", database.url)
    assert place.tick(snapshot=True).success
    equal(database, place.lake, place.now, ["readings", "stations", "measures", "conditions"])
    place.at(NOW + QUARTER)
    assert place.tick().success
    assert database.sql("SELECT DISTINCT observed_at FROM conditions") == [(place.now,)]
    equal(database, place.lake, place.now, ["readings", "stations", "measures", "conditions"])


def test_a_sink_that_is_away_fails_no_tick_is_red_after_two_and_catches_up(place, receiver, monkeypatch, caplog):
    monkeypatch.setenv("FLOOD_PUBLISH", f"{AWAY} {receiver.url}")
    result = place.tick(snapshot=True)
    for quarter, passed in ((1, True), (2, False), (3, False)):
        place.at(NOW + quarter * QUARTER)
        result = place.tick()
        assert result.success
        assert check(result).passed == passed, quarter
        assert retained(receiver, place) == held(place)
    assert check(result).severity == dg.AssetCheckSeverity.ERROR
    (name,) = [name.removeprefix("lag_s: ") for name in told(place) if name.startswith("lag_s: http-127.0.0.1-9-")]
    assert told(place)[f"lag_s: {name}"] == pytest.approx(45 * 60, abs=1)
    assert told(place)[f"waiting: {name}"] >= len(held(place))
    assert "no answer (ConnectionError) in 4 tries" in check(result).metadata[name].value
    assert "2026-10-15 09:07:30" in told(place)["details"]

    monkeypatch.setenv("FLOOD_PUBLISH", receiver.url)
    receiver.answer = lambda _events: 503
    place.at(NOW + 4 * QUARTER)
    assert check(place.tick()).passed
    receiver.answer = lambda _events: 204
    place.at(NOW + 7 * QUARTER)
    result = place.tick()
    assert check(result).passed
    assert retained(receiver, place) == held(place)


def test_a_wrong_setting_fails_the_step_alone_and_says_what_to_do(place, monkeypatch):
    monkeypatch.setenv("FLOOD_PUBLISH", "kafcesis://x")
    result = place.tick(snapshot=True)
    assert not result.success
    assert failure_of(result).startswith("FLOOD_PUBLISH has 'kafcesis://x': expected URLs with spaces between")
    assert len(held(place)) > 1000
    done = {event.step_key for event in result.all_events if event.is_step_success}
    assert {"readings", "completeness", "conditions", "warnings"} <= done


def test_a_run_without_sinks_imports_nothing_of_it(place):
    before = {name for name in sys.modules if name.startswith("flood_assets.publish")}
    result = place.run("refresh_job", asset_selection=[dg.AssetKey("published")])
    assert result.success
    assert told(place) == {"sinks": 0, "events": 0}
    assert {name for name in sys.modules if name.startswith("flood_assets.publish")} == before
