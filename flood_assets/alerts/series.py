"""Turn the readings of a gauge into the series that a rule compares with its threshold. Pure.

The sides of each point follow from threshold and hysteresis: 0.05 m or 10 % of the typical range, the greater, for
levels; 10 % of the threshold for flows and rain; half of it for slopes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations

from flood_assets import quality
from flood_assets.alerts.episodes import Point
from flood_assets.alerts.evidence import USUAL_DELAY, USUAL_INTERVAL, Gauge
from flood_assets.alerts.rules import Rule
from flood_assets.partitions import RETENTION, to_ms

_MS = timedelta(milliseconds=1)
# Flags of a day's first readings are not sure: the readings before them are gone.
_UNSURE = timedelta(hours=1)
_LEAST_HYSTERESIS_M = 0.05
_SHARE = 0.1
_METRES = {"mm": 1000.0}
# A slope is of so many readings and so much time at least.
_FEWEST, _LEAST_TIME = 3, timedelta(minutes=45)
_HOUR_MS = 3_600_000
# Of the expected readings of a total; with fewer it may have rained more, and nothing clears.
_ENOUGH = 0.8
# A reading may be a minute off its grid.
_JITTER = timedelta(minutes=1)


@dataclass(frozen=True)
class Series:
    """Points with their threshold.

    Attributes:
        points: in order of time.
        threshold: in the unit of the points.
        back: beyond it a point is back.
        sign: 1 if higher is further beyond, -1 if lower is.
        needed: points in a row with which an episode begins or ends.
        gap: ms up to which two points follow each other.
        fresh: how old a point may be to fire.
        unit: unit of the points.
        unknown: why there are none; empty if there are.
    """

    points: tuple[Point, ...] = ()
    threshold: float = math.nan
    back: float = math.nan
    sign: int = 1
    needed: int = 2
    gap: float = math.inf
    fresh: timedelta = timedelta(0)
    unit: str = ""
    unknown: str = ""


def series_of(rule: Rule, gauge: Gauge, now: datetime) -> Series:
    """Return the series of a gauge that a rule is about, from an hour after the oldest reading that is retained."""
    threshold, sign = _threshold(rule, gauge)
    if threshold is None:
        return Series(unknown="no typical range or record belongs to this measure")
    interval = gauge.interval or USUAL_INTERVAL
    fresh = 2 * interval + (gauge.delay if gauge.delay is not None else USUAL_DELAY)
    gap = (2 * interval + _JITTER) / _MS
    first = to_ms(now - RETENTION + _UNSURE)
    unit = gauge.unit or ""
    if rule.kind == "rain":
        back = _back(rule, threshold, _SHARE * threshold)
        first += rule.span // _MS
        points = tuple(p for p in _totals(gauge.readings, rule.span, interval, threshold, back) if p.at > first)
        return Series(points, threshold, back, 1, 1, gap, fresh, unit)
    if rule.kind == "rising":
        values, needed_back = tuple(_slopes(gauge.readings, gap)), _back(rule, threshold, threshold / 2)
        unit = f"{unit}/h"
    else:
        values, needed_back = gauge.readings, _back(rule, threshold, _usual(gauge, threshold), sign)
    points = tuple(
        Point(p.at, p.value, _side(p.value, threshold, needed_back, sign), p.flag) for p in values if p.at > first
    )
    return Series(points, threshold, needed_back, sign, 2, gap, fresh, unit)


def _threshold(rule: Rule, gauge: Gauge) -> tuple[float | None, int]:
    """Return the threshold, None if the gauge has none, and the side that is beyond it."""
    if rule.kind in ("band", "record"):
        if gauge.scale is None:
            return None, 1
        low, high, highest = gauge.scale
        if rule.kind == "record":
            found, sign = (rule.number or 1.0) * highest, 1
        else:
            # A value that is equal to the end of the range is in it.
            found, sign = {
                "above": (math.nextafter(high, math.inf), 1),
                "record": (math.nextafter(highest, math.inf), 1),
                "below": (math.nextafter(low, -math.inf), -1),
            }[rule.word]
        return (found if math.isfinite(found) else None), sign
    return rule.number, -1 if rule.kind == "below" else 1


def _usual(gauge: Gauge, threshold: float) -> float:
    """Return the hysteresis of a level or flow."""
    if not gauge.is_level:
        return _SHARE * abs(threshold)
    metres = _METRES.get(gauge.unit or "", 1.0)
    width = 0.0 if gauge.scale is None else gauge.scale[1] - gauge.scale[0]
    return max(_LEAST_HYSTERESIS_M * metres, _SHARE * width)


def _back(rule: Rule, threshold: float, usual: float, sign: int = 1) -> float:
    """Return the value beyond which a point is back."""
    return threshold - sign * (usual if rule.hysteresis is None else rule.hysteresis)


def _side(value: float, threshold: float, back: float, sign: int) -> int:
    return 1 if sign * value >= sign * threshold else -1 if sign * value < sign * back else 0


def _slopes(readings: Sequence[Point], gap: float) -> list[Point]:
    """Return at each reading the median slope an hour of the fewest readings before it that are enough.

    Of an even number of slopes the lower one in the middle is taken: one wrong reading of four does not move it.
    """
    found, run = list[Point](), list[Point]()
    for reading in readings:
        if run and reading.at - run[-1].at > gap:
            run = []
        run.append(reading)
        # The fewest that are enough: without the first one it is too short.
        while len(run) > _FEWEST and reading.at - run[1].at >= _LEAST_TIME // _MS:
            run.pop(0)
        if len(run) >= _FEWEST and reading.at - run[0].at >= _LEAST_TIME // _MS:
            slopes = sorted((b.value - a.value) * _HOUR_MS / (b.at - a.at) for a, b in combinations(run, 2))
            worst = max(each.flag for each in run)
            found.append(Point(reading.at, slopes[(len(slopes) - 1) // 2], 0, worst))
    return found


def _totals(
    readings: Sequence[Point], span: timedelta, interval: timedelta, threshold: float, back: float
) -> list[Point]:
    """Return at each reading the rain of the span before it.

    A reading that is suspect counts once another one has come. What is missing may have been rain: with too few
    readings a total that is not at the threshold is between, and clears nothing.
    """
    found, first = list[Point](), 0
    expected = max(1, span // interval)
    for place, reading in enumerate(readings):
        while readings[first].at <= reading.at - span // _MS:
            first += 1
        inside = readings[first : place + 1]
        counted = inside[:-1] if reading.flag == quality.SUSPECT else inside
        total = math.fsum(each.value for each in counted)
        side = _side(total, threshold, back, 1)
        if side < 0 and len(inside) < _ENOUGH * expected:
            side = 0
        found.append(
            Point(reading.at, total, side, max((each.flag for each in counted), default=quality.NOT_EVALUATED))
        )
    return found
