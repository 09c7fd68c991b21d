"""What a check gives: findings, each with how bad it is and what to do; and how they are gathered.

What the checks look at is in the modules beside this one, how findings are printed in `flood_assets.cli.doctor.report`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from flood_assets.cli.doctor.redaction import without_secrets
from flood_assets.errors import FloodAssetsError


class Level(Enum):
    """How bad a finding is; only `FAILED` makes the exit code 1."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what was found, and what to do about it where something is to be done."""

    level: Level
    found: str
    remedy: str = ""


Findings = Iterator[Finding]
Doing = Callable[[str], None]


def look(check: Callable[[Doing], Findings], doing: Doing = lambda _: None) -> Findings:
    """The findings of a check, without secrets; what it could not cope with is one of them."""
    try:
        for finding in check(doing):
            yield Finding(finding.level, without_secrets(finding.found), without_secrets(finding.remedy))
    except FloodAssetsError as error:
        yield Finding(Level.FAILED, without_secrets(str(error)))
    except Exception as error:  # noqa: BLE001 - a check that fails must not hide what the others find
        fault = without_secrets(f"{type(error).__name__}: {brief(error)}")
        yield Finding(Level.FAILED, f"this could not be looked at: {fault}", "if nothing else explains it, report it")


def stamp(moment: datetime) -> str:
    """A moment to the second, as findings show it."""
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"


def brief(error: BaseException) -> str:
    """What an error says, on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return f"{text[:300]}..." if len(text) > 300 else text
