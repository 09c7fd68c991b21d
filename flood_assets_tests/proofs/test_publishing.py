"""Nothing that is published is lost, whoever dies: late writers, corrections, damage, kills and two publishers at once.

The oracle is the lake itself: whatever it held when a publication ended was sent, under one id, and whoever drops known
ids has its values.
"""

# ruff: noqa: F811 - fixtures of the other tests of publishing are arguments here

import json
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from flood_assets.lake.lake import Lake
from flood_assets.partitions import cutoff, window_of
from flood_assets.publish.events import Events
from flood_assets.publish.publisher import publish
from flood_assets.schemas import CONDITIONS, MEASURES, READINGS, STATIONS
from flood_assets.sinks.base import Sent, Sink
from flood_assets.sinks.opening import open_sink
from flood_assets_tests.publish.conftest import aws, name, receiver  # noqa: F401 - fixtures
from flood_assets_tests.support.kafka_process import CUT_OFF, NOT_LEADER, PRODUCE, arrived, kafka_process
from flood_assets_tests.support.lake_rows import measures, snapshot, stations
from flood_assets_tests.support.postgresql import Database, equal, lake_rows
from flood_assets_tests.support.publishing import Fate, Trouble, publish_mortally
from flood_assets_tests.support.receiving import newest
from flood_assets_tests.support.s3 import s3_server  # noqa: F401 - a fixture

# `make test-long` tries more.
SEEDS = range(int(os.environ.get("FLOOD_ROUNDS") or 1))
KILLS = int(os.environ.get("FLOOD_KILLS") or 4)
# Points of a publication of one batch (`Mortal`) at which everything is sent and nothing saved.
SENT = (3, 4)
STATE = ("measure_id", "date_time", "value", "raw_value", "first_seen_at", "changed_at", "previous_value", "revision")


class Memory(Sink):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__("kinesis://memory")
        self.events = []
        self.then = lambda: None

    def send(self, events: Events) -> Sent:
        self.events += [json.loads(document) for document in events.documents()]
        self.then()
        return Sent.whole(events)


def rows(lake, now):
    """What the lake holds, as a receiver would know it."""
    return [event["data"] for event in Events(lake.read(READINGS, now=now), "").bodies()]


def state(data):
    return tuple(data[column] for column in STATE)


def proved(lake, events, now):
    """Compare what was received with the lake, at the end of a publication."""
    sent = {state(event["data"]) for event in events}
    held = rows(lake, now)
    assert [row for row in held if state(row) not in sent] == [], "lost"
    ids = {event["id"]: state(event["data"]) for event in events}
    assert len(ids) == len(sent), "a state has one id, and an id one state"
    last = newest(events)
    assert {(r["measure_id"], r["date_time"]): r["value"] for r in held}.items() <= last.items()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_day_of_trouble_without_deaths_repeats_nothing(tmp_path, seed):
    lake, sink = Lake.open(tmp_path), Memory()
    trouble = Trouble(lake, seed)
    trouble.damaged = lambda: publish(lake, sink, trouble.now)
    for _ in range(60):
        trouble.step()
        assert publish(lake, sink, trouble.now).trouble == ""
        proved(lake, sink.events, trouble.now)
    assert len({event["id"] for event in sink.events}) == len(sink.events) > 300


@pytest.mark.parametrize("seed", SEEDS)
def test_a_day_of_trouble_with_kills_loses_nothing(tmp_path, seed):
    lake, sink, chance = Lake.open(tmp_path), Memory(), random.Random(seed)
    trouble = Trouble(lake, seed)
    deaths = 0
    for _ in range(60):
        trouble.step()
        if chance.random() < 0.6:
            deaths += not publish_mortally(lake, sink, trouble.now, Fate(chance.randrange(1, 6)))
        if chance.random() < 0.5:
            publish(lake, sink, trouble.now)
            proved(lake, sink.events, trouble.now)
    assert deaths >= 25
    publish(lake, sink, trouble.now)
    proved(lake, sink.events, trouble.now)


def test_a_publisher_may_die_at_every_point(tmp_path, monkeypatch):
    """Each point of a publication of several batches, one after the other."""
    monkeypatch.setattr("flood_assets.publish.publisher.BATCH", 8)
    trouble = Trouble(Lake.open(tmp_path / "a"), seed=7)
    for _ in range(12):
        trouble.step()
    data = {meta.key: trouble.lake.store.read(meta.key).data for meta in trouble.lake.store.list("readings")}
    whole = Fate()
    assert publish_mortally(trouble.lake, Memory(), trouble.now, whole)
    assert whole.points >= 15
    for point in range(1, whole.points + 1):
        lake, sink = Lake.open(tmp_path / f"{point}"), Memory()
        for key, each in data.items():
            lake.store.put(key, each.to_pybytes(), replaces=None)
        assert not publish_mortally(lake, sink, trouble.now, Fate(point))
        publish(lake, sink, trouble.now)
        proved(lake, sink.events, trouble.now)
        assert publish(lake, sink, trouble.now).events == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_two_publishers_at_once_lose_nothing_and_then_repeat_nothing(tmp_path, seed):
    """While the one sends, the lake changes and the other publishes as a whole: each saves over the other's cursor."""
    lake, one, two, chance = Lake.open(tmp_path), Memory(), Memory(), random.Random(seed)
    trouble = Trouble(lake, seed)

    def interrupted():
        if chance.random() < 0.5:
            trouble.step()
        publish(lake, two, trouble.now)

    one.then = interrupted
    for _ in range(40):
        trouble.step()
        publish(lake, one, trouble.now)
        publish(lake, two, trouble.now)
        proved(lake, one.events + two.events, trouble.now)
        before = len(one.events + two.events)
        publish(lake, one, trouble.now)
        assert len(one.events + two.events) == before


# -- the same at real receivers


def of_kinesis(aws, name):
    client = aws("kinesis")
    client.create_stream(StreamName=name, ShardCount=1)
    (shard,) = client.list_shards(StreamName=name)["Shards"]
    found = {"StreamName": name, "ShardId": shard["ShardId"]}
    start = client.get_shard_iterator(**found, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    return f"kinesis://{name}", lambda: [
        json.loads(r["Data"]) for r in client.get_records(ShardIterator=start, Limit=10_000)["Records"]
    ]


def _messages(client, url):
    kept = []

    def received():
        while messages := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            kept.extend(json.loads(each["Body"]) for each in messages)
            for each in messages:
                client.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
        return kept

    return received


def of_sqs(aws, name):
    client = aws("sqs")
    url = client.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    return f"sqs://{name}.fifo", _messages(client, url)


def _queue_with_arn(sqs, name):
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def of_eventbridge(aws, name):
    client, sqs = aws("events"), aws("sqs")
    url, arn = _queue_with_arn(sqs, name)
    client.create_event_bus(Name=name)
    client.put_rule(Name=name, EventBusName=name, EventPattern=json.dumps({"source": ["flood_assets"]}))
    client.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "1", "Arn": arn}])
    received = _messages(sqs, url)
    return f"eventbridge://{name}", lambda: [message["detail"] for message in received()]


MAKERS = {"kinesis": of_kinesis, "sqs": of_sqs, "eventbridge": of_eventbridge}


@pytest.fixture(scope="module")
def cluster():
    with kafka_process(brokers=2) as found:
        yield found


def of_kafka(cluster, name):
    cluster.topic(name, partitions=3)
    url = cluster.url(name)
    return url, lambda: [json.loads(message.value()) for message in arrived(url)]


def story(lake, url, monkeypatch, seed=5, steps=10, kind=Trouble):
    """Publish a story with deaths to a sink, and yield at the end of each publication that nobody died of."""
    monkeypatch.setattr("flood_assets.sinks.base.LONGEST_PAUSE_S", 0)
    chance, trouble = random.Random(seed), kind(lake, seed, measures=3)
    sink = open_sink(url, lambda: trouble.now)
    for _ in range(steps):
        trouble.step()
        publish_mortally(lake, sink, trouble.now, Fate(chance.randrange(1, 6)))
        if chance.random() < 0.5:
            assert publish(lake, sink, trouble.now).trouble == ""
            yield trouble.now
    publish(lake, sink, trouble.now)
    sink.close()
    yield trouble.now


@pytest.mark.parametrize("kind", MAKERS)
def test_receivers_of_aws_have_everything(kind, aws, name, tmp_path, monkeypatch):
    url, received = MAKERS[kind](aws, name)
    lake = Lake.open(tmp_path)
    for now in story(lake, url, monkeypatch):
        proved(lake, received(), now)


def test_a_topic_whose_brokers_fail_now_and_then_has_everything(cluster, name, tmp_path, monkeypatch):
    url, received = of_kafka(cluster, name)
    lake, chance = Lake.open(tmp_path), random.Random(5)
    for now in story(lake, url, monkeypatch):
        proved(lake, received(), now)
        cluster.fail(PRODUCE, *[chance.choice([0, NOT_LEADER, CUT_OFF]) for _ in range(4)])
        for broker in (1, 2):
            cluster.down(broker)
            cluster.up(broker)


@pytest.mark.parametrize("kind", ["memory", "kafka"])
def test_a_day_of_kills_between_send_and_save_loses_nothing(kind, cluster, name, tmp_path):
    """The receiver has everything and the cursor nothing of it when the process dies; another one goes on now and then.

    `FLOOD_KILLS=100` and 96 ticks: `make test-long`.
    """
    memory, chance, lake = Memory(), random.Random(KILLS), Lake.open(tmp_path)
    url, received = of_kafka(cluster, name) if kind == "kafka" else ("", lambda: memory.events)
    trouble, ticks, deaths = Trouble(lake, seed=KILLS), min(96, 3 * KILLS), 0

    def publisher():
        return open_sink(url, lambda: trouble.now) if url else memory

    one, two = publisher(), publisher()
    for tick in range(1, ticks + 1):
        trouble.step()
        for _ in range(KILLS * tick // ticks - deaths):
            deaths += not publish_mortally(lake, chance.choice([one, two]), trouble.now, Fate(chance.choice(SENT)))
        if tick % 4 == 0:
            assert publish(lake, chance.choice([one, two]), trouble.now).trouble == ""
            proved(lake, received(), trouble.now)
    assert publish(lake, one, trouble.now).trouble == ""
    assert publish(lake, two, trouble.now).events == 0
    one.close()
    two.close()
    events = received()
    proved(lake, events, trouble.now)
    repeats = len(events) - len({event["id"] for event in events})
    print(f"{kind}: {ticks} ticks, {deaths} deaths, {len(events)} events received, {repeats} of them again, 0 lost")
    assert deaths == KILLS
    assert repeats > 0


def test_a_webhook_that_fails_now_and_then_has_everything(receiver, tmp_path, monkeypatch):
    lake, chance = Lake.open(tmp_path), random.Random(3)
    receiver.answer = lambda _events: chance.choice([200, 200, 503])
    monkeypatch.setattr("flood_assets.sinks.posting.TRIES", 30)
    for now in story(lake, receiver.url, monkeypatch, steps=20):
        proved(lake, receiver.accepted, now)


def test_a_table_has_the_newest_reading_of_each_measure(aws, name, tmp_path, monkeypatch):
    client, lake = aws("dynamodb"), Lake.open(tmp_path)
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "measure_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "measure_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for now in story(lake, f"dynamodb://{name}", monkeypatch):
        last = {}
        for row in rows(lake, now):
            if row["date_time"] >= last.get(row["measure_id"], ("",))[0]:
                last[row["measure_id"]] = (row["date_time"], row["value"])
        items = client.scan(TableName=name)["Items"]
        assert {
            i["measure_id"]["S"]: (i["date_time"]["S"], float(i["value"]["N"])) for i in items
        }.items() >= last.items()


def test_a_topic_tells_of_each_window_after_its_last_change(aws, name, tmp_path, monkeypatch):
    sns, sqs = aws("sns"), aws("sqs")
    url, queue = _queue_with_arn(sqs, name)
    arn = sns.create_topic(Name=name)["TopicArn"]
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"})
    received, lake = _messages(sqs, url), Lake.open(tmp_path)
    for now in story(lake, f"sns://{arn}", monkeypatch):
        # A subscriber reads the windows that it is told of; a change that it is not told of it never sees.
        told = {}
        for message in received():
            for window in message["data"]["windows"]:
                told[window["window"]] = max(told.get(window["window"], ""), message["data"]["changed_to"])
        for row in rows(lake, now):
            assert told[f"{row['date_time'][:13]}:00:00Z"] >= row["changed_at"]


class Listed(Trouble):
    """The same, with lists that change, and conditions in each step."""

    def step(self):
        super().step()
        chance, now = random.Random(str(self.now)), self.now
        known = [f"s{number}" for number in range(6) if chance.random() < 0.7]
        if known and chance.random() < 0.5:
            self.lake.put_snapshots(STATIONS, [window_of(now)], stations(*known, observed_at=now, town=str(now)))
            self.lake.put_snapshots(MEASURES, [window_of(now)], measures(now, **{f"m{each}": each for each in known}))
        rows = [{"measure_id": f"m{each}", "value": chance.random(), "passed_over": 0} for each in known]
        self.lake.put_state(CONDITIONS, snapshot(CONDITIONS, now, *rows), now)


def mirrored(database, lake, now):
    """Compare a database with the lake, at the end of a publication."""
    columns = READINGS.schema.names
    wanted = [columns.index(name) for name in STATE]
    held = {tuple(row[i] for i in wanted) for row in database.rows(READINGS)}
    assert [row for row in lake_rows(lake, READINGS, now) if tuple(row[i] for i in wanted) not in held] == []
    # What was lost with a damaged window may be there still, and nothing that is a day old.
    assert all(cutoff(now) < time <= now for _, time, *_ in held)
    equal(database, lake, now, ["stations", "measures", "conditions"])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_database_has_the_lakes_tables(postgresql, name, tmp_path, monkeypatch, seed):
    database, lake = Database(postgresql.primary, name), Lake.open(tmp_path)
    for now in story(lake, database.url, monkeypatch, seed=seed, steps=12, kind=Listed):
        mirrored(database, lake, now)
    postgresql.caught_up()
    mirrored(Database(postgresql.replica, name), lake, now)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_database_of_two_publishers_has_the_lakes_tables(postgresql, name, tmp_path, seed):
    """Two threads publish what they find while the lake changes, and one of them dies now and then."""
    database, lake, chance = Database(postgresql.primary, name), Lake.open(tmp_path), random.Random(seed)
    trouble, deaths = Listed(lake, seed), []
    for _ in range(6):
        trouble.step()
        ready = threading.Barrier(3)

        def run(fate, ready=ready):
            with closing(open_sink(database.url, lambda: trouble.now, pause_s=0)) as sink:
                ready.wait()
                return not publish_mortally(lake, sink, trouble.now, fate)

        with ThreadPoolExecutor(2) as pool:
            running = [pool.submit(run, fate) for fate in (Fate(chance.randrange(1, 6)), Fate())]
            ready.wait()
            if chance.random() < 0.5:
                trouble.step()
            deaths += [each.result() for each in running]
        with closing(open_sink(database.url, lambda: trouble.now, pause_s=0)) as sink:
            assert publish(lake, sink, trouble.now).trouble == ""
            mirrored(database, lake, trouble.now)
            assert publish(lake, sink, trouble.now).events == 0
    assert sum(deaths) >= 2
