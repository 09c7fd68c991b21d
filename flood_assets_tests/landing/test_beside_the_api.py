"""What others push confuses neither a refresh nor the ledger, and the checks of the API see only the API's."""

from datetime import timedelta

import pytest

from flood_assets.landing import batches
from flood_assets.landing.ingest import ingest
from flood_assets.ledger.account import take
from flood_assets.schemas import COMPLETENESS, READINGS
from flood_assets_tests.conftest import HOUR, NOW, QUARTER, Place
from flood_assets_tests.support.pushing import batch_of, stored

IDS = [f"acme:gauge-{number:03}" for number in range(200)]
FIVE = timedelta(minutes=5)


def push(place: Place, id_: str, rows: list) -> None:
    batches.land(place.lake.store, batch_of("acme", id_, rows, place.now))
    ingest(place.lake, place.now)


def push_a_day(place: Place) -> None:
    """More readings than the small country has itself."""
    push(place, "day", [(measure, place.now - i * HOUR, float(i)) for measure in IDS for i in range(24)])


def checks_of(result) -> dict:
    return {
        check.check_name: (check.passed, {name: value.value for name, value in check.metadata.items()})
        for check in result.get_asset_check_evaluations()
        if check.check_name in ("known_measures", "fresh_measures", "everything_fetched", "source_updating")
    }


def test_the_lake_knows_how_many_readings_of_a_window_are_pushed(filled):
    push_a_day(filled)
    found = contents(filled).values()
    assert sum(content.pushed for content in found) == 24 * len(IDS)
    own = [key for key in stored(filled.lake, NOW) if not key[0].startswith("acme:")]
    assert sum(content.rows - content.pushed for content in found) == len(own)
    assert filled.expire().success


def contents(place: Place) -> dict:
    windows = [found.window for found in place.lake.windows(READINGS)]
    return place.lake.contents(READINGS, windows)


@pytest.mark.parametrize("job", ["tick", "reconcile"])
def test_the_checks_of_the_api_and_its_requests_are_those_of_a_lake_without_pushes(filled, job):
    push_a_day(filled)
    filled.at(NOW + QUARTER)
    result = getattr(filled, job)()
    assert result.success
    told = [
        event.step_materialization_data.materialization for event in result.all_events if event.is_step_materialization
    ]
    readings = [each.metadata for each in told if each.asset_key.path == ["readings"] and "reason" in each.metadata][-1]
    assert "suspect" not in readings
    assert readings["requests"].value <= 2
    found = checks_of(result)
    assert all(passed for passed, _ in found.values()), found
    measures = {key[0] for key in stored(filled.lake, filled.now)} - set(IDS)
    if job == "tick":
        assert found["known_measures"][1]["measures"] == len(measures)
        assert not set(found["known_measures"][1]["examples"].split(", ")) & set(IDS)


def test_pushed_measures_are_counted_by_their_own_interval_and_never_as_not_fetched(place):
    # No API at all: nobody has ever asked it.
    for number in range(36):
        place.at(NOW - 3 * HOUR + number * FIVE)
        push(place, f"regular-{number}", [("acme:a", place.now - timedelta(minutes=1), 1.0)])
        if number < 18 and number != 5:
            push(place, f"gaps-{number}", [("acme:b", place.now, 1.0)])
    place.at(NOW)
    account = take(place.lake, NOW)
    rows = {row["measure_id"]: row for row in account.timeliness.to_pylist()}
    assert (rows["acme:a"]["interval_s"], rows["acme:a"]["usual_delay_s"]) == (300, 60)
    counts = {
        measure: {
            name: sum(
                row[name]
                for table in account.windows.values()
                for row in table.to_pylist()
                if row["measure_id"] == measure
            )
            for name in ("expected", "received", "silent", "not_due", "not_fetched", "late")
        }
        for measure in ("acme:a", "acme:b")
    }
    assert counts["acme:a"]["received"] == 36
    assert counts["acme:b"]["received"] == 17
    for count in counts.values():
        assert count["not_fetched"] == 0
        assert count["late"] == 0
        assert count["silent"] > 200, "a day of five minutes, of which three hours came"
        assert count["expected"] == count["silent"] + count["not_due"] + count["received"]
    account.store(place.lake)
    assert len(place.lake.read(COMPLETENESS, now=NOW)) > 0
