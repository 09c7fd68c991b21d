"""Keep objects as files of a folder: compare and swap under a lock file, and write so that readers see whole files.

A file is written under a name that no reader looks at, and renamed: obstore writes `readings.parquet#1` beside
`readings.parquet`, and whoever reads the folder as a whole, as pyarrow's datasets and Spark do, takes that for a
window: half of one while it is written, none when it has been renamed, and for ever when the writer was killed. A name
that starts with a dot they all pass over.
"""

# ruff: noqa: PLC0415 - obstore is imported when a lake is opened

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pyarrow as pa

from flood_assets.errors import LakeError
from flood_assets.lake.layout import LOCKS, lock_of
from flood_assets.lake.objects import Blob, ConflictError, Meta
from flood_assets.lake.store import Store
from flood_assets.partitions import EPOCH

# A lock is held while one file is compared and replaced: milliseconds. A minute means that its holder is stuck.
LOCK_TIMEOUT_S = 60
# A file that is being written, and one that obstore leaves behind where it writes by itself: a copy.
_UNFINISHED = re.compile(r"\.(?P<ours>.+)\.part|(?P<copied>.+)#\d+")


class Folder(Store):
    """A folder whose files are whole at each moment for everybody."""

    local = True

    def __init__(self, url: str, folder: Path) -> None:
        from obstore.store import LocalStore

        super().__init__(url, LocalStore(folder, automatic_cleanup=True))
        self._folder = folder

    def get(self, key: str, *, whole_up_to: int | None = None) -> Blob | Meta | None:
        """Return a file's bytes, not by obstore: it reads in another thread, which takes several times as long."""
        with self._explained(key, "read"):
            try:
                file = open(f"{self._folder}/{key}", "rb", buffering=0)  # noqa: PTH123, SIM115 - a Path is slow
            except (FileNotFoundError, IsADirectoryError):
                return None
            with file:
                meta = _meta(key, os.fstat(file.fileno()))
                if whole_up_to is not None and meta.size > whole_up_to:
                    return meta
                return Blob(meta, pa.py_buffer(file.read()))

    def put(self, key: str, data: bytes, *, replaces: Meta | None) -> None:
        """Write a file as `Store.put` says; LakeError also if its lock was not free within a minute.

        It is compared and renamed under its lock, so that there is one unfinished file for each at most.
        """
        place = self._folder / key
        unfinished = place.with_name(f".{place.name}.part")
        with self.locked(key), self._explained(key, "written"):
            now = None
            with suppress(FileNotFoundError):
                now = _meta(key, place.stat())
            if (now and now.e_tag) != (replaces and replaces.e_tag):
                raise ConflictError(key)
            try:
                _write(unfinished, data)
                unfinished.replace(place)
            except BaseException:
                with suppress(OSError):
                    unfinished.unlink()
                raise

    def delete(self, keys: Sequence[str]) -> None:
        """Delete files and the folders that this leaves empty; those that are gone already are no error."""
        for key in keys:
            with self._explained(key, "deleted"), suppress(FileNotFoundError):
                self._objects.delete(key)

    def delete_unchanged(self, meta: Meta) -> bool:
        """Delete a file under its lock, so that no write comes in between."""
        with self.locked(meta.key):
            return super().delete_unchanged(meta)

    def sweep(self) -> int:
        """Delete unfinished files of killed writers; return their number. A file that is being written stays."""
        swept = 0
        for path in [path for pattern in (".*.part", "*#*") for path in self._folder.rglob(pattern)]:
            if not (match := _UNFINISHED.fullmatch(path.name)):
                continue
            place = path.with_name(match["ours"] or match["copied"]).relative_to(self._folder)
            try:
                with self.locked(place.as_posix(), timeout=0):
                    path.unlink(missing_ok=True)
                    swept += 1
            except LakeError:
                continue
            except OSError as error:
                raise LakeError(f"{path}: a killed run's file could not be deleted: {error.strerror}") from error
        return swept

    def space(self) -> tuple[int, int] | None:
        """Return the bytes that are free for us and those of the whole disk; None if the system does not say."""
        try:
            found = shutil.disk_usage(self._folder)
        except OSError:
            return None
        return found.free, found.total

    @contextmanager
    def locked(self, key: str, *, timeout: float = LOCK_TIMEOUT_S) -> Iterator[None]:
        """Hold the lock of a file; the operating system releases it when its holder dies.

        Raises:
            LakeError: it was not free within `timeout` seconds, or cannot be made.
        """
        import filelock

        path = self._folder / lock_of(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A soft lock outlives a killed process, so there is no falling back to one.
            lock = filelock.FileLock(path, timeout=timeout, poll_interval=0.005, fallback_to_soft=False)
            lock.acquire()
        except filelock.Timeout:
            raise LakeError(
                f"{path}: another process has held this lock for {timeout:.0f} s: end it, and the lock is free"
            ) from None
        except OSError as error:
            raise self._error(LOCKS, "locked", f"{error} (os error {error.errno})") from error
        try:
            yield
        finally:
            lock.release()


def _meta(key: str, stat: os.stat_result) -> Meta:
    """Return a file's metadata with obstore's e-tag, by which `get_range` recognises the version."""
    changed_us = stat.st_mtime_ns // 1000
    e_tag = f'"{stat.st_ino:x}-{changed_us:x}-{stat.st_size:x}"'
    return Meta(key, stat.st_size, e_tag, EPOCH + timedelta(microseconds=changed_us))


def _write(path: Path, data: bytes) -> None:
    for _ in range(3):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.write_bytes(data)
        except FileNotFoundError:
            # Whoever deleted the last file of the folder has deleted the folder too.
            continue
        return
    raise FileNotFoundError(f"{path.parent} is deleted as fast as it is made")
