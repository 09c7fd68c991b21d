"""The API over HTTP: whole, believable answers or a `SourceError`, never a shorter table.

What the bytes mean is in `flood_assets.ea.parse`; what to ask for, and when, in `flood_assets.ea.plan`. What is
known of the server from reports only is checked on each answer: that it is whole, and that it was not limited.
"""

import logging
import random
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets import __version__
from flood_assets.ea import parse
from flood_assets.errors import SourceError
from flood_assets.grouping import Gatherer
from flood_assets.schemas import REJECTS

if TYPE_CHECKING:  # `requests` costs a tenth of a second: only who asks the API pays it
    import requests

logger = logging.getLogger("flood_assets.ea")

T = TypeVar("T")

USER_AGENT = f"flood_assets/{__version__} (+https://github.com/flood-assets/flood_assets)"
RETRIED = {429, 500, 502, 503, 504}
HARD_LIMIT = 10_000
# Where the API limits readings it is to these numbers, and it does not say so in a CSV.
LIMITS = (500, HARD_LIMIT)
# 500 rows a page is the smallest that the API can force upon us: 600,000 readings of a day fit.
MOST_PAGES = 1_500
# A clock that is off by more is not wrong but pretended: a recording is replayed.
WRONG_CLOCK = timedelta(hours=1)
READ_BYTES = 1 << 16
PROGRESS_BYTES = 1 << 20
# More readings of each measure than a day has, for an answer of some size: so something is said again and again, and is
# looked through for what was said before.
COMPACT_ROWS = 1_000_000
COMPACT_ROWS_A_MEASURE = 300


@dataclass(frozen=True)
class Answer:
    """Readings that the API gave, whole.

    Attributes:
        rows: the readings, with schema `parse.FETCHED`, by window, measure and time as `windowed.Gatherer` gives them;
            of a reading that came twice the last.
        rejects: rows that could not be understood, with the schema of `schemas.REJECTS`.
        observed_at: the time just before the API was asked, by our clock; put back where it is fast.
        requests: how many requests were sent for it, those that failed included.
        bytes: how large its plain body was, failed requests included.
        seconds_download: time spent waiting for the server.
        seconds_parse: time spent decompressing it and making tables.
    """

    rows: pa.Table
    rejects: pa.Table
    observed_at: datetime
    requests: int
    bytes: int
    seconds_download: float
    seconds_parse: float


class Part(NamedTuple):
    """Some of the rows of an answer that is still arriving.

    Attributes:
        rows: readings, with schema `parse.FETCHED`.
        rejects: rows that could not be understood, with the schema of `schemas.REJECTS`.
        observed_at: the time just before the API was asked, by our clock; put back where it is fast.
        again: the answer had broken off and was asked for anew: what was given before this part comes once more.
    """

    rows: pa.Table
    rejects: pa.Table
    observed_at: datetime
    again: bool = False


@dataclass
class _Tally:
    """What one answer has cost so far."""

    what: str
    requests: int = 0
    bytes: int = 0
    rows: int = 0
    seconds_download: float = 0.0
    seconds_parse: float = 0.0
    progress_at: int = PROGRESS_BYTES
    asked_at: datetime | None = None  # when the latest request was sent; see `_by_the_servers_clock`

    def received(self, size: int) -> None:
        self.bytes += size
        if self.bytes >= self.progress_at:
            self.progress_at = self.bytes + PROGRESS_BYTES
            progress = {"what": self.what, "bytes": self.bytes, "rows": self.rows}
            logger.debug("%s: %.1f MB so far", self.what, self.bytes / 1e6, extra={"progress": progress})

    def finished(self) -> None:
        seconds = self.seconds_download + self.seconds_parse
        logger.info("%s: %d rows, %.1f MB in %.1f s", self.what, self.rows, self.bytes / 1e6, seconds)


@dataclass
class _Extent:
    """How much an answer holds and how it begins: what tells that it was limited, and that a page is a new one."""

    lines: int = 0
    values: int = 0
    head: pa.Table = field(default_factory=parse.FETCHED.empty_table)

    def add(self, part: Part) -> None:
        self.lines += part.rows.num_rows + part.rejects.num_rows
        # The API's limit counts values, and folds two values of one moment into one line.
        more = pc.sum(pc.count_substring(part.rows["raw_value"].drop_null(), "|")).as_py() or 0
        self.values += part.rows.num_rows + part.rejects.num_rows + more
        if not len(self.head):
            self.head = part.rows.slice(0, 20)

    @property
    def limited(self) -> bool:
        return self.lines in LIMITS or self.values in LIMITS


@dataclass
class _Whole:
    """What holds in the end, without the parts of answers that broke off.

    An answer that says everything ten times takes little more memory than one that says it once.
    """

    observed_at: datetime = field(init=False)
    rows: Gatherer = field(default_factory=Gatherer)
    rejects: list[pa.Table] = field(default_factory=list)
    compact_at: int = field(default_factory=lambda: COMPACT_ROWS)

    def add(self, part: Part) -> None:
        if part.again:
            self.rows, self.rejects = Gatherer(), []
        if not self.rejects:
            self.observed_at = part.observed_at
        self.rows.add(part.rows)
        self.rejects.append(part.rejects)
        if self.rows.rows >= max(self.compact_at, COMPACT_ROWS_A_MEASURE * self.rows.measures):
            rows, rejects = self.taken()
            self.rows.add(rows)
            self.rejects = [parse.distinct(rejects)]
            self.compact_at = max(COMPACT_ROWS, 2 * self.rows.rows)

    def taken(self) -> parse.Parsed:
        """All of it; nothing is left here."""
        rejects = pa.concat_tables([REJECTS.schema.empty_table(), *self.rejects])
        return parse.Parsed(self.rows.take(parse.FETCHED, self.observed_at), rejects)


@dataclass
class _Patience:
    """How often one answer was asked for in vain, since when, and until when that goes on."""

    url: str
    started: float
    until: float
    failures: int = 0


class TooLargeError(SourceError):
    """The answer has no end in sight; the next one would have none either."""


class NotFoundError(SourceError):
    """The API does not know what was asked for: a measure that it shows readings of may be missing in its lists."""


class _BadAnswerError(Exception):
    """This answer is of no use; the next one may be. `wait` is what the server asked for, in seconds."""

    def __init__(self, problem: str, wait: float | None = None) -> None:
        super().__init__(problem)
        self.wait = wait


class FloodMonitoringApi:
    """The real-time flood-monitoring API, or a server that answers like it.

    One instance has one `requests.Session` with a pool of connections and no cookies. Its methods may be called from
    a small pool of threads: they share nothing else.

    An answer that fails (no connection, HTTP 429 or 5xx, a body that breaks off or is not what it should be) is asked
    for again, up to `tries` times and within `deadline` seconds in all, after a wait that doubles each time and is
    spread at random, or that the server asked for with `Retry-After`.

    Args:
        base_url: root without a trailing slash, such as `settings.api_url()`.
        now: the time in UTC, for `observed_at`; put back by the server's clock where it is fast.
        connect_timeout: seconds for a connection to be made.
        read_timeout: seconds for the server to send its next byte. A whole day takes it up to 30 s.
        deadline: seconds for one answer in all, its repetitions included: looked at before each try and each read,
            so that the last one may end up to `read_timeout` later. A page counts as an answer.
        tries: how often one answer is asked for.
        backoff: seconds before the second try, doubled before each further one.
        longest_wait: seconds that a wait lasts at most, whatever `Retry-After` says.
        largest: bytes of an answer, unpacked, after which it is given up: a server that goes astray may never end. Ten
            times a usual day fits.
        connections: size of the pool, for as many threads.
        sleep, jitter, clock: `time.sleep`, `random.random` and `time.monotonic`; tests replace them.
    """

    def __init__(
        self,
        base_url: str,
        *,
        now: Callable[[], datetime],
        connect_timeout: float = 10,
        read_timeout: float = 120,
        deadline: float = 600,
        tries: int = 5,
        backoff: float = 1,
        longest_wait: float = 60,
        largest: int = 1_000_000_000,
        connections: int = 8,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._now = now
        self._timeout = (connect_timeout, read_timeout)
        self._deadline = deadline
        self._tries = tries
        self._backoff = backoff
        self._longest_wait = longest_wait
        self._largest = largest
        self._sleep = sleep
        self._jitter = jitter
        self._clock = clock
        self._session = _session(connections)

    def close(self) -> None:
        """Close the connections; the instance can be used on."""
        self._session.close()

    def stations(self) -> pa.Table:
        """Every station, with the schema of `schemas.STATIONS`; some MB of JSON."""
        return self._snapshot("stations", "id/stations?_view=full", parse.parse_stations)

    def measures(self) -> pa.Table:
        """Every measure, with the schema of `schemas.MEASURES`; some MB of JSON."""
        return self._snapshot("measures", "id/measures", parse.parse_measures)

    def readings_of_day(self, day: date) -> Answer:
        """Every reading of a UTC day: half a million rows, 60 MB of CSV, 4 MB as sent.

        The API keeps 28 days and the one that is under way.
        """
        return self._answer(f"readings of {day}", f"data/readings.csv?date={day.isoformat()}")

    def stream_day(self, day: date) -> Iterator[Part]:
        """The same while it arrives, some 15,000 rows at a time, so that memory does not depend on the day.

        Raises:
            SourceError: also after parts were given, when the answer turns out not to be whole.
        """
        return self._readings(f"data/readings.csv?date={day.isoformat()}", _Tally(f"readings of {day}"))

    def latest(self) -> Answer:
        """The newest reading of every measure that had one in the last 28 days."""
        return self._answer("latest readings", "data/readings.csv?latest")

    def readings_since(self, measure_id: str, since: datetime) -> Answer:
        """The readings of one measure that are dated after `since`; what came late and is dated before is not there.

        Args:
            measure_id: the notation, as in `parse.FETCHED`: already percent-encoded where it needs to be.
            since: a time with a zone.
        """
        moment = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        path = f"id/measures/{quote(measure_id, safe='%')}/readings.csv?since={moment}&_limit={HARD_LIMIT}"
        return self._answer(f"readings of {measure_id} since {moment}", path)

    def _snapshot(self, what: str, path: str, read: Callable[[bytes, datetime], pa.Table]) -> pa.Table:
        """A JSON list, as a table."""
        tally = _Tally(what)
        patience = self._patience(path)
        while True:
            try:
                with self._asked(patience, tally) as chunks:
                    body = b"".join(chunks)
                    table = self._timed(tally, partial(read, body, cast("datetime", tally.asked_at)))
                    if not table.num_rows:
                        raise SourceError(f"the list of {what} is empty")
            except _BadAnswerError as problem:
                self._wait(patience, problem)
            else:
                tally.rows = table.num_rows
                tally.finished()
                return table

    def _answer(self, what: str, path: str) -> Answer:
        """Readings as a whole table."""
        tally = _Tally(what)
        whole = _Whole()
        for part in self._readings(path, tally):
            self._timed(tally, partial(whole.add, part))
        rows, rejects = self._timed(tally, whole.taken)
        return Answer(
            rows=rows,
            rejects=rejects,
            observed_at=whole.observed_at,
            requests=tally.requests,
            bytes=tally.bytes,
            seconds_download=tally.seconds_download,
            seconds_parse=tally.seconds_parse,
        )

    def _readings(self, path: str, tally: _Tally) -> Iterator[Part]:
        """Readings, with the pages that are missing if the answer was limited."""
        extent = _Extent()
        for part in self._stream(path, tally):
            if part.again:
                extent = _Extent()
            extent.add(part)
            yield part
        if extent.limited:
            logger.warning("%s: %d rows look like a limit: asking for more", tally.what, extent.lines)
            yield from self._further_pages(path, tally, extent, part.observed_at)
        tally.finished()

    def _further_pages(self, path: str, tally: _Tally, extent: _Extent, observed_at: datetime) -> Iterator[Part]:
        """The pages after a first one, until one is empty: a short page is not the last.

        Pages may overlap, as the API promises no order. `_limit` is never added: it would limit what is not.
        """
        offset = extent.lines
        for _ in range(MOST_PAGES):
            page = _Extent()
            parts = _settled(self._stream(f"{path}&_offset={offset}", tally, observed_at))
            for part in parts:
                page.add(part)
            if not page.lines:
                return
            if len(page.head) and page.head.to_pylist() == extent.head.to_pylist():
                raise SourceError(
                    f"{self.base_url}/{path}: the answer stops at {offset} rows, which is a limit of the API, and the "
                    f"next page (_offset={offset}) repeats the one before: the rest cannot be had. Ask for less at once"
                )
            # Settled already: a page that was asked for twice takes nothing back of the pages before it.
            yield from (part._replace(again=False) for part in parts)
            offset += page.lines
            extent = page
        raise SourceError(f"{self.base_url}/{path}: no end after {MOST_PAGES} pages and {offset} rows")

    def _stream(self, path: str, tally: _Tally, observed_at: datetime | None = None) -> Iterator[Part]:
        """One answer while it arrives, asked for again where it breaks off; a further page is as old as the first."""
        patience = self._patience(path)
        given = 0
        while True:
            again = patience.failures > 0
            try:
                with self._asked(patience, tally) as chunks:
                    asked_at = observed_at or cast("datetime", tally.asked_at)
                    parts = parse.read_readings(chunks, asked_at)
                    while (parsed := self._timed(tally, partial(next, parts, None))) is not None:
                        given += parsed.rows.num_rows
                        tally.rows += parsed.rows.num_rows
                        yield Part(parsed.rows, parsed.rejects, asked_at, again)
                        again = False
            except _BadAnswerError as problem:
                tally.rows -= given
                given = 0
                self._wait(patience, problem)
            else:
                return

    def _timed(self, tally: _Tally, work: Callable[[], T]) -> T:
        """What `work` gives; the time that it took without waiting for the server is added to the parser's."""
        started, waited = self._clock(), tally.seconds_download
        try:
            return work()
        finally:
            tally.seconds_parse += self._clock() - started - (tally.seconds_download - waited)

    def _patience(self, path: str) -> _Patience:
        started = self._clock()
        return _Patience(f"{self.base_url}/{path}", started, started + self._deadline)

    def _wait(self, patience: _Patience, problem: _BadAnswerError) -> None:
        """Wait before the next try, or give up."""
        patience.failures += 1
        wait = problem.wait or self._backoff * 2 ** (patience.failures - 1) * (0.5 + self._jitter())
        wait = min(wait, self._longest_wait)
        elapsed = self._clock() - patience.started
        if patience.failures >= self._tries or self._clock() + wait >= patience.until:
            raise SourceError(
                f"{patience.url}: no usable answer in {patience.failures} tries and {elapsed:.0f} s, at last: "
                f"{problem}. Open the address in a browser: if it fails there too the API is down, and a later run "
                "fetches what is missing; if not, look at FLOOD_API_URL and at this machine's network and proxy"
            ) from problem
        logger.warning("%s: %s; try %d in %.1f s", patience.url, problem, patience.failures + 1, wait)
        self._sleep(wait)

    @contextmanager
    def _asked(self, patience: _Patience, tally: _Tally) -> Iterator[Iterator[bytes]]:
        """Send the request once; gives the plain bytes of the body as they come.

        Raises:
            _BadAnswerError: trying again may help; that includes each `SourceError` from whoever reads the bytes.
            SourceError: trying again does not help.
        """
        import requests  # noqa: PLC0415 - see the imports above

        tally.requests += 1
        started, sent = self._clock(), self._now()
        try:
            response = self._session.get(patience.url, stream=True, timeout=self._timeout)
        except requests.TooManyRedirects as loop:
            raise SourceError(f"{patience.url}: redirected in a circle ({loop}). Look at FLOOD_API_URL") from loop
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as failed:
            raise _BadAnswerError(f"{type(failed).__name__}: {_root(failed)}") from failed
        except requests.RequestException as wrong:
            raise SourceError(f"{patience.url} cannot be asked: {wrong}. Look at FLOOD_API_URL") from wrong
        finally:
            tally.seconds_download += self._clock() - started
        tally.asked_at = _by_the_servers_clock(sent, response.headers.get("Date", ""))
        with closing(response):
            _check_status(response, patience.url)
            try:
                yield self._plain(response, patience, tally)
            except TooLargeError:
                raise
            except SourceError as wrong:
                raise _BadAnswerError(str(wrong)) from wrong

    def _plain(self, response: "requests.Response", patience: _Patience, tally: _Tally) -> Iterator[bytes]:
        """The body decompressed, which must turn out to be whole."""
        content = response.headers.get("Content-Type", "")
        if "html" in content.lower():
            raise SourceError(f"the answer is a page for people ({content}): {_said(response)}")
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
        sent = self._sent(response, patience, tally, expected)
        size = 0
        for plain in _unpacked(sent) if packed else sent:
            tally.received(len(plain))
            size += len(plain)
            if size > self._largest:
                raise TooLargeError(
                    f"{patience.url}: the answer has no end: given up after {self._largest / 1e6:,.0f} MB, of which a "
                    "whole day has about 60. A later run asks again; if answers are really that large now, raise "
                    "`largest_answer_mb` of the resource `source`"
                )
            yield plain

    def _sent(
        self, response: "requests.Response", patience: _Patience, tally: _Tally, expected: int | None
    ) -> Iterator[bytes]:
        """The body as it was sent, as long as it should be."""
        import urllib3  # noqa: PLC0415 - comes with requests

        received = 0
        while True:
            started = self._clock()
            if started >= patience.until:
                raise SourceError(f"the answer drips: {received:,} bytes when {self._deadline:.0f} s were over")
            try:
                # read1 returns what is there, so that a drip comes back here; it is urllib3's word for one recv().
                # Each broken chunk raises.
                sent = response.raw.read1(READ_BYTES, decode_content=False)
            except (urllib3.exceptions.HTTPError, OSError) as broken:
                raise SourceError(f"the answer broke off after {received:,} bytes: {_root(broken)}") from broken
            finally:
                tally.seconds_download += self._clock() - started
            if not sent:
                break
            received += len(sent)
            yield sent
        if expected is not None and received != expected:
            raise SourceError(f"the answer is cut short: {received:,} of {expected:,} bytes")


def _session(connections: int) -> "requests.Session":
    import requests  # noqa: PLC0415 - see the imports above

    session = requests.Session()
    session.headers["User-Agent"] = USER_AGENT
    session.headers["Accept-Encoding"] = "gzip"
    session.max_redirects = 5
    # Cookies would be the only state that threads share.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # urllib3's own repetition ends at the head of an answer; here a bad body counts just as a bad status.
    adapter = requests.adapters.HTTPAdapter(pool_connections=connections, pool_maxsize=connections, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _by_the_servers_clock(sent: datetime, date: str) -> datetime:
    """When a request was sent, with a clock that is fast put back by no more than the answer proves.

    Of two writers that saw different values the one that asked later is right, and two machines' clocks may differ by
    minutes: what a fast one saw would count for minutes after it was corrected. What the server's clock showed when it
    answered, to the second, lies between `sent` and `answered` of a clock that is right. A slow clock is left alone: it
    overrides nobody, and it may be one that pretends (`FLOOD_NOW`) before a server that does not.

    Args:
        sent: the time just before the request was sent.
        date: the answer's `Date`.
    """
    try:
        shown = parsedate_to_datetime(date)
    except (TypeError, ValueError):
        return sent
    if shown.tzinfo is None or abs(shown - sent) > WRONG_CLOCK:
        return sent
    return sent + min(shown + timedelta(seconds=1) - sent, timedelta(0))


def _check_status(response: "requests.Response", url: str) -> None:
    """Pass an answer with 200 and no other."""
    status = response.status_code
    if status == 200:
        return
    said = f"HTTP {status} {_said(response)}".rstrip()
    if status in RETRIED:
        raise _BadAnswerError(said, _retry_after(response))
    if status == 403:
        raise SourceError(
            f"{url}: {said}. The API refuses this machine's address, as is reported of some data centres: "
            "run it from another network or through a proxy (HTTPS_PROXY)"
        )
    said = f"{url}: {said}. Look at FLOOD_API_URL; if that is right, the API has changed"
    raise NotFoundError(said) if status == 404 else SourceError(said)


def _retry_after(response: "requests.Response") -> float | None:
    """Seconds that the server asks to wait: it may give a number or a date."""
    import urllib3  # noqa: PLC0415 - comes with requests

    header = response.headers.get("Retry-After")
    try:
        return urllib3.Retry().parse_retry_after(header) if header else None
    except urllib3.exceptions.InvalidHeader:
        return None


def _said(response: "requests.Response") -> str:
    """The beginning of the body, for a message."""
    import urllib3  # noqa: PLC0415 - comes with requests

    try:
        body = response.raw.read(2_000, decode_content=True)
    except (urllib3.exceptions.HTTPError, OSError):
        return ""
    text = " ".join(body.decode(errors="replace").split())
    return f"'{text[:200]}'" if text else ""


def _unpacked(sent: Iterator[bytes]) -> Iterator[bytes]:
    """What one or more gzip members hold, the last of which must come to its end."""
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


def _settled(parts: Iterator[Part]) -> list[Part]:
    """The parts that hold in the end, without those of answers that broke off."""
    kept: list[Part] = []
    for part in parts:
        if part.again:
            kept.clear()
        kept.append(part)
    return kept


def _root(error: BaseException) -> BaseException:
    """What really happened: requests and urllib3 wrap it several times."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error
