"""Read what S3 tells of new objects: which of them are batches that have landed. Pure.

A notification reaches the queue directly, through SNS (as it is or in SNS's envelope), or through EventBridge.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

import msgspec

from flood_assets.lake.layout import LANDING

_TEST = "s3:TestEvent"
_CREATED = ("ObjectCreated:", "s3:ObjectCreated:")
_SHOWN = 200


class NotUnderstoodError(Exception):
    """Message that is no notification of S3; its text says what it is."""


def landed(body: str, bucket: str, prefix: str) -> list[str]:
    """Return the names below the lake of the objects in `landing/` that a message tells of.

    Those of other places, deletions and S3's test message are none.

    Args:
        body: of the message.
        bucket: the lake's.
        prefix: the lake's, without slashes around it; may be empty.

    Raises:
        NotUnderstoodError: it is something else.
    """
    inside = f"{prefix}/" if prefix else ""
    try:
        found = [key for name, key in _created(_object(body)) if name == bucket and key.startswith(inside + LANDING)]
    except (LookupError, TypeError, AttributeError) as error:
        raise NotUnderstoodError(f"{_shown(body)}: {error!r}") from error
    keys = (key.removeprefix(inside) for key in found)
    return [key for key in keys if key.startswith(f"{LANDING}/")]


def _object(body: str) -> Mapping[str, Any]:
    """Return the notification in a message, without SNS's envelope."""
    try:
        found = msgspec.json.decode(body)
        if isinstance(found, dict) and found.get("Type") == "Notification" and "Message" in found:
            found = msgspec.json.decode(found["Message"])
    except (ValueError, RecursionError, TypeError) as error:
        raise NotUnderstoodError(f"{_shown(body)}: it is no JSON") from error
    if not isinstance(found, dict):
        raise NotUnderstoodError(f"{_shown(body)}: it is no object")
    return found


def _created(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield bucket and name of each new object."""
    if told.get("Event") == _TEST:
        return
    if told.get("source") == "aws.s3":
        # EventBridge does not encode names.
        if told["detail-type"] == "Object Created":
            yield told["detail"]["bucket"]["name"], told["detail"]["object"]["key"]
        return
    for record in told["Records"]:
        if record["eventName"].startswith(_CREATED):
            yield record["s3"]["bucket"]["name"], unquote_plus(record["s3"]["object"]["key"])
        elif record["eventSource"] != "aws:s3":
            raise LookupError(record["eventSource"])


def _shown(body: str) -> str:
    return f"'{body[:_SHOWN]}'"
