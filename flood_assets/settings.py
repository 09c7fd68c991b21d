"""The settings that come from the environment, read when they are needed and never at import."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from flood_assets.errors import SettingsError

LIVE_API = "https://environment.data.gov.uk/flood-monitoring"


def api_url(environ: Mapping[str, str] | None = None) -> str:
    """`FLOOD_API_URL`, without a trailing slash; the live API by default."""
    url = ((environ if environ is not None else os.environ).get("FLOOD_API_URL") or LIVE_API).rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise SettingsError(f"FLOOD_API_URL is '{url}': expected http:// or https://, such as {LIVE_API}")
    return url


def lake_url(environ: Mapping[str, str] | None = None) -> str:
    """`FLOOD_LAKE_URL`; a folder `lake` in the working directory by default."""
    return (environ if environ is not None else os.environ).get("FLOOD_LAKE_URL") or (Path.cwd() / "lake").as_uri()


def use_the_systems_allocator() -> None:
    """Let Arrow take its memory from the system, unless `ARROW_DEFAULT_MEMORY_POOL` says otherwise.

    Its own allocator keeps a heap for each thread: on two cores a fill takes a quarter more memory with it, and a tenth
    more time. Arrow asks once, so this is for the beginning of a program, before anything imports pyarrow.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def now(environ: Mapping[str, str] | None = None) -> datetime:
    """The time in UTC: the machine's, or `FLOOD_NOW` when a recording is replayed."""
    pretended = (environ if environ is not None else os.environ).get("FLOOD_NOW")
    if not pretended:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(pretended)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise SettingsError(f"FLOOD_NOW is '{pretended}': expected a time with a zone, such as 2026-11-21T09:00:00Z")
    return moment.astimezone(UTC)
