"""The ledger as an asset: what was to be expected of each gauge in each hour, what came, and why the rest did not.

How it is counted is in `flood_assets.ledger`; what is judged of it, in `flood_assets.checks`.
"""

from collections.abc import Iterator

import dagster as dg
import pyarrow.compute as pc

from flood_assets.assets.common import asked_windows, in_the_lake, retained_of
from flood_assets.checks import COMPLETENESS_CHECKS, judge_account
from flood_assets.explain import explained
from flood_assets.ledger.account import CAUSES, Account, take
from flood_assets.partitions import partition_key
from flood_assets.resources import Clock, LakeResource
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

    Keyed by `measure_id` inside a window. Silent: the API had none when it was due. Not due: the gauge usually reports
    later. Not fetched: our fault. A window whose counts stay is not written again.
    """
    with explained():
        windows = asked_windows(context)
        now = clock.now()
        retained_of(windows, now)
        account = take(lake.open(), now)
    if account.lost:
        context.log.warning("%d windows of readings are damaged: they count as not fetched", len(account.lost))
    for window, counts in account.windows.items():
        if window in windows:
            sums = {name: pc.sum(counts[name]).as_py() or 0 for name in _TOLD}
            context.add_asset_metadata(sums, partition_key=partition_key(window))
    totals = account.totals()
    context.log.info(", ".join(f"{name} {totals[name]:,}" for name in _TOLD))
    yield dg.MaterializeResult(value=account, check_results=list(judge_account(account, now)))
