"""What Dagster's daemon makes of the schedules, the sensor and a backfill."""

import itertools
import logging
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.scheduler.instigation import TickData, TickStatus
from dagster._core.test_utils import freeze_time
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration
from dagster._utils.error import SerializableErrorInfo

from flood_assets.definitions import defs
from flood_assets.defs.windows import sync_windows
from flood_assets.partitions import partition_key, retained_windows
from flood_assets.schemas import MEASURES, READINGS
from flood_assets_tests.conftest import HOUR, NOW
from flood_assets_tests.support.daemon import LOG, SETTINGS
from flood_assets_tests.support.forked import Kill, Order, forker

pytestmark = pytest.mark.slow


def test_ticks_launch_the_snapshot_and_the_readings_and_a_missed_tick_does_no_harm(daemon, place):
    start = NOW.replace(minute=59, second=0, hour=8)
    daemon.schedules(start)
    assert not daemon.runs()

    daemon.schedules(start + timedelta(minutes=1, seconds=3))
    assert [run.status for run in daemon.runs()] == [dg.DagsterRunStatus.SUCCESS] * 2
    assert [sorted(key.to_user_string() for key in run.asset_selection) for run in daemon.runs()] == [
        ["measures", "stations", "warning_areas"],
        ["completeness", "conditions", "readings", "warnings"],
    ]
    lake = place.lake
    assert [found.window for found in lake.windows(READINGS)] == retained_windows(place.now)

    # The same tick again, as after a daemon that was started anew.
    daemon.schedules(start + timedelta(minutes=1, seconds=20))
    assert len(daemon.runs()) == 2

    # A daemon that slept over three ticks and a full hour.
    daemon.schedules(start + timedelta(minutes=77))
    assert all(run.status == dg.DagsterRunStatus.SUCCESS for run in daemon.runs())
    assert lake.windows(MEASURES)[-1].window == NOW.replace(hour=10, minute=0, second=0)
    now = place.now
    held = {(row["measure_id"], row["date_time"]) for row in lake.read(READINGS, now=now).to_pylist()}
    shown = {(row.measure, row.time) for row in place.server.truth(now - 24 * HOUR, now)}
    assert held == shown


def test_the_sensor_launches_a_cleanup_when_there_is_something_to_clean_up(daemon, place):
    assert place.tick(snapshot=True).success
    before = len(daemon.runs())
    daemon.sensors(NOW + timedelta(seconds=10))
    assert len(daemon.runs()) == before
    daemon.sensors(NOW + timedelta(minutes=30))
    (cleanup,) = daemon.runs()[before:]
    assert (cleanup.job_name, cleanup.status) == ("retention_job", dg.DagsterRunStatus.SUCCESS)
    # Not again before another quarter of an hour has passed.
    daemon.sensors(NOW + timedelta(minutes=40))
    assert len(daemon.runs()) == before + 1
    daemon.sensors(NOW + timedelta(minutes=46))
    assert len(daemon.runs()) == before + 2


@pytest.mark.parametrize("waits", [timedelta(0), HOUR], ids=["at once", "after its first window has expired"])
def test_a_backfill_of_the_whole_day_is_one_run_and_two_requests(daemon, waits):
    with daemon.at(NOW):
        sync_windows(daemon.instance, NOW)
        backfill = PartitionBackfill.from_asset_partitions(
            backfill_id="day",
            asset_graph=defs().resolve_asset_graph(),
            partition_names=[partition_key(window) for window in retained_windows(NOW)],
            asset_selection=[dg.AssetKey("readings")],
            backfill_timestamp=NOW.timestamp(),
            tags={},
            dynamic_partitions_store=daemon.instance,
            all_partitions=False,
            title=None,
            description=None,
            run_config=None,
        )
        daemon.instance.add_backfill(backfill)
    sync_windows(daemon.instance, NOW + waits)
    for number in range(4):
        daemon.backfills(NOW + waits + timedelta(seconds=number))
    (run,) = daemon.runs()
    assert run.status == dg.DagsterRunStatus.SUCCESS
    assert daemon.instance.get_backfill("day").status == BulkActionStatus.COMPLETED_SUCCESS
    assert daemon.instance.get_materialized_partitions(dg.AssetKey("readings")) == {
        partition_key(window) for window in retained_windows(NOW)
    }


def test_runs_at_the_api_leave_the_queue_one_by_one(daemon):
    daemon.schedules(NOW.replace(minute=59, second=0, hour=8))
    daemon.schedules(NOW.replace(minute=0, second=1))
    daemon.schedules(NOW.replace(minute=59, second=0))
    before = len(daemon.runs())
    # Dagster learns of a pool when the first runs that need it leave the queue: those are not held back.
    daemon.launched_at_once = 0
    daemon.schedules(NOW.replace(minute=0, second=1) + HOUR)
    assert len(daemon.runs()) == before + 2
    assert daemon.launched_at_once == 1


def test_the_daemon_prunes_ticks_of_each_kind_by_the_ages_in_dagster_yaml(daemon, place):
    assert place.tick(snapshot=True).success
    start = NOW.replace(minute=59, second=0)
    daemon.schedules(start)
    daemon.sensors(start)
    statuses = (TickStatus.SKIPPED, TickStatus.SUCCESS, TickStatus.FAILURE)
    for state in daemon.instance.all_instigator_state():
        for days, status in itertools.product((0.5, 2, 5, 20), statuses):
            daemon.instance.create_tick(
                TickData(
                    state.instigator_origin_id,
                    state.name,
                    state.instigator_type,
                    status,
                    (start - timedelta(days=days)).timestamp(),
                    selector_id=state.selector_id,
                    run_ids=[],
                    error=SerializableErrorInfo("it failed", [], None) if status == TickStatus.FAILURE else None,
                    skip_reason="nothing to do" if status == TickStatus.SKIPPED else None,
                )
            )
    daemon.schedules(start + HOUR)
    daemon.sensors(start + HOUR)

    kept = {}
    for state in daemon.instance.all_instigator_state():
        ticks = daemon.instance.get_ticks(state.instigator_origin_id, state.selector_id)
        ages = [(tick.status, (start.timestamp() - tick.timestamp) / 86400) for tick in ticks]
        kept[state.name] = {(status, age) for status, age in ages if age > 0}
    young = set(itertools.product(statuses, (0.5, 2)))
    assert kept == {
        "refresh_every_15_minutes": young,
        "housekeeping_every_hour": young,
        # Not due in this hour: nothing was pruned.
        "reconcile_every_6_hours": set(itertools.product(statuses, (0.5, 2, 5, 20))),
        "retention_sensor": young - {(TickStatus.SKIPPED, 2)} | {(TickStatus.FAILURE, 5)},
        "landing_sensor": young - {(TickStatus.SKIPPED, 2)} | {(TickStatus.FAILURE, 5)},
    }


@pytest.mark.timeout(400)
def test_a_run_whose_process_was_killed_does_not_keep_the_next_tick_waiting(daemon, place):
    """Nobody tells Dagster of the end of a run in the terminal, or of any when the whole machine went down."""
    daemon.schedules(NOW.replace(minute=59, second=0, hour=8))
    daemon.schedules(NOW.replace(minute=0, second=1))
    settings = {**place.at(NOW).environ, "DAGSTER_HOME": daemon.instance.root_directory}
    with forker(place.environ) as processes:
        # Else the first object is one that the cleanup before it writes.
        (ended,) = processes.run(Order("expire", settings))
        assert ended.code == 0
        (ended,) = processes.run(Order("reconcile", settings, Kill(at_object=1)))
        assert ended.killed
        (ended,) = processes.run(Order("refresh", settings))
        assert ended.code == 0, "a run in the terminal waits for nobody"
    (dead,) = daemon.instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))

    daemon.schedules(NOW.replace(minute=15, second=1))
    assert daemon.waiting() == 1, "the pool is held by a run that nobody knows to be dead"
    before_the_next_tick = datetime.fromtimestamp(dead.start_time, UTC) + timedelta(minutes=15)
    with freeze_time(before_the_next_tick - timedelta(seconds=SETTINGS["run_monitoring"]["poll_interval_seconds"])):
        list(execute_run_monitoring_iteration(daemon.workspace, LOG))
    assert daemon.instance.get_run_by_id(dead.dagster_run.run_id).status == dg.DagsterRunStatus.FAILURE
    with daemon.at(NOW.replace(minute=30)):
        daemon.queue()
    assert daemon.waiting() == 0
    tick = daemon.runs()[-1]
    errors = [event for event in daemon.instance.all_logs(tick.run_id) if event.level >= logging.ERROR]
    assert tick.status == dg.DagsterRunStatus.SUCCESS, errors
