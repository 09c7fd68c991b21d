"""A change of shards carries what lies beside the readings, and refuses what would lose something."""

import json
from datetime import timedelta

import numpy as np
import pytest

from flood_assets.errors import WrongLakeError
from flood_assets.lake import current, members
from flood_assets.lake.current import Present
from flood_assets.lake.layout import key_of
from flood_assets.landing import batches
from flood_assets.landing.ingest import ingest
from flood_assets.landing.objects import Place
from flood_assets.network import NetworkError
from flood_assets.partitions import window_of
from flood_assets.publish.events import Events
from flood_assets.publish.publisher import publish
from flood_assets.schemas import CONDITIONS, MEASURES, READINGS, REJECTS, STATIONS, WARNING_AREAS, WARNINGS
from flood_assets.shards import carry
from flood_assets.shards.change import ShardsError
from flood_assets.sinks.base import Sent, Sink
from flood_assets_tests.support.changing import GAUGES, World, killed_at, network, values
from flood_assets_tests.support.lake_rows import HOUR, NOW, QUARTER, fetched, put_raw, rejects, snapshot
from flood_assets_tests.support.pushing import batch_of, gauges_of

PARAMETERS = network("level=level", "rain=rainfall", "flow=flow")
STATIONS_OF = network("one:s1", "two:s2", "rest:s3,s4")
PLAIN = None


@pytest.fixture
def world(tmp_path) -> World:
    return World(tmp_path / "common")


def stored(world: World) -> dict[str, bytes]:
    """Return all objects but locks."""
    store = world.common.store
    keys = [meta.key for meta in store.list("") if ".locks/" not in meta.key]
    return {key: store.read(key).data.to_pybytes() for key in keys}


# --- Nothing is lost unasked --------------------------------------------------------------------------------------


def test_what_would_be_in_no_shard_stops_the_command_and_is_named(world):
    world.filled(PARAMETERS)
    before = world.union()
    smaller = network("level=level", "rain=rainfall")
    with pytest.raises(ShardsError, match=r"1 measure with 2 readings would be in no shard, .*: m5 \(2\)\. .*--drop"):
        world.change(smaller).apply()
    assert world.union() == before
    assert world.names() == ["flow", "level", "rain"]


@pytest.mark.parametrize("named", ["flow", "m5"])
def test_a_shard_is_removed_when_its_rest_may_go(world, named):
    world.filled(PARAMETERS)
    smaller = network("level=level", "rain=rainfall")
    assert world.change(smaller, named).apply()
    assert {key[0] for key in world.union()} == {"m1", "m2", "m3", "m4"}
    assert world.names() == ["level", "rain"]


def test_a_measure_that_the_api_lists_no_longer_goes_by_earlier_lists(world):
    world.filled(PARAMETERS)
    before = world.union()
    world.api.gauges = tuple(gauge for gauge in GAUGES if gauge[0] != "m3")
    assert world.change(STATIONS_OF).apply()
    assert values(world.union()) == values(before)
    assert {row["station_id"] for row in world.filler.at("two").read(READINGS, now=NOW).to_pylist()} == {"s2"}


def test_readers_stay_with_the_old_shards_while_a_reading_is_missing_in_the_new_ones(world, monkeypatch):
    world.filled(PARAMETERS)
    before, united = world.union(), members.members(world.common.store)
    follow = carry.Lake.follow_readings
    monkeypatch.setattr(carry.Lake, "follow_readings", lambda lake, rows, now: follow(lake, rows.slice(1), now))
    monkeypatch.setattr(type(world.filler), "refresh", lambda *_: None)
    with pytest.raises(ShardsError, match=r"readings of the old shards missing in the new ones, 0 different"):
        world.change(STATIONS_OF).apply()
    assert members.members(world.common.store) == united
    assert world.union() == before


def test_readers_stay_with_the_old_shards_while_a_value_differs(world, monkeypatch):
    world.filled(PARAMETERS)
    united = members.members(world.common.store)
    follow = carry.Lake.follow_readings

    def other_values(lake, rows, now):
        ones = rows.set_column(rows.schema.get_field_index("value"), "value", [[-1.0] * len(rows)])
        return follow(lake, ones, now)

    monkeypatch.setattr(carry.Lake, "follow_readings", other_values)
    monkeypatch.setattr(type(world.filler), "refresh", lambda *_: None)
    with pytest.raises(ShardsError, match=r"0 readings of the old shards missing in the new ones, 10 different"):
        world.change(STATIONS_OF).apply()
    assert members.members(world.common.store) == united


@pytest.mark.long
def test_an_api_that_is_away_changes_nothing_for_readers(world, monkeypatch):
    world.filled(PARAMETERS)
    before = world.union()

    def away(*_):
        raise ConnectionError

    monkeypatch.setattr(type(world.filler), "refresh", away)
    with pytest.raises(ConnectionError):
        world.change(STATIONS_OF).apply()
    assert world.union() == before
    monkeypatch.undo()
    assert world.change(STATIONS_OF).apply()
    assert world.union() == before


def test_another_question_under_an_old_name_is_refused(world):
    world.filled(PARAMETERS)
    with pytest.raises(
        NetworkError, match=r"the shard level asks for something else .*: a name belongs to one question"
    ):
        world.change(network("level=rainfall", "rain=level", "flow=flow")).apply()


def test_another_network_is_refused(world):
    world.filled(PARAMETERS)
    with pytest.raises(NetworkError, match='write name = "england"'):
        world.change(network("all", name="wales")).apply()


def test_a_lake_that_follows_a_stream_is_refused(world):
    world.common.claim("kinesis://flood-readings")
    world.common.follow_readings(READINGS.schema.empty_table(), NOW)
    with pytest.raises(ShardsError, match="follows the stream kinesis://flood-readings"):
        world.change(PARAMETERS).apply()


def test_who_changes_the_shards_meanwhile_comes_first(world, monkeypatch):
    world.filled(PARAMETERS)
    change, other = world.change(STATIONS_OF), network("all")
    monkeypatch.setattr(change, "_carry", lambda *_: world.change(other, keep=True).apply())
    with pytest.raises(ShardsError, match="somebody else has changed the shards"):
        change.apply()
    assert members.members(world.common.store).names == ("all",)


def test_expired_readings_wait_for_the_archive_before_anything_is_changed(world, tmp_path):
    world.filled(PARAMETERS)
    (tmp_path / "away").write_bytes(b"")
    world.api.tick(NOW + 24 * HOUR)
    change = world.change(STATIONS_OF)
    change.filler.archive_place = f"{tmp_path.as_uri()}/away"
    united = members.members(world.common.store)
    with pytest.raises(
        ShardsError, match="expired windows of shard flow wait for the archive, and nothing was changed"
    ):
        change.apply()
    assert members.members(world.common.store) == united
    change.filler.archive_place = "archive"
    assert change.apply()
    kept = [meta.key for meta in world.common.store.list("") if "/archive/date=" in meta.key]
    assert {key.split("/")[0] for key in kept} == {"shard=flow", "shard=level", "shard=rain"}, "an archive stays"


# --- In steps -----------------------------------------------------------------------------------------------------


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(world):
    world.filled(PARAMETERS)
    before = stored(world)
    change = world.change(STATIONS_OF)
    change.plan()
    assert change.said == [
        "shard one: would be filled",
        "shard two: would be filled",
        "shard rest: would be filled",
        "10 readings would be carried and proved",
        "readers would unite one, two, rest",
        "shard flow: would be deleted",
        "shard level: would be deleted",
        "shard rain: would be deleted",
    ]
    assert stored(world) == before


def test_old_lakes_are_kept_until_the_command_is_repeated(world):
    world.filled(PARAMETERS)
    before = world.union()
    change = world.change(STATIONS_OF, keep=True)
    assert change.apply()
    assert change.said[-1].startswith("kept: shard flow, shard level, shard rain. ")
    assert world.names() == ["flow", "level", "one", "rain", "rest", "two"]
    assert world.union() == before
    assert world.change(STATIONS_OF).apply()
    assert world.names() == ["one", "rest", "two"]
    assert world.union() == before


def test_a_tick_that_began_before_the_change_over_loses_nothing(world, monkeypatch):
    """It stores new readings in an old lake while that is deleted."""
    world.filled(PLAIN)
    before = world.union()
    change = world.change(PARAMETERS)
    late = world.filler.at("")
    carried, times = change._carry, []

    def then_a_late_write(old, new):
        carried(old, new)
        times.append(len(old))
        if len(times) == 3:
            late.upsert_readings(fetched(("m1", NOW - QUARTER, 77.0)), NOW, NOW)

    monkeypatch.setattr(change, "_carry", then_a_late_write)
    assert change.apply()
    assert times == [1, 1, 1, 1], "what was written late is carried once more"
    assert world.names() == ["flow", "level", "rain"]
    united = world.union()
    assert united.pop(("m1", NOW - QUARTER))["value"] == 77.0
    assert united == before


def test_what_comes_to_an_old_shard_while_the_apis_are_asked_is_there_when_readers_change_over(world, monkeypatch):
    world.filled(PARAMETERS)
    change, fill = world.change(STATIONS_OF), world.api.fill

    def beside(_, shard):
        world.filler.at("level").upsert_readings(fetched(("m1", NOW - QUARTER, 77.0)), NOW, NOW)
        fill(world.lake(shard), shard)

    monkeypatch.setattr(type(world.filler), "refresh", beside)
    monkeypatch.setattr(change, "_retire", lambda *_: False)
    assert not change.apply()
    assert members.members(world.common.store).names == ("one", "two", "rest")
    assert world.union()["m1", NOW - QUARTER]["value"] == 77.0


def test_readers_that_have_begun_with_the_old_shards_get_time_to_end(world):
    world.filled(PARAMETERS)
    change, seen = world.change(STATIONS_OF), []
    change.grace_s, change.sleep = 30.0, lambda seconds: seen.append((seconds, world.names(), united(world)))
    assert change.apply()
    assert seen == [(30.0, ["flow", "level", "one", "rain", "rest", "two"], ("one", "two", "rest"))]


def united(world) -> tuple[str, ...]:
    return members.members(world.common.store).names


def test_a_refresh_completes_a_change_that_was_killed_between_its_two_writes(world):
    world.filled(PLAIN)
    members.replace(world.common.store, PARAMETERS, None)
    world.tick(PARAMETERS)
    with pytest.raises(WrongLakeError, match="unites the shards of the network england"):
        world.tick(PLAIN)


def test_an_ordinary_refresh_of_what_has_become_a_network_is_refused(world):
    world.filled(PLAIN)
    assert world.change(PARAMETERS).apply()
    with pytest.raises(WrongLakeError, match="unites the shards of the network england"):
        world.tick(PLAIN)


@pytest.mark.long
def test_what_is_left_of_a_change_that_was_given_up_is_carried_and_deleted(world):
    world.filled(PARAMETERS)
    with killed_at(25, after=True):
        world.change(STATIONS_OF).apply()
    assert world.names() == ["flow", "level", "one", "rain", "rest", "two"]
    before = world.union()
    assert world.change(network("all")).apply()
    assert world.names() == ["all"]
    assert world.union() == before


# --- Beside the readings ------------------------------------------------------------------------------------------


def test_hours_that_are_over_keep_their_conditions_and_lists(world):
    world.filled(PARAMETERS)
    hour = window_of(NOW - HOUR)
    for shard in PARAMETERS.shards:
        ids = [{"measure_id": measure, "passed_over": 1} for measure, _, _ in world.api.of(shard)]
        world.lake(shard).put_snapshots(CONDITIONS, [hour], snapshot(CONDITIONS, NOW - HOUR, *ids))
    # A command that was killed has got so far as the first.
    first, ids = STATIONS_OF.shards[0], [{"measure_id": measure, "passed_over": 1} for measure in ("m1", "m2")]
    world.filler.claim(first)
    world.lake(first).put_snapshots(CONDITIONS, [hour], snapshot(CONDITIONS, NOW - HOUR, *ids))
    assert world.change(STATIONS_OF).apply()
    for shard in STATIONS_OF.shards:
        lake, gauges = world.lake(shard), world.api.of(shard)
        for table, expected in (
            (CONDITIONS, [gauge[0] for gauge in gauges]),
            (MEASURES, [gauge[0] for gauge in gauges]),
            (STATIONS, sorted({gauge[1] for gauge in gauges})),
        ):
            rows = lake.read(table, hour, hour + HOUR, now=NOW)
            assert rows[table.key[0]].to_pylist() == expected, table.name


def test_what_is_damaged_beside_the_readings_is_named_before_it_is_deleted(world, caplog):
    world.filled(PARAMETERS)
    key = key_of(CONDITIONS, window_of(NOW - HOUR))
    put_raw(world.filler.at("rain"), key, b"no Parquet")
    assert world.change(STATIONS_OF).apply()
    assert f"shard=rain/{key}" in caplog.text
    assert "it is not carried" in caplog.text


def test_rejects_and_warnings_go_to_the_shard_that_leads(world):
    world.filled(PARAMETERS)
    level = world.filler.at("level")
    level.add_rejects(rejects((NOW, "a line", "odd")))
    world.filler.at("flow").add_rejects(rejects((NOW, "another line", "odd")))
    area = {"flood_area_id": "a1", "severity_level": 2, "first_seen_at": NOW, "changed_at": NOW}
    hours = (NOW - HOUR, NOW)
    for at in hours:
        rows = snapshot(WARNINGS, at, {name: area.get(name) for name in WARNINGS.schema.names})
        level.put_snapshots(WARNINGS, [window_of(at)], rows, Present(rows, at))
        level.put_snapshots(WARNING_AREAS, [window_of(at)], snapshot(WARNING_AREAS, at, {"flood_area_id": "a1"}))
    old = {table.name: level.read(table, now=NOW).to_pylist() for table in (WARNINGS, WARNING_AREAS)}
    present = current.read(level.store, WARNINGS)[0]
    assert world.change(STATIONS_OF).apply()
    one, two = world.filler.at("one"), world.filler.at("two")
    assert {table.name: one.read(table, now=NOW).to_pylist() for table in (WARNINGS, WARNING_AREAS)} == old
    assert current.read(one.store, WARNINGS)[0].equals(present)
    assert sorted(one.read(REJECTS, now=NOW)["line"].to_pylist()) == ["a line", "another line"]
    assert not two.windows(WARNINGS)
    assert not two.windows(REJECTS)


def test_pushed_gauges_readings_and_receipts_go_to_the_first_shard(world):
    world.filled(PARAMETERS)
    first = world.filler.at("level")
    batches.land(
        first.store,
        gauges_of(
            "acme", "b1", [{"station_id": "acme:s"}], [{"measure_id": "acme:m", "station_id": "acme:s"}], NOW,
            [("acme:m", NOW - HOUR, 5.0)],
        ),
    )  # fmt: skip
    assert ingest(first, NOW).count("added") == 1
    batches.land(first.store, batch_of("acme", "b2", [("acme:m", NOW - QUARTER, 6.0)], NOW))
    before = world.union()
    assert ("acme:m", NOW - HOUR) in before
    assert world.change(STATIONS_OF).apply()
    assert world.union() == before
    one = world.filler.at("one")
    assert [batches.find(one.store, Place("acme", id_)).state for id_ in ("b1", "b2")] == ["ingested", "waiting"]
    assert ingest(one, NOW).count("added") == 1
    assert world.union()["acme:m", NOW - QUARTER]["value"] == 6.0
    assert "acme:m" in current.listed_now(one.store, MEASURES)["measure_id"].to_pylist()
    assert world.names() == ["one", "rest", "two"]


def test_a_batch_that_lands_in_an_old_shard_after_the_change_is_found_by_the_next_command(world):
    world.filled(PARAMETERS)
    old = world.filler.at("level")
    assert world.change(STATIONS_OF).apply()
    batches.land(old.store, batch_of("acme", "late", [("acme:m", NOW - QUARTER, 6.0)], NOW))
    assert world.names() == ["level", "one", "rest", "two"]
    assert world.change(STATIONS_OF).apply()
    assert world.names() == ["one", "rest", "two"]
    assert batches.find(world.filler.at("one").store, Place("acme", "late")).state == "waiting"


class Kept(Sink):
    """Keeps the ids of the events that it is sent, up to a number."""

    def __init__(self, most: int = 1000) -> None:
        super().__init__("kinesis://kept")
        self.ids, self.most = [], most

    def send(self, events: Events) -> Sent:
        taken = np.arange(len(events)) < self.most
        self.ids += [json.loads(text)["id"] for text, good in zip(events.documents(), taken, strict=True) if good]
        return Sent(taken, "" if taken.all() else "full")


def test_a_sink_is_sent_only_what_it_has_not_got_from_the_old_shards(world):
    world.filled(PARAMETERS)
    # So late that a cursor keeps no ids: all shards were asked in the same millisecond, and one is not published whole.
    at = NOW + HOUR
    got, stopped, new, later = Kept(), Kept(most=1), Kept(), Kept()
    for name in ("level", "rain"):
        publish(world.filler.at(name), got, at)
    publish(world.filler.at("flow"), stopped, at)
    assert (len(got.ids), len(stopped.ids)) == (8, 1)
    assert world.change(STATIONS_OF).apply()
    for shard in STATIONS_OF.shards:
        publish(world.lake(shard), new, at)
    # Of the commit that was not published whole, what had been is sent again, with its id.
    assert len({*got.ids, *stopped.ids, *new.ids}) == 10
    assert len(new.ids) == 2
    world.api.tick(at)
    world.tick(STATIONS_OF)
    for shard in STATIONS_OF.shards:
        publish(world.lake(shard), later, at)
    assert len(later.ids) == 10, "five new readings and five corrections"
    assert not {*later.ids} & {*got.ids, *stopped.ids, *new.ids}


def test_a_removed_gauge_of_a_publisher_stays_removed(world):
    world.filled(PARAMETERS)
    first = world.filler.at("level")
    listed, removed = {"measure_id": "acme:m", "station_id": "acme:s"}, {"measure_id": "acme:m", "removed": True}
    for number, row in enumerate([listed, removed]):
        at = NOW + timedelta(seconds=number)
        batches.land(first.store, gauges_of("acme", f"b{number}", [], [row], at))
        ingest(first, at)
    assert world.change(STATIONS_OF).apply()
    one = world.filler.at("one")
    assert "acme:m" not in current.listed_now(one.store, MEASURES)["measure_id"].to_pylist()
    batches.land(one.store, gauges_of("acme", "old", [], [listed], NOW))
    ingest(one, NOW + HOUR)
    assert "acme:m" not in current.listed_now(one.store, MEASURES)["measure_id"].to_pylist()
