"""Read a lake: the half of `Lake` that writes nothing, and that `united` does for several lakes at once.

Delegates to `read`, `watermarks`, `current`, `identity` and `failure`.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import pyarrow as pa

from flood_assets.lake import current, failure, identity, read, watermarks
from flood_assets.lake.failure import RunFailure
from flood_assets.lake.parquet import DamagedWindowError
from flood_assets.lake.read import Content, StoredWindow
from flood_assets.lake.store import Store
from flood_assets.lake.watermarks import Watermarks
from flood_assets.schemas import Table


class Reader:
    """Reading half of a lake; see `Lake`.

    Args:
        store: its objects.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def url(self) -> str:
        """The lake's URL, without a trailing slash."""
        return self.store.url

    @property
    def troubles(self) -> Sequence[str]:
        """Parts of shards that could not be read so far, and why; a lake without shards has none, and raises errors."""
        return ()

    @property
    def damages(self) -> Sequence[DamagedWindowError]:
        """Windows of shards that were left out as damaged so far; none for a lake without shards, which yields them."""
        return ()

    def source(self) -> str | None:
        """Return the URL of the API or stream that the lake is filled from; None as long as nobody has claimed it."""
        return identity.source(self.store)

    def last_failure(self) -> RunFailure | None:
        """Return the last failure, healed or not; None without one."""
        return failure.last(self.store)

    def watermarks(self) -> Watermarks | None:
        """Return the watermarks; None if there are none, or they are damaged."""
        return watermarks.load(self.store)

    def listed_at(self, table: Table) -> datetime | None:
        """Return when the present of a list was asked for; None if there is none, or it is damaged."""
        return current.asked_at(self.store, table)

    def each(
        self,
        table: Table,
        windows: Sequence[datetime],
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        now: datetime | None = None,
        columns: Sequence[str] | None = None,
        measure_ids: Iterable[str] | None = None,
        coded: bool = False,
    ) -> Iterator[tuple[datetime, pa.Table | DamagedWindowError]]:
        """Yield each window with its rows (with `now`, retained ones only) or with its damage; see `read.each`."""
        return read.each(
            self.store, table, windows, start=start, end=end, now=now, columns=columns, measure_ids=measure_ids,
            coded=coded,
        )  # fmt: skip

    def read(
        self,
        table: Table,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        now: datetime,
        columns: Sequence[str] | None = None,
        measure_ids: Iterable[str] | None = None,
        coded: bool = False,
    ) -> pa.Table:
        """Return the retained rows with `start <= time < end`, by window and within it by key; see `read.read`."""
        return read.read(self.store, table, start, end, now=now, columns=columns, measure_ids=measure_ids, coded=coded)

    def newest_snapshot(self, table: Table, now: datetime, *, columns: Sequence[str] | None = None) -> pa.Table | None:
        """Return a snapshot's newest retained rows, passing over damaged and empty windows; None without any."""
        return read.newest_snapshot(self.store, table, now, columns=columns)

    def windows(self, table: Table) -> list[StoredWindow]:
        """List a table's windows, oldest first, expired or not."""
        return read.windows(self.store, table)

    def footers(self, table: Table, windows: Sequence[datetime]) -> dict[datetime, Content | DamagedWindowError | None]:
        """Return each window's content by its footer, its damage, or None if it does not exist."""
        return read.footers(self.store, table, windows)

    def contents(self, table: Table, windows: Sequence[datetime]) -> dict[datetime, Content]:
        """Return each window's content by its footer; a window that does not exist is empty."""
        return read.contents(self.store, table, windows)
