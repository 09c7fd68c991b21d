"""Alerts through the sinks of AWS, as moto plays them: each event arrives once, in order, and people get words."""

import json

import pytest

from flood_assets import settings
from flood_assets.alerts.events import AlertEvents, News
from flood_assets.alerts.judging import judge_lake
from flood_assets.alerts.notify import Teller
from flood_assets.alerts.targets import SINK, Target
from flood_assets.lake.lake import Lake
from flood_assets.publish.subscribe import subscribe
from flood_assets.query.alerts import stored_alerts
from flood_assets.sinks.base import SinkError
from flood_assets.sinks.dynamodb import DynamoDb
from flood_assets_tests.alerts.test_lake import RULES, VALUES, lake, read_out
from flood_assets_tests.support.lake_rows import NOW

__all__ = ["lake"]

FIRING, CLEARED = "flood_assets.alert.firing", "flood_assets.alert.cleared"


def told_over_a_flood(lake, url):
    """Judge each tick and tell it twice; return the faults."""
    faults = []
    for now in read_out(lake, VALUES):
        judge_lake(lake, RULES, now)
        for _ in range(2):
            faults += Teller(lambda now=now: now, pause_s=0).tell(Lake.open(lake.url), [Target(SINK, url)])
    return faults


def queue(sqs, name, **attributes):
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def messages(sqs, url):
    found = []
    while more := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found += [json.loads(each["Body"]) for each in more]
        for each in more:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
    return found


def test_a_stream_and_a_queue_get_each_alert_once_and_in_order(aws, name, lake):
    aws("kinesis").create_stream(StreamName=name, ShardCount=1)
    queue(aws("sqs"), f"{name}.fifo", FifoQueue="true")
    urls = [f"kinesis://{name}", f"sqs://{name}.fifo"]
    for now in read_out(lake, VALUES):
        judge_lake(lake, RULES, now)
        for _ in range(2):
            targets = [Target(SINK, url) for url in urls]
            assert Teller(lambda now=now: now, pause_s=0).tell(Lake.open(lake.url), targets) == []
    found = [list(subscribe(url, lambda: NOW, once=True)) for url in urls]
    assert found[0] == found[1]
    assert [event["type"] for event in found[0]] == [FIRING, CLEARED]
    assert [event["data"]["label"] for event in found[0]] == ["Mill", "Mill"]


def test_a_topic_gets_a_message_for_each_alert_that_subscribers_can_filter(aws, name, lake, monkeypatch):
    sns, sqs = aws("sns"), aws("sqs")
    arn = sns.create_topic(Name=name)["TopicArn"]
    found = []
    for number, severity in enumerate(("Severe", "Minor")):
        url, place = queue(sqs, f"{name}-{number}")
        policy = {"RawMessageDelivery": "true", "FilterPolicy": json.dumps({"severity": [severity]})}
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=place, Attributes=policy)
        found.append(url)
    assert told_over_a_flood(lake, f"sns://{arn}") == []
    severe, minor = (messages(sqs, url) for url in found)
    assert sorted(event["type"] for event in severe) == [CLEARED, FIRING]
    assert minor == []


def test_mails_and_text_messages_of_a_topic_are_words(aws, name, lake, monkeypatch):
    arn = aws("sns").create_topic(Name=f"{name}.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    *_, last = list(read_out(lake, VALUES[:4]))
    judge_lake(lake, RULES, last)
    (alert,) = stored_alerts(lake, last).rows
    from flood_assets.sinks.sns import Sns  # noqa: PLC0415 - it needs the region that the fixture sets

    sink, sent = Sns(f"sns://{arn}"), []
    publish = sink._client.publish
    monkeypatch.setattr(sink._client, "publish", lambda **more: sent.append(more) or publish(**more))
    assert sink.send(AlertEvents((News("firing", alert),))).confirmed.all()
    sink.close()
    (told,) = sent
    texts = json.loads(told["Message"])
    assert json.loads(texts["default"])["type"] == FIRING
    assert texts["sms"] == told["Subject"] == "Alert: Mill high: Mill"
    assert "Firing since 21 November 2026" in texts["email"]


def test_a_rule_of_a_bus_gets_the_alerts_it_asks_for(aws, name, lake):
    client, sqs = aws("events"), aws("sqs")
    url, place = queue(sqs, name)
    client.create_event_bus(Name=name)
    pattern = {"source": ["flood_assets"], "detail-type": [CLEARED]}
    client.put_rule(Name=name, EventBusName=name, EventPattern=json.dumps(pattern))
    client.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "1", "Arn": place}])
    assert told_over_a_flood(lake, f"eventbridge://{name}") == []
    assert [message["detail"]["type"] for message in messages(sqs, url)] == [CLEARED]


def test_what_holds_readings_takes_no_alerts(aws, lake):
    *_, last = list(read_out(lake, VALUES[:4]))
    judge_lake(lake, RULES, last)
    (alert,) = stored_alerts(lake, last).rows
    sink = DynamoDb("dynamodb://table")
    with pytest.raises(SinkError, match="holds readings and takes no alerts: send these to a queue"):
        sink.send(AlertEvents((News("firing", alert),)))
    sink.close()
    assert "dynamodb" in settings.READINGS_ONLY


def test_a_sink_that_is_away_is_said_and_nothing_is_remembered(aws, name, lake):
    *_, last = list(read_out(lake, VALUES[:4]))
    judge_lake(lake, RULES, last)
    teller, target = Teller(lambda: last), Target(SINK, f"kinesis://{name}")
    (fault,) = teller.tell(lake, [target])
    assert f"kinesis://{name} was not told of 1 event" in fault
    assert "ResourceNotFoundException" in fault
    aws("kinesis").create_stream(StreamName=name, ShardCount=1)
    assert teller.tell(lake, [target]) == []
    assert len(list(subscribe(f"kinesis://{name}", lambda: NOW, once=True))) == 1
