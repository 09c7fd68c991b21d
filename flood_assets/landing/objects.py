"""Name and encode what is stored of a push: a batch that waits, and its receipt once it is ingested.

A batch is `landing/{publisher}/{batch id}`, a receipt `receipts/{publisher}/{batch id}`, and a batch that cannot be
decoded is kept as `_quarantine/landing/{publisher}/{batch id}`. All are JSON, a batch compressed with gzip, whose
checksum finds damage. A receipt is followed by its batch, from which a damaged window of readings is filled again.
"""

import gzip
import re
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec

from flood_assets.lake.layout import LANDING, QUARANTINE, RECEIPTS
from flood_assets.landing.errors import PushError

DEAD = f"{QUARANTINE}/{LANDING}"

# A publisher's name is also the prefix of its ids, and a folder.
_PUBLISHER = re.compile(r"[A-Za-z0-9][\w@-]*(\.[\w@-]+)*", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9][\w-]*(\.[\w-]+)*", re.ASCII)
_LONGEST_ID = 100


# The lists that a batch may have: of readings, and of the gauges that they belong to.
Listing = Literal["readings", "stations", "measures"]
# A station or a measure as JSON keeps it: its columns that are not null, dates as days and times as ms since 1970; or
# its id and `removed`.
Gauge = Mapping[str, str | float | int | bool]


class Reason(msgspec.Struct, frozen=True):
    """Why a row was refused, and its number in its list, from 1.

    Attributes:
        row: its number.
        reason: why.
        list: the list.
    """

    row: int
    reason: str
    list: Listing = "readings"


class Refused(msgspec.Struct, frozen=True):
    """A row that was refused: its number in its list, from 1, why, the row as far as it is kept, and the list."""

    row: int
    reason: str
    line: str = ""
    list: str = "readings"

    @property
    def told(self) -> Reason:
        """Number and reason, without the row, which its publisher has."""
        return Reason(self.row, self.reason, self.list)  # type: ignore[arg-type] # the name of a list's table


class Rows(msgspec.Struct, frozen=True):
    """Accepted readings, as columns; each key once. Times are ms since 1970."""

    measure_id: list[str]
    date_time: list[int]
    value: list[float | None]
    raw_value: list[str | None]


class States(msgspec.Struct, frozen=True):
    """The other columns of readings that another lake published, as they are there. Times are ms since 1970."""

    station_id: list[str | None]
    first_seen_at: list[int]
    changed_at: list[int]
    previous_value: list[float | None]
    revision: list[int]


class Batch(msgspec.Struct, frozen=True, omit_defaults=True):
    """A batch that waits.

    Attributes:
        publisher: name of the key that it came with, or of the stream.
        id: the publisher's `Idempotency-Key`, or of the content's digest; of a stream, of the position too.
        digest: of the content as it was sent.
        landed_at: when it came; the readings are first seen then, unless `states` say when.
        given: rows that were sent.
        repeated: rows whose key came again later in the batch; the last one counts.
        readings: accepted rows.
        refused: some of the refused rows, in their order.
        refused_rows: number of all of them.
        states: of readings from a stream, which are stored as they are in the lake that published them.
        stations: accepted stations, each once.
        measures: accepted measures, each once.
    """

    publisher: str
    id: str
    digest: str
    landed_at: datetime
    given: int
    repeated: int
    readings: Rows
    refused: Sequence[Refused] = ()
    refused_rows: int = 0
    stations: Sequence[Gauge] = ()
    measures: Sequence[Gauge] = ()
    states: States | None = None

    @property
    def rows(self) -> int:
        """Number of accepted rows, each key once."""
        return len(self.readings.measure_id) + len(self.stations) + len(self.measures)

    @property
    def columns(self) -> dict[str, list[Any]]:
        """All columns of the readings, by name."""
        parts: list[Rows | States] = [self.readings] if self.states is None else [self.readings, self.states]
        return {name: column for part in parts for name, column in msgspec.structs.asdict(part).items()}


class Receipt(msgspec.Struct, frozen=True):
    """The fate of a batch, as its publisher is told it.

    Attributes:
        id: of the batch.
        publisher: who pushed it.
        digest: of its content.
        landed_at: when it came.
        state: `expected` until an upload has come; `waiting` until it is ingested; `refused` if nothing of an upload
            could be taken; `unreadable` if what was stored of a batch was damaged: it is to be sent again under another
            id.
        rows: rows that were sent.
        accepted: rows that are or will be stored.
        rejected: rows that were refused.
        repeated: accepted rows whose key came again later in the batch; the last one counts.
        reasons: why, of the first of those.
        ingested_at: when it was ingested; null as long as it waits, and so are the counts below.
        added: readings that were new.
        revised: readings that replaced another value.
        unchanged: readings that changed nothing.
        expired: readings that had become a day old before they were ingested.
        listed: stations and measures that were taken into their lists.
        removed: stations and measures that were taken from them.
        why: why an upload was refused as a whole; else null.
    """

    id: str
    publisher: str
    digest: str
    landed_at: datetime
    state: Literal["expected", "waiting", "ingested", "refused", "unreadable"]
    rows: int
    accepted: int
    rejected: int
    repeated: int
    reasons: Sequence[Reason] = ()
    ingested_at: datetime | None = None
    added: int | None = None
    revised: int | None = None
    unchanged: int | None = None
    expired: int | None = None
    listed: int | None = None
    removed: int | None = None
    why: str | None = None

    @classmethod
    def of(cls, batch: Batch) -> "Receipt":
        """Return the receipt of a batch that waits."""
        return cls(
            id=batch.id,
            publisher=batch.publisher,
            digest=batch.digest,
            landed_at=batch.landed_at,
            state="waiting",
            rows=batch.given,
            accepted=batch.rows + batch.repeated,
            rejected=batch.refused_rows,
            repeated=batch.repeated,
            reasons=[each.told for each in batch.refused],
        )


class DamagedBatchError(Exception):
    """An object below `landing/` or `receipts/` that cannot be decoded."""


class Place(NamedTuple):
    """Publisher and batch id, and the names of the objects that belong to them."""

    publisher: str
    id: str

    @classmethod
    def of(cls, publisher: str, id_: str) -> "Place":
        """Return the place of a batch; PushError for names that cannot be those of objects."""
        if not _PUBLISHER.fullmatch(publisher):
            raise PushError(
                f"'{publisher}' cannot push: a publisher's name has letters, digits and _ - @, and single dots between "
                "them. The operator can make another key"
            )
        if not _ID.fullmatch(id_) or len(id_) > _LONGEST_ID:
            raise PushError(
                f"'{id_[:_LONGEST_ID]}' is no id of a batch: expected up to {_LONGEST_ID} letters, digits, _ and -, "
                "and single dots between them, such as a UUID"
            )
        return cls(publisher, id_)

    @classmethod
    def of_key(cls, key: str) -> "Place | None":
        """Return the place of an object below `landing/`; None for a stranger's file."""
        folder, _, rest = key.partition("/")
        publisher, _, id_ = rest.partition("/")
        ours = folder == LANDING and _PUBLISHER.fullmatch(publisher) and _ID.fullmatch(id_)
        return cls(publisher, id_) if ours else None

    @property
    def batch(self) -> str:
        """The name of the batch."""
        return f"{LANDING}/{self.publisher}/{self.id}"

    @property
    def receipt(self) -> str:
        """The name of the receipt."""
        return f"{RECEIPTS}/{self.publisher}/{self.id}"

    @property
    def dead(self) -> str:
        """The name under which an undecodable batch is kept."""
        return f"{DEAD}/{self.publisher}/{self.id}"


def encode_batch(batch: Batch) -> bytes:
    """Return a batch as it is stored; the same batch has the same bytes."""
    return gzip.compress(msgspec.json.encode(batch), 1, mtime=0)


def decode_batch(data: bytes) -> Batch:
    """Return a stored batch; DamagedBatchError if it is none."""
    try:
        batch = msgspec.json.decode(gzip.decompress(data), type=Batch)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DamagedBatchError(str(error)) from error
    if len({len(column) for column in batch.columns.values()}) > 1 or batch.landed_at.tzinfo is None:
        raise DamagedBatchError("its columns have different lengths, or its time has no zone")
    return batch


def encode_receipt(receipt: Receipt, batch: bytes = b"") -> bytes:
    """Return a receipt as it is answered, or with the encoded batch behind it, as it is stored."""
    return msgspec.json.encode(receipt) + (b"\n" + batch if batch else b"")


def decode_receipt(data: bytes) -> Receipt:
    """Return a stored receipt; DamagedBatchError if it is none."""
    try:
        return msgspec.json.decode(data.partition(b"\n")[0], type=Receipt)
    except ValueError as error:
        raise DamagedBatchError(str(error)) from error


def batch_of_receipt(data: bytes) -> Batch | None:
    """Return the batch that a stored receipt belongs to; None for one that had no readings to keep.

    Raises:
        DamagedBatchError: it cannot be decoded.
    """
    batch = data.partition(b"\n")[2]
    return decode_batch(batch) if batch else None
