"""Keep the bodies of answers: each is made and compressed once for all who ask the same.

A body holds as long as its snapshot is the newest one, and none of its rows has become a day old.
"""

import asyncio
import gzip
import hashlib
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import chain

from anyio import CapacityLimiter, to_thread

from flood_assets.serve.snapshot import Snapshot

# Bytes that are kept at most, not counting what a body is compressed to when it is asked for again.
_MOST = 32 * 1024 * 1024
# Of larger text only the compressed bytes are kept: the day of the whole country as CSV is 60 MB, and 3 MB then.
_LARGE = 8 * 1024 * 1024
# Smaller ones are not worth compressing.
_SMALL = 1024
# Characters of a digest. Processors compute SHA-256 in half the time of BLAKE2.
_DIGEST = 24
# Bodies that are made at the same time; those of the whole day take tens of MB while they are made.
_AT_ONCE = 2
# The level of compression for large texts.
_QUICK = 2
# Compressed bytes that are decompressed at once: about 100 kB of text.
_BITE = 4096
# Arrow and Parquet are compressed inside.
_TEXTUAL = ("text/", "application/json", "application/geo+json", "image/svg")


@dataclass
class Body:
    """An answer as it is sent.

    Attributes:
        data: its bytes; empty if it is packed, see `parts`.
        media_type: what they are.
        modified: when the answer could have changed last.
        until: until when it holds; None for as long as its snapshot.
        headers: further headers.
        status: of the answer.
        asked: how many requests it has answered.
    """

    data: bytes
    media_type: str
    modified: datetime
    until: datetime | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    asked: int = 0

    @classmethod
    def of_parts(
        cls,
        parts: Iterable[bytes],
        media_type: str,
        modified: datetime,
        until: datetime | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> "Body":
        """Return a body of parts that are made one by one: of a large text, only packed bytes are ever held."""
        body = cls(b"", media_type, modified, until, headers or {})
        small, size, coming = list[bytes](), 0, iter(parts)
        for part in coming:
            small.append(part)
            size += len(part)
            if size > _LARGE and body._is_textual:
                break
        else:
            body.data = b"".join(small)
            return body
        hashed, packer, packed = hashlib.sha256(), zlib.compressobj(_QUICK, wbits=31), list[bytes]()
        size = 0
        for part in chain(small, coming):
            size += len(part)
            hashed.update(part)
            packed.append(packer.compress(part))
        body.__dict__.update(
            size=size, digest=hashed.hexdigest()[:_DIGEST], gzipped=b"".join([*packed, packer.flush()])
        )
        return body

    @cached_property
    def size(self) -> int:
        """Its bytes, not compressed."""
        return len(self.data)

    @cached_property
    def digest(self) -> str:
        """A digest of the bytes."""
        return hashlib.sha256(self.data).hexdigest()[:_DIGEST]

    @cached_property
    def gzipped(self) -> bytes:
        """The bytes, compressed."""
        # Level 6 takes five times as long and saves a tenth; a fixed time makes equal bodies equal.
        return gzip.compress(self.data, _QUICK if len(self.data) > _LARGE // 2 else 5, mtime=0)

    @property
    def is_packed(self) -> bool:
        """True if only the compressed bytes are kept."""
        return not self.data and self.size > 0

    @property
    def held(self) -> int:
        """Bytes that it takes in memory until it is asked for again."""
        return len(self.gzipped) if self.is_packed else len(self.data)

    def parts(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes [start, end) of a packed body, a little at a time."""
        unpacker, at = zlib.decompressobj(wbits=31), 0
        for begin in range(0, len(self.gzipped), _BITE):
            part = unpacker.decompress(self.gzipped[begin : begin + _BITE])
            if at + len(part) > start:
                yield part[max(0, start - at) : end - at]
            at += len(part)
            if at >= end:
                return

    @property
    def worth_compressing(self) -> bool:
        """True once it is asked for again: to compress what is asked once costs more than to send it."""
        if "gzipped" in self.__dict__:
            return True
        return self.asked > 1 and len(self.data) >= _SMALL and self._is_textual

    @property
    def _is_textual(self) -> bool:
        return self.media_type.startswith(_TEXTUAL)


class Bodies:
    """The bodies that were asked for last, of the newest snapshot; for one event loop."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._snapshot: Snapshot | None = None
        self._bodies: OrderedDict[str, Body] = OrderedDict()
        self._bytes = 0
        self._coming: dict[tuple[str, int], asyncio.Future[Body]] = {}
        self._threads = CapacityLimiter(_AT_ONCE)

    def get(self, snapshot: Snapshot, key: str, now: datetime) -> Body | None:
        """Return a body that holds at `now`; None without one."""
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._bodies.clear()
            self._bytes = 0
        body = self._bodies.get(key)
        if body is None:
            return None
        if body.until is not None and now >= body.until:
            self._bytes -= self._bodies.pop(key).held
            return None
        self._bodies.move_to_end(key)
        body.asked += 1
        return body

    def keep(self, snapshot: Snapshot, key: str, body: Body, now: datetime) -> None:
        """Keep a body, and drop those that were asked for longest ago, if they are too many."""
        body.asked += 1
        if (
            snapshot is not self._snapshot
            or key in self._bodies
            or body.held > self._most
            or (body.until and body.until <= now)
        ):
            return
        self._bodies[key] = body
        self._bytes += body.held
        while self._bytes > self._most:
            _, dropped = self._bodies.popitem(last=False)
            self._bytes -= dropped.held

    async def made(self, snapshot: Snapshot, key: str, now: datetime, make: Callable[[], Body]) -> Body:
        """Make a body in a thread, once for all who ask for it meanwhile, and keep it."""
        place = (key, id(snapshot))
        coming = self._coming.get(place)
        if coming is None:
            coming = self._coming[place] = asyncio.ensure_future(to_thread.run_sync(make, limiter=self._threads))
            coming.add_done_callback(lambda _: self._coming.pop(place, None))
        body = await asyncio.shield(coming)
        self.keep(snapshot, key, body, now)
        return body
