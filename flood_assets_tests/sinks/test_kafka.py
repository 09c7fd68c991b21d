"""Publish to Kafka, as librdkafka's mock cluster plays it in a process of its own."""

import json
import sys
import threading
from collections import defaultdict

import numpy as np
import pytest

from flood_assets import settings
from flood_assets.errors import SettingsError
from flood_assets.publish.events import Events
from flood_assets.publish.subscribe import subscribe
from flood_assets.schemas import READINGS
from flood_assets.sinks import kafka
from flood_assets.sinks.base import SinkError, name_of
from flood_assets.sinks.kafka import Kafka, config_of, topic_of
from flood_assets.sinks.opening import open_sink
from flood_assets_tests.support.kafka_process import (
    CUT_OFF,
    MSG_SIZE_TOO_LARGE,
    NOT_LEADER,
    POLICY_VIOLATION,
    PRODUCE,
    UNKNOWN_TOPIC,
    arrived,
    kafka_process,
)
from flood_assets_tests.support.lake_rows import NOW, at, fetched


@pytest.fixture(scope="module")
def cluster():
    with kafka_process(brokers=2) as found:
        yield found


@pytest.fixture
def url(cluster, name):
    return cluster.url(name)


@pytest.fixture
def opened():
    """Open sinks; what is to be confirmed is waited for as long as a slow machine takes."""
    made = []

    def sink(url, patience_s=120):
        made.append(Kafka(url, patience_s=patience_s))
        return made[-1]

    yield sink
    for each in made:
        each.close()


def test_each_event_is_a_message_whose_key_is_the_measure(url, opened, events):
    sent = events(1_100)
    assert opened(url).send(sent).confirmed.all()
    found = arrived(url)
    assert {m.key().decode(): json.loads(m.value()) for m in found} == {b["subject"]: b for b in sent.bodies()}
    assert {tuple(m.headers()) for m in found} == {(("content-type", b"application/cloudevents+json"),)}
    assert len({m.partition() for m in found}) == 4


@pytest.mark.parametrize("kind", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_messages_can_be_compressed_in_any_way(kind, url, opened, events):
    assert opened(f"{url}?compression.type={kind}").send(events(50)).confirmed.all()
    assert len(arrived(url)) == 50


def test_the_messages_of_a_measure_are_in_the_order_of_the_events(cluster, url, opened, lake):
    rows = [(f"m{number}", at(8, minute), 1.0) for minute in range(40) for number in range(7)]
    lake.upsert_readings(fetched(*rows), NOW, NOW)
    sent = Events(lake.read(READINGS, now=NOW), "https://example.org/api")
    # A request that fails by the way must not let the next one overtake it.
    cluster.fail(PRODUCE, NOT_LEADER, 0, CUT_OFF)
    assert opened(f"{url}?client.id=x").send(sent).confirmed.all()
    wanted, found = defaultdict(list), defaultdict(list)
    for body in sent.bodies():
        wanted[body["subject"]].append(body["id"])
    for message in arrived(url):
        found[message.key().decode()].append(json.loads(message.value())["id"])
    assert {key: list(dict.fromkeys(ids)) for key, ids in found.items()} == wanted


def test_an_event_that_is_too_large_is_refused_alone(url, opened, events, monkeypatch):
    sent = events(6)
    documents = sent.documents()
    documents[2] = b'"' + b"x" * 1_100_000 + b'"'
    monkeypatch.setattr(type(sent), "documents", lambda _self: documents)
    told = opened(url).send(sent)
    assert (told.confirmed.all(), told.trouble) == (True, "")
    assert {number: "too large" in reason for number, reason in told.refused.items()} == {2: True}
    assert len(arrived(url)) == 5


def test_a_request_that_is_too_large_is_sent_again_event_by_event(cluster, url, opened, events):
    """A broker that takes less than we send refuses it as a whole, and then the one that is too large by itself."""
    cluster.topic(topic_of(url), partitions=1)
    cluster.fail(PRODUCE, MSG_SIZE_TOO_LARGE, 0, MSG_SIZE_TOO_LARGE)
    told = opened(url).send(events(4))
    assert (told.confirmed.all(), list(told.refused), told.trouble) == (True, [1], "")
    assert len(arrived(url)) == 3


def test_what_fails_by_the_way_is_sent_again(cluster, url, opened, events):
    """A real broker drops what it has already from an idempotent producer, which the mock cluster does not."""
    sink = opened(url)
    cluster.fail(PRODUCE, NOT_LEADER, 0, CUT_OFF, NOT_LEADER, CUT_OFF)
    sent = events(400)
    assert sink.send(sent).confirmed.all()
    assert {m.key().decode() for m in arrived(url)} == set(sent.keys)


def test_only_what_a_broker_refused_is_not_confirmed(cluster, url, opened, events):
    sink = opened(url)
    sink.send(events(1))
    cluster.fail(PRODUCE, POLICY_VIOLATION)
    told = sink.send(events(400))
    assert 0 < told.confirmed.sum() < 400
    assert "(POLICY_VIOLATION)" in told.trouble
    assert not told.refused


def test_brokers_that_are_away_hold_nothing_up_and_get_the_rest_when_they_are_back(opened, events):
    with kafka_process() as cluster:
        url, sent = cluster.url("t"), events(300)
        sink, impatient = opened(url), opened(url, patience_s=0.5)
        assert sink.send(sent).confirmed.all()
        cluster.down()
        with pytest.raises(SinkError, match=r"Connection refused.*are the brokers running"):
            impatient.send(sent)
        cluster.up()
        impatient._patience_s = 120
        assert impatient.send(sent).confirmed.all()
        assert len(arrived(url)) == 600
        cluster.kill()
        impatient._patience_s = 0.5
        with pytest.raises(SinkError, match="are the brokers running"):
            impatient.send(sent)


def test_a_broker_that_is_back_soon_enough_is_waited_for(opened, events):
    with kafka_process() as cluster:
        url, sent, told = cluster.url("t"), events(300), []
        sink = opened(url)
        sink.send(sent.chosen(np.arange(300) < 1))
        cluster.down()
        thread = threading.Thread(target=lambda: told.append(sink.send(sent)))
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        cluster.up()
        thread.join()
        assert told[0].confirmed.all()
        assert len(arrived(url)) == 301


def test_a_topic_that_is_not_there_says_what_to_do(cluster, url, opened, events, monkeypatch):
    monkeypatch.setitem(kafka._WRITER, "topic.metadata.propagation.max.ms", 100)
    cluster.refuse_topic(topic_of(url), UNKNOWN_TOPIC)
    with pytest.raises(SinkError, match="create the topic, or correct the URL"):
        opened(url).send(events(1))
    with pytest.raises(SinkError, match="create the topic, or correct the URL"):
        list(subscribe(url, lambda: NOW, once=True))


def test_a_wrong_password_or_certificate_ends_at_once_and_is_not_shown(cluster, opened, events, tmp_path):
    """The cluster speaks no SASL, and refuses it as it refuses a password."""
    sink = Kafka(f"kafka://me:hidden@{cluster.brokers}/t?security.protocol=SASL_PLAINTEXT", patience_s=60)
    with pytest.raises(SinkError, match="check the name, the password") as error:
        sink.send(events(1))
    sink.close()
    assert "hidden" not in str(error.value)
    with pytest.raises(SinkError, match=r"check security.protocol and the files"):
        opened(f"kafka://{cluster.brokers}/t?security.protocol=SSL&ssl.ca.location={tmp_path}/none").send(events(1))


def test_without_its_package_it_says_which_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(SinkError, match=r"pip install 'flood-assets\[kafka\]'"):
        open_sink("kafka://localhost/t", lambda: NOW)


@pytest.mark.parametrize(
    ("url", "brokers", "topic"),
    [
        ("kafka://localhost/t", "localhost", "t"),
        ("kafka://a:9092,b.example.org:9093/flood.readings-1_x", "a:9092,b.example.org:9093", "flood.readings-1_x"),
        ("kafka://me:se%2Fcret@a:1,[::1]:2/t?client.id=x", "a:1,[::1]:2", "t"),
    ],
)
def test_a_url_names_brokers_and_a_topic(url, brokers, topic):
    assert (config_of(url, {})["bootstrap.servers"], topic_of(url)) == (brokers, topic)


@pytest.mark.parametrize(
    "url",
    [
        "kafka://localhost",
        "kafka://localhost/",
        "kafka://localhost/a/b",
        "kafka://localhost/..",
        "kafka:///topic",
        "kafka://a,/t",
        "kafka://a:port/t",
        "kafka://localhost/t#x",
        "kafka://me:hidden@a,me:hidden@b/t",
        "kafka://me:hidden@a/b/c?x=hidden",
        "kafka://me:12?hidden@a/t",
    ],
)
def test_another_url_is_refused_and_shows_no_password(url):
    with pytest.raises(SettingsError, match=r"expected kafka://localhost:9092/") as error:
        topic_of(url)
    assert "hidden" not in str(error.value)


@pytest.mark.parametrize("url", ["kafka://me:hid/den@a/t", "kafka://me:hid#den@a/t", "x://me:hid?den@h/?k=hidden"])
def test_a_password_that_is_not_written_as_it_should_be_is_not_shown(url):
    with pytest.raises(SettingsError) as error:
        settings.publishing({"FLOOD_PUBLISH": url})
    assert "hid" not in str(error.value)
    assert "FLOOD_PUBLISH has '...@" in str(error.value)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("sasl.password=hidden", "no option 'sasl.password': write them before the host, or set FLOOD_KAFKA_USERNAME"),
        ("acks=0", "no option 'acks': expected one of security.protocol, "),
        ("security.protocol=none", "security.protocol is 'none': expected PLAINTEXT or SSL or "),
        ("ssl.ca.location=", "ssl.ca.location is '': expected a text"),
        ("security.protocol=SASL_SSL", "SASL_SSL needs a name: set FLOOD_KAFKA_USERNAME and FLOOD_KAFKA_PASSWORD"),
    ],
)
def test_an_option_that_is_not_known_is_named_without_its_value(query, says):
    with pytest.raises(SettingsError) as error:
        config_of(f"kafka://a/t?{query}", {})
    assert says in str(error.value)
    assert "hidden" not in str(error.value)


def test_a_name_and_a_password_are_encrypted_unless_told_otherwise():
    environ = {"FLOOD_KAFKA_USERNAME": "me", "FLOOD_KAFKA_PASSWORD": "hidden"}
    keys = ("security.protocol", "sasl.mechanism", "sasl.username", "sasl.password")

    def login(url):
        found = config_of(url, environ)
        return tuple(found.get(key) for key in keys)

    assert login("kafka://a/t") == ("SASL_SSL", "PLAIN", "me", "hidden")
    assert login("kafka://you:p%40ss@a/t?sasl.mechanism=SCRAM-SHA-512") == ("SASL_SSL", "SCRAM-SHA-512", "you", "p@ss")
    assert login("kafka://a/t?security.protocol=SSL") == ("SSL", None, None, None)
    assert config_of("kafka://a/t", {})["security.protocol"] == "PLAINTEXT"


def test_readers_and_writers_each_take_their_own_options_of_one_url():
    url = "kafka://a/t?compression.type=gzip&group.id=mine&client.id=x"
    wrote, read = config_of(url, {}), config_of(url, {}, reads=True)
    assert (wrote["compression.type"], read["group.id"], wrote["client.id"]) == ("gzip", "mine", read["client.id"])
    assert "group.id" not in wrote
    assert "compression.type" not in read


def test_a_sink_is_the_same_whoever_its_user_is():
    assert name_of("kafka://me:hidden@a:1,b:2/t") == name_of("kafka://a:1,b:2/t")
    assert name_of("kafka://me:hidden@a:1,b:2/t").startswith("kafka-a-1-b-2-t-")
