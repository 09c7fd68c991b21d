"""The windows that Dagster shows as partitions."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.test_utils import create_run_for_test

from flood_assets.defs.windows import FIRST, LAST, WINDOWS, hourly_windows, sync_windows
from flood_assets.partitions import partition_key, retained_windows
from flood_assets_tests.conftest import HOUR, NOW, Place

KEYS = [partition_key(window) for window in retained_windows(NOW)]
NEXT = [partition_key(window) for window in retained_windows(NOW + HOUR)]


@pytest.fixture
def known() -> Iterator[dg.DagsterInstance]:
    """An instance with the windows that are retained at NOW."""
    with dg.DagsterInstance.ephemeral() as made:
        sync_windows(made, NOW)
        yield made


def shown(instance: dg.DagsterInstance) -> list[str]:
    return list(instance.get_dynamic_partitions(WINDOWS))


def test_they_are_the_retained_windows_before_anything_ran_and_an_hour_later(known):
    assert shown(known) == KEYS
    sync_windows(known, NOW + HOUR)
    assert shown(known) == NEXT
    sync_windows(known, NOW + timedelta(days=3))
    assert shown(known) == [partition_key(window) for window in retained_windows(NOW + timedelta(days=3))]


@pytest.mark.parametrize("moment", [datetime(1990, 1, 1, tzinfo=UTC), datetime(2023, 10, 20, 12, tzinfo=UTC)])
def test_a_clock_that_is_set_back_leaves_only_its_own_day_in_order(known, moment):
    sync_windows(known, moment)
    assert shown(known) == [partition_key(window) for window in retained_windows(moment)]
    sync_windows(known, NOW)
    assert shown(known) == KEYS


def test_a_clock_that_is_set_back_by_some_hours_leaves_a_range_in_order(known):
    sync_windows(known, NOW - 5 * HOUR)
    day = [partition_key(window) for window in retained_windows(NOW - 5 * HOUR)]
    # And the hour after, which a tick that is evaluated late leaves.
    assert shown(known) == [*day, partition_key(retained_windows(NOW)[-5])]


def test_a_tick_that_is_evaluated_late_does_not_remove_the_window_that_has_begun(known):
    sync_windows(known, NOW - HOUR)
    assert KEYS[-1] in shown(known)
    assert shown(known) == sorted(shown(known))


def test_a_partition_that_a_person_added_and_that_is_no_window_goes(known):
    known.add_dynamic_partitions(WINDOWS, ["yesterday"])
    sync_windows(known, NOW)
    assert shown(known) == KEYS


def test_a_range_is_what_lies_between_its_keys_whatever_dagster_knows():
    span = dg.PartitionKeyRange(KEYS[0], KEYS[-1])
    assert hourly_windows.get_partition_keys_in_range(span) == KEYS
    assert [hourly_windows.has_partition_key(key) for key in (KEYS[0], "2026-10-14-09:30", "yesterday")] == [
        True,
        False,
        False,
    ]


def test_a_run_that_waited_in_the_queue_outlives_the_partition_of_its_first_window(place: Place):
    sync_windows(place.instance, NOW)
    place.at(NOW + HOUR)
    tags = {FIRST: KEYS[0], LAST: KEYS[-1]}
    assert place.run("refresh_job", asset_selection=[dg.AssetKey("stations")], tags=tags).success
    assert KEYS[0] not in shown(place.instance)


@pytest.mark.parametrize(("asset", "kept"), [("readings", [KEYS[0]]), ("someone_elses", [])])
def test_an_expired_window_stays_for_a_backfill_of_ours_a_day_at_most(known, asset, kept):
    known.add_backfill(
        PartitionBackfill(
            "day",
            BulkActionStatus.REQUESTED,
            from_failure=False,
            tags={},
            backfill_timestamp=NOW.timestamp(),
            asset_selection=[dg.AssetKey(asset)],
        )
    )
    sync_windows(known, NOW + HOUR)
    assert shown(known) == [*kept, *NEXT]
    sync_windows(known, NOW + 26 * HOUR)
    assert KEYS[0] not in shown(known)


@pytest.mark.parametrize(("status", "stays"), [("STARTED", True), ("FAILURE", True), ("SUCCESS", False)])
def test_the_last_expired_window_stays_for_an_hour_for_a_run_that_may_be_launched_again(known, status, stays):
    tags = {FIRST: KEYS[0], LAST: KEYS[-1]}
    create_run_for_test(known, job_name="refresh_job", status=dg.DagsterRunStatus(status), tags=tags)
    sync_windows(known, NOW + HOUR)
    assert shown(known) == ([KEYS[0], *NEXT] if stays else NEXT)
    sync_windows(known, NOW + 2 * HOUR)
    assert KEYS[0] not in shown(known)


@pytest.mark.races
def test_processes_that_add_the_windows_at_once_all_succeed(instance):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: sync_windows(instance, NOW), range(24)))
    assert shown(instance) == KEYS


def test_all_in_the_materialize_dialog_is_the_retained_day(place: Place):
    """The dialog takes the keys of the instance, from the first to the last, as one run."""
    sync_windows(place.instance, NOW)
    keys = shown(place.instance)
    assert len(keys) == 25
    result = place.run("refresh_job", asset_selection=[dg.AssetKey("readings")], tags={FIRST: keys[0], LAST: keys[-1]})
    assert result.success
    # The newest window is recorded last, for the asset's page shows its metadata and its picture as the latest.
    records = place.instance.fetch_materializations(dg.AssetKey("readings"), limit=25, ascending=True).records
    assert [record.partition_key for record in records] == keys
    assert place.instance.get_materialized_partitions(dg.AssetKey("readings")) == set(keys)
