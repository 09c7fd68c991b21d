"""Run librdkafka's mock cluster as a process: `python -m flood_assets_tests.support.kafka_process`.

It speaks Kafka's protocol to any client, and does to them what it is told on its standard input: brokers go away and
come back, requests fail. confluent-kafka's Python has no words for that, so librdkafka is called in C.
"""

import ctypes
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

# Numbers of Kafka's protocol.
PRODUCE = 0
UNKNOWN_TOPIC, NOT_LEADER, MSG_SIZE_TOO_LARGE, POLICY_VIOLATION = 3, 6, 10, 44
# librdkafka's own: the connection ends without an answer.
CUT_OFF = -195
_PRODUCER = 0


class Cluster:
    """A running cluster.

    Attributes:
        brokers: their addresses, with commas between.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.brokers = self._answer()

    def url(self, topic: str, options: str = "") -> str:
        return f"kafka://{self.brokers}/{topic}{options}"

    def topic(self, name: str, partitions: int) -> None:
        """Make a topic."""
        self._do("topic_create", name, partitions, 1)

    def refuse_topic(self, name: str, error: int) -> None:
        """Answer questions for a topic with an error."""
        self._do("topic_set_error", name, error)

    def fail(self, request: int, *errors: int) -> None:
        """Answer the next requests of a kind with these errors; 0 for none."""
        self._do("push_request_errors_array", request, len(errors), list(errors))

    def down(self, broker: int = 1) -> None:
        """End a broker's connections and take no more."""
        self._do("broker_set_down", broker)

    def up(self, broker: int = 1) -> None:
        """Take connections again; what the broker had it still has."""
        self._do("broker_set_up", broker)

    def kill(self) -> None:
        """End the whole cluster."""
        self._process.kill()

    def _do(self, name: str, *arguments: Any) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{json.dumps([name, *arguments])}\n")
        self._process.stdin.flush()
        assert self._answer() == "done"

    def _answer(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()


@contextmanager
def kafka_process(brokers: int = 1) -> Iterator[Cluster]:
    """Start a cluster; a topic that is written to is made, with four partitions."""
    command = [sys.executable, "-m", __name__, str(brokers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Cluster(process)
        finally:
            process.kill()


def arrived(url: str) -> list[Any]:
    """Return all messages of a topic, read as any consumer does."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition  # noqa: PLC0415 - an extra

    consumer = Consumer({"bootstrap.servers": url.split("/")[2], "group.id": "tests", "enable.partition.eof": True})
    topic, found = url.rpartition("/")[2].partition("?")[0], list[Any]()
    left = set(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in left])
    while left:
        for message in consumer.consume(500, timeout=0.1):
            if message.error() is None:
                found.append(message)
            elif message.error().code() == KafkaError._PARTITION_EOF:
                left.discard(message.partition())
    consumer.close()
    return found


def _serve(brokers: int) -> None:
    place = next(
        file for file in metadata.files("confluent-kafka") or [] if re.match(r"librdkafka\b.*\.(so|dylib)", file.name)
    )
    library = ctypes.CDLL(str(place.locate()))
    for name in ("conf_new", "new", "mock_cluster_new"):
        getattr(library, f"rd_kafka_{name}").restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    why = ctypes.create_string_buffer(512)
    settings = ctypes.c_void_p(library.rd_kafka_conf_new())
    library.rd_kafka_conf_set(settings, b"log_level", b"0", why, len(why))
    client = ctypes.c_void_p(library.rd_kafka_new(_PRODUCER, settings, why, len(why)))
    cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(client, brokers))
    print(library.rd_kafka_mock_cluster_bootstraps(cluster).decode(), flush=True)
    # Whatever happens to the tests' process, the cluster ends with it.
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        found = getattr(library, f"rd_kafka_mock_{name}")(cluster, *map(_in_c, arguments))
        print("done" if not found or name == "push_request_errors_array" else f"{name} failed: {found}", flush=True)


def _in_c(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode()
    return (ctypes.c_int * len(value))(*value) if isinstance(value, list) else value


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
