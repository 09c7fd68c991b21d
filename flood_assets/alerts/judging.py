"""Judge a lake and store the result by compare-and-swap."""

from collections.abc import Sequence
from datetime import datetime

from flood_assets.alerts.evidence import gather
from flood_assets.alerts.judge import Judged, judge
from flood_assets.alerts.rules import Rule
from flood_assets.lake.lake import Lake
from flood_assets.query.alerts import Alerts, update_alerts


def judge_lake(lake: Lake, rules: Sequence[Rule], now: datetime) -> Judged:
    """Judge a lake by rules, and store what fires and clears.

    Of two that judge at once one stores first; the other judges again by what is stored then, and finds nothing new. A
    state that was judged later than `now` stays.

    Raises:
        LakeError: the lake could not be read or written.
    """
    evidence = gather(lake, rules, now)

    def revised(before: Alerts) -> tuple[Alerts | None, Judged]:
        if before.judged_at is not None and before.judged_at > now:
            return None, Judged(before, ())
        judged = judge(before, rules, evidence, now)
        return judged.after, judged

    return update_alerts(lake, revised)
