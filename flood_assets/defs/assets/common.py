"""What the assets of the API have in common: how Dagster shows them, retries, and the windows that they take."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from flood_assets.defs.columns import column_schema
from flood_assets.errors import FloodAssetsError
from flood_assets.partitions import is_expired, partition_key, retained_windows, window_of, window_of_key
from flood_assets.schemas import Table

# Constant on purpose: a start that rolls with the clock gives the definition a new identity each time it
# loads, and queued runs and backfills then fail on keys that it no longer has.
FIRST_WINDOW = datetime(2026, 10, 1, tzinfo=UTC)

# end_offset=1 adds the hour that is still filling, which is the one people look at most.
hourly_windows = dg.HourlyPartitionsDefinition(start_date=partition_key(FIRST_WINDOW), timezone="UTC", end_offset=1)

GROUP = "flood"
OWNERS = ["team:hydrology"]

# One run at the API at a time: it asks its users not to crowd it.
API_POOL = "ea_api"

# The client tries each request five times by itself; this is for the run as a whole, when that was not enough.
RETRIES = dg.RetryPolicy(max_retries=1, delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)

# A range of windows is one run and not one run a window: the API gives a day in one answer.
ONE_RUN = dg.BackfillPolicy.single_run()


# A run over a range may wait this long in the queue, or for its second try, without failing for the windows that
# expire meanwhile.
PATIENCE = timedelta(hours=1)

LICENCE = (
    "Open Government Licence v3: this uses Environment Agency flood and river level data "
    "from the real-time data API (Beta)"
)


class WindowError(FloodAssetsError):
    """A window was asked for that the API and the lake do not keep."""


def asked_windows(context: dg.AssetExecutionContext) -> list[datetime]:
    """The windows of this run, oldest first.

    Raises:
        WindowError: the run names none; says what to do.
    """
    if not context.has_partition_key and not context.has_partition_key_range:
        # What the Launchpad's Launch button and `dagster job execute` give.
        raise WindowError(
            "this run names no windows: press Materialize and choose partitions, or run `flood-assets refresh` or "
            "`flood-assets reconcile`, which choose the last 24 hours"
        )
    return sorted(window_of_key(key) for key in context.partition_keys)


def retained_of(windows: Sequence[datetime], now: datetime) -> list[datetime]:
    """The windows, all of which must be retained, but for those that expired while the run waited for its turn.

    Raises:
        WindowError: some window holds no retained moment; says which can be had.
    """
    outside = [window for window in windows if is_expired(window, now) or window > window_of(now)]
    too_late = [window for window in outside if is_expired(window, now - PATIENCE) or window > window_of(now)]
    if too_late or len(outside) == len(windows):
        can = retained_windows(now)
        named = f"{partition_key(outside[0])}" + (f" and {len(outside) - 1} more" if len(outside) > 1 else "")
        raise WindowError(
            f"window {named} cannot be had: only the last 24 hours are kept. "
            f"Choose windows from {partition_key(can[0])} to {partition_key(can[-1])}."
        )
    return [window for window in windows if window not in outside]


def from_the_api(table: Table, **more: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """The decorator of an asset that is a table of the lake, filled from the API by hourly windows.

    Args:
        table: which; its columns are shown in the UI before anything was materialized.
        more: what else `dagster.asset` takes.
    """
    described = in_the_lake(table, partitions_def=hourly_windows, pool=API_POOL, retry_policy=RETRIES, **more)

    def decorated(function: Callable[..., Any]) -> dg.AssetsDefinition:
        # `@asset(backfill_policy=...)` would do the same and print a BetaWarning each time definitions load.
        return described(function).with_attributes(backfill_policy=ONE_RUN)

    return decorated


def in_the_lake(table: Table, **more: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """The decorator of an asset that is a table of the lake; arguments as `from_the_api`."""
    return dg.asset(
        group_name=GROUP,
        owners=OWNERS,
        kinds={"python", "parquet"},
        code_version="1",
        io_manager_key="lake_io",
        metadata={"dagster/column_schema": column_schema(table), "licence": LICENCE},
        **more,
    )
