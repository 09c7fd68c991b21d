"""Keep readings that have expired: one Parquet file a day, `date=YYYY-MM-DD/readings.parquet`.

The lake's readers never look there, and nothing here is ever deleted. Whoever cleans up brings what expires, a quarter
of an hour or a day at a time, and deletes it from the lake when it is stored here. Rows are united as those of a lake
that follows another one (`follow`), so the same rows may come from several cleaners, in any order and again.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import cached_property, partial

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.errors import LakeError
from flood_assets.lake import follow
from flood_assets.lake.layout import DAMAGED, QUARANTINE, archive_key
from flood_assets.lake.objects import Blob, ConflictError
from flood_assets.lake.opening import open_store
from flood_assets.lake.parquet import DamagedWindowError, WindowFile, encode
from flood_assets.lake.s3 import S3Settings
from flood_assets.lake.store import Patience, Revision, Store
from flood_assets.partitions import utc
from flood_assets.schemas import READINGS

# Measured on a simple day of 5,000 gauges, 480,000 readings: in groups of 4,096 rows it takes 1.4 MB, with 65,536 rows
# 0.6 MB, and one gauge is read in 10 ms. To bring a quarter of an hour more into the file takes half a second of CPU.
ROW_GROUP_ROWS = 65_536

logger = logging.getLogger("flood_assets.lake")


class ArchiveError(LakeError):
    """Archive that could not be read or written."""


class Archive:
    """Archive of expired readings, a file a day.

    Args:
        url: for messages.
        opened: opens its store, when it is first needed: a lake is cleaned up although the archive is away.
        prefix: of all names in that store.
    """

    def __init__(self, url: str, opened: Callable[[], Store], prefix: str = "") -> None:
        self.url = url
        self._opened, self._prefix = opened, prefix

    @classmethod
    def beside(
        cls, lake: Store, place: str, *, s3: S3Settings | None = None, patience: Patience | None = None
    ) -> "Archive":
        """Return the archive of a lake: a folder of the lake's own, by its name, or any place with a URL."""
        if "://" in place:
            return cls(place, partial(open_store, place, s3, patience))
        return cls(f"{lake.url}/{place}", lambda: lake, f"{place}/")

    def keep(self, rows: pa.Table) -> int:
        """Store readings, each in the file of its UTC day; return how many rows these days had not had.

        Nothing is written where all are known.

        Args:
            rows: schema `READINGS`.

        Raises:
            ArchiveError: some are not stored.
        """
        days = pc.floor_temporal(rows["date_time"], unit="day")
        return sum(
            self._keep_day(utc(day), rows.filter(pc.equal(days, day))) for day in sorted(pc.unique(days).to_pylist())
        )

    def keep_damaged(self, name: str, data: bytes) -> None:
        """Store the bytes of a window that cannot be read, by its name below `_quarantine/`; ArchiveError if not."""
        kept_as = f"{self._prefix}{DAMAGED}{name.removeprefix(QUARANTINE)}"
        try:
            with suppress(ConflictError):  # the same bytes are there
                self._store.put(kept_as, data, replaces=None)
        except LakeError as error:
            raise self._error(error) from error
        logger.error("%s has expired and could not be read: its bytes are kept in the archive, as %s", name, kept_as)

    @cached_property
    def _store(self) -> Store:
        return self._opened()

    def _keep_day(self, day: datetime, new: pa.Table) -> int:
        try:
            key = self._prefix + archive_key(day)
            place = f"{self._store.url}/{key}"

            def united(blob: Blob | None) -> Revision[int]:
                stored = None
                if blob is not None:
                    file = WindowFile(READINGS, place, blob.data)
                    file.require_format()
                    stored = file.read(strict=True)
                rows, counts = follow.united(stored, new)
                changed = counts.added + counts.revised
                data = encode(READINGS, rows, row_group_rows=ROW_GROUP_ROWS) if changed else None
                return Revision(data, changed)

            return self._store.update(key, united)
        except DamagedWindowError as error:
            raise ArchiveError(
                f"{error.place} cannot be read: {error.reason}. Put back a sound copy or move it away; until then the "
                "readings of its day stay in the lake"
            ) from error
        except LakeError as error:
            raise self._error(error) from error

    def _error(self, error: LakeError) -> ArchiveError:
        told = str(error).rstrip(". ")
        return ArchiveError(f"{told}. Readings that have expired stay in the lake until they are archived")
