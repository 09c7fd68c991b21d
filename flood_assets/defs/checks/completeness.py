"""The checks of the ledger: whether all was fetched that there was, and whether the source moves at all.

They are judged where the ledger is counted, in `flood_assets.defs.assets.completeness`.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.ledger.account import Account
from flood_assets.ledger.delays import JITTER
from flood_assets.partitions import cutoff, utc
from flood_assets.schemas import TIME

# Of the readings that are expected; more than this not fetched is no longer a gauge or two that the API refused.
UNFETCHED_SHARE = 0.01

# Gauges that are overdue, of those that were heard today: one in twenty always is, by the definition of being due.
# When a poll brought nothing at all, fewer are enough to tell that it is the source that stands still.
STILL_SHARE, STILL_SHARE_WITHOUT_NEWS = 0.5, 0.25

# As long as nobody knows when gauges are due: the newest reading of a country is always minutes old.
STILL_AFTER = timedelta(hours=2)

COMPLETENESS_CHECKS = (
    ("everything_fetched", "No reading is missing because the API was not asked for it, or could not be."),
    (
        "source_moves",
        "The API shows new readings when gauges are due: a tick that runs well and brings nothing is none.",
    ),
)


def judge_account(account: Account, now: datetime) -> Iterator[dg.AssetCheckResult]:
    """The results of the checks of `completeness`.

    Args:
        account: what the ledger says.
        now: the time to judge by.
    """
    totals = account.totals()
    gone = totals["not_fetched"]
    yield dg.AssetCheckResult(
        check_name="everything_fetched",
        passed=gone == 0,
        severity=(
            dg.AssetCheckSeverity.ERROR if gone > UNFETCHED_SHARE * totals["expected"] else dg.AssetCheckSeverity.WARN
        ),
        metadata=totals,
    )
    yield _moves(account, now)


def _moves(account: Account, now: datetime) -> dg.AssetCheckResult:
    """Whether the source stands still: it answers, and most of what is due does not come."""
    name = "source_moves"
    asked, gauges = account.asked.last, account.timeliness
    if asked is None:
        return dg.AssetCheckResult(check_name=name, passed=True, description="The API was not asked yet.")
    heard = gauges.filter(pc.greater(gauges["newest_at"], pa.scalar(cutoff(now), TIME)))
    if not len(heard):
        silent = f"The API was asked at {asked:%Y-%m-%d %H:%MZ} and shows no reading of the last 24 hours."
        return dg.AssetCheckResult(
            check_name=name, passed=not len(gauges), description=silent, metadata={"gauges": len(gauges)}
        )
    newest, moved = utc(pc.max(heard["newest_at"]).as_py()), utc(pc.max(heard["newest_seen_at"]).as_py())
    due = heard["next_due_at"].drop_null()
    overdue = pc.sum(pc.less_equal(due, pa.scalar(asked + JITTER, TIME))).as_py() or 0
    share = overdue / len(due) if len(due) else 0.0
    still = share >= (STILL_SHARE_WITHOUT_NEWS if moved < asked else STILL_SHARE) if len(due) else False
    still = still or (not len(due) and asked - newest >= STILL_AFTER)
    hours = round((asked - moved) / timedelta(hours=1), 2)
    said = f"last moved at {moved:%Y-%m-%d %H:%MZ}, {hours} hours before it was asked last"
    return dg.AssetCheckResult(
        check_name=name,
        passed=not still,
        description=(
            f"The source stands still: it answers, but {overdue:,} of {len(due):,} gauges are overdue; it {said}. "
            "Look at the API's status page; nothing is lost on our side."
            if still
            else f"The source {said}."
        ),
        metadata={
            "source_last_moved": dg.MetadataValue.timestamp(moved),
            "hours_since_it_moved": hours,
            "newest_reading": dg.MetadataValue.timestamp(newest),
            "asked_last": dg.MetadataValue.timestamp(asked),
            "gauges_heard_today": len(heard),
            "overdue": overdue,
        },
    )
