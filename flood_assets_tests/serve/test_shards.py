"""A server over four shards answers as one over one lake with the same rows; a shard that is away is told."""

import re
from datetime import timedelta

import pytest

from flood_assets.lake.frozen import Frozen
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import key_of
from flood_assets.partitions import window_of
from flood_assets.schemas import READINGS
from flood_assets.serve.snapshot import Snapshot
from flood_assets_tests.support.bucketlike import bucketlike
from flood_assets_tests.support.filled_once import filled_once
from flood_assets_tests.support.lake_rows import HOUR, fetched, put_raw
from flood_assets_tests.support.listening import listening
from flood_assets_tests.support.pushing import Publisher, pushed_to
from flood_assets_tests.support.quick_dagster import copy_folder
from flood_assets_tests.support.served import served
from flood_assets_tests.support.seven_gauges import NOW
from flood_assets_tests.support.sharded import SHARDS, fill_both, shard_of

WINDOW = window_of(NOW - 3 * HOUR)
API = [
    "readings",
    "readings?joined=true&flags=true&river=River+Thames",
    "readings?last=3h&limit=50",
    "readings.csv?parameter=rainfall",
    "readings.parquet",
    "latest",
    "latest.geojson?joined=true",
    "conditions",
    "conditions.geojson?band=normal",
    "stations",
    "stations?near=51.4,-0.3&km=20",
    "measures.csv",
    "changes?since=2h",
    "completeness?last=3h",
    "timeliness?joined=true",
    "warnings",
    "alerts",
]
OTHERS = [
    "/rivers",
    "/warnings",
    "/stations/K1",
    "/flood-monitoring/id/stations",
    "/flood-monitoring/id/measures?parameter=flow",
    "/flood-monitoring/data/readings?latest",
    "/flood-monitoring/id/floods",
    "/ogc/collections/stations/items",
    "/erddap/tabledap/readings.csv",
]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return filled_once(tmp_path_factory, "one and shards", fill_both)


@pytest.fixture(scope="module")
def servers(both):
    with served(both / "one", NOW) as one, served(both / "shards", NOW) as several:
        yield one, several


@pytest.fixture
def shards(both, tmp_path):
    """Shards that a test may change."""
    copy_folder(both / "shards", tmp_path / "shards")
    return tmp_path / "shards"


@pytest.mark.parametrize("path", [*(f"/api/v1/{each}" for each in API), *OTHERS])
def test_a_body_and_its_e_tag_are_those_of_one_lake(servers, path):
    one, several = (server.client.get(path) for server in servers)
    # OGC's features say when they were sent.
    bodies = [re.sub(rb'"timeStamp":"[^"]+"', b"", each.content) for each in (one, several)]
    assert bodies[0] == bodies[1]
    assert several.status_code == one.status_code
    assert several.headers.get("etag") == one.headers.get("etag") or path.startswith("/ogc/")
    assert "notes" not in several.headers


def test_pages_of_rows_follow_each_other(servers):
    def all_pages(server):
        path, found = "/api/v1/readings?limit=100", []
        while path:
            page = server.client.get(path).json()
            found += page["readings"]
            path = page.get("next")
        return found

    one, several = map(all_pages, servers)
    assert several == one
    assert len(several) == 7 * 96


def test_the_status_and_the_metrics_are_those_of_all_shards(servers):
    one, several = (server.get("status").json() for server in servers)
    assert [*several.pop("shards")] == [*SHARDS]
    assert {k: v for k, v in several.items() if k != "tables"} == {k: v for k, v in one.items() if k != "tables"}
    wanted = ("flood_assets_readings", "flood_assets_gauges", "flood_assets_last_success", "flood_assets_shards")
    lines = [
        [line for line in server.client.get("/metrics").text.splitlines() if line.startswith(wanted)]
        for server in servers
    ]
    assert lines[0] == lines[1]
    assert "flood_assets_shards_unreadable 0.0" in lines[1]


def test_a_change_in_a_shard_is_streamed_and_served_with_another_version(shards):
    with listening(Lake.open(shards), NOW) as server, server.events() as events:
        before = events.next()[1]["version"]
        later = NOW + timedelta(minutes=10)
        row = ("R1-rain", NOW.replace(minute=5, second=0), 9.5)
        Lake.open(shards / "shard=rainfall").upsert_readings(fetched(row), later, later)
        server.now = later
        server.watcher.look()
        name, (sent,) = events.next()
        assert (name, sent["measure_id"], sent["value"]) == ("change", "R1-rain", 9.5)
        with server.events() as others:
            assert others.next()[1]["version"] != before


def test_only_the_changed_objects_of_a_shard_are_read_again(shards):
    lake = bucketlike(shards)
    with served(lake, NOW) as server:
        version = server.watcher.snapshot.version
        lake.store.asked.clear()
        server.watcher.look()
        assert [each for each in lake.store.asked if each.startswith("get")] == []
        row = ("R1-rain", NOW.replace(minute=0, second=0), 9.5)
        Lake.open(shards / "shard=rainfall").upsert_readings(fetched(row), NOW, NOW)
        server.watcher.look()
        assert [each for each in lake.store.asked if each.startswith("get")] == [
            f"get shard=rainfall/{key_of(READINGS, window_of(NOW))}"
        ]
        assert server.watcher.snapshot.version != version
        assert server.rows("latest", measure_id="R1-rain")[0]["value"] == 9.5


def test_a_shard_that_goes_away_stays_as_it_was_and_is_told(shards, caplog):
    lake = bucketlike(shards)
    with served(lake, NOW) as server:
        whole = server.rows("latest")
        lake.store.away = ("shard=rainfall",)
        row = ("K1-level", NOW.replace(minute=5, second=0), 7.5)
        Lake.open(shards / "shard=level").upsert_readings(fetched(row), NOW, NOW)
        server.watcher.look()
        assert not server.watcher.trouble
        found = server.get("latest")
        rows = {each["measure_id"]: each["value"] for each in found.json()["latest"]}
        assert {**rows, "K1-level": 7.5} == {**{each["measure_id"]: each["value"] for each in whole}, "K1-level": 7.5}
        assert rows["K1-level"] == 7.5
        note = found.json()["notes"][0]
        assert note.startswith("the shard rainfall of the network england cannot be read at present, and")
        assert "access denied" not in found.text
        assert "access denied" in caplog.text
        assert server.get("readings.csv").headers["notes"] == note
        assert server.get("status").json()["faults"][0] == note
        assert "missing or old" in server.client.get("/rivers").text
        assert "flood_assets_shards_unreadable 1.0" in server.client.get("/metrics").text
        lake.store.away = ()
        server.watcher.look()
        assert "notes" not in server.get("latest").headers


def test_a_server_that_starts_without_a_shard_says_that_it_is_missing(shards):
    lake = bucketlike(shards)
    lake.store.away = ("shard=tide/",)
    with served(lake, NOW) as server:
        found = server.get("readings").json()
        assert found["notes"][0].startswith("the shard tide of the network england cannot be read at present, and")
        assert {each["measure_id"] for each in found["readings"]}.isdisjoint({"K2-tide"})
        assert server.get("readings", measure_id="K2-tide").json()["notes"][0] == found["notes"][0]


def test_a_damaged_window_in_a_shard_is_told_as_long_as_it_is(shards):
    put_raw(Lake.open(shards / "shard=level"), key_of(READINGS, WINDOW), b"no Parquet")
    with served(shards, NOW) as server:
        for minute in (0, 5):
            found = server.get("readings").json()
            assert "the shard level of the network england lacks what is in a window" in found["notes"][0]
            assert str(shards) not in str(found["notes"])
            lost = [
                each for each in found["readings"]
                if shard_of(each["measure_id"]) == "level" and each["date_time"].startswith(f"{WINDOW:%Y-%m-%dT%H}")
            ]  # fmt: skip
            assert lost == []
            assert 'flood_assets_windows_damaged{table="readings"} 1.0' in server.client.get("/metrics").text
            row = ("R1-rain", NOW.replace(minute=minute, second=0), 3.5)
            Lake.open(shards / "shard=rainfall").upsert_readings(fetched(row), NOW, NOW)
            server.watcher.look()


def test_a_push_is_refused_with_the_remedy(shards, tmp_path):
    with pushed_to(Lake.open(shards), NOW, tmp_path) as server:
        publisher = Publisher(server, "acme")
        answer = publisher.post([publisher.reading("weir", NOW - HOUR, 1.5)], "first")
        assert answer.status_code == 409
        assert "push to a server of one shard" in answer.json()["detail"]
    assert not list(shards.rglob("landing"))


def test_a_snapshot_of_shards_is_made_again_from_what_changed(both):
    frozen = Frozen.of(Lake.open(both / "shards").store)
    assert Frozen.of(Lake.open(both / "shards").store, frozen) is frozen
    first = Snapshot.of(frozen, NOW)
    again = Snapshot.of(frozen, NOW, first)
    assert all(again.decoded[key] is first.decoded[key] for key in first.decoded)
    assert first.decoded
