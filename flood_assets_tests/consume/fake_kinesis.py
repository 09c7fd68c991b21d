"""Kinesis as AWS describes it where moto differs: closed shards end, iterators expire, and busy shards refuse."""

from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError


class FakeKinesis:
    """A client of one stream. Shards are lists of (sequence number, data)."""

    class exceptions:  # noqa: N801 - boto3's name
        class InvalidArgumentException(ClientError):  # noqa: N818 - likewise
            pass

    def __init__(self, kept: int = 24) -> None:
        self.shards: dict[str, dict[str, Any]] = {}
        self.kept, self.made = kept, datetime(2026, 11, 1, tzinfo=UTC)
        self.now = datetime(2026, 11, 21, 9, 7, 30, tzinfo=UTC)
        self.asked: list[tuple[str, str]] = []
        # Codes of errors for the next requests of records.
        self.refuse: list[str] = []
        self.page = 3
        self._iterators: dict[str, tuple[str, int]] = {}
        self._last = 0

    def shard(self, name: str, *parents: str) -> None:
        for parent in parents:
            self.shards[parent]["closed"] = True
        self.shards[name] = {"parents": parents, "closed": False, "records": []}

    def put(self, name: str, *documents: bytes) -> None:
        for data in documents:
            self._last += 10**50
            self.shards[name]["records"].append((self._last, data, self.now))

    def trim(self, name: str, many: int) -> None:
        del self.shards[name]["records"][:many]

    def describe_stream_summary(self, **_: str) -> dict[str, Any]:
        found = {"StreamARN": "arn", "StreamCreationTimestamp": self.made, "RetentionPeriodHours": self.kept}
        return {"StreamDescriptionSummary": found}

    def list_shards(self, NextToken: str = "0", **_: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        names = list(self.shards)
        start = int(NextToken)
        found = []
        for name in names[start : start + 2]:
            each = self.shards[name]
            keys = dict(zip(("ParentShardId", "AdjacentParentShardId"), each["parents"], strict=False))
            closed = {"EndingSequenceNumber": "9"} if each["closed"] else {}
            found.append({"ShardId": name, "SequenceNumberRange": {"StartingSequenceNumber": "0", **closed}, **keys})
        return {"Shards": found} | ({"NextToken": str(start + 2)} if start + 2 < len(names) else {})

    def get_shard_iterator(
        self, *, ShardId: str, ShardIteratorType: str, StartingSequenceNumber: str = "-1", **_: str  # noqa: N803
    ) -> dict[str, Any]:  # fmt: skip
        self.asked.append((ShardId, ShardIteratorType))
        after = int(StartingSequenceNumber)
        if after > self._last:
            raise self.exceptions.InvalidArgumentException({"Error": {"Code": "InvalidArgumentException"}}, "x")
        return {"ShardIterator": self._iterator(ShardId, self._last if ShardIteratorType == "LATEST" else after)}

    def get_records(self, *, ShardIterator: str, Limit: int) -> dict[str, Any]:  # noqa: N803
        if self.refuse:
            raise ClientError({"Error": {"Code": self.refuse.pop(0), "Message": "later"}}, "GetRecords")
        name, after = self._iterators[ShardIterator]
        shard = self.shards[name]
        left = [each for each in shard["records"] if each[0] > after]
        some = left[: min(Limit, self.page)]
        records = [
            {"SequenceNumber": str(number), "Data": data, "ApproximateArrivalTimestamp": at}
            for number, data, at in some
        ]
        behind = 0 if len(some) == len(left) else 1000
        ended = shard["closed"] and not behind
        following = {} if ended else {"NextShardIterator": self._iterator(name, some[-1][0] if some else after)}
        return {"Records": records, "MillisBehindLatest": behind, **following}

    def close(self) -> None:
        """Do nothing."""

    def pass_time(self, length: timedelta) -> None:
        self.now += length

    def _iterator(self, name: str, after: int) -> str:
        token = f"iterator-{len(self._iterators)}"
        self._iterators[token] = (name, after)
        return token
