"""Findings of a check, with their remedies and without secrets."""

import os
import re
from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from typing import NamedTuple

from flood_assets.errors import FloodAssetsError

_SECRET_NAME = re.compile(r"(?i)secret|token|passw|credential|account_key|sas|private")
_SECRET_SAID = re.compile(r"(?i)((?:secret|token|passw|_key)[\w-]*['\"]?\s*[:=]\s*)[\['\"]*[^\s'\",}\]]+")
_USER_IN_URL = re.compile(r"(?<=://)[^/\s]+@")


class Level(Enum):
    """Severity of a finding; only FAILED makes the exit code 1."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAILED = "FAILED"


class Finding(NamedTuple):
    """One result of a check, with a remedy if there is something to do."""

    level: Level
    found: str
    remedy: str = ""


ok = partial(Finding, Level.OK)
note = partial(Finding, Level.NOTE)
warning = partial(Finding, Level.WARNING)
failed = partial(Finding, Level.FAILED)

Findings = Iterator[Finding]
Check = Callable[[], Findings]


def look(check: Check) -> Findings:
    """Yield the findings of a check without secrets; an error in the check is a finding too."""
    try:
        for level, found, remedy in check():
            yield Finding(level, without_secrets(found), without_secrets(remedy))
    except FloodAssetsError as error:
        yield failed(without_secrets(str(error)), "correct what the message names")
    except Exception as error:  # noqa: BLE001 - a check that fails must not hide what the others find
        fault = without_secrets(f"{type(error).__name__}: {brief(error)}")
        yield failed(f"this check could not run: {fault}", "if no other finding explains it, report it as a bug")


def without_secrets(text: str) -> str:
    """Replace secrets from the environment, from URLs and from `password=...` with ***."""
    for name, value in os.environ.items():
        # A word of a few letters is no secret, and would be cut out of other words.
        if _SECRET_NAME.search(name) and len(value) >= 8 and not os.path.exists(value):  # noqa: PTH110 - Path raises if a value is too long for a name
            text = text.replace(value, "***")
    return _SECRET_SAID.sub(r"\1***", _USER_IN_URL.sub("***@", text))


def brief(text: object, most: int = 300) -> str:
    """Return a message, such as an error's, on one line with at most so many of its characters."""
    line = " ".join(str(text).split())
    return f"{line[:most]}..." if len(line) > most else line
