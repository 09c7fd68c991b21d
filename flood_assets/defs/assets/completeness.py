"""The ledger as an asset: what was to be expected of each gauge in each hour, what came, and why the rest did not.

How it is counted is in `flood_assets.ledger`; what is judged of it, in `flood_assets.defs.checks`.

The table has hourly windows like the others, but Dagster is told of it as a whole: it is always counted for all of the
retained day, and an event for each window of each run would be as many records as the readings' own.
"""

from collections.abc import Iterator

import dagster as dg
import pyarrow.compute as pc

from flood_assets.defs.assets.common import in_the_lake
from flood_assets.defs.charts import table
from flood_assets.defs.checks import COMPLETENESS_CHECKS, judge_account
from flood_assets.defs.failures import explained
from flood_assets.defs.resources import Clock, LakeResource
from flood_assets.ledger.account import CAUSES, Account, take
from flood_assets.partitions import partition_key
from flood_assets.schemas import COMPLETENESS

_TOLD = ("expected", "received", "late", "missing", *CAUSES)


@in_the_lake(
    COMPLETENESS,
    deps=["readings"],
    # In this step and not in one of their own: the account is at hand here.
    check_specs=[
        dg.AssetCheckSpec(name=name, asset="completeness", description=description)
        for name, description in COMPLETENESS_CHECKS
    ],
)
def completeness(
    context: dg.AssetExecutionContext, lake: LakeResource, clock: Clock
) -> Iterator[dg.MaterializeResult[Account]]:
    """Of each measure and hour: readings expected, received, late and missing, and for what is missing the cause.

    Keyed by `measure_id` inside an hourly window. Silent: the API had none when it was due. Not due: the gauge usually
    reports later. Not fetched: our fault. A window whose counts stay is not written again. Loaded through Dagster, it
    is the retained day.
    """
    with explained():
        now = clock.now()
        account = take(lake.open(), now)
    if account.lost:
        context.log.warning("%d windows of readings are damaged: they count as not fetched", len(account.lost))
    totals = account.totals()
    context.log.info(", ".join(f"{name} {totals[name]:,}" for name in _TOLD))
    hours = [
        (partition_key(window), *(pc.sum(counts[name]).as_py() or 0 for name in _TOLD))
        for window, counts in account.windows.items()
    ]
    yield dg.MaterializeResult(
        value=account,
        metadata={**{name: totals[name] for name in _TOLD}, "hours": table(["window", *_TOLD], hours)},
        check_results=list(judge_account(account, now)),
    )
