"""Read an SQS queue, and delete its messages once they are safe.

A request every five seconds while nothing comes: each waits for the next message.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from flood_assets.consume.stream import Portion, Position, Record, Stream
from flood_assets.lake.pipeline import all_of
from flood_assets.sinks import aws
from flood_assets.sinks.sqs import queue_url

logger = logging.getLogger("flood_assets.consume")

# Messages of a portion, and seconds in which they are received: a message that is not deleted within the queue's
# visibility timeout, 30 s as a rule, comes again.
MOST, WITHIN_S = 1000, 5.0
WAIT_S = 5
_EACH = 10


class SqsStream(Stream):
    """`sqs://queue` or `sqs://host/account/queue`.

    Args:
        url: of the queue.
        once: wait a second for a message, and not longer.
    """

    rereads = False

    def __init__(self, url: str, *, once: bool = False) -> None:
        super().__init__(url)
        self._client = aws.client("sqs")
        self._queue = queue_url(self._client, url)
        # Less than a second would ask some of SQS's servers only, and find nothing where something is.
        self._wait_s = 1 if once else WAIT_S
        self._handles: dict[str, str] = {}
        self._bodies: dict[str, bytes] = {}
        self._drained = False

    def seek(self, positions: Mapping[str, Position], *, newest: bool = False) -> None:
        """Do nothing: a queue has what nobody has deleted."""

    def read(self) -> list[Portion]:  # noqa: D102
        begun, bodies = time.monotonic(), dict[str, bytes]()
        new = self._received(1, self._wait_s)
        while new and not bodies.keys() >= set(new):
            bodies |= {each: self._bodies[each] for each in new}
            if len(bodies) >= MOST or time.monotonic() - begun > WITHIN_S:
                break
            new = self._received(aws.THREADS if len(new) >= _EACH else 1, 0)
        self._drained = not bodies
        self._bodies = {}
        return [Portion("queue", [Record(id_, data) for id_, data in bodies.items()])] if bodies else []

    @property
    def drained(self) -> bool:  # noqa: D102
        return self._drained

    def confirm(self, portions: Sequence[Portion]) -> None:
        """Delete the messages; one that cannot be deleted comes again, and changes nothing then."""
        ids = [record.id for portion in portions for record in portion.records]

        def delete(some: Sequence[str]) -> None:
            entries = [{"Id": str(n), "ReceiptHandle": self._handles[id_]} for n, id_ in enumerate(some)]
            with aws.explained(self.url):
                answer = self._client.delete_message_batch(QueueUrl=self._queue, Entries=entries)
            if failed := answer.get("Failed"):
                logger.info("%s: %d messages were not deleted and come again", self.url, len(failed))

        tens = [ids[start : start + _EACH] for start in range(0, len(ids), _EACH)]
        all_of(delete, tens, aws.THREADS)
        self._handles = {}

    def close(self) -> None:  # noqa: D102
        self._client.close()

    def _received(self, requests: int, wait_s: int) -> list[str]:
        """Receive up to ten messages with each of some requests at once; return their ids, in the queue's order."""

        def receive(_number: int) -> list[dict[str, Any]]:
            with aws.explained(self.url):
                answer = self._client.receive_message(
                    QueueUrl=self._queue, MaxNumberOfMessages=_EACH, WaitTimeSeconds=wait_s
                )
            found: list[dict[str, Any]] = answer.get("Messages", [])
            return found

        messages = [each for some in all_of(receive, range(requests), requests) for each in some]
        self._handles |= {each["MessageId"]: each["ReceiptHandle"] for each in messages}
        self._bodies |= {each["MessageId"]: each["Body"].encode() for each in messages}
        return [each["MessageId"] for each in messages]
