"""Make HTML pages from templates, with the headers that keep foreign hosts and inline scripts out."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2

from flood_assets import __version__
from flood_assets.serve.bodies import Body
from flood_assets.serve.pages import finding, static, words
from flood_assets.serve.snapshot import Snapshot

# Only our own files; no script, style or event handler inside a page. Pictures in styles are `data:`.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "geolocation=(), camera=(), microphone=()",
}
# Ages are said in minutes.
HOLDS = timedelta(seconds=30)
# A page without data is asked for again after so many seconds.
_LOOKS_S = 15
# A refresh is due every 15 minutes; after an hour people should know.
_OLD = timedelta(hours=1)


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        words=words,
        static=static.url,
        station_url=finding.station_url,
        river_url=finding.river_url,
        version=__version__,
    )
    made.filters.update(
        long=words.long,
        short=words.short,
        number=words.number,
        unit=words.unit,
        percent=words.percent,
    )
    return made


def page(
    template: str,
    snapshot: Snapshot | None,
    now: datetime,
    *,
    until: datetime | None = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **said: Any,
) -> Body:
    """Return a page, compressed.

    Args:
        template: its file.
        snapshot: where the data are from; None for a page without.
        now: the moment.
        until: until when what it shows holds.
        status: of the answer.
        headers: beside those of all pages.
        **said: for the template.
    """
    as_of = snapshot.as_of if snapshot else None
    text = (
        _environment()
        .get_template(template)
        .render(
            now=now,
            as_of=as_of,
            notes=snapshot.notes if snapshot else (),
            data_version=snapshot.version if snapshot else "",
            old=as_of is not None and now - as_of > _OLD,
            **said,
        )
    )
    ends = min(each for each in (until, now + HOLDS) if each is not None)
    # Ages count from the moment of the page, so each page is another version.
    body = Body(text.encode(), "text/html; charset=utf-8", now, ends, {**HEADERS, **(headers or {})}, status)
    assert body.gzipped  # noqa: S101
    return body


def problem(snapshot: Snapshot | None, now: datetime, status: int, title: str, *told: str) -> Body:
    """Return a page that says what was wrong, and what to do."""
    return page("problem.html", snapshot, now, status=status, title=title, told=told)


def waiting(snapshot: Snapshot | None, now: datetime) -> Body:
    """Return the page of a lake that is not there, not filled or a day old: it says what to do, and looks again."""
    told = {"retry-after": str(_LOOKS_S), "cache-control": "no-store"}
    return page("waiting.html", snapshot, now, status=503, headers=told, wait=_LOOKS_S)
