"""Compare publishing with what the brokers' own clients reach with the same documents.

    python -m benchmarks.publishing --lake DIR --now ISO --rounds N

Ours is all of it: readings are read from the lake, made into events, sent and confirmed, and the cursor is moved. The
client alone sends documents that are ready: boto3 in a plain loop of puts of 500 records, or of items by as many
threads as we have, with our condition and (`plain`) without any; confluent-kafka with one function for all reports. The
brokers are moto and librdkafka's mock cluster, each in a process of its own. All take turns, and each turn has a
stream, table or topic of its own. Kafka gets the whole day, the others the newest readings, as in a tick.

Prints one line of JSON: for each turn its seconds, the CPU seconds of this process and those of the broker's. Where
other processes want the same cores, the sum of the latter two says more than the former.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pyarrow as pa

from flood_assets.lake.lake import Lake
from flood_assets.publish.events import Events
from flood_assets.publish.publisher import publish
from flood_assets.schemas import READINGS
from flood_assets.sinks import dynamodb
from flood_assets.sinks.aws import THREADS
from flood_assets.sinks.events import ONE
from flood_assets.sinks.kinesis import MOST_RECORDS
from flood_assets.sinks.opening import open_sink

# Who takes turns at each sink, and how many readings a turn has at most; None for the whole day.
SIDES = {"kafka": ("ours", "alone"), "kinesis": ("ours", "alone"), "dynamodb": ("ours", "alone", "plain")}
EVENTS = {"kafka": None, "kinesis": 5_000, "dynamodb": 1_000}


class Broker:
    """A broker in a process of its own, as the tests start it.

    Attributes:
        address: where it listens.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        # As POSIX's clock_getcpuclockid() makes it, which Python lacks.
        self._clock = ~process.pid << 3 | 2
        self.address = self._line()

    def cpu(self) -> float:
        """Return its CPU seconds until now."""
        return time.clock_gettime(self._clock)

    def tell(self, *words: str | int) -> None:
        """Tell librdkafka's mock cluster what to do."""
        if self._process.stdin is None:
            raise SystemExit("the broker takes no words")
        self._process.stdin.write(f"{json.dumps(words)}\n")
        self._process.stdin.flush()
        if (said := self._line()) != "done":
            raise SystemExit(said)

    def _line(self) -> str:
        return self._process.stdout.readline().strip() if self._process.stdout else ""


@contextmanager
def _broker(module: str, *arguments: str) -> Iterator[Broker]:
    command = [sys.executable, "-m", f"flood_assets_tests.support.{module}", *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield Broker(process)
        finally:
            process.kill()


class Place(NamedTuple):
    """A new stream, table or topic.

    Attributes:
        url: of our sink.
        others: send it documents by the client alone, by the name of the side.
    """

    url: str
    others: Mapping[str, Callable[[], None]]


class Ready(NamedTuple):
    """What is sent, ready-made."""

    keys: list[str]
    documents: list[bytes]
    items: list[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lake", type=Path, required=True)
    parser.add_argument("--now", type=datetime.fromisoformat, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sinks", default=",".join(SIDES))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        day = Lake.open(Path(folder) / "day")
        shutil.copytree(asked.lake, Path(folder) / "day", dirs_exist_ok=True)
        rows = day.read(READINGS, now=asked.now)
        told: dict[str, Any] = {}
        with _broker("s3_process") as moto, _broker("kafka_process", "1") as cluster:
            os.environ |= {"AWS_ENDPOINT_URL": moto.address, "AWS_DEFAULT_REGION": "eu-west-2"}
            os.environ |= {"AWS_ACCESS_KEY_ID": "flood", "AWS_SECRET_ACCESS_KEY": "flood-secret"}
            for sink in asked.sinks.split(","):
                lake, most = day, EVENTS[sink]
                if most:
                    lake = Lake.open(Path(folder) / sink)
                    lake.upsert_readings(_newest(rows, most), asked.now, asked.now)
                told[sink] = _compared(sink, lake, asked.now, asked.rounds, cluster if sink == "kafka" else moto)
    print(json.dumps(told))


def _compared(sink: str, lake: Lake, now: datetime, rounds: int, broker: Broker) -> dict[str, Any]:
    events = Events(lake.read(READINGS, now=now), lake.source() or "flood_assets")
    ready = Ready(events.keys, events.documents(), _items(events) if sink == "dynamodb" else [])
    told: dict[str, Any] = {"events": len(events)}
    sides = SIDES[sink]
    told |= {side: {"seconds": [], "cpu": [], "broker": []} for side in sides}
    makers: dict[str, Callable[[str], Place]] = {
        "kafka": lambda name: _topic(broker, name, ready),
        "kinesis": lambda name: _stream(name, ready),
        "dynamodb": lambda name: _table(name, ready),
    }
    for number in range(-1, rounds):
        for side in sides if number % 2 else sides[::-1]:
            place = makers[sink](f"{side}{number + 1}")
            send = place.others.get(side) or _ours(lake, place.url, now, len(events))
            clocks = {"seconds": time.perf_counter, "cpu": time.process_time, "broker": broker.cpu}
            begun = {name: clock() for name, clock in clocks.items()}
            send()
            for name, clock in clocks.items():
                told[side][name].append(clock() - begun[name])
    # The first round warms up both.
    return told | {side: {name: values[1:] for name, values in told[side].items()} for side in sides}


def _ours(lake: Lake, url: str, now: datetime, events: int) -> Callable[[], None]:
    sink = open_sink(url, lambda: now)

    def send() -> None:
        with closing(sink):
            done = publish(lake, sink, now)
        if (done.events, done.trouble) != (events, ""):
            raise SystemExit(f"{url}: {done}")

    return send


def _newest(rows: pa.Table, most: int) -> pa.Table:
    """Return the newest reading of so many gauges, as a fetch brings them."""
    newest = rows.group_by("measure_id").aggregate([("date_time", "max")]).rename_columns(["measure_id", "date_time"])
    found = newest.join(rows, ["measure_id", "date_time"]).sort_by("measure_id").slice(0, most)
    return found.select(["measure_id", "date_time", "value", "raw_value"])


def _topic(cluster: Broker, name: str, ready: Ready) -> Place:
    import confluent_kafka  # noqa: PLC0415 - an extra

    cluster.tell("topic_create", name, 4, 1)
    keys = [key.encode() for key in ready.keys]
    headers: dict[str, str | bytes | None] = {"content-type": ONE}

    producer = confluent_kafka.Producer(
        {
            "bootstrap.servers": cluster.address,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 0,
            "log_level": 0,
        }
    )

    def alone() -> None:
        failed: list[object] = []

        def reported(error: object, _: object) -> None:
            if error:
                failed.append(error)

        for key, document in zip(keys, ready.documents, strict=True):
            producer.produce(name, document, key, headers=headers, on_delivery=reported)
        if producer.flush(120) or failed:
            raise SystemExit(f"{name}: {failed[:1]}")

    return Place(f"kafka://{cluster.address}/{name}", {"alone": alone})


def _stream(name: str, ready: Ready) -> Place:
    client = boto3.client("kinesis")
    client.create_stream(StreamName=name, ShardCount=4)
    records = [{"Data": data, "PartitionKey": key} for key, data in zip(ready.keys, ready.documents, strict=True)]

    def alone() -> None:
        for start in range(0, len(records), MOST_RECORDS):
            answer = client.put_records(StreamName=name, Records=records[start : start + MOST_RECORDS])
            if answer["FailedRecordCount"]:
                raise SystemExit(f"{name}: {answer}")

    return Place(f"kinesis://{name}", {"alone": alone})


def _table(name: str, ready: Ready) -> Place:
    client = boto3.client("dynamodb")
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "measure_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "measure_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )

    def put(item: dict[str, Any], **condition: Any) -> None:
        client.put_item(TableName=name, Item=item, **condition)

    def newest(item: dict[str, Any]) -> None:
        put(item, ConditionExpression=dynamodb.NEWER, ExpressionAttributeValues={":key": item["order_key"]})

    def by_threads(put: Callable[[dict[str, Any]], None]) -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(put, ready.items):
                pass

    return Place(f"dynamodb://{name}", {"alone": partial(by_threads, newest), "plain": partial(by_threads, put)})


def _items(events: Events) -> list[dict[str, Any]]:
    times = events.rows["date_time"].cast("int64").to_pylist()
    rows = zip(events.bodies(), times, events.changed.tolist(), strict=True)
    return [dynamodb.item(body["data"], time_ms, changed_ms) for body, time_ms, changed_ms in rows]


if __name__ == "__main__":
    main()
