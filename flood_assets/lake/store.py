"""Read and write whole objects below one URL; replace an object only if it is still the version that was read.

`bucket` and `folder` are the two kinds of store. Every exception of obstore and of the operating system becomes a
`LakeError` with a remedy here, and nowhere else. The meaning of the bytes is in `parquet`.
"""

# ruff: noqa: PLC0415 - definitions are loaded far more often than the lake is opened: obstore is imported with the latter

import random
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from flood_assets.errors import LakeError, RefusedError
from flood_assets.lake.objects import Blob, ConflictError, Meta, Put, Signed, Versions

if TYPE_CHECKING:
    from obstore.store import ObjectStore

ATTEMPTS = 12

_NO_BUCKET = r"NoSuchBucket|ContainerNotFound|bucket does not exist"
# The store's own words contain the pattern; the remedy goes to the person. The first that fits is used. Most refusals
# stay what they are until a person does something; the last ones may pass, and are worth another try.
_REFUSALS = (
    (_NO_BUCKET, "there is no such bucket: create it, or correct FLOOD_LAKE_URL"),
    (
        r"PermanentRedirect|301 Moved|AuthorizationHeaderMalformed|IllegalLocationConstraint",
        "the bucket is in another region: set AWS_DEFAULT_REGION to the bucket's",
    ),
    (r"RequestTimeTooSkewed", "this machine's clock is wrong: set it"),
    (
        r"SecondLevelDomainForbidden|VirtualHost|virtual.hosted",
        "the store wants the bucket in the host name: set `addressing_style = virtual` below `s3` in the profile",
    ),
    (r"KeyTooLong", "the name of the object is too long: set FLOOD_LAKE_URL to a shorter path"),
    (
        r"hecksum|Content-MD5|bject.?[Ll]ock",
        "the bucket wants a checksum with each object, as one with Object Lock does: set AWS_CHECKSUM_ALGORITHM=SHA256",
    ),
    (
        r"NotImplemented|MethodNotAllowed|status code: 501|\b501 |If-(None-)?Match|this header",
        (
            "the store does not take an object on a condition (If-Match, If-None-Match), and without one two writers "
            "lose each other's readings: use a store that does, such as AWS S3, MinIO or Ceph"
        ),
    ),
    (
        r"AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|40[13] |credential",
        (
            "access denied: check the credentials, and that they may list, read, write and delete here; if the policy "
            "of the bucket wants encryption, set AWS_SERVER_SIDE_ENCRYPTION"
        ),
    ),
    (r"os error (28|122)\b", "the disk is full: free some space, or set FLOOD_LAKE_URL to another folder"),
    (r"os error 27\b", "the file would be larger than this process may write: raise `ulimit -f`"),
    (r"os error 30\b", "the folder is read-only: set FLOOD_LAKE_URL to one that can be written"),
    (r"os error (1|13)\b", "this user may not read or write there: change the folder's owner or FLOOD_LAKE_URL"),
    (
        r"ertificate|UnknownIssuer",
        (
            "the server's certificate is not trusted: set AWS_CA_BUNDLE, or `ca_bundle` in the profile, to the file "
            "with the certificate of its authority"
        ),
    ),
)
_TROUBLES = (
    (
        r"SlowDown|ServiceUnavailable|InternalError|status code: (429|5\d\d)|\b(429|5\d\d) [A-Z]",
        "the store is overloaded or in trouble: nothing is wrong here, and the next run tries again",
    ),
    (
        r"error sending request|timed out|timeout|onnect|dns",
        "the store does not answer: check the network and the endpoint (AWS_ENDPOINT_URL)",
    ),
)

# An address, a path in quotes, a path.
_PLACES = re.compile(r"""\w+://\S+|(['"])/.*?\1|(?<![\w<])/[^\s<]+""")

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """Limit the time that a bucket is waited for.

    An endpoint that cannot be reached, or that takes the connection and says nothing, is given up within half a minute:
    no attempt begins after `retry_s`, and none waits longer for the next byte than `answer_s`.

    Attributes:
        connect_s: seconds to wait for a connection.
        answer_s: seconds to wait for the next bytes of an answer.
        retry_s: seconds after which a request is not tried again.
        tries: attempts for each request; for S3, the number in `S3Settings` is used instead.
    """

    connect_s: float = 4
    answer_s: float = 9
    retry_s: float = 18
    tries: int = 5


@dataclass(frozen=True)
class Revision(Generic[T]):
    """New content of an object.

    Attributes:
        data: its bytes; None to leave the object as it is.
        result: returned by `update` once they are stored.
        before: called before the object is replaced.
    """

    data: bytes | None
    result: T
    before: Callable[[], object] | None = None


@dataclass(frozen=True)
class Prepared(Generic[T]):
    """A revision of one version of an object (None: of none), not yet written."""

    replaces: Meta | None
    revision: Revision[T]


class Store(ABC):
    """Objects below a URL, in a bucket or a folder. Safe to use from several threads and processes.

    Args:
        url: where it is, without a trailing slash.
        objects: obstore's view of it.
    """

    local = False

    def __init__(self, url: str, objects: "ObjectStore") -> None:
        self.url = url
        self._objects = objects

    @abstractmethod
    def get(self, key: str, *, whole_up_to: int | None = None) -> Blob | Meta | None:
        """Return an object's bytes; None when there is none.

        Args:
            key: its name below the lake.
            whole_up_to: bytes above which only its `Meta` is returned and nothing is transferred.
        """

    def read(self, key: str) -> Blob | None:
        """Return an object's bytes, whatever its size; None when there is none."""
        found = self.get(key)
        return found if isinstance(found, Blob) else None

    def get_range(self, meta: Meta, start: int, end: int) -> bytes:
        """Return the bytes `[start, end)` of exactly that version; ConflictError if it was replaced or deleted."""
        with self._explained(meta.key, "read", conditional=True):
            try:
                options: Any = {"range": (start, end), "if_match": self._match(meta.e_tag)}
                return bytes(self._objects.get(meta.key, options=options).bytes())
            except FileNotFoundError as error:
                self._require_bucket(error)
                raise ConflictError(meta.key) from error

    def head(self, key: str) -> Meta | None:
        """Return an object's metadata without its bytes; None when there is none."""
        with self._explained(key, "read"):
            try:
                return meta_of(self._objects.head(key))
            except FileNotFoundError as error:
                self._require_bucket(error)
                return None

    def list(self, prefix: str) -> list[Meta]:
        """Return all objects below a folder, in order of their names."""

        def pages() -> list[Meta]:
            return [meta_of(entry) for entries in self._objects.list(prefix, chunk_size=1000) for entry in entries]

        with self._explained(prefix, "listed"):
            return sorted(self._until_answered(pages), key=lambda meta: meta.key)

    @abstractmethod
    def put(self, key: str, data: bytes, *, replaces: Meta | None) -> None:
        """Write an object whole, if it is still the version that was read (None: if there is still none).

        Raises:
            ConflictError: another writer replaced it meanwhile; nothing has been written.
        """

    @abstractmethod
    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those that are gone already are no error."""

    def delete_unchanged(self, meta: Meta) -> bool:
        """Delete an object if it is still the version that was listed or read; return True if it was.

        In a bucket nobody can say that in one request: a write between the two that this makes goes with the object.
        """
        found = self.head(meta.key)
        if found is None or found.e_tag != meta.e_tag:
            return False
        self.delete([meta.key])
        return True

    def sweep(self) -> int:
        """Delete files that killed writers left behind; return their number."""
        return 0

    def space(self) -> tuple[int, int] | None:
        """Return the bytes that are free and those of the whole disk; None where there is no end, as in a bucket."""
        return None

    def versions(self) -> Versions:
        """Find out if what is replaced or deleted stays readable; never raises LakeError."""
        return Versions(False, "a folder keeps no old versions")

    def sign_put(self, put: Put) -> Signed | None:
        """Sign a PUT for somebody else; None where the store cannot, such as in a folder."""
        del put
        return None

    def copy(self, key: str, to: str) -> None:
        """Copy an object within the store; what is there is replaced. LakeError if it is gone."""
        with self._explained(key, "copied"):
            self._objects.copy(key, to)

    def prepare(self, key: str, revise: Callable[[Blob | None], Revision[T]]) -> Prepared[T]:
        """Read an object and revise it, without writing: the first half of `update`."""
        blob = self.read(key)
        return Prepared(blob.meta if blob else None, revise(blob))

    def update(
        self, key: str, revise: Callable[[Blob | None], Revision[T]], *, prepared: Prepared[T] | None = None
    ) -> T:
        """Read an object, revise it, and write it if it is unchanged; after a conflict, do so again.

        Args:
            key: its name below the lake.
            revise: makes the new content of an object's present one, or of None where there is none.
            prepared: result of `prepare`, for the first attempt.

        Returns:
            The result of the revision that was stored.

        Raises:
            LakeError: the object could not be read or written, or each of 12 attempts conflicted with another writer.
        """

        def attempt() -> T:
            nonlocal prepared
            found, prepared = prepared or self.prepare(key, revise), None
            revision = found.revision
            if revision.before:
                revision.before()
            if revision.data is not None:
                self.put(key, revision.data, replaces=found.replaces)
            return revision.result

        return self.retry_conflicts(key, attempt)

    def retry_conflicts(self, key: str, attempt: Callable[[], T]) -> T:
        """Attempt something with an object, again after a growing random pause while another writer replaces it."""
        for number in range(ATTEMPTS):
            if number:
                time.sleep(random.uniform(0, min(2.0, 0.02 * 2**number)))
            with suppress(ConflictError):
                return attempt()
        raise LakeError(
            f"{self.url}/{key}: gave up after {ATTEMPTS} write conflicts: are several runs writing this lake?"
        )

    def _until_answered(self, request: Callable[[], T]) -> T:
        """Make a request; a bucket repeats it while it gets no answer."""
        return request()

    def _match(self, e_tag: str | None) -> str | None:
        """Return an e-tag as the store compares it."""
        return e_tag

    def _require_bucket(self, error: FileNotFoundError) -> None:
        """Return for an object that does not exist; LakeError when it is the bucket that is missing."""
        if re.search(_NO_BUCKET, str(error)):
            raise self._error("", "read", str(error)) from error

    @contextmanager
    def _explained(self, key: str, done: str, *, conditional: bool = False) -> Iterator[None]:
        """Turn exceptions into a LakeError with a remedy, or where a condition failed, into a ConflictError."""
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        try:
            yield
        except (AlreadyExistsError, PreconditionError) as error:
            # S3 answers 404 to a conditional PUT both when the object and when the bucket is gone.
            if not conditional or re.search(_NO_BUCKET, str(error)):
                raise self._error(key, done, str(error)) from error
            raise ConflictError(key) from error
        except OSError as error:
            number = f" (os error {error.errno})" if error.errno is not None else ""
            raise self._error(key, done, f"{error}{number}") from error
        except (BaseError, NotImplementedError) as error:
            raise self._error(key, done, str(error)) from error

    def _error(self, key: str, done: str, text: str) -> LakeError:
        place = f"{self.url}/{key}".rstrip("/")
        # Addresses, paths and names in an XML answer say nothing of the reason; nor does the debugging part but for
        # certificates: it holds `retry_timeout` and `Connect` whatever happened.
        told, _, debug = text.partition("\n\nDebug source")
        told = f"{told.partition('<')[0]} {brief(told)}" if "<Code>" in told else told
        words = _PLACES.sub("", told) + "".join(re.findall("InvalidCertificate", debug))
        kinds = [(RefusedError, _REFUSALS), (LakeError, _TROUBLES)]
        for kind, remedies in kinds:
            for pattern, remedy in remedies:
                if re.search(pattern, words):
                    return kind(f"{place} could not be {done}: {remedy} ({brief(text)})")
        return LakeError(f"{place} could not be {done}: {brief(text)}")


def meta_of(entry: Any) -> Meta:
    """Return what obstore says of an object."""
    return Meta(entry["path"], entry["size"], entry["e_tag"], entry["last_modified"], entry["version"])


def brief(text: str) -> str:
    """Return a store's message without its debugging part, and of an XML answer only code and message."""
    text = text.split("\n\nDebug source", maxsplit=1)[0]
    if code := re.search(r"<Code>(.*?)</Code>", text):
        said = re.search(r"<Message>(.*?)</Message>", text)
        return f"{code[1]}: {said[1]}" if said else code[1]
    return text.strip()
