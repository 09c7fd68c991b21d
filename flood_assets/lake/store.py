"""Bytes in a folder or a bucket: read, written only if nobody else wrote meanwhile, listed, deleted.

Two writers are kept apart by conditional PUTs where the store has them (S3, Azure, GCS) and by a lock file where it
has not (a folder). Every exception of obstore becomes a `LakeError` with a remedy here, and nowhere else.
What the bytes mean is in `parquet`, which credentials are used in `s3`.
"""

# ruff: noqa: PLC0415 - definitions are loaded far more often than the lake is opened: obstore is imported with the latter

import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from flood_assets.errors import LakeError, SettingsError
from flood_assets.lake.layout import LOCKS, lock_of
from flood_assets.lake.s3 import S3Settings, open_s3

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from obstore import PutMode, UpdateVersion
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

# A lock is held for one window's read, merge and write: milliseconds. A minute means that its holder is stuck.
LOCK_TIMEOUT_S = 60

# A request without an answer, or with half of one. obstore tries again only what it takes to be harmless to do twice,
# and says how often.
_UNANSWERED = re.compile(r"HTTP error: (error sending request|request or response body error)")
_TRIED_AGAIN = re.compile(r"after \d+ retries")

# What a store's message contains, and what to tell the person. The first that fits is said.
_REMEDIES = (
    (
        r"NoSuchBucket|ContainerNotFound|bucket does not exist",
        "there is no such bucket: create it, or correct FLOOD_LAKE_URL",
    ),
    (
        r"PermanentRedirect|301 Moved|AuthorizationHeaderMalformed|IllegalLocationConstraint",
        "the bucket is in another region: set AWS_DEFAULT_REGION to the bucket's",
    ),
    (
        r"RequestTimeTooSkewed",
        "this machine's clock is wrong: set it",
    ),
    (
        r"AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|40[13] |credential",
        "access denied: check the credentials, and that they may list, read, write and delete here",
    ),
    (r"os error (28|122)\b", "the disk is full: free some space, or set FLOOD_LAKE_URL to another folder"),
    (r"os error 27\b", "the file would be larger than this process may write: raise `ulimit -f`"),
    (r"os error 30\b", "the folder is read-only: set FLOOD_LAKE_URL to one that can be written"),
    (r"os error (1|13)\b", "this user may not read or write there: change the folder's owner or FLOOD_LAKE_URL"),
    (
        r"SlowDown|ServiceUnavailable|InternalError|status code: (429|5\d\d)",
        "the store is overloaded or in trouble: nothing is wrong here, and the next run tries again",
    ),
    (
        r"error sending request|timed out|timeout|onnect|dns",
        "the store does not answer: check the network and the endpoint (AWS_ENDPOINT_URL)",
    ),
)


T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long a bucket is waited for.

    An endpoint that cannot be reached, or that takes the connection and says nothing, is given up within half a minute:
    no attempt begins after `retry_s`, and none waits longer for the next byte than `answer_s`.

    Attributes:
        connect_s: seconds to wait for a connection.
        answer_s: seconds to wait for the next bytes of an answer.
        retry_s: seconds after which a request is not tried again.
        tries: how often a request is tried; for S3, what `S3Settings` says goes before it.
    """

    connect_s: float = 4
    answer_s: float = 9
    retry_s: float = 18
    tries: int = 5


class ConflictError(Exception):
    """Somebody else wrote the object after it was read. Not an error of the lake: read again and try again."""


@dataclass(frozen=True)
class Meta:
    """What a store says about an object without opening it."""

    key: str
    size: int
    e_tag: str | None
    modified: datetime
    version: str | None = None


@dataclass(frozen=True)
class Blob:
    """An object's bytes and the version that they are."""

    meta: Meta
    data: pa.Buffer


class Store:
    """One folder or bucket prefix, whatever it is made of. Safe to use from several threads."""

    def __init__(self, url: str, store: "ObjectStore", folder: Path | None, patience: Patience) -> None:
        self.url = url
        self._patience = patience
        self._store = store
        self._folder = folder
        self._quoted = not url.startswith("s3://")

    @property
    def local(self) -> bool:
        """Whether this is a folder, where writers are kept apart by locks."""
        return self._folder is not None

    def get(self, key: str, *, whole_up_to: int | None = None) -> Blob | Meta | None:
        """An object's bytes; None when there is none.

        Args:
            key: its name below the lake.
            whole_up_to: bytes above which only its `Meta` is returned and nothing is transferred.
        """
        with self._explained(key, "read"):
            try:
                if self._folder is not None:
                    from flood_assets.lake.folder import read

                    return read(self._folder, key, whole_up_to)
                result = self._store.get(key)
                meta = _meta(result.meta)
                if whole_up_to is not None and meta.size > whole_up_to:
                    return meta
                return Blob(meta, pa.py_buffer(result.bytes()))
            except FileNotFoundError as error:
                self._absent(error)
                return None

    def get_range(self, meta: Meta, start: int, end: int) -> bytes:
        """The bytes `[start, end)` of exactly that version; ConflictError when it has been replaced or deleted."""
        with self._explained(meta.key, "read", conditional=True):
            try:
                result = self._store.get(meta.key, options={"range": (start, end), "if_match": self._match(meta.e_tag)})
                return bytes(result.bytes())
            except FileNotFoundError as error:
                self._absent(error)
                raise ConflictError(meta.key) from error

    def head(self, key: str) -> Meta | None:
        """What is known of an object without its bytes; None when there is none."""
        with self._explained(key, "read"):
            try:
                return _meta(self._store.head(key))
            except FileNotFoundError as error:
                self._absent(error)
                return None

    def list(self, prefix: str) -> list[Meta]:
        """All objects below a folder, in order of their names."""

        def pages() -> list[Meta]:
            return [_meta(entry) for entries in self._store.list(prefix, chunk_size=1000) for entry in entries]

        with self._explained(prefix, "listed"):
            return sorted(self._until_answered(pages), key=lambda meta: meta.key)

    def put(self, key: str, data: bytes, *, replaces: Meta | None) -> None:
        """Write an object whole, if it still is the version that was read (None: if there still is none).

        In a folder the caller holds `guard(key)`. A write whose answer is lost is tried again: its condition sees to it
        that nobody else's is replaced, and if it was carried out the first time, that is recognised.

        Raises:
            ConflictError: somebody else wrote it meanwhile; nothing has been written.
        """
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._explained(key, "written", conditional=True):
            if replaces is None:
                mode: PutMode = "create"
            elif self.local:
                now = self.head(key)
                if now is None or now.e_tag != replaces.e_tag:
                    raise ConflictError(key)
                mode = "overwrite"
            else:
                version = {"e_tag": self._match(replaces.e_tag), "version": replaces.version}
                # obstore takes a version or none, but not None.
                mode = cast("UpdateVersion", {name: given for name, given in version.items() if given is not None})
            tries = 0

            def write() -> None:
                nonlocal tries
                tries += 1
                self._store.put(key, data, mode=mode, use_multipart=False)

            try:
                self._until_answered(write)
            except (AlreadyExistsError, PreconditionError) as error:
                # Refused at the second try, it may be our own first one that is in the way.
                again = tries > 1 or _TRIED_AGAIN.search(str(error))
                there = self.get(key) if again else None
                if not isinstance(there, Blob) or there.data.to_pybytes() != data:
                    raise

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, in batches where the store can; those that are gone already are no error."""
        if not keys:
            return
        with self._explained(keys[0], "deleted"):
            if not self.local:
                self._until_answered(lambda: self._store.delete(keys))
                return
            for key in keys:
                try:
                    self._store.delete(key)
                except FileNotFoundError as error:
                    self._absent(error)

    def guard(self, key: str, *, timeout: float = LOCK_TIMEOUT_S) -> "AbstractContextManager[object]":
        """Hold a window while it is read, merged and written: a lock in a folder, nothing where PUTs are conditional.

        The operating system releases the lock when its holder dies. LakeError when it is not free within `timeout`.
        """
        return nullcontext() if self._folder is None else self._locked(self._folder / lock_of(key), timeout)

    def sweep(self) -> int:
        """Delete what killed writers left behind in a folder; how many files that were.

        A file whose window is being written at this moment stays.
        """
        if self._folder is None:
            return 0
        from flood_assets.lake.folder import finished

        swept = 0
        for path in [path for pattern in (".*.part", "*#*") for path in self._folder.rglob(pattern)]:
            if (place := finished(path)) is None:
                continue
            try:
                with self.guard(place.relative_to(self._folder).as_posix(), timeout=0):
                    path.unlink(missing_ok=True)
                    swept += 1
            except LakeError:
                continue
            except OSError as error:
                raise LakeError(f"{path}: a killed run's file could not be deleted: {error.strerror}") from error
        return swept

    @contextmanager
    def _locked(self, path: Path, timeout: float) -> Iterator[None]:
        import filelock

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A soft lock outlives a killed process, so there is no falling back to one.
            lock = filelock.FileLock(path, timeout=timeout, poll_interval=0.005, fallback_to_soft=False)
            lock.acquire()
        except filelock.Timeout:
            raise LakeError(
                f"{path}: another process has held this lock for {timeout:.0f} s: end it, and the lock is free"
            ) from None
        except OSError as error:
            raise LakeError(self._message(LOCKS, "locked", f"{error} (os error {error.errno})")) from error
        try:
            yield
        finally:
            lock.release()

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
        return e_tag if self._quoted or e_tag is None else e_tag.strip('"')

    def _absent(self, error: FileNotFoundError) -> None:
        """Nothing for an object that is not there; LakeError when it is the bucket that is missing."""
        if re.search(_REMEDIES[0][0], str(error)):
            raise LakeError(self._message("", "read", str(error))) from error

    @contextmanager
    def _explained(self, key: str, done: str, *, conditional: bool = False) -> Iterator[None]:
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        try:
            yield
        except (AlreadyExistsError, PreconditionError) as error:
            # S3 answers 404 to a conditional PUT both when the object and when the bucket is gone.
            if not conditional or re.search(_REMEDIES[0][0], str(error)):
                raise LakeError(self._message(key, done, str(error))) from error
            raise ConflictError(key) from error
        except OSError as error:
            number = f" (os error {error.errno})" if error.errno is not None else ""
            raise LakeError(self._message(key, done, f"{error}{number}")) from error
        except (BaseError, NotImplementedError) as error:
            raise LakeError(self._message(key, done, str(error))) from error

    def _message(self, key: str, done: str, text: str) -> str:
        place = f"{self.url}/{key}".rstrip("/")
        remedy = next((remedy for pattern, remedy in _REMEDIES if re.search(pattern, text)), None)
        brief = _brief(text)
        return f"{place} could not be {done}: {remedy} ({brief})" if remedy else f"{place} could not be {done}: {brief}"


def open_store(url: str, s3: S3Settings | None = None, patience: Patience | None = None) -> Store:
    """The store of a URL: `file:///folder`, `s3://bucket/prefix`, `az://container/prefix` or `gs://bucket/prefix`.

    A folder is made if need be. Azure's account comes from AZURE_STORAGE_ACCOUNT_NAME; its keys and Google's from
    their usual variables.

    Raises:
        SettingsError: another kind of URL.
        LakeError: no credentials, or a folder that cannot be made.
    """
    parts = urlsplit(url)
    url = url.rstrip("/")
    wrong = f"FLOOD_LAKE_URL is '{url}': expected file://, s3://, az:// or gs://"
    if parts.scheme in {"file", "s3", "az", "gs"} and (parts.query or parts.fragment):
        # Left out, as URLs mean it, the lake would be filled in a folder that nobody named.
        raise SettingsError(f"FLOOD_LAKE_URL is '{url}': write %23 for # and %3F for ? in a name")
    if parts.scheme == "file":
        return _open_folder(url, parts.netloc, unquote(parts.path))
    if parts.scheme not in {"s3", "az", "gs"}:
        raise SettingsError(wrong)
    if not parts.netloc:
        raise SettingsError(f"{wrong} followed by a bucket, such as {parts.scheme}://bucket/folder")

    from obstore.exceptions import BaseError
    from obstore.store import AzureStore, GCSStore

    patience = patience or Patience()
    if s3 is not None:
        patience = replace(patience, tries=max(1, s3.max_attempts))
    client: ClientConfig = {
        "connect_timeout": timedelta(seconds=patience.connect_s),
        "read_timeout": timedelta(seconds=patience.answer_s),
        "timeout": timedelta(seconds=60),
    }
    retry: RetryConfig = {
        "max_retries": patience.tries - 1,
        "retry_timeout": timedelta(seconds=patience.retry_s),
        "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=3), "base": 2},
    }
    try:
        prefix = unquote(parts.path).strip("/")
        if parts.scheme == "s3":
            store: ObjectStore = open_s3(parts.netloc, prefix, s3, client, retry)
        elif parts.scheme == "az":
            store = AzureStore(parts.netloc, prefix=prefix or None, client_options=client, retry_config=retry)
        else:
            store = GCSStore(parts.netloc, prefix=prefix or None, client_options=client, retry_config=retry)
    except (BaseError, ValueError) as error:
        raise LakeError(f"{url} cannot be opened: {_brief(str(error))}") from error
    return Store(url, store, None, patience)


def _open_folder(url: str, host: str, path: str) -> Store:
    if host not in {"", "localhost"} or not path.startswith("/") or path == "/":
        raise SettingsError(
            f"FLOOD_LAKE_URL is 'file://{host}{path}': expected an absolute path, such as file:///var/lib/flood"
        )
    from flood_assets.lake.folder import FolderStore

    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LakeError(
            f"{url} cannot be made: {error.strerror}. Make the folder, or correct FLOOD_LAKE_URL"
        ) from error
    return Store(url, FolderStore(folder, automatic_cleanup=True), folder, Patience())


def _meta(entry: Any) -> Meta:
    return Meta(entry["path"], entry["size"], entry["e_tag"], entry["last_modified"], entry["version"])


def _brief(text: str) -> str:
    """A store's message without its debugging part, and of an XML answer only what it says."""
    text = text.split("\n\nDebug source", maxsplit=1)[0]
    if code := re.search(r"<Code>(.*?)</Code>", text):
        said = re.search(r"<Message>(.*?)</Message>", text)
        return f"{code[1]}: {said[1]}" if said else code[1]
    return text.strip()
