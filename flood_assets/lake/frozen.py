"""Hold a lake as it was at a moment: the bytes of its objects in memory, which nobody changes.

All that reads a `Store` reads this one, so each question about the lake has an answer that no writer disturbs. A next
one shares the objects that stayed the same.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from flood_assets.errors import LakeError
from flood_assets.lake.layout import ALERTS_KEY, CURRENT, FAILURE, IDENTITY, WATERMARKS_KEY
from flood_assets.lake.objects import Blob, Meta
from flood_assets.lake.pipeline import all_of
from flood_assets.lake.store import Store
from flood_assets.schemas import TABLES

# Objects that are read at once: in a distant bucket each waits for its answer.
_READERS = 8
_HELD = (*TABLES, CURRENT)
_HELD_KEYS = (IDENTITY, FAILURE, WATERMARKS_KEY, ALERTS_KEY)


class Frozen(Store):
    """Objects of a lake in memory: all but quarantine, locks and strangers' files. It cannot be written."""

    local = True
    # Messages name it, and those who read them over HTTP are not to know where the lake is.
    url = "served-lake"

    def __init__(self, blobs: Mapping[str, Blob]) -> None:
        self._blobs = blobs

    @classmethod
    def of(cls, store: Store, before: "Frozen | None" = None, listed: Sequence[Meta] | None = None) -> "Frozen":
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
        known = before._blobs if before else {}
        listed = [meta for meta in (store.list("") if listed is None else listed) if _held(meta.key)]
        blobs = {meta.key: known[meta.key] for meta in listed if _same(known.get(meta.key), meta)}
        if before is not None and len(blobs) == len(listed) == len(known):
            return before
        missing = [meta.key for meta in listed if meta.key not in blobs]
        read = all_of(store.read, missing, 1 if store.local else _READERS)
        # One that is gone meanwhile had expired.
        blobs |= {key: blob for key, blob in zip(missing, read, strict=True) if blob is not None}
        frozen = cls(blobs)
        marks = next((meta.e_tag for meta in listed if meta.key == WATERMARKS_KEY), None)
        # A refresh replaces them last. If they are newer than the listing, windows may be too.
        return frozen if frozen.e_tag(WATERMARKS_KEY) == marks else cls.of(store, frozen)

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


def _held(key: str) -> bool:
    folder, _, rest = key.partition("/")
    return key in _HELD_KEYS or (bool(rest) and folder in _HELD)


def _same(blob: Blob | None, meta: Meta) -> bool:
    """Return True if an object is the version that is listed; without e-tags nobody knows."""
    return blob is not None and meta.e_tag is not None and (blob.meta.e_tag, blob.meta.size) == (meta.e_tag, meta.size)
