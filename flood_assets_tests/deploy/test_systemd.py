"""Units of systemd and lines of cron: systemd accepts them, they are confined, and they run when Dagster would."""

import re
import shutil
import subprocess
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest
from dagster._utils.schedules import cron_string_iterator

from flood_assets.cli.main import main
from flood_assets.defs.schedules import reconcile_every_6_hours, refresh_every_15_minutes
from flood_assets_tests.support.image import ROOT
from flood_assets_tests.support.programs import program

SYSTEMD = ROOT / "deploy" / "systemd"
UNITS = sorted(path.name for path in SYSTEMD.glob("flood-*.*") if path.is_file())
SERVICES = [name for name in UNITS if name.endswith(".service")]
PROGRAMS = "/opt/flood/bin"
SCHEDULES = {"refresh": refresh_every_15_minutes, "reconcile": reconcile_every_6_hours}
NOW = datetime(2026, 10, 15, 9, 7, 30, tzinfo=UTC)


def analyze(*words: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [program("systemd-analyze"), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", "TZ": "UTC", "LC_ALL": "C"},
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units, with programs that are there."""
    folder = tmp_path_factory.mktemp("systemd")
    programs = folder / "bin"
    programs.mkdir()
    for name in ("flood-assets", "dagster", "dagster-daemon", "dagster-webserver"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    shutil.copytree(SYSTEMD, folder / "units")
    for name in SERVICES:
        unit = folder / "units" / name
        unit.write_text(unit.read_text().replace(PROGRAMS, str(programs)))
    return folder / "units"


def test_there_are_units_for_those_with_dagster_and_for_those_without():
    assert {name.removeprefix("flood-") for name in UNITS} == {
        "dagster-code.service",
        "dagster-daemon.service",
        "dagster-webserver.service",
        "reconcile.service",
        "reconcile.timer",
        "refresh.service",
        "refresh.timer",
        "serve.service",
    }


def test_systemd_finds_no_fault_in_the_units(installed):
    done = analyze("verify", "--man=no", *(installed / name for name in UNITS))
    assert (done.returncode, done.stderr) == (0, "")


def test_the_units_are_confined(installed):
    done = analyze("security", "--offline=yes", "--threshold=20", *(installed / name for name in SERVICES))
    found = re.findall(r"exposure level for (\S+): ([\d.]+)", done.stdout)
    assert (done.returncode, len(found)) == (0, len(SERVICES)), found


def test_a_run_may_end_when_the_code_server_is_told_to():
    """SIGTERM to all processes would reach the run too."""
    assert "\nKillMode=mixed\n" in (SYSTEMD / "flood-.service.d" / "hardening.conf").read_text()
    assert "\nTimeoutStopSec=120\n" in (SYSTEMD / "flood-dagster-code.service").read_text()


@pytest.mark.parametrize("name", SERVICES)
def test_each_unit_starts_a_command_that_exists(name):
    (command,) = re.findall(rf"^ExecStart={PROGRAMS}/(.+)$", (SYSTEMD / name).read_text(), re.MULTILINE)
    program, word, *_ = command.split()
    if program == "flood-assets":
        assert word in main.commands
    else:
        # As in the image: the one workspace is installed as /etc/flood/workspace.yaml.
        assert (
            program
            == {"code": "dagster", "daemon": "dagster-daemon", "webserver": "dagster-webserver"}[
                name.removeprefix("flood-dagster-").removesuffix(".service")
            ]
        )


@pytest.mark.parametrize("name", SCHEDULES)
def test_timers_elapse_when_the_schedules_of_dagster_tick(name):
    (calendar,) = re.findall(r"^OnCalendar=(.+)$", (SYSTEMD / f"flood-{name}.timer").read_text(), re.MULTILINE)
    done = analyze("calendar", "--iterations=9", f"--base-time={NOW:%Y-%m-%d %H:%M:%S}", calendar)
    assert done.returncode == 0, done.stderr
    elapses = re.findall(r"(?:Next elapse|Iter\. #\d+): \w+ (\S+ \S+) UTC", done.stdout)
    ticks = cron_string_iterator(NOW.timestamp(), SCHEDULES[name].cron_schedule, "UTC")
    expected = [f"{tick:%Y-%m-%d %H:%M:%S}" for tick in islice(ticks, 10) if tick > NOW]
    assert elapses == expected[:9]


def test_cron_runs_when_the_schedules_of_dagster_tick():
    lines = re.findall(
        r"^(\S+ \S+ \S+ \S+ \S+)\s+flood\s.* /opt/flood/bin/flood-assets (\w+) ",
        (SYSTEMD / "flood.cron").read_text(),
        re.MULTILINE,
    )
    assert {name: times for times, name in lines} == {name: each.cron_schedule for name, each in SCHEDULES.items()}
