"""Shards are split, joined, added and removed: nothing is lost or twice, and readers see the old or the new ones.

A change is killed at some of the objects that it writes or deletes and, with the marker `long`, at each.
"""

import shutil
import threading
import time
from datetime import timedelta

import pytest

from flood_assets.errors import SettingsError
from flood_assets_tests.support.changing import World, killed_at, network, values
from flood_assets_tests.support.lake_rows import NOW, QUARTER

PARAMETERS = network("level=level", "rain=rainfall", "flow=flow")
STATIONS = network("one:s1", "two:s2", "rest:s3,s4")
WHOLE = network("all")
PLAIN = None
CHANGES = [
    pytest.param(PARAMETERS, network("a:s1", "b:s2", "c:s3", "d:s4"), id="split"),
    pytest.param(STATIONS, WHOLE, id="join"),
    pytest.param(PLAIN, PARAMETERS, id="from a lake without shards"),
]


@pytest.fixture
def world(tmp_path) -> World:
    return World(tmp_path / "common")


def carried(world: World, readings: dict) -> dict:
    """Return the readings that readers unite, of those that there were before."""
    united = world.union()
    return {key: united.get(key) for key in readings}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        *CHANGES,
        pytest.param(network("level=level", "rain=rainfall"), PARAMETERS, id="add"),
        pytest.param(PARAMETERS, network("flow=flow", "rain=rainfall", "level=level"), id="another order"),
    ],
)
def test_readers_see_the_same_readings_with_their_histories(world, before, after):
    world.filled(before, hours=2)
    readings = world.union()
    change = world.change(after)
    assert change.apply()
    assert carried(world, readings) == readings
    assert values(world.union()) == world.truth()
    assert world.names() == sorted(shard.name for shard in after.shards)
    united = world.union()
    assert world.change(after).apply()
    assert world.union() == united


# --- Killed -------------------------------------------------------------------------------------------------------


def lost(world: World, readings: dict) -> list:
    """Return readings that readers do not unite any more, or not as they were but for a later correction."""
    united = world.union()
    return [
        (before, now)
        for key, before in readings.items()
        if (now := united.get(key)) != before
        and (
            now is None
            or now["revision"] <= before["revision"]
            or now["first_seen_at"] != before["first_seen_at"]
            or now["previous_value"] != before["value"]
        )
    ]


def kill_and_repeat(world: World, before, after, step: int) -> int:
    """Kill a change at every `step`-th object, look, let others tick, repeat it; return how often it was killed."""
    world.filled(before)
    shown = dict(world.api.readings)
    readings, filled = world.union(), world.folder.with_name("filled")
    shutil.copytree(world.folder, filled)
    with killed_at(0, after=False) as touched:
        assert world.change(after).apply()
    number = kills = 0
    while (number := number + step) <= len(touched):
        shutil.rmtree(world.folder)
        shutil.copytree(filled, world.folder)
        world.api.readings, world.api.now = dict(shown), NOW
        with killed_at(number, after=kills % 2 == 1):
            world.change(after).apply()
        kills += 1
        assert not lost(world, readings), touched[number - 1]
        # Others go on, with the old file until readers change over, or with the new one.
        world.api.tick(NOW + QUARTER)
        assert [refused(lambda of=of: world.tick(of)) for of in (before, after)] != [True, True], touched[number - 1]
        assert values(world.union()) == world.truth(), touched[number - 1]
        with killed_at(1 + number // 2, after=False):
            world.change(after).apply()
        assert not lost(world, readings), touched[number - 1]
        assert world.change(after).apply(), touched[number - 1]
        assert not lost(world, readings), touched[number - 1]
        assert world.names() == sorted(shard.name for shard in after.shards)
        assert refused(lambda: world.tick(before))
        world.tick(after)
        assert not lost(world, readings), touched[number - 1]
        assert values(world.union()) == world.truth(), touched[number - 1]
    return kills


def refused(work) -> bool:
    try:
        work()
    except SettingsError:
        return True
    return False


@pytest.mark.parametrize(("before", "after"), CHANGES[2:])
def test_a_change_that_is_killed_loses_nothing_and_is_repeated(world, before, after):
    assert kill_and_repeat(world, before, after, 19) >= 2


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_a_change_that_is_killed_at_each_object_loses_nothing(world, before, after):
    assert kill_and_repeat(world, before, after, 1) > 30


# --- Beside others ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), CHANGES[:1])
def test_ticks_and_readers_go_on_beside_a_change(world, before, after):
    """Each look has all that there was before; ticks of the old file end, those of the new one begin."""
    world.filled(before)
    readings = world.union()
    over, troubles, looks = threading.Event(), list[BaseException](), [0]

    def tick_on(of) -> None:
        if not refused(lambda: world.tick(of)):
            world.api.tick(world.api.now + timedelta(minutes=1))

    def read_on() -> None:
        assert not lost(world, readings)
        looks[0] += 1

    def again(work, *args) -> None:
        try:
            while not over.is_set():
                work(*args)
                time.sleep(0.05)
        except BaseException as error:  # noqa: BLE001 - it is raised in the test
            troubles.append(error)

    works = ((tick_on, before), (tick_on, after), (read_on,))
    threads = [threading.Thread(target=again, args=work) for work in works]
    for thread in threads:
        thread.start()
    changed = [world.change(after).apply(), world.change(after).apply()]
    over.set()
    for thread in threads:
        thread.join()
    assert not troubles, troubles
    assert changed[1]
    assert looks[0] > 1
    assert world.names() == sorted(shard.name for shard in after.shards)
    world.tick(after)
    assert values(world.union()) == world.truth()
