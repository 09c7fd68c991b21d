"""Download whole answers over HTTP or raise `SourceError`; never return a shorter body.

Retries, deadlines, the size limit and the clock are here. What to ask for is in `flood_assets.ea.client`, what the
bytes mean in `flood_assets.ea.parse` and `flood_assets.ea.lists`.
"""

import logging
import random
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from flood_assets import __version__
from flood_assets.errors import SourceError
from flood_assets.places import split_userinfo
from flood_assets.words import counted

if TYPE_CHECKING:  # importing `requests` takes a tenth of a second: only a process that asks the API pays it
    import requests

logger = logging.getLogger("flood_assets.ea")

T = TypeVar("T")
# Returns what is held while one request is under way, such as a semaphore's turn.
Gate = Callable[[], AbstractContextManager[object]]

USER_AGENT = f"flood_assets/{__version__} (+https://github.com/flood-assets/flood_assets)"
RETRIED = {429, 500, 502, 503, 504}
# Ten times a usual day.
LARGEST_ANSWER = 1_000_000_000
# A clock that is off by more is not wrong but set on purpose: a recording is replayed.
WRONG_CLOCK = timedelta(hours=1)
READ_BYTES = 1 << 16
# Connections that are kept open, for as many threads.
CONNECTIONS = 8
PROGRESS_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """When to try again, and when to give up.

    No connection, HTTP 429 or 5xx, and a body that breaks off or is not what it should be are retried.

    Attributes:
        connect_timeout: seconds for a connection to be made.
        read_timeout: seconds for the server to send its next byte. A whole day takes it up to 30 s.
        deadline: seconds for one answer in all, its retries included: checked before each try and each read, so that
            the last one may end up to `read_timeout` later. Each page counts as an answer.
        tries: most requests for one answer.
        backoff: seconds before the second try, doubled before each further one and spread at random by a half.
        longest_wait: most seconds between two tries, also where the server asks for more with `Retry-After`.
        sleep, jitter, clock: `time.sleep`, `random.random` and `time.monotonic`; tests replace them.
    """

    connect_timeout: float = 10
    read_timeout: float = 120
    deadline: float = 600
    tries: int = 5
    backoff: float = 1
    longest_wait: float = 60
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic

    def wait(self, failures: int, retry_after: float | None) -> float:
        """Return the seconds to wait after so many failures."""
        backoff = self.backoff * 2 ** (failures - 1) * (0.5 + self.jitter())
        return min(retry_after or backoff, self.longest_wait)


class Probe(NamedTuple):
    """One raw answer.

    Attributes:
        status: HTTP status, after redirects.
        headers: response headers; names in any case.
        body: the whole body, decompressed.
        seconds: from sending the request to the last byte.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float


@dataclass
class Cost:
    """Count what one answer takes, failed requests included.

    Attributes:
        what: what was asked for, in words for the log.
        requests: requests sent.
        bytes: bytes received, decompressed.
        seconds_download: time spent waiting for the server.
        seconds_parse: time spent decompressing and making tables.
    """

    what: str
    requests: int = 0
    bytes: int = 0
    seconds_download: float = 0.0
    seconds_parse: float = 0.0

    def received(self, size: int) -> None:
        """Count bytes; log the progress at each megabyte."""
        before, self.bytes = self.bytes, self.bytes + size
        if before // PROGRESS_BYTES < self.bytes // PROGRESS_BYTES:
            progress = {"what": self.what, "bytes": self.bytes}
            logger.debug("%s: %.1f MB so far", self.what, self.bytes / 1e6, extra={"progress": progress})

    def add(self, other: "Cost") -> None:
        """Add what a part of the answer took."""
        for name in ("requests", "bytes", "seconds_download", "seconds_parse"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def finished(self, rows: int) -> None:
        """Log the end."""
        seconds = self.seconds_download + self.seconds_parse
        logger.info("%s: %s, %.1f MB in %.1f s", self.what, counted(rows, "row"), self.bytes / 1e6, seconds)


class TooLargeError(SourceError):
    """The answer exceeds the size limit; a retry would not help."""


class NotFoundError(SourceError):
    """The API does not know this address: a measure with readings may be missing in its lists."""


class _RetryableError(Exception):
    """This answer cannot be used, the next one may be. `retry_after`: seconds that the server asks to wait."""

    def __init__(self, problem: str, retry_after: float | None = None) -> None:
        super().__init__(problem)
        self.retry_after = retry_after


class Http:
    """Ask one server.

    One instance has one `requests.Session` with a pool of connections and no cookies. Its methods may be called from
    a small pool of threads: they share nothing else.

    Args:
        base_url: root, such as `settings.api_url()`. A name and a password in it are sent, and shown nowhere.
        now: the time in UTC; put back by the server's clock where it is fast.
        retry: when to try again; None for the defaults.
        largest: most bytes of an answer, decompressed: a faulty server may never end.
        gate: entered around each request until its body has been read, so that all who ask one API together have a
            limited number of requests under way. The wait for it does not count for the deadline.
    """

    def __init__(
        self,
        base_url: str,
        *,
        now: Callable[[], datetime],
        retry: RetryPolicy | None = None,
        largest: int = LARGEST_ANSWER,
        gate: Gate = nullcontext,
    ) -> None:
        self.base_url, credentials = split_userinfo(base_url.rstrip("/"))
        self.retry = retry or RetryPolicy()
        self._now = now
        self._largest = largest
        self._gate = gate
        self._timeout = (self.retry.connect_timeout, self.retry.read_timeout)
        self._session = _session()
        # As bytes: `requests` encodes text as Latin-1, which not every password is.
        self._session.auth = tuple(part.encode() for part in credentials) if credentials else None  # type: ignore[assignment]

    def close(self) -> None:
        """Close the connections; the instance can still be used."""
        self._session.close()

    def probe(self, path: str) -> Probe:
        """Ask once for a path below the root, such as `data/readings.csv?latest`; return the raw answer of any status.

        The session is that of `get`: the same User-Agent, `Accept-Encoding`, timeouts, redirect limit, and proxy and
        TLS settings from the environment. There are no retries, no size limit and no check that the body is whole.

        Raises:
            SourceError: no answer: no connection, a timeout, too many redirects, or a body that broke off.
        """
        import requests  # noqa: PLC0415 - see the imports above

        started = self.retry.clock()
        try:
            response = self._session.get(f"{self.base_url}/{path}", timeout=self._timeout)
        except requests.RequestException as error:
            raise SourceError(f"{path}: no answer: {type(error).__name__}: {_root(error)}") from error
        seconds = self.retry.clock() - started
        return Probe(response.status_code, response.headers, response.content, seconds)

    def get(self, path: str, read: Callable[[Iterator[bytes], datetime], T], cost: Cost) -> T:
        """Download one answer, with retries, and return what `read` makes of it.

        Args:
            path: below the root.
            read: called with the body's decompressed chunks as they arrive and the time of asking, once per try. A
                `SourceError` from it is retried too.
            cost: counts the requests, bytes and seconds.

        Raises:
            SourceError: no usable answer within the retry policy, or a refusal that a retry would not change.
        """
        url, retry = f"{self.base_url}/{path}", self.retry
        started, failures = retry.clock(), 0
        while True:
            queued = retry.clock()
            try:
                with self._gate():
                    started += retry.clock() - queued
                    return self._try(url, read, cost, until=started + retry.deadline)
            except _RetryableError as problem:
                failures += 1
                wait = retry.wait(failures, problem.retry_after)
                elapsed = retry.clock() - started
                if failures >= retry.tries or elapsed + wait >= retry.deadline:
                    raise SourceError(
                        f"{url}: no usable answer in {failures} tries and {elapsed:.0f} s; the last problem: "
                        f"{problem}. Open the address in a browser: if it fails there too the API is down, and a later "
                        "run fetches what is missing; if not, check FLOOD_API_URL and this machine's network and proxy"
                    ) from problem
                logger.warning("%s: %s; try %d in %.1f s", url, problem, failures + 1, wait)
                retry.sleep(wait)

    def _try(self, url: str, read: Callable[[Iterator[bytes], datetime], T], cost: Cost, until: float) -> T:
        """Send the request once; raise _RetryableError if trying again may help, SourceError if it does not."""
        import requests  # noqa: PLC0415 - see the imports above

        clock = self.retry.clock
        cost.requests += 1
        started, sent_at = clock(), self._now()
        try:
            response = self._session.get(url, stream=True, timeout=self._timeout)
        except requests.TooManyRedirects as loop:
            raise SourceError(f"{url}: redirected in a circle ({loop}). Check FLOOD_API_URL") from loop
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as failed:
            raise _RetryableError(f"{type(failed).__name__}: {_root(failed)}") from failed
        except requests.RequestException as wrong:
            raise SourceError(f"{url} cannot be asked: {wrong}. Check FLOOD_API_URL") from wrong
        finally:
            cost.seconds_download += clock() - started
        with closing(response):
            _check_status(response, url)
            started, waited = clock(), cost.seconds_download
            try:
                asked_at = _by_the_servers_clock(sent_at, response.headers.get("Date", ""))
                return read(self._body(response, url, cost, until), asked_at)
            except TooLargeError:
                raise
            except SourceError as wrong:
                raise _RetryableError(str(wrong)) from wrong
            finally:
                cost.seconds_parse += clock() - started - (cost.seconds_download - waited)

    def _body(self, response: "requests.Response", url: str, cost: Cost, until: float) -> Iterator[bytes]:
        """Yield the decompressed body; raise SourceError unless it turns out to be whole."""
        content = response.headers.get("Content-Type", "")
        if "html" in content.lower():
            raise SourceError(f"the answer is a web page ({content}): {_shown(response)}")
        coding = response.headers.get("Content-Encoding", "").strip().lower()
        packed = coding in {"gzip", "x-gzip"}
        if not packed and coding not in {"", "identity"}:
            raise SourceError(f"the answer is compressed with {coding}, only gzip was asked for")
        chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
        length = response.headers.get("Content-Length", "").strip()
        expected = int(length) if length.isdecimal() and not chunked else None
        if not packed and not chunked and expected is None:
            raise SourceError(
                "the answer has neither a Content-Length nor chunks nor gzip: nothing would show that it is cut short"
            )
        sent = self._raw(response, cost, until, expected)
        size = 0
        for plain in _decompressed(sent) if packed else sent:
            cost.received(len(plain))
            size += len(plain)
            if size > self._largest:
                raise TooLargeError(
                    f"{url}: answer too large: stopped after {self._largest / 1e6:,.0f} MB, a whole day has about 60. "
                    "A later run asks again; if answers are really that large now, raise `largest_answer_mb` of the "
                    "resource `source`"
                )
            yield plain

    def _raw(self, response: "requests.Response", cost: Cost, until: float, expected: int | None) -> Iterator[bytes]:
        """Yield the body as it was sent; raise SourceError unless it has the expected length."""
        import urllib3  # noqa: PLC0415 - comes with requests

        clock, received = self.retry.clock, 0
        while True:
            started = clock()
            if started >= until:
                raise SourceError(f"response too slow: {received:,} bytes in {self.retry.deadline:.0f} s")
            try:
                # read1 returns what one recv() gives, so that a slow server comes back here. Each broken chunk raises.
                sent = response.raw.read1(READ_BYTES, decode_content=False)
            except (urllib3.exceptions.HTTPError, OSError) as broken:
                raise SourceError(f"the answer broke off after {received:,} bytes: {_root(broken)}") from broken
            finally:
                cost.seconds_download += clock() - started
            if not sent:
                break
            received += len(sent)
            yield sent
        if expected is not None and received != expected:
            raise SourceError(f"the answer is cut short: {received:,} of {expected:,} bytes")


def _session() -> "requests.Session":
    from http.cookiejar import DefaultCookiePolicy  # noqa: PLC0415 - `requests` loads it too

    import requests  # noqa: PLC0415 - see the imports above

    session = requests.Session()
    session.headers["User-Agent"] = USER_AGENT
    session.headers["Accept-Encoding"] = "gzip"
    session.max_redirects = 5
    # Cookies would be the only state that threads share.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # urllib3's own retries end at the head of an answer; here a bad body counts like a bad status.
    adapter = requests.adapters.HTTPAdapter(pool_maxsize=CONNECTIONS, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _by_the_servers_clock(sent_at: datetime, date: str) -> datetime:
    """Return when a request was sent, with a fast clock put back by no more than the answer proves.

    Of two writers that saw different values the one that asked later is right, and two machines' clocks may differ by
    minutes: an answer dated by a fast one would count as newer for minutes after its values were corrected. The
    server's `Date`, to the second, cannot be earlier than the sending by a clock that is right. A slow clock is left
    alone: it overrides nobody, and it may be set on purpose (`FLOOD_NOW`) before a server that is not.
    """
    try:
        shown = parsedate_to_datetime(date)
    except (TypeError, ValueError):
        return sent_at
    if shown.tzinfo is None or abs(shown - sent_at) > WRONG_CLOCK:
        return sent_at
    return min(sent_at, shown + timedelta(seconds=1))


def _check_status(response: "requests.Response", url: str) -> None:
    """Raise unless the status is 200."""
    status = response.status_code
    if status == 200:
        return
    said = f"HTTP {status} {_shown(response)}".rstrip()
    if status in RETRIED:
        raise _RetryableError(said, _retry_after(response))
    if status == 403:
        raise SourceError(
            f"{url}: {said}. The API refuses this machine's address, as some data centres report: "
            "run from another network or through a proxy (HTTPS_PROXY)"
        )
    said = f"{url}: {said}. Check FLOOD_API_URL; if that is right, the API has changed"
    raise NotFoundError(said) if status == 404 else SourceError(said)


def _retry_after(response: "requests.Response") -> float | None:
    """Return the seconds that the server asks to wait, given as a number or a date."""
    import urllib3  # noqa: PLC0415 - comes with requests

    header = response.headers.get("Retry-After")
    try:
        return urllib3.Retry().parse_retry_after(header) if header else None
    except urllib3.exceptions.InvalidHeader:
        return None


def _shown(response: "requests.Response") -> str:
    """Return the beginning of the body, for a message."""
    import urllib3  # noqa: PLC0415 - comes with requests

    try:
        body = response.raw.read(2_000, decode_content=True)
    except (urllib3.exceptions.HTTPError, OSError):
        return ""
    text = " ".join(body.decode(errors="replace").split())
    return f"'{text[:200]}'" if text else ""


def _decompressed(sent: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress one or more gzip members; raise SourceError unless the last one is complete."""
    member = zlib.decompressobj(wbits=31)
    for packed in sent:
        rest = packed
        while rest:
            if member.eof:
                member = zlib.decompressobj(wbits=31)
            try:
                plain = member.decompress(rest)
            except zlib.error as wrong:
                raise SourceError(f"the answer is corrupt: {wrong}") from wrong
            yield plain
            rest = member.unused_data
    if not member.eof:
        raise SourceError("the answer is cut short: its gzip stream has no end")


def _root(error: BaseException) -> BaseException:
    """Return the first cause: requests and urllib3 wrap it several times."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error
