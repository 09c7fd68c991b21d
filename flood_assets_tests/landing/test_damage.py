"""A damaged window loses nothing that was pushed: the batches of the day are kept, and fill it again to what it was."""

from datetime import datetime, timedelta

import pytest

from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import AGAIN, key_of
from flood_assets.landing import batches
from flood_assets.landing.ingest import ingest
from flood_assets.partitions import window_of
from flood_assets.schemas import READINGS
from flood_assets_tests.landing.test_ingest_proofs import KilledError, killed_at
from flood_assets_tests.support.lake_rows import HOUR, QUARTER
from flood_assets_tests.support.pushing import batch_of, stored
from flood_assets_tests.support.seven_gauges import NOW

SECOND = timedelta(seconds=1)


def push_a_day(lake: Lake, many: int = 24) -> None:
    """Readings of some hours, with corrections in batches of their own, ingested one by one and together."""
    hours = [NOW - number * HOUR for number in range(many)]
    land(lake, "day", [(f"acme:{name}", at, 1.0) for at in hours for name in "ab"], NOW)
    land(lake, "corrected", [("acme:a", at, 2.0) for at in hours[:12]], NOW + SECOND)
    ingest(lake, NOW + 2 * SECOND)
    land(lake, "again", [("acme:a", at, 3.0) for at in hours[:6]], NOW + 3 * SECOND)
    land(lake, "ahead", [("acme:a", NOW + 4 * timedelta(minutes=1), 4.0)], NOW + 4 * SECOND)
    ingest(lake, NOW + 5 * SECOND)


def land(lake: Lake, id_: str, rows: list, at: datetime) -> None:
    batches.land(lake.store, batch_of("acme", id_, rows, at))


def own(lake: Lake, now: datetime) -> dict:
    return {key: row for key, row in stored(lake, now).items() if key[0].startswith("acme:")}


def damage(lake: Lake, *windows: datetime) -> None:
    for window in windows:
        key = key_of(READINGS, window)
        there = lake.store.read(key)
        lake.store.put(key, there.data.to_pybytes()[:-50], replaces=there.meta)


LATER = NOW + timedelta(minutes=6)


def test_what_was_pushed_is_stored_again_as_it_was(lake):
    push_a_day(lake)
    before = own(lake, LATER)
    assert {row["revision"] for row in before.values()} == {0, 1, 2}
    lost = [window_of(NOW), window_of(NOW - 5 * HOUR), window_of(NOW - 20 * HOUR)]
    damage(lake, *lost)
    lake.inspect(READINGS, lost)
    assert own(lake, LATER) != before
    assert len(batches.landed(lake.store).lost) == 3
    # What was pushed meanwhile is ingested after it.
    land(lake, "new", [("acme:b", NOW, 7.0)], LATER)
    done = ingest(lake, LATER)
    assert done.restored == 11
    found = own(lake, LATER)
    changed = found.pop(("acme:b", NOW))
    assert (changed["value"], changed["previous_value"], changed["revision"]) == (7, 1, 1)
    assert found == {key: row for key, row in before.items() if key != ("acme:b", NOW)}
    assert not batches.landed(lake.store).due(LATER)
    assert ingest(lake, LATER).restored == 0


def test_damage_that_an_ingestion_finds_itself_costs_nothing_either(lake):
    push_a_day(lake)
    before = own(lake, LATER)
    damage(lake, window_of(NOW - QUARTER))
    land(lake, "new", [("acme:c", NOW - QUARTER, 7.0)], LATER)
    assert ingest(lake, LATER).count("added") == 1
    found = own(lake, LATER)
    assert found.pop(("acme:c", NOW - QUARTER))["value"] == 7
    assert found == before


def test_a_run_may_be_killed_at_any_write_while_it_fills_a_window_again(tmp_path):
    lake = Lake.open(tmp_path / "lake")
    push_a_day(lake, 2)
    before, number, whole = own(lake, LATER), 0, False
    while not whole:
        number += 1
        damage(lake, window_of(NOW), window_of(NOW - HOUR))
        with killed_at(lake.store, number, after=bool(number % 2)):
            try:
                lake.inspect(READINGS, [window_of(NOW), window_of(NOW - HOUR)])
                ingest(lake, LATER)
                whole = True
            except KilledError:
                pass
        lake.inspect(READINGS, [window_of(NOW), window_of(NOW - HOUR)])
        ingest(lake, LATER)
        assert own(lake, LATER) == before, number
        lake.store.delete([meta.key for meta in lake.store.list("_quarantine")])
    assert number > 6


def test_nothing_is_asked_for_where_nobody_pushes(lake):
    damage(lake, window_of(NOW))
    lake.inspect(READINGS, [window_of(NOW)])
    assert lake.store.list(AGAIN) == []


@pytest.mark.parametrize("late", [timedelta(0), timedelta(hours=23, minutes=59)])
def test_the_batch_is_kept_as_long_as_its_readings_are_retained(lake, late):
    push_a_day(lake)
    modified = min(meta.modified for meta in lake.store.list("receipts"))
    batches.expire(lake.store, modified + late)
    assert len(list(batches.kept(lake.store))) == 4
