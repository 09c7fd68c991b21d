"""Run Dagster's daemon one loop iteration at a time, at a given moment, with its own code and settings.

Runs happen in this process, when they are launched. Dagster's clock, the project's (`FLOOD_NOW`) and that of the API
stand at the same moment, so that what Dagster records is as old as it says. The daemon's functions are Dagster's
private ones: when a new version of Dagster moves them, this module moves too.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon
from dagster._daemon.backfill import execute_backfill_iteration
from dagster._daemon.monitoring import execute_run_monitoring_iteration
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._scheduler.scheduler import launch_scheduled_runs

LOG = logging.getLogger("daemon")
SETTINGS = yaml.safe_load((Path(__file__).parents[2] / "dagster_home" / "dagster.yaml").read_text())
LAUNCHER = {"module": "dagster._core.launcher.sync_in_memory_run_launcher", "class": "SyncInMemoryRunLauncher"}


@contextmanager
def set_environment(**values: str) -> Iterator[None]:
    """Set environment variables; restore them afterwards."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class Daemon:
    """Loops of the daemon over one workspace. `restart` drops what a daemon keeps in memory between turns."""

    def __init__(self, workspace: WorkspaceProcessContext, set_clock: Callable[[datetime], object]) -> None:
        self.workspace = workspace
        self.instance = workspace.instance
        self.set_clock = set_clock
        self.restart()

    def restart(self) -> None:
        """Start another daemon over the same records."""
        self.iterations: dict = {}
        self.coordinator = QueuedRunCoordinatorDaemon(interval_seconds=1)
        self.consumer = EventLogConsumerDaemon()
        self.launched_at_once = 0

    @contextmanager
    def at(self, moment: datetime) -> Iterator[None]:
        self.set_clock(moment)
        with set_environment(FLOOD_NOW=moment.isoformat()), freeze_time(moment):
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

    def monitoring(self, moment: datetime, *, records_at: datetime) -> None:
        """Look for runs that died, at a moment of the project and of Dagster's records."""
        with self.at(moment), freeze_time(records_at):
            list(execute_run_monitoring_iteration(self.workspace, LOG))
            self.queue()

    def retries(self, moment: datetime) -> None:
        """Relaunch runs whose process died."""
        with self.at(moment):
            list(self.consumer.run_iteration(self.workspace))
            self.queue()

    def queue(self) -> None:
        """Launch queued runs as far as the pools allow; each run ends before the next turn."""
        before = None
        while (waiting := self.waiting()) and waiting != before:
            before = waiting
            list(self.coordinator.run_iteration(self.workspace))
            self.launched_at_once = max(self.launched_at_once, before - self.waiting())

    def waiting(self) -> int:
        return self.instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))

    def runs(self) -> list[dg.DagsterRun]:
        """Return the runs, oldest first."""
        return self.instance.get_runs()[::-1]


@contextmanager
def open_daemon(
    home: Path,
    api_url: str,
    lake_url: str,
    set_clock: Callable[[datetime], object],
    *,
    module: str = "flood_assets.definitions",
    settings: dict[str, Any] = SETTINGS,
) -> Iterator[Daemon]:
    """Open a daemon with the settings of `dagster_home` and its records in a folder, over an API and a lake.

    Args:
        home: where Dagster keeps its records; made when it is not there.
        api_url: where the project finds the API.
        lake_url: where it keeps the lake.
        set_clock: sets the API's clock.
        module: where the definitions are.
        settings: what Dagster reads in place of `dagster_home/dagster.yaml`.
    """
    home.mkdir(parents=True, exist_ok=True)
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name=module)
    with (
        set_environment(FLOOD_API_URL=api_url, FLOOD_LAKE_URL=lake_url),
        dg.instance_for_test(overrides=settings | {"run_launcher": LAUNCHER}, temp_dir=str(home)) as instance,
        create_test_daemon_workspace_context(
            InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(target)), instance
        ) as workspace,
    ):
        yield Daemon(workspace, set_clock)
