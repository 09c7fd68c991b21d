"""Test that Dagster's records are as large after thirty days as after ten.

A day is one real run (a snapshot on one, a cleanup on the next), one that failed, one that was
cancelled, and a backfill of each end; then housekeeping, at the simulated time. How many of them a day has changes how
much is kept, not whether it grows: days with all their ticks are lived in `soak`.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.test_utils import create_run_for_test, freeze_time

from flood_assets.definitions import defs
from flood_assets.defs.housekeeping import HousekeepingConfig, prune
from flood_assets.partitions import partition_key, window_of
from flood_assets_tests.conftest import HOUR, NOW, Place
from flood_assets_tests.support import records
from flood_assets_tests.support.daemon import set_environment

DAY = timedelta(days=1)
EARLY, LATE = 10, 30
KEPT = HousekeepingConfig(keep_days=3, keep_failures_days=7)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def alone(place: Place, home: Path) -> Iterator[Place]:
    """Return a place with its own Dagster instance on disk."""
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        place.instance = instance
        yield place


def live_a_day(place: Place, number: int) -> None:
    # So that the window of yesterday's snapshot has expired at the cleanup.
    now = NOW + number * DAY + (3 * HOUR if number % 2 else timedelta())
    instance = place.at(now).instance
    with freeze_time(now):
        assert cleanup(place) if number % 2 else snapshot(place)
        instance.report_run_failed(create_run_for_test(instance, job_name="refresh_job", tags={"day": str(number)}))
        instance.report_run_canceled(create_run_for_test(instance, job_name="refresh_job", tags={"day": str(number)}))
        for end in (BulkActionStatus.COMPLETED_SUCCESS, BulkActionStatus.CANCELED, BulkActionStatus.FAILED):
            instance.add_backfill(backfill(instance, f"{end.value} {number}", now).with_status(end))
        prune(instance, now, KEPT)


def snapshot(place: Place) -> bool:
    key = partition_key(window_of(place.now))
    tags = {"dagster/asset_partition_range_start": key, "dagster/asset_partition_range_end": key}
    return run(place, "refresh_job", asset_selection=[dg.AssetKey("measures")], tags=tags)


def cleanup(place: Place) -> bool:
    return run(place, "retention_job")


def run(place: Place, job: str, **asked) -> bool:
    """Run a job of the definitions as they are: Dagster keeps a snapshot of each that it has not seen before."""
    settings = {"FLOOD_API_URL": place.api_url, "FLOOD_LAKE_URL": place.lake_url, "FLOOD_NOW": place.now.isoformat()}
    with set_environment(**settings):
        return defs().resolve_job_def(job).execute_in_process(instance=place.instance, **asked).success


def backfill(instance: dg.DagsterInstance, name: str, now: datetime) -> PartitionBackfill:
    return PartitionBackfill.from_asset_partitions(
        backfill_id=name[-32:],
        asset_graph=defs().resolve_asset_graph(),
        partition_names=[partition_key(window_of(now))],
        asset_selection=[dg.AssetKey("measures")],
        backfill_timestamp=now.timestamp(),
        tags={"day": name},
        dynamic_partitions_store=instance,
        all_partitions=False,
        title=None,
        description=None,
        run_config=None,
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_after_thirty_days_dagster_and_the_lake_keep_no_more_than_after_ten(alone, home, tmp_path):
    for number in range(EARLY):
        live_a_day(alone, number)
    rows, files, lake = records.rows(home), records.files(home), records.size(tmp_path / "lake")
    assert {"runs.runs", "runs.run_tags", "runs.bulk_actions", "runs.backfill_tags"} <= (+rows).keys()
    assert {"index.event_logs", "index.asset_check_executions", "run.event_logs"} <= (+rows).keys()
    for number in range(EARLY, LATE):
        live_a_day(alone, number)
    assert records.rows(home) == rows
    grown = {name: (files[name], size) for name, size in records.files(home).items() if size > 1.05 * files[name]}
    assert not grown
    assert records.size(tmp_path / "lake") == lake
