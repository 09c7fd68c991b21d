"""Publish to Kinesis, as moto plays it."""

import json

import pytest

from flood_assets.sinks.base import SinkError
from flood_assets.sinks.kinesis import Kinesis


@pytest.fixture
def stream(aws, name):
    client = aws("kinesis")
    client.create_stream(StreamName=name, ShardCount=2)
    return client, name


def records(client, name):
    found = []
    for shard in client.list_shards(StreamName=name)["Shards"]:
        at = client.get_shard_iterator(StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
        found += client.get_records(ShardIterator=at["ShardIterator"], Limit=10_000)["Records"]
    return found


def test_each_event_is_a_record_whose_key_is_the_measure(stream, events):
    client, name = stream
    sink, sent = Kinesis(f"kinesis://{name}"), events(1_100)
    assert sink.send(sent).confirmed.all()
    sink.close()
    found = {record["PartitionKey"]: json.loads(record["Data"]) for record in records(client, name)}
    assert found == {body["subject"]: body for body in sent.bodies()}


def test_a_put_has_at_most_500_records(stream, events, monkeypatch):
    sink = Kinesis(f"kinesis://{stream[1]}")
    sizes = []
    put = sink._client.put_records
    monkeypatch.setattr(sink._client, "put_records", lambda **more: sizes.append(len(more["Records"])) or put(**more))
    sink.send(events(1_100))
    sink.close()
    assert sizes == [500, 500, 100]


def test_only_the_records_that_failed_are_put_again(stream, events, monkeypatch):
    client, name = stream
    sink, puts = Kinesis(f"kinesis://{name}", pause_s=0), []
    put = sink._client.put_records

    def throttled(**more):
        """Take every second record, as a shard over its limit does."""
        taken = more["Records"][::2]
        puts.append(len(more["Records"]))
        if len(puts) > 2:
            return put(**more)
        put(**more | {"Records": taken})
        told = [
            {} if number % 2 == 0 else {"ErrorCode": "ProvisionedThroughputExceededException"}
            for number in range(len(more["Records"]))
        ]
        return {"FailedRecordCount": len(told) - len(taken), "Records": told}

    monkeypatch.setattr(sink._client, "put_records", throttled)
    assert sink.send(events(8)).confirmed.all()
    sink.close()
    assert puts == [8, 4, 2]
    subjects = [json.loads(record["Data"])["subject"] for record in records(client, name)]
    assert sorted(subjects) == [f"m{number:04}" for number in range(8)]


def test_records_that_fail_for_good_are_not_confirmed(stream, events, monkeypatch):
    sink = Kinesis(f"kinesis://{stream[1]}", pause_s=0)

    def failing(**more):
        told = [{"ErrorCode": "InternalFailure"} if b'"m0002"' in r["Data"] else {} for r in more["Records"]]
        return {"FailedRecordCount": sum(map(bool, told)), "Records": told}

    monkeypatch.setattr(sink._client, "put_records", failing)
    sent = sink.send(events(5))
    sink.close()
    assert sent.confirmed.tolist() == [True, True, False, True, True]
    assert "InternalFailure in 4 tries" in sent.trouble


def test_a_stream_that_is_not_there_says_what_to_do(aws, events):
    sink = Kinesis("kinesis://nowhere", pause_s=0)
    with pytest.raises(SinkError, match=r"ResourceNotFoundException: .*: create it, or correct the URL"):
        sink.send(events(1))
    sink.close()


def test_a_machine_without_a_region_or_credentials_says_what_to_do(no_aws_of_this_machine, events, monkeypatch):
    for variable in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(SinkError, match="no region for kinesis: set AWS_DEFAULT_REGION"):
        Kinesis("kinesis://any")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    sink = Kinesis("kinesis://any")
    with pytest.raises(SinkError, match="no AWS credentials: set AWS_PROFILE"):
        sink.send(events(1))
    sink.close()
