"""A lake that follows another one through a broker equals it, whoever dies: keys, values, times and revisions.

Lake A is refreshed from the simulator tick by tick and published; lake B consumes. Both processes die at random points,
before and after each object is written or deleted, each record sent, read or confirmed.
"""

import os
import random
from contextlib import closing, contextmanager
from datetime import timedelta

import pytest

from flood_assets import ingest
from flood_assets.consume import consumer, kinesis
from flood_assets.ea.client import FloodMonitoringApi
from flood_assets.lake.lake import Lake
from flood_assets.partitions import retained_windows
from flood_assets.publish.publisher import publish
from flood_assets.query.status import look
from flood_assets.schemas import READINGS
from flood_assets.sinks.opening import open_sink
from flood_assets_tests.support.country import simulated_country
from flood_assets_tests.support.following import drain, drain_mortally, rows_of
from flood_assets_tests.support.kafka_process import kafka_process
from flood_assets_tests.support.lake_rows import NOW
from flood_assets_tests.support.memory_stream import URL, Shards
from flood_assets_tests.support.publishing import Fate, Trouble, publish_mortally
from flood_assets_tests.support.s3 import s3_server
from flood_assets_tests.support.simulated_lake import fill_from
from flood_assets_tests.support.sinks_given import aws, name

__all__ = ["aws", "name", "s3_server"]

# `make test-long` tries more.
LONG = bool(os.environ.get("FLOOD_KILLS"))
SEEDS = range(int(os.environ.get("FLOOD_ROUNDS") or 1))
DAY = timedelta(hours=26)


class Calm(Trouble):
    """Late writers and corrections, and no damage: what a damaged lake lost, the one that follows it keeps."""

    def _damage(self) -> None:
        """Leave it."""


def of_kinesis(aws, name):
    aws("kinesis").create_stream(StreamName=name, ShardCount=3)
    return f"kinesis://{name}"


def of_sqs(aws, name):
    # What a dead consumer had received comes again at once.
    aws("sqs").create_queue(QueueName=name, Attributes={"VisibilityTimeout": "0"})
    return f"sqs://{name}"


@contextmanager
def sink_of(url, now):
    with closing(open_sink(url, lambda: now)) as sink:
        yield sink


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Wait for no broker that has answered."""
    monkeypatch.setattr(kinesis, "LEAST_S", 0.0)
    monkeypatch.setattr(kinesis.KinesisStream, "pause_s", 0.0)
    monkeypatch.setattr("flood_assets.sinks.base.LONGEST_PAUSE_S", 0)


def proved(a, b, url, now):
    """Publish and consume without a death, and compare."""
    with sink_of(url, now) as sink:
        assert publish(a, sink, now).trouble == ""
    found = drain(b, url, now)
    assert (found.refused, found.lost, found.unreadable) == (0, (), [])
    assert rows_of(b, now) == rows_of(a, now)
    assert b.expired(now) == []
    again = drain(b, url, now)
    assert (again.records, again.added, again.revised) == (0, 0, 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_day_of_the_simulator_through_kinesis_with_deaths(aws, name, tmp_path, seed):
    chance, url, deaths = random.Random(seed), of_kinesis(aws, name), {"publisher": 0, "consumer": 0}
    a, b = Lake.open(tmp_path / "a"), Lake.open(tmp_path / "b")
    stations, tick = (12, timedelta(minutes=15)) if LONG else (2, timedelta(hours=6))
    with simulated_country(stations, seed=seed + 1) as country:
        country.set_clock(NOW)
        fill_from(country.url, a, NOW)
        now = NOW
        while now < NOW + DAY:
            with sink_of(url, now) as sink:
                deaths["publisher"] += not publish_mortally(a, sink, now, Fate(chance.choice([None, 1, 2, 3, 4, 5])))
            deaths["consumer"] += not drain_mortally(b, url, now, Fate(chance.choice([None, *range(1, 60)])))
            if chance.random() < 0.5:
                proved(a, b, url, now)
            now += tick
            country.set_clock(now)
            a.expire(now)
            with closing(FloodMonitoringApi(country.url, now=lambda now=now: now)) as api:
                # A reconcile finds corrections and readings out of order.
                again = retained_windows(now) if now >= NOW + DAY or chance.random() < 0.1 else None
                ingest.fetch(api, a, again, now).store(a)
        proved(a, b, url, now)
        assert country.compare(b, now).none
    print(deaths, len(rows_of(b, now)))
    assert min(deaths.values()) >= (40 if LONG else 1)
    told = look(b, now)
    assert (told.api, told.follows, told.missing) == (url, True, [])
    assert told.faults == []
    assert told.completeness is None or told.completeness.counts["not_fetched"] == 0


@pytest.mark.parametrize("kind", ["sqs", "kafka"])
def test_a_story_through_other_brokers_with_deaths(kind, request, tmp_path):
    with kafka_process() if kind == "kafka" else closing(open(os.devnull)) as cluster:  # noqa: PTH123 - something to close
        if kind == "kafka":
            url = cluster.url("flood")
        else:
            url = of_sqs(request.getfixturevalue("aws"), request.getfixturevalue("name"))
        a, b, chance, deaths = Lake.open(tmp_path / "a"), Lake.open(tmp_path / "b"), random.Random(1), 0
        story = Calm(a, 1, measures=3)
        with sink_of(url, NOW) as sink:
            story.step()
            assert publish(a, sink, story.now).trouble == ""
            for _ in range(60 if LONG else 3):
                story.step()
                publish_mortally(a, sink, story.now, Fate(chance.randrange(1, 6)))
                deaths += not drain_mortally(b, url, story.now, Fate(chance.randrange(1, 40)))
                if chance.random() < 0.4:
                    proved(a, b, url, story.now)
        proved(a, b, url, story.now)
        assert deaths >= (20 if LONG else 1)


def test_a_consumer_may_die_at_every_point(tmp_path):
    """Each point of a consumption of several batches, one after the other; the next one completes it."""
    shards, story = Shards(2), Calm(Lake.open(tmp_path / "a"), 7)
    for _ in range(3):
        story.step()
        shards.publish(story.lake, story.now)
    shards.put(0, b"foreign")

    def opened(*_given, **_more):
        return shards.open(page=3)

    whole = Fate()
    assert drain_mortally(Lake.open(tmp_path / "whole"), URL, story.now, whole, opened=opened)
    assert whole.points >= 40
    every = 1 if LONG else 5
    for point in range(1, whole.points + 1, every):
        b = Lake.open(tmp_path / f"{point}")
        assert not drain_mortally(b, URL, story.now, Fate(point), opened=opened)
        with closing(opened()) as stream:
            found = consumer.consume(b, stream, lambda: story.now, once=True)
        assert rows_of(b, story.now) == rows_of(story.lake, story.now), point
        assert [meta.key for meta in b.store.list("landing")] == []
        assert found.unreadable == []
        assert len(b.read(READINGS, now=story.now)) == len(rows_of(b, story.now))
