"""Say times, numbers and states in plain English. Pure.

People see the time of the clocks in England, with UTC beside.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from markupsafe import Markup

from flood_assets.partitions import london, utc
from flood_assets.quality.kinds import Kind
from flood_assets.query.alerts import with_times
from flood_assets.words import counted

NONE = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"
# Many gauges report every few hours; readers expect what is now.
_OLD = timedelta(hours=2)
BANDS: Mapping[str, str] = {
    "record": "Above the highest on record",
    "above": "Above the typical range",
    "normal": "Within the typical range",
    "below": "Below the typical range",
}
TRENDS: Mapping[str, str] = {"rising": "Rising", "steady": "Steady", "falling": "Falling"}
ARROWS: Mapping[str, str] = {"rising": "↑", "steady": "→", "falling": "↓"}
FRESHNESS: Mapping[str, str] = {"current": "Reporting on time", "late": "Late", "silent": "Silent"}
SEVERITIES: Mapping[int, str] = {
    1: "Severe flood warning",
    2: "Flood warning",
    3: "Flood alert",
    4: "No longer in force",
}
FLAGS: Mapping[int, str] = {
    1: "passed the checks",
    2: "not checked",
    3: "suspect, or of high interest",
    4: "failed the checks",
    9: "no single value",
}
KINDS: Mapping[str, str] = {
    "river": "River level",
    "tide": "Tide",
    "groundwater": "Groundwater",
    "flow": "River flow",
    "rain": "Rain",
    "other": "Other",
}
# From what is looked for most to what is looked for least: the first one stands for a station on the map.
KIND_OF: Mapping[Kind, str] = {
    Kind.RIVER: "river",
    Kind.TIDE: "tide",
    Kind.GROUNDWATER: "groundwater",
    Kind.FLOW: "flow",
    Kind.RAIN: "rain",
    Kind.RAIN_EVENT: "rain",
    Kind.RAIN_COUNTER: "rain",
    Kind.POOL: "other",
    Kind.WIND_SPEED: "other",
    Kind.WIND_DIRECTION: "other",
    Kind.TEMPERATURE: "other",
    Kind.OTHER: "other",
}
_NAMES: Mapping[Kind, str] = {
    Kind.RIVER: "River level",
    Kind.TIDE: "Tide level",
    Kind.GROUNDWATER: "Groundwater level",
    Kind.FLOW: "River flow",
    Kind.RAIN: "Rain",
    Kind.RAIN_EVENT: "Rain, each tip of the bucket",
    Kind.RAIN_COUNTER: "Rain, running total",
    Kind.POOL: "Water level",
    Kind.WIND_SPEED: "Wind speed",
    Kind.WIND_DIRECTION: "Wind direction",
    Kind.TEMPERATURE: "Temperature",
}
_UNITS: Mapping[str, str] = {"m3/s": "m³/s", "mASD": "m", "mAOD": "m", "deg C": "°C", "deg": "°", "mBDAT": "m"}
_DATUMS: Mapping[str, str] = {
    "mASD": "metres above the station's own datum",
    "mAOD": "metres above Ordnance Datum Newlyn, about the mean level of the sea",
    "mBDAT": "metres below the datum",
}
_SHORT_DATUMS: Mapping[str, str] = {
    "mASD": "above the station datum",
    "mAOD": "above Ordnance Datum",
    "mBDAT": "below the datum",
}


def day_of(moment: datetime, *, year: bool = True) -> str:
    """Return the day of a moment in England, such as "Sunday 29 November 2026"."""
    local = moment.astimezone(london())
    return f"{local:%A} {local.day} {local:%B}" + (f" {local:%Y}" if year else "")


def clock(moment: datetime) -> str:
    """Return the time of a moment in England, such as "09:45 GMT"."""
    return f"{moment.astimezone(london()):%H:%M %Z}"


def in_utc(moment: datetime) -> str:
    """Return the time of a moment in UTC, with the day if that is another one than in England."""
    other = utc(moment).date() != moment.astimezone(london()).date()
    return f"{moment.astimezone(UTC):%a %H:%M UTC}" if other else f"{moment.astimezone(UTC):%H:%M UTC}"


def long(moment: datetime) -> Markup:
    """Return a moment with its day, such as "09:45 BST on Sunday 25 October 2026 (08:45 UTC)"."""
    return _time(moment, f"{clock(moment)} on {day_of(moment)}")


def short(moment: datetime) -> Markup:
    """Return a moment for a table, such as "Sun 25 Oct, 09:45 BST (08:45 UTC)"."""
    local = moment.astimezone(london())
    return _time(moment, f"{local:%a} {local.day} {local:%b}, {clock(moment)}")


def sentence(text: str) -> Markup:
    """Return a sentence about an alert with its times as people see them, such as "1.2 m at Sun 25 Oct, 09:45 BST"."""
    return Markup("").join(with_times(text, short))


def _time(moment: datetime, text: str) -> Markup:
    iso = f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return Markup('<time datetime="{}">{}</time> <span class="utc">({})</span>').format(iso, text, in_utc(moment))


def same(one: datetime | None, other: datetime | None) -> bool:
    """Return True if two moments are shown alike, to the minute."""
    return one is not None and other is not None and one.replace(second=0) == other.replace(second=0)


def ago(moment: datetime, now: datetime) -> str:
    """Return how long before now a moment is, such as "14 minutes ago"."""
    passed = now - moment
    if passed < timedelta(0):
        return f"in {lasting(-passed)}"
    return "just now" if passed < timedelta(minutes=1) else f"{lasting(passed)} ago"


def old(moment: datetime, now: datetime) -> str:
    """Return the age of a reading that people may take for a newer one, such as "15 hours old"; else nothing."""
    return f"{lasting(now - moment)} old" if now - moment > _OLD else ""


def lasting(length: timedelta) -> str:
    """Return a length of time in its largest unit, such as "14 minutes"."""
    minutes = int(length.total_seconds() // 60)
    if minutes == 60:
        return "1 hour"
    if minutes < 120:
        return counted(max(minutes, 0), "minute")
    return counted(minutes // 60, "hour") if minutes < 48 * 60 else counted(minutes // 1440, "day")


def number(value: float | None, most: int = 3) -> str:
    """Return a number with at most so many decimals, and a real minus; a dash for none."""
    if value is None:
        return NONE
    text = f"{value:,.{most}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text.replace("-", _MINUS)


def several(raw: str | None) -> str:
    """Return the API's text of a reading with several values, such as "2.796 or 2.922"; empty for none."""
    return (raw or "").replace("|", " or ")


def unit(given: str | None) -> str:
    """Return a unit as people write it; empty for none."""
    return _UNITS.get(given or "", given or "")


def datum(given: str | None) -> str:
    """Return what the numbers of a unit are measured from; empty for a unit without a datum."""
    return _DATUMS.get(given or "", "")


def quantity(value: float | None, given: str | None) -> str:
    """Return a number with its unit; a no-break space keeps them together."""
    said = unit(given)
    if value is None or not said:
        return number(value)
    return f"{number(value)}{said}" if said == "°" else f"{number(value)}\u00a0{said}"


def name_of(kind: Kind, measure: Mapping[str, Any]) -> str:
    """Return what a measure measures, such as "River level (downstream stage)"."""
    known = _NAMES.get(kind)
    given = " ".join(each for each in (measure.get("parameter"), measure.get("qualifier")) if each)
    if known is None:
        return given[:1].upper() + given[1:] if given else "Measure that no list explains"
    qualifier = (measure.get("qualifier") or "").strip()
    usual = qualifier.casefold() in ("", "stage", "tidal level", "groundwater", "tipping bucket raingauge", "water")
    return known if usual else f"{known} ({qualifier.lower()})"


def told_apart(measures: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Return the names of a station's measures, and beside equal ones what they differ in: datum, period or id."""
    found = []
    for name, measure in measures:
        alike = [other for same, other in measures if same == name]
        period = measure.get("period_s")
        said = {
            "unit": _SHORT_DATUMS.get(
                given := measure.get("unit") or "", f"in {unit(given)}" if unit(given) else "without a unit"
            ),
            "period_s": f"every {lasting(timedelta(seconds=period))}".replace("every 1 ", "every ")
            if period
            else "at no certain times",
        }
        differing = [text for key, text in said.items() if len({other.get(key) for other in alike}) > 1]
        clear = len({(other.get("unit"), other.get("period_s")) for other in alike}) == len(alike)
        more = differing if clear else [*differing, measure["measure_id"]]
        found.append(", ".join([name, *more]) if len(alike) > 1 else name)
    return found


def value_of(condition: Mapping[str, Any], given: str | None) -> str:
    """Return the value of a condition with its unit, or that there is none."""
    return "no reading" if condition["value"] is None else quantity(condition["value"], given)


def percent(share: float | None) -> str:
    """Return a share in percent, rounded down, so that only all of it is 100; a dash for none."""
    return NONE if share is None else f"{int(share * 1000 + 1e-6) / 10:g}\u00a0%"
