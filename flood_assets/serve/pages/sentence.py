"""Say the state of a gauge in a sentence. Pure."""

from collections.abc import Mapping
from typing import Any

from flood_assets.quality.kinds import Kind
from flood_assets.serve.pages import words
from flood_assets.serve.pages.chart import Series

_WHY_NO_BAND: Mapping[Kind, str] = {
    Kind.RIVER: "The Environment Agency gives no typical range for it, so it is not known whether this is high or low.",
    Kind.TIDE: "Tides have no typical range.",
    Kind.GROUNDWATER: "Groundwater has no typical range here.",
}


def sentence(kind: Kind, name: str, condition: Mapping[str, Any], series: Series) -> str:
    """Return the state of a measure in words, without its time.

    Args:
        kind: of the measure.
        name: what it measures.
        condition: a row of `schemas.CONDITIONS`.
        series: its readings, and what they are compared with.
    """
    if condition["value"] is None:
        return "No usable reading came in the last 24 hours."
    if kind is Kind.RAIN:
        return _rain(condition)
    value = words.quantity(condition["value"], series.unit)
    first = name.partition(" (")[0]
    text = f"{'The ' + first[:1].lower() + first[1:] if kind is not Kind.OTHER else name} is {value}"
    text += _band(condition["band"], series) + _trend(condition, series)
    why = _WHY_NO_BAND.get(kind, "") if condition["band"] is None else ""
    return f"{text}. {why}".strip()


def _band(band: str | None, series: Series) -> str:
    if band is None or series.typical is None:
        return ""
    low, high = (words.number(each) for each in series.typical)
    spoken = f"its typical range of {low} to {words.quantity(series.typical[1], series.unit)}"
    if band == "record":
        record = "" if series.record is None else f" of {words.quantity(series.record, series.unit)}"
        return f", above the highest level on record{record}"
    side = {"above": "above", "below": "below", "normal": "within"}[band]
    return f", {side} {spoken}" if high else ""


def _trend(condition: Mapping[str, Any], series: Series) -> str:
    trend = condition["trend"]
    if trend is None:
        return ""
    beside = " and" if condition["band"] is None else ", and"
    if trend == "steady":
        return f"{beside} steady"
    rate = abs(condition["rate_per_hour"] or 0)
    return f"{beside} {trend} by {words.quantity(rate, series.unit)} an hour"


def _rain(condition: Mapping[str, Any]) -> str:
    totals = [(hours, condition[f"rain_{hours}h"], condition[f"rain_{hours}h_coverage"]) for hours in (1, 6, 24)]
    known = [(hours, total, share) for hours, total, share in totals if total is not None]
    if not known:
        return f"The last reading is {words.quantity(condition['value'], 'mm')} of rain."
    if all(total == 0 for _, total, _ in known):
        text = f"No rain was measured in the last {known[-1][0]} hours"
    else:
        parts = [f"{words.number(t, 1)}\u00a0mm in the last {'hour' if h == 1 else f'{h} hours'}" for h, t, _ in known]
        text = "Rain: " + ", ".join(parts[:-1]) + (f" and {parts[-1]}" if len(parts) > 1 else parts[-1])
    shares = [share for _, _, share in known if share is not None]
    least = min(shares, default=1.0)
    if least < 0.9:
        text += f"; readings are missing, and only {words.percent(least)} of those expected are in these totals"
    return f"{text}."
