"""Store a batch when it is pushed, find its receipt, and delete both after a day.

The order of reading and writing decides that nothing is lost and nothing is taken twice: a receipt is written before
its batch is deleted, and whoever lands a batch looks for a receipt once more afterwards.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from flood_assets.errors import LakeError
from flood_assets.lake.objects import ConflictError, Meta
from flood_assets.lake.store import Store
from flood_assets.landing.errors import OtherContentError
from flood_assets.landing.objects import (
    DEAD,
    LANDING,
    RECEIPTS,
    Batch,
    DamagedBatchError,
    Place,
    Receipt,
    decode_batch,
    decode_receipt,
    encode_batch,
)

# A batch whose id comes again within this time is known.
KEPT = timedelta(hours=24)


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


def waiting(store: Store) -> list[tuple[Place, Meta]]:
    """List the batches that wait, oldest first; strangers' files are left out."""
    return among(store.list(LANDING))


def among(listed: Iterable[Meta]) -> list[tuple[Place, Meta]]:
    """Return the batches that wait among some objects, as `waiting` does."""
    found = [(Place.of_key(meta.key), meta) for meta in listed]
    ours = [(place, meta) for place, meta in found if place is not None]
    return sorted(ours, key=lambda each: (each[1].modified, each[1].key))


def receive(store: Store, place: Place, receipt: Receipt, data: bytes) -> Receipt:
    """Store the receipt of a batch, and return it or the one that another run has stored meanwhile."""
    try:
        store.put(place.receipt, data, replaces=None)
    except ConflictError:
        return done(store, place) or receipt
    return receipt


def expire(store: Store, now: datetime, *, dry_run: bool = False) -> int:
    """Delete receipts and undecodable batches a day after they were stored; return their number.

    They are written once, so that their age says how long the publisher could read them. Batches that wait are never
    deleted: they are ingested first.
    """
    old = [meta.key for folder in (RECEIPTS, DEAD) for meta in store.list(folder) if meta.modified <= now - KEPT]
    if not dry_run:
        store.delete(old)
    return len(old)


def done(store: Store, place: Place) -> Receipt | None:
    """Return the receipt of an ingested batch; None as long as there is none."""
    blob = store.read(place.receipt)
    if blob is None:
        return None
    try:
        return decode_receipt(blob.data.to_pybytes())
    except DamagedBatchError as error:
        raise LakeError(f"{store.url}/{place.receipt} is damaged ({error}): delete it") from error


def _same(known: Receipt, batch: Batch) -> Receipt:
    if known.digest != batch.digest:
        raise OtherContentError(
            f"a batch with the id '{batch.id}' and another content came at {known.landed_at:%Y-%m-%dT%H:%M:%SZ}: send "
            "another Idempotency-Key"
        )
    return known
