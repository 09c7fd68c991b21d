"""The ledger as assets: completeness per measure and hour, and the timeliness of each measure.

The counting is in `flood_assets.ledger`, the checks in `flood_assets.defs.checks.completeness`.

Both tables have hourly windows like the others, but Dagster sees each as a whole: all retained windows are always
counted, and an event for each window of each run would be as many records as those of the readings.
"""

from collections.abc import Iterator

import dagster as dg
import pyarrow.compute as pc

from flood_assets.defs.assets.tables import check_specs, computed, stored_with
from flood_assets.defs.charts import table
from flood_assets.defs.checks.completeness import COMPLETENESS_CHECKS, judge_account
from flood_assets.defs.failures import explained
from flood_assets.defs.resources import Clock, LakeResource
from flood_assets.ledger.account import CAUSES, Account, take
from flood_assets.partitions import partition_key
from flood_assets.schemas import COMPLETENESS, TIMELINESS
from flood_assets.words import counted

_COUNTS = ("expected", "received", "late", "missing", *CAUSES)
_COUNTED_FROM = ["readings", "measures"]


@computed(
    COMPLETENESS,
    deps=_COUNTED_FROM,
    # In this step and not in one of their own: the account is at hand here.
    check_specs=check_specs("completeness", COMPLETENESS_CHECKS),
)
def completeness(
    context: dg.AssetExecutionContext, lake: LakeResource, clock: Clock
) -> Iterator[dg.MaterializeResult[Account]]:
    """Count readings expected, received, late and missing per measure and hour, with the cause of each gap.

    Keyed by `measure_id` inside an hourly window. Silent: the API had no reading when one was due. Not due: the gauge
    usually reports later. Not fetched: our fault. A window whose counts are unchanged is not written again. Loaded
    through Dagster, it covers all retained windows.
    """
    with explained():
        now = clock.now()
        account = take(lake.open(), now)
    if account.lost:
        lost = counted(len(account.lost), "damaged window")
        context.log.warning("%s of readings: what was in them counts as not fetched", lost)
    totals = account.totals()
    context.log.info(", ".join(f"{name} {totals[name]:,}" for name in _COUNTS))
    hours = [
        (partition_key(window), *(pc.sum(counts[name]).as_py() or 0 for name in _COUNTS))
        for window, counts in account.windows.items()
    ]
    yield dg.MaterializeResult(
        value=account,
        metadata={**{name: totals[name] for name in _COUNTS}, "hours": table(["window", *_COUNTS], hours)},
        check_results=list(judge_account(account, now)),
    )


timeliness = stored_with(
    "completeness",
    TIMELINESS,
    "The usual delay of each measure, its newest reading and the time at which the next one is due.",
    deps=_COUNTED_FROM,
)
