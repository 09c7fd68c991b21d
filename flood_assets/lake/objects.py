"""Describe stored objects: their bytes, their version, and the conflict of two writers."""

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
