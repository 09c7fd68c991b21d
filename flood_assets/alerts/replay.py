"""Judge the rules at each quarter of an hour of a past day, to show when they would have fired. Nothing is stored."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from flood_assets.alerts.evidence import gather
from flood_assets.alerts.judge import Event, judge
from flood_assets.alerts.rules import Rule
from flood_assets.lake.lake import Lake
from flood_assets.partitions import cutoff
from flood_assets.query.alerts import Alerts

EVERY = timedelta(minutes=15)
# Warnings and lateness of the API are known as they are now, and not as they were.
REPLAYED = ("above", "below", "band", "record", "rising", "rain")


class Replayed(NamedTuple):
    """Result of a replay: events with their moments, the state at the end, and what each rule leaves out."""

    events: list[tuple[datetime, Event]]
    state: Alerts
    remarks: tuple[str, ...]


def replay(lake: Lake, rules: Sequence[Rule], until: datetime, now: datetime) -> Replayed:
    """Judge the rules that look at readings at each quarter of an hour up to a moment.

    A reading counts from when the lake first saw it; those of the first fill from the gauge's usual delay on. Values
    are as they are now, also where they were corrected since.

    Args:
        lake: only read.
        rules: those of kinds that are not in `REPLAYED` are left out.
        until: the last moment, at most 24 hours before `now`.
        now: decides which readings are retained.

    Raises:
        LakeError: the lake could not be read.
    """
    judged = [rule for rule in rules if rule.kind in REPLAYED]
    evidence = gather(lake, judged, now)
    state, events, remarks = Alerts(notes=evidence.notes), list[tuple[datetime, Event]](), tuple[str, ...]()
    for tick in _ticks(cutoff(now), until):
        found = judge(state, judged, evidence.at(tick), tick)
        state, remarks = found.after, found.remarks
        events += [(tick, event) for event in found.events]
    return Replayed(events, state, remarks)


def _ticks(after: datetime, until: datetime) -> Iterator[datetime]:
    """Yield moments a quarter of an hour apart, of which `until` is the last."""
    count = (until - after) // EVERY
    for back in range(count - 1, -1, -1):
        yield until - back * EVERY
