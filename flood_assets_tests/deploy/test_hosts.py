"""A machine with systemd and cron: the commands of docs/containers.md as they stand, and what they start.

The machine is a container without a network, which has a simulated country of its own. `make test-image` runs this.
"""

import re
from collections.abc import Callable, Iterator

import pytest

from flood_assets_tests.support.containers import PATIENCE_S, until
from flood_assets_tests.support.image import ROOT

pytestmark = [pytest.mark.image, pytest.mark.timeout(7200)]
PAGE = (ROOT / "docs" / "containers.md").read_text()
Machine = Callable[[str], str]

# As a process of a unit may: its user, no right, none to be had, and few calls of the system.
CONFINED = r"""
for pid in $(systemctl show --property MainPID --value 'flood-*.service'); do
  [ "$pid" = 0 ] || grep -hE '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/$pid/status | tr -s '\t ' ' '
done | sort | uniq -c"""
LAUNCH = """
cd /tmp
run() { setpriv --reuid flood --regid flood --clear-groups env HOME=/tmp DAGSTER_HOME=/var/lib/flood/dagster \\
  DAGSTER_CODE_HOST=127.0.0.1 FLOOD_LAKE_URL=/var/lib/flood/lake "$@"; }
tags=$(run /opt/flood/bin/python -c '
import dagster, json
from datetime import datetime, UTC
from flood_assets.defs.jobs import whole_day
from flood_assets.defs.windows import sync_windows
sync_windows(dagster.DagsterInstance.get(), datetime.now(UTC))
print(json.dumps(dict(whole_day(datetime.now(UTC)))))' | tail -1)
run /opt/flood/bin/dagster job launch --workspace /etc/flood/workspace.yaml --location flood_assets \\
  --job reconcile_job --tags "$tags"
"""
STATUS = """DAGSTER_HOME=/var/lib/flood/dagster /opt/flood/bin/python -c '
import dagster
wanted = dagster.RunsFilter(job_name="reconcile_job")
(found,) = dagster.DagsterInstance.get().get_run_records(wanted)
print(found.dagster_run.status.value, found.end_time)'"""
STORED = "ls /var/lib/flood/lake/readings/*/*/readings.parquet"


def commands(heading: str) -> list[str]:
    """Return the blocks of commands below a heading of the page."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"(?:^    .+\n)+", section, re.MULTILINE)


INSTALL, TIMERS, DAGSTER, ASK = commands("systemd")
(CRON,) = commands("cron")


@pytest.fixture(scope="module")
def machine(engine, image) -> Iterator[Machine]:
    with engine.machine() as made:

        def run(script: str) -> str:
            words = ("podman", "exec", "--workdir", "/flood", made, "bash", "-euc", script)
            return engine.do(*words, timeout=1800).stdout

        # Of a machine that has just started.
        until(lambda: "running" in engine.do(*_exec(made, "systemctl is-system-running"), check=False).stdout, str)
        run(INSTALL)
        run("echo FLOOD_API_URL=http://127.0.0.1:8765/flood-monitoring >> /etc/flood/flood.env")
        simulate = "/opt/flood/bin/flood-assets simulate --port 8765 --stations 500"
        run(f"systemd-run --quiet --unit simulator --setenv HOME=/tmp {simulate}")
        wait(run, "journalctl --unit simulator | grep --quiet simulating")
        yield run


def _exec(made: str, script: str) -> tuple[str, ...]:
    return ("podman", "exec", made, "sh", "-c", script)


def wait(machine: Machine, script: str) -> None:
    """Wait until a command of the machine succeeds; fail with the journal."""
    each = f"end=$((SECONDS + {PATIENCE_S})); until {script}; do [ $SECONDS -lt $end ]; sleep 0.2; done"
    machine(f"({each}) > /dev/null 2>&1 || {{ journalctl --unit 'flood-*' | tail -60 >&2; exit 1; }}")


def answered(url: str) -> str:
    return f"/opt/flood/bin/python -c 'import urllib.request as r; r.urlopen(\"http://127.0.0.1:{url}\", timeout=5)'"


@pytest.fixture(autouse=True)
def nothing_runs(machine) -> Iterator[None]:
    yield
    machine("systemctl stop 'flood-*'; rm -rf /var/lib/flood/lake")


def test_without_dagster_units_fill_and_serve_a_lake(machine):
    machine(TIMERS)
    machine("systemctl start flood-reconcile")
    wait(machine, answered("8000/readyz"))
    timers = machine("systemctl list-timers 'flood-*'")
    assert "flood-refresh.timer" in timers
    assert "flood-reconcile.timer" in timers
    assert "checks passed" in machine("journalctl --unit flood-refresh")
    assert "last refresh" in machine(ASK)
    found = machine(CONFINED)
    assert re.search(r"CapBnd: 0{16}\n", found), found
    assert re.search(r"CapEff: 0{16}\n.* NoNewPrivs: 1\n.* Seccomp: 2\n", found), found
    assert "Uid: 0 " not in found
    machine("systemctl stop flood-serve")
    assert "Result=success" in machine("systemctl show flood-serve --property Result")


def test_a_refresh_that_is_stopped_leaves_whole_windows(machine):
    machine("systemctl start --no-block flood-refresh")
    wait(machine, STORED)
    machine("systemctl stop flood-refresh")
    assert machine("systemctl show flood-refresh --property ExecMainStatus") == "ExecMainStatus=1\n"
    machine("systemctl reset-failed flood-refresh; systemctl start flood-refresh")
    assert "nothing is lost" in machine(ASK)


def test_with_dagster_a_run_under_way_ends_before_its_code_server(machine, capsys):
    machine(DAGSTER)
    wait(machine, answered("3000/server_info"))
    wait(machine, "journalctl --unit flood-dagster-code | grep --quiet 'Started Dagster code server'")
    machine(LAUNCH)
    wait(machine, STORED)
    began, stopped = map(
        float, machine("date +%s.%N; systemctl stop flood-dagster-daemon flood-dagster-code; date +%s.%N").split()
    )
    status, ended = machine(STATUS).split()
    assert status == "SUCCESS"
    assert began < float(ended) < stopped
    units = "flood-dagster-code flood-dagster-daemon"
    results = machine(f"systemctl show {units} --property Result --property ExecMainStatus").split()
    assert sorted(results) == ["ExecMainStatus=0"] * 2 + ["Result=success"] * 2
    with capsys.disabled():
        print(f"\nsystemd: the code server ended {stopped - began:.1f} s after SIGTERM, with the run")


def test_cron_refreshes(machine):
    machine(CRON)
    machine("systemctl start cron; sed -i 's#^[*]/15 #* #' /etc/cron.d/flood")
    wait(machine, "journalctl --identifier flood | grep --quiet 'checks passed'")
    machine("rm /etc/cron.d/flood")
    # A refresh takes longer than a minute where others work too.
    wait(machine, "flock --nonblock /var/lib/flood/cron.lock true")
    assert "nothing is lost" in machine(ASK)
