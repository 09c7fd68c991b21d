"""Read durations as pandas.Timedelta does, without pandas: `3h`, `90min`, `1 day 02:00:00`, `PT3H`."""

import re
from datetime import timedelta

_UNITS = {
    "weeks": ("w", "week"),
    "days": ("d", "day"),
    "hours": ("h", "hr", "hour"),
    "minutes": ("m", "min", "minute"),
    "seconds": ("s", "sec", "second"),
    "milliseconds": ("ms", "milli", "millis", "millisecond"),
    "microseconds": ("us", "µs", "μs", "micro", "micros", "microsecond"),
}
_UNIT = {name: unit for unit, names in _UNITS.items() for short in names for name in (short, f"{short}s")}
_NUMBER = r"\d+(?:\.\d*)?"
_LETTERS = "[a-zA-Zµμ]+"
_PART = re.compile(rf"({_NUMBER})\s*({_LETTERS})")
_WHOLE = re.compile(
    rf"(?P<sign>[+-]?)\s*(?P<parts>(?:{_NUMBER}\s*{_LETTERS}[\s,]*)*)"
    rf"(?:(?P<plus>\+?)(?P<hours>\d+):(?P<minutes>\d+):(?P<seconds>{_NUMBER}))?"
)
_ISO = re.compile(
    r"(?P<sign>[+-]?)P(?=.)(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    rf"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>{_NUMBER})S)?)?"
)


def parse(text: str) -> timedelta | None:
    """Return the duration; None for any other text, a bare number and months or years, which have no fixed length."""
    text = text.strip()
    found = _ISO.fullmatch(text) or _WHOLE.fullmatch(text)
    if found is None:
        return None
    given = found.groupdict()
    sign, parts, plus = (given.pop(name, "") for name in ("sign", "parts", "plus"))
    amounts = [(float(number), unit) for unit, number in given.items() if number is not None]
    for number, name in _PART.findall(parts):
        # An M is a month to pandas, and an m a minute.
        unit = _UNIT.get(name.lower()) if name != "M" else None
        if unit is None:
            return None
        amounts.append((float(number), unit))
    if not amounts or (plus and sign == "-"):
        return None
    try:
        total = sum((timedelta(**{unit: number}) for number, unit in amounts), timedelta())
    except OverflowError:
        return None
    return -total if sign == "-" else total
