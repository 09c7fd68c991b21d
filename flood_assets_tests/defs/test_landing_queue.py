"""The sensor reads the queue that S3 tells of new batches: with moto's S3, SNS and SQS, and with Dagster's daemon."""

import itertools
import time
import uuid
from datetime import timedelta

import boto3
import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.sensor import SensorLaunchContext

from flood_assets.defs.resources import LakeResource
from flood_assets.defs.sensors import LISTED_EVERY, Seen, landing_sensor
from flood_assets.landing import batches
from flood_assets.landing.ingest import ingest
from flood_assets.landing.objects import DEAD
from flood_assets.landing.objects import Place as BatchPlace
from flood_assets.query.status import look as look_at
from flood_assets_tests.conftest import HOUR, NOW, Place
from flood_assets_tests.landing.test_ingest_proofs import KilledError
from flood_assets_tests.support.daemon import Daemon, open_daemon
from flood_assets_tests.support.pushing import batch_of
from flood_assets_tests.support.s3 import REGION, S3Server, s3_server  # noqa: F401 - a fixture

SECOND = timedelta(seconds=1)


class Told:
    """A place whose lake is in a bucket that tells a queue of each object in `landing/`."""

    def __init__(self, place: Place, server: S3Server, *, through_sns: bool = False) -> None:
        self.place, self.cursor = place, None
        self.sqs, s3, sns = (
            boto3.client(
                name, endpoint_url=server.endpoint_url, region_name=REGION, aws_access_key_id="flood",
                aws_secret_access_key="flood-secret",
            )
            for name in ("sqs", "s3", "sns")
        )  # fmt: skip
        self.name = f"landing-{uuid.uuid4().hex}"
        self.queue = self.sqs.create_queue(QueueName=self.name, Attributes={"VisibilityTimeout": "2"})["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        s3.create_bucket(Bucket=self.name, CreateBucketConfiguration={"LocationConstraint": REGION})
        prefix = "a/lake"
        told = {"Events": ["s3:ObjectCreated:*"]}
        told["Filter"] = {"Key": {"FilterRules": [{"Name": "prefix", "Value": f"{prefix}/landing/"}]}}
        if through_sns:
            topic = sns.create_topic(Name=self.name)["TopicArn"]
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
            told = {"TopicConfigurations": [{"TopicArn": topic, **told}]}
        else:
            told = {"QueueConfigurations": [{"QueueArn": arn, **told}]}
        s3.put_bucket_notification_configuration(Bucket=self.name, NotificationConfiguration=told)
        self.resource = LakeResource(url=f"s3://{self.name}/{prefix}")
        self.lake = self.resource.open()

    def land(self, id_: str, value: float = 1.0) -> None:
        batches.land(self.lake.store, batch_of("a@b", id_, [("a@b:weir", NOW - HOUR, value)], NOW))

    def waiting(self) -> int:
        """Number of messages in the queue, seen or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)["Attributes"]
        return sum(map(int, found.values()))

    def purge(self) -> None:
        """Lose all messages."""
        self.sqs.purge_queue(QueueUrl=self.queue)

    def tick_again(self) -> str:
        """Look until what was received before comes again."""
        for _ in range(40):
            reason = self.tick()
            if reason != "no batch waits":
                return reason
        raise AssertionError("the message did not come again")

    def tick(self, *, dies: bool = False) -> str:
        """Let the sensor look; return its reason. A daemon that dies stores neither request nor cursor."""
        context = dg.build_sensor_context(
            instance=self.place.instance,
            resources={"lake": self.resource, "clock": self.place.clock},
            repository_def=self.place.defs.get_repository_def(),
            cursor=self.cursor,
        )
        data = landing_sensor.evaluate_tick(context)
        if not dies:
            self.cursor = data.cursor
        return data.run_requests[0].tags["flood_assets/reason"] if data.run_requests else data.skip_message


@pytest.fixture(params=[False])
def told(place, s3_server, request, monkeypatch):  # noqa: F811 - the fixture
    for name, value in s3_server.environ.items():
        monkeypatch.setenv(name, value)
    found = Told(place, s3_server, through_sns=request.param)
    monkeypatch.setenv("FLOOD_LANDING_QUEUE", f"sqs://{found.name}")
    place.at(NOW)
    return found


def test_a_batch_is_told_and_its_message_deleted_once_the_request_is_stored(told, monkeypatch):
    assert told.tick() == "no batch waits", "the first look lists, and the message of S3's own test tells of none"
    told.tick()
    assert told.waiting() == 0
    told.land("one")
    with monkeypatch.context() as patch:
        patch.setattr(batches, "landed", None)  # nothing is listed
        assert told.tick(dies=True) == "1 batch or upload to ingest"
        assert told.waiting() == 1, "a daemon that dies before its request is stored loses nothing"
        assert told.tick_again() == "1 batch or upload to ingest"
        assert told.waiting() == 1
        run = create_run_for_test(told.place.instance, job_name="landing_job", status=dg.DagsterRunStatus.STARTED)
        assert told.tick() == f"ingestion {run.run_id} has not finished"
        assert told.waiting() == 0
        # One that lands now is told when the run has ended; it may have been ingested by then, or not.
        told.land("two", 2.0)
        assert told.tick() == f"ingestion {run.run_id} has not finished"
        assert told.waiting() == 1
        told.place.instance.delete_run(run.run_id)
        assert told.tick() == "1 batch or upload to ingest"
        told.land("three", 3.0)
    ingest(told.lake, NOW)
    assert told.tick() == "no batch waits", "what the run has ingested needs no other"
    told.tick()
    assert told.waiting() == 0
    states = [batches.find(told.lake.store, BatchPlace.of("a@b", id_)).state for id_ in ("one", "two", "three")]
    assert states == ["ingested"] * 3


@pytest.mark.parametrize("told", [True], indirect=True)
def test_a_batch_is_told_through_sns(told):
    told.land("one")
    assert told.tick() == "1 batch or upload to ingest"
    ingest(told.lake, NOW)
    told.tick()
    told.tick()
    assert told.waiting() == 0


def test_what_no_message_told_of_is_found_by_a_listing_every_few_minutes(told):
    told.tick()
    told.land("one")
    told.purge()
    assert told.tick() == "no batch waits"
    told.place.at(NOW + LISTED_EVERY)
    assert told.tick() == "1 batch to ingest"


def test_a_message_that_is_not_understood_is_put_aside_and_told(told):
    told.tick()
    told.sqs.send_message(QueueUrl=told.queue, MessageBody="hello")
    told.land("one")
    assert told.tick() == "1 batch or upload to ingest, 1 message not understood"
    told.tick()
    assert told.waiting() == 0
    (kept,) = told.lake.store.list(DEAD)
    assert told.lake.store.read(kept.key).data.to_pybytes() == b"hello"
    ingest(told.lake, NOW)
    (fault,) = (each for each in look_at(told.lake, NOW).faults if DEAD in each)
    assert fault.startswith("1 pushed batch or message of the last 24 hours could not be read")
    assert "failed" not in fault


def test_a_queue_that_is_away_is_a_reason_and_its_handles_stay(told, monkeypatch):
    told.tick()
    told.land("one")
    assert told.tick() == "1 batch or upload to ingest"
    handles = Seen.of(told.cursor).handles
    assert len(handles) == 1
    monkeypatch.setenv("FLOOD_LANDING_QUEUE", "sqs://no-such-queue")
    assert "sqs://no-such-queue cannot be read: " in told.tick()
    assert Seen.of(told.cursor).handles == handles
    monkeypatch.setenv("FLOOD_LANDING_QUEUE", "https://queue")
    assert "FLOOD_LANDING_QUEUE is 'https://queue': expected" in told.tick()


def test_a_strange_cursor_says_nothing():
    for cursor in (None, "", "x", "[]", "7", '{"handles": 7}', '{"listed_at": "x"}'):
        assert Seen.of(cursor) == Seen()
    assert Seen.of(Seen(7, ("a",)).text) == Seen(7, ("a",))


@pytest.mark.slow
def test_a_daemon_that_dies_before_it_has_stored_its_request_loses_nothing(told, place, tmp_path, monkeypatch):
    moments = (NOW + number * 15 * SECOND for number in itertools.count())
    url, clock = place.environ["FLOOD_API_URL"], place.server.set_clock
    with open_daemon(tmp_path / "home", url, told.resource.url, clock) as daemon:
        daemon.sensors(next(moments))
        told.land("one")

        def die(*_: object, **__: object) -> None:
            raise KilledError

        with monkeypatch.context() as patch:
            patch.setattr(SensorLaunchContext, "set_run_requests", die)
            with pytest.raises(KilledError):
                daemon.sensors(next(moments))
        assert (landings(daemon), told.waiting()) == ([], 1)
        daemon.restart()
        for _ in range(40):
            daemon.sensors(next(moments))
            if landings(daemon):
                break
            time.sleep(0.25)  # until the queue shows the message again
        assert landings(daemon) == [dg.DagsterRunStatus.SUCCESS]
        assert batches.find(told.lake.store, BatchPlace.of("a@b", "one")).state == "ingested"
        assert told.waiting() == 1, "it is deleted by the look after the one that requested the run"
        daemon.sensors(next(moments))
        daemon.sensors(next(moments))
        assert (len(landings(daemon)), told.waiting()) == (1, 0)


def landings(daemon: Daemon) -> list[dg.DagsterRunStatus]:
    """Return the states of the runs that ingest."""
    return [run.status for run in daemon.runs() if run.job_name == "landing_job"]
