"""Receive notifications from an SQS queue; the meaning of a message is in `notified`."""

# ruff: noqa: PLC0415 - boto3 takes a fifth of a second to import, and most lakes have no queue

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from flood_assets.errors import FloodAssetsError
from flood_assets.lake.s3 import region_of, session_of

# Limits of SQS for one request, and how many requests one look makes at most.
_AT_ONCE, _ROUNDS = 10, 20


class QueueError(FloodAssetsError):
    """Queue that cannot be read."""


class Message(NamedTuple):
    """A message: its id, its body, and the handle that deletes it."""

    id: str
    body: str
    handle: str


class Queue:
    """An SQS queue. Credentials, region and endpoint are found as AWS's tools find them.

    Args:
        url: `sqs://queue`, by its name, or `sqs://sqs.{region}.amazonaws.com/{account}/{queue}`, by its URL.

    Raises:
        QueueError: there is no such queue, or it cannot be asked.
    """

    def __init__(self, url: str) -> None:
        from botocore.config import Config

        self.url = url
        config = Config(connect_timeout=4, read_timeout=10, retries={"mode": "standard", "max_attempts": 3})
        name = url.removeprefix("sqs://").rstrip("/")
        with self._explained():
            session = session_of(None)
            self._client = session.client("sqs", region_name=region_of(session, None), config=config)
            host, _, path = name.partition("/")
            scheme = self._client.meta.endpoint_url.partition("://")[0]
            known = host in self._client.meta.endpoint_url
            self._queue = (
                f"{scheme if known else 'https'}://{name}"
                if path
                else str(self._client.get_queue_url(QueueName=name)["QueueUrl"])
            )

    def receive(self) -> list[Message]:
        """Return messages that wait, up to some hundred; those that are not deleted in time come again."""
        found: list[Message] = []
        with self._explained():
            for _ in range(_ROUNDS):
                answer = self._client.receive_message(
                    QueueUrl=self._queue, MaxNumberOfMessages=_AT_ONCE, WaitTimeSeconds=0 if found else 1
                )
                messages = answer.get("Messages", [])
                found += [Message(each["MessageId"], each["Body"], each["ReceiptHandle"]) for each in messages]
                if len(messages) < _AT_ONCE:
                    break
        return found

    def delete(self, handles: Sequence[str]) -> None:
        """Delete messages; those that are gone already are no error, and those that came again stay."""
        with self._explained():
            for start in range(0, len(handles), _AT_ONCE):
                entries: list[dict[str, Any]] = [
                    {"Id": str(number), "ReceiptHandle": handle}
                    for number, handle in enumerate(handles[start : start + _AT_ONCE])
                ]
                self._client.delete_message_batch(QueueUrl=self._queue, Entries=entries)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn an error of AWS into a QueueError with a remedy."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            said = error.response.get("Error", {})
            why = f"{said.get('Code', 'Error')}: {said.get('Message', '').rstrip('.')}"
            remedy = "check FLOOD_LANDING_QUEUE, the region, and the right to receive and delete messages"
            raise QueueError(f"{self.url} cannot be read: {why}: {remedy}") from error
        except (BotoCoreError, ValueError) as error:
            raise QueueError(f"{self.url} cannot be read: {error}. Check AWS_* and the network") from error
