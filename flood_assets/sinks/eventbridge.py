"""Send to an EventBridge bus: one entry for each event, whose detail is the CloudEvent."""

from collections.abc import Sequence
from typing import Any

from flood_assets.partitions import from_ms
from flood_assets.sinks.aws import THREADS, AwsSink, named
from flood_assets.sinks.base import Sent, portions
from flood_assets.sinks.events import CloudEvents

# Limits of PutEvents: ten entries, and 256 KB with source, type and time.
MOST_ENTRIES, MOST_BYTES = 10, 250_000
SOURCE = "flood_assets"


class EventBridge(AwsSink):
    """`eventbridge://bus`, by its name or ARN.

    Rules match the `source` "flood_assets" and the `detail-type`, which is the event's type.
    """

    def __init__(self, url: str, *, pause_s: float = 0.5) -> None:
        super().__init__(url, "events", pause_s=pause_s)
        self._bus = named(url)

    def send(self, events: CloudEvents) -> Sent:  # noqa: D102
        times = [from_ms(ms) for ms in events.changed.tolist()]
        entries: list[dict[str, Any]] = [
            {
                "EventBusName": self._bus,
                "Source": SOURCE,
                "DetailType": kind,
                "Time": time,
                "Detail": document.decode(),
            }
            for document, kind, time in zip(events.documents(), events.kinds(), times, strict=True)
        ]

        def put(numbers: Sequence[int]) -> dict[int, str]:
            answer = self._client.put_events(Entries=[entries[number] for number in numbers])
            told = zip(numbers, answer["Entries"], strict=True)
            return {number: each["ErrorCode"] for number, each in told if each.get("ErrorCode")}

        sizes = [len(entry["Detail"].encode()) + 200 for entry in entries]
        return self.put_all(portions(sizes, MOST_ENTRIES, MOST_BYTES), put, threads=THREADS)
