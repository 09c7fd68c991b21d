"""`flood-assets subscribe` prints what was published."""

import json
import socket
import threading

import pytest
import requests
from click.testing import CliRunner

from flood_assets.cli.main import main
from flood_assets.errors import SettingsError
from flood_assets.publish.subscribe import subscribe
from flood_assets.sinks.base import SinkError
from flood_assets.sinks.opening import open_sink
from flood_assets.sinks.webhook import Webhook
from flood_assets_tests.support.kafka_process import kafka_process
from flood_assets_tests.support.lake_rows import HOUR, NOW


def printed(*words):
    result = CliRunner().invoke(main, ["subscribe", *words])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.output.splitlines()]


def by_subject(bodies):
    return sorted(bodies, key=lambda body: body["subject"])


def test_it_prints_what_is_in_a_stream(aws, name, events):
    aws("kinesis").create_stream(StreamName=name, ShardCount=3)
    sink, sent = open_sink(f"kinesis://{name}", lambda: NOW), events(50)
    sink.send(sent)
    sink.close()
    assert by_subject(printed(f"kinesis://{name}", "--once")) == by_subject(sent.bodies())


def test_it_prints_what_is_in_a_queue_once(aws, name, events):
    aws("sqs").create_queue(QueueName=name)
    sink, sent = open_sink(f"sqs://{name}", lambda: NOW), events(25)
    sink.send(sent)
    sink.close()
    assert by_subject(printed(f"sqs://{name}", "--once")) == by_subject(sent.bodies())
    assert printed(f"sqs://{name}", "--once") == []


def test_it_prints_what_is_in_a_topic(events):
    with kafka_process() as cluster:
        sink, sent = open_sink(cluster.url("t"), lambda: NOW), events(50)
        sink.send(sent)
        sink.close()
        assert by_subject(printed(cluster.url("t"), "--once")) == by_subject(sent.bodies())


def test_it_prints_what_arrives_in_a_topic_from_now_on(events):
    with kafka_process() as cluster:
        sink, sent, taken = open_sink(cluster.url("t"), lambda: NOW), events(3), []
        sink.send(sent)
        arriving = subscribe(cluster.url("t"), lambda: NOW)
        thread = threading.Thread(target=lambda: taken.append(next(arriving)))
        thread.start()
        # Whoever follows begins at the end, whenever that is.
        while thread.is_alive():
            sink.send(sent)
            thread.join(0.2)
        arriving.close()
        sink.close()
    assert taken[0] in sent.bodies()


@pytest.fixture
def url():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return f"http://127.0.0.1:{port}/"


@pytest.fixture
def listening(url):
    """Listen with a secret, until one request was taken."""
    taken = []
    thread = threading.Thread(target=lambda: taken.extend(subscribe(url, lambda: NOW, secret="s", once=True)))
    thread.start()
    # The server answers once it listens; a GET is no event.
    while True:
        try:
            requests.get(url, timeout=5)
        except requests.ConnectionError:
            continue
        break
    return url, taken, thread


def test_a_webhook_takes_what_is_signed_and_refuses_the_rest(listening, events):
    url, taken, thread = listening
    sent = events(3)
    for secret, now in ((None, NOW), ("other", NOW), ("s", NOW - HOUR)):
        sink = Webhook(url, lambda now=now: now, secret=secret, pause_s=0)
        with pytest.raises(SinkError, match="answered 401"):
            sink.send(sent)
        sink.close()
    sink = Webhook(url, lambda: NOW, secret="s", pause_s=0)
    assert sink.send(sent).confirmed.all()
    sink.close()
    thread.join()
    assert taken == sent.bodies()


def test_what_cannot_be_subscribed_to_is_named():
    with pytest.raises(SettingsError, match="'eventbridge://x' cannot be subscribed to: expected kinesis") as error:
        subscribe("eventbridge://me:hidden@x?token=hidden", lambda: NOW)
    assert "hidden" not in str(error.value)
    with pytest.raises(SettingsError, match="'dynamodb://x' cannot be subscribed to"):
        subscribe("dynamodb://x", lambda: NOW)
    with pytest.raises(SettingsError, match="expected URLs"):
        subscribe("nothing", lambda: NOW)


def test_a_port_that_is_taken_is_named(url):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{port}"):
            next(subscribe(f"http://127.0.0.1:{port}/", lambda: NOW))
