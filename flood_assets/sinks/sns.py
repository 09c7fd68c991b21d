"""Send to an SNS topic what its subscribers are to know: one message for a commit of readings, or for each alert.

Whoever gets that of a commit reads the windows that it names, or asks `query.changes`: a topic with many subscribers is
no place for readings. Of an alert, mails and text messages get words, and all other subscribers the event.
"""

import json
from typing import Any

import msgspec
import numpy as np

from flood_assets.sinks.aws import AwsSink, explained, named
from flood_assets.sinks.base import Sent, SinkError
from flood_assets.sinks.events import ONE, CloudEvents, Notice
from flood_assets.sinks.sqs import FIFO, short

MOST_BYTES = 256 * 1024
# Characters of a text message, and of the subject of a mail.
MOST_OF_SMS, MOST_OF_SUBJECT = 140, 99


class Sns(AwsSink):
    """`sns://arn:aws:sns:{region}:{account}:{topic}`."""

    def __init__(self, url: str, *, pause_s: float = 0.5) -> None:
        super().__init__(url, "sns", pause_s=pause_s)
        self._topic = named(url)

    def send(self, events: CloudEvents) -> Sent:  # noqa: D102
        notices, taken = events.notices(), 0
        try:
            for notice in notices:
                self._publish(notice)
                taken += 1
        except SinkError as error:
            if not taken:
                raise
            # One for all of them would not be here: these are one for each.
            return Sent(np.arange(len(events)) < taken, str(error))
        return Sent.whole(events)

    def _publish(self, notice: Notice) -> None:
        attributes = {
            name: {"DataType": "String" if isinstance(value, str) else "Number", "StringValue": str(value)}
            for name, value in {"type": notice.event["type"], "content-type": ONE, **notice.filters}.items()
        }
        content = msgspec.json.encode(notice.event).decode()
        more: dict[str, Any] = {}
        if notice.text:
            texts = {"default": content, "email": notice.text, "sms": notice.subject[:MOST_OF_SMS]}
            content, more = json.dumps(texts), {"MessageStructure": "json", "Subject": _subject(notice.subject)}
        if self._topic.endswith(FIFO):
            more |= {"MessageGroupId": short(notice.group), "MessageDeduplicationId": short(notice.event["id"])}
        with explained(self.name):
            self._client.publish(
                TopicArn=self._topic,
                Message=content,
                MessageAttributes=attributes,
                **more,
            )


def _subject(text: str) -> str:
    """Return a text as SNS takes a subject: a line of ASCII that begins with a letter, number or punctuation mark."""
    plain = "".join(letter if " " <= letter <= "~" else "?" for letter in " ".join(text.split()))
    return plain[:MOST_OF_SUBJECT]
