"""What S3 tells of a new object is understood in each way in which it can reach a queue, and nothing else is."""

import json

import pytest

from flood_assets.landing.notified import NotUnderstoodError, landed

KEY, ENCODED = "flood/landing/a@b/x.y", "flood/landing/a%40b/x.y"


def record(key: str = ENCODED, event: str = "ObjectCreated:Put", bucket: str = "lake") -> dict:
    about = {"bucket": {"name": bucket}, "object": {"key": key, "size": 1}}
    return {"eventSource": "aws:s3", "eventName": event, "s3": about}


DIRECT = json.dumps({"Records": [record()]})
BRIDGE = {"source": "aws.s3", "detail-type": "Object Created"}
SAID = {
    "directly": (DIRECT, ["landing/a@b/x.y"]),
    "through SNS": (json.dumps({"Type": "Notification", "Message": DIRECT}), ["landing/a@b/x.y"]),
    "through EventBridge": (
        json.dumps({**BRIDGE, "detail": {"bucket": {"name": "lake"}, "object": {"key": KEY}}}),
        ["landing/a@b/x.y"],
    ),
    "in parts": (json.dumps({"Records": [record(event="s3:ObjectCreated:Post")]}), ["landing/a@b/x.y"]),
    "a space": (json.dumps({"Records": [record("flood/landing/.uploads/a+b")]}), ["landing/.uploads/a b"]),
    "two": (json.dumps({"Records": [record(), record("flood/landing/c/d")]}), ["landing/a@b/x.y", "landing/c/d"]),
    "another place": (json.dumps({"Records": [record("flood/readings/x"), record("landing/a/b")]}), []),
    "a name that begins alike": (json.dumps({"Records": [record("flood/landing2/a/b")]}), []),
    "another bucket": (json.dumps({"Records": [record(bucket="other")]}), []),
    "a deletion": (json.dumps({"Records": [record(event="ObjectRemoved:Delete")]}), []),
    "a deletion through EventBridge": (json.dumps({**BRIDGE, "detail-type": "Object Deleted"}), []),
    "the test": (json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "lake"}), []),
}  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), SAID.values(), ids=SAID)
def test_a_notification_names_the_objects_that_landed(body, expected):
    assert landed(body, "lake", "flood") == expected


def test_a_lake_may_be_a_whole_bucket():
    assert landed(json.dumps({"Records": [record("landing/a/b")]}), "lake", "") == ["landing/a/b"]


ODD = [
    *("", "hello", "[]", "7", "[" * 100_000, "{}", '{"Records": 7}', '{"Records": [{}]}', '{"Records": [{"s3": 1}]}'),
    *('{"Type": "Notification", "Message": 7}', '{"Type": "Notification", "Message": "x"}'),
    '{"source": "aws.s3", "detail-type": "Object Created", "detail": {}}',
    json.dumps({"Records": [{**record(), "s3": None}]}),
    json.dumps({"Records": [{"eventSource": "aws:sqs", "eventName": "x"}]}),
]


@pytest.mark.parametrize("body", ODD)
def test_anything_else_is_not_understood_and_quoted(body):
    with pytest.raises(NotUnderstoodError) as error:
        landed(body, "lake", "flood")
    assert body[:100] in str(error.value)
