"""Hold a lake as it was at a moment: the bytes of its objects in memory, which nobody changes.

All that reads a `Store` reads this one, so each question about the lake has an answer that no writer disturbs. A next
one shares the objects that stayed the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from flood_assets.errors import LakeError
from flood_assets.lake.layout import ALERTS_KEY, CURRENT, FAILURE, IDENTITY, NETWORK_KEY, WATERMARKS_KEY
from flood_assets.lake.members import members
from flood_assets.lake.objects import Blob, Meta
from flood_assets.lake.pipeline import all_of
from flood_assets.lake.store import Store
from flood_assets.places import SHARD_FOLDER
from flood_assets.schemas import TABLES

# Objects that are read at once: in a distant bucket each waits for its answer.
_READERS = 8
_HELD = (*TABLES, CURRENT)
_HELD_KEYS = (IDENTITY, FAILURE, WATERMARKS_KEY, ALERTS_KEY, NETWORK_KEY)


@dataclass(frozen=True)
class Listing:
    """The objects below a URL.

    Attributes:
        metas: all of them.
        away: shards that could not be listed, and why.
    """

    metas: Sequence[Meta]
    away: Mapping[str, LakeError] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Store) -> "Listing":
        """List a lake, or a network shard by shard if it cannot be listed as a whole; LakeError as for `Store.list`."""
        try:
            return cls(store.list(""))
        except LakeError:
            network, head = members(store), store.head(NETWORK_KEY)
            if network is None or head is None:
                raise
        metas, away = [head], dict[str, LakeError]()
        for name in network.names:
            try:
                metas += store.list(f"{SHARD_FOLDER}{name}")
            except LakeError as error:
                away[name] = error
        if len(away) == len(network.names):
            raise next(iter(away.values()))
        return cls(metas, away)


class Frozen(Store):
    """Objects of a lake in memory: all but quarantine, locks and strangers' files. It cannot be written.

    Of shards it holds the objects of each, below the folder of the shard. One that cannot be read is held as it was.

    Attributes:
        away: shards that could not be read, and why.
    """

    local = True
    # Messages name it, and those who read them over HTTP are not to know where the lake is.
    url = "served-lake"

    def __init__(self, blobs: Mapping[str, Blob], away: Mapping[str, LakeError] | None = None) -> None:
        self._blobs = blobs
        self.away = away or {}

    @classmethod
    def of(cls, store: Store, before: "Frozen | None" = None, listed: Listing | None = None) -> "Frozen":
        """Hold what a store has now; `before` itself if nothing has changed since.

        An object that is replaced while the others are read is held as it was read. Watermarks are never newer than the
        windows that they speak of.

        Args:
            store: the lake's.
            before: what was held of it before: only objects with another e-tag are read.
            listed: all of its objects, of just now; None to list them.

        Raises:
            LakeError: the lake cannot be listed or read.
        """
        listing = Listing.of(store) if listed is None else listed
        known = before._blobs if before else {}
        shards = _shards(store, known, listing)
        metas = [meta for meta in listing.metas if _held(meta.key, shards)]
        blobs = {meta.key: known[meta.key] for meta in metas if _same(known.get(meta.key), meta)}
        # What is held of a shard that cannot be listed stays as it was.
        away = {name: error for name, error in listing.away.items() if name in shards}
        blobs |= {key: blob for key, blob in known.items() if _shard_of(key) in away}
        missing = [meta.key for meta in metas if meta.key not in blobs]
        if before is not None and not missing and len(blobs) == len(known) and away.keys() == before.away.keys():
            return before

        def read(key: str) -> Blob | LakeError | None:
            try:
                return store.read(key)
            except LakeError as error:
                if _shard_of(key) not in shards:
                    raise
                return error

        for key, blob in zip(missing, all_of(read, missing, 1 if store.local else _READERS), strict=True):
            if isinstance(blob, LakeError):
                away.setdefault(_shard_of(key), blob)
            elif blob is not None:  # one that is gone meanwhile had expired
                blobs[key] = blob
        network, now = _network_of(listing), store.head(NETWORK_KEY) if shards else None
        if network is not None and shards and (now is None or now.e_tag != network.e_tag):
            # Others are united since, and what was listed of the old ones may be deleted.
            return cls.of(store, before)
        blobs = {key: blob for key, blob in blobs.items() if _shard_of(key) not in away}
        blobs |= {key: blob for key, blob in known.items() if _shard_of(key) in away}
        frozen = cls(blobs, away)
        marks = [meta for meta in metas if meta.key.endswith(WATERMARKS_KEY) and _shard_of(meta.key) not in away]
        # A refresh replaces them last. If they are newer than the listing, windows may be too.
        return frozen if all(frozen.e_tag(m.key) == m.e_tag for m in marks) else cls.of(store, frozen)

    @property
    def modified(self) -> datetime | None:
        """Time at which its newest object was written; None without any."""
        return max((blob.meta.modified for blob in self._blobs.values()), default=None)

    def e_tag(self, key: str) -> str | None:
        """Return an object's e-tag; None when there is none."""
        found = self._blobs.get(key)
        return found.meta.e_tag if found else None

    def get(self, key: str, *, whole_up_to: int | None = None) -> Blob | Meta | None:  # noqa: ARG002
        """Return an object's bytes, which are in memory whatever their size; None when there is none."""
        return self._blobs.get(key)

    def head(self, key: str) -> Meta | None:
        """Return an object's metadata; None when there is none."""
        found = self._blobs.get(key)
        return found.meta if found else None

    def get_range(self, meta: Meta, start: int, end: int) -> bytes:
        """Return a part of an object's bytes."""
        part: bytes = self._blobs[meta.key].data[start:end].to_pybytes()
        return part

    def list(self, prefix: str) -> list[Meta]:
        """Return all objects below a folder, in order of their names."""
        return [self._blobs[key].meta for key in sorted(self._blobs) if not prefix or key.startswith(f"{prefix}/")]

    def put(self, key: str, data: bytes, *, replaces: Meta | None) -> None:  # noqa: ARG002
        """Raise LakeError."""
        raise LakeError(f"{self.url}/{key} could not be written: this is a copy in memory, of a moment")

    def delete(self, keys: Sequence[str]) -> None:
        """Raise LakeError."""
        raise LakeError(f"{self.url}/{keys[0]} could not be deleted: this is a copy in memory, of a moment")


def _shards(store: Store, known: Mapping[str, Blob], listing: Listing) -> frozenset[str]:
    """Return the names of the shards that are united; none for a lake without shards."""
    meta = _network_of(listing)
    if meta is None:
        return frozenset()
    found = members(Frozen(known) if _same(known.get(NETWORK_KEY), meta) else store)
    return frozenset(() if found is None else found.names)


def _network_of(listing: Listing) -> Meta | None:
    return next((meta for meta in listing.metas if meta.key == NETWORK_KEY), None)


def _shard_of(key: str) -> str:
    """Return the shard of an object; empty for what is in none."""
    folder, _, rest = key.partition("/")
    return folder.removeprefix(SHARD_FOLDER) if rest and folder.startswith(SHARD_FOLDER) else ""


def _held(key: str, shards: frozenset[str]) -> bool:
    folder, _, rest = key.partition("/")
    if shards:
        return key in (NETWORK_KEY, ALERTS_KEY) or (_shard_of(key) in shards and _held(rest, frozenset()))
    return key in _HELD_KEYS or (bool(rest) and folder in _HELD)


def _same(blob: Blob | None, meta: Meta) -> bool:
    """Return True if an object is the version that is listed; without e-tags nobody knows."""
    return blob is not None and meta.e_tag is not None and (blob.meta.e_tag, blob.meta.size) == (meta.e_tag, meta.size)
