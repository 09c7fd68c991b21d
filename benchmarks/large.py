"""Measure time per reading and memory at 1, 10 and 100 times the network.

Each size has its own simulator, one at a time. The sizes take turns, but the larger ones have fewer rounds: at 100
times the simulator alone takes minutes to send the day.
"""

import shutil
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import conditions
from benchmarks.harness import Contestant
from benchmarks.server import Server, simulator
from benchmarks.session import Session

# Above this number of rows the comparison with the truth would need more memory than the contestant.
COMPARED = 10_000_000


def measure(
    stations: int,
    factors: Sequence[int],
    rounds: int,
    now: datetime,
    folder: Path,
    tell: Callable[[str], None],
    keep: Callable[[dict[str, Any]], None],
) -> None:
    """Run cold fills of each size and save the measurements after each.

    Args:
        stations: number of stations of the country.
        factors: multiples of that number.
        rounds: rounds of the smallest network; at most three at 10 times, one above.
        now: time at which the clocks stand.
        folder: folder for lakes.
        tell: reports progress.
        keep: saves the measurements.
    """
    sizes: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    for number in range(rounds):
        for factor in factors:
            if number >= _rounds(factor, rounds) or str(factor) in failed:
                continue
            with simulator(stations * factor, now) as server:
                error = _fill(server, now, folder, sizes.setdefault(str(factor), _nothing(stations * factor)), tell)
            if error:
                failed[str(factor)] = error
                tell(f"{factor} times the network failed: {error}")
            keep({"sizes": sizes, "failed": failed, "conditions": conditions.found({})})


def _rounds(factor: int, rounds: int) -> int:
    return rounds if factor == 1 else min(rounds, 3) if factor <= 10 else 1


def _nothing(stations: int) -> dict[str, Any]:
    lists: dict[str, list[float]] = {"wall": [], "own": [], "download": [], "peak_mb": [], "gauges_mb": []}
    return {"stations": stations, "readings": 0, "stored_bytes": 0, **lists}


def _fill(server: Server, now: datetime, folder: Path, kept: dict[str, Any], tell: Callable[[str], None]) -> str:
    """Run one cold fill of one size; return the error, or an empty string."""
    session = Session(server, now, folder, tell)
    tell(f"{server.stations:,} stations: the lists of gauges")
    first = session.fill(Contestant("gauges", "flood", {"do": "gauges", "large": "yes"}), 0, gzip=True)
    if not first.ok:
        return f"the lists of gauges: {first.error}"
    kept["gauges_mb"].append(first.peak_mb)
    cold = Contestant("cold", "flood", {"do": "cold", "large": "yes"}, starts_from=session.gauges)
    run = session.fill(cold, 0, gzip=True)
    if not run.ok:
        return run.error
    seconds = run.told["seconds"]
    kept["wall"].append(run.wall)
    kept["own"].append(seconds["own"])
    kept["download"].append(seconds["download"])
    kept["peak_mb"].append(run.peak_mb)
    kept["readings"], kept["stored_bytes"] = run.told["added"], run.told["stored_bytes"]
    tell(f"{server.stations:,} stations: {run.wall:.1f} s, {run.peak_mb:,.0f} MB, {run.told['added']:,} readings")
    if run.told["added"] <= COMPARED and "right" not in kept:
        session.note_truth()
        kept["right"] = session.compare(cold, gzip=True)
    shutil.rmtree(folder / "cold", ignore_errors=True)
    return ""
