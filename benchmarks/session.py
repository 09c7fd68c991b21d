"""Run the groups of measurements of `make bench`.

Each method returns plain values for the file of measurements, from which `results` renders the page. Verdicts are in
`targets`.
"""

import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks import envs, harness, reading, truth
from benchmarks.harness import Contestant, Run
from benchmarks.server import Server

# Usual ticks: the clock moves by these minutes, one tick each.
STEPS = "15,15,15,15"


@dataclass
class Session:
    """One simulator, one moment, one folder.

    Attributes:
        server: the warm simulator.
        now: time at which its clock stands between two runs.
        folder: folder for the contestants' output; its creator deletes it.
        tell: reports progress.
        pythons: interpreters of environments by name.
        missing: contestants that could not run, with the reason.
    """

    server: Server
    now: datetime
    folder: Path
    tell: Callable[[str], None]
    pythons: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def prepare(self) -> dict[str, Any]:
        """Save the truth of the day; make a lake with gauges only and a full one."""
        self.tell(f"{self.server.stations} stations: warming the simulator, saving the truth")
        self.server.warm(self.now)
        self.note_truth()
        gauges = self._must(Contestant("gauges", "flood", {"do": "gauges"}))
        self._must(Contestant("full", "flood", {"do": "cold"}, starts_from=self.gauges))
        return {"stations": gauges["stations"], "measures": gauges["measures"], "readings": len(self._truth)}

    def note_truth(self) -> None:
        """Save the truth of the day."""
        self.server.truth(self.now, self.folder / "truth.csv")
        self._truth = truth.read_truth(self.folder / "truth.csv")

    @property
    def gauges(self) -> Path:
        """Lake with gauges only."""
        return self.folder / "gauges"

    @property
    def full(self) -> Path:
        """Full lake."""
        return self.folder / "full"

    def python(self, name: str) -> str:
        """Return the interpreter of an environment; raise `envs.MissingError` if it cannot be created."""
        if name not in self.pythons:
            self.pythons[name] = envs.python_of(name, Path(".bench") / "envs", self.tell)
        return self.pythons[name]

    def out(self, contestant: Contestant, *, gzip: bool) -> Path:
        """Return the folder of a contestant; without blanks, which some tools do not expect."""
        return self.folder / (re.sub(r"\W+", "-", contestant.name) + ("" if gzip else "-plain"))

    def fill(self, contestant: Contestant, number: int, *, gzip: bool) -> Run:
        """Run a contestant once."""
        out = self.out(contestant, gzip=gzip)
        return harness.once(contestant, self.server, self.now, out, gzip=gzip, number=number)

    def fills(
        self, contestants: Sequence[Contestant], rounds: int, *, gzip: bool
    ) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
        """Run contestants in turn; return their runs and the correctness of each one's last run."""
        self.tell(f"{'gzip' if gzip else 'no compression'}: {', '.join(one.name for one in contestants)}")

        def one(contestant: Contestant, number: int) -> Run:
            return self.fill(contestant, number, gzip=gzip)

        runs = harness.in_turn(contestants, rounds, one, self.tell)
        right = {}
        for contestant in contestants:
            mine = [run for run in runs if run.contestant == contestant.name]
            if contestant.keeps and mine and mine[-1].ok:
                right[contestant.name] = self.compare(contestant, gzip=gzip)
            shutil.rmtree(self.out(contestant, gzip=gzip), ignore_errors=True)
        return [run.as_json() for run in runs], right

    def compare(self, contestant: Contestant, *, gzip: bool) -> dict[str, Any]:
        """Compare the rows in a contestant's folder with the truth."""
        out, rows = self.out(contestant, gzip=gzip), self.folder / "rows.parquet"
        rows.unlink(missing_ok=True)
        command = [contestant.python, "-m", f"benchmarks.contestants.{contestant.module}"]
        command += ["--out", str(out), "--now", self.now.isoformat(), "--rows", str(rows)]
        run = harness.launched(command)
        if not rows.exists():
            self.tell(f"{contestant.name}: rows are not readable: {run.error}")
            return {"error": run.error}
        found = truth.compare(rows, self._truth, self.now)
        self.tell(f"{contestant.name}: recall {found.recall:.2%}, wrong {found.wrong}, duplicates {found.twice}")
        return {**found._asdict(), "recall": found.recall}

    def ticks(self, rounds: int, *, steps: str = STEPS) -> list[dict[str, Any]]:
        """Run ticks on a full lake: in each round usual ones, then a calm one."""
        told: list[dict[str, Any]] = []
        for number in range(rounds):
            for calm, minutes in ((False, steps), (True, steps.split(",", maxsplit=1)[0])):
                options = {"do": "ticks", "minutes": minutes, **({"calm": "yes"} if calm else {})}
                run = self.fill(Contestant("ticks", "flood", options, starts_from=self.full), number, gzip=True)
                if not run.ok:
                    self.tell(f"ticks failed: {run.error}")
                    self.missing["tick"] = run.error
                    return told
                told += [{**tick, "round": number, "calm": calm} for tick in run.told["ticks"]]
            self.tell(f"round {number + 1}: {len(told)} ticks so far")
        return told

    def readings(self, rounds: int, times: int) -> dict[str, Any]:
        """Run the three queries with each reader in turn."""
        river, measure = reading.chosen(self.full)
        told: dict[str, dict[str, Any]] = {}
        pythons = {}
        for engine in reading.ENGINES:
            try:
                pythons[engine] = self.python(engine) if engine in reading.ELSEWHERE else sys.executable
            except envs.MissingError as error:
                self.missing[engine] = str(error)
        for number in range(rounds):
            for engine, python in pythons.items():
                command = [python, "-m", "benchmarks.reading", engine, "--lake", str(self.full), "--times", str(times)]
                command += ["--now", self.now.isoformat(), "--river", river, "--measure", measure]
                run = harness.launched(command)
                if not run.ok:
                    self.missing[engine] = run.error
                    continue
                for question, answer in run.told.items():
                    own = told.setdefault(engine, {}).setdefault(question, {**answer, "seconds": []})
                    own["seconds"] += answer["seconds"]
            self.tell(f"round {number + 1}: read by {', '.join(told)}")
        return {"river": river, "engines": told}

    def judging(self, times: int) -> dict[str, Any]:
        """Time the flags alone, and flags with conditions."""
        self.tell("flags and conditions")
        command = [sys.executable, "-m", "benchmarks.judging", "--lake", str(self.full), "--times", str(times)]
        run = harness.launched([*command, "--now", self.now.isoformat()])
        if not run.ok:
            self.missing["judging"] = run.error
            return {}
        return run.told

    def serving(self, times: int) -> dict[str, Any]:
        """Time requests to the HTTP server, and the same answers by DuckDB."""
        self.tell("HTTP")
        command = [sys.executable, "-m", "benchmarks.serving", "--lake", str(self.full), "--times", str(times)]
        run = harness.launched([*command, "--now", self.now.isoformat()])
        if not run.ok:
            self.missing["serving"] = run.error
            return {}
        return run.told

    def publishing(self, rounds: int) -> dict[str, Any]:
        """Time publishing, and the brokers' own clients."""
        self.tell("brokers")
        command = [sys.executable, "-m", "benchmarks.publishing", "--lake", str(self.full), "--rounds", str(rounds)]
        run = harness.launched([*command, "--now", self.now.isoformat()])
        if not run.ok:
            self.missing["publishing"] = run.error
            return {}
        return run.told

    def dagster(self, ticks: int) -> dict[str, Any]:
        """Measure from the schedule tick to the finished run."""
        self.tell("Dagster's own share")
        lake = self.folder / "dagster-lake"
        shutil.rmtree(lake, ignore_errors=True)
        shutil.copytree(self.full, lake)
        command = [sys.executable, "-m", "benchmarks.dagster_share", "--api", self.server.url, "--lake", str(lake)]
        run = harness.launched([*command, "--now", self.now.isoformat(), "--ticks", str(ticks)])
        self.server.set_clock(self.now)
        if not run.ok:
            self.missing["dagster"] = run.error
            return {}
        return run.told

    def arrow_bytes(self) -> int:
        """Return the size of the day as one Arrow table: all columns, text not dictionary-encoded."""
        files = sorted(self.full.glob("readings/*/*/*.parquet"))
        return sum(pq.ParquetFile(file).read().nbytes for file in files)

    def _must(self, contestant: Contestant) -> dict[str, Any]:
        run = self.fill(contestant, 0, gzip=True)
        if not run.ok:
            raise RuntimeError(f"{contestant.name}: {run.error}")
        return run.told


def ours(session: Session) -> list[Contestant]:
    """Return the contestants that run in our own environment and take seconds."""
    return [
        Contestant("discard", "discard", does="a client that discards the answers", keeps=False),
        Contestant("floor, strings", "floor", {"variant": "strings"}, does="a pyarrow script, plain strings"),
        Contestant("floor, dictionary", "floor", {"variant": "dictionary"}, does="the same, dictionary-encoded"),
        Contestant("flood_assets imports", "flood", {"do": "imports"}, does="imports only", keeps=False),
        Contestant("flood_assets cold", "flood", {"do": "cold"}, starts_from=session.gauges, does="without Dagster"),
        Contestant(
            "flood_assets reconcile", "flood", {"do": "reconcile"}, starts_from=session.full, does="an unchanged day"
        ),
        Contestant("flood-assets refresh", "refresh", rounds=3, does="the command: Dagster, gauges, checks, ledger"),
    ]
