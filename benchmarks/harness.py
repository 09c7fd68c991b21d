"""Run contestants in processes of their own, taking turns, and summarise their figures.

Memory and wall time are measured from outside (`launch`), requests and bytes by the server, and the folder is compared
with the truth afterwards (`truth`). Contestants report only how their own time divides into phases.
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
    """Tool that is measured.

    Attributes:
        name: name in the tables.
        module: module below `benchmarks.contestants`.
        options: options for its command line.
        python: interpreter that runs it.
        starts_from: folder to copy and start from; None for an empty one.
        rounds: maximum number of rounds.
        does: one-line description.
        keeps: true if it stores readings that can be compared with the truth.
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
        """Return the same contestant with another interpreter."""
        return replace(self, python=python)


@dataclass
class Run:
    """One run of one contestant; `error` is its last line of output if it failed, else empty."""

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
        """True if the run succeeded."""
        return not self.error

    def as_json(self) -> dict[str, Any]:
        """Convert to plain values for the file of measurements."""
        return asdict(self)


class Figure(NamedTuple):
    """Median, minimum and maximum of some values, and their number."""

    median: float
    low: float
    high: float
    values: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Figure":
        """Summarise at least one value."""
        seen = sorted(values)
        return cls(statistics.median(seen), seen[0], seen[-1], len(seen))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Figure:
    """Return the ratio of two medians, with the range of the ratios within each round.

    Only the rounds that both have count, so the ratio always lies within its range: if every value of ours is at most k
    times its counterpart, the median of ours is at most k times the median of theirs.

    Args:
        ours: one value a round, in the order of rounds.
        theirs: one value a round, in the order of rounds.
    """
    mine, other = in_common(ours, theirs)
    each = [a / b for a, b in zip(mine, other, strict=True)]
    return Figure(statistics.median(mine) / statistics.median(other), min(each), max(each), len(each))


def in_common(ours: Sequence[float], theirs: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """Cut two lists of one value a round to the rounds that both have."""
    rounds = min(len(ours), len(theirs))
    return ours[:rounds], theirs[:rounds]


def launched(command: Sequence[str], *, limit: int = PATIENCE_S, environ: Mapping[str, str] | None = None) -> Run:
    """Run a command from the root of the repository; `told` is the JSON of its last line of output."""
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
        error = f"timed out after {limit} s"
    elif measured.get("exit") != 0:
        error = why(failed, said) or f"exit code {measured.get('exit')}"
    else:
        try:
            told = json.loads(last_line(said))
        except ValueError:
            error = f"last line of output is not JSON: {why(said)!r}"
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
    """Return the environment variables of a contestant: without our settings, and no proxy for localhost."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FLOOD_", "DAGSTER_", "AWS_"))}
    return {**kept, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}


def why(*texts: str) -> str:
    """Return the last line of the first text that has one, without addresses and folders, fit to be published."""
    said = next((line for line in map(last_line, texts) if line), "")
    said = re.sub(r"https?://[^\s'\"]+", "(address)", said)
    for place in (str(ROOT), tempfile.gettempdir(), sys.prefix, str(Path.home())):
        said = re.sub(rf"{re.escape(place)}[^\s'\"]*/", "", said)
    return said


def last_line(text: str) -> str:
    """Return the last line that is not blank, or an empty string."""
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
    """Run a contestant once on a fresh folder."""
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
    """Return the command line of a contestant."""
    command = [contestant.python, "-m", f"benchmarks.contestants.{contestant.module}"]
    command += ["--api", url, "--out", str(out), "--now", now.isoformat(), "--gzip" if gzip else "--no-gzip"]
    return command + [f"--option={name}={value}" for name, value in contestant.options.items()]


def in_turn(
    contestants: Sequence[Contestant],
    rounds: int,
    one: Callable[[Contestant, int], Run],
    tell: Callable[[str], None],
) -> list[Run]:
    """Run each contestant once a round; one that failed is not run again.

    The order rotates from round to round, so that no contestant always follows the same one.
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
    """Round all floats to four decimals: the rest is noise and makes the file hard to read."""
    if isinstance(measured, float):
        return round(measured, 4)
    if isinstance(measured, dict):
        return {name: rounded(value) for name, value in measured.items()}
    if isinstance(measured, list | tuple):
        return [rounded(value) for value in measured]
    return measured
