"""Records of Kinesis and messages of SQS, in the shapes that Lambda gives them, become readings: all, once."""

import base64
import json
import random

import pytest

from flood_assets import functions
from flood_assets.errors import LakeError, WrongLakeError
from flood_assets.lake import watermarks
from flood_assets.lake.lake import Lake
from flood_assets.lake.store import Store
from flood_assets.landing import batches
from flood_assets.landing.objects import Batch, Rows
from flood_assets.partitions import to_ms
from flood_assets.publish.events import Events
from flood_assets.schemas import READINGS, REJECTS
from flood_assets_tests.support.following import mortal_lake, rows_of
from flood_assets_tests.support.lake_rows import NOW, QUARTER, at, fetched
from flood_assets_tests.support.lambda_runtime import function
from flood_assets_tests.support.publishing import Fate, Killed

STREAM = "arn:aws:kinesis:eu-west-2:123456789012:stream/flood-readings"
QUEUE = "arn:aws:sqs:eu-west-2:123456789012:flood-readings"


@pytest.fixture
def published(tmp_path):
    """A lake that publishes, with corrections, and its events, some of them twice."""
    source, found = Lake.open(tmp_path / "a"), []
    for tick, value in enumerate((1.0, 1.5, 1.0)):
        seen = NOW + tick * QUARTER
        source.upsert_readings(fetched(*[(m, at(8, minute), value) for m in "abc" for minute in (0, 15)]), seen, seen)
        found += Events(source.read(READINGS, now=seen), "https://example.org/api").documents()
    return source, found


@pytest.fixture
def lake(tmp_path, monkeypatch):
    place = Lake.open(tmp_path / "b")
    monkeypatch.setenv("FLOOD_LAKE_URL", place.url)
    monkeypatch.setenv("FLOOD_NOW", (NOW + 3 * QUARTER).isoformat())
    return place


def now_rows(lake):
    return rows_of(lake, NOW + 3 * QUARTER)


def kinesis(documents, first=0, shard="shardId-000000000000"):
    """An event as an event source mapping of a stream gives it."""
    records = [
        {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": "a",
                "sequenceNumber": str(4959033827149025660 + first + number),
                "data": document if isinstance(document, str) else base64.b64encode(document).decode(),
                "approximateArrivalTimestamp": 1545084650.987,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{shard}:{4959033827149025660 + first + number}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
            "awsRegion": "eu-west-2",
            "eventSourceARN": STREAM,
        }
        for number, document in enumerate(documents)
    ]
    return {"Records": records}


def sqs(bodies, arn=QUEUE):
    """An event as an event source mapping of a queue gives it."""
    records = [
        {
            "messageId": f"059f36b4-87a3-44ab-83d2-{number:012}",
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
            "body": body if isinstance(body, str) else body.decode(),
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183"},
            "messageAttributes": {},
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": arn,
            "awsRegion": "eu-west-2",
        }
        for number, body in enumerate(bodies)
    ]
    return {"Records": records}


def failures(answer):
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


@pytest.mark.parametrize("form", [kinesis, sqs])
def test_a_lake_that_is_given_all_records_equals_the_one_that_published(published, lake, form):
    source, documents = published
    answer = functions.landing(form(documents), None)
    assert failures(answer) == []
    assert (answer["records"], answer["refused"]) == (len(documents), 0)
    assert now_rows(lake) == now_rows(source)
    assert lake.source() == f"{form.__name__}://flood-readings"
    assert watermarks.load(lake.store).as_of == NOW + 2 * QUARTER


@pytest.mark.parametrize("form", [kinesis, sqs])
@pytest.mark.parametrize("seed", range(2))
def test_parts_and_repetitions_in_any_order_give_the_same_lake(published, lake, form, seed):
    source, documents = published
    chance = random.Random(seed)
    for _ in range(6):
        some = chance.sample(documents, chance.randrange(1, len(documents)))
        assert failures(functions.landing(form(some), None)) == []
    functions.landing(form(documents), None)
    again = functions.landing(form(documents), None)
    assert (again["added"], again["revised"]) == (0, 0)
    assert now_rows(lake) == now_rows(source)


def test_a_record_that_is_no_event_is_kept_in_rejects_and_holds_up_nothing(published, lake):
    source, documents = published
    answer = functions.landing(kinesis([*documents[:4], b"poison", *documents[4:]]), None)
    assert failures(answer) == []
    assert answer["refused"] == 1
    assert now_rows(lake) == now_rows(source)
    (reject,) = lake.read(REJECTS, now=NOW + 3 * QUARTER).to_pylist()
    assert "poison" in reject["line"]


def test_a_record_that_cannot_be_decoded_is_reported_and_those_before_it_are_taken(published, lake):
    source, documents = published
    event = kinesis([*documents[:4], "%%%", *documents[4:]])
    answer = functions.landing(event, None)
    assert failures(answer) == [event["Records"][4]["kinesis"]["sequenceNumber"]]
    assert answer["records"] == 4
    # Lambda bisects the batch until the bad record is alone, and gives up on it.
    assert failures(functions.landing({"Records": event["Records"][5:]}, None)) == []
    assert now_rows(lake) == now_rows(source)
    first = functions.landing({"Records": event["Records"][4:5]}, None)
    assert first == {"batchItemFailures": [{"itemIdentifier": event["Records"][4]["kinesis"]["sequenceNumber"]}]}


def test_a_message_that_is_nothing_is_reported_and_all_others_are_taken(published, lake):
    source, documents = published
    event = sqs([*documents[:4], "poison", *documents[4:]])
    answer = functions.landing(event, None)
    assert failures(answer) == [event["Records"][4]["messageId"]]
    assert answer["records"] == len(documents)
    assert now_rows(lake) == now_rows(source)


def test_a_lake_that_cannot_be_written_confirms_nothing(published, lake, monkeypatch):
    _, documents = published
    with monkeypatch.context() as patch:

        def away(*_args, **_more):
            raise LakeError("away")

        patch.setattr(Store, "update", away)
        with pytest.raises(LakeError, match="away"):
            functions.landing(kinesis(documents), None)
    assert failures(functions.landing(kinesis(documents), None)) == []


def test_a_call_that_dies_anywhere_is_repaired_by_its_repetition(published, tmp_path, lake, monkeypatch):
    source, documents = published
    event, opened = kinesis([*documents, b"poison"]), Lake.open
    for point in range(1, 200):
        place = opened(tmp_path / f"lake-{point}")
        monkeypatch.setattr(Lake, "open", lambda *_, place=place, **__: place)
        fate = Fate(point)
        with mortal_lake(place, fate):
            try:
                functions.landing(event, None)
            except Killed:
                pass
            else:
                break
        assert failures(functions.landing(event, None)) == []
        assert now_rows(place) == now_rows(source), point
        assert batches.landed(place.store).batches == []
    assert point > 10


def test_a_lake_of_an_api_takes_no_stream(published, lake):
    lake.claim("https://example.org/api")
    with pytest.raises(WrongLakeError, match="kinesis://flood-readings"):
        functions.landing(kinesis(published[1]), None)
    assert lake.windows(READINGS) == []


def notified(key="landing/acme/b1"):
    about = {"bucket": {"name": "lake"}, "object": {"key": key, "size": 1}}
    return json.dumps({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": about}]})


def pushed(lake, id_="b1", value=1.5):
    rows = Rows(["acme:weir"], [to_ms(at(9))], [value], [None])
    batch = Batch("acme", id_, "digest", NOW + 2 * QUARTER, 1, 0, rows)
    batches.land(lake.store, batch)


def test_what_s3_tells_of_is_ingested_whoever_fills_the_lake(lake):
    lake.claim("https://example.org/api")
    pushed(lake)
    answer = functions.landing(sqs([notified(), '{"Event": "s3:TestEvent"}', "poison"]), None)
    assert failures(answer) == ["059f36b4-87a3-44ab-83d2-000000000002"]
    assert (answer["batches"], answer["added"]) == (1, 1)
    assert batches.landed(lake.store).batches == []
    again = functions.landing(sqs([notified()]), None)
    assert (again["batches"], failures(again)) == (0, [])
    assert [row["value"] for row in now_rows(lake).values()] == [1.5]


def test_another_event_is_refused_with_what_to_do(lake):
    with pytest.raises(functions.StepsFailedError, match="let S3 tell a queue"):
        functions.landing({"Records": [{"eventSource": "aws:s3"}]}, None)
    with pytest.raises(functions.StepsFailedError, match="but of nothing"):
        functions.landing({}, None)


def test_under_the_runtime_of_lambda_failures_travel_back(published, lake, monkeypatch):
    pytest.importorskip("awslambdaric", reason="not installed: pip install awslambdaric")
    source, documents = published
    environ = {"FLOOD_LAKE_URL": lake.url, "FLOOD_NOW": (NOW + 3 * QUARTER).isoformat()}
    with function("landing", environ) as call:
        event = kinesis([*documents[:4], "%%%", *documents[4:]])
        bad = event["Records"][4]["kinesis"]["sequenceNumber"]
        assert call(event).result["batchItemFailures"] == [{"itemIdentifier": bad}]
        assert call({"Records": event["Records"][5:]}).result["batchItemFailures"] == []
        assert call({"Records": [{"eventSource": "aws:s3"}]}).error["errorType"] == "StepsFailedError"
    assert now_rows(lake) == now_rows(source)
