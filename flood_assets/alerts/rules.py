"""Read the rules of the alerts from TOML; every error names the rule, the key, the value and the remedy."""

import difflib
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from flood_assets.errors import SettingsError
from flood_assets.query.alerts import SEVERITIES
from flood_assets.query.durations import parse
from flood_assets.query.nearby import WITHIN_KM

# A tick is due every 15 minutes: three that failed.
API_LATE = timedelta(minutes=45)
# Of the gauges that report each hour at least. In calm times one in twenty is late, by the definition of due.
LATE_SHARE = 0.5

# Each rule has one of these keys, which is its kind; of the value, an example.
KINDS: Mapping[str, str] = {
    "above": "1.5",
    "below": "0.2",
    "band": '"above"',
    "record": "0.9",
    "rising": "0.2",
    "rain": "20",
    "silent": "true",
    "late": "true",
    "warning": '"severe"',
    "api_late": '"45min"',
}
_NUMBERS = ("above", "below", "record", "rising", "rain")
_POSITIVE = ("record", "rising", "rain")
BANDS = ("above", "record", "below")
WARNINGS = {"severe": 1, "warning": 2, "alert": 3}
_GAUGES = ("station", "river", "catchment", "town", "parameter", "measure")
_AREAS = ("area", "county", "river")
_PLACE = ("bbox", "near", "km")
_MORE = {"rain": ("over",), "api_late": ("share",)}
_LEVELS = ("above", "below", "band", "record", "rising", "rain")
# A rain gauge is kept for a day, and totals of its first hours are not known.
_LONGEST_RAIN = timedelta(hours=18)


class AlertRulesError(SettingsError):
    """File of rules that cannot be used."""


# Makes the error of a key, from what is expected of it.
Wrong = Callable[[str, str], AlertRulesError]


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: its name, by which its alerts are known.
        kind: one of `KINDS`.
        number: threshold, share or slope; None for kinds without one.
        word: band or severity of warnings; empty for others.
        span: time over which rain is added up, or after which the API is late.
        share: of the gauges that are late when the API is.
        hysteresis: how far below the threshold a value must be to clear; None for the usual.
        severity: CAP's.
        gauges: filters of gauges by name, as `query.readings` takes them; of areas for warnings.
        bbox: west, south, east, north.
        near: latitude and longitude.
        km: how far from there.
    """

    name: str
    kind: str
    number: float | None = None
    word: str = ""
    span: timedelta = API_LATE
    share: float = LATE_SHARE
    hysteresis: float | None = None
    severity: str = "Moderate"
    gauges: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    bbox: tuple[float, float, float, float] | None = None
    near: tuple[float, float] | None = None
    km: float = WITHIN_KM


# What inhibits silent gauges even if no rule of the file says so.
API_RULE = Rule("The API is late", "api_late", severity="Minor")


def read_rules(path: Path) -> tuple[Rule, ...]:
    """Return the rules of a file.

    Raises:
        AlertRulesError: it cannot be read, or a rule cannot be understood.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AlertRulesError(
            f"the rules of alerts in {path} cannot be read ({error}): set FLOOD_ALERTS to a TOML file, see "
            "docs/alerts.md"
        ) from None
    return parse_rules(text, str(path))


def parse_rules(text: str, place: str = "rules") -> tuple[Rule, ...]:
    """Return the rules of a text; `place` is named in errors. AlertRulesError as for `read_rules`."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise AlertRulesError(f"{place} is no TOML: {error}") from None
    known = ("rule", "notify")
    for key in content:
        if key not in known:
            raise AlertRulesError(f"{place} has '{key}'{_hint(key, known)}: rules begin with [[rule]]")
    given = content.get("rule", [])
    if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
        raise AlertRulesError(f"{place} has no rules: begin each with a line [[rule]]")
    found = tuple(_rule(each, f"{place}: rule {number}") for number, each in enumerate(given, 1))
    names = [rule.name for rule in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise AlertRulesError(f"{place} has two rules named '{min(twice)}': give each a name of its own")
    return found


def _rule(given: Mapping[str, Any], place: str) -> Rule:
    name = given.get("name")
    if not isinstance(name, str) or not name.strip():
        raise AlertRulesError(f"{place}: name is {name!r}: give it a name, such as 'Kingston high'")
    place = f"{place.rpartition(': ')[0]}: rule '{name}'"
    kind = _kind(given, place)

    def wrong(key: str, expected: str) -> AlertRulesError:
        return AlertRulesError(f"{place}: {key} is {given.get(key)!r}: expected {expected}")

    severity = given.get("severity", "Moderate")
    if not isinstance(severity, str) or severity.capitalize() not in SEVERITIES:
        raise wrong("severity", " or ".join(f'"{each}"' for each in SEVERITIES))
    names = _AREAS if kind == "warning" else _GAUGES
    return Rule(
        name,
        kind,
        severity=severity.capitalize(),
        gauges={key: _texts(given[key], wrong(key, "a text or a list of texts")) for key in names if key in given},
        **_condition(kind, given, wrong),
        **_options(kind, given, wrong),
        **_placed(given, wrong),
    )


def _kind(given: Mapping[str, Any], place: str) -> str:
    """Return the kind of a rule; AlertRulesError if it has none or several, or a key that its kind does not have."""
    kinds = [key for key in given if key in KINDS]
    kind = kinds[0] if kinds else ""
    allowed = ("name", "severity", "hysteresis", *KINDS, *_MORE.get(kind, ()), *_place_keys(kind))
    for key in given:
        if key not in allowed:
            where = f" in a rule of {kind}" if kind else ""
            raise AlertRulesError(f"{place}: there is no key '{key}'{where}{_hint(key, allowed)}")
    if len(kinds) != 1:
        said = "has no condition" if not kinds else f"has {' and '.join(kinds)}"
        examples = ", ".join(f"{key} = {example}" for key, example in KINDS.items())
        raise AlertRulesError(f"{place} {said}: give it one of {examples}")
    return kind


def _condition(kind: str, given: Mapping[str, Any], wrong: Wrong) -> dict[str, Any]:
    """Return the value of the key that is the rule's kind."""
    value = given[kind]
    if kind in _NUMBERS:
        if not _is_number(value) or (kind in _POSITIVE and value <= 0):
            over = " above 0" if kind in _POSITIVE else ""
            raise wrong(kind, f"a number{over}, such as {KINDS[kind]}")
        return {"number": float(value)}
    if kind in ("silent", "late"):
        if value is not True:
            raise wrong(kind, "true, or no such line")
        return {}
    if kind == "api_late":
        span = _duration(value, timedelta(minutes=15), timedelta(hours=24))
        if span is None:
            raise wrong(kind, 'a time from 15 minutes to a day, such as "45min"')
        return {"span": span}
    words = BANDS if kind == "band" else tuple(WARNINGS)
    if value not in words:
        raise wrong(kind, " or ".join(f'"{word}"' for word in words))
    return {"word": value}


def _options(kind: str, given: Mapping[str, Any], wrong: Wrong) -> dict[str, Any]:
    """Return what goes with some kinds only."""
    found: dict[str, Any] = {}
    if kind == "rain":
        found["span"] = _duration(given.get("over"), timedelta(minutes=15), _LONGEST_RAIN)
        if found["span"] is None:
            raise wrong("over", 'a time from 15 minutes to 18 hours, such as over = "6h"')
    if "share" in given:
        if not _is_number(given["share"]) or not 0 < given["share"] <= 1:
            raise wrong("share", "a share of the gauges above 0 and up to 1, such as 0.5")
        found["share"] = float(given["share"])
    if "hysteresis" in given:
        if not _is_number(given["hysteresis"]) or given["hysteresis"] < 0 or kind not in _LEVELS:
            raise wrong("hysteresis", f"a number from 0, in a rule of {', '.join(_LEVELS)}")
        found["hysteresis"] = float(given["hysteresis"])
    return found


def _place_keys(kind: str) -> tuple[str, ...]:
    if kind == "api_late":
        return ()
    return (*(_AREAS if kind == "warning" else _GAUGES), *_PLACE)


def _placed(given: Mapping[str, Any], wrong: Wrong) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, count, example in (("bbox", 4, "[-0.5, 51.3, 0.1, 51.6]"), ("near", 2, "[51.41, -0.31]")):
        if key in given:
            numbers = given[key]
            if not isinstance(numbers, list) or len(numbers) != count or not all(map(_is_number, numbers)):
                raise wrong(key, f"{count} numbers, such as {example}")
            found[key] = tuple(map(float, numbers))
    if "bbox" in found and found["bbox"][1] > found["bbox"][3]:
        raise wrong("bbox", "west, south, east, north: its south is above its north")
    if "near" in found and (abs(found["near"][0]) > 90 or abs(found["near"][1]) > 180):
        raise wrong("near", "latitude and longitude, such as [51.41, -0.31]")
    if "km" in given:
        if not _is_number(given["km"]) or not 0 < given["km"] <= 1000 or "near" not in found:
            raise wrong("km", "kilometres up to 1000, beside near")
        found["km"] = float(given["km"])
    return found


def _texts(given: Any, error: AlertRulesError) -> tuple[str, ...]:
    several = given if isinstance(given, list) else [given]
    if not several or not all(isinstance(each, str) and each.strip() for each in several):
        raise error
    return tuple(dict.fromkeys(several))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _duration(value: object, least: timedelta, most: timedelta) -> timedelta | None:
    found = parse(value) if isinstance(value, str) else None
    return found if found is not None and least <= found <= most else None


def _hint(key: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return f", did you mean '{near[0]}'?" if near else f": there are {', '.join(known)}"
