"""Open a lake by its URL; read and write its hourly Parquet windows; never return rows older than 24 hours.

`Lake` delegates to `write`, `quarantine`, `retention`, `identity` and `failure`; what only reads is in `reader`.
Nothing here looks at the clock: `now` is an argument.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from flood_assets.lake import failure, identity, quarantine, retention, write
from flood_assets.lake.archive import Archive
from flood_assets.lake.current import Present
from flood_assets.lake.failure import RunFailure
from flood_assets.lake.opening import open_store
from flood_assets.lake.read import Content
from flood_assets.lake.reader import Reader
from flood_assets.lake.retention import Expiry
from flood_assets.lake.s3 import S3Settings
from flood_assets.lake.store import Patience, Store
from flood_assets.lake.write import WRITERS, Upserted, WindowChange
from flood_assets.schemas import TABLES, Table

if TYPE_CHECKING:  # few networks have shards
    from flood_assets.network import Shard

_ALL = tuple(TABLES.values())

T = TypeVar("T")


class Lake(Reader):
    """The tables of `schemas` as hourly windows below one URL. Safe to use from several threads and processes.

    Every method raises LakeError when the lake cannot be read or written, ValueError for rows of another table.

    Args:
        store: its objects.
        writers: windows that are upserted at once; it has no influence on what is stored.
    """

    def __init__(self, store: Store, *, writers: int = WRITERS) -> None:
        super().__init__(store)
        self._writers = writers

    @classmethod
    def open(
        cls, place: str | os.PathLike[str], *, s3: S3Settings | None = None, patience: Patience | None = None
    ) -> "Lake":
        """Open the lake at a URL or path; a folder is made if need be, a bucket must exist.

        Args:
            place: a folder, `file:///folder`, `s3://bucket/prefix`, `az://container/prefix` or `gs://bucket/prefix`.
            s3: an object shaped like `dagster_aws.s3.S3Resource`; without it the usual AWS configuration applies.
            patience: limits how long a bucket is waited for.

        SettingsError for another kind of URL; LakeError without credentials, or if a folder cannot be made.
        """
        return cls(open_store(place, s3, patience))

    def each_shard(self, ask: Callable[["Lake"], T]) -> dict[str, T]:
        """Return what is asked of each of its shards, by name; of a lake without shards, of itself, by no name."""
        return {"": ask(self)}

    def claim(self, url: str, shard: "Shard | None" = None) -> None:
        """Make sure that this lake is filled from this API or stream, as this shard; else WrongLakeError."""
        identity.claim(self.store, url, shard)

    def require_api(self) -> None:
        """Refuse a lake that follows a stream: WrongLakeError says what fills it."""
        identity.require_api(self.store)

    def record_failure(self, step: str, at: datetime) -> None:
        """Remember that a step of a run failed."""
        failure.record(self.store, RunFailure(step, at))

    def upsert_readings(
        self, rows: pa.Table, observed_at: datetime, now: datetime, *, stations: pa.Table | None = None
    ) -> Upserted:
        """Upsert fetched readings into their windows, the oldest window first; see `write.upsert_readings`."""
        return write.upsert_readings(self.store, rows, observed_at, now, stations=stations, writers=self._writers)

    def follow_readings(self, rows: pa.Table, now: datetime) -> Upserted:
        """Take readings as another lake published them, the one changed last of each; see `write.follow_readings`."""
        return write.follow_readings(self.store, rows, now, writers=self._writers)

    def ensure_windows(self, table: Table, windows: Iterable[datetime]) -> None:
        """Store missing windows as empty ones: they were asked for, and there was nothing."""
        write.ensure_windows(self.store, table, windows)

    def put_snapshots(
        self, table: Table, windows: Iterable[datetime], rows: pa.Table, present: Present | None = None
    ) -> list[WindowChange]:
        """Replace windows of a snapshot, and its present by `present` or the same rows; see `write.put_snapshots`."""
        return write.put_snapshots(self.store, table, windows, rows, present)

    def put_listed(self, table: Table, rows: pa.Table, removed: Mapping[str, datetime], now: datetime) -> WindowChange:
        """Upsert rows of a list that publishers pushed, or remove some; see `write.put_listed`."""
        return write.put_listed(self.store, table, rows, removed, now)

    def carry_listed(self, table: Table, now: datetime) -> None:
        """Carry what publishers listed into the window of now, where no refresh does; see `write.carry_listed`."""
        write.carry_listed(self.store, table, now)

    def put_state(self, table: Table, rows: pa.Table, now: datetime) -> list[WindowChange]:
        """Replace the state of things in the window of `now`; see `write.put_state`."""
        return write.put_state(self.store, table, rows, now)

    def add_rejects(self, rows: pa.Table) -> list[WindowChange]:
        """Add rows to `rejects`, each in the window of its `seen_at`; a line is kept once, as first seen."""
        return write.add_rejects(self.store, rows)

    def quarantine(self, table: Table, window: datetime) -> str | None:
        """Move a damaged window below `_quarantine/` and return its new name; None when it is not damaged."""
        return quarantine.quarantine(self.store, table, window)

    def inspect(self, table: Table, windows: Sequence[datetime]) -> tuple[dict[datetime, Content], dict[datetime, str]]:
        """Return the content of windows by their footers; quarantine those with damaged ones and return their names."""
        return quarantine.inspect(self.store, table, windows)

    def damaged(self, table: Table) -> list[datetime]:
        """Return the windows of a table that cannot be read, oldest first; each is decoded whole."""
        return quarantine.damaged(self.store, table)

    def expired(self, now: datetime, *, tables: Iterable[Table] = _ALL) -> list[Expiry]:
        """Return what `expire` would do, cheaply: `rows` are not looked up."""
        return retention.expired(self.store, now, tables)

    def expire(
        self, now: datetime, *, dry_run: bool = False, tables: Iterable[Table] = _ALL, archive: Archive | None = None
    ) -> list[Expiry]:
        """Delete rows older than a day, once they are archived, and make sure that they are gone; LakeError if not."""
        return retention.expire(self.store, now, tables, dry_run=dry_run, archive=archive)
