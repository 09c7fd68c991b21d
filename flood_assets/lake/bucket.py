"""Keep objects in a bucket (S3, Azure, GCS) with conditional PUTs. Where the credentials come from is in `s3`."""

# ruff: noqa: PLC0415 - obstore is imported when a lake is opened

import random
import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

import pyarrow as pa

from flood_assets.lake.objects import Blob, Meta, Put, Signed, Versions
from flood_assets.lake.store import Patience, Store, meta_of

if TYPE_CHECKING:
    from obstore import PutMode, UpdateVersion
    from obstore.store import ObjectStore

# A request without an answer, or with half of one. obstore tries again only what it takes to be harmless to do twice,
# and says how often.
_UNANSWERED = re.compile(r"HTTP error: (error sending request|request or response body error)")
_TRIED_AGAIN = re.compile(r"after \d+ retries")

T = TypeVar("T")


class Bucket(Store):
    """A prefix of a bucket, where the server compares the version at each PUT.

    Args:
        url: as of `Store`.
        objects: as of `Store`.
        patience: limits how long it is waited for.
        versions: asks what the bucket keeps of old objects.
        sign: signs a PUT.
    """

    def __init__(
        self,
        url: str,
        objects: "ObjectStore",
        patience: Patience,
        versions: Callable[[], Versions] | None = None,
        sign: Callable[[Put], Signed] | None = None,
    ) -> None:
        super().__init__(url, objects)
        self._patience = patience
        self._versions = versions
        self._sign = sign

    def sign_put(self, put: Put) -> Signed | None:  # noqa: D102
        return self._sign(put) if self._sign else None

    def versions(self) -> Versions:  # noqa: D102
        if self._versions:
            return self._versions()
        scheme = self.url.partition("://")[0]
        return Versions(
            None,
            f"it is not known if the bucket keeps old versions of expired windows: {scheme}:// is not asked",
            "turn off versioning and soft delete there, or let a lifecycle rule delete old versions after a day",
        )

    def get(self, key: str, *, whole_up_to: int | None = None) -> Blob | Meta | None:  # noqa: D102
        with self._explained(key, "read"):
            try:
                result = self._objects.get(key)
                meta = meta_of(result.meta)
                if whole_up_to is not None and meta.size > whole_up_to:
                    return meta
                return Blob(meta, pa.py_buffer(result.bytes()))
            except FileNotFoundError as error:
                self._require_bucket(error)
                return None

    def put(self, key: str, data: bytes, *, replaces: Meta | None) -> None:
        """Write an object as `Store.put` says.

        A write whose answer is lost is tried again: its condition protects other writers' objects, and if it was
        carried out the first time, that is recognised.
        """
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        if replaces is None:
            mode: PutMode = "create"
        else:
            version = {"e_tag": self._match(replaces.e_tag), "version": replaces.version}
            # obstore takes a version or none, but not None.
            mode = cast("UpdateVersion", {name: given for name, given in version.items() if given is not None})
        tries = 0

        def write() -> None:
            nonlocal tries
            tries += 1
            self._objects.put(key, data, mode=mode, use_multipart=False)

        with self._explained(key, "written", conditional=True):
            try:
                self._until_answered(write)
            except (AlreadyExistsError, PreconditionError) as error:
                # Refused at the second try, it may be our own first one that is in the way.
                again = tries > 1 or _TRIED_AGAIN.search(str(error))
                there = self.read(key) if again else None
                if there is None or there.data.to_pybytes() != data:
                    raise

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, in batches where the store can; those that are gone already are no error."""
        if keys:
            with self._explained(keys[0], "deleted"):
                self._until_answered(lambda: self._objects.delete(keys))

    def _until_answered(self, request: Callable[[], T]) -> T:
        """Make a request, again and again while it gets no answer and patience lasts: it must do no harm twice."""
        from obstore.exceptions import GenericError

        started = time.monotonic()
        for attempt in range(1, self._patience.tries):
            try:
                return request()
            except GenericError as error:
                pause = random.uniform(0.5, 1) * min(3.0, 0.1 * 2**attempt)
                late = time.monotonic() + pause - started > self._patience.retry_s
                if late or not _UNANSWERED.search(str(error)) or _TRIED_AGAIN.search(str(error)):
                    raise
                time.sleep(pause)
        return request()

    def _match(self, e_tag: str | None) -> str | None:
        # Ceph's gateway compares the ETag without its quotes; AWS takes both, Azure only the quoted one.
        return e_tag.strip('"') if e_tag and self.url.startswith("s3://") else e_tag
