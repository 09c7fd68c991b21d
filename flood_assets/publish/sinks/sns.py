"""Publish to an SNS topic: one message for each commit, with counts and the names of the windows that changed.

Whoever gets it reads these windows, or asks `query.changes`: a topic with many subscribers is no place for readings.
"""

from collections import Counter
from typing import Any

import msgspec
import pyarrow.compute as pc

from flood_assets.lake.layout import key_of
from flood_assets.partitions import from_ms, window_of
from flood_assets.publish.events import NEW, ONE, Events, text_of
from flood_assets.publish.sinks.aws import AwsSink, explained, named
from flood_assets.publish.sinks.base import Sent
from flood_assets.publish.sinks.sqs import FIFO, short
from flood_assets.schemas import READINGS, TIME

COMMITTED = "flood_assets.readings.committed"
MOST_BYTES = 256 * 1024


class Sns(AwsSink):
    """`sns://arn:aws:sns:{region}:{account}:{topic}`."""

    def __init__(self, url: str, *, pause_s: float = 0.5) -> None:
        super().__init__(url, "sns", pause_s=pause_s)
        self._topic = named(url)

    def send(self, events: Events) -> Sent:  # noqa: D102
        body = commit(events)
        counts = {name: str(body["data"][name]) for name in ("new", "revised")}
        attributes = {name: {"DataType": "Number", "StringValue": text} for name, text in counts.items()}
        attributes["type"] = {"DataType": "String", "StringValue": COMMITTED}
        attributes["content-type"] = {"DataType": "String", "StringValue": ONE}
        more: dict[str, Any] = {}
        if self._topic.endswith(FIFO):
            # One group: the commits of a lake are in order.
            more = {"MessageGroupId": READINGS.name, "MessageDeduplicationId": short(body["id"])}
        with explained(self.name):
            self._client.publish(
                TopicArn=self._topic,
                Message=msgspec.json.encode(body).decode(),
                MessageAttributes=attributes,
                **more,
            )
        return Sent.whole(events)


def commit(events: Events) -> dict[str, Any]:
    """Return the event that tells of others: how many, and in which windows. A day has 25, so it is always small."""
    windows = Counter[tuple[str, bool]]()
    hours = pc.floor_temporal(events.rows["date_time"], unit="hour").cast(TIME).cast("int64").to_pylist()
    for hour, kind in zip(hours, events.kinds(), strict=True):
        windows[text_of(hour), kind == NEW] += 1
    starts = {text_of(hour): key_of(READINGS, window_of(from_ms(hour))) for hour in sorted(set(hours))}
    new, revised = (sum(n for (_, first), n in windows.items() if first == wanted) for wanted in (True, False))
    changed = events.changed
    return {
        "specversion": "1.0",
        "id": f"commit-{short('|'.join(sorted(events.ids)))[:32]}",
        "source": events.source,
        "type": COMMITTED,
        "time": text_of(int(changed.max())),
        "datacontenttype": "application/json",
        "data": {
            "new": new,
            "revised": revised,
            "measures": len(set(events.measures)),
            "changed_from": text_of(int(changed.min())),
            "changed_to": text_of(int(changed.max())),
            "windows": [
                {"window": start, "key": key, "new": windows[start, True], "revised": windows[start, False]}
                for start, key in starts.items()
            ],
        },
    }
