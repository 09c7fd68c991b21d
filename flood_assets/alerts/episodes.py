"""Find when a series was at or beyond a threshold: an automaton over its points, without a clock.

It begins with two points in a row at or beyond the threshold and ends with two in a row back by the hysteresis; between
the two limits nothing begins and nothing ends. It depends on the points alone, so however a day is cut into ticks, the
same points give the same episodes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Point:
    """A value of a series: a level, a slope or a total.

    Attributes:
        at: ms since 1970.
        value: in the unit of the rule.
        side: 1 at or beyond the threshold, -1 back by the hysteresis, 0 between.
        flag: the worst quality flag of the newest reading in it.
    """

    at: int
    value: float
    side: int
    flag: int = 1


@dataclass(frozen=True)
class Episode:
    """A time at or beyond a threshold.

    Attributes:
        since: time of its first point.
        on: points with which it began.
        peak: the point furthest beyond.
        held: the newest points in a row that are at or beyond; none if they are not known.
        until: time of the point that ended it; None while it lasts.
    """

    since: int
    on: tuple[Point, ...]
    peak: Point
    held: tuple[Point, ...]
    until: int | None = None


def episodes(
    points: Iterable[Point], *, needed: int, gap: float, sign: int, begun: Episode | None = None
) -> list[Episode]:
    """Return the episodes of a series, oldest first; only the last may last.

    Args:
        points: in order of time.
        needed: points in a row with which one begins; as many end it.
        gap: ms up to which two points follow each other.
        sign: 1 if higher is further beyond, -1 if lower is.
        begun: an episode that began before the first point.
    """
    found: list[Episode] = []
    now, high, low = begun, list[Point](), 0
    for point in points:
        follows = bool(high) and point.at - high[-1].at <= gap
        high = [*(high if follows else []), point][-needed:] if point.side > 0 else []
        low = low + 1 if point.side < 0 else 0
        if now is None:
            if len(high) == needed:
                peak = max(high, key=lambda each: sign * each.value)
                now = Episode(high[0].at, tuple(high), peak, tuple(high))
            continue
        if sign * point.value > sign * now.peak.value:
            now = replace(now, peak=point)
        if len(high) == needed:
            now = replace(now, held=tuple(high))
        if low == needed:
            found.append(replace(now, until=point.at))
            now = None
    return [*found, now] if now is not None else found
