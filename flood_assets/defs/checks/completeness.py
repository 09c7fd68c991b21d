"""The checks of completeness: everything was fetched, and the source is updating. Pure.

The asset `completeness` evaluates them in its own step.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.ledger.account import Account
from flood_assets.ledger.delays import JITTER
from flood_assets.partitions import cutoff, utc
from flood_assets.schemas import TIME, pushed

# A share of the expected readings; more not fetched is no longer a gauge or two that the API refused.
UNFETCHED_SHARE = 0.01
# A share of the gauges that reported today: one in twenty is always overdue, by the definition of being due.
# If the last poll brought nothing new at all, a smaller share shows that the source has stopped.
OVERDUE_SHARE, OVERDUE_SHARE_WITHOUT_NEWS = 0.5, 0.25
# Used until it is known when gauges are due: the newest reading of a country is always minutes old.
STOPPED_AFTER = timedelta(hours=2)

COMPLETENESS_CHECKS = (
    ("everything_fetched", "No reading is missing because it was not fetched."),
    (
        "source_updating",
        "The API shows new readings when gauges are due: a run that succeeds without them is not a success.",
    ),
)


def judge_account(account: Account, now: datetime) -> Iterator[dg.AssetCheckResult]:
    """Return the results of the checks of `completeness`; `now` decides which gauges reported within 24 hours."""
    totals = account.totals()
    gone = totals["not_fetched"]
    many = gone > UNFETCHED_SHARE * totals["expected"]
    severity = dg.AssetCheckSeverity.ERROR if many else dg.AssetCheckSeverity.WARN
    yield dg.AssetCheckResult(check_name="everything_fetched", passed=gone == 0, severity=severity, metadata=totals)
    yield _updating(account, now)


def _updating(account: Account, now: datetime) -> dg.AssetCheckResult:
    """Detect a source that has stopped: it answers, but most gauges are overdue."""
    name = "source_updating"
    # What others push goes on while the API has stopped.
    asked, gauges = account.asked.last, account.timeliness.filter(pc.invert(pushed(account.timeliness["measure_id"])))
    if asked is None:
        return dg.AssetCheckResult(check_name=name, passed=True, description="The API has not been asked yet.")
    reporting = gauges.filter(pc.greater(gauges["newest_at"], pa.scalar(cutoff(now), TIME)))
    if not len(reporting):
        told = f"The API was asked at {asked:%Y-%m-%d %H:%MZ} and shows no reading of the last 24 hours."
        found = {"gauges": len(gauges)}
        return dg.AssetCheckResult(check_name=name, passed=not len(gauges), description=told, metadata=found)
    newest, updated = utc(pc.max(reporting["newest_at"]).as_py()), utc(pc.max(reporting["newest_seen_at"]).as_py())
    due = reporting["next_due_at"].drop_null()
    overdue = pc.sum(pc.less_equal(due, pa.scalar(asked + JITTER, TIME))).as_py() or 0
    if len(due):
        stopped = overdue >= len(due) * (OVERDUE_SHARE_WITHOUT_NEWS if updated < asked else OVERDUE_SHARE)
    else:
        stopped = asked - newest >= STOPPED_AFTER
    hours = round((asked - updated) / timedelta(hours=1), 2)
    last = f"last updated at {updated:%Y-%m-%d %H:%MZ}, {hours} hours before it was last asked"
    return dg.AssetCheckResult(
        check_name=name,
        passed=not stopped,
        description=(
            f"The source has stopped: it answers, but {overdue:,} of {len(due):,} gauges are overdue; it {last}. "
            "Look at the API's status page; nothing is lost on our side."
            if stopped
            else f"The source {last}."
        ),
        metadata={
            "last_update": dg.MetadataValue.timestamp(updated),
            "hours_since_update": hours,
            "newest_reading": dg.MetadataValue.timestamp(newest),
            "last_asked": dg.MetadataValue.timestamp(asked),
            "gauges_reporting": len(reporting),
            "overdue": overdue,
        },
    )
