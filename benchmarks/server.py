"""Start the simulator in a process of its own, warm it, control it and end it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Server:
    """Running simulator.

    Attributes:
        url: root of the API.
        stations: number of stations.
        pid: process id.
    """

    url: str
    stations: int
    pid: int

    def get(self, name: str) -> Any:
        """Return the JSON of a control endpoint."""
        with urlopen(f"{self._control}/{name}") as answer:
            return json.load(answer)

    def reset(self) -> None:
        """Set the request statistics to zero."""
        self._put("reset")

    def set_clock(self, moment: datetime) -> None:
        """Stop the clock at a moment."""
        self._put(f"clock?now={moment:%Y-%m-%dT%H:%M:%SZ}")

    def counted(self) -> tuple[int, int]:
        """Return the number of requests and the uncompressed bytes of their answers since the last reset."""
        stats = self.get("stats").values()
        return sum(one["requests"] for one in stats), sum(one["bytes"] for one in stats)

    def truth(self, now: datetime, into: Path) -> None:
        """Store every reading of `now - 24 h < t <= now` that is shown now, as CSV."""
        start = now - timedelta(hours=24)
        url = f"{self._control}/truth.csv?from={start:%Y-%m-%dT%H:%M:%SZ}&to={now:%Y-%m-%dT%H:%M:%SZ}"
        with urlopen(url) as answer, into.open("wb") as file:
            while piece := answer.read(1 << 20):
                file.write(piece)

    def warm(self, now: datetime) -> None:
        """Request everything once, so that no contestant pays for the simulator's first-time work."""
        days = (f"data/readings.csv?date={day:%Y-%m-%d}" for day in (now - timedelta(hours=24), now))
        for path in ("id/stations?_view=full", "id/measures", "data/readings.csv?latest", *days):
            with urlopen(f"{self.url}/{path}") as answer:
                while answer.read(1 << 20):
                    pass

    @property
    def _control(self) -> str:
        return self.url.replace("/flood-monitoring", "/__simulator")

    def _put(self, what: str) -> None:
        with urlopen(Request(f"{self._control}/{what}", method="PUT")) as answer:
            answer.read()


@contextmanager
def simulator(stations: int, now: datetime, *, seed: int = 1) -> Iterator[Server]:
    """Start a simulator on a free port of 127.0.0.1 with its clock stopped; end it with the context."""
    command = [sys.executable, "-m", "flood_assets.simulator", "--port", "0", "--host", "127.0.0.1"]
    command += ["--stations", str(stations), "--seed", str(seed), "--now", f"{now:%Y-%m-%dT%H:%M:%SZ}"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("FLOOD_", "DAGSTER_"))}
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = process.stdout.readline() if process.stdout else ""
            found = re.search(r"http://\S+", said)
            if not found:
                raise RuntimeError(f"the simulator did not start; its first line was {said!r}")
            yield Server(found[0], stations, process.pid)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
