"""A folder as an obstore store, but for how it writes and reads.

It writes under a name that no reader looks at, and renames: obstore writes `readings.parquet#1` beside
`readings.parquet`, and whoever reads the folder as a whole, as pyarrow's datasets and Spark do, takes that for a
window: half of one while it is written, none when it has been renamed, and for ever when the writer was killed. A name
that starts with a dot they all pass over.
"""

import os
import re
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore

from flood_assets.lake.store import Blob, Meta
from flood_assets.partitions import EPOCH

# What is being written, and what obstore leaves behind where it writes by itself: a copy.
_UNFINISHED = re.compile(r"\.(?P<ours>.+)\.part|(?P<copied>.+)#\d+")


class FolderStore(LocalStore):
    """A folder whose files are whole at each moment for everybody."""

    def put(self, path: str, file: bytes, *, mode: Literal["create", "overwrite"], **_: Any) -> None:  # type: ignore[override]
        """Write a file whole; whoever does so holds its lock, so that there is one unfinished file for each at most.

        Raises:
            AlreadyExistsError: it was to be created and is there.
        """
        place = Path(self.prefix or ".") / path
        if mode == "create" and place.exists():
            raise AlreadyExistsError(f"{place} exists")
        unfinished = place.with_name(f".{place.name}.part")
        try:
            _write(unfinished, file)
            unfinished.replace(place)
        except BaseException:
            with suppress(OSError):
                unfinished.unlink()
            raise


def read(folder: Path, key: str, whole_up_to: int | None) -> Blob | Meta:
    """A file's bytes, as `Store.get` gives them: obstore reads it in another thread, which takes several times as long.

    Raises:
        OSError: it cannot be read; FileNotFoundError when there is none.
    """
    try:
        file = open(f"{folder}/{key}", "rb", buffering=0)  # noqa: PTH123, SIM115 - a Path takes as long as the reading
    except IsADirectoryError as error:
        raise FileNotFoundError(str(error)) from error
    with file:
        stat = os.fstat(file.fileno())
        changed_us = stat.st_mtime_ns // 1000
        # The tag is obstore's, by which `Store.put` and `Store.get_range` tell whether a file was replaced.
        e_tag = f'"{stat.st_ino:x}-{changed_us:x}-{stat.st_size:x}"'
        meta = Meta(key, stat.st_size, e_tag, EPOCH + timedelta(microseconds=changed_us))
        if whole_up_to is not None and meta.size > whole_up_to:
            return meta
        return Blob(meta, pa.py_buffer(file.read()))


def finished(path: Path) -> Path | None:
    """The file that an unfinished one was to become; None when it is none."""
    match = _UNFINISHED.fullmatch(path.name)
    return path.with_name(match["ours"] or match["copied"]) if match else None


def _write(path: Path, data: bytes) -> None:
    for _ in range(3):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.write_bytes(data)
        except FileNotFoundError:
            # Whoever deleted the last file of the folder has taken it along.
            continue
        return
    raise FileNotFoundError(f"{path.parent} is deleted as fast as it is made")
