"""Send to a Kinesis stream: one record for each event, with its key, so that the events of a gauge stay on a shard."""

from collections.abc import Sequence

from flood_assets.sinks.aws import AwsSink, named
from flood_assets.sinks.base import Sent, portions
from flood_assets.sinks.events import CloudEvents

# Limits of PutRecords: 500 records and 5 MB, keys included. A key has at most 256 characters.
MOST_RECORDS, MOST_BYTES, LONGEST_KEY = 500, 4_000_000, 256


class Kinesis(AwsSink):
    """`kinesis://stream`, or `kinesis://arn:aws:kinesis:...` for that of another account."""

    def __init__(self, url: str, *, pause_s: float = 0.5) -> None:
        super().__init__(url, "kinesis", pause_s=pause_s)
        self._stream = stream_of(url)

    def send(self, events: CloudEvents) -> Sent:  # noqa: D102
        keys = [key[:LONGEST_KEY] for key in events.keys]
        records = [
            {"Data": document, "PartitionKey": key} for document, key in zip(events.documents(), keys, strict=True)
        ]

        def put(numbers: Sequence[int]) -> dict[int, str]:
            answer = self._client.put_records(Records=[records[number] for number in numbers], **self._stream)
            if not answer["FailedRecordCount"]:
                return {}
            told = zip(numbers, answer["Records"], strict=True)
            return {number: each["ErrorCode"] for number, each in told if each.get("ErrorCode")}

        sizes = [len(record["Data"]) + LONGEST_KEY for record in records]
        # One request at a time: the events of a key stay in order.
        return self.put_all(portions(sizes, MOST_RECORDS, MOST_BYTES), put, threads=1)


def stream_of(url: str) -> dict[str, str]:
    """Return a stream as boto3's requests name it."""
    name = named(url)
    return {"StreamARN" if name.startswith("arn:") else "StreamName": name}
