"""Gauges with readings, as rules are judged by them, and an oracle that finds the moments in the raw series.

The oracle knows nothing of the package: it walks over all readings that were known at a tick, in order, with three
lines of rules, each time from the start.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from flood_assets.alerts.episodes import Point
from flood_assets.alerts.evidence import Evidence, Gauge
from flood_assets.alerts.judge import Event, judge
from flood_assets.alerts.rules import Rule, parse_rules
from flood_assets.partitions import to_ms
from flood_assets.query.alerts import Alerts

QUARTER = timedelta(minutes=15)
START = datetime(2026, 11, 20, 9, tzinfo=UTC)
DELAY = timedelta(minutes=10)


def rule_of(text: str) -> Rule:
    """Return the one rule of some lines."""
    (rule,) = parse_rules(f'[[rule]]\nname = "it"\n{text}')
    return rule


def gauge_of(
    values: Sequence[float | None], *, flags: Sequence[int] | None = None, start: datetime = START, **more: object
) -> Gauge:
    """Return a gauge with a reading each quarter of an hour, each known after ten minutes; None is a gap."""
    flags = flags or [1] * len(values)
    rows = [(start + n * QUARTER, value, flags[n]) for n, value in enumerate(values) if value is not None]
    points = tuple(Point(to_ms(at), value, 0, flag) for at, value, flag in rows if flag != 4)
    seen = tuple((to_ms(at), to_ms(at + DELAY)) for at, _, _ in rows)
    settings = {"interval": QUARTER, "delay": DELAY, "due_after": 2 * DELAY, "label": "Mill", "unit": "m"}
    known = tuple(point.at + to_ms(START + DELAY) - to_ms(START) for point in points)
    return Gauge(
        "m", readings=points, known_at=known, seen=seen, newest_at=rows[-1][0] if rows else None, **settings | more
    )


@dataclass
class Told:
    """State and events after some ticks."""

    state: Alerts
    events: list[tuple[datetime, Event]]

    def of(self, what: str) -> list[datetime]:
        """Return when events of a kind were told."""
        return [at for at, event in self.events if event.what == what]


def ticked(rules: Sequence[Rule], gauges: Iterable[Gauge], ticks: Iterable[datetime], **more: object) -> Told:
    """Judge at each tick what was known then."""
    by_id = {gauge.measure_id: gauge for gauge in gauges}
    found = Told(Alerts(), [])
    for tick in ticks:
        evidence = Evidence(by_id, {rule.name: sorted(by_id) for rule in rules}, asked=(tick,), **more).at(tick)
        judged = judge(found.state, rules, evidence, tick)
        found.state = judged.after
        found.events += [(tick, event) for event in judged.events]
    return found


def every_quarter(count: int, start: datetime = START) -> list[datetime]:
    """Return ticks, each just after a reading was known."""
    return [start + n * QUARTER + DELAY + timedelta(minutes=1) for n in range(count)]


def oracle(
    values: Sequence[float | None], threshold: float, hysteresis: float, flags: Sequence[int] | None = None
) -> list[tuple[int, int | None]]:
    """Return the places of the readings at which an alarm of a level fires and clears, from the raw series.

    A tick comes 11 minutes after a reading. If one was left out between two, the older one is 41 minutes old by then,
    and two intervals and the usual delay are 40.
    """
    flags = flags or [1] * len(values)
    series = [(n, v) for n, v in enumerate(values) if v is not None and flags[n] != 4]
    moments, fired = [], None
    for (m, before), (n, value) in pairwise(series):
        if fired is None and before >= threshold and value >= threshold and n - m == 1:
            fired = n
        elif fired is not None and before < threshold - hysteresis and value < threshold - hysteresis:
            moments.append((fired, n))
            fired = None
    return [*moments, (fired, None)] if fired is not None else moments
