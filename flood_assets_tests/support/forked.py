"""Run commands in forked processes, so that they can be killed and run concurrently.

Starting Python and Dagster takes seconds, so one process (`python -m flood_assets_tests.support.forked`) imports all
that a run needs and forks one child for each, before any thread starts. A child does exactly what `flood-assets
refresh` does. Orders are lines of JSON on stdin, each answered with one line on stdout;
`Forker` is the tests' side of it.
"""

import gc
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NoReturn

When = Literal["before", "during", "after"]

# What a run that went well may say of others: gauges are silent, a run before it was killed, nobody has cleaned up.
_JUDGING = {"fresh_measures", "source_updating", "everything_fetched", "nothing_expired"}

# A run ends within a second, and on a busy machine within a minute or two. Whoever needs longer hangs.
PATIENCE_S = 600


@dataclass(frozen=True)
class Kill:
    """Moment to kill a run: after some seconds, or at the n-th object that it writes or deletes."""

    after_s: float | None = None
    at_object: int | None = None
    when: When = "before"


@dataclass(frozen=True)
class Pace:
    """Clock shared by all processes: at `time.monotonic()` of `started` it is `moment`; `speed` times real."""

    moment: datetime
    started: float
    speed: float

    def now(self, offset: timedelta = timedelta(0)) -> datetime:
        return self.moment + (time.monotonic() - self.started) * self.speed * timedelta(seconds=1) + offset


@dataclass(frozen=True)
class Order:
    """Order for one process: its work, settings and kill.

    Attributes:
        work: a command of `flood-assets`, or a reader of `READERS`, which reads until all others have ended.
        environ: settings, on top of this machine's without ours.
        kill: moment to kill it, if any.
        pace: its clock, instead of FLOOD_NOW.
        offset_s: error of its clock.
        times: number of repetitions.
        slow_s: longest time the store takes for a write, so that writes of several runs overlap.
    """

    work: str
    environ: Mapping[str, str]
    kill: Kill | None = None
    pace: Pace | None = None
    offset_s: float = 0
    slow_s: float = 0
    times: int = 1


@dataclass(frozen=True)
class Ended:
    """End of a process: its exit code, negative for a signal; seconds it took; objects it touched; what it said."""

    work: str
    code: int
    seconds: float
    objects: int
    said: str = field(repr=False)

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL

    @property
    def failed(self) -> set[str]:
        """Return the failed steps and checks, except checks of the gauges, the past and the cleanup's delay."""
        found = set(re.findall(r"^(?:check )?(\S+)(?: of \S+)? failed:", self.said, re.MULTILINE))
        return (found - _JUDGING) or ({f"exit code {self.code}"} if self.code not in {0, 1} else set())


class Forker:
    """Client that gives orders and waits until all processes have ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, *orders: Order) -> list[Ended]:
        """Run all orders at once."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([asdict(order) for order in orders], default=str) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process that forks has ended"
        return [Ended(**one) for one in json.loads(answer)]


@contextmanager
def forker(environ: Mapping[str, str]) -> Iterator[Forker]:
    """Start a process that has imported everything and waits for orders."""
    with subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(environ),
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            yield Forker(process)
        finally:
            process.kill()


# -- in the process that forks


def _serve() -> None:
    # What a run imports and makes on its way, so that its children need not.
    import boto3  # noqa: F401, PLC0415
    import dagster as dg  # noqa: PLC0415
    import dagster._core.execution.execute_in_process  # noqa: PLC0415
    import dagster._core.execution.plan.active  # noqa: PLC0415
    import dagster._core.executor.in_process  # noqa: PLC0415
    import dagster_aws.s3  # noqa: F401, PLC0415
    import duckdb  # noqa: F401, PLC0415
    import filelock  # noqa: F401, PLC0415
    import obstore.auth.boto3  # noqa: F401, PLC0415
    import pandas as pd  # noqa: F401, PLC0415
    import pyarrow.acero  # noqa: PLC0415
    import pyarrow.dataset  # noqa: F401, PLC0415
    import requests  # noqa: F401, PLC0415

    from flood_assets import notebook  # noqa: F401, PLC0415
    from flood_assets.cli import run  # noqa: F401, PLC0415
    from flood_assets.definitions import build_defs  # noqa: PLC0415
    from flood_assets_tests.support.quick_dagster import answers_kept  # noqa: PLC0415

    with answers_kept():
        defs = build_defs()
        for name in ("refresh_job", "reconcile_job", "retention_job"):
            defs.resolve_job_def(name)
        dg.DagsterInstance.ephemeral().dispose()
        assert threading.active_count() == 1, "a thread is lost in a fork, with whatever it holds"
        # A collection in a child would touch, and so copy, all of this.
        gc.collect()
        gc.freeze()
        print("ready", flush=True)
        for line in sys.stdin:
            print(json.dumps(_all(json.loads(line))), flush=True)


@dataclass
class _Child:
    work: str
    pid: int
    started: float
    log: Path
    count: Path
    kill_at: float | None
    ended: dict[str, Any] | None = None

    def look(self) -> bool:
        """Return True if it has ended; kill it when it is time."""
        if self.ended is None:
            now = time.monotonic()
            if (self.kill_at is not None and now >= self.kill_at) or now > self.started + PATIENCE_S:
                os.kill(self.pid, signal.SIGKILL)
                _, status = os.waitpid(self.pid, 0)
            else:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if not pid:
                    return False
            said = self.log.read_text(errors="replace")
            hung = now > self.started + PATIENCE_S
            self.ended = {
                "work": self.work,
                "code": -signal.SIGALRM if hung else os.waitstatus_to_exitcode(status),
                "seconds": time.monotonic() - self.started,
                "objects": len(self.count.read_bytes()),
                "said": said if len(said) < 20_000 else f"{said[:10_000]} ... {said[-10_000:]}",
            }
        return True


def _all(orders: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fork all, wait for all; readers end when the others have."""
    with tempfile.TemporaryDirectory() as folder:
        over = Path(folder) / "over"
        children = [_fork(order, Path(folder) / str(number), over) for number, order in enumerate(orders)]
        writers = [child for child in children if child.work not in READERS]
        while waiting := [child for child in children if not child.look()]:
            if not set(map(id, waiting)) & set(map(id, writers)):
                over.touch()
            time.sleep(0.002)
        return [child.ended for child in children if child.ended]


def _fork(order: dict[str, Any], place: Path, over: Path) -> _Child:
    log, count = place.with_suffix(".log"), place.with_suffix(".count")
    # Here and not in the child, which may be killed before it comes to that.
    log.touch()
    count.touch()
    kill = order["kill"] or {}
    started = time.monotonic()
    pid = os.fork()
    if not pid:
        _child(order, log, count, over)
    after = kill.get("after_s")
    return _Child(order["work"], pid, started, log, count, None if after is None else started + after)


# -- in the forked process


def _child(order: dict[str, Any], log: Path, count: Path, over: Path) -> NoReturn:
    code = 99
    try:
        with log.open("w") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        os.environ.update(order["environ"])
        random.seed()
        _wait_for_no_retry()
        _count_objects(count, order["kill"] or {}, order["slow_s"])
        if order["pace"]:
            _keep_pace(order["pace"], timedelta(seconds=order["offset_s"]))
        if order["work"] in READERS:
            code = READERS[order["work"]](over)
        else:
            code = max(_command(order["work"]) for _ in range(order["times"]))
    except BaseException:  # noqa: BLE001 - whatever it is, the parent has to hear of it
        import traceback  # noqa: PLC0415

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _command(name: Any) -> int:
    from flood_assets.cli import run  # noqa: PLC0415

    return run.run(name)


def _wait_for_no_retry() -> None:
    """Retry failed steps at once instead of after ten seconds."""
    from dagster._core.execution.plan import active  # noqa: PLC0415

    waited: list[float] = []
    active.time = SimpleNamespace(time=lambda: time.time() + sum(waited), sleep=waited.append)


def _keep_pace(pace: dict[str, Any], offset: timedelta) -> None:
    from flood_assets import settings  # noqa: PLC0415

    clock = Pace(datetime.fromisoformat(pace["moment"]), pace["started"], pace["speed"])
    settings.now = lambda *_: clock.now(offset)


def _count_objects(count: Path, kill: Mapping[str, Any], slow_s: float) -> None:
    """Note each object that is written or deleted, take longer for it, and end at the one that was chosen."""
    from flood_assets.lake.bucket import Bucket  # noqa: PLC0415
    from flood_assets.lake.folder import Folder  # noqa: PLC0415

    target, when = kill.get("at_object"), kill.get("when")
    seen = os.open(count, os.O_WRONLY | os.O_APPEND)
    lock = threading.Lock()

    def end() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def method(*args: Any, **more: Any) -> Any:
            with lock:
                os.write(seen, b".")
                mine = os.fstat(seen).st_size == target
            if mine and when == "before":
                end()
            if mine and when == "during":
                threading.Timer(random.uniform(0, 0.004), end).start()
            if slow_s:
                time.sleep(random.uniform(0, slow_s))
            result = original(*args, **more)
            if mine and when == "after":
                end()
            return result

        return method

    for kind in (Bucket, Folder):
        for name in ("put", "delete"):
            setattr(kind, name, counted(getattr(kind, name)))


# -- readers


def _reading(over: Path, look: Callable[[datetime], dict[datetime, int]]) -> int:
    """Read repeatedly: no error, no window disappears, no settled window loses rows.

    Args:
        over: the file that says that the writers have ended; one more look is taken then.
        look: rows by window, as this reader sees them at a moment.
    """
    from flood_assets import settings  # noqa: PLC0415
    from flood_assets.partitions import WINDOW, cutoff  # noqa: PLC0415

    before: dict[datetime, int] = {}
    looks, last = 0, False
    while not last:
        last = over.exists()
        started, now = time.monotonic(), settings.now()
        found = look(now)
        # Windows that contain the cutoff, or soon will, lose rows correctly.
        settled = {window: rows for window, rows in before.items() if window > cutoff(now) + WINDOW}
        assert settled.keys() <= found.keys(), f"windows vanished: {sorted(settled.keys() - found.keys())}"
        fewer = {window: (rows, found[window]) for window, rows in settled.items() if found[window] < rows}
        assert not fewer, f"rows vanished: {fewer}"
        before = found
        looks += 1
        # It rests as long as it has looked: readers that never rest leave the writers, and the test, half a machine.
        time.sleep(0 if last else time.monotonic() - started)
    print(f"{looks} looks, {len(before)} windows, {sum(before.values())} rows")
    return 0


def _by_window(table: Any) -> dict[datetime, int]:
    """Count rows by hour of `date_time`; raise on a duplicate key."""
    import pyarrow.compute as pc  # noqa: PLC0415

    keys = table.select(["measure_id", "date_time"])
    assert len(keys) == len(keys.group_by(["measure_id", "date_time"]).aggregate([])), "a reading is there twice"
    hours = pc.floor_temporal(table["date_time"], unit="hour").value_counts()
    return {one["values"].as_py().astimezone(UTC): one["counts"].as_py() for one in hours}


def _read_lake(over: Path) -> int:
    """Read every column with `Lake.read`."""
    from flood_assets.defs.resources import LakeResource  # noqa: PLC0415
    from flood_assets.schemas import READINGS  # noqa: PLC0415

    lake = LakeResource().open()
    return _reading(over, lambda now: _by_window(lake.read(READINGS, now=now)))


def _read_notebook(over: Path) -> int:
    """Ask for the readings as a notebook does, with the gauges joined."""
    from flood_assets import query, settings  # noqa: PLC0415

    return _reading(over, lambda now: _by_window(query.readings(settings.lake_url(), now, joined=True).rows))


def _read_pyarrow(over: Path) -> int:
    """Read the folder with pyarrow's datasets: every file that does not start with a dot or an underscore."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.dataset as ds  # noqa: PLC0415

    from flood_assets.partitions import WINDOW, cutoff  # noqa: PLC0415
    from flood_assets.schemas import READINGS  # noqa: PLC0415

    where = [pa.field("date", pa.string()), pa.field("hour", pa.int32())]
    hive, schema = ds.partitioning(pa.schema(where), flavor="hive"), pa.schema([*READINGS.schema, *where])
    folder = os.environ["FLOOD_LAKE_URL"].removeprefix("file://") + "/readings"

    def look(now: datetime) -> dict[datetime, int]:
        # Windows that expire meanwhile may be deleted between listing and reading: such a reader names what it wants.
        edge = cutoff(now) + WINDOW
        wanted = (ds.field("date") > f"{edge:%Y-%m-%d}") | (
            (ds.field("date") == f"{edge:%Y-%m-%d}") & (ds.field("hour") > edge.hour)
        )
        data = ds.dataset(folder, schema=schema, format="parquet", partitioning=hive)
        return _by_window(data.to_table(filter=wanted))

    return _reading(over, look)


def _read_duckdb(over: Path) -> int:
    """Run the README's query on the windows that stay."""
    import duckdb  # noqa: PLC0415

    from flood_assets.partitions import WINDOW, cutoff, windows_between  # noqa: PLC0415

    folder = Path(os.environ["FLOOD_LAKE_URL"].removeprefix("file://"))
    connection = duckdb.connect(config={"threads": 1})

    def look(now: datetime) -> dict[datetime, int]:
        names = [
            folder / f"readings/{window:date=%Y-%m-%d/hour=%H}/readings.parquet"
            for window in windows_between(cutoff(now) + 2 * WINDOW, now)
        ]
        there = [str(name) for name in names if name.exists()]
        if not there:
            return {}
        query = "SELECT measure_id, date_time FROM read_parquet($files, hive_partitioning = true)"
        return _by_window(connection.sql(query, params={"files": there}).to_arrow_table())

    return _reading(over, look)


READERS = {
    "read the lake": _read_lake,
    "read in a notebook": _read_notebook,
    "read with pyarrow": _read_pyarrow,
    "read with DuckDB": _read_duckdb,
}


if __name__ == "__main__":
    _serve()
