"""Run librdkafka's mock cluster as a process: `python -m flood_assets_tests.support.kafka_mock`.

It speaks Kafka's protocol to any client on a port of 127.0.0.1. A topic that is written to is made, with four
partitions.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kafka_mock() -> Iterator[str]:
    """Start a cluster of one broker, and give its address."""
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def _serve() -> None:
    from confluent_kafka import Producer  # noqa: PLC0415 - an extra

    producer = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": "0"})
    (broker,) = producer.list_topics(timeout=10).brokers.values()
    print(f"{broker.host}:{broker.port}", flush=True)
    # Whatever happens to the tests' process, the cluster ends with it.
    sys.stdin.read()


if __name__ == "__main__":
    _serve()
