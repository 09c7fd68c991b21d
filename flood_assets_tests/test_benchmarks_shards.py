"""Test what the benchmark of shards is built on: divided answers lose nothing, and verdicts follow the figures."""

import gzip
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import shard_model, shard_page
from benchmarks.recorded import Recorded, recorded
from flood_assets.simulator.country import Simulator
from flood_assets.simulator.server import serve

NOW = datetime(2026, 10, 15, 9, 20, tzinfo=UTC)
DIVISIONS = (1, 2, 4)
PATHS = (
    "data/readings.csv?date=2026-10-14",
    "data/readings.csv?latest",
    "id/stations?_view=full",
    "id/measures",
    "id/floods",
    "id/floodAreas?_limit=1000000",
)


def rows(answer: bytes, path: str) -> list[str]:
    """Return the rows of an answer, in no order."""
    if ".csv" in path:
        head, *lines = answer.decode().splitlines()
        assert head == "dateTime,measure,value"
        return sorted(lines)
    return sorted(json.dumps(item) for item in json.loads(answer)["items"])


def asked(url: str) -> bytes:
    with urlopen(url) as answer:
        assert answer.headers["Date"] == "Thu, 15 Oct 2026 09:20:00 GMT"
        body = answer.read()
        assert int(answer.headers["Content-Length"]) == len(body)
        assert answer.headers["Content-Encoding"] == "gzip"
        return gzip.decompress(body)


def test_parts_have_together_what_the_source_has_and_it_is_asked_once(tmp_path):
    def found(server: Recorded, path: str) -> dict[int, list[list[str]]]:
        return {
            parts: [rows(asked(f"{server.api(number, parts)}/{path}"), path) for number in range(parts + 1)]
            for parts in DIVISIONS
        }

    with serve(Simulator(60, 1, lambda: NOW)) as source:
        direct = {path: rows(urlopen(f"{source.url}/{path}").read(), path) for path in PATHS}
        source.reset()
        with recorded(tmp_path, source.url, DIVISIONS, NOW) as server:
            first = {path: found(server, path) for path in PATHS}
        times = [one["requests"] for one in source.stats().values()]
    assert max(times) <= 2  # the first list of measures wants the stations beside it
    # Nobody answers any more: files do.
    with recorded(tmp_path, source.url, DIVISIONS, NOW) as server:
        assert {path: found(server, path) for path in PATHS} == first
        with pytest.raises(HTTPError, match="404"):
            asked(f"{server.url}/whole/{PATHS[0]}")
    for path, divisions in first.items():
        for parts, (*each, again) in divisions.items():
            assert len(each) == parts
            assert sorted(row for part in each for row in part) == direct[path]
            assert again == each[0]
    assert all(first[PATHS[0]][4]), "a part has no readings"


def run(way: str, **more: Any) -> dict[str, Any]:
    worker = {"cpu": 9.0, "waited": 0.0, "peak_mb": 200.0, "from": 1.0, "to": 11.0}
    usual = {"way": way, "wall": 10.0, "cpu": 10.0, "load": 2.0, "readings": 1_000_000, "server_cpu": 0.1}
    return {**usual, "objects": 3_456, "bytes": 258_000_000, "workers": [worker], **more}


def measured(**more: Any) -> dict[str, Any]:
    part = {"cpu": 2.0, "requests": 6, "bytes": 90_000_000, "GET": 180, "LIST": 40, "PUT": 110}
    runs = [run("one", workers=[{**run("one")["workers"][0], "peak_mb": 960.0}]), run("many"), run("local1")]
    runs += [run("local2", wall=5.5), run("few", workers=[{**run("few")["workers"][0], "peak_mb": 438.0}])]
    return {
        "runs": runs,
        "sizes": [{**run(""), "shards": 10}, {**run("", wall=100.0, cpu=100.0, readings=10_000_000), "shards": 100}],
        "countries": 16,
        "shards": {"one": 1, "few": 4, "many": 16, "local1": 16, "local2": 16},
        "stations": 5500,
        "sent_bytes": 9_000_000,
        "parts": {"cold": part, "ticks": [part, {**part, "cpu": 1.0}], "reconcile": part},
        **more,
    }


def kept(found: dict[str, Any], target: str) -> bool | None:
    (verdict,) = [each for each in shard_page.verdicts(found) if re.match(target, each.target)]
    return verdict.kept


def change(way: str, **more: Any) -> Callable[[dict[str, Any]], None]:
    return lambda found: next(each for each in found["runs"] if each["way"] == way).update(more)


@pytest.mark.parametrize(
    ("target", "spoil"),
    [
        ("CPU time per reading in 16 shards", change("many", cpu=12.6)),
        ("Peak memory.* 16 shards", change("local2", workers=[{**run("")["workers"][0], "peak_mb": 223.0}])),
        ("Peak memory.* 4 shards", change("few", workers=[{**run("")["workers"][0], "peak_mb": 439.0}])),
        ("Wall time by two workers", change("local2", wall=5.9)),
        ("The same readings", change("many", readings=999_999)),
        ("CPU time per reading of 100", lambda found: found["sizes"][1].update(cpu=131.0)),
        ("wall time per reading of 100", lambda found: found["sizes"][1].update(wall=131.0)),
    ],
)
def test_a_target_is_missed_just_beyond_its_figure(target, spoil):
    found = measured()
    assert kept(found, target) is True
    spoil(found)
    assert kept(found, target) is False


def test_the_model_multiplies_what_was_measured():
    model = shard_model.of(measured())
    assert model is not None
    assert (model.readings, model.stored[0]) == (100_000_000, 34_560)
    assert (model.cold.cpu, model.tick.cpu, model.tick.requests) == (2_000, 1_500, 6_000)
    assert model.wall(model.tick, 4) == 1 + 250 * 1.5
    assert model.wall(model.tick, 1_000) == 1 + 1.5
    assert model.wall(model.tick, model.enough(0.5)) <= 450 < model.wall(model.tick, model.enough(0.5) - 1)
    assert model.memory_mb(4) == 438  # as measured with 4 shards of 16 countries
    days = shard_model.DAYS_A_MONTH
    assert model.month.gets == pytest.approx(days * 1_000 * (96 + 4) * 180)


@pytest.mark.long
def test_a_quick_session_finds_the_same_readings_in_all_ways(tmp_path):
    benchmarks.main(["--only", "shards", "--quick", "--shards", "4", "--countries", "2,6", "--into", str(tmp_path)])
    page = (tmp_path / "SHARDS.md").read_text()
    assert re.search(r"\| The same readings in one shard and in many \| [\d,]+ \| pass \|", page)
    assert page.count("| 4 shards") == 3
    assert "## A thousand times the country" in page
    for file in tmp_path.rglob("*.*"):
        assert not re.search(r"/tmp/|127\.0\.0\.1", Path(file).read_text())
