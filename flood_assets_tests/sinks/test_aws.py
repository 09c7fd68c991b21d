"""Publish to SQS, SNS, EventBridge and DynamoDB, as moto plays them: what arrives, in which order, in which limits."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import boto3
import pytest
from botocore.exceptions import ClientError

from flood_assets.errors import SettingsError
from flood_assets.lake.layout import key_of
from flood_assets.publish.events import Events, commit
from flood_assets.schemas import READINGS
from flood_assets.sinks.base import SinkError
from flood_assets.sinks.dynamodb import DynamoDb
from flood_assets.sinks.eventbridge import EventBridge
from flood_assets.sinks.opening import open_sink
from flood_assets.sinks.sns import MOST_BYTES, Sns
from flood_assets.sinks.sqs import Sqs, queue_url
from flood_assets_tests.support.lake_rows import HOUR, NOW, QUARTER, a_day, at, fetched

MINUTE = timedelta(minutes=1)


def made_queue(client, name, **attributes):
    return client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


def received(client, url):
    """Take all messages, in the order in which they come."""
    found = []
    while messages := client.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
    ).get("Messages"):
        found += messages
        for each in messages:
            client.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
    return found


def now_in(lake, now=NOW):
    return Events(lake.read(READINGS, now=now), "https://example.org/api")


# -- SQS


def test_each_event_is_a_message(aws, name, events):
    client = aws("sqs")
    url = made_queue(client, name)
    sink, sent = Sqs(f"sqs://{name}"), events(25)
    assert sink.send(sent).confirmed.all()
    sink.close()
    found = received(client, url)
    order = {body["subject"]: body for body in sent.bodies()}
    assert {json.loads(m["Body"])["subject"]: json.loads(m["Body"]) for m in found} == order
    assert found[0]["MessageAttributes"]["type"]["StringValue"] == "flood_assets.reading.new"


def test_a_fifo_queue_keeps_the_order_and_drops_what_is_sent_again(aws, name, lake):
    client = aws("sqs")
    url = made_queue(client, f"{name}.fifo", FifoQueue="true")
    sink = Sqs(f"sqs://{name}.fifo")
    lake.upsert_readings(a_day(["a", "b"]), NOW, NOW)
    sent = now_in(lake)
    assert sink.send(sent).confirmed.all()
    assert sink.send(sent).confirmed.all()
    sink.close()
    found = received(client, url)
    assert len(found) == len(sent) > 100
    for measure in ("a", "b"):
        times = [b["data"]["date_time"] for m in found if (b := json.loads(m["Body"]))["subject"] == measure]
        assert times == sorted(times)
    assert len({m["Attributes"]["MessageGroupId"] for m in found}) == 2


def test_requests_keep_to_ten_messages_and_their_bytes(aws, name, events, monkeypatch):
    made_queue(aws("sqs"), name)
    sink, requests = Sqs(f"sqs://{name}"), []
    send = sink._client.send_message_batch
    monkeypatch.setattr(
        sink._client, "send_message_batch", lambda **more: requests.append(more["Entries"]) or send(**more)
    )
    long = [f"{number:02}{'x' * 40_000}" for number in range(9)]
    # A measure is in a message twice and in its id.
    assert sink.send(events(measures=[*long, *[f"m{number}" for number in range(25)]])).confirmed.all()
    sink.close()
    assert max(map(len, requests)) == 10
    assert max(sum(len(entry["MessageBody"]) for entry in entries) for entries in requests) < 256 * 1024
    assert len(requests) > 5


def test_only_messages_that_failed_are_sent_again(aws, name, events, monkeypatch):
    client = aws("sqs")
    url = made_queue(client, name)
    sink, send = Sqs(f"sqs://{name}", pause_s=0), None
    send, tries = sink._client.send_message_batch, []

    def failing(**more):
        tries.append(len(more["Entries"]))
        if len(tries) > 1:
            return send(**more)
        answer = send(**more | {"Entries": more["Entries"][1:]})
        return answer | {"Failed": [{"Id": more["Entries"][0]["Id"], "Code": "InternalError", "SenderFault": False}]}

    monkeypatch.setattr(sink._client, "send_message_batch", failing)
    assert sink.send(events(6)).confirmed.all()
    sink.close()
    assert tries == [6, 1]
    assert len(received(client, url)) == 6


def test_a_queue_may_be_named_by_its_url(aws, name, events):
    client = aws("sqs")
    url = made_queue(client, name)
    host = url.partition("://")[2]
    assert queue_url(client, f"sqs://{host}") == url
    assert queue_url(client, "sqs://sqs.eu-west-2.amazonaws.com/1/q") == "https://sqs.eu-west-2.amazonaws.com/1/q"
    with pytest.raises(SettingsError, match="expected sqs://queue, or sqs://host/account/queue"):
        queue_url(client, "sqs://host/q")
    with pytest.raises(SinkError, match=r"NonExistentQueue[^\n]*: create it, or correct the URL"):
        Sqs("sqs://nowhere")


# -- SNS


@pytest.fixture
def topic(aws, name):
    """Make a topic with a queue that gets its messages raw; `filtered` asks for those with corrections only."""
    sns, sqs = aws("sns"), aws("sqs")

    def made(suffix="", **attributes):
        arn = sns.create_topic(Name=name + suffix, Attributes=attributes)["TopicArn"]
        queues = []
        for policy in ({}, {"FilterPolicy": json.dumps({"revised": [{"numeric": [">", 0]}]})}):
            fifo = {"FifoQueue": "true"} if suffix else {}
            url = made_queue(sqs, f"{name}-{len(queues)}{suffix}", **fifo)
            queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
            sns.subscribe(
                TopicArn=arn,
                Protocol="sqs",
                Endpoint=queue,
                Attributes={"RawMessageDelivery": "true"} | policy,
            )
            queues.append(lambda url=url: [json.loads(m["Body"]) for m in received(sqs, url)])
        return arn, *queues

    return made


def test_a_topic_gets_one_message_for_a_commit_that_subscribers_can_filter(topic, lake):
    arn, everything, corrections = topic()
    sink = Sns(f"sns://{arn}")
    lake.upsert_readings(fetched(("a", at(8), 1.0), ("b", at(8), 1.0), ("b", at(7), 1.0)), NOW, NOW)
    sink.send(now_in(lake))
    (told,) = everything()
    assert (told["type"], told["source"]) == ("flood_assets.readings.committed", "https://example.org/api")
    assert told["data"] == {
        "new": 3,
        "revised": 0,
        "measures": 2,
        "changed_from": "2026-11-21T09:07:30Z",
        "changed_to": "2026-11-21T09:07:30Z",
        "windows": [
            {"window": "2026-11-21T07:00:00Z", "key": key_of(READINGS, at(7)), "new": 1, "revised": 0},
            {"window": "2026-11-21T08:00:00Z", "key": key_of(READINGS, at(8)), "new": 2, "revised": 0},
        ],
    }
    assert corrections() == []
    lake.upsert_readings(fetched(("a", at(8), 2.0)), NOW + MINUTE, NOW + MINUTE)
    sink.send(now_in(lake))
    sink.close()
    assert [each["data"]["revised"] for each in corrections()] == [1]


def test_a_fifo_topic_drops_a_commit_that_is_sent_again(topic, lake):
    arn, everything, _ = topic(".fifo", FifoTopic="true")
    sink = Sns(f"sns://{arn}")
    lake.upsert_readings(fetched(("a", at(8), 1.0)), NOW, NOW)
    for _ in range(3):
        sink.send(now_in(lake))
    lake.upsert_readings(fetched(("b", at(8), 1.0)), NOW, NOW)
    sink.send(now_in(lake))
    sink.close()
    assert [each["data"]["new"] for each in everything()] == [1, 2]


def test_the_message_of_a_whole_day_is_far_below_the_limit(lake):
    lake.upsert_readings(a_day([f"m{number}" for number in range(200)]), NOW, NOW)
    assert len(json.dumps(commit(now_in(lake)))) < MOST_BYTES / 20


# -- EventBridge


def test_a_rule_of_a_bus_gets_the_events_it_asks_for(aws, name, lake):
    client, sqs = aws("events"), aws("sqs")
    url = made_queue(sqs, name)
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    client.create_event_bus(Name=name)
    pattern = {"source": ["flood_assets"], "detail-type": ["flood_assets.reading.revised"]}
    client.put_rule(Name=name, EventBusName=name, EventPattern=json.dumps(pattern))
    client.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "1", "Arn": queue}])
    lake.upsert_readings(fetched(*[(f"m{n}", at(8), 1.0) for n in range(12)]), NOW, NOW)
    lake.upsert_readings(fetched(("m3", at(8), 2.0), ("m11", at(8), 2.0)), NOW + MINUTE, NOW + MINUTE)
    sink, sent = EventBridge(f"eventbridge://{name}"), now_in(lake)
    assert sink.send(sent).confirmed.all()
    sink.close()
    details = [json.loads(message["Body"])["detail"] for message in received(sqs, url)]
    assert sorted(detail["subject"] for detail in details) == ["m11", "m3"]
    assert all(detail in sent.bodies() for detail in details)


def test_entries_that_fail_are_put_again_ten_at_a_time(aws, events, monkeypatch):
    sink, puts = EventBridge("eventbridge://default", pause_s=0), []

    def put(**more):
        puts.append(len(more["Entries"]))
        failed = len(puts) == 1
        told = [{"ErrorCode": "ThrottlingException"} if failed and n < 3 else {"EventId": "1"} for n in range(puts[-1])]
        return {"FailedEntryCount": 3 if failed else 0, "Entries": told}

    monkeypatch.setattr(sink._client, "put_events", put)
    assert sink.send(events(25)).confirmed.all()
    sink.close()
    assert (max(puts), sum(puts)) == (10, 28)


# -- DynamoDB


@pytest.fixture
def table(aws, name):
    aws("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "measure_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "measure_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    found = boto3.resource("dynamodb").Table(name)
    yield found
    found.meta.client.close()


def latest(table):
    return {item["measure_id"]: (item["date_time"], item.get("value")) for item in table.scan()["Items"]}


def test_a_table_has_the_newest_reading_of_each_measure_and_when_it_expires(table, lake):
    lake.upsert_readings(fetched(("a", at(8), 1.0), ("a", at(7), 0.1), ("b", at(6), None, "1|2")), NOW, NOW)
    sink = DynamoDb(f"dynamodb://{table.name}")
    assert sink.send(now_in(lake)).confirmed.all()
    sink.close()
    items = {item["measure_id"]: item for item in table.scan()["Items"]}
    assert items == {
        "a": {
            "measure_id": "a",
            "date_time": "2026-11-21T08:00:00Z",
            "value": Decimal("1.0"),
            "first_seen_at": "2026-11-21T09:07:30Z",
            "changed_at": "2026-11-21T09:07:30Z",
            "revision": 0,
            "order_key": f"{int(at(8).timestamp())}000-{int(NOW.timestamp())}000-000000",
            "expires_at": int((at(8) + 24 * HOUR).timestamp()),
        },
        "b": items["b"],
    }
    assert items["b"]["raw_value"] == "1|2"
    assert "value" not in items["b"]


def test_newest_wins_in_whatever_order_events_come(table, lake):
    sink = DynamoDb(f"dynamodb://{table.name}")
    states = []
    for minute, (moment, value) in enumerate([(at(8), 1.0), (at(8), 2.0), (at(8) + QUARTER, 3.0), (at(7), 4.0)]):
        lake.upsert_readings(fetched(("a", moment, value)), NOW + minute * MINUTE, NOW + minute * MINUTE)
        states.append(now_in(lake))
    for number in (3, 0, 1, 2, 0, 3, 1):
        assert sink.send(states[number]).confirmed.all()
        if number in (3, 2):
            assert latest(table) == {"a": ("2026-11-21T08:15:00Z", Decimal("3.0"))}
    sink.close()


def test_a_correction_replaces_and_an_older_one_does_not(table, lake):
    sink = DynamoDb(f"dynamodb://{table.name}")
    lake.upsert_readings(fetched(("a", at(8), 1.0)), NOW, NOW)
    first = now_in(lake)
    lake.upsert_readings(fetched(("a", at(8), -1.5)), NOW, NOW)
    for state in (first, now_in(lake), first):
        sink.send(state)
    sink.close()
    assert latest(table) == {"a": ("2026-11-21T08:00:00Z", Decimal("-1.5"))}


def test_an_item_that_could_not_be_put_confirms_none_of_its_measure(table, events, lake, monkeypatch):
    sink = DynamoDb(f"dynamodb://{table.name}", pause_s=0)
    lake.upsert_readings(fetched(("m0000", at(6), 1.0), ("m0001", at(7), 1.0)), NOW, NOW)
    sent = events(3)
    put = sink._client.put_item

    def failing(**more):
        if more["Item"]["measure_id"]["S"] == "m0001":
            raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException", "Message": "."}}, "PutItem")
        return put(**more)

    monkeypatch.setattr(sink._client, "put_item", failing)
    monkeypatch.setattr("flood_assets.sinks.dynamodb.THREADS", 1)
    found = sink.send(sent)
    sink.close()
    # Its two events wait, and so does what would have come after it.
    assert [m for m, ok in zip(sent.keys, found.confirmed, strict=True) if ok] == ["m0000", "m0000"]
    assert "ProvisionedThroughputExceededException" in found.trouble


def test_a_value_that_dynamodb_has_no_number_for_is_a_text_and_holds_up_nothing(table, lake):
    lake.upsert_readings(fetched(("a", at(8), 1e300), ("b", at(8), 2.0), ("c", at(8), 0.0)), NOW, NOW)
    sink = DynamoDb(f"dynamodb://{table.name}")
    assert sink.send(now_in(lake)).confirmed.all()
    sink.close()
    assert {key: value for key, (_, value) in latest(table).items()} == {"a": "1e+300", "b": 2, "c": 0}


# -- all


@pytest.mark.parametrize("url", ["sns://arn:aws:sns:eu-west-2:123456789012:no", "dynamodb://nowhere"])
def test_what_is_not_there_says_what_to_do(aws, events, url):
    sink = open_sink(url, lambda: datetime.now(UTC), pause_s=0)
    with pytest.raises(SinkError, match="create it, or correct the URL or the region"):
        sink.send(events(1))
    sink.close()
