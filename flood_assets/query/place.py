"""Open the lake of a question, by URL, path or as an open `Lake`, and keep its newest snapshots at hand.

A URL below which there are shards is read as one lake, see `flood_assets.lake.united`.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import pyarrow as pa

from flood_assets.errors import LakeError
from flood_assets.lake.lake import Lake
from flood_assets.lake.united import reading
from flood_assets.partitions import is_expired
from flood_assets.places import folder_of, is_api, lake_url
from flood_assets.query.filters import shown
from flood_assets.schemas import READINGS, Table


class Opener(Protocol):
    """An object that opens a lake with settings of its own, as `flood_assets.defs.resources.LakeResource` does."""

    def open(self) -> Lake: ...  # noqa: D102


LakePlace = str | os.PathLike[str] | Lake | Opener


@dataclass(frozen=True)
class Result:
    """The answer to a question.

    Attributes:
        rows: the answer; an empty one has its columns.
        notes: why it is empty, or less than was asked for, and what to do; empty when there is nothing to say.
        missing: the first of the notes, if any: which shards could not be read, and why.
    """

    rows: pa.Table
    notes: list[str]
    missing: Sequence[str] = ()


@dataclass
class Place:
    """A lake at a moment; `lake` is None when there is no such folder, which is not made.

    `columns` names those of a snapshot that are read; None for all.
    """

    url: str
    now: datetime
    lake: Lake | None
    columns: Callable[[Table], Sequence[str]] | None = None
    _snapshots: dict[str, pa.Table | None] = field(default_factory=dict)

    @classmethod
    def of(cls, lake: LakePlace, now: datetime, columns: Callable[[Table], Sequence[str]] | None = None) -> "Place":
        """Open a lake as `Lake.open` does, with its errors; for `s3://` the usual AWS configuration applies."""
        opened = lake if isinstance(lake, Lake) else opened_if_there(lake)
        if opened is None:
            return cls(_url_of(lake), now, None, columns)
        return cls(opened.url, now, reading(opened), columns)

    def result(self, rows: pa.Table, notes: Iterable[str]) -> Result:
        """Return an answer with its notes, each once; what is missing of shards comes first."""
        missing = tuple(self.lake.troubles) if self.lake is not None else ()
        return Result(rows, list(dict.fromkeys([*missing, *notes])), missing)

    def snapshot(self, table: Table) -> pa.Table | None:
        """Return the newest snapshot, read once; None without one."""
        if self.lake is None:
            return None
        if table.name not in self._snapshots:
            columns = self.columns and self.columns(table)
            self._snapshots[table.name] = self.lake.newest_snapshot(table, self.now, columns=columns)
        return self._snapshots[table.name]

    def why_nothing(self, table: Table) -> str:
        """Return why a table has no rows and what to do; empty when it has a retained window."""
        stored = [] if self.lake is None else self.lake.windows(table)
        fill = self._fill(table)
        if self.lake is None:
            return f"there is no lake at {self.url}: {fill}, or name another one with FLOOD_LAKE_URL or lake="
        if not stored:
            return f"the lake {self.url} has no {table.name} yet: {fill}"
        newest = stored[-1].window
        if is_expired(newest, self.now):
            return f"the newest {table.name} in the lake {self.url} are from {shown(newest)}, over a day ago: {fill}"
        if stored[0].window > self.now:
            return f"the lake {self.url} begins at {shown(stored[0].window)}, after now, which is {shown(self.now)}"
        return ""

    def _fill(self, table: Table) -> str:
        """Return how to get rows of a table."""
        source = None
        with suppress(LakeError):  # it is said elsewhere
            source = self.lake and self.lake.source()
        if source and not is_api(source):
            if table is READINGS:
                return f"run `FLOOD_LAKE_URL={self.url} flood-assets consume {source}`"
            return f"it follows {source}, which brings readings only"
        return f"run `FLOOD_LAKE_URL={self.url} flood-assets refresh`"

    def why_no_snapshot(self, table: Table) -> str:
        """Return why there is no newest snapshot, and what to do."""
        return self.why_nothing(table) or f"no window of {table.name} can be read: see the log"


def opened_if_there(lake: str | os.PathLike[str] | Opener) -> Lake | None:
    """Open a lake, as one to be written too; None when there is no such folder: opening would make a mistyped one."""
    folder = folder_of(_url_of(lake))
    if folder and not folder.is_dir():
        return None
    return Lake.open(lake) if isinstance(lake, str | os.PathLike) else lake.open()


def _url_of(lake: LakePlace) -> str:
    if isinstance(lake, Lake):
        return lake.url
    return lake_url(lake) if isinstance(lake, str | os.PathLike) else getattr(lake, "lake_url", "")
