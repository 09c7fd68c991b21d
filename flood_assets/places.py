"""Spell the place of a lake, a URL or the path of a folder, as one URL, and find the folder of a URL.

Every door takes a place by this rule: FLOOD_LAKE_URL, the commands, the Dagster resource, notebooks and `Lake.open`.
The addresses of APIs and streams are here too: without their password, and compared.
"""

import os
import re
from pathlib import Path, PurePath, PureWindowsPath
from typing import TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from flood_assets.errors import SettingsError

P = TypeVar("P", bound=PurePath)

BUCKETS = ("s3", "az", "gs")
# Before a shard's name in the URL of its lake: readers of Hive's names find the shard as a column.
SHARD_FOLDER = "shard="

# `s3:` and what else looks like a scheme; one letter is a drive of Windows.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_EXPECTED = "expected file://, s3://, az:// or gs://, or a folder such as ./lake"


def lake_url(place: str | os.PathLike[str], *, flavour: type[PurePath] = Path) -> str:
    """Return the URL of a lake's place, without a trailing slash; a relative path begins in the working directory.

    Raises:
        SettingsError: another kind of URL, or one without a folder or a bucket.
    """
    text = os.fspath(place)
    if not _SCHEME.match(text):
        if not text:
            raise SettingsError(f"FLOOD_LAKE_URL is '': {_EXPECTED}")
        path = Path(os.path.abspath(Path(text).expanduser())) if flavour is Path else flavour(text)  # noqa: PTH100 - Path keeps ..
        text = path.as_uri()
    parts, url = urlsplit(text), text.rstrip("/")
    if parts.scheme not in {"file", *BUCKETS} or not text.startswith(f"{parts.scheme}://"):
        raise SettingsError(f"FLOOD_LAKE_URL is '{text}': {_EXPECTED}")
    if parts.query or parts.fragment:
        # Left out, as URLs mean it, the lake would be filled in a folder that nobody named.
        raise SettingsError(f"FLOOD_LAKE_URL is '{text}': write %23 for # and %3F for ? in a name")
    if parts.scheme in BUCKETS:
        if not parts.netloc:
            example = f"a bucket, such as {parts.scheme}://bucket/folder"
            raise SettingsError(f"FLOOD_LAKE_URL is '{text}': expected {parts.scheme}:// followed by {example}")
        return url
    path = path_of(text, flavour)
    if parts.netloc not in {"", "localhost"}:
        # As URLs mean it, the first name is that of another machine.
        named = text.removeprefix("file://").removeprefix("./")
        remedy = f"write file:///{named}, or the path alone, such as ./{named}"
        raise SettingsError(f"FLOOD_LAKE_URL is '{text}': expected an absolute path after three slashes: {remedy}")
    if not path.is_absolute() or not path.name:
        raise SettingsError(f"FLOOD_LAKE_URL is '{text}': expected an absolute path, such as file:///var/lib/flood")
    return url


def folder_of(url: str) -> Path | None:
    """Return the folder of a lake's URL, as `lake_url` returns it; None for a bucket."""
    return path_of(url, Path) if url.startswith("file:") else None


def path_of(url: str, flavour: type[P]) -> P:
    """Return the path in a URL: on Windows `file:///C:/x` is C:/x."""
    path = unquote(urlsplit(url).path)
    if issubclass(flavour, PureWindowsPath) and re.match(r"/[A-Za-z]:", path):
        path = path[1:]
    return flavour(path)


def below(common: str, shard: str) -> str:
    """Return the place of a shard below the common one; of an empty name, the common one."""
    return f"{common}/{SHARD_FOLDER}{shard}" if shard else common


def split_userinfo(url: str) -> tuple[str, tuple[str, str] | None]:
    """Return a URL without the name and password in it, and these, decoded; None where it has none.

    Only what this returns may be stored, compared or shown. Of a URL that is none, nothing before an @ is left.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.rpartition("@")[2], None
    userinfo, found, host = parts.netloc.rpartition("@")
    if not found:
        return url, None
    name, _, password = userinfo.partition(":")
    return urlunsplit(parts._replace(netloc=host)), (unquote(name), unquote(password))


def is_api(url: str) -> bool:
    """Return True if a lake's source is an API, and False if it is a stream, such as `kinesis://flood-readings`."""
    return url.startswith(("http://", "https://"))


def is_same_source(one: str, other: str) -> bool:
    """Return True if two URLs name the same API or stream.

    An API is the same by http or https, by any user, with the default port or without; a stream by its exact URL.
    """
    if is_api(one) and is_api(other):
        return _canonical(one) == _canonical(other)
    return split_userinfo(one)[0].rstrip("/") == split_userinfo(other)[0].rstrip("/")


def _canonical(url: str) -> tuple[str, int | None, str]:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - a ValueError if it is no number
    except ValueError:
        return "", None, url
    port = None if parts.port == {"http": 80, "https": 443}.get(parts.scheme) else parts.port
    return parts.hostname or "", port, parts.path.rstrip("/")
