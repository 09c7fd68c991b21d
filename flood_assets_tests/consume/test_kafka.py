"""Read a Kafka topic of librdkafka's mock cluster: all partitions, from the offset of each on."""

from contextlib import closing

import pytest

from flood_assets.consume import kafka
from flood_assets.consume.opening import open_stream
from flood_assets.consume.stream import Position
from flood_assets.errors import SettingsError
from flood_assets.sinks.base import SinkError
from flood_assets_tests.support.kafka_process import kafka_process
from flood_assets_tests.support.lake_rows import NOW

confluent_kafka = pytest.importorskip("confluent_kafka")


@pytest.fixture(scope="module")
def broker():
    with kafka_process() as found:
        yield found.brokers


@pytest.fixture
def topic(broker, request):
    """A topic, and a way to write to it."""
    name = f"topic-{abs(hash(request.node.name))}"
    producer = confluent_kafka.Producer({"bootstrap.servers": broker, "log_level": "0"})

    def put(*texts, partition=None):
        for text in texts:
            where = {} if partition is None else {"partition": partition}
            producer.produce(name, text.encode(), text.encode(), **where)
        assert producer.flush(20) == 0

    put("first", partition=0)
    return f"kafka://{broker}/{name}", put


def opened(url, positions=None, *, newest=False):
    stream = open_stream(url, lambda: NOW, once=True)
    stream.seek(positions or {}, newest=newest)
    return stream


def drained(stream):
    found, positions = [], {}
    while True:
        portions = stream.read()
        for portion in portions:
            found += [(portion.place, record.id, record.data.decode()) for record in portion.records]
            positions[portion.place] = portion.position
        if stream._once and not portions and stream.drained:
            return found, positions


def test_all_partitions_are_read_from_their_beginning_and_then_on(topic):
    url, put = topic
    for partition in range(4):
        put(*(f"{partition}-{n}" for n in range(50)), partition=partition)
    with closing(opened(url)) as stream:
        found, positions = drained(stream)
        assert [text for place, _, text in found if place == "2"] == [f"2-{n}" for n in range(50)]
        assert len(found) == 201
        assert positions == {"0": Position("50"), **{place: Position("49") for place in "123"}}
        put("more", partition=3)
        assert drained(stream)[0] == [("3", "50", "more")]
    with closing(opened(url, positions)) as stream:
        assert drained(stream)[0] == [("3", "50", "more")]
        assert stream.take_lost() == []


def test_a_topic_that_was_made_anew_is_told_and_read_from_its_beginning(topic):
    url, _ = topic
    with closing(opened(url, {"0": Position("99")})) as stream:
        (told,) = stream.take_lost()
        assert f"partition 0 of {url} ends at 1, before 100: it was made anew" in told
        assert [text for *_, text in drained(stream)[0]] == ["first"]


def test_messages_that_were_kept_too_short_are_counted(topic, monkeypatch):
    url, put = topic
    put(*"abcdef", partition=0)
    with closing(open_stream(url, lambda: NOW, once=True)) as stream:
        # The mock cluster keeps everything: only what it says of its first offset is changed.
        real = stream._consumer

        class Trimmed:
            def __getattr__(self, name):
                return getattr(real, name)

            def get_watermark_offsets(self, place, **more):
                first, end = real.get_watermark_offsets(place, **more)
                return (5 if place.partition == 0 else first), end

        monkeypatch.setattr(stream, "_consumer", Trimmed())
        stream.seek({"0": Position("1")})
        (told,) = stream.take_lost()
        assert f"partition 0 of {url} begins at 5, and was read up to 2: 3 messages are lost" in told
        assert [text for *_, text in drained(stream)[0]] == ["e", "f"]


def test_an_offset_that_goes_while_it_is_read_is_told(topic):
    url, put = topic
    put(*"abc", partition=0)
    with closing(opened(url)) as stream:
        _, positions = drained(stream)
        place = confluent_kafka.TopicPartition(url.rpartition("/")[2], 0, 77)
        stream._consumer.incremental_unassign([place])
        stream._consumer.incremental_assign([place])
        assert drained(stream)[0] == []
        put("d", partition=0)
        assert drained(stream)[0] == [("0", "4", "d")]
        assert positions["0"] == Position("3")


def test_following_from_now_on_leaves_out_what_was(topic):
    url, put = topic
    with closing(opened(url, newest=True)) as stream:
        assert drained(stream)[0] == []
        put("new", partition=0)
        assert drained(stream)[0] == [("0", "1", "new")]


def test_a_message_without_a_value_is_one(topic):
    url, _ = topic
    producer = confluent_kafka.Producer({"bootstrap.servers": url.split("/")[2], "log_level": "0"})
    producer.produce(url.rpartition("/")[2], None, b"key", 0)
    producer.flush(20)
    with closing(opened(url)) as stream:
        assert [data for *_, data in drained(stream)[0]] == ["first", ""]


def test_what_cannot_be_read_is_named(broker, monkeypatch):
    with pytest.raises(SinkError, match=f"kafka://{broker}/nothing: .*create the topic, or correct the URL"):
        open_stream(f"kafka://{broker}/nothing", lambda: NOW)
    with pytest.raises(SettingsError, match="'kafka://host' names no topic: expected kafka://localhost:9092/"):
        open_stream("kafka://user:secret@host", lambda: NOW)


def test_brokers_that_go_away_are_told_after_a_while(monkeypatch):
    monkeypatch.setattr(kafka, "PATIENCE_S", 0.5)
    with kafka_process() as cluster:
        gone = cluster.brokers
        producer = confluent_kafka.Producer({"bootstrap.servers": gone, "log_level": "0"})
        producer.produce("t", b"x")
        assert producer.flush(20) == 0
        stream = open_stream(f"kafka://{gone}/t", lambda: NOW)
        stream.seek({})
        assert len(stream.read()) == 1
    with pytest.raises(SinkError, match="are the brokers running"):
        drained(stream)
    stream.close()
