"""Store a batch when it is pushed, find its receipt, and delete both after a day.

The order of reading and writing decides that nothing is lost and nothing is taken twice: a receipt is written before
its batch is deleted, and whoever lands a batch looks for a receipt once more afterwards.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flood_assets.errors import LakeError
from flood_assets.lake.layout import LANDING, RECEIPTS, window_of_again
from flood_assets.lake.objects import ConflictError, Meta
from flood_assets.lake.pipeline import in_order
from flood_assets.lake.store import Store
from flood_assets.landing.errors import OtherContentError
from flood_assets.landing.objects import (
    DEAD,
    Batch,
    DamagedBatchError,
    Place,
    Receipt,
    batch_of_receipt,
    decode_batch,
    encode_batch,
)
from flood_assets.landing.uploads import CONTENT, EXPECTED, GIVEN_UP, UPLOADS, UploadPlace, done

logger = logging.getLogger("flood_assets.landing")

# A batch whose id comes again within this time is known, and its readings can be stored again as long as they are
# retained: those of a clock that is ahead are so for some minutes more.
KEPT = timedelta(hours=24, minutes=10)
_THREADS = 8


def land(store: Store, batch: Batch) -> tuple[Receipt, bool]:
    """Store a batch whole; return its receipt, and True if it is new.

    The same content under the same id is not stored again, and has the receipt of before.

    Raises:
        OtherContentError: another content has this id.
        PushError: the publisher or the id cannot be a name.
        LakeError: the store failed: nothing is promised.
    """
    place = Place.of(batch.publisher, batch.id)

    def attempt() -> tuple[Receipt, bool]:
        if (known := find(store, place)) is not None:
            return _same(known, batch), False
        store.put(place.batch, encode_batch(batch), replaces=None)
        # Another batch of this id may have been ingested and deleted since: what has landed now is never ingested.
        ingested = done(store, place)
        return (Receipt.of(batch), True) if ingested is None else (_same(ingested, batch), False)

    return store.retry_conflicts(place.batch, attempt)


def find(store: Store, place: Place) -> Receipt | None:
    """Return the receipt of a batch, ingested or waiting; None for an unknown one.

    Raises:
        LakeError: the store failed, or what it holds is damaged.
    """
    # In this order: a receipt is there before its batch is gone.
    blob = store.read(place.batch)
    ingested = done(store, place)
    if ingested is not None or blob is None:
        return ingested
    try:
        return Receipt.of(decode_batch(blob.data.to_pybytes()))
    except DamagedBatchError as error:
        raise LakeError(
            f"{store.url}/{place.batch} is damaged ({error}): `flood-assets ingest` puts it aside, then send the batch "
            "again under another id"
        ) from error


@dataclass(frozen=True)
class Landed:
    """Batches and requests that wait to be ingested.

    Attributes:
        batches: those that wait, oldest first.
        lost: objects that ask for the pushed readings of a damaged window, and the window.
        uploads: files that were uploaded, oldest first.
        expected: announcements of files, oldest first.
    """

    batches: Sequence[tuple[Place, Meta]] = ()
    lost: Mapping[str, datetime] = field(default_factory=dict)
    uploads: Sequence[tuple[UploadPlace, Meta]] = ()
    expected: Sequence[tuple[UploadPlace, Meta]] = ()

    def overdue(self, now: datetime) -> list[UploadPlace]:
        """Return the uploads that are not expected any more."""
        here = {place for place, _ in self.uploads}
        return [place for place, meta in self.expected if meta.modified <= now - GIVEN_UP and place not in here]

    def due(self, now: datetime) -> bool:
        """Return whether there is anything to do."""
        return bool(self.batches or self.lost or self.uploads or self.overdue(now))


def landed(store: Store) -> Landed:
    """List what there is to ingest; strangers' files are left out."""
    return among(store.list(LANDING))


def among(listed: Iterable[Meta]) -> Landed:
    """Return what there is to ingest among the objects of a lake, as `landed` does."""
    found, lost = list[tuple[Place, Meta]](), dict[str, datetime]()
    uploaded, expected = list[tuple[UploadPlace, Meta]](), list[tuple[UploadPlace, Meta]]()
    for meta in sorted(listed, key=lambda each: (each.modified, each.key)):
        if (window := window_of_again(meta.key)) is not None:
            lost[meta.key] = window
        elif (place := Place.of_key(meta.key)) is not None:
            found.append((place, meta))
        elif (upload := UploadPlace.of_key(UPLOADS, meta.key)) is not None:
            uploaded.append((upload, meta))
        elif (upload := UploadPlace.of_key(EXPECTED, meta.key)) is not None:
            expected.append((upload, meta))
    return Landed(found, lost, uploaded, expected)


def kept(store: Store) -> Iterator[Batch]:
    """Yield the batches that were ingested within the last day; a damaged one is logged."""

    def load(key: str) -> Batch | None:
        blob = store.read(key)
        try:
            return None if blob is None else batch_of_receipt(blob.data.to_pybytes())
        except DamagedBatchError as error:
            logger.error("%s/%s: its batch cannot be decoded: %s", store.url, key, error)  # noqa: TRY400 - it says all
            return None

    keys = [meta.key for meta in store.list(RECEIPTS) if not meta.key.startswith(f"{RECEIPTS}/.")]
    yield from filter(None, in_order(load, keys, 1 if store.local else _THREADS))


def receive(store: Store, place: Place, receipt: Receipt, data: bytes) -> Receipt:
    """Store the receipt of a batch, and return it or the one that another run has stored meanwhile."""
    try:
        store.put(place.receipt, data, replaces=None)
    except ConflictError:
        return done(store, place) or receipt
    return receipt


def kept_uploads(store: Store) -> Iterator[tuple[UploadPlace, Meta]]:
    """Yield the uploads that were ingested within the last day, and their content."""
    for meta in store.list(CONTENT):
        place = UploadPlace.of_key(CONTENT, meta.key)
        if place is not None:
            yield place, meta


def put_aside(store: Store, id_: str, body: bytes) -> None:
    """Keep a message that is not understood where undecodable batches are kept."""
    with suppress(ConflictError):  # it came before
        store.put(f"{DEAD}/.messages/{id_}", body, replaces=None)


def expire(store: Store, now: datetime, *, dry_run: bool = False) -> int:
    """Delete receipts and undecodable batches a day after they were stored; return their number.

    They are written once, so that their age says how long the publisher could read them. Batches that wait are never
    deleted: they are ingested first.
    """
    old = [meta.key for folder in (RECEIPTS, DEAD) for meta in store.list(folder) if meta.modified <= now - KEPT]
    if not dry_run:
        store.delete(old)
    return len(old)


def _same(known: Receipt, batch: Batch) -> Receipt:
    if known.digest != batch.digest:
        raise OtherContentError(
            f"a batch with the id '{batch.id}' and another content came at {known.landed_at:%Y-%m-%dT%H:%M:%SZ}: send "
            "another Idempotency-Key"
        )
    return known
