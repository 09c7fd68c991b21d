"""One run of a contestant in a process of its own, many of them in turn, and what their figures come to.

Memory and wall time are taken from outside (`launch`), requests and bytes from the server, and what is in the folder
afterwards is compared with the truth (`truth`). No contestant is believed anything but how it divides its own time.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.server import ROOT, Server

LAUNCH = Path(__file__).with_name("launch.py")
PATIENCE_S = 3600


@dataclass(frozen=True)
class Contestant:
    """Who takes part.

    Attributes:
        name: as the tables call it.
        module: below `benchmarks.contestants`.
        options: for its command line.
        python: whose interpreter runs it.
        starts_from: a folder whose copy it starts from; None for an empty one.
        rounds: in how many rounds it takes part at most.
        does: one line for the reader.
        keeps: whether it stores readings that can be compared with the truth.
    """

    name: str
    module: str
    options: Mapping[str, str] = field(default_factory=dict)
    python: str = sys.executable
    starts_from: Path | None = None
    rounds: int = 1000
    does: str = ""
    keeps: bool = True

    def with_python(self, python: str) -> "Contestant":
        """The same, run by another interpreter."""
        return replace(self, python=python)


@dataclass
class Run:
    """One run of one contestant; `error` is the last line that it said when it failed, else empty."""

    contestant: str
    gzip: bool
    round: int
    wall: float
    cpu: float
    peak_mb: float
    requests: int
    bytes: int
    told: dict[str, Any]
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether it ended well."""
        return not self.error

    def as_json(self) -> dict[str, Any]:
        """For the file of measurements."""
        return asdict(self)


class Figure(NamedTuple):
    """A median and its spread: the least and the most, and of how many values."""

    median: float
    low: float
    high: float
    values: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Figure":
        """Of at least one value."""
        seen = sorted(values)
        return cls(statistics.median(seen), seen[0], seen[-1], len(seen))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Figure:
    """The ratio of two medians; its spread is that of the ratios within each round.

    Args:
        ours: one value a round, in the order of rounds.
        theirs: likewise; where one of the two has fewer rounds the others count for the median only.
    """
    each = [a / b for a, b in zip(ours, theirs, strict=False)]
    return Figure(statistics.median(ours) / statistics.median(theirs), min(each), max(each), len(each))


def launched(command: Sequence[str], *, limit: int = PATIENCE_S, environ: Mapping[str, str] | None = None) -> Run:
    """Run a command from the root of the repository; `told` is the JSON of the last line that it printed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        report, log = Path(folder, "report.json"), Path(folder, "log")
        own = {**surroundings(), "HOME": folder, **(environ or {})}
        launch = [sys.executable, "-S", str(LAUNCH), str(report), str(limit), *command]
        with log.open("wb") as errors:
            done = subprocess.run(launch, cwd=ROOT, env=own, stdout=subprocess.PIPE, stderr=errors, check=False)
        said, failed = done.stdout.decode(errors="replace"), log.read_text(encoding="utf-8", errors="replace")
        measured = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
    told: dict[str, Any] = {}
    error = ""
    if measured.get("overdue"):
        error = f"not done after {limit} s"
    elif measured.get("exit") != 0:
        error = why(failed, said) or f"ended with {measured.get('exit')}"
    else:
        try:
            told = json.loads(last_line(said))
        except ValueError:
            error = f"printed no JSON: {why(said)!r}"
    return Run(
        "",
        gzip=False,
        round=0,
        wall=measured.get("wall", 0.0),
        cpu=measured.get("cpu", 0.0),
        peak_mb=measured.get("peak_mb", 0.0),
        requests=0,
        bytes=0,
        told=told,
        error=error,
    )


def surroundings() -> dict[str, str]:
    """The environment of whoever is measured: nothing of ours is set, and no proxy is asked for this machine."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FLOOD_", "DAGSTER_", "AWS_"))}
    return {**kept, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}


def why(*texts: str) -> str:
    """The last line of the first text that has any, as it may be shown to everybody: without addresses and folders."""
    said = next((line for line in map(last_line, texts) if line), "")
    said = re.sub(r"https?://[^\s'\"]+", "(address)", said)
    for place in (str(ROOT), tempfile.gettempdir(), sys.prefix, str(Path.home())):
        said = re.sub(rf"{re.escape(place)}[^\s'\"]*/", "", said)
    return said


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def once(
    contestant: Contestant,
    server: Server,
    now: datetime,
    out: Path,
    *,
    gzip: bool,
    number: int = 0,
    limit: int = PATIENCE_S,
) -> Run:
    """Let a contestant fill a folder."""
    shutil.rmtree(out, ignore_errors=True)
    if contestant.starts_from:
        shutil.copytree(contestant.starts_from, out)
    else:
        out.mkdir(parents=True)
    server.set_clock(now)
    server.reset()
    run = launched(command_of(contestant, server.url, now, out, gzip=gzip), limit=limit)
    run.requests, run.bytes = server.counted()
    run.contestant, run.gzip, run.round = contestant.name, gzip, number
    server.set_clock(now)
    return run


def command_of(contestant: Contestant, url: str, now: datetime, out: Path, *, gzip: bool) -> list[str]:
    """How a contestant is told what to do."""
    command = [contestant.python, "-m", f"benchmarks.contestants.{contestant.module}"]
    command += ["--api", url, "--out", str(out), "--now", now.isoformat(), "--gzip" if gzip else "--no-gzip"]
    return command + [f"--option={name}={value}" for name, value in contestant.options.items()]


def in_turn(
    contestants: Sequence[Contestant],
    rounds: int,
    one: Callable[[Contestant, int], Run],
    tell: Callable[[str], None],
) -> list[Run]:
    """Round by round, each contestant once; who failed is not tried again.

    The order turns from round to round, so that nobody always comes after the same one.
    """
    runs: list[Run] = []
    failed: set[str] = set()
    for number in range(rounds):
        start = number % len(contestants)
        for contestant in [*contestants[start:], *contestants[:start]]:
            if contestant.name in failed or number >= contestant.rounds:
                continue
            run = one(contestant, number)
            runs.append(run)
            if run.ok:
                tell(f"round {number + 1}: {contestant.name}: {run.wall:.1f} s, {run.peak_mb:.0f} MB")
            else:
                failed.add(contestant.name)
                tell(f"round {number + 1}: {contestant.name} failed: {run.error}")
    return runs


def rounded(measured: Any) -> Any:
    """The same with four digits after the point: more would be noise, and a file that is too long to look at."""
    if isinstance(measured, float):
        return round(measured, 4)
    if isinstance(measured, dict):
        return {name: rounded(value) for name, value in measured.items()}
    if isinstance(measured, list | tuple):
        return [rounded(value) for value in measured]
    return measured
