"""Read a Kafka topic: all partitions, from the offset of each on.

There is no consumer group, so nothing is rebalanced and nothing is committed: offsets are in the lake's checkpoint, and
each consumer reads all partitions. A fetch waits at the broker for half a second while nothing comes.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flood_assets.consume.stream import Portion, Position, Record, Stream
from flood_assets.sinks.base import SinkError
from flood_assets.sinks.kafka import AWAY, explained, is_final, open_consumer, partitions_of, shown, told, topic_of

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

MOST = 10_000
# Seconds after which a read returns what has come, and without a word of any broker after which they are away.
WITHIN_S, ONCE_S, PATIENCE_S = 1.0, 0.2, 30.0
# Partitions are listed again so often, as some may be added.
LISTED_S = 60.0


class KafkaStream(Stream):
    """`kafka://host:port/topic`, of several brokers with commas between.

    Args:
        url: of the topic.
        once: list the partitions again when all are drained, so that added ones are read too.
    """

    def __init__(self, url: str, *, once: bool = False) -> None:
        super().__init__(shown(url))
        self._topic, self._once = topic_of(url), once
        self._consumer = open_consumer(
            url,
            # An offset that is gone is an error here: what is lost is to be told.
            {"enable.partition.eof": True, "auto.offset.reset": "error", "error_cb": self._heard},
        )
        self._positions: dict[str, Position] = {}
        self._left = set[int]()
        self._known = set[int]()
        self._listed = self._answered = time.monotonic()
        self._down = False
        self._final: KafkaError | None = None
        with self._explained():
            partitions_of(self._consumer, self._topic)

    def seek(self, positions: Mapping[str, Position], *, newest: bool = False) -> None:  # noqa: D102
        self._positions = dict(positions)
        with self._explained():
            self._consumer.unassign()
            self._known = set()
            self._assign(partitions_of(self._consumer, self._topic), newest=newest)

    def read(self) -> list[Portion]:  # noqa: D102
        if (self._once and self.drained) or time.monotonic() - self._listed > LISTED_S:
            with self._explained():
                listed = partitions_of(self._consumer, self._topic)
                self._assign(sorted(set(listed) - self._known))
        by_partition = dict[int, list[Record]]()
        for message in self._consumer.consume(MOST, timeout=ONCE_S if self._once else WITHIN_S):
            self._answered, self._down = time.monotonic(), False
            self._take(message, by_partition)
        if self._down and time.monotonic() - self._answered > PATIENCE_S:
            with self._explained():
                raise SinkError(f"{self.url}: no broker answers for {PATIENCE_S:.0f} s: {AWAY}")
        portions = [self._portion(partition, records) for partition, records in sorted(by_partition.items())]
        self._positions |= {each.place: each.position for each in portions if each.position}
        return portions

    @property
    def drained(self) -> bool:  # noqa: D102
        return not self._left

    def close(self) -> None:  # noqa: D102
        self._consumer.close()

    def _take(self, message: "Message", by_partition: dict[int, list[Record]]) -> None:
        from confluent_kafka import KafkaError, KafkaException  # noqa: PLC0415 - an extra

        partition, error = message.partition() or 0, message.error()
        if error is None:
            self._left.add(partition)
            by_partition.setdefault(partition, []).append(Record(str(message.offset()), message.value() or b""))
        elif error.code() == KafkaError._PARTITION_EOF:
            self._left.discard(partition)
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            # The topic was trimmed while it was read.
            records = by_partition.get(partition)
            if records:
                self._positions[str(partition)] = self._portion(partition, records).position or Position()
            with self._explained():
                self._assign([partition])
        else:
            with self._explained():
                raise KafkaException(error)

    def _assign(self, partitions: Sequence[int], *, newest: bool = False) -> None:
        """Begin to read partitions, each where it was left, or with its oldest message."""
        from confluent_kafka import TopicPartition  # noqa: PLC0415 - an extra

        self._listed = time.monotonic()
        for partition in partitions:
            place = TopicPartition(self._topic, partition)
            first, end = self._consumer.get_watermark_offsets(place, timeout=10)
            after = self._positions.get(str(partition), Position()).after
            at = int(after) + 1 if after else end if newest else first
            named = f"partition {partition} of {self.url}"
            if at < first:
                self.lost.append(
                    f"{named} begins at {first:,}, and was read up to {at:,}: {first - at:,} messages are lost"
                )
                at = first
            elif at > end:
                self.lost.append(f"{named} ends at {end:,}, before {at:,}: it was made anew, and is read again")
                at = first
            if partition in self._known:
                self._consumer.incremental_unassign([place])
            self._consumer.incremental_assign([TopicPartition(self._topic, partition, at)])
            self._known.add(partition)
            self._left.add(partition)

    def _portion(self, partition: int, records: Sequence[Record]) -> Portion:
        return Portion(str(partition), records, Position(records[-1].id))

    def _heard(self, error: "KafkaError") -> None:
        self._down = self._down or error.name() == "_ALL_BROKERS_DOWN"
        self._final = error if is_final(error) else self._final

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn an error of librdkafka into a SinkError.

        A wrong password it tells to the callback only, and what was asked for just times out.
        """
        try:
            with explained(self.url):
                yield
        except SinkError:
            self._consumer.poll(0)
            if self._final is not None:
                raise SinkError(told(self.url, self._final)) from None
            raise
