"""Read a store through another one: a folder of it, or all of it, noting whether there is a lake."""

import threading
from collections.abc import Sequence
from dataclasses import replace

from flood_assets.errors import LakeError
from flood_assets.lake.layout import ALERTS_KEY, CURRENT, PUBLISHED, WATERMARKS_KEY
from flood_assets.lake.objects import Blob, Meta
from flood_assets.lake.store import Store
from flood_assets.schemas import TABLES

# Alerts are judged over all shards.
_OF_ALL = (f"{ALERTS_KEY.partition('/')[0]}/", f"{PUBLISHED}/")


class Within(Store):
    """The objects below a folder of another store. They are only read: `Lake.open` with its URL opens it for writing.

    Args:
        store: the other one.
        folder: such as "shard=level".

    Attributes:
        misses: how often something was looked for that is not there, or a folder was listed, which tells of nothing
            that is missing.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self.url = f"{store.url}/{folder}"
        self.local = store.local
        self._store, self._folder = store, f"{folder}/"
        self.misses, self._counting = 0, threading.Lock()

    def get(self, key: str, *, whole_up_to: int | None = None) -> Blob | Meta | None:
        """Return an object's bytes, as `Store.get`."""
        found = self._store.get(self._folder + key, whole_up_to=whole_up_to)
        if isinstance(found, Blob):
            return Blob(self._own(found.meta), found.data)
        return self._noted(found)

    def get_range(self, meta: Meta, start: int, end: int) -> bytes:
        """Return some bytes of exactly that version, as `Store.get_range`."""
        return self._store.get_range(replace(meta, key=self._folder + meta.key), start, end)

    def head(self, key: str) -> Meta | None:
        """Return an object's metadata, as `Store.head`."""
        return self._noted(self._store.head(self._folder + key))

    def list(self, prefix: str) -> list[Meta]:
        """Return all objects below a folder, as `Store.list`."""
        self._missed()
        return [self._own(meta) for meta in self._store.list((self._folder + prefix).rstrip("/"))]

    def put(self, key: str, data: bytes, *, replaces: Meta | None) -> None:  # noqa: ARG002
        """Raise LakeError."""
        raise LakeError(f"{self.url}/{key} could not be written: shards are only read here; open {self.url} itself")

    def delete(self, keys: Sequence[str]) -> None:
        """Raise LakeError."""
        raise LakeError(f"{self.url}/{keys[0]} could not be deleted: shards are only read here; open {self.url} itself")

    def _noted(self, found: Meta | None) -> Meta | None:
        if found is None:
            self._missed()
            return None
        return self._own(found)

    def _missed(self) -> None:
        with self._counting:
            self.misses += 1

    def _own(self, meta: Meta) -> Meta:
        return replace(meta, key=meta.key.removeprefix(self._folder))


class Root(Store):
    """All objects of another store; it knows if something of a lake was found among them.

    Attributes:
        found: True once there was.
        missed: objects that were looked for and are not there.
        refuses: why nothing but the state of the alerts may be written; empty if all may.
    """

    def __init__(self, store: Store) -> None:
        self.url, self.local = store.url, store.local
        self.found, self.refuses, self.missed = False, "", set[str]()
        self._store = store

    def get(self, key: str, *, whole_up_to: int | None = None) -> Blob | Meta | None:
        """Return an object's bytes, as `Store.get`."""
        found = self._store.get(key, whole_up_to=whole_up_to)
        self._note(key, there=found is not None)
        return found

    def get_range(self, meta: Meta, start: int, end: int) -> bytes:
        """Return some bytes of exactly that version, as `Store.get_range`."""
        return self._store.get_range(meta, start, end)

    def head(self, key: str) -> Meta | None:
        """Return an object's metadata, as `Store.head`."""
        found = self._store.head(key)
        self._note(key, there=found is not None)
        return found

    def list(self, prefix: str) -> list[Meta]:
        """Return all objects below a folder, as `Store.list`."""
        found = self._store.list(prefix)
        for meta in found:
            self._note(meta.key, there=True)
        return found

    def put(self, key: str, data: bytes, *, replaces: Meta | None) -> None:
        """Write an object, as `Store.put`; LakeError if that may not be written."""
        self._require_writable([key])
        self._store.put(key, data, replaces=replaces)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, as `Store.delete`; LakeError if one may not be."""
        self._require_writable(keys)
        self._store.delete(keys)

    def _require_writable(self, keys: Sequence[str]) -> None:
        if self.refuses and not all(key.startswith(_OF_ALL) for key in keys):
            raise LakeError(self.refuses)

    def _note(self, key: str, *, there: bool) -> None:
        folder, _, rest = key.partition("/")
        if not there:
            self.missed.add(key)
        self.found |= there and (key == WATERMARKS_KEY or (bool(rest) and (folder in TABLES or folder == CURRENT)))
