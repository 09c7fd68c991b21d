"""Hourly windows as Dagster partitions, and the windows that a run is asked for.

The windows themselves, without Dagster, are in `flood_assets.partitions`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from flood_assets.errors import FloodAssetsError
from flood_assets.partitions import is_expired, partition_key, retained_windows, window_of, window_of_key

# Constant on purpose: a start that rolls with the clock gives the definition a new identity each time it
# loads, and queued runs and backfills then fail on keys that no longer exist.
FIRST_WINDOW = datetime(2026, 10, 1, tzinfo=UTC)

# end_offset=1 adds the current hour, which is still filling.
hourly_windows = dg.HourlyPartitionsDefinition(start_date=partition_key(FIRST_WINDOW), timezone="UTC", end_offset=1)

# A run may wait this long in the queue, or for its retry, without failing for the windows that expire meanwhile.
GRACE = timedelta(hours=1)


class WindowError(FloodAssetsError):
    """A run asks for a window that neither the API nor the lake keeps."""


def asked_windows(context: dg.AssetExecutionContext) -> list[datetime]:
    """Return the windows of this run, oldest first; WindowError if it names none."""
    if not context.has_partition_key and not context.has_partition_key_range:
        # The Launchpad's Launch button and `dagster job execute` start such runs.
        raise WindowError(
            "this run names no windows: press Materialize and choose partitions, or run `flood-assets refresh` or "
            "`flood-assets reconcile`, which choose the last 24 hours"
        )
    return sorted(window_of_key(key) for key in context.partition_keys)


def retained_of(windows: Sequence[datetime], now: datetime) -> list[datetime]:
    """Return the windows without those that expired while the run waited in the queue.

    Raises:
        WindowError: a window has expired before that, or is yet to come.
    """
    outside = [window for window in windows if is_expired(window, now) or window > window_of(now)]
    too_late = [window for window in outside if is_expired(window, now - GRACE) or window > window_of(now)]
    if too_late or len(outside) == len(windows):
        retained = retained_windows(now)
        named = partition_key(outside[0]) + (f" and {len(outside) - 1} more" if len(outside) > 1 else "")
        raise WindowError(
            f"window {named} is not available: only the last 24 hours are kept. "
            f"Choose windows from {partition_key(retained[0])} to {partition_key(retained[-1])}."
        )
    return [window for window in windows if window not in outside]
