"""Judge the rules at each quarter of an hour of a past day, to show when they would have fired. Nothing is stored."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from flood_assets.alerts.evidence import gather
from flood_assets.alerts.judge import Event, judge
from flood_assets.alerts.rules import Rule
from flood_assets.lake.lake import Lake
from flood_assets.partitions import cutoff
from flood_assets.query.alerts import Alerts

EVERY = timedelta(minutes=15)
# Warnings and lateness of the API are known as they are now, and not as they were.
REPLAYED = ("above", "below", "band", "record", "rising", "rain")


def replay(
    lake: Lake, rules: Sequence[Rule], until: datetime, now: datetime
) -> tuple[list[tuple[datetime, Event]], Alerts]:
    """Judge the rules that look at readings at each quarter of an hour up to a moment.

    A reading counts from when the lake first saw it; those of the first fill from the gauge's usual delay on. Values
    are as they are now, also where they were corrected since.

    Args:
        lake: only read.
        rules: those of kinds that are not in `REPLAYED` are left out.
        until: the last moment, at most 24 hours before `now`.
        now: decides which readings are retained.

    Returns:
        The events, each with the moment at which it would have been told; and the state at the end.

    Raises:
        LakeError: the lake could not be read.
    """
    judged = [rule for rule in rules if rule.kind in REPLAYED]
    evidence = gather(lake, judged, now)
    state, events = Alerts(notes=evidence.notes), list[tuple[datetime, Event]]()
    for tick in _ticks(cutoff(now), until):
        found = judge(state, judged, evidence.at(tick), tick)
        state = found.after
        events += [(tick, event) for event in found.events]
    return events, state


def _ticks(after: datetime, until: datetime) -> Iterator[datetime]:
    """Yield moments a quarter of an hour apart, of which `until` is the last."""
    count = (until - after) // EVERY
    for back in range(count - 1, -1, -1):
        yield until - back * EVERY
