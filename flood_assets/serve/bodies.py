"""Keep the bodies of answers: each is made and compressed once for all who ask the same.

A body holds as long as its snapshot is the newest one, and none of its rows has become a day old.
"""

import asyncio
import gzip
import hashlib
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import chain

from starlette.concurrency import run_in_threadpool

from flood_assets.serve.snapshot import Snapshot

# Bytes that are kept at most, not counting what they are compressed to.
_MOST = 32 * 1024 * 1024
# Of larger text only the compressed bytes are kept: the day of the whole country as CSV is 60 MB, and 3 MB then.
_LARGE = 8 * 1024 * 1024
# Smaller ones are not worth compressing.
_SMALL = 1024
# Bytes of a digest.
_DIGEST = 12
# Arrow and Parquet are compressed inside.
_TEXTUAL = ("text/", "application/json", "application/geo+json", "image/svg")


@dataclass
class Body:
    """An answer as it is sent.

    Attributes:
        data: its bytes; empty once it is packed, see `whole`.
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
        cls, parts: Iterable[bytes], media_type: str, modified: datetime, until: datetime | None = None
    ) -> "Body":
        """Return a body of parts of text that are made one by one: of a large one, only packed bytes are ever held."""
        small, size, coming = list[bytes](), 0, iter(parts)
        for part in coming:
            small.append(part)
            size += len(part)
            if size > _LARGE:
                break
        else:
            return cls(b"".join(small), media_type, modified, until)
        hashed, packer, packed = hashlib.blake2b(digest_size=_DIGEST), zlib.compressobj(2, wbits=31), list[bytes]()
        for part in chain(small, coming):
            hashed.update(part)
            packed.append(packer.compress(part))
        body = cls(b"", media_type, modified, until)
        body.__dict__.update(digest=hashed.hexdigest(), gzipped=b"".join([*packed, packer.flush()]))
        return body

    @cached_property
    def digest(self) -> str:
        """A digest of the bytes."""
        return hashlib.blake2b(self.data, digest_size=_DIGEST).hexdigest()

    @cached_property
    def gzipped(self) -> bytes:
        """The bytes, compressed."""
        # Level 6 takes five times as long and saves a tenth; a fixed time makes equal bodies equal.
        return gzip.compress(self.data, 2 if len(self.data) > 4 * 1024 * 1024 else 5, mtime=0)

    @property
    def whole(self) -> bytes:
        """The bytes, decompressed if need be."""
        return self.data or (gzip.decompress(self.gzipped) if self.is_packed else b"")

    @property
    def is_packed(self) -> bool:
        """True if only the compressed bytes are kept."""
        return not self.data and "gzipped" in self.__dict__

    def packed(self) -> "Body":
        """Keep only the compressed bytes of long text; returns itself."""
        if len(self.data) > _LARGE and self.media_type.startswith(_TEXTUAL):
            _ = self.digest, self.gzipped
            self.data = b""
        return self

    @property
    def worth_compressing(self) -> bool:
        """True once it is asked for again: to compress what is asked once costs more than to send it."""
        if "gzipped" in self.__dict__:
            return True
        return self.asked > 1 and len(self.data) >= _SMALL and self.media_type.startswith(_TEXTUAL)


class Bodies:
    """The bodies that were asked for last, of the newest snapshot; for one event loop."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._snapshot: Snapshot | None = None
        self._bodies: OrderedDict[str, Body] = OrderedDict()
        self._bytes = 0
        self._coming: dict[tuple[str, int], asyncio.Future[Body]] = {}

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
            self._bytes -= len(self._bodies.pop(key).data)
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
            or len(body.data) > self._most
            or (body.until and body.until <= now)
        ):
            return
        self._bodies[key] = body
        self._bytes += len(body.data)
        while self._bytes > self._most:
            _, dropped = self._bodies.popitem(last=False)
            self._bytes -= len(dropped.data)

    async def made(self, snapshot: Snapshot, key: str, now: datetime, make: Callable[[], Body]) -> Body:
        """Make a body in a thread, once for all who ask for it meanwhile, and keep it."""
        place = (key, id(snapshot))
        coming = self._coming.get(place)
        if coming is None:
            coming = self._coming[place] = asyncio.ensure_future(run_in_threadpool(make))
            coming.add_done_callback(lambda _: self._coming.pop(place, None))
        body = await asyncio.shield(coming)
        self.keep(snapshot, key, body, now)
        return body
