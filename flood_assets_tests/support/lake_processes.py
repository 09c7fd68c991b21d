"""Writers that are processes of their own, so that they can be killed: `python -m
flood_assets_tests.support.lake_processes`.

One process imports what is needed and forks the others, before obstore has started its threads.
"""

import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from flood_assets.lake.lake import Lake
from flood_assets.schemas import READINGS
from flood_assets_tests.support.lake_rows import NOW, a_day, at, fetched

IDS = [f"measure-{i:03}" for i in range(40)]


def forked(work: Callable[[], None]) -> int:
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent has to hear of it
            print(repr(error), file=sys.stderr)
            os._exit(1)
    return child


def kill(url: str, rounds: int) -> None:
    """Kill a writer again and again; each goes on where the last one was stopped, until two upserts have completed."""
    progress = Path(tempfile.mkdtemp()) / "progress"
    progress.write_text("0")

    def write() -> None:
        lake = Lake.open(url)
        start = max((int(r["value"]) for r in lake.read(READINGS, now=NOW).to_pylist()), default=0)
        for value in range(start, 10**9):
            lake.upsert_readings(a_day(IDS, value=float(value)), NOW, NOW)
            progress.write_text(str(value))

    for i in range(rounds):
        child = forked(write)
        # On a busy machine the others may never come far enough; the last one is given the time.
        while i == rounds - 1 and int(progress.read_text() or 0) < 2:
            time.sleep(0.05)
        time.sleep(random.uniform(0.05, 0.6))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def together(url: str, writers: int, merges: int) -> None:
    """Run several writers, each with its own rows in the same windows."""

    def write(number: int) -> None:
        lake = Lake.open(url)
        for i in range(merges):
            lake.upsert_readings(fetched(*[(f"w{number}", at(h, i), float(i)) for h in range(3)]), NOW, NOW)

    children = [forked(lambda n=n: write(n)) for n in range(writers)]
    codes = [os.waitpid(child, 0)[1] for child in children]
    sys.exit(max(map(os.waitstatus_to_exitcode, codes)))


def short(url: str, size: int) -> None:
    """Run a writer that may not write files larger than `size`."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    Lake.open(url).upsert_readings(a_day(IDS), NOW, NOW)


if __name__ == "__main__":
    {"kill": kill, "together": together, "short": short}[sys.argv[1]](sys.argv[2], *map(int, sys.argv[3:]))
