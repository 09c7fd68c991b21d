"""What Dagster's daemon makes of the schedules, the sensor and a backfill: its own code, at a moment that is set.

Runs happen in this process, when they are launched. The daemon's functions are Dagster's private ones: when a new
version of Dagster moves them, these tests move too.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.backfill import execute_backfill_iteration
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._scheduler.scheduler import launch_scheduled_runs

from flood_assets.definitions import defs
from flood_assets.partitions import partition_key, retained_windows
from flood_assets.schemas import MEASURES, READINGS
from flood_assets_tests.conftest import HOUR, NOW, Place
from flood_assets_tests.forked import Kill, Order, forker

pytestmark = pytest.mark.slow

LOG = logging.getLogger("daemon")
SETTINGS = yaml.safe_load((Path(__file__).parents[1] / "dagster_home" / "dagster.yaml").read_text())
LAUNCHER = {"module": "dagster._core.launcher.sync_in_memory_run_launcher", "class": "SyncInMemoryRunLauncher"}


class Daemon:
    """The daemon's loops, one turn at a time."""

    def __init__(self, place: Place, workspace: WorkspaceProcessContext, patch: pytest.MonkeyPatch) -> None:
        self.place = place
        self.workspace = workspace
        self.instance = workspace.instance
        self.patch = patch
        self.iterations: dict = {}
        self.coordinator = QueuedRunCoordinatorDaemon(interval_seconds=1)
        self.launched_at_once = 0

    @contextmanager
    def at(self, moment: datetime) -> Iterator[None]:
        self.place.at(moment)
        self.patch.setenv("FLOOD_NOW", moment.isoformat())
        with freeze_time(moment):
            yield

    def schedules(self, moment: datetime) -> None:
        with self.at(moment):
            list(launch_scheduled_runs(self.workspace, LOG, moment, self.iterations))
            self.queue()

    def sensors(self, moment: datetime) -> None:
        with self.at(moment):
            list(execute_sensor_iteration(self.workspace, LOG, None, None))
            self.queue()

    def backfills(self, moment: datetime) -> None:
        with self.at(moment):
            list(execute_backfill_iteration(self.workspace, LOG))
            self.queue()

    def queue(self) -> None:
        """Launch what is queued, as far as the pools let it; each run has ended before the next turn."""
        before = None
        while (waiting := self.waiting()) and waiting != before:
            before = waiting
            list(self.coordinator.run_iteration(self.workspace))
            self.launched_at_once = max(self.launched_at_once, before - self.waiting())

    def waiting(self) -> int:
        return self.instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))

    def runs(self) -> list[dg.DagsterRun]:
        """The oldest first."""
        return self.instance.get_runs()[::-1]


@pytest.fixture
def daemon(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    monkeypatch.setenv("FLOOD_API_URL", place.api_url)
    monkeypatch.setenv("FLOOD_LAKE_URL", place.lake_url)
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name="flood_assets.definitions")
    home = tmp_path / "home"
    home.mkdir()
    with dg.instance_for_test(overrides=SETTINGS | {"run_launcher": LAUNCHER}, temp_dir=str(home)) as instance:
        place.instance = instance
        with create_test_daemon_workspace_context(
            InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(target)), instance
        ) as workspace:
            yield Daemon(place, workspace, monkeypatch)


def test_ticks_launch_the_snapshot_and_the_readings_and_a_missed_tick_does_no_harm(daemon):
    start = NOW.replace(minute=59, second=0, hour=8)
    daemon.schedules(start)
    assert not daemon.runs()

    daemon.schedules(start + timedelta(minutes=1, seconds=3))
    assert [run.status for run in daemon.runs()] == [dg.DagsterRunStatus.SUCCESS] * 2
    assert [sorted(key.to_user_string() for key in run.asset_selection) for run in daemon.runs()] == [
        ["measures", "stations"],
        ["completeness", "readings"],
    ]
    lake = daemon.place.lake
    assert [found.window for found in lake.windows(READINGS)] == retained_windows(daemon.place.now)

    # The same tick again, as after a daemon that was started anew.
    daemon.schedules(start + timedelta(minutes=1, seconds=20))
    assert len(daemon.runs()) == 2

    # A daemon that slept over three ticks and a full hour.
    daemon.schedules(start + timedelta(minutes=77))
    assert all(run.status == dg.DagsterRunStatus.SUCCESS for run in daemon.runs())
    assert lake.windows(MEASURES)[-1].window == NOW.replace(hour=10, minute=0, second=0)
    now = daemon.place.now
    held = {(row["measure_id"], row["date_time"]) for row in lake.read(READINGS, now=now).to_pylist()}
    shown = {(row.measure, row.time) for row in daemon.place.server.truth(now - 24 * HOUR, now)}
    assert held == shown


def test_the_sensor_launches_a_cleanup_when_there_is_something_to_clean_up(daemon):
    assert daemon.place.tick(snapshot=True).success
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


def test_a_backfill_of_the_whole_day_is_one_run_and_two_requests(daemon):
    with daemon.at(NOW):
        backfill = PartitionBackfill.from_asset_partitions(
            backfill_id="day",
            asset_graph=defs.resolve_asset_graph(),
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
    for number in range(4):
        daemon.backfills(NOW + timedelta(seconds=number))
    (run,) = daemon.runs()
    assert run.status == dg.DagsterRunStatus.SUCCESS
    assert daemon.instance.get_backfill("day").status == BulkActionStatus.COMPLETED_SUCCESS
    assert daemon.instance.get_materialized_partitions(dg.AssetKey("readings")) == {
        partition_key(window) for window in retained_windows(NOW)
    }


@pytest.mark.timeout(400)
def test_a_run_whose_process_was_killed_does_not_keep_the_next_tick_waiting(daemon):
    """Nobody tells Dagster of the end of a run in the terminal, or of any when the whole machine went down."""
    daemon.schedules(NOW.replace(minute=59, second=0, hour=8))
    daemon.schedules(NOW.replace(minute=0, second=1))
    settings = {**daemon.place.at(NOW).environ, "DAGSTER_HOME": daemon.instance.root_directory}
    with forker(daemon.place.environ) as processes:
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
