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
from benchmarks.recorded import Recorded, part_name, recorded
from benchmarks.server import simulator
from benchmarks.watched import Watched, watched

COMMAND = [sys.executable, "-c", "from flood_assets.cli.main import main; main()", "refresh"]


class Way(NamedTuple):
    """A way to fill a network.

    Attributes:
        name: its name in the measurements.
        shards: in how many shards.
        dask: FLOOD_DASK; empty for one process without Dask.
        does: what it is, for the page.
    """

    name: str
    shards: int
    dask: str
    does: str


def ways(most: int) -> list[Way]:
    """Return the ways that take turns."""
    few = most // 4
    return [
        Way("one", 1, "", "one shard, one process"),
        Way("many", most, "", f"{most} shards, one after the other in one process"),
        Way("local1", most, "local[1]", f"{most} shards, one Dask worker"),
        Way("local2", most, "local[2]", f"{most} shards, two Dask workers"),
        Way("few", few, "local[1]", f"{few} shards, one Dask worker"),
    ]


def measure(
    stations: int,
    countries: int,
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
        countries: that are simulated, and the most shards that their network is filled in; a multiple of four.
        sizes: countries of the networks that are filled by two workers; above `countries` the same answers come again.
        rounds: how often each way takes its turn.
        now: time at which the clock stands.
        folder: for answers and lakes.
        tell: reports progress.
        keep: saves the measurements.
    """
    told: dict[str, Any] = {"now": f"{now:%Y-%m-%d %H:%MZ}", "countries": countries, "stations": stations}
    told["does"] = {way.name: way.does for way in ways(countries)}
    told["shards"] = {way.name: way.shards for way in ways(countries)}
    tell("one country: a cold fill, ticks and a reconcile")
    with simulator(stations, now) as source:
        source.warm(now)
        told["parts"] = _parts(source.url, now, folder)
    tell(f"{countries} x {stations:,} stations: recording the answers")
    answers, divisions = folder / "answers", sorted({way.shards for way in ways(countries)})
    with simulator(stations * countries, now) as source, recorded(answers, source.url, divisions, now) as server:
        fill(ways(countries)[0], server, now, folder)
    told["sent_bytes"] = sum(file.stat().st_size for file in (answers / part_name(0, countries)).iterdir())
    with recorded(answers, "", divisions, now) as server:
        for found in filled(server, sizes, rounds, now, folder, tell):
            keep({**told, "rounds": rounds, **found, "conditions": conditions.found({})})


def filled(
    server: Recorded, sizes: Sequence[int], rounds: int, now: datetime, folder: Path, tell: Callable[[str], None]
) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """Fill the network in every way and those of several sizes; yield all fills so far after each."""
    told: dict[str, list[dict[str, Any]]] = {"runs": [], "sizes": []}
    turns = ways(max(server.divisions))
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
    """Return the file of a network: so many parts of it, which come again above the most."""
    parts = shards if shards in server.divisions else max(server.divisions)
    lines = ['name = "bench"']
    for number in range(shards):
        lines += ["", "[[shard]]", f'name = "part-{number:04d}"', f'api = "{server.api(number, parts)}"']
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
