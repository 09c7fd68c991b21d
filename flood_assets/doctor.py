"""What a person gets wrong first, looked at in order: settings, the API's answers, the lake, Dagster, versions.

Each check is a small function that gives findings; what fails in one never stops another, and no finding shows a
secret. The API is asked seven times, with half a minute's work for it at most: what `ea_api.md` section 11 leaves
open is answered by the way. What the lake holds is the subject of `flood_assets.status`.
"""

# ruff: noqa: PLC0415 - what a check looks at may be what fails to import, and each import's cost is its check's own

import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, urlsplit

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from flood_assets import settings
from flood_assets.errors import FloodAssetsError, LakeError, SettingsError, SourceError

if TYPE_CHECKING:
    import dagster as dg
    import pyarrow as pa
    import requests

    from flood_assets.lake.lake import Lake
    from flood_assets.lake.store import Meta, Store

CLOCK_OFF = timedelta(minutes=2)
STALE = timedelta(hours=2)
LEAST_FREE_BYTES = 1_000_000_000
# Connection and next byte; a whole day takes the API up to 30 s before it says anything.
TIMEOUT_S = (10, 120)
UNKNOWN_MEASURE = "flood-assets-doctor-asks-for-no-measure"


class Level(Enum):
    """How bad a finding is; only `FAILED` makes the exit code 1."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what was found, and what to do about it where something is to be done."""

    level: Level
    found: str
    remedy: str = ""


Findings = Iterator[Finding]
Doing = Callable[[str], None]


def show() -> int:
    """Look at everything and print each finding as it is found.

    Returns:
        The exit code: 1 when something failed, 0 when all is well or there are only notes and warnings.
    """
    console = Console(highlight=False, markup=False)
    counts = dict.fromkeys(Level, 0)
    with console.status("") as doing:
        for title, check in CHECKS.items():
            console.print(f"\n{title}", style="bold")
            doing.update("")
            for finding in look(check, lambda what: doing.update(f"{without_secrets(what)} ...")):
                counts[finding.level] += 1
                _print(console, finding)
    console.print("\n" + ", ".join(f"{counts[level]} {name}" for level, name in _COUNTED.items()))
    return 1 if counts[Level.FAILED] else 0


def look(check: Callable[[Doing], Findings], doing: Doing = lambda _: None) -> Findings:
    """The findings of a check, without secrets; what it could not cope with is one of them."""
    try:
        for finding in check(doing):
            yield Finding(finding.level, without_secrets(finding.found), without_secrets(finding.remedy))
    except FloodAssetsError as error:
        yield Finding(Level.FAILED, without_secrets(str(error)))
    except Exception as error:  # noqa: BLE001 - a check that fails must not hide what the others find
        fault = without_secrets(f"{type(error).__name__}: {_brief(error)}")
        yield Finding(Level.FAILED, f"this could not be looked at: {fault}", "if nothing else explains it, report it")


# -- settings


def check_settings(_: Doing) -> Findings:
    """The settings of the environment: what they are, where they come from, and whether they can be used."""
    try:
        yield Finding(Level.OK, f"FLOOD_API_URL: {settings.api_url()} ({_origin('FLOOD_API_URL', 'the live API')})")
    except SettingsError as error:
        yield Finding(Level.FAILED, str(error), "correct FLOOD_API_URL, or unset it for the live API")
    place = settings.lake_url()
    yield Finding(Level.OK, f"FLOOD_LAKE_URL: {place} ({_origin('FLOOD_LAKE_URL', 'a folder where you are now')})")
    try:
        moment = settings.now()
    except SettingsError as error:
        yield Finding(Level.FAILED, str(error), "correct FLOOD_NOW, or unset it for the machine's clock")
        return
    if os.environ.get("FLOOD_NOW"):
        yield Finding(
            Level.NOTE, f"FLOOD_NOW pretends that it is {_stamp(moment)}", "unset it unless a recording is replayed"
        )
    else:
        yield Finding(Level.OK, f"FLOOD_NOW: not set, this machine's clock says {_stamp(moment)}")


def _origin(name: str, default: str) -> str:
    return "from the environment" if os.environ.get(name) else f"default: {default}"


# -- the API


@dataclass
class _Asked:
    """One answer of the API."""

    response: "requests.Response"
    seconds: float
    asked_at: datetime

    @property
    def body(self) -> bytes:
        return self.response.content

    def require(self) -> None:
        """SourceError unless the API gave what was asked for."""
        if self.response.status_code != 200:
            raise SourceError(self.said)

    @property
    def said(self) -> str:
        """The status and the beginning of the body."""
        text = " ".join(self.body[:2_000].decode(errors="replace").split())
        shown = f"{text[:160]}..." if len(text) > 160 else text
        return f"HTTP {self.response.status_code} '{shown}'"


@dataclass
class _Api:
    """Asks the API, each question once and politely."""

    base: str
    doing: Doing
    _session: "requests.Session | None" = field(default=None, init=False)

    def __enter__(self) -> Self:
        import requests

        from flood_assets.ea.client import USER_AGENT

        self._session = requests.Session()
        self._session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"})
        self._session.max_redirects = 5
        return self

    def __exit__(self, *_: object) -> None:
        if self._session is not None:
            self._session.close()

    def ask(self, path: str) -> _Asked:
        """One request. Never with `_limit` beside latest, today or date: it would cut the answer without a word.

        Raises:
            SourceError: no answer.
        """
        import requests

        if self._session is None:
            raise RuntimeError("not entered")
        self.doing(f"asking {path}")
        asked_at, started = datetime.now(UTC), time.perf_counter()
        try:
            response = self._session.get(f"{self.base}/{path}", timeout=TIMEOUT_S)
        except requests.RequestException as error:
            raise SourceError(f"{path}: no answer: {type(error).__name__}: {_brief(_root(error))}") from error
        return _Asked(response, time.perf_counter() - started, asked_at)


def check_api(doing: Doing) -> Findings:
    """The API's answers to what a refresh asks, and to what nobody has asked it yet."""
    try:
        base, now = settings.api_url(), settings.now()
    except SettingsError:
        yield Finding(Level.NOTE, "not asked: a setting above cannot be used")
        return
    with _Api(base, doing) as api:
        try:
            latest = api.ask("data/readings.csv?latest")
        except SourceError as error:
            yield Finding(
                Level.FAILED,
                f"{base} cannot be reached: {error}",
                "open the address in a browser; if it works there, look at this machine's network, name server and "
                f"proxy ({_proxy(base)}), else at FLOOD_API_URL",
            )
            return
        refused = _refused(latest)
        if refused is not None:
            yield refused
            return
        yield Finding(Level.OK, f"{base} answers, after {latest.seconds:.2f} s")
        for judge in (_judge_headers, _judge_clock):
            yield from judge(latest)
        complete = yield from _judge_latest(latest, now)
        questions: list[Callable[[], Findings]] = [
            lambda: _ask_since(api, now),
            lambda: _ask_unknown_measure(api),
            lambda: _ask_unknown_readings(api, now),
            lambda: _ask_list(api, "stations", "id/stations?_view=full"),
            lambda: _ask_list(api, "measures", "id/measures"),
        ]
        if complete:
            questions.append(lambda: _ask_day(api, now.date()))
        for question in questions:
            try:
                yield from question()
            except SourceError as error:
                yield Finding(Level.FAILED, str(error), "the API answers others: try again in some minutes")


def _refused(answer: _Asked) -> Finding | None:
    """Why nothing more needs to be asked."""
    status = answer.response.status_code
    if status == 403:
        remedy = "it refuses this machine's address, as is told of some data centres: try another network or a proxy"
    elif status == 404:
        remedy = f"FLOOD_API_URL is not the root of the API: it is {settings.LIVE_API}, with no slash at the end"
    elif status == 429 or status >= 500:
        remedy = "the API is down or crowded: wait some minutes; runs try again by themselves"
    elif status != 200:
        remedy = "look at FLOOD_API_URL"
    elif "html" in answer.response.headers.get("Content-Type", "").lower() or answer.body.lstrip()[:1] == b"<":
        said = f"the answer to `latest` is a page for people: {answer.said}"
        return Finding(
            Level.FAILED, said, "a proxy or a log-in page answers instead of the API, or FLOOD_API_URL is wrong"
        )
    else:
        return None
    return Finding(Level.FAILED, f"the API refuses `latest`: {answer.said}", remedy)


def _judge_headers(answer: _Asked) -> Findings:
    """Compression and caching, which were never seen on the live API."""
    headers = answer.response.headers
    if answer.response.history:
        yield Finding(Level.NOTE, f"redirected to {answer.response.url}", "FLOOD_API_URL could name that at once")
    coding = headers.get("Content-Encoding", "").strip().lower()
    whole = "Content-Length" in headers or "chunked" in headers.get("Transfer-Encoding", "").lower()
    if coding not in {"", "identity", "gzip", "x-gzip"} or not (coding or whole):
        yield Finding(
            Level.FAILED,
            f"a refresh does not accept answers with Content-Encoding '{coding}' and {'a' if whole else 'no'} length",
            "a proxy between here and the API must leave answers as they are",
        )
    elif "gzip" in coding:
        yield Finding(Level.OK, "answers are compressed with gzip")
    else:
        yield Finding(
            Level.WARNING,
            "answers are not compressed although gzip was asked for",
            "a whole day is 60 MB instead of 4: is there a proxy in between that unpacks?",
        )
    named = [
        f"{name}: {headers[name]}" for name in ("Cache-Control", "ETag", "Last-Modified", "Age") if name in headers
    ]
    yield Finding(Level.NOTE, f"caching: {', '.join(named) or 'no Cache-Control, ETag or Last-Modified'}")
    longest = re.search(r"(?:s-maxage|max-age)=(\d+)", headers.get("Cache-Control", ""))
    if longest and int(longest[1]) > 900:
        yield Finding(
            Level.WARNING,
            f"answers may be {int(longest[1]):,} s old when they come",
            "a refresh every 15 minutes sees each reading that much later; nothing is lost",
        )


def _judge_clock(answer: _Asked) -> Findings:
    """This machine's clock against the server's, to the seconds that its answer took."""
    header = answer.response.headers.get("Date")
    theirs = None
    with suppress(TypeError, ValueError):
        theirs = parsedate_to_datetime(header or "")
    if theirs is None:
        yield Finding(Level.NOTE, "the answer has no Date: this machine's clock could not be compared")
        return
    age = answer.response.headers.get("Age", "")
    theirs = (theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)) + timedelta(
        seconds=int(age) if age.isdecimal() else 0
    )
    off = max(answer.asked_at - theirs, theirs - answer.asked_at - timedelta(seconds=answer.seconds), timedelta(0))
    words = f"{off.total_seconds():,.0f} s {'ahead of' if answer.asked_at > theirs else 'behind'} the API's"
    if off > CLOCK_OFF:
        yield Finding(
            Level.WARNING,
            f"this machine's clock is {words}",
            "set it (NTP): readings count as of the last 24 hours, and as to come, by it",
        )
    else:
        yield Finding(Level.OK, f"this machine's clock is within {max(1, off.total_seconds()):.0f} s of the API's")
    if os.environ.get("FLOOD_NOW"):
        yield Finding(Level.NOTE, "FLOOD_NOW is in force instead of it: the API must be a replay of that time")


def _judge_latest(answer: _Asked, now: datetime) -> Generator[Finding, None, bool]:
    """Whether `latest` is what refreshes take it for; returns whether it is complete."""
    from flood_assets.ea.client import LIMITS
    from flood_assets.ea.parse import parse_readings

    try:
        parsed = parse_readings(answer.body, answer.asked_at)
    except SourceError as error:
        yield Finding(
            Level.FAILED,
            f"`latest` cannot be read: {error}",
            "if the API has changed its CSV, flood_assets.ea.parse must follow; else something in between changes it",
        )
        return False
    rows = len(parsed.rows) + len(parsed.rejects)
    found = f"`latest` gives {rows:,} rows, {len(answer.body) / 1e6:.1f} MB in {answer.seconds:.2f} s"
    if rows in LIMITS:
        yield Finding(
            Level.WARNING,
            f"{found}: exactly one of the API's limits, so the answer was probably cut",
            "refreshes page through the rest with many more requests; today's readings are not asked for here",
        )
        return False
    if not len(parsed.rows):
        yield Finding(Level.WARNING, f"{found}: no gauge has reported in 28 days", "is this the right API?")
        return True
    yield Finding(Level.OK, found)
    if len(parsed.rejects):
        first = parsed.rejects.slice(0, 1).to_pylist()[0]
        yield Finding(
            Level.WARNING,
            f"{len(parsed.rejects):,} rows cannot be understood, the first: '{first['line'][:120]}': {first['reason']}",
            "they are kept in the table `rejects`",
        )
    yield _judge_newest(parsed.rows["date_time"], now)
    return True


def _judge_newest(times: "pa.ChunkedArray", now: datetime) -> Finding:
    """How old the newest reading is that is not dated later than now: a few gauges' clocks are always wrong."""
    import pyarrow as pa
    import pyarrow.compute as pc

    past = times.filter(pc.less_equal(times, pa.scalar(now, times.type)))
    if len(past) < len(times) / 2:
        return Finding(
            Level.WARNING,
            f"{len(times) - len(past):,} of {len(times):,} newest readings are dated after now, {_stamp(now)}",
            "this machine's clock or FLOOD_NOW is behind: such readings are not stored before they are due",
        )
    newest: datetime = pc.max(past).as_py()
    if newest < now - STALE:
        return Finding(
            Level.WARNING,
            f"the newest reading is of {_stamp(newest)}, and now is {_stamp(now)}",
            "no gauge has reported since: the Agency's telemetry is down, or the clock or FLOOD_NOW is ahead",
        )
    return Finding(Level.OK, f"the newest reading is of {_stamp(newest)}")


def _ask_since(api: _Api, now: datetime) -> Findings:
    """`since` over all measures, which the API has refused."""
    answer = api.ask(f"data/readings?since={now - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}")
    if answer.response.status_code == 400:
        yield Finding(Level.OK, f"`since` for all measures is refused, as assumed: {answer.said}")
    elif answer.response.status_code == 200:
        yield Finding(
            Level.WARNING,
            "`since` for all measures is answered, which it was not in 2026",
            "nothing breaks; a refresh could ask less (flood_assets.ea.plan assumes that it cannot)",
        )
    else:
        yield Finding(
            Level.WARNING,
            f"`since` for all measures: {answer.said}, where 400 was expected",
            "nothing breaks: a refresh does not ask it",
        )


def _ask_unknown_measure(api: _Api) -> Findings:
    """A measure that does not exist."""
    answer = api.ask(f"id/measures/{UNKNOWN_MEASURE}")
    if answer.response.status_code == 404:
        yield Finding(Level.OK, f"an unknown measure is answered with {answer.said}")
    else:
        yield Finding(
            Level.WARNING,
            f"an unknown measure is answered with {answer.said}, where 404 was expected",
            "a measure that the lists do not know cannot be told from one that is silent",
        )


def _ask_unknown_readings(api: _Api, now: datetime) -> Findings:
    """Its readings, asked for as a refresh would."""
    path = (
        f"id/measures/{UNKNOWN_MEASURE}/readings.csv?since={now - timedelta(hours=24):%Y-%m-%dT%H:%M:%SZ}&_limit=10000"
    )
    answer = api.ask(path)
    status = answer.response.status_code
    if status == 404:
        yield Finding(
            Level.OK, "the readings of an unknown measure are a 404: a refresh then takes what `latest` shows"
        )
    elif status == 200 and answer.body.count(b"\n") <= 1:
        yield Finding(
            Level.WARNING,
            f"the readings of an unknown measure are an empty answer: {answer.said}",
            "a refresh asks for such a measure again at each tick, and gets its readings with the next reconcile only",
        )
    else:
        yield Finding(
            Level.WARNING,
            f"the readings of an unknown measure: {answer.said}",
            "a refresh asks for such a measure again at each tick, and waits for it each time",
        )


def _ask_list(api: _Api, what: str, path: str) -> Findings:
    """A list of metadata, which must come whole without a limit."""
    from flood_assets.ea import parse

    answer = api.ask(path)
    cost = f"{len(answer.body) / 1e6:.1f} MB in {answer.seconds:.2f} s"
    read = parse.parse_stations if what == "stations" else parse.parse_measures
    try:
        answer.require()
        count = len(read(answer.body, answer.asked_at))
        content = json.loads(answer.body)
        limit = content["meta"].get("limit") if isinstance(content.get("meta"), dict) else None
    except (SourceError, ValueError, AttributeError) as error:
        yield Finding(
            Level.FAILED,
            f"the list of {what} cannot be used: {_brief(error)}",
            f"readings are stored all the same; `{what}` stays as old as it is until the API answers again",
        )
        return
    if limit is not None:
        yield Finding(
            Level.WARNING,
            f"the list of {what} has {count:,} and says that it is limited to {limit:,}",
            f"if there are more {what} than that, readings of the others lack their station",
        )
    elif not count:
        yield Finding(Level.WARNING, f"the list of {what} is empty", "a refresh of it fails; is this the right API?")
    else:
        yield Finding(Level.OK, f"the list of {what} is whole without a limit: {count:,}, {cost}")


def _ask_day(api: _Api, day: date) -> Findings:
    """Today's readings of every gauge: what a cold start and a reconcile ask."""
    from flood_assets.ea.client import LIMITS
    from flood_assets.ea.parse import parse_readings

    answer = api.ask(f"data/readings.csv?date={day.isoformat()}")
    try:
        answer.require()
        rows = len(parse_readings(answer.body, answer.asked_at).rows)
    except SourceError as error:
        yield Finding(
            Level.FAILED,
            f"the readings of {day} cannot be used: {error}",
            "a cold start and a reconcile need them: try again later; runs do so by themselves",
        )
        return
    found = f"the readings of {day}: {rows:,} rows, {len(answer.body) / 1e6:.1f} MB in {answer.seconds:.1f} s"
    if rows in LIMITS:
        yield Finding(
            Level.WARNING,
            f"{found}: exactly one of the API's limits, so the answer was probably cut",
            "a cold start pages through the rest with many more requests",
        )
    else:
        yield Finding(Level.OK if rows else Level.NOTE, found)


def _proxy(url: str) -> str:
    import requests

    proxy = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
    return f"in force: {proxy}" if proxy else "none is set"


# -- the lake


def check_lake(doing: Doing) -> Findings:
    """Whether the lake can be opened, read, written and deleted from, keeps two writers apart, and whose it is."""
    url = settings.lake_url()
    if url.startswith("s3://"):
        doing("looking for AWS credentials")
        for finding in look(_check_credentials):
            yield finding
            if finding.level is Level.FAILED:
                return
    if url.startswith("file://"):
        folder = Path(unquote(urlsplit(url).path))
        if not folder.exists():
            yield Finding(
                Level.NOTE, f"{folder} is not there yet: it is made now, and filled by `flood-assets refresh`"
            )
    from flood_assets.lake.lake import Lake

    doing(f"opening {url}")
    try:
        lake = Lake.open(url)
    except (LakeError, SettingsError) as error:
        yield Finding(
            Level.FAILED, str(error), "correct FLOOD_LAKE_URL, or what the message names; nothing can be stored before"
        )
        return
    if lake.store.local:
        yield from look(lambda _: _check_disk(Path(unquote(urlsplit(url).path))))
    works = yield from _try_out(lake.store, doing)
    if works:
        yield from _check_claim(lake)


def _check_credentials(_: Doing) -> Findings:
    """Where boto3 finds credentials, region and endpoint; never what they are."""
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        session = boto3.Session()
        found = session.get_credentials()
        endpoint = session.client("s3", region_name=session.region_name or "us-east-1").meta.endpoint_url
    except (BotoCoreError, ValueError) as error:
        yield Finding(Level.FAILED, f"the AWS configuration: {_brief(error)}", "check AWS_PROFILE and ~/.aws/config")
        return
    if found is None:
        yield Finding(
            Level.FAILED,
            "no AWS credentials are found",
            "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role",
        )
    else:
        yield Finding(Level.OK, f"AWS credentials found by the method '{found.method}'")
    region = session.region_name or os.environ.get("AWS_REGION")
    if region:
        yield Finding(Level.OK, f"region {region}, endpoint {endpoint}")
    else:
        yield Finding(
            Level.NOTE,
            f"no region is set: us-east-1 is assumed, endpoint {endpoint}",
            "set AWS_DEFAULT_REGION to the bucket's region",
        )


def _check_disk(folder: Path) -> Findings:
    """Room for the lake: a day of the whole country is some MB, but a full disk stops everything."""
    usage = shutil.disk_usage(folder)
    free = f"{usage.free / 1e9:,.1f} GB free on the disk of {folder}"
    if usage.free < LEAST_FREE_BYTES:
        yield Finding(Level.WARNING, free, "free some space: a full disk stops refreshes")
    else:
        yield Finding(Level.OK, free)


@dataclass
class _Trial:
    """An object of our own below `_doctor/`, and what each operation on it took."""

    store: "Store"
    key: str
    doing: Doing
    seconds: dict[str, float] = field(default_factory=dict)

    def timed(self, name: str, work: Callable[[], Any]) -> Any:
        """What `work` gives."""
        self.doing(f"trying to {name} in {self.store.url}")
        started = time.perf_counter()
        try:
            return work()
        finally:
            self.seconds[name] = time.perf_counter() - started

    def put(self, data: bytes, replaces: "Meta | None") -> None:
        with self.store.guard(self.key):
            self.store.put(self.key, data, replaces=replaces)

    def conflicts(self, name: str, data: bytes, replaces: "Meta | None") -> bool:
        """Whether the store refuses this write, as it must."""
        from flood_assets.lake.store import ConflictError

        try:
            self.timed(name, lambda: self.put(data, replaces))
        except ConflictError:
            return True
        return False


def _try_out(store: "Store", doing: Doing) -> Generator[Finding, None, bool]:
    """Do with an object of our own what a refresh does with windows; returns whether the lake can be used."""
    trial = _Trial(store, f"_doctor/{uuid.uuid4().hex}.bin", doing)
    wrong: list[Finding] = []
    try:
        wrong += _tried(trial)
        trial.timed("delete", lambda: store.delete([trial.key]))
        if store.head(trial.key) is not None:
            wrong.append(Finding(Level.FAILED, f"{trial.key} is still there after its deletion", _DELETION))
    except LakeError as error:
        done = list(trial.seconds)
        if len(done) > 1:  # else there is nothing to delete, and a store that does not answer is slow to say so
            with suppress(LakeError):
                store.delete([trial.key])
        yield Finding(
            Level.FAILED,
            f"{error} (while trying to {done[-1]})",
            "put right what the message names: a refresh has to list, read, write and delete here",
        )
        return False
    yield from wrong
    times = ", ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in trial.seconds.items())
    if not wrong:
        yield Finding(
            Level.OK, f"the lake can be written, read, listed and deleted from, and refuses stale writes: {times}"
        )
    slowest = max(trial.seconds.values())
    if slowest > 1:
        yield Finding(
            Level.NOTE,
            f"the slowest operation took {slowest:.1f} s; a cold start writes 25 windows",
            "put lake and runs into the same region",
        )
    return not wrong


_WRITERS = "two runs at a time could lose each other's rows: use a store with conditional writes, such as S3 itself"
_DELETION = "expired readings would stay: allow this user to delete, and look for a store that keeps what is deleted"


def _tried(trial: _Trial) -> Findings:
    """What the store does not do as it should."""
    store, key = trial.store, trial.key
    first, second, third = (os.urandom(16_384) for _ in range(3))
    trial.timed("create", lambda: trial.put(first, None))
    meta = store.head(key)
    if meta is None or _read(trial) != first:
        yield Finding(Level.FAILED, "what was written is not what is read back", "this store cannot hold a lake")
        return
    if not trial.conflicts("create again", second, None):
        yield Finding(Level.FAILED, "the store lets a second writer create what is there already", _WRITERS)
        return
    trial.timed("replace", lambda: trial.put(second, meta))
    if not trial.conflicts("replace a stale version", third, meta):
        yield Finding(Level.FAILED, "the store lets a writer replace a version that it has not seen", _WRITERS)
    elif _read(trial) != second:
        yield Finding(Level.FAILED, "a refused write changed the object all the same", _WRITERS)
    if key not in {found.key for found in trial.timed("list", lambda: store.list("_doctor"))}:
        yield Finding(Level.FAILED, "what was written is not listed", "windows would be fetched again at each run")


def _read(trial: _Trial) -> bytes | None:
    from flood_assets.lake.store import Blob

    blob = trial.timed("read", lambda: trial.store.get(trial.key))
    return bytes(blob.data.to_pybytes()) if isinstance(blob, Blob) else None


def _check_claim(lake: "Lake") -> Findings:
    """Whose readings the lake holds, without claiming it."""
    try:
        source = lake.source()
    except LakeError as error:
        yield Finding(
            Level.FAILED, str(error), "do what the message says; the readings themselves are not touched by it"
        )
        return
    try:
        api = settings.api_url()
    except SettingsError:
        api = None
    if source is None:
        yield Finding(Level.NOTE, "the lake belongs to no API yet", "`flood-assets refresh` claims and fills it")
    elif api is not None and source != api:
        yield Finding(
            Level.FAILED,
            f"the lake is filled from {source}, and FLOOD_API_URL is {api}",
            f"set FLOOD_API_URL={source}, or FLOOD_LAKE_URL to another place, or delete the lake",
        )
    else:
        yield Finding(Level.OK, f"the lake is filled from {source}")


# -- Dagster


def check_dagster(doing: Doing) -> Findings:
    """The Dagster home, and whether the definitions load."""
    yield from look(_check_home, doing)
    yield from look(_check_definitions, doing)


def _check_home(doing: Doing) -> Findings:
    """Where Dagster keeps its runs, with which settings, and whether its daemon is alive."""
    home = os.environ.get("DAGSTER_HOME")
    if not home:
        yield Finding(
            Level.NOTE,
            "DAGSTER_HOME is not set: runs from the terminal are recorded nowhere, and `dagster dev` forgets its own",
            "set it to the absolute path of the repository's folder dagster_home, or use `make ui`, which does",
        )
        return
    folder = Path(home)
    if not folder.is_absolute() or not folder.is_dir():
        why = "is not a folder" if folder.is_absolute() else "is not an absolute path"
        make = f"mkdir -p {folder.absolute()} && cp dagster_home/dagster.yaml {folder.absolute()}/"
        yield Finding(Level.FAILED, f"DAGSTER_HOME is '{home}', which {why}", f"{make}, and set DAGSTER_HOME to that")
        return
    if not (folder / "dagster.yaml").is_file():
        yield Finding(
            Level.WARNING,
            f"{folder} has no dagster.yaml: Dagster's own defaults are in force, without limits and without retries",
            f"cp dagster_home/dagster.yaml {folder}/",
        )
    doing("opening the Dagster home")
    from dagster import DagsterInstance

    try:
        instance = DagsterInstance.from_config(home)
    except Exception as error:  # noqa: BLE001 - whatever a storage, a launcher or YAML may raise
        yield Finding(
            Level.FAILED,
            f"no Dagster instance can be made from {folder}/dagster.yaml: {_told(error, folder)}",
            "correct the file, or start again from the repository's dagster_home/dagster.yaml",
        )
        return
    with instance:
        yield from _check_instance(instance, folder)


def _check_instance(instance: "dg.DagsterInstance", folder: Path) -> Findings:
    try:
        runs = instance.get_runs_count()
        yield Finding(Level.OK, f"the Dagster home {folder} is in order and records {runs:,} runs")
        limits = {limit.name: limit.limit for limit in instance.event_log_storage.get_pool_limits()}
        statuses = instance.get_daemon_statuses()
    except Exception as error:  # noqa: BLE001 - whatever a database may raise
        yield Finding(
            Level.FAILED,
            f"the run storage of {folder} cannot be used: {_told(error, folder)}",
            "check that this user may write there, and that the database in dagster.yaml is up",
        )
        return
    from flood_assets.assets.common import API_POOL

    pools = instance.get_concurrency_config().pool_config
    limit = limits.get(API_POOL, pools.default_pool_limit)
    if limit == 1:
        yield Finding(Level.OK, f"the pool {API_POOL} lets one run at the API at a time")
    else:
        yield Finding(
            Level.WARNING,
            f"the pool {API_POOL} has {'no limit' if limit is None else f'the limit {limit}'}: several runs may ask "
            "the API at once",
            f"`concurrency: pools: default_limit: 1` in {folder}/dagster.yaml, or `dagster instance concurrency set "
            f"{API_POOL} 1`",
        )
    dead = sorted(name for name, status in statuses.items() if not status.healthy)
    if not dead:
        yield Finding(Level.OK, "the Dagster daemon is running")
    elif len(dead) == len(statuses):
        yield Finding(
            Level.NOTE,
            "no Dagster daemon is running: schedules and sensors do nothing",
            "`dagster dev`, or `dagster-daemon run` beside the webserver",
        )
    else:
        yield Finding(
            Level.WARNING, f"parts of the Dagster daemon have no heartbeat: {', '.join(dead)}", "restart dagster-daemon"
        )


def _told(error: Exception, folder: Path) -> str:
    """What Dagster says of its settings, without the secrets that stand in them and that it may repeat."""
    text = " ".join(str(error).split())
    with suppress(OSError, UnicodeDecodeError):
        for _, value in _SECRET_SET.findall((folder / "dagster.yaml").read_text(encoding="utf-8")):
            text = text.replace(value, "***")
    return _brief(ValueError(text))


_LOAD = """
import sys, time
sys.path.insert(0, sys.argv[1])
started = time.perf_counter()
from flood_assets.definitions import defs
loaded = time.perf_counter() - started
import dagster as dg
dg.Definitions.validate_loadable(defs)
print(f"{loaded:.2f} {len(list(defs.resolve_all_asset_specs()))}")
"""


def _check_definitions(doing: Doing) -> Findings:
    """Load and validate the definitions in a process of their own, as Dagster does at each run."""
    doing("loading the definitions")
    place = str(Path(__file__).parents[1])
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and words
            [sys.executable, "-c", _LOAD, place], capture_output=True, text=True, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        yield Finding(Level.FAILED, "the definitions do not load within 2 minutes", "is this machine out of memory?")
        return
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        yield Finding(
            Level.FAILED,
            f"the definitions do not load: {last}",
            "`python -c 'import flood_assets.definitions'` shows where; a missing package: install requirements.lock",
        )
        return
    seconds, assets = done.stdout.split()
    found = f"the definitions load and validate: {assets} assets, imported in {seconds} s"
    if float(seconds) > 10:
        yield Finding(Level.WARNING, found, "each run and each sensor's process pays that: is the disk slow?")
    else:
        yield Finding(Level.OK, found)


# -- versions

SHOWN = ("dagster", "dagster-aws", "dagster-webserver", "pyarrow", "obstore", "pandas")


def check_versions(_: Doing) -> Findings:
    """What is installed, and whether it fits together."""
    versions = {name: _version(name) for name in SHOWN}
    shown = ", ".join(f"{name} {version or 'missing'}" for name, version in versions.items())
    yield Finding(Level.OK, f"python {platform.python_version()}, {shown}")
    wrong = [line for name in ("flood-assets", "dagster-aws", "dagster-webserver") for line in _unmet(name)]
    for line in wrong:
        yield Finding(Level.FAILED, line, "install what requirements.lock pins, in a new virtual environment")
    if not wrong and versions["dagster-aws"]:
        yield Finding(Level.OK, "dagster, dagster-aws and the rest fit together")


def _unmet(distribution: str) -> Iterator[str]:
    """What a distribution asks for and is not there so."""
    from packaging.requirements import Requirement

    try:
        wanted = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return
    for requirement in map(Requirement, wanted):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        there = _version(requirement.name)
        if there is None or not requirement.specifier.contains(there, prereleases=True):
            yield f"{distribution} needs {requirement}, and there is {there or 'none'}"


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


CHECKS: Mapping[str, Callable[[Doing], Findings]] = {
    "Settings": check_settings,
    "API": check_api,
    "Lake": check_lake,
    "Dagster": check_dagster,
    "Versions": check_versions,
}


# -- what is told, and how

_COUNTED = {Level.OK: "ok", Level.NOTE: "notes", Level.WARNING: "warnings", Level.FAILED: "failed"}
_STYLES = {Level.OK: "green", Level.NOTE: "cyan", Level.WARNING: "yellow", Level.FAILED: "bold red"}
_SECRET_NAME = re.compile(r"secret|token|passw|credential|account_key|sas|private", re.IGNORECASE)
_SECRET_SET = re.compile(
    r"((?:secret|token|passw|url|conn|key)\w*)['\"]?\s*:[\s\['\"]*([^\s,'\"}\]]{4,})", re.IGNORECASE
)
_USER_IN_URL = re.compile(r"(?<=://)[^/\s@]+@")
_SECRET_SAID = re.compile(
    r"((?:secret|token|passw\w*|account_key)[\w-]*['\"]?\s*[:=]\s*)['\"]?[^\s'\",}]+", re.IGNORECASE
)


def without_secrets(text: str) -> str:
    """The text without what the environment, a URL or a message of somebody else's may tell of secrets."""
    for name, value in os.environ.items():
        # A word of a few letters is no secret, and would be cut out of other words.
        if _SECRET_NAME.search(name) and len(value) >= 8 and not os.path.exists(value):  # noqa: PTH110 - Path raises where a value is too long for a name
            text = text.replace(value, "***")
    return _SECRET_SAID.sub(r"\1***", _USER_IN_URL.sub("***@", text))


def _print(console: Console, finding: Finding) -> None:
    """One finding and what to do about it; wrapped for people only, so that a script finds each line whole."""
    level = Text(f"  {finding.level.value:<7}", _STYLES[finding.level])
    text = Text(finding.found)
    if finding.remedy:
        text.append(f"\n-> {finding.remedy}")
    if console.is_terminal:
        grid = Grid.grid(padding=(0, 1))
        grid.add_row(level, text)
        console.print(grid)
    else:
        lines = text.plain.replace("\n", f"\n{' ' * (len(level) + 1)}")
        console.print(f"{level.plain} {lines}", soft_wrap=True)


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _brief(error: BaseException) -> str:
    """What an error says, on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return f"{text[:300]}..." if len(text) > 300 else text


def _root(error: BaseException) -> BaseException:
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error
