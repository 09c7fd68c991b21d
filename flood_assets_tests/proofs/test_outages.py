"""Test long outages of the daemon: it was down for hours, or a deploy killed a run.

Outages of the API are in `test_model.py` and in the soak's faulty days.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.launcher.base import LaunchRunContext
from dagster._grpc.types import ExecuteRunArgs

from flood_assets.partitions import partition_key, retained_windows
from flood_assets.schemas import READINGS, TABLES
from flood_assets_tests.conftest import HOUR, NOW, QUARTER, Place
from flood_assets_tests.support.country import Country
from flood_assets_tests.support.daemon import Daemon

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# What a run takes seconds for, on a machine that has no time for it.
PATIENCE_S = 240

START = NOW.replace(minute=0, second=3)


def is_the_truth(place: Place) -> bool:
    """Return True if the lake equals the API's retained day, values included."""
    return Country(place.api_url).compare(place.lake, place.now).none


def jobs(runs: list[dg.DagsterRun]) -> Counter[str]:
    return Counter(run.job_name for run in runs)


@pytest.mark.parametrize("hours", [6, 30])
def test_a_daemon_that_was_away_asks_once_for_what_it_missed_and_has_the_whole_day(daemon: Daemon, place: Place, hours):
    daemon.schedules(START - timedelta(minutes=1))
    daemon.schedules(START)
    assert is_the_truth(place)
    stored = {table: lake_windows(place, table) for table in ("stations", "measures", "readings")}
    before = len(daemon.runs())

    daemon.restart()
    back = START + timedelta(hours=hours, minutes=20)
    daemon.schedules(back)
    runs = daemon.runs()[before:]
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    # Each schedule's newest tick, and none of those before it: gauges and readings, the reconcile, housekeeping.
    assert jobs(runs) == {"refresh_job": 2, "reconcile_job": 1, "housekeeping_job": 1}
    assert is_the_truth(place)
    assert [found.window for found in place.lake.windows(READINGS)][-25:] == retained_windows(back)

    daemon.sensors(back)
    now = place.now
    assert not place.lake.expired(now)
    for table, windows in stored.items():
        gone = windows - set(retained_windows(now))
        assert len(gone) == min(hours, 25)
        assert not gone & lake_windows(place, table)
    assert daemon.instance.get_dynamic_partitions("flood_windows") == [partition_key(w) for w in retained_windows(now)]
    assert is_the_truth(place)

    # And on it goes, without more than one tick at a time.
    before = len(daemon.runs())
    daemon.schedules(back + QUARTER)
    assert jobs(daemon.runs()[before:]) == {"refresh_job": 1}


# Dagster's own, when it looks for runs to launch again for the first time.
@pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated:DeprecationWarning")
@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGKILL])
def test_a_deploy_in_the_middle_of_a_run_holds_the_api_up_until_the_next_tick_at_most(
    daemon: Daemon, place: Place, monkeypatch, ended_by
):
    # In the last quarter of an hour: the first window of its range expires before it is launched again.
    killed_at = START.replace(minute=45)
    daemon.schedules(killed_at - QUARTER - timedelta(minutes=1))
    daemon.schedules(killed_at - QUARTER)
    daemon.retries(killed_at - QUARTER)
    broken = []
    launch_here = daemon.instance.run_launcher.launch_run

    def launch(context: LaunchRunContext) -> None:
        run = context.dagster_run
        # Once an hour the housekeeping is due too, which is of no asset.
        if broken or dg.AssetKey("readings") not in (run.asset_selection or ()):
            launch_here(context)
            return
        broken.append(run.run_id)
        _, *arguments = ExecuteRunArgs(
            context.job_code_origin, run.run_id, daemon.instance.get_ref()
        ).get_command_args()
        place.server.reset()
        place.server.set_faults([{"match": "/data/readings", "kind": "stall", "seconds": 600, "times": 0}])
        end_when_it_waits([sys.executable, "-m", "dagster", *arguments], place, ended_by)
        place.server.set_faults([])

    monkeypatch.setattr(daemon.instance.run_launcher, "launch_run", launch)
    daemon.schedules(killed_at)
    (run,) = broken
    daemon.restart()

    daemon.schedules(killed_at + QUARTER)
    # The run that died was a process of its own, which Dagster records with the machine's clock.
    daemon.monitoring(killed_at + QUARTER, records_at=datetime.now(UTC) + timedelta(minutes=10))
    if ended_by == signal.SIGKILL:
        assert status(daemon, run) == dg.DagsterRunStatus.STARTED
        assert daemon.waiting()
        daemon.monitoring(killed_at + QUARTER, records_at=datetime.now(UTC) + QUARTER)
    # On SIGTERM it had the time to say so itself, and the API was free at once.
    assert status(daemon, run) == dg.DagsterRunStatus.FAILURE
    assert not daemon.waiting()
    # Only a run whose process died without a word is launched again; for the other the next tick did what it left.
    daemon.retries(killed_at + HOUR)
    again = [other.root_run_id for other in daemon.runs() if other.parent_run_id]
    assert again == ([run] if ended_by == signal.SIGKILL else [])
    assert {other.status for other in daemon.runs() if other.run_id != run} == {dg.DagsterRunStatus.SUCCESS}
    assert place.reconcile().success
    assert is_the_truth(place)


def end_when_it_waits(command: list[str], place: Place, ended_by: signal.Signals) -> None:
    """Start a run and end it while it waits for readings; if it does not end, say where it is, and kill it."""
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONFAULTHANDLER": "1"}
    with subprocess.Popen(command, env=environ) as process:
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not place.server.stats().get("/data/readings latest"):
                assert process.poll() is None, f"the run ended by itself, with {process.returncode}"
                assert time.monotonic() < deadline, f"the run asked for no readings within {PATIENCE_S} s"
                time.sleep(0.05)
            # Python drops what a signal raises while a finalizer runs: who is not heard says it again.
            while process.poll() is None and time.monotonic() < deadline:
                process.send_signal(ended_by)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(30)
            if process.poll() is None:
                # It writes the traceback of each thread to stderr.
                process.send_signal(signal.SIGABRT)
                pytest.fail(f"the run went on after {ended_by.name} until {PATIENCE_S} s; stderr has its traceback")
        finally:
            # Whatever happens here, the next test meets no run that still writes.
            process.kill()


def status(daemon: Daemon, run_id: str) -> dg.DagsterRunStatus:
    return daemon.instance.get_run_by_id(run_id).status


def lake_windows(place: Place, table: str) -> set[datetime]:
    return {found.window for found in place.lake.windows(TABLES[table])}
