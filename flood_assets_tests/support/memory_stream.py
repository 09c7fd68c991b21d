"""A stream in memory, which is read in portions, as a broker of several shards gives them."""

from collections.abc import Mapping, Sequence

from flood_assets.consume.stream import Portion, Position, Record, Stream
from flood_assets.lake.lake import Lake
from flood_assets.publish.events import Events
from flood_assets.publish.publisher import publish
from flood_assets.sinks.base import Sent, Sink

URL = "kinesis://memory"


class Shards(Sink):
    """A sink whose shards any number of `MemoryStream` read."""

    def __init__(self, shards: int = 3) -> None:
        super().__init__(URL)
        self.made = 1
        self.shards: list[list[bytes]] = [[] for _ in range(shards)]

    def send(self, events: Events) -> Sent:
        for measure, document in zip(events.keys, events.documents(), strict=True):
            self.put(sum(measure.encode()) % len(self.shards), document)
        return Sent.whole(events)

    def put(self, shard: int, *documents: bytes) -> None:
        self.shards[shard] += documents

    def publish(self, lake: Lake, now) -> None:
        """Publish a lake to it."""
        assert publish(lake, self, now).trouble == ""

    def open(self, *_given, once: bool = True, **more) -> "MemoryStream":
        return MemoryStream(self, **more)


class MemoryStream(Stream):
    """A reader of `Shards`."""

    def __init__(self, given: Shards, *, page: int = 7, rereads: bool = True) -> None:
        super().__init__(URL)
        self.identity = f"memory {given.made}"
        self.rereads = rereads
        self.confirmed: list[Portion] = []
        self.sought: list[Mapping[str, Position]] = []
        self._given, self._page = given, page
        self._next: dict[int, int] = {}
        # Called before each read; may raise.
        self.before_read = lambda: None

    def seek(self, positions: Mapping[str, Position], *, newest: bool = False) -> None:
        self.sought.append(positions)
        self._next = {
            shard: int(positions[str(shard)].after) + 1 if str(shard) in positions else 0
            for shard in range(len(self._given.shards))
        }

    def read(self) -> Sequence[Portion]:
        self.before_read()
        found = []
        for shard, start in self._next.items():
            some = self._given.shards[shard][start : start + self._page]
            if some:
                self._next[shard] += len(some)
                records = [Record(str(start + n), data) for n, data in enumerate(some)]
                found.append(Portion(str(shard), records, Position(records[-1].id)))
        return found

    @property
    def drained(self) -> bool:
        return all(start >= len(self._given.shards[shard]) for shard, start in self._next.items())

    def confirm(self, portions: Sequence[Portion]) -> None:
        self.confirmed += portions
