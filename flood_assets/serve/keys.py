"""Know the keys of clients, from a file that may change while the server runs.

Each line is a name, `sha256:` and the SHA-256 of the key, how many requests a second it may make, and its rights,
separated by commas:

    grafana sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 50 read

Empty lines and those that begin with # say nothing. The file holds no key, so nobody can take one from it; nothing here
shows a key or a line.
"""

import hashlib
import logging
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flood_assets.errors import SettingsError

# Read; push readings with the prefix of the key's name; push the API's own measures, too; ask for /metrics.
READ, PUSH, FEED, METRICS = "read", "push", "feed", "metrics"

logger = logging.getLogger("flood_assets.serve")

_LOOK_S = 1.0
_NAME = re.compile(r"[\w.@-]{1,64}", re.ASCII)
_HASH = re.compile(r"sha256:([0-9a-fA-F]{64})")
_RIGHT = re.compile(r"[a-z]{1,20}")
_EXPECTED = "expected NAME sha256:HASH RATE RIGHTS, as `flood-assets key NAME` prints them"


@dataclass(frozen=True)
class Key:
    """A client's key.

    Attributes:
        name: of the client.
        rate: requests a second.
        rights: what it may do.
    """

    name: str
    rate: float
    rights: frozenset[str]


class Keys:
    """The keys of a file, read again when it has changed.

    Args:
        path: the file.
        clock: seconds, which only go forward.

    Raises:
        SettingsError: the file cannot be read, or a line is none. Later such a file leaves the keys as they were.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path, self._clock = path, clock
        # A lookup takes as long whatever the hash begins with, as nobody knows what is looked up.
        self._secret = secrets.token_bytes(32)
        self._version = self._seen()
        self._looked = clock()
        self._keys = self._read()

    def find(self, presented: bytes) -> Key | None:
        """Return the key that a client has presented; None for an unknown one."""
        self._look()
        return self._keys.get(self._place(hashlib.sha256(presented).digest()))

    def anybody_may(self, right: str) -> bool:
        """Return whether any key has a right."""
        self._look()
        return any(right in key.rights for key in self._keys.values())

    def _look(self) -> None:
        """Read the file again if it has changed; look no oftener than once a second."""
        now = self._clock()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        version = self._seen()
        if version != self._version:
            self._version = version
            try:
                self._keys = self._read()
            except SettingsError as error:
                logger.error("%s; the keys of before stay", error)  # noqa: TRY400 - a traceback says no more

    def _seen(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> Mapping[bytes, Key]:
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            why = os.strerror(error.errno or 0) if isinstance(error, OSError) else "it is no text in UTF-8"
            raise SettingsError(f"FLOOD_API_KEYS is '{self._path}', which cannot be read: {why}") from None
        found, names = dict[bytes, Key](), set[str]()
        for number, line in enumerate(lines, 1):
            if line.strip() and not line.lstrip().startswith("#"):
                digest, key = self._parsed(number, line.split())
                place = self._place(digest)
                if key.name in names or place in found:
                    raise SettingsError(f"line {number} of {self._path}: its name or key is in a line before too")
                found[place] = key
                names.add(key.name)
        return found

    def _parsed(self, number: int, words: list[str]) -> tuple[bytes, Key]:
        """Return hash and key of a line. A key in a wrong place is not shown."""
        wrong = None
        if len(words) != 4:
            wrong = f"it has {len(words)} words"
        elif not _NAME.fullmatch(words[0]):
            wrong = "the first word is no name of letters, digits and . _ - @"
        elif not (digest := _HASH.fullmatch(words[1])):
            wrong = "the second word is no SHA-256"
        elif not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", words[2]) or not float(words[2]):
            wrong = "the third word is no number of requests a second"
        elif not all(_RIGHT.fullmatch(right) for right in words[3].split(",")):
            wrong = "the fourth word is no list of rights, such as read"
        else:
            return bytes.fromhex(digest[1]), Key(words[0], float(words[2]), frozenset(words[3].split(",")))
        raise SettingsError(f"line {number} of {self._path}: {wrong}; {_EXPECTED}")

    def _place(self, digest: bytes) -> bytes:
        return hashlib.blake2b(digest, key=self._secret).digest()


def new(name: str, rate: float, rights: str) -> tuple[str, str]:
    """Return a new key, and its line for the file.

    Raises:
        SettingsError: the name or the rights are none.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(f"'{name}' is no name of a key: expected up to 64 letters, digits and . _ - @")
    if not all(_RIGHT.fullmatch(right) for right in rights.split(",")):
        raise SettingsError(f"'{rights}' are no rights: expected words with commas between, such as read")
    key = f"fa_{secrets.token_urlsafe(32)}"
    return key, f"{name} sha256:{hashlib.sha256(key.encode()).hexdigest()} {rate:g} {rights}"
