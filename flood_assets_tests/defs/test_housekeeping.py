"""Pruning of Dagster's own records."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from dagster._core.test_utils import create_run_for_test, freeze_time

from flood_assets.definitions import defs
from flood_assets.defs.housekeeping import HousekeepingConfig, prune
from flood_assets.defs.windows import hourly_windows
from flood_assets.partitions import partition_key, window_of
from flood_assets_tests.conftest import HOUR, NOW, Place

TODAY = datetime(2026, 11, 1, tzinfo=UTC)


def run_of(instance: dg.DagsterInstance, days_ago: float, status: dg.DagsterRunStatus) -> str:
    with freeze_time(TODAY - timedelta(days=days_ago)):
        return create_run_for_test(instance, job_name="refresh_job", status=status).run_id


def kept(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def check_results(instance: dg.DagsterInstance) -> list:
    key = dg.AssetCheckKey(dg.AssetKey("measures"), "measures_valid")
    return instance.event_log_storage.get_asset_check_execution_history(key, limit=100)


def shown_as_materialized(place: Place, asset: str) -> set[str]:
    """What the UI shows, which comes from Dagster's cache."""
    value = get_and_update_asset_status_cache_value(
        place.instance, dg.AssetKey(asset), hourly_windows, dynamic_partitions_loader=place.instance
    )
    return set(value.deserialize_materialized_partition_subsets(hourly_windows).get_partition_keys())


def test_runs_that_ended_well_go_after_three_days_and_failures_after_fourteen():
    with dg.DagsterInstance.ephemeral() as instance:
        success, failure, cancelled = (
            dg.DagsterRunStatus.SUCCESS,
            dg.DagsterRunStatus.FAILURE,
            dg.DagsterRunStatus.CANCELED,
        )
        for days, status in ((3.1, success), (3.1, cancelled), (14.1, failure), (100, success)):
            run_of(instance, days, status)
        stay = {
            run_of(instance, days, status)
            for days, status in ((2.9, success), (2.9, cancelled), (13.9, failure), (3.1, failure))
        }
        assert prune(instance, TODAY, HousekeepingConfig()) == 4
        assert kept(instance) == stay


@pytest.mark.parametrize(
    "status",
    [
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.CANCELING,
    ],
)
def test_runs_that_have_not_ended_are_never_touched(status):
    with dg.DagsterInstance.ephemeral() as instance:
        run = run_of(instance, 50, status)
        assert prune(instance, TODAY, HousekeepingConfig()) == 0
        assert kept(instance) == {run}


def test_the_oldest_go_first_and_no_more_than_so_many_at_once():
    with dg.DagsterInstance.ephemeral() as instance:
        runs = [run_of(instance, days, dg.DagsterRunStatus.SUCCESS) for days in (9, 8, 7, 6)]
        assert prune(instance, TODAY, HousekeepingConfig(most=3)) == 3
        assert kept(instance) == {runs[-1]}


def test_failures_wait_when_other_runs_are_all_that_may_be_deleted_at_once():
    with dg.DagsterInstance.ephemeral() as instance:
        run_of(instance, 5, dg.DagsterRunStatus.SUCCESS)
        failures = {run_of(instance, days, dg.DagsterRunStatus.FAILURE) for days in (20, 30)}
        assert prune(instance, TODAY, HousekeepingConfig(most=1)) == 1
        assert kept(instance) == failures


def test_failures_that_are_still_kept_do_not_stand_in_the_way_of_what_is_due():
    with dg.DagsterInstance.ephemeral() as instance:
        failures = {run_of(instance, days, dg.DagsterRunStatus.FAILURE) for days in (10, 9, 8)}
        run_of(instance, 5, dg.DagsterRunStatus.SUCCESS)
        assert prune(instance, TODAY, HousekeepingConfig(most=2)) == 1
        assert kept(instance) == failures


def test_nothing_is_left_of_a_pruned_run_and_the_status_of_windows_is_right(on_disk):
    place, instance = on_disk, on_disk.instance
    first, second = window_of(NOW) - HOUR, window_of(NOW)
    results = [place.materialize("measures", window) for window in (first, second)]
    assert all(result.success for result in results)
    old, new = (result.run_id for result in results)
    log = instance.compute_log_manager.get_captured_local_path([old, "compute_logs", "measures"], "err")
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    Path(log).write_text("what the step printed")
    shard = Path(instance.event_log_storage.path_for_shard(old))
    assert shard.exists()
    assert shown_as_materialized(place, "measures") == {partition_key(first), partition_key(second)}
    assert {result.run_id for result in check_results(instance)} == {old, new}

    created = instance.get_run_record_by_id(new).create_timestamp
    assert prune(instance, created, HousekeepingConfig(keep_days=0)) == 1

    assert kept(instance) == {new}
    assert {result.run_id for result in check_results(instance)} == {new}
    assert not place.materializations("measures", first)
    assert not list(Path(log).parents[1].glob("*"))
    assert not list(shard.parent.glob(f"{old}*"))
    assert Path(instance.event_log_storage.path_for_shard(new)).exists()
    assert instance.get_materialized_partitions(dg.AssetKey("measures")) == {partition_key(second)}
    assert shown_as_materialized(place, "measures") == {partition_key(second)}

    # SQLite gives row numbers of deleted events to new ones, which an old cache takes for the old ones.
    third = window_of(NOW) - 2 * HOUR
    assert place.materialize("measures", third).success
    assert shown_as_materialized(place, "measures") == {partition_key(second), partition_key(third)}


def test_a_backfill_goes_when_it_is_old_and_its_runs_are_gone():
    with dg.DagsterInstance.ephemeral() as instance:
        ended = {
            name: (status, days)
            for name, status, days in (
                ("well", BulkActionStatus.COMPLETED_SUCCESS, 4),
                ("young", BulkActionStatus.COMPLETED_SUCCESS, 2),
                ("failed", BulkActionStatus.COMPLETED_FAILED, 15),
                ("failed, young", BulkActionStatus.FAILED, 4),
                ("under way", BulkActionStatus.REQUESTED, 50),
                ("with a run", BulkActionStatus.COMPLETED_SUCCESS, 5),
            )
        }
        for name, (status, days) in ended.items():
            backfill = PartitionBackfill(
                name,
                status,
                from_failure=False,
                tags={"a": "b"},
                backfill_timestamp=TODAY.timestamp() - days * 86400,
                asset_selection=[dg.AssetKey("readings")],
            )
            instance.add_backfill(backfill)
        with freeze_time(TODAY - timedelta(days=1)):
            create_run_for_test(
                instance,
                job_name="refresh_job",
                status=dg.DagsterRunStatus.SUCCESS,
                tags={"dagster/backfill": "with a run"},
            )
        prune(instance, TODAY, HousekeepingConfig())
        kept_backfills = {"young", "failed, young", "under way", "with a run"}
        assert {backfill.backfill_id for backfill in instance.get_backfills()} == kept_backfills
        prune(instance, TODAY + timedelta(days=2.5), HousekeepingConfig())
        assert {backfill.backfill_id for backfill in instance.get_backfills()} == {"failed, young", "under way"}


LABEL, OTHER = "__repository__@flood_assets", "__repository__@another"


def foreign(instance: dg.DagsterInstance, statuses: Sequence[dg.DagsterRunStatus]) -> set[str]:
    """Make old runs of another project: of its own job, of one named as ours, and of its assets in a notebook."""

    @dg.asset(check_specs=[dg.AssetCheckSpec("theirs", asset="theirs")])
    def theirs() -> dg.MaterializeResult:
        return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True)])

    runs = set()
    for status in statuses:
        with freeze_time(TODAY - timedelta(days=50)):
            for job, label in (("their_job", OTHER), ("refresh_job", OTHER), ("housekeeping_job", OTHER)):
                tags = {".dagster/repository": label}
                runs.add(create_run_for_test(instance, job_name=job, tags=tags, status=status).run_id)
            runs.add(create_run_for_test(instance, job_name="their_job", status=status).run_id)
    with freeze_time(TODAY - timedelta(days=50)):
        runs.add(dg.materialize([theirs], instance=instance).run_id)
    return runs


def test_what_another_code_location_made_stays(instance):
    others = foreign(instance, [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE])
    with freeze_time(TODAY - timedelta(days=50)):
        for job, label in (("refresh_job", LABEL), ("__ASSET_JOB", LABEL)):
            tags = {".dagster/repository": label}
            create_run_for_test(instance, job_name=job, tags=tags, status=dg.DagsterRunStatus.SUCCESS)
    run_of(instance, 50, dg.DagsterRunStatus.SUCCESS)
    theirs, ours = (dg.AssetKey(name) for name in ("theirs", "readings"))
    for name, assets in (("theirs", [theirs]), ("of both", [theirs, ours]), ("ours", [ours])):
        old = PartitionBackfill(
            name,
            BulkActionStatus.COMPLETED_SUCCESS,
            from_failure=False,
            tags={},
            backfill_timestamp=(TODAY - timedelta(days=50)).timestamp(),
            asset_selection=assets,
        )
        instance.add_backfill(old)
    assert prune(instance, TODAY, HousekeepingConfig(), LABEL) == 3
    assert kept(instance) == others
    assert {backfill.backfill_id for backfill in instance.get_backfills()} == {"theirs", "of both"}
    check = dg.AssetCheckKey(theirs, "theirs")
    assert len(instance.event_log_storage.get_asset_check_execution_history(check, limit=10)) == 1
    assert instance.get_latest_materialization_event(theirs) is not None


def test_the_runs_of_others_do_not_fill_the_limit(instance):
    with freeze_time(TODAY - timedelta(days=60)):
        for _ in range(3):
            tags = {".dagster/repository": OTHER}
            create_run_for_test(instance, job_name="refresh_job", tags=tags, status=dg.DagsterRunStatus.SUCCESS)
    ours = run_of(instance, 50, dg.DagsterRunStatus.SUCCESS)
    assert prune(instance, TODAY, HousekeepingConfig(most=1), LABEL) == 1
    assert ours not in kept(instance)


def test_what_was_left_when_it_was_killed_half_way_goes_the_next_time(instance, monkeypatch):
    old = run_of(instance, 4, dg.DagsterRunStatus.SUCCESS)
    instance.report_engine_event("something", run_id=old, job_name="refresh_job")
    shard = Path(instance.event_log_storage.path_for_shard(old))
    with monkeypatch.context() as patch:
        patch.setattr(instance.event_log_storage, "delete_events", raises(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prune(instance, TODAY, HousekeepingConfig())
    assert kept(instance) == {old}
    assert prune(instance, TODAY, HousekeepingConfig()) == 1
    assert not shard.exists()


def test_the_file_of_a_run_that_was_looked_at_after_it_was_pruned_goes_and_those_of_others_stay(instance):
    old, new = (run_of(instance, days, dg.DagsterRunStatus.SUCCESS) for days in (4, 1))
    for run in (old, new):
        instance.report_engine_event("something", run_id=run, job_name="refresh_job")
    prune(instance, TODAY, HousekeepingConfig())
    with dg.DagsterInstance.from_ref(instance.get_ref()) as another_process:
        assert not another_process.all_logs(old)
    shards = [Path(instance.event_log_storage.path_for_shard(run)) for run in (old, new)]
    assert [shard.exists() for shard in shards] == [True, True]
    assert prune(instance, TODAY, HousekeepingConfig()) == 0
    assert [shard.exists() for shard in shards] == [False, True]


def raises(error: type[BaseException]):
    def raising(*arguments) -> None:
        raise error

    return raising


def test_the_job_tells_how_many_runs_went(instance):
    for days in (9, 1):
        run_of(instance, days, dg.DagsterRunStatus.SUCCESS)
    result = (
        defs()
        .resolve_job_def("housekeeping_job")
        .execute_in_process(
            instance=instance,
            resources={},
            run_config={"ops": {"prune_runs": {"config": {"keep_days": 0.5}}}},
        )
    )
    assert result.success
    (output,) = [event for event in result.all_events if event.is_successful_output]
    assert output.step_output_data.metadata["runs_deleted"].value == 2
    assert kept(instance) == {result.run_id}
