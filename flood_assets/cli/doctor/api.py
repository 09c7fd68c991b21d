"""Check the API: reachable, fresh, and answering as a refresh expects. Five requests, each sent once."""

# ruff: noqa: PLC0415 - an import may be what fails, and each check pays for its own

import re
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from flood_assets import settings
from flood_assets.cli.doctor.findings import Finding, Findings, Level, brief, failed, note, ok, warning
from flood_assets.errors import SettingsError, SourceError
from flood_assets.words import counted

if TYPE_CHECKING:
    from flood_assets.ea.http import Http, Probe

Parse = Callable[[bytes, datetime], Any]

CLOCK_OFF_S = 120
STALE = timedelta(hours=2)
JSON_LIMIT = re.compile(rb'"limit"\s*:\s*(\d+)')
REMEDIES = {
    403: "the API refuses this machine's address, as reported for some data centres: try another network or a proxy",
    404: f"FLOOD_API_URL must be the root of the API, such as {settings.LIVE_API}",
    407: "the proxy asks for a name and a password: set HTTPS_PROXY=http://name:password@host:port",
}
BUSY = "the API is down or overloaded: wait some minutes; runs try again by themselves"


def check_api() -> Findings:
    """Ask the API for what a refresh needs and judge each answer; if `latest` fails, ask nothing else."""
    try:
        base, now = settings.api_url(), settings.now()
    except SettingsError:
        yield note("not checked: correct the setting above first")
        return
    from flood_assets.ea.http import Http
    from flood_assets.ea.lists import parse_measures, parse_stations
    from flood_assets.ea.parse import parse_readings

    yesterday = (now - timedelta(days=1)).date()
    questions = (
        ("latest", "data/readings.csv?latest", parse_readings),
        ("since", f"data/readings?since={now - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}", None),
        (f"readings of {yesterday}", f"data/readings.csv?date={yesterday}", parse_readings),
        ("list of stations", "id/stations?_view=full", parse_stations),
        ("list of measures", "id/measures", parse_measures),
    )
    with closing(Http(base, now=settings.now)) as http:
        for what, path, parse in questions:
            for finding in _ask(http, what, path, parse, now):
                yield finding
                if what == "latest" and finding.level is Level.FAILED:
                    return


def _ask(http: "Http", what: str, path: str, parse: Parse | None, now: datetime) -> Findings:
    """Ask once; judge the answer by its status and by what the parser makes of it."""
    asked_at = datetime.now(UTC)
    try:
        answer = http.probe(path)
    except SourceError as error:
        place = f"this machine's network, DNS and {_proxy(http.base_url)}"
        remedy = f"open {http.base_url} in a browser; if it works there, check {place}; if not, FLOOD_API_URL"
        yield failed(f"{http.base_url}/{error}", remedy)
        return
    said = f"{what}: HTTP {answer.status} '{brief(answer.body[:2000].decode(errors='replace'), 160)}'"
    if parse is None:
        remedy = "nothing breaks: a refresh does not ask all measures for `since`"
        yield ok(f"{said}: refused, as expected") if answer.status == 400 else warning(f"{said}, expected 400", remedy)
    elif answer.status != 200:
        other = BUSY if answer.status == 429 or answer.status >= 500 else "check FLOOD_API_URL"
        yield failed(said, REMEDIES.get(answer.status, other))
    elif "html" in answer.headers.get("Content-Type", "").lower() or answer.body.lstrip()[:1] == b"<":
        remedy = f"a log-in page or a proxy answers ({_proxy(http.base_url)}), or FLOOD_API_URL is wrong"
        yield failed(f"{said}: a web page instead of data", remedy)
    else:
        try:
            parsed = parse(answer.body, now)
        except SourceError as error:
            remedy = "if the API has changed, a new release is needed; if not, a proxy changes answers"
            yield failed(f"{what} cannot be read: {error}", remedy)
            return
        yield from _judge_rows(what, answer, parsed)
        if what == "latest":
            yield _judge_compression(answer)
            yield _judge_clock(answer, asked_at)
            if len(parsed.rows):
                yield _judge_newest(parsed.rows["date_time"].to_pylist(), now)


def _judge_rows(what: str, answer: "Probe", parsed: Any) -> Findings:
    """Report the size of an answer, a limit of the API and the rows that could not be parsed."""
    from flood_assets.ea.client import LIMITS

    rejects: Any = getattr(parsed, "rejects", ())
    is_list = answer.body[:1] == b"{"
    # Of a list the rejects are cells; of readings they are rows.
    count = len(getattr(parsed, "rows", parsed)) + (0 if is_list else len(rejects))
    found = f"{what}: {counted(count, 'row')}, {len(answer.body) / 1e6:.1f} MB in {answer.seconds:.2f} s"
    stated = JSON_LIMIT.search(answer.body[:4096])
    if stated or (not is_list and count in LIMITS):
        remedy = "a refresh fetches more readings page by page; stations and measures beyond the limit are missing"
        yield warning(f"{found}, limited to {int(stated[1]) if stated else count:,} by the API", remedy)
    else:
        yield ok(found) if count else warning(f"{found}: empty", "is FLOOD_API_URL the right API?")
    if len(rejects):
        line, reason = (rejects[name][0].as_py() for name in ("line", "reason"))
        parts = counted(len(rejects), "cell" if is_list else "row")
        found = f"{what}: {parts} cannot be parsed, the first: '{line[:120]}': {reason}"
        yield warning(found, "they are kept in the table `rejects`")


def _judge_compression(answer: "Probe") -> Finding:
    coding = answer.headers.get("Content-Encoding", "").strip().lower()
    if coding in {"gzip", "x-gzip"}:
        return ok("answers are compressed with gzip")
    if coding not in {"", "identity"}:
        remedy = "a refresh refuses such answers: a proxy must leave them as they are"
        return failed(f"answers have Content-Encoding '{coding}' although gzip was asked for", remedy)
    remedy = "a day takes 60 MB instead of 4: does a proxy decompress the answers?"
    return warning("answers are not compressed although gzip was asked for", remedy)


def _judge_clock(answer: "Probe", asked_at: datetime) -> Finding:
    """Compare this machine's clock with the server's, allowing for the time of the answer and of a cache."""
    try:
        age = timedelta(seconds=int(answer.headers.get("Age") or 0))
        theirs = parsedate_to_datetime(answer.headers["Date"]) + age
        ahead, behind = asked_at - theirs, theirs - asked_at - timedelta(seconds=answer.seconds)
    except (KeyError, TypeError, ValueError):
        return note("this machine's clock was not compared: the answer has no valid Date")
    off = max(ahead, behind, timedelta(0)).total_seconds()
    if off <= CLOCK_OFF_S:
        return ok(f"this machine's clock is within {max(1, off):.0f} s of the API's")
    found = f"this machine's clock is {off:,.0f} s {'ahead of' if ahead > behind else 'behind'} the API's"
    return warning(found, "set the clock (NTP): it decides which readings are of the last 24 hours")


def _judge_newest(times: list[datetime], now: datetime) -> Finding:
    """Judge the age of the newest reading that is not dated after now: some gauges' clocks are always wrong."""
    past = [time for time in times if time <= now]
    if len(past) < len(times) / 2:
        found = f"{len(times) - len(past):,} of {len(times):,} newest readings are dated after now ({now:%H:%M}Z)"
        return warning(found, "this machine's clock or FLOOD_NOW is behind: readings are stored when their time comes")
    newest = f"the newest reading is of {max(past):%Y-%m-%d %H:%M}Z"
    if max(past) < now - STALE:
        remedy = "either the Agency's telemetry is down, or this machine's clock or FLOOD_NOW is ahead"
        return warning(f"{newest}, and now is {now:%Y-%m-%d %H:%M}Z", remedy)
    return ok(newest)


def _proxy(url: str) -> str:
    """Return the proxy in use for a URL, for a message."""
    import requests

    proxy = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
    return f"proxy {proxy}" if proxy else "proxy (none is set)"
