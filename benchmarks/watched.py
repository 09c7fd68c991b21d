"""Run a command and watch all of its processes: CPU time, peak memory, and how long each waited for a core.

On a machine that others use too, wall time says little: a process also waits while others run. Linux counts that wait
for each thread (`/proc/PID/task/TID/schedstat`), so it can be left out of the time of a process that is busy in one
thread at a time.
"""

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # Dask brings it

from benchmarks.harness import surroundings
from benchmarks.server import ROOT

_EVERY_S = 0.1


@dataclass
class Process:
    """A process as it was last seen.

    Attributes:
        command: its command line.
        threads: CPU seconds of each of its threads, and the seconds that it was ready to run and had no core.
        peak_mb: its peak memory.
        seen: when it was seen first and last, seconds after the start.
    """

    command: str = ""
    threads: dict[str, tuple[float, float]] = field(default_factory=dict)
    peak_mb: float = 0.0
    seen: tuple[float, float] = (0.0, 0.0)

    @property
    def cpu(self) -> float:
        """CPU seconds of all threads."""
        return sum(ran for ran, _ in self.threads.values())

    @property
    def waited(self) -> float:
        """Seconds that its busiest thread waited for a core."""
        return max(self.threads.values(), default=(0.0, 0.0))[1]

    @property
    def works_for_dask(self) -> bool:
        """True for a worker of Dask's local cluster, which multiprocessing starts."""
        return "spawn_main" in self.command

    def look(self, place: Path, moment: float) -> None:
        """Note what it has spent until now; it may end at any moment."""
        with suppress(OSError, IndexError, ValueError):
            if not self.threads:
                self.seen = moment, moment
            self.command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode() or self.command
            for thread in (place / "task").iterdir():
                with suppress(OSError):
                    ran, waited, _ = (thread / "schedstat").read_text().split()
                    self.threads[thread.name] = int(ran) / 1e9, int(waited) / 1e9
            self.seen = self.seen[0], moment
            self.peak_mb = int((place / "status").read_text().partition("VmHWM:")[2].split(maxsplit=1)[0]) / 1024


@dataclass
class Watched:
    """What a command took.

    Attributes:
        wall: seconds from its start to its end.
        cpu: CPU seconds of all processes, as the system counts them when they end.
        processes: all that were seen, the command itself first.
        output: what it printed.
        exit: its exit code.
        load: threads that ran or were ready on this machine, on average, those of the command included.
    """

    wall: float
    cpu: float
    processes: list[Process]
    output: str
    exit: int
    load: float

    @property
    def workers(self) -> list[Process]:
        """The processes that did the work: Dask's workers, or the command itself."""
        return [each for each in self.processes if each.works_for_dask] or self.processes[:1]


def watched(command: Sequence[str], environ: Mapping[str, str], *, limit: float = 3600) -> Watched:
    """Run a command from the root of the repository and watch it until it ends."""
    seen: dict[int, Process] = {}
    loads: list[int] = []
    ended = threading.Event()
    before, started = _spent_by_children(), time.perf_counter()

    def look(pid: int) -> None:
        own = psutil.Process(pid)
        while not ended.wait(_EVERY_S):
            with suppress(psutil.Error):
                for each in (own, *own.children(recursive=True)):
                    seen.setdefault(each.pid, Process()).look(Path(f"/proc/{each.pid}"), time.perf_counter() - started)
            loads.append(int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0]) - 1)

    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**surroundings(), **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        watcher = threading.Thread(target=look, args=(process.pid,))
        watcher.start()
        try:
            output, _ = process.communicate(timeout=limit)
        finally:
            process.kill()
            ended.set()
            watcher.join()
    taken, spent = time.perf_counter() - started, _spent_by_children() - before
    load = sum(loads) / len(loads) if loads else 0.0
    return Watched(taken, spent, list(seen.values()), output, process.returncode, load)


def _spent_by_children() -> float:
    spent = psutil.Process().cpu_times()
    return float(spent.children_user + spent.children_system)
