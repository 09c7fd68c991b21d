"""Serve scripts, styles and the coast from our own files, each at an address with its digest, which may be kept."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from flood_assets.serve.bodies import Body

PREFIX = "/static"
FOLDER = Path(__file__).parent / "static"

_KINDS: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_DIGITS = 12
_YEAR_S = 365 * 24 * 3600


def url(path: str) -> str:
    """Return the address of a file below `static/`; another content has another address.

    Raises:
        KeyError: there is no such file.
    """
    return f"{PREFIX}/{_bodies()[path].digest[:_DIGITS]}/{path}"


def body(digest: str, path: str) -> Body | None:
    """Return a file; None without one. An address of an older version gets the newest, and is not kept."""
    found = _bodies().get(path)
    if found is None or found.digest.startswith(digest):
        return found
    return Body(found.data, found.media_type, found.modified, headers={**found.headers, "cache-control": "no-cache"})


@lru_cache(maxsize=1)
def _bodies() -> Mapping[str, Body]:
    """Return all files by their path; only these are served, whatever path is asked for."""
    return {
        str(path.relative_to(FOLDER).as_posix()): _body(path) for path in FOLDER.rglob("*") if path.suffix in _KINDS
    }


def _body(path: Path) -> Body:
    made = Body(
        path.read_bytes(),
        _KINDS[path.suffix],
        datetime.fromtimestamp(path.stat().st_mtime, UTC),
        headers={"cache-control": f"public, max-age={_YEAR_S}, immutable", "x-content-type-options": "nosniff"},
    )
    # All clients ask for all of it, so it is worth compressing at once.
    assert made.gzipped  # noqa: S101
    return made
