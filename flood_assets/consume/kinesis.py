"""Read a Kinesis stream: all shards, those of a resharding after their parents, from the position of each on.

A request for each shard a second while nothing comes, and at most five when much does, as AWS allows.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from flood_assets.consume.stream import Portion, Position, Record, Stream
from flood_assets.partitions import utc
from flood_assets.sinks import aws
from flood_assets.sinks.base import SinkError
from flood_assets.sinks.kinesis import stream_of

logger = logging.getLogger("flood_assets.consume")

MOST = 10_000
# AWS takes five reads a second from a shard.
LEAST_S = 0.2
# Shards are listed again so often, as a resharding is told at the end of a shard only.
LISTED_S = 60.0
_SHORTEST_S, _LONGEST_S = 0.5, 8.0
_BUSY = frozenset({"ProvisionedThroughputExceededException", "LimitExceededException", "KMSThrottlingException"})


@dataclass
class _Shard:
    """A shard that may be read.

    Attributes:
        parents: ids of those that were split or merged into it.
        closed: True if nothing more is written to it.
        position: how far it was read.
        begin: where to begin if nothing of it was read.
        iterator: for the next request; None to ask for one.
        drained: True if the last request found its end.
        not_before: when it may be asked again.
        pause_s: before that, after it refused.
    """

    parents: Sequence[str]
    closed: bool
    position: Position
    begin: str = "TRIM_HORIZON"
    iterator: str | None = None
    drained: bool = False
    not_before: float = 0.0
    pause_s: float = 0.0


class KinesisStream(Stream):
    """`kinesis://stream`, or `kinesis://arn:aws:kinesis:...` for that of another account.

    Args:
        url: of the stream.
        clock: the current time.
        once: list the shards again when all are drained, so that the new ones of a resharding are read too.
    """

    pause_s = 1.0

    def __init__(self, url: str, clock: Callable[[], datetime], *, once: bool = False) -> None:
        super().__init__(url)
        self._clock, self._once = clock, once
        self._shards: dict[str, _Shard] = {}
        self._listed = 0.0
        self._stream, self._client = stream_of(self.url), aws.client("kinesis")
        with aws.explained(self.url):
            found = self._client.describe_stream_summary(**self._stream)["StreamDescriptionSummary"]
        self.identity = f"{found['StreamARN']} of {found['StreamCreationTimestamp'].timestamp():.0f}"
        self._kept = timedelta(hours=found["RetentionPeriodHours"])

    def seek(self, positions: Mapping[str, Position], *, newest: bool = False) -> None:  # noqa: D102
        self._shards = {}
        listed = self._list()
        oldest = self._clock() - self._kept
        for name, shard in listed.items():
            shard.position = positions.get(name, Position())
            shard.begin = "LATEST" if newest else "TRIM_HORIZON"
            if (since := shard.position.at) and not shard.position.ended and since < oldest:
                self.lost.append(
                    f"{self.url} keeps records for {_hours(self._kept)}, and {name} was last read at "
                    f"{since:%Y-%m-%d %H:%M}Z: whatever came between then and {oldest:%Y-%m-%d %H:%M}Z is lost"
                )
        for name, position in positions.items():
            if name not in listed and not position.ended:
                self.lost.append(f"{self.url} has no shard {name} any more: what came after its last read is lost")
        self._shards = listed

    def read(self) -> list[Portion]:  # noqa: D102
        if self._due_to_list():
            for name, listed in self._list().items():
                self._shards.setdefault(name, listed).closed = listed.closed
        found = list[Portion]()
        for name, shard in list(self._shards.items()):
            if self._readable(shard) and (wait := shard.not_before - time.monotonic()) <= LEAST_S:
                time.sleep(max(0.0, wait))
                found += self._read(name, shard)
        return found

    @property
    def drained(self) -> bool:  # noqa: D102
        return self._listed > 0 and all(shard.position.ended or shard.drained for shard in self._shards.values())

    def close(self) -> None:  # noqa: D102
        self._client.close()

    def _readable(self, shard: _Shard) -> bool:
        parents = (self._shards[name] for name in shard.parents if name in self._shards)
        return not shard.position.ended and all(parent.position.ended for parent in parents)

    def _due_to_list(self) -> bool:
        return (self._once and self.drained) or time.monotonic() - self._listed > LISTED_S

    def _list(self) -> dict[str, _Shard]:
        found: dict[str, _Shard] = {}
        request: dict[str, Any] = dict(self._stream)
        with aws.explained(self.url):
            while request:
                answer = self._client.list_shards(**request)
                for each in answer["Shards"]:
                    parents = [each[key] for key in ("ParentShardId", "AdjacentParentShardId") if each.get(key)]
                    closed = "EndingSequenceNumber" in each["SequenceNumberRange"]
                    found[each["ShardId"]] = _Shard(parents, closed, Position())
                request = {"NextToken": answer["NextToken"]} if answer.get("NextToken") else {}
        self._listed = time.monotonic()
        return found

    def _read(self, name: str, shard: _Shard) -> list[Portion]:
        """Read on in a shard; nothing if it is too busy."""
        shard.not_before = time.monotonic() + LEAST_S
        shard.drained = False
        try:
            shard.iterator = shard.iterator or self._iterator(name, shard)
            with aws.explained(self.url):
                answer = self._client.get_records(ShardIterator=shard.iterator, Limit=MOST)
        except SinkError as error:
            code = _code(error)
            if code == "ExpiredIteratorException":
                # It is valid for five minutes: a batch or a pause took longer.
                shard.iterator = None
                return []
            if code in _BUSY:
                shard.pause_s = min(max(2 * shard.pause_s, _SHORTEST_S), _LONGEST_S)
                shard.not_before = time.monotonic() + shard.pause_s
                logger.info("%s of %s: %s, asked again in %.1f s", name, self.url, code, shard.pause_s)
                return []
            raise
        shard.pause_s, shard.iterator = 0.0, answer.get("NextShardIterator")
        given = answer["Records"]
        at_end = not given and not answer.get("MillisBehindLatest")
        # A closed shard has no next iterator at its end; on some servers only its listing says that it is closed.
        ended = shard.iterator is None or (at_end and shard.closed)
        shard.drained = at_end or ended
        if ended:
            self._listed = 0.0
        before = shard.position
        at = self._clock() if at_end else utc(given[-1]["ApproximateArrivalTimestamp"]) if given else before.at
        shard.position = Position(given[-1]["SequenceNumber"] if given else before.after, at, ended)
        if not given and not ended and not _is_later(at, before.at):
            shard.position = before
            return []
        return [Portion(name, [Record(each["SequenceNumber"], each["Data"]) for each in given], shard.position)]

    def _iterator(self, name: str, shard: _Shard) -> str:
        given = {**self._stream, "ShardId": name}
        with aws.explained(self.url):
            if shard.position.after:
                try:
                    answer = self._client.get_shard_iterator(
                        **given, ShardIteratorType="AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=shard.position.after
                    )
                except self._client.exceptions.InvalidArgumentException:
                    self.lost.append(
                        f"{name} of {self.url} has no record {shard.position.after} any more: it is read from its "
                        "oldest record, and what came between is lost"
                    )
                    answer = self._client.get_shard_iterator(**given, ShardIteratorType="TRIM_HORIZON")
            else:
                answer = self._client.get_shard_iterator(**given, ShardIteratorType=shard.begin)
        return str(answer["ShardIterator"])


# A shard that is read to its end all the time, and gets nothing, says so once in this time.
_SAID_AGAIN = timedelta(hours=1)


def _is_later(at: datetime | None, before: datetime | None) -> bool:
    return at is not None and (before is None or at - before >= _SAID_AGAIN)


def _code(error: Exception) -> str:
    cause = error.__cause__
    return cause.response.get("Error", {}).get("Code", "") if isinstance(cause, ClientError) else ""


def _hours(length: timedelta) -> str:
    return f"{length.total_seconds() / 3600:.0f} h"
