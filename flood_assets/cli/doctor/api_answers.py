"""The API's answers to what a refresh asks, and to what is known of it from reports only.

It is asked seven times (`flood_assets.cli.doctor.asking`), with half a minute's work for it at most.
"""

# ruff: noqa: PLC0415 - what a check looks at may be what fails to import, and each import's cost is its check's own

import json
import os
import re
from collections.abc import Callable, Generator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from flood_assets import settings
from flood_assets.cli.doctor.asking import Api, Asked, proxy_for
from flood_assets.cli.doctor.finding import Doing, Finding, Findings, Level, brief, stamp
from flood_assets.errors import SettingsError, SourceError

if TYPE_CHECKING:
    import pyarrow as pa

CLOCK_OFF = timedelta(minutes=2)
STALE = timedelta(hours=2)
UNKNOWN_MEASURE = "flood-assets-doctor-asks-for-no-measure"


def check_api(doing: Doing) -> Findings:
    """The API's answers to what a refresh asks, and to what nobody has asked it yet."""
    try:
        base, now = settings.api_url(), settings.now()
    except SettingsError:
        yield Finding(Level.NOTE, "not asked: a setting above cannot be used")
        return
    with Api(base, doing) as api:
        try:
            latest = api.ask("data/readings.csv?latest")
        except SourceError as error:
            yield Finding(
                Level.FAILED,
                f"{base} cannot be reached: {error}",
                "open the address in a browser; if it works there, look at this machine's network, name server and "
                f"proxy ({proxy_for(base)}), else at FLOOD_API_URL",
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


def _refused(answer: Asked) -> Finding | None:
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


def _judge_headers(answer: Asked) -> Findings:
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


def _judge_clock(answer: Asked) -> Findings:
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


def _judge_latest(answer: Asked, now: datetime) -> Generator[Finding, None, bool]:
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
            f"{len(times) - len(past):,} of {len(times):,} newest readings are dated after now, {stamp(now)}",
            "this machine's clock or FLOOD_NOW is behind: such readings are not stored before they are due",
        )
    newest: datetime = pc.max(past).as_py()
    if newest < now - STALE:
        return Finding(
            Level.WARNING,
            f"the newest reading is of {stamp(newest)}, and now is {stamp(now)}",
            "no gauge has reported since: the Agency's telemetry is down, or the clock or FLOOD_NOW is ahead",
        )
    return Finding(Level.OK, f"the newest reading is of {stamp(newest)}")


def _ask_since(api: Api, now: datetime) -> Findings:
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


def _ask_unknown_measure(api: Api) -> Findings:
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


def _ask_unknown_readings(api: Api, now: datetime) -> Findings:
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


def _ask_list(api: Api, what: str, path: str) -> Findings:
    """A list of metadata, which must come whole without a limit."""
    from flood_assets.ea import lists

    answer = api.ask(path)
    cost = f"{len(answer.body) / 1e6:.1f} MB in {answer.seconds:.2f} s"
    read = lists.parse_stations if what == "stations" else lists.parse_measures
    try:
        answer.require()
        count = len(read(answer.body, answer.asked_at))
        content = json.loads(answer.body)
        limit = content["meta"].get("limit") if isinstance(content.get("meta"), dict) else None
    except (SourceError, ValueError, AttributeError) as error:
        yield Finding(
            Level.FAILED,
            f"the list of {what} cannot be used: {brief(error)}",
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


def _ask_day(api: Api, day: date) -> Findings:
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
