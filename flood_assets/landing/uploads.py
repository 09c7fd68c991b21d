"""Expect uploads of larger files than a push may have, and keep what becomes of them.

A publisher asks first: what it is going to send is stored as `landing/.expected/{publisher}/{id}`, and answered with a
signed URL. What it then PUTs there lands as `landing/.uploads/{publisher}/{id}`, past the server. The ingestion decodes
and validates it (`streamed`), and writes the receipt, `receipts/.uploads/{publisher}/{id}`; the content is kept as
`receipts/.content/{publisher}/{id}` for a day, from which a damaged window of readings is filled again.
"""

import zlib
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from flood_assets.errors import LakeError
from flood_assets.lake.layout import LANDING, RECEIPTS
from flood_assets.lake.objects import ConflictError, Meta
from flood_assets.lake.store import Store
from flood_assets.landing.errors import OtherContentError
from flood_assets.landing.objects import DamagedBatchError, Place, Receipt, decode_receipt

EXPECTED, UPLOADS = f"{LANDING}/.expected", f"{LANDING}/.uploads"
RECEIVED, CONTENT = f"{RECEIPTS}/.uploads", f"{RECEIPTS}/.content"
# A PUT has to begin within this time; the same upload can be asked for again for a day.
VALID = timedelta(minutes=15)
ASKED_AGAIN = timedelta(hours=24)
# What has not come by then is not expected any more.
GIVEN_UP = timedelta(hours=25)


class Upload(msgspec.Struct, frozen=True):
    """A file that a publisher is going to upload.

    Attributes:
        publisher: name of the key.
        id: of the upload.
        feed: True if the key may write the API's own measures.
        asked_at: when it was announced.
        media_type: of the file.
        size: bytes of it.
        encoding: `gzip`, or empty.
        sha256: of its bytes, in hex; empty if the publisher did not say.
    """

    publisher: str
    id: str
    feed: bool
    asked_at: datetime
    media_type: str
    size: int
    encoding: str = ""
    sha256: str = ""

    def is_like(self, other: "Upload") -> bool:
        """Return whether both announce the same file."""
        return msgspec.structs.replace(self, asked_at=other.asked_at) == other

    @property
    def receipt(self) -> Receipt:
        """The receipt as long as nothing has come."""
        return Receipt(self.id, self.publisher, self.sha256, self.asked_at, "expected", 0, 0, 0, 0)


class UploadPlace(NamedTuple):
    """Publisher and id of an upload, and the names of the objects that belong to it."""

    publisher: str
    id: str

    @classmethod
    def of(cls, publisher: str, id_: str) -> "UploadPlace":
        """Return the place of an upload; PushError for names that cannot be those of objects."""
        return cls(*Place.of(publisher, id_))

    @classmethod
    def of_key(cls, folder: str, key: str) -> "UploadPlace | None":
        """Return the place of an object in one of the folders of uploads; None for any other."""
        rest = key.removeprefix(f"{folder}/")
        found = None if rest == key else Place.of_key(f"{LANDING}/{rest}")
        return None if found is None else cls(*found)

    @property
    def expected(self) -> str:
        """The name of the announcement."""
        return f"{EXPECTED}/{self.publisher}/{self.id}"

    @property
    def content(self) -> str:
        """The name of what was uploaded."""
        return f"{UPLOADS}/{self.publisher}/{self.id}"

    @property
    def receipt(self) -> str:
        """The name of the receipt."""
        return f"{RECEIVED}/{self.publisher}/{self.id}"

    @property
    def kept(self) -> str:
        """The name of the content once it is ingested."""
        return f"{CONTENT}/{self.publisher}/{self.id}"


def expect(store: Store, upload: Upload) -> tuple[Upload, Receipt]:
    """Store an announcement if there is none; return the one that is there, and the receipt as it is now.

    Raises:
        OtherContentError: another file was announced under this id, or this one too long ago.
        LakeError: the store failed.
    """
    place = UploadPlace.of(upload.publisher, upload.id)

    def attempt() -> tuple[Upload, Receipt]:
        there, receipt = announced(store, place), find(store, place)
        known = settled(store, place) if there is None else None
        there = known[0] if known else there
        if there is None:
            store.put(place.expected, msgspec.json.encode(upload), replaces=None)
            return upload, upload.receipt
        if not there.is_like(upload):
            raise OtherContentError(
                f"an upload with the id '{upload.id}' and another description was asked for at "
                f"{there.asked_at:%Y-%m-%dT%H:%M:%SZ}: send another Idempotency-Key"
            )
        if upload.asked_at - there.asked_at > ASKED_AGAIN:
            raise OtherContentError(
                f"the upload '{upload.id}' was asked for over a day ago: send another Idempotency-Key"
            )
        return there, receipt or there.receipt

    return store.retry_conflicts(place.expected, attempt)


def announced(store: Store, place: UploadPlace) -> Upload | None:
    """Return an announcement; None without one."""
    blob = store.read(place.expected)
    if blob is None:
        return None
    try:
        return msgspec.json.decode(blob.data.to_pybytes(), type=Upload)
    except ValueError as error:
        raise LakeError(f"{store.url}/{place.expected} is damaged ({error}): delete it") from error


def find(store: Store, place: UploadPlace) -> Receipt | None:
    """Return the receipt of an upload; None for an unknown one.

    Raises:
        LakeError: the store failed, or what it holds is damaged.
    """
    # In this order: a receipt is there before the others are gone.
    upload, content = announced(store, place), store.head(place.content)
    received = done(store, place)
    if received is not None or upload is None:
        return received
    if content is None:
        return upload.receipt
    return msgspec.structs.replace(upload.receipt, state="waiting", landed_at=landed_at(place, content))


def done(store: Store, place: Place | UploadPlace) -> Receipt | None:
    """Return the receipt of a batch or upload that was ingested or refused; None as long as there is none."""
    blob = store.read(place.receipt)
    if blob is None:
        return None
    try:
        return decode_receipt(blob.data.to_pybytes())
    except DamagedBatchError as error:
        raise LakeError(f"{store.url}/{place.receipt} is damaged ({error}): delete it") from error


def landed_at(place: UploadPlace, content: Meta) -> datetime:
    """Return when an upload came: the object's own time, and ms by its name, for S3 gives whole seconds."""
    whole = content.modified.replace(microsecond=0)
    return whole + timedelta(milliseconds=zlib.crc32("/".join(place).encode()) % 1000)


def settle(store: Store, place: UploadPlace, receipt: Receipt, upload: Upload | None, *, keep: bool = False) -> Receipt:
    """Write the receipt of an upload, or return the one that another run has written; then delete what waited.

    Its announcement is kept behind the receipt, and of one that was ingested also the content.
    """
    try:
        if keep:
            store.copy(place.content, place.kept)
        store.put(place.receipt, msgspec.json.encode(receipt) + b"\n" + msgspec.json.encode(upload), replaces=None)
    except (ConflictError, LakeError):
        # Another run may have been faster, and have deleted the content.
        known = done(store, place)
        if known is None:
            raise
        receipt = known
    store.delete([place.content, place.expected])
    return receipt


def settled(store: Store, place: UploadPlace) -> tuple[Upload, Receipt] | None:
    """Return the announcement and the receipt of an upload that was ingested or refused; None for any other.

    Raises:
        LakeError: the store failed, or what it holds is damaged.
    """
    blob = store.read(place.receipt)
    if blob is None:
        return None
    receipt, _, upload = blob.data.to_pybytes().partition(b"\n")
    try:
        return msgspec.json.decode(upload, type=Upload), decode_receipt(receipt)
    except (ValueError, DamagedBatchError) as error:
        raise LakeError(f"{store.url}/{place.receipt} is damaged ({error}): delete it") from error
