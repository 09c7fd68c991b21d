"""At saturation, while the lake is refreshed and cleaned up, each answer is one that a snapshot had.

`FLOOD_LOAD_SECONDS=60` makes it a minute.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flood_assets.cli.run import run
from flood_assets.lake.lake import Lake
from flood_assets.schemas import MEASURES, READINGS
from flood_assets.serve.snapshot import Snapshot
from flood_assets.simulator import Simulator, serve
from flood_assets_tests.support.hammer import digest
from flood_assets_tests.support.listening import listening
from flood_assets_tests.support.served import served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SECONDS = float(os.environ.get("FLOOD_LOAD_SECONDS", "4"))
STARTED = datetime(2026, 11, 29, 9, 37, 30, tzinfo=UTC)
# An hour in three: each second or third one expires a window.
STEP = timedelta(minutes=25)


@contextmanager
def hammering(port: int, connections: int, paths: list[str]) -> Iterator[dict[str, Any]]:
    """Ask for the paths until the context ends; what came is in the dictionary then."""
    command = [sys.executable, "-m", "flood_assets_tests.support.hammer", str(port), str(connections), *paths]
    told: dict[str, Any] = {}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield told
        said, _ = process.communicate()
        assert process.returncode == 0
    told.update(json.loads(said))


def moments(lake: Path, seen: list[tuple[Snapshot, datetime]], paths: list[str]) -> dict[str, set[str]]:
    """Return the digests that each path's answer can have had: of each snapshot at each time that it was there.

    The snapshots are made again from what was frozen, without what the server took over from one to the next.
    """
    digests: dict[str, set[str]] = {path: set() for path in paths}
    with served(lake, STARTED) as one:
        for snapshot, now in seen:
            one.watcher.snapshot, one.now = Snapshot.of(snapshot.frozen, snapshot.taken_at), now
            for path in paths:
                answer = one.client.get(path, headers={"accept-encoding": "identity"})
                assert answer.status_code == 200, answer.text
                digests[path].add(digest(answer.content))
    return digests


def test_each_answer_is_one_that_a_snapshot_had(tmp_path, monkeypatch):
    folder = tmp_path / "lake"
    clock = [STARTED]
    with serve(Simulator(stations=120, seed=1, now=lambda: clock[0])) as source:
        monkeypatch.setenv("FLOOD_API_URL", source.url)
        monkeypatch.setenv("FLOOD_LAKE_URL", str(folder))

        def refresh(command: str = "refresh") -> None:
            monkeypatch.setenv("FLOOD_NOW", clock[0].isoformat())
            assert run(command) == 0

        refresh()
        lake = Lake.open(folder)
        measures = lake.newest_snapshot(MEASURES, clock[0])["measure_id"].to_pylist()
        gauges = [f"/api/v1/readings?measure_id={each}" for each in measures[:6]]
        paths = [
            *gauges,
            "/api/v1/latest.geojson",
            "/api/v1/readings.csv",
            "/api/v1/readings.parquet",
            "/api/v1/conditions.json?band=normal",
            "/api/v1/latest.json?bbox=-3,51,0,54",
            "/api/v1/completeness.json",
            "/flood-monitoring/data/readings?latest",
            "/erddap/tabledap/flood_latest.csv",
        ]
        with listening(lake, clock[0]) as server:
            assert server.get("/readyz")[0] == 200
            seen = [(server.watcher.snapshot, clock[0])]
            with hammering(server.port, 8, paths) as told:
                end = time.monotonic() + SECONDS
                while time.monotonic() < end or len(seen) < 10:
                    clock[0] += STEP
                    refresh()
                    server.watcher.look()
                    # The newest snapshot and the one before can both be asked at either time.
                    seen.append((server.watcher.snapshot, server.now))
                    server.now = clock[0]
                    seen.append((server.watcher.snapshot, server.now))
                    lake.expire(clock[0])
                    server.watcher.look()
                    seen.append((server.watcher.snapshot, server.now))
        assert len({id(snapshot) for snapshot, _ in seen}) > 3
        assert not lake.windows(READINGS)[0].window < seen[-1][1] - timedelta(hours=25)
        expected = moments(folder, seen, paths)
    for path, asked in told.items():
        assert asked["statuses"].keys() == {"200"}, path
        assert set(asked["digests"]) <= expected[path], path
        # It was asked for while the lake changed, not before it alone.
        assert len(asked["digests"]) > 1, path
