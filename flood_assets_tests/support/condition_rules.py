"""The rules of `query.conditions` once more: slow plain Python, one measure at a time, without arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations, pairwise
from statistics import median

from flood_assets_tests.support.quality_rows import Gauge

DAY = timedelta(hours=24)
MOVES = {"level", "flow", "temperature"}


@dataclass(frozen=True)
class Given:
    """One reading with its flag."""

    time: datetime
    value: float | None
    flag: int


@dataclass(frozen=True)
class Reports:
    """A gauge's reporting: interval and usual delay."""

    interval: timedelta | None
    due_after: timedelta | None
    newest: datetime | None

    @property
    def next_due(self) -> datetime | None:
        """The time at which its next reading is due."""
        if self.interval is None or self.due_after is None or self.newest is None:
            return None
        return self.newest + self.interval + self.due_after


def condition(gauge: Gauge, readings: Sequence[Given], reports: Reports, now: datetime) -> dict:
    """Return what `conditions_of` should say of a gauge."""
    good = {}
    for each in readings:
        usable = each.value is not None and each.flag != 4 and each.value not in (-888, -999, -9999)
        if usable and now - DAY < each.time <= now:
            # Of several rows of one time the least value counts, and the worst flag.
            value, flag = good.get(each.time, (each.value, 0))
            good[each.time] = (min(value, each.value), max(flag, each.flag))
    times = sorted(good)
    series = [(time, good[time][0]) for time in times]
    newest = times[-1] if times else None
    bad = {
        each.time
        for each in readings
        if each.value is None or each.flag == 4 or each.value in (-888, -999, -9999) or each.time > now
    }
    rate, trend = _trend(gauge, series)
    found = {
        "date_time": newest,
        "value": good[newest][0] if newest else None,
        "flag": good[newest][1] if newest else None,
        "passed_over": len([time for time in bad if newest is None or time > newest]),
        "band": _band(gauge, series),
        "trend": trend,
        "rate_per_hour": rate,
        "freshness": _freshness(newest, reports, now),
        "next_due_at": reports.next_due,
    }
    for name, best in (("min_24h", min), ("max_24h", max)):
        value = best((value for _, value in series), default=None)
        found[name] = value
        found[f"{name}_at"] = next((time for time, each in series if each == value), None)
    return {**found, **_rain(gauge, readings, series, reports, now)}


def _band(gauge: Gauge, series: list[tuple[datetime, float]]) -> str | None:  # noqa: PLR0911 - one for each rule
    low, high = gauge.scale.get("typical_low"), gauge.scale.get("typical_high")
    if gauge.parameter != "level" or gauge.qualifier != "Stage" or low is None or high is None or low > high:
        return None
    tops = [gauge.scale[name] for name in ("typical_high", "highest_recent", "max_on_record") if name in gauge.scale]
    bottoms = [gauge.scale[name] for name in ("typical_low", "min_on_record") if name in gauge.scale]
    top, bottom = max(tops), min(bottoms)
    if not series or top <= bottom:
        return None
    if gauge.unit in ("m", "mAOD"):
        # The scale is above the stage datum; it is this measure's if its own values lie on it.
        margin = max((top - bottom) / 4, 0.5)
        values = sorted(value for _, value in series)
        if len(values) < 8 or not bottom - margin <= values[len(values) // 2] <= top + margin:
            return None
    elif gauge.unit != "mASD":
        return None
    value = series[-1][1]
    records = [gauge.scale[name] for name in ("highest_recent", "max_on_record") if name in gauge.scale]
    if value < low:
        return "below"
    if value <= high:
        return "normal"
    return "record" if records and value > max(records) else "above"


def _trend(gauge: Gauge, series: list[tuple[datetime, float]]) -> tuple[float | None, str | None]:
    gap = 2.5 * timedelta(seconds=gauge.period_s or 900)
    unbroken = []
    for time, value in series:
        if unbroken and time - unbroken[-1][0] > gap:
            unbroken = []
        unbroken.append((time, value))
    last = unbroken[-5:]
    if len(last) < 3 or gauge.parameter not in MOVES:
        return None, None
    hours = [(time - last[0][0]) / timedelta(hours=1) for time, _ in last]
    slopes = [(last[j][1] - last[i][1]) / (hours[j] - hours[i]) for i, j in combinations(range(len(last)), 2)]
    rate = median(slopes)
    change = rate * hours[-1]
    if abs(change) <= _least_change(series, gap):
        return rate, "steady"
    return rate, "rising" if change > 0 else "falling"


def _least_change(series: list[tuple[datetime, float]], gap: timedelta) -> float:
    steps = [b[1] - a[1] if b[0] - a[0] <= gap else None for a, b in pairwise(series)]
    sizes = [abs(step) for step in steps if step is not None and abs(step) > 1e-6]
    thirds = sorted(
        abs(c - 2 * b + a)
        for a, b, c in zip(steps, steps[1:], steps[2:], strict=False)
        if a is not None and b is not None and c is not None
    )
    noise = 1.4826 * thirds[len(thirds) // 2] / 20**0.5 if len(thirds) >= 8 else 0
    return max(1.5 * min(sizes, default=0), 4 * noise) + 1e-6


def _rain(
    gauge: Gauge, readings: Sequence[Given], series: list[tuple[datetime, float]], reports: Reports, now: datetime
) -> dict:
    names = [f"rain_{hours}h" for hours in (1, 6, 24)]
    none = {name: None for each in names for name in (each, f"{each}_coverage")} | {"rain_left_out": None}
    if gauge.parameter != "rainfall" or gauge.value_type != "total":
        return none
    bad = [each for each in readings if each.value is None or each.flag == 4 or each.value in (-888, -999, -9999)]
    none["rain_left_out"] = len([each for each in bad if now - DAY < each.time <= now])
    if not series or reports.interval is None:
        return none
    due = series[-1][0]
    while reports.due_after is not None and due + reports.interval + reports.due_after <= now:
        due += reports.interval
    found = dict(none)
    for hours, name in zip((1, 6, 24), names, strict=True):
        inside = [(time, value) for time, value in series if due - timedelta(hours=hours) < time <= due]
        slots = {round((due - time) / reports.interval) for time, _ in inside}
        expected = max(round(timedelta(hours=hours) / reports.interval), 1)
        found[name] = sum(value for _, value in inside) if inside else None
        found[f"{name}_coverage"] = min(len(slots) / expected, 1)
    return found


def _freshness(newest: datetime | None, reports: Reports, now: datetime) -> str | None:
    if reports.interval is not None and newest is None:
        return "silent"
    if reports.next_due is None or reports.due_after is None or reports.interval is None:
        return None
    if now < reports.next_due:
        return "current"
    return "late" if now < reports.next_due + 3 * (reports.interval + reports.due_after) else "silent"
