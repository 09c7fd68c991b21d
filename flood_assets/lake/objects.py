"""Describe stored objects: their bytes, their version, the fate of old ones, and the conflict of two writers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa


class ConflictError(Exception):
    """Another writer replaced the object after it was read. No error of the lake: read it again and try again."""


@dataclass(frozen=True)
class Meta:
    """An object's name, size and version, known without opening it."""

    key: str
    size: int
    e_tag: str | None
    modified: datetime
    version: str | None = None


@dataclass(frozen=True)
class Blob:
    """An object's bytes and their version."""

    meta: Meta
    data: pa.Buffer


@dataclass(frozen=True)
class Versions:
    """Fate of what the lake replaces and deletes.

    Attributes:
        kept: True if it stays readable for more than a day after; None if that is not known.
        found: the same in words.
        remedy: what to do about it; empty if nothing is wrong.
    """

    kept: bool | None
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Put:
    """A PUT that somebody else is to make.

    Attributes:
        key: name of the object, which must not be there.
        media_type: of its content.
        encoding: of its content; empty for none.
        size: bytes.
        sha256: of its bytes, in hex; empty if it is not known.
        expires_s: seconds within which it has to begin.
    """

    key: str
    media_type: str
    encoding: str
    size: int
    sha256: str
    expires_s: int


@dataclass(frozen=True)
class Signed:
    """A signed request: its URL, and the headers that it must be sent with."""

    url: str
    headers: Mapping[str, str]
