"""Settings from the environment, read when they are needed and never at import."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from flood_assets import places
from flood_assets.errors import SettingsError

LIVE_API = "https://environment.data.gov.uk/flood-monitoring"
# Years of FLOOD_NOW: any that a source may have readings of.
YEARS = range(1971, 3000)


def api_url(environ: Mapping[str, str] | None = None) -> str:
    """Return `FLOOD_API_URL` without a trailing slash; the live API by default.

    It may hold a name and a password, which `places.split_userinfo` takes out of what is shown or stored.
    """
    url = ((environ if environ is not None else os.environ).get("FLOOD_API_URL") or LIVE_API).rstrip("/")
    # Whatever stands before the last @ may be a password, also in a URL that is none.
    shown = f"...@{url.rpartition('@')[2]}" if "@" in url else url
    expected = f"expected http:// or https://, such as {LIVE_API}"
    if not url.startswith(("http://", "https://")):
        raise SettingsError(f"FLOOD_API_URL is '{shown}': {expected}")
    try:
        host, _ = urlsplit(url).hostname, urlsplit(url).port
    except ValueError:
        host = None
    if not host:
        raise SettingsError(
            f"FLOOD_API_URL is '{shown}', without a host that can be asked: {expected}; write / as %2F and @ as %40 in "
            "a name or a password"
        )
    return url


def lake_url(environ: Mapping[str, str] | None = None) -> str:
    """Return the URL of `FLOOD_LAKE_URL`, a URL or a path; the folder `lake` in the working directory by default."""
    return places.lake_url((environ if environ is not None else os.environ).get("FLOOD_LAKE_URL") or "lake")


def use_the_systems_allocator() -> None:
    """Make Arrow use the system's memory allocator, unless `ARROW_DEFAULT_MEMORY_POOL` is set.

    Arrow's own allocator keeps a heap for each thread: on two cores a fill takes a quarter more memory and a tenth more
    time with it. Call this before anything imports pyarrow, which reads the variable once.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def now(environ: Mapping[str, str] | None = None) -> datetime:
    """Return the current time in UTC. `FLOOD_NOW` overrides it, to replay a recording."""
    override = (environ if environ is not None else os.environ).get("FLOOD_NOW")
    if not override:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(override)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise SettingsError(f"FLOOD_NOW is '{override}': expected a time with a zone, such as 2026-11-21T09:00:00Z")
    if moment.year not in YEARS:
        raise SettingsError(f"FLOOD_NOW is '{override}': expected a year from {YEARS[0]} to {YEARS[-1]}")
    return moment.astimezone(UTC)
