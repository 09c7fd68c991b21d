"""A folder as an obstore store, but for how it writes: under a name that no reader looks at, then renamed.

obstore writes `readings.parquet#1` beside `readings.parquet`, and whoever reads the folder as a whole, as pyarrow's
datasets and Spark do, takes that for a window: half of one while it is written, none when it has been renamed, and for
ever when the writer was killed. A name that starts with a dot they all pass over.
"""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore

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
