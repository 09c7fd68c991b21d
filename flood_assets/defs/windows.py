"""Hourly windows as Dagster partitions, and the windows that a run is asked for.

Dagster's partitions are the retained windows and no others: `sync_windows` adds the hour that has begun and removes
those that have expired, wherever runs are requested. Of the definitions that Dagster offers, only dynamic ones can lose
a partition; docs/architecture.md says what the others break. The windows themselves, without Dagster, are in
`flood_assets.partitions`.
"""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from flood_assets.defs import dagster_storage
from flood_assets.errors import FloodAssetsError
from flood_assets.partitions import (
    RETENTION,
    WINDOW,
    cutoff,
    is_expired,
    partition_key,
    retained_windows,
    window_of,
    window_of_key,
    windows_between,
)
from flood_assets.schemas import TABLES

# The name of the partitions in Dagster's instance.
WINDOWS = "flood_windows"


class _OldestFirst(frozenset[str]):
    """Keys that are iterated from the oldest window to the newest.

    Dagster records the materializations of a run in this order and shows the last one as the asset's latest, which
    from a plain set is any of the day.
    """

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(super().__iter__()))

    def __bool__(self) -> bool:
        # Dagster replaces an empty set that is false by one of its own.
        return True

    def __or__(self, other: AbstractSet[Any]) -> "_OldestFirst":
        return _OldestFirst(super().__or__(other))


class WindowsDefinition(dg.DynamicPartitionsDefinition):
    """Dynamic partitions whose keys say by themselves which they are and what lies between two of them.

    Dagster would ask its instance: a run that waited in the queue would fail for the first window of its range when
    that has expired meanwhile, and no asset could be loaded without an instance.
    """

    def has_partition_key(self, partition_key: str, *_: Any, **__: Any) -> bool:
        """Return True for the key of any window."""
        with suppress(ValueError):
            return bool(window_of_key(partition_key))
        return False

    def get_partition_keys_in_range(self, partition_key_range: dg.PartitionKeyRange) -> Sequence[str]:
        """Return the keys of the windows from the first to the last of a range."""
        first, last = (window_of_key(key) for key in (partition_key_range.start, partition_key_range.end))
        return [partition_key(window) for window in windows_between(first, last)]

    def empty_subset(self) -> Any:
        """Return the subset without keys, to which Dagster adds those of a run."""
        empty: Any = super().empty_subset()
        return type(empty)(_OldestFirst())


hourly_windows = WindowsDefinition(name=WINDOWS)

_TABLES = frozenset(dg.AssetKey(name) for name in TABLES)

# Tags of a run over several windows.
FIRST, LAST = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"

# A run may wait this long in the queue, or for its retry, without failing for the windows that expire meanwhile.
GRACE = timedelta(hours=1)


class WindowError(FloodAssetsError):
    """A run asks for a window that neither the API nor the lake keeps."""


def sync_windows(instance: dg.DagsterInstance, now: datetime) -> None:
    """Make Dagster's partitions the retained windows, oldest first.

    Expired windows stay, a day at most, until a backfill of our tables has finished: Dagster fails a backfill whose
    partitions are removed. The one that has just expired stays as long as a run over it is under way or failed, for
    Dagster's daemon cannot launch a run again whose range begins with a partition that is gone.
    """
    known = instance.get_dynamic_partitions(WINDOWS)
    retained = [partition_key(window) for window in retained_windows(now)]
    # A tick that is evaluated late must not remove the window that has begun meanwhile.
    allowed = {*retained, partition_key(window_of(now) + WINDOW)}
    outside = {key for key in known if key not in allowed and key >= partition_key(cutoff(now) - RETENTION)}
    if outside and dagster_storage.backfills_under_way(instance, _TABLES):
        allowed |= outside
    last_expired = partition_key(window_of(cutoff(now - GRACE)))
    if last_expired in outside and instance.get_runs(_unfinished_from(last_expired), limit=1):
        allowed.add(last_expired)
    kept = [key for key in known if key in allowed]
    added = [key for key in retained if key not in known]
    if kept + added != sorted(kept + added):
        # The clock was set back. Dagster's ranges follow the order in which keys were added.
        kept, added = [], sorted(kept + added)
    for key in known:
        if key not in kept:
            instance.delete_dynamic_partition(WINDOWS, key)
    if added:
        dagster_storage.add_partitions(instance, WINDOWS, added)


def _unfinished_from(key: str) -> dg.RunsFilter:
    done = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED)
    return dg.RunsFilter(statuses=[each for each in dg.DagsterRunStatus if each not in done], tags={FIRST: key})


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
