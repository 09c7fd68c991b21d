"""Who opened a lake before its shards are changed, and reads it afterwards, has all readings, or is told."""

from pathlib import Path

import pytest

from flood_assets.lake.frozen import Frozen, Listing
from flood_assets.lake.lake import Lake
from flood_assets.lake.united import reading
from flood_assets.partitions import window_of
from flood_assets.schemas import MEASURES, READINGS
from flood_assets_tests.support.bucketlike import bucketlike
from flood_assets_tests.support.changing import GAUGES, World, network
from flood_assets_tests.support.lake_rows import HOUR, NOW

PARAMETERS = network("level=level", "rain=rainfall", "flow=flow")
STATIONS_OF = network("one:s1", "two:s2", "rest:s3,s4")
PLAIN = None
HOURS = 3
WINDOWS = [window_of(NOW - hour * HOUR) for hour in range(HOURS, -1, -1)]
PLACES = {"folder": Lake.open, "bucket": bucketlike}


@pytest.fixture
def world(tmp_path) -> World:
    return World(tmp_path / "common")


def opened(world: World, place: str):
    return reading(PLACES[place](Path(world.folder)))


def changed(world: World) -> bool:
    """Change the shards; True once nothing of the old lakes is left."""
    return world.change(STATIONS_OF).apply()


def keys(rows) -> list[tuple]:
    return sorted(zip(rows["measure_id"].to_pylist(), rows["date_time"].to_pylist(), strict=True))


@pytest.mark.parametrize(
    ("place", "before", "at"),
    [
        ("folder", PARAMETERS, 0),
        ("folder", PARAMETERS, 2),
        ("folder", PLAIN, 2),
        ("bucket", PARAMETERS, 2),
        # Of a lake without shards in a bucket nobody asks why the present hour is not there, which would be a request.
        ("bucket", PLAIN, 0),
    ],
)
def test_windows_that_are_read_on_after_a_change_are_whole(world, place, before, at):
    """The old lakes are deleted after so many of four windows."""
    lake = opened(world.filled(before, HOURS), place)
    found = lake.each(READINGS, WINDOWS, now=world.api.now)
    rows = [next(found) for _ in range(at)]
    assert changed(world)
    rows += found
    assert [window for window, _ in rows] == WINDOWS
    assert sorted(key for _, each in rows for key in keys(each)) == sorted(world.truth())
    assert not lake.troubles


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("before", [PARAMETERS, PLAIN], ids=["shards", "one lake"])
def test_a_lake_that_was_opened_before_a_change_answers_after_it(world, place, before):
    lakes = [opened(world.filled(before, HOURS), place) for _ in range(4)]
    some = [gauge[0] for gauge in GAUGES[1:3]]
    for lake in lakes[1:]:
        assert len(lake.read(READINGS, now=world.api.now)) == len(world.truth())
    assert changed(world)
    for lake in lakes[:2]:
        assert keys(lake.read(READINGS, now=world.api.now)) == sorted(world.truth())
    assert keys(lakes[2].read(READINGS, now=world.api.now, measure_ids=some)) == [
        key for key in sorted(world.truth()) if key[0] in some
    ]
    assert lakes[3].newest_snapshot(MEASURES, world.api.now)["measure_id"].to_pylist() == [each[0] for each in GAUGES]
    for lake in lakes:
        assert [each.window for each in lake.windows(READINGS)] == WINDOWS
        assert lake.watermarks() is None
        assert not lake.troubles


def test_a_server_that_lists_before_a_change_and_reads_after_it_holds_the_new_shards(world):
    store = world.filled(PARAMETERS, HOURS).common.store
    listed = Listing.of(store)
    assert changed(world)
    frozen = Frozen.of(store, None, listed)
    assert keys(reading(Lake(frozen)).read(READINGS, now=world.api.now)) == sorted(world.truth())
