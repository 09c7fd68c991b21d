"""What tests of the Dagster layer share: a simulated country over HTTP, a lake in a folder, a Dagster instance.

`Place` holds the three together at a moment that the test sets.
"""

import functools
import gc
import itertools
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import dagster as dg
import hypothesis
import pytest

from flood_assets import settings
from flood_assets.definitions import build_defs
from flood_assets.defs.jobs import refresh_requests, whole_day
from flood_assets.defs.resources import Clock, LakeResource, Source
from flood_assets.defs.windows import FIRST, LAST, sync_windows
from flood_assets.lake.lake import Lake
from flood_assets.partitions import partition_key, window_of
from flood_assets.simulator import Server, Simulator, serve
from flood_assets_tests.support.daemon import Daemon, open_daemon
from flood_assets_tests.support.filled_once import filled_once
from flood_assets_tests.support.quick_dagster import answers_kept, copy_folder, copy_records

if TYPE_CHECKING:
    from flood_assets_tests.support.postgresql import Pair
    from flood_assets_tests.support.s3 import S3Server

NOW = datetime(2026, 10, 15, 9, 7, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
QUARTER = timedelta(minutes=15)

_OURS = (
    "FLOOD_API_URL",
    "FLOOD_LAKE_URL",
    "FLOOD_NOW",
    "FLOOD_EMF",
    "FLOOD_ARCHIVE",
    "FLOOD_PUBLISH",
    "FLOOD_PUBLISH_SECRET",
    "FLOOD_KAFKA_USERNAME",
    "FLOOD_KAFKA_PASSWORD",
    "DAGSTER_HOME",
    "PGHOST",
    "PGPASSWORD",
    "PGSERVICE",
    "PGUSER",
    "COLUMNS",
)
# What is left out but where `-m` speaks of it, and which command runs it.
_LEAVE_OUT = {
    "s3": "need a real S3: `make test-s3`",
    "long": "need more time: `make test-long`",
    "deploy": "need Terraform: `make test-deploy`",
    "image": "build an image for containers: `make test-image`",
}
_LEFT_OUT = pytest.StashKey[dict[str, int]]()
_numbers = itertools.count()

# jsonschema compiles a grammar of international addresses, for a format that nothing here has: four seconds.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

# Hypothesis fails an example that takes over 200 ms, which depends on the machine and on what else it does.
hypothesis.settings.register_profile("any_speed", deadline=None)
hypothesis.settings.load_profile("any_speed")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat the tests of several writers as often as FLOOD_REPEAT says: what is lost in a race is lost seldom."""
    times = int(os.environ.get("FLOOD_REPEAT") or 1)
    if times > 1 and metafunc.definition.get_closest_marker("races"):
        metafunc.fixturenames.append("repetition")
        metafunc.parametrize("repetition", range(times))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Start one process more than there are processors: some wait for servers, browsers and children at any time."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a real S3 or much time, unless `-m` speaks of it: the suite is the same on every machine."""
    left_out = {
        marker: [item for item in items if item.get_closest_marker(marker)]
        for marker in _LEAVE_OUT
        if marker not in config.option.markexpr
    }
    for found in left_out.values():
        config.hook.pytest_deselected(items=found)
    config.stash[_LEFT_OUT] = {marker: len(found) for marker, found in left_out.items() if found}
    gone = {id(item) for found in left_out.values() for item in found}
    items[:] = [item for item in items if id(item) not in gone]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave what all tests share out of later garbage collections: each would walk over half a million objects."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for marker, count in config.stash.get(_LEFT_OUT, {}).items():
        terminalreporter.line(f"{count} tests were left out that {_LEAVE_OUT[marker]}, or -m {marker}")


@pytest.fixture(scope="session")
def ceph_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator["S3Server"]:
    """A real S3 server; see `flood_assets_tests.support.ceph`."""
    from flood_assets_tests.support import ceph  # noqa: PLC0415 - few tests need what it imports

    if missing := ceph.missing():
        pytest.skip(f"not installed: `apt-get install {' '.join(missing)}`, or `make test-s3`")
    with ceph.running(tmp_path_factory.mktemp("ceph")) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql() -> Iterator["Pair"]:
    """A PostgreSQL and its replica; see `flood_assets_tests.support.postgresql`."""
    from flood_assets_tests.support import postgresql  # noqa: PLC0415 - few tests need what it imports

    if (programs := postgresql.programs()) is None:
        pytest.skip("not installed: `apt-get install postgresql`")
    with postgresql.running(programs) as pair:
        yield pair


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_this_machine() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in _OURS:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def no_aws_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials and configuration of whoever runs the tests must not decide how they end."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


class StoppedClock(Clock):
    """A clock that stands still."""

    moment: str

    def now(self) -> datetime:
        return datetime.fromisoformat(self.moment)


@functools.lru_cache(maxsize=4)
def _definitions(
    api_url: str, source: tuple[tuple[str, float], ...], lake_url: str, lake: tuple[tuple[str, str], ...], now: datetime
) -> dg.Definitions:
    """The definitions of a place, once for all its runs at one moment: a job's snapshot costs as much as its run."""
    return build_defs(
        source=Source(url=api_url, **dict(source)),
        lake=LakeResource(url=lake_url, **dict(lake)),
        clock=StoppedClock(moment=now.isoformat()),
    )


class Place:
    """A country, a lake and a Dagster instance at one moment; `at` moves all three."""

    def __init__(self, server: Server, lake_url: str, instance: dg.DagsterInstance) -> None:
        self.server = server
        self.lake_url = lake_url
        self.instance = instance
        self.api_url = server.url
        self.lake_settings: dict[str, str] = {}
        self.source_settings: dict[str, float] = {"tries": 1}
        self.now = NOW
        self.at(NOW)

    def at(self, moment: datetime) -> "Place":
        self.now = moment
        self.server.set_clock(moment)
        self.server.reset()
        return self

    @property
    def clock(self) -> StoppedClock:
        return StoppedClock(moment=self.now.isoformat())

    @property
    def lake_resource(self) -> LakeResource:
        return LakeResource(url=self.lake_url, **self.lake_settings)

    @property
    def lake(self) -> Lake:
        return self.lake_resource.open()

    @property
    def defs(self) -> dg.Definitions:
        return _definitions(
            self.api_url,
            tuple(self.source_settings.items()),
            self.lake_url,
            tuple(self.lake_settings.items()),
            self.now,
        )

    def run(self, job: str, request: dg.RunRequest | None = None, **more) -> dg.ExecuteInProcessResult:
        """Run a job in this process, as a run request asks for, with the partitions that the daemon keeps."""
        sync_windows(self.instance, self.now)
        asked = {}
        if request is not None:
            asked = {
                "asset_selection": request.asset_selection,
                "partition_key": request.partition_key,
                "tags": dict(request.tags),
                "run_config": request.run_config,
            }
        return self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance, raise_on_error=False, **(asked | more)
        )

    def tick(self, *, snapshot: bool = False) -> dg.ExecuteInProcessResult:
        """What the 15-minute schedule asks for; the result of the run over the readings.

        With `snapshot` gauges and flood areas are listed first, as at the first tick of all; without, none is due.
        """
        there = [] if snapshot else [window_of(self.now)]
        for request in refresh_requests(self.now, there, there, publishes=settings.publishes()):
            result = self.run("refresh_job", request)
        return result

    def materialize(self, asset: str, first: datetime, last: datetime | None = None) -> dg.ExecuteInProcessResult:
        """What the UI's Materialize button does with a range of windows."""
        tags = {FIRST: partition_key(first), LAST: partition_key(last or first)}
        return self.run("refresh_job", asset_selection=[dg.AssetKey(asset)], tags=tags)

    def count(self) -> dg.ExecuteInProcessResult:
        """What the UI's Materialize button does with the ledger."""
        return self.run("refresh_job", asset_selection=[dg.AssetKey("completeness")])

    def reconcile(self) -> dg.ExecuteInProcessResult:
        return self.run("reconcile_job", dg.RunRequest(tags=whole_day(self.now)))

    def expire(self, *, dry_run: bool = False) -> dg.ExecuteInProcessResult:
        return self.run("retention_job", run_config={"ops": {"retention": {"config": {"dry_run": dry_run}}}})

    def materializations(self, asset: str, window: datetime) -> list[dg.AssetMaterialization]:
        """What Dagster has recorded of a window, the newest first."""
        found = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[partition_key(window)]), limit=100
        )
        return [record.asset_materialization for record in found.records]

    def requests(self) -> int:
        """How many requests the API got since the clock was set."""
        return sum(count["requests"] for count in self.server.stats().values())

    @property
    def environ(self) -> dict[str, str]:
        """The same place for a process of its own."""
        return {
            **{name: value for name, value in os.environ.items() if name not in _OURS},
            "FLOOD_API_URL": self.api_url,
            "FLOOD_LAKE_URL": self.lake_url,
            "FLOOD_NOW": self.now.isoformat(),
        }


@pytest.fixture(scope="session")
def country() -> Iterator[Server]:
    """A small country; each test sets its clock."""
    with serve(Simulator(stations=40, seed=1, now=lambda: NOW)) as server:
        yield server


@pytest.fixture(scope="session", autouse=True)
def _answers_kept() -> Iterator[None]:
    with answers_kept():
        yield


@pytest.fixture(scope="session")
def _sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as made:
        yield made


@pytest.fixture
def instance(_sqlite: dg.DagsterInstance) -> dg.DagsterInstance:
    """An instance on disk, as a local Dagster has it, without any run."""
    _sqlite.wipe()
    return _sqlite


@pytest.fixture(scope="session")
def _in_memory() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture(scope="session")
def _never_run() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def place(
    country: Server,
    tmp_path: Path,
    no_waiting: list[float],
    _in_memory: dg.DagsterInstance,
    _never_run: dg.DagsterInstance,
) -> Iterator[Place]:
    """An empty lake and an instance in memory, without any run."""
    copy_records(_never_run, _in_memory)
    yield Place(country, (tmp_path / "lake").as_uri(), _in_memory)
    country.set_faults([])


@pytest.fixture(scope="session")
def _first_tick(country: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dg.DagsterInstance]]:
    """A lake and an instance after the first tick, to be copied."""
    folder = tmp_path_factory.mktemp("first tick") / "lake"
    with dg.DagsterInstance.ephemeral() as made:
        assert Place(country, folder.as_uri(), made).tick(snapshot=True).success
        yield folder, made


@pytest.fixture(scope="session")
def demo_lake(_answers_kept: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lake that `make demo` fills, of the country's first stations, for what only reads it."""

    def fill(folder: Path) -> None:
        with serve(Simulator(stations=300, now=lambda: NOW)) as server, dg.DagsterInstance.ephemeral() as made:
            assert Place(server, (folder / "lake").as_uri(), made).tick(snapshot=True).success

    return filled_once(tmp_path_factory, "demo", fill) / "lake"


@pytest.fixture
def on_disk(place: Place, instance: dg.DagsterInstance) -> Place:
    """An empty lake and an instance on disk."""
    place.instance = instance
    return place


@pytest.fixture
def daemon(place: Place, tmp_path: Path) -> Iterator[Daemon]:
    """Dagster's daemon over the place, which gets the daemon's instance."""
    with open_daemon(tmp_path / "home", place.api_url, place.lake_url, place.at) as made:
        place.instance = made.instance
        yield made


@pytest.fixture
def filled(_first_tick: tuple[Path, dg.DagsterInstance], place: Place, tmp_path: Path) -> Place:
    """The same after the first tick."""
    folder, instance = _first_tick
    copy_folder(folder, tmp_path / "lake")
    copy_records(instance, place.instance)
    return place


@pytest.fixture
def ticked(place: Place) -> Place:
    """The same after a first tick of its own, for what the tick itself asks and tells."""
    assert place.tick(snapshot=True).success
    return place


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses before retries of a step pass at once; the list tells how long they were."""
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)

    ahead = SimpleNamespace(sleep=sleep, time=lambda: time.time() + sum(waits))
    monkeypatch.setattr("dagster._core.execution.plan.active.time", ahead)
    return waits


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """What a person reads of the step that failed; the warnings of a tick may fail beside it, for the same lake."""
    steps = {event.step_key: event for event in result.all_events if event.is_step_failure}
    (failed,) = [event for key, event in steps.items() if key != "warnings"] or steps.values()
    data = failed.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    return f"unexplained: {data.error.to_string()}"
