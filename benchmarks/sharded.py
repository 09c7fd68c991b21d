"""Measure a network in shards: CPU time, memory and wall time of cold fills, by one process and by Dask's workers.

The network is simulated once, its answers are served from files (`recorded`), and every fill is the whole command
`flood-assets refresh` on an empty folder. `page` renders what is found.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from benchmarks import conditions, harness
from benchmarks.recorded import Recorded, recorded
from benchmarks.server import simulator
from benchmarks.watched import Watched, watched

COMMAND = [sys.executable, "-c", "from flood_assets.cli.main import main; main()", "refresh"]


class Way(NamedTuple):
    """A way to fill a network.

    Attributes:
        name: its name in the measurements.
        shards: in how many shards; 0 for the whole as a single shard.
        dask: FLOOD_DASK; empty for one process without Dask.
        does: what it is, for the page.
    """

    name: str
    shards: int
    dask: str
    does: str


def ways(areas: int) -> list[Way]:
    """Return the ways that take turns."""
    return [
        Way("one", 0, "", "one shard, one process"),
        Way("many", areas, "", f"{areas} shards, one after the other in one process"),
        Way("local1", areas, "local[1]", f"{areas} shards, one Dask worker"),
        Way("local2", areas, "local[2]", f"{areas} shards, two Dask workers"),
    ]


def measure(
    stations: int,
    areas: int,
    sizes: Sequence[int],
    rounds: int,
    now: datetime,
    folder: Path,
    tell: Callable[[str], None],
    keep: Callable[[dict[str, Any]], None],
) -> None:
    """Fill a network in every way, then networks of several sizes by two workers; save the measurements after each.

    Args:
        stations: number of stations of a country, which is one shard.
        areas: countries that are simulated, and shards of the network that is filled in every way.
        sizes: countries of the networks that are filled by two workers; above `areas` the same answers come again.
        rounds: how often each way takes its turn.
        now: time at which the clock stands.
        folder: for answers and lakes.
        tell: reports progress.
        keep: saves the measurements.
    """
    told: dict[str, Any] = {"now": f"{now:%Y-%m-%d %H:%MZ}", "areas": areas, "stations": stations}
    told["does"] = {way.name: way.does for way in ways(areas)}
    tell("one country: a cold fill, ticks and a reconcile")
    with simulator(stations, now) as source:
        source.warm(now)
        told["parts"] = _parts(source.url, now, folder)
    tell(f"{areas} x {stations:,} stations: recording the answers")
    with simulator(stations * areas, now) as source, recorded(folder / "answers", source.url, areas, now) as server:
        for way in ways(areas)[:2]:
            fill(way, server, now, folder)
    told["sent_bytes"] = sum(file.stat().st_size for file in (folder / "answers" / "area-000").iterdir())
    with recorded(folder / "answers", "", areas, now) as server:
        for found in filled(server, sizes, rounds, now, folder, tell):
            keep({**told, "rounds": rounds, **found, "conditions": conditions.found({})})


def filled(
    server: Recorded, sizes: Sequence[int], rounds: int, now: datetime, folder: Path, tell: Callable[[str], None]
) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """Fill the network in every way and those of several sizes; yield all fills so far after each."""
    told: dict[str, list[dict[str, Any]]] = {"runs": [], "sizes": []}
    turns = ways(server.areas)
    for number in range(rounds):
        for way in (*turns[number % len(turns) :], *turns[: number % len(turns)]):
            told["runs"].append({"way": way.name, "round": number, **fill(way, server, now, folder)})
            tell(f"round {number + 1}: {way.does}: {_shown(told['runs'][-1])}")
            yield told
    for size in sizes:
        told["sizes"].append({"shards": size, **fill(Way("size", size, "local[2]", ""), server, now, folder)})
        tell(f"{size} countries: {_shown(told['sizes'][-1])}")
        yield told


def _shown(run: dict[str, Any]) -> str:
    worst = max(worker["peak_mb"] for worker in run["workers"])
    return (
        f"{run['wall']:.1f} s, {run['cpu']:.1f} CPU s, at most {worst:.0f} MB, load {run['load']:.1f}, "
        f"{run['readings']:,} readings"
    )


def _parts(url: str, now: datetime, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.shard_parts", "--api", url, "--lake", str(folder / "parts")]
    run = harness.launched([*command, "--now", now.isoformat()])
    if not run.ok:
        raise RuntimeError(f"one country: {run.error}")
    return run.told


def fill(way: Way, server: Recorded, now: datetime, folder: Path) -> dict[str, Any]:
    """Fill a network once, into an empty folder; return what it took and what is there."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        lake, network = Path(place, "lake"), Path(place, "network.toml")
        network.write_text(_described(way.shards, server), encoding="utf-8")
        environ = {"FLOOD_LAKE_URL": lake.as_uri(), "FLOOD_NETWORK": str(network), "FLOOD_NOW": now.isoformat()}
        environ |= {"FLOOD_DASK": way.dask} if way.dask else {}
        served = server.cpu()
        run = watched(COMMAND, environ)
        if run.exit:
            raise RuntimeError(f"{way.does or way.name}: {harness.why(run.output)}")
        return {**_spent(run), "server_cpu": server.cpu() - served, **_stored(lake)}


def _described(shards: int, server: Recorded) -> str:
    """Return the file of a network: so many areas, or the whole as one."""
    each = [("whole", None)] if not shards else [(f"country-{number:04d}", number) for number in range(shards)]
    lines = ['name = "bench"']
    for name, number in each:
        lines += ["", "[[shard]]", f'name = "{name}"', f'api = "{server.api(number)}"']
    return "\n".join(lines) + "\n"


def _spent(run: Watched) -> dict[str, Any]:
    return {
        "wall": run.wall,
        "cpu": run.cpu,
        "load": run.load,
        "workers": [
            {"cpu": each.cpu, "waited": each.waited, "peak_mb": each.peak_mb, "from": each.seen[0], "to": each.seen[1]}
            for each in run.workers
        ],
    }


def _stored(lake: Path) -> dict[str, Any]:
    files = [file for file in lake.rglob("*") if file.is_file()]
    readings = [file for file in files if file.name == "readings.parquet" and "current" not in file.parts]
    return {
        "readings": sum(pq.read_metadata(file).num_rows for file in readings),
        "objects": len(files),
        "bytes": sum(file.stat().st_size for file in files),
    }
