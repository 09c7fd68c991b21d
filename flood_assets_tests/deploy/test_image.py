"""The image for containers, built and run: `make test-image`. Each container has a read-only root and no rights."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from urllib.request import urlopen

import pytest

from flood_assets.defs.jobs import whole_day
from flood_assets_tests.support import containers
from flood_assets_tests.support.containers import answers, until
from flood_assets_tests.support.postgresql import PASSWORD, WRITER

pytestmark = [pytest.mark.image, pytest.mark.timeout(7200)]


@pytest.fixture
def place(engine, image) -> Iterator[dict]:
    """A simulated country in a container of its own, and an empty lake: what `run` needs beside a command."""
    port = containers.free_port()
    with ExitStack() as ended:
        lake = ended.enter_context(engine.volume("flood-lake"))
        simulator = ended.enter_context(engine.started("simulate", "--port", port, "--stations", "3000"))
        until(lambda: "simulating" in engine.logs(simulator), lambda: "the simulator does not start")
        yield {
            "env": {"FLOOD_API_URL": f"http://127.0.0.1:{port}/flood-monitoring"},
            "volumes": [f"{lake}:/lake"],
        }


def test_the_image_holds_what_it_should(engine, image, capsys):
    assert image["Config"]["User"] == "10001:10001"
    assert image["Config"]["Entrypoint"] == ["flood"]
    assert image["Healthcheck"]["Test"] == ["CMD", "flood", "healthy"]
    assert image["Size"] < 1_100_000_000
    look = "import os; print(os.getuid(), *(os.access(path, os.W_OK) for path in ('/', '/opt/flood', '/tmp')))"
    assert engine.run("-c", look, entrypoint="python").stdout.split() == ["10001", "False", "False", "True"]
    gone = "import importlib.util as u; print([n for n in ('pip', 'setuptools', 'pytest', 'moto') if u.find_spec(n)])"
    assert engine.run("-c", gone, entrypoint="python").stdout.strip() == "[]"
    there = "import awslambdaric, mangum, dagster_postgres, confluent_kafka, psycopg, apprise, flood_assets.definitions"
    engine.run("-c", there, entrypoint="python")
    began = time.monotonic()
    assert engine.run("--version").stdout.startswith("flood-assets")
    with capsys.disabled():
        print(f"\nimage: {image['Size'] / 1e6:.0f} MB; `--version` in {time.monotonic() - began:.1f} s")


def test_the_demo_runs_in_two_containers(engine, place, capsys):
    began = time.monotonic()
    done = engine.run("refresh", **place)
    refreshed = time.monotonic() - began
    assert "checks passed" in done.stdout
    assert engine.run("status", **place).returncode == 0
    port = containers.free_port()
    with engine.started("serve", "--port", port, **place) as server:
        alive = until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), lambda: engine.logs(server))
        until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), lambda: engine.logs(server))
        with urlopen(f"http://127.0.0.1:{port}/api/v1/latest.csv") as answer:
            assert len(answer.read().splitlines()) > 1000
        assert engine.stop(server) == 0
    with capsys.disabled():
        print(f"\nrefresh: {refreshed:.1f} s; serve answers after {alive:.1f} s")


def test_healthy_asks_the_server_of_its_container(engine, place):
    with engine.started("serve", **place) as server:
        until(lambda: answers("http://127.0.0.1:8000/healthz"), lambda: engine.logs(server))
        engine.do("podman", "exec", server, "flood", "healthy")


def test_workers_of_dask_run_our_code(engine, place, capsys):
    port = containers.free_port()
    address = f"tcp://127.0.0.1:{port}"
    ask = (
        "import sys; from distributed import Client; from flood_assets.settings import dask; "
        "client = Client(sys.argv[1], timeout=120); print(client.submit(dask, {'FLOOD_DASK': sys.argv[1]}).result(120))"
    )
    began = time.monotonic()
    with (
        engine.started("dask", "scheduler", "--host", "127.0.0.1", "--port", port, **place) as scheduler,
        engine.started("dask", "worker", address, "--nthreads", "1", **place) as worker,
    ):
        until(
            lambda: engine.do("podman", "exec", scheduler, "flood", "healthy", check=False).returncode == 0,
            lambda: engine.logs(scheduler),
        )
        assert engine.run("-c", ask, address, entrypoint="python").stdout.strip() == address
        took = time.monotonic() - began
        assert engine.stop(worker) == 0, engine.logs(worker)
        assert engine.stop(scheduler) == 0, engine.logs(scheduler)
    with capsys.disabled():
        print(f"\nDask: an answer {took:.1f} s after scheduler and worker were started")


def test_sigterm_in_the_middle_of_a_refresh_ends_it_well(engine, place):
    with engine.started("refresh", **place) as refresh:
        until(lambda: written(engine, place), lambda: engine.logs(refresh))
        assert engine.stop(refresh) == 1
        assert "the run was stopped" in engine.logs(refresh)
    assert engine.run("refresh", **place).returncode == 0
    assert engine.run("status", **place).returncode == 0


def written(engine: containers.Engine, place: dict) -> bool:
    where = engine.do("podman", "volume", "inspect", "--format", "{{.Mountpoint}}", "flood-lake").stdout.strip()
    return any(containers.Path(where).rglob("readings.parquet"))


def test_sigterm_in_the_middle_of_a_run_of_dagster_lets_the_run_end(engine, place, postgresql, capsys):
    """The code server, the daemon and the records in Postgres, as compose.yaml has them."""
    with postgresql.primary.connect("postgres") as connection:
        connection.execute(f"CREATE DATABASE dagster OWNER {WRITER}")

    def status() -> str | None:
        with postgresql.primary.connect("dagster") as connection:
            found = connection.execute("SELECT status FROM runs WHERE pipeline_name = 'reconcile_job'").fetchone()
        return found and found[0]

    settings = {
        "env": place["env"]
        | {
            "DAGSTER_PG_HOST": "127.0.0.1",
            "DAGSTER_PG_PORT": str(postgresql.primary.port),
            "DAGSTER_PG_USER": WRITER,
            "DAGSTER_PG_PASSWORD": PASSWORD,
            "DAGSTER_CODE_HOST": "127.0.0.1",
        }
    }
    with ExitStack() as ended:
        home = ended.enter_context(engine.volume("flood-dagster"))
        settings["volumes"] = [*place["volumes"], f"{home}:/dagster"]
        began = time.monotonic()
        code = ended.enter_context(engine.started("dagster", "code", **settings))
        until(
            lambda: engine.do("podman", "exec", code, "flood", "healthy", check=False).returncode == 0,
            lambda: engine.logs(code),
        )
        ready = time.monotonic() - began
        daemon = ended.enter_context(engine.started("dagster", "daemon", **settings))
        until(
            lambda: engine.do("podman", "exec", daemon, "flood", "healthy", check=False).returncode == 0,
            lambda: engine.logs(daemon),
        )
        windows = (
            "import dagster; from datetime import datetime, UTC; from flood_assets.defs.windows import sync_windows; "
            "sync_windows(dagster.DagsterInstance.get(), datetime.now(UTC))"
        )
        recorded = settings | {"env": settings["env"] | {"DAGSTER_HOME": "/etc/flood/local"}}
        engine.run("-c", windows, entrypoint="python", **recorded)
        launch = ("job", "launch", "--workspace", "/etc/flood/local/workspace.yaml", "--location", "flood_assets")
        tags = json.dumps(dict(whole_day(datetime.now(UTC))))
        engine.run("dagster", *launch, "--job", "reconcile_job", "--tags", tags, **settings)
        until(lambda: status() == "STARTED", lambda: engine.logs(daemon))
        until(lambda: written(engine, place), lambda: engine.logs(code))
        running = status()
        began = time.monotonic()
        assert engine.stop(daemon) == 0
        assert engine.stop(code) == 0
        ended_after = time.monotonic() - began
    assert running == "STARTED"
    assert status() == "SUCCESS"
    with capsys.disabled():
        print(f"\ncode server: ready after {ready:.1f} s; ended {ended_after:.1f} s after SIGTERM, with the run")
