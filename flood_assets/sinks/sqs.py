"""Send to an SQS queue: one message for each event.

In a FIFO queue the group is the event's key, so a gauge's events stay in order. The deduplication id is the event's:
SQS drops what is sent again within five minutes.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from flood_assets.errors import SettingsError
from flood_assets.sinks.aws import THREADS, AwsSink, explained, named
from flood_assets.sinks.base import Sent, portions
from flood_assets.sinks.events import ONE, CloudEvents

# Limits of SendMessageBatch: ten messages. All together have 1 MiB today and had 256 KiB until 2025.
MOST_MESSAGES, MOST_BYTES = 10, 250_000
# The end of the name of a queue or topic that keeps the order.
FIFO = ".fifo"


class Sqs(AwsSink):
    """`sqs://queue`, by its name, or `sqs://sqs.{region}.amazonaws.com/{account}/{queue}`, by its URL."""

    def __init__(self, url: str, *, pause_s: float = 0.5) -> None:
        super().__init__(url, "sqs", pause_s=pause_s)
        self._queue = queue_url(self._client, url)

    def send(self, events: CloudEvents) -> Sent:  # noqa: D102
        fifo = self._queue.endswith(FIFO)
        entries: list[dict[str, Any]] = []
        for document, kind, key, event_id in zip(
            events.documents(), events.kinds(), events.keys, events.ids, strict=True
        ):
            entry: dict[str, Any] = {
                "MessageBody": document.decode(),
                "MessageAttributes": {
                    "content-type": {"DataType": "String", "StringValue": ONE},
                    "type": {"DataType": "String", "StringValue": kind},
                },
            }
            if fifo:
                entry |= {"MessageGroupId": short(key), "MessageDeduplicationId": short(event_id)}
            entries.append(entry)

        def put(numbers: Sequence[int]) -> dict[int, str]:
            answer = self._client.send_message_batch(
                QueueUrl=self._queue, Entries=[{"Id": str(number), **entries[number]} for number in numbers]
            )
            return {int(each["Id"]): each["Code"] for each in answer.get("Failed", [])}

        sizes = [len(entry["MessageBody"].encode()) + 200 for entry in entries]
        # One request at a time keeps the order, which only a FIFO queue does too.
        threads = 1 if fifo else THREADS
        return self.put_all(portions(sizes, MOST_MESSAGES, MOST_BYTES), put, threads=threads)


def queue_url(client: Any, url: str) -> str:
    """Return the URL by which AWS knows a queue.

    Raises:
        SinkError: there is no queue of this name.
        SettingsError: no name.
    """
    name = named(url)
    host, _, path = name.partition("/")
    if not path:
        with explained(name):
            return str(client.get_queue_url(QueueName=name)["QueueUrl"])
    if path.count("/") != 1:
        raise SettingsError(f"'{url}' is no queue: expected sqs://queue, or sqs://host/account/queue")
    scheme = client.meta.endpoint_url.partition("://")[0] if host in client.meta.endpoint_url else "https"
    return f"{scheme}://{name}"


def short(text: str) -> str:
    """Return a text as a group or deduplication id: these have at most 128 characters, and not all kinds."""
    return hashlib.sha256(text.encode()).hexdigest()
