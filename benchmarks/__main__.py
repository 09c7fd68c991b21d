"""Measure, save the measurements and render RESULTS.md and SHARDS.md: `python -m benchmarks`."""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import conditions, harness, imports, large, results, rivals, session, shard_page, sharded
from benchmarks.harness import Contestant
from benchmarks.server import simulator

HERE = Path(__file__).parent
# After the first partition and before any machine's present: Dagster's partitions end at the machine's clock.
NOW = datetime(2026, 10, 15, 9, 20, tzinfo=UTC)
GROUPS = ("fills", "rivals", "ticks", "reading", "judging", "serving", "publishing", "imports", "dagster")
# Takes half an hour, so it has to be asked for by name.
SHARDS = "shards"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--large", action="store_true", help="measure multiples of the network (see --factors)")
    parser.add_argument("--factors", default="1,10,100", help="with --large: multiples of the network")
    parser.add_argument("--render", action="store_true", help="only render RESULTS.md from saved measurements")
    parser.add_argument("--only", default=",".join(GROUPS), help=f"groups to measure: {', '.join((*GROUPS, SHARDS))}")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each contestant")
    parser.add_argument("--stations", type=int, default=5500, help="size of the simulated network")
    parser.add_argument("--shards", type=int, default=16, help="group shards: countries of the network")
    parser.add_argument("--countries", default="10,40,160", help="group shards: networks for two workers")
    parser.add_argument("--quick", action="store_true", help="smoke test: one round with few stations")
    parser.add_argument("--into", type=Path, default=HERE, help="folder for RESULTS.md and results/")
    asked = parser.parse_args(arguments)
    if asked.quick:
        asked.rounds, asked.stations = 1, min(asked.stations, 60)
    folder = Path(tempfile.mkdtemp(prefix="flood-bench-"))
    try:
        if asked.large and not asked.render:
            factors = [int(factor) for factor in asked.factors.split(",")]
            keep = partial(_keep, asked.into, "large")
            large.measure(asked.stations, factors, asked.rounds, NOW, folder, _teller(), keep)
        elif asked.only == SHARDS and not asked.render:
            sizes = [int(size) for size in asked.countries.split(",")]
            keep = partial(_keep, asked.into, SHARDS)
            sharded.measure(asked.stations, asked.shards, sizes, asked.rounds, NOW, folder, _teller(), keep)
        elif not asked.render:
            keep = partial(_keep, asked.into, "day")
            day(asked.stations, asked.rounds, asked.only.split(","), folder, _teller(), keep, quick=asked.quick)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    page = results.render(_kept(asked.into, "day"), _kept(asked.into, "large"))
    (asked.into / "RESULTS.md").write_text(page, encoding="utf-8")
    if found := _kept(asked.into, SHARDS):
        (asked.into / "SHARDS.md").write_text(shard_page.render(found), encoding="utf-8")


def day(
    stations: int,
    rounds: int,
    groups: Collection[str],
    folder: Path,
    tell: Callable[[str], None],
    keep: Callable[[dict[str, Any]], None],
    *,
    quick: bool = False,
) -> None:
    """Measure one country and save the measurements after each group."""
    with simulator(stations, NOW) as server:
        one = session.Session(server, NOW, folder, tell)
        measured: dict[str, Any] = {"now": f"{NOW:%Y-%m-%d %H:%MZ}", "rounds": rounds, "prepared": one.prepare()}
        measured |= {"runs": [], "right": {"gzip": {}, "plain": {}}, "does": {}}

        def done(**more: Any) -> None:
            measured.update(more)
            failed = {run["contestant"]: run["error"] for run in measured["runs"] if run["error"]}
            keep({**measured, "missing": {**one.missing, **failed}, "conditions": conditions.found(one.pythons)})

        def fills(contestants: list[Contestant], times: int, *, gzip: bool) -> None:
            if contestants and times:
                runs, right = one.fills(contestants, times, gzip=gzip)
                measured["runs"] += runs
                measured["right"]["gzip" if gzip else "plain"] |= right
                measured["does"] |= {each.name: each.does for each in contestants}
                done()

        fewer = max(1, rounds - 2)
        ours = session.ours(one) if "fills" in groups else []
        fills(ours + (rivals.quick_ones(one, quick=quick) if "rivals" in groups else []), rounds, gzip=True)
        fills(ours, 0 if quick else fewer, gzip=False)
        fills(rivals.slow_ones(one, quick=quick) if "rivals" in groups else [], 1, gzip=True)
        if "ticks" in groups:
            done(ticks=one.ticks(fewer))
        if "reading" in groups:
            done(reading=one.readings(fewer, 15), arrow_bytes=one.arrow_bytes())
        rest: dict[str, Callable[[], dict[str, Any]]] = {
            "judging": lambda: one.judging(15),
            "serving": lambda: one.serving(20 if quick else 400),
            "publishing": lambda: one.publishing(rounds),
            "imports": lambda: imports.measured(rounds, tell, warm=not quick),
        }
        for name, measure in rest.items():
            if name in groups:
                done(**{name: measure()})
        if "dagster" in groups:
            done(dagster=one.dagster(3))


def _keep(into: Path, name: str, measured: dict[str, Any]) -> None:
    place = into / "results" / f"{name}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(harness.rounded(measured), indent=1) + "\n", encoding="utf-8")


def _kept(into: Path, name: str) -> dict[str, Any] | None:
    place = into / "results" / f"{name}.json"
    if not place.exists():
        return None
    measured: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return measured


def _teller() -> Callable[[str], None]:
    started = time.monotonic()

    def tell(what: str) -> None:
        taken = time.monotonic() - started
        sys.stderr.write(f"[{taken // 60:2.0f}:{taken % 60:02.0f}] {what}\n")
        sys.stderr.flush()

    return tell


if __name__ == "__main__":
    main()
