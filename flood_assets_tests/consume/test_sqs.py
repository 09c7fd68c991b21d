"""Read an SQS queue: everything that is there, deleted once it is safe."""

from contextlib import closing

import pytest

from flood_assets.consume import sqs
from flood_assets.consume.opening import open_stream
from flood_assets.sinks.base import SinkError
from flood_assets_tests.support.lake_rows import NOW


@pytest.fixture
def queue(aws, name):
    client = aws("sqs")
    url = client.create_queue(QueueName=name)["QueueUrl"]

    def put(*texts):
        for start in range(0, len(texts), 10):
            entries = [{"Id": str(n), "MessageBody": text} for n, text in enumerate(texts[start : start + 10])]
            client.send_message_batch(QueueUrl=url, Entries=entries)

    def left():
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return [int(found[name]) for name in names]

    return f"sqs://{name}", put, left


def bodies(portions):
    return sorted(record.data.decode() for portion in portions for record in portion.records)


def test_messages_are_kept_until_they_are_confirmed(queue):
    url, put, left = queue
    texts = [f"{n:02}" for n in range(35)]
    put(*texts)
    with closing(open_stream(url, lambda: NOW, once=True)) as stream:
        stream.seek({})
        portions = stream.read()
        assert bodies(portions) == texts
        assert not stream.drained
        assert len({record.id for portion in portions for record in portion.records}) == 35
        assert left() == [0, 35]
        stream.confirm(portions)
        assert left() == [0, 0]
        assert stream.read() == []
        assert stream.drained


def test_messages_that_come_twice_in_a_portion_are_there_once(queue, aws):
    url, put, left = queue
    client = aws("sqs")
    client.set_queue_attributes(
        QueueUrl=client.get_queue_url(QueueName=url[6:])["QueueUrl"], Attributes={"VisibilityTimeout": "0"}
    )
    put(*"abc")
    with closing(open_stream(url, lambda: NOW, once=True)) as stream:
        portions = stream.read()
        assert bodies(portions) == [*"abc"]
        stream.confirm(portions)
        assert left() == [0, 0]


def test_a_portion_is_limited(queue, monkeypatch):
    monkeypatch.setattr(sqs, "MOST", 10)
    url, put, _ = queue
    put(*(f"{n:02}" for n in range(35)))
    found = []
    with closing(open_stream(url, lambda: NOW, once=True)) as stream:
        while portions := stream.read():
            found += bodies(portions)
            stream.confirm(portions)
    assert sorted(found) == [f"{n:02}" for n in range(35)]


def test_a_queue_that_is_not_there_is_named(aws):
    with pytest.raises(SinkError, match=r"nowhere: .*create it, or correct"):
        open_stream("sqs://nowhere", lambda: NOW)
