"""Compare requests to `flood-assets serve` with the same answers made by DuckDB, by the CPU time of who answers.

    python -m benchmarks.serving --lake DIR --now ISO --times N

The server is a process of its own, asked over loopback by this one, one request after the other on one connection. Each
gauge and each box is asked for once, so that no answer is one that was kept. DuckDB holds the same day in memory, in
this process, and gets no HTTP to do. Prints one line of JSON: CPU milliseconds of each request, by turns of `--times`
requests; what a rebuild takes after one window has changed; and the server's memory.
"""

import argparse
import http.client
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

TURNS = 5
_BOX_DEGREES = 1.1
_LATEST = "/api/v1/latest.geojson"

Ask = Callable[[int], int]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lake", type=Path, required=True)
    parser.add_argument("--now", type=datetime.fromisoformat, required=True)
    parser.add_argument("--times", type=int, default=200)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lake = Path(folder) / "lake"
        shutil.copytree(asked.lake, lake)
        with _server(lake, asked.now) as server:
            print(json.dumps(_measured(server, lake, asked.now, asked.times)))


class Server:
    """A running server and a connection to it."""

    def __init__(self, process: int, port: int) -> None:
        self._process = process
        self._connection = http.client.HTTPConnection("127.0.0.1", port)

    def cpu(self) -> float:
        """Return the CPU seconds of the server until now.

        By the clock that `clock_getcpuclockid` names: /proc counts in hundredths, and a few requests take none.
        """
        return time.clock_gettime(~self._process << 3 | 2)

    def memory(self) -> int:
        """Return the most memory that it had, in bytes."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self._process}/status").read_text(encoding="ascii"))
        return int(found[1]) * 1024 if found else 0

    def get(self, path: str, **headers: str) -> bytes:
        """Return the body of an answer; SystemExit for an error."""
        self._connection.request("GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise SystemExit(f"{path}: {response.status} {body[:200]!r}")
        return body


@contextmanager
def _server(lake: Path, now: datetime) -> Iterator[Server]:
    environ = {**os.environ, "FLOOD_LAKE_URL": str(lake), "FLOOD_NOW": now.isoformat()}
    command = [
        sys.executable,
        "-u",
        "-c",
        "from flood_assets.cli.main import main; main()",
        "serve",
        "--port",
        "0",
        "--rate",
        "0",
    ]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = process.stdout.readline() if process.stdout else ""
            port = re.search(r"127\.0\.0\.1:(\d+)", said)
            if port is None:
                raise SystemExit(f"the server did not start: {said}")
            found = Server(process.pid, int(port[1]))
            _wait(lambda: found.get("/readyz"))
            yield found
        finally:
            process.terminate()


def _wait(ask: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            ask()
        except (SystemExit, OSError, http.client.HTTPException):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return


def _measured(server: Server, lake: Path, now: datetime, times: int) -> dict[str, Any]:
    listed = json.loads(server.get("/api/v1/latest.json?columns=measure_id"))["latest"]
    chance = random.Random(1)
    measures = [row["measure_id"] for row in listed]
    gauges = chance.choices(measures, k=1 + TURNS * times)
    boxes = [(chance.uniform(-3, 0.5), chance.uniform(51, 54)) for _ in gauges]
    rival = _duckdb(lake, now)
    paths: dict[str, Callable[[int], str]] = {
        "gauge": lambda i: f"/api/v1/readings?measure_id={quote(gauges[i])}",
        "latest": lambda _: _LATEST,
        "box": lambda i: f"{_LATEST}?bbox={','.join(f'{each:.5f}' for each in _box(*boxes[i]))}",
    }
    rivals: dict[str, Ask] = {
        "gauge": lambda i: rival["gauge"](gauges[i]),
        "latest": lambda _: rival["latest"](),
        "box": lambda i: rival["box"](*_box(*boxes[i])),
    }
    # As a browser asks; what is asked for again is compressed.
    headers = {"latest": {"accept_encoding": "gzip"}}
    told: dict[str, Any] = {name: {"ours": [], "duckdb": []} for name in paths}
    for name, path in paths.items():
        matched, found = json.loads(server.get(path(0)))["numberMatched"], rivals[name](0)
        if matched != found:
            raise SystemExit(f"{path(0)}: the server finds {matched} rows and DuckDB {found}")
        server.get(path(0), **headers.get(name, {}))
    for turn in range(TURNS):
        for name, path in paths.items():
            begin = 1 + turn * times
            started = server.cpu()
            for number in range(begin, begin + times):
                server.get(path(number), **headers.get(name, {}))
            told[name]["ours"].append(1000 * (server.cpu() - started) / times)
            fewer = max(1, times // 20)
            started = time.process_time()
            for number in range(begin, begin + fewer):
                rivals[name](number)
            told[name]["duckdb"].append(1000 * (time.process_time() - started) / fewer)
    return {**told, "rebuild": _rebuilt(server, lake, now), "memory": server.memory(), "measures": len(measures)}


def _box(west: float, south: float) -> tuple[float, float, float, float]:
    return west, south, west + _BOX_DEGREES, south + _BOX_DEGREES


def _rebuilt(server: Server, lake: Path, now: datetime) -> dict[str, float]:
    """Commit a new value of one gauge, and return how long it takes to be seen and the CPU of the server until then."""
    import pyarrow as pa  # noqa: PLC0415 - imports are not measured

    from flood_assets.lake.lake import Lake  # noqa: PLC0415

    opened = Lake.open(lake)
    measure = json.loads(server.get("/api/v1/latest.json?limit=1"))["latest"][0]
    path = f"/api/v1/latest.json?measure_id={quote(measure['measure_id'])}&columns=value"
    rows = pa.table(
        {
            "measure_id": [measure["measure_id"]],
            "date_time": pa.array([datetime.fromisoformat(measure["date_time"])], pa.timestamp("ms", tz="UTC")),
            "value": [77.125],
            "raw_value": pa.array([None], pa.string()),
        }
    )
    started, spent = time.monotonic(), server.cpu()
    opened.upsert_readings(rows, now + timedelta(milliseconds=1), now + timedelta(milliseconds=1))

    def seen() -> None:
        if b"77.125" not in server.get(path):
            raise SystemExit("the new value is not seen")

    _wait(seen)
    return {"seconds": time.monotonic() - started, "cpu": server.cpu() - spent}


def _duckdb(lake: Path, now: datetime) -> dict[str, Callable[..., int]]:
    """Return what makes the same answers by DuckDB, from tables in memory; each returns its number of rows."""
    import duckdb  # noqa: PLC0415 - imports are not measured
    import msgspec  # noqa: PLC0415

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    since = now - timedelta(hours=24)
    said = "strftime({0}, '%Y-%m-%dT%H:%M:%SZ') AS {0}"
    times = ", ".join(said.format(name) for name in ("date_time", "first_seen_at", "changed_at"))
    own = "measure_id, station_id, value, raw_value, previous_value, revision"
    connection.execute(
        f"CREATE TABLE r AS SELECT * FROM read_parquet('{lake}/readings/*/*/*.parquet') "
        "WHERE date_time > $since AND date_time <= $now ORDER BY measure_id, date_time",
        {"since": since, "now": now},
    )
    for name in ("stations", "measures"):
        connection.execute(f"CREATE TABLE {name} AS SELECT * FROM read_parquet('{lake}/current/{name}.parquet')")
    newest = (
        f"SELECT {own.replace('measure_id, station_id', 'n.measure_id, n.station_id')}, {times}, label, river, lat, "
        "long, parameter, qualifier, unit FROM "
        "(SELECT unnest(arg_max(r, date_time)) FROM r GROUP BY measure_id) n "
        "LEFT JOIN measures m ON m.measure_id = n.measure_id LEFT JOIN stations s ON s.station_id = m.station_id"
    )
    of_gauge = f"SELECT {own}, {times} FROM r WHERE measure_id = $m"
    encode = msgspec.json.encode

    def rows(sql: str, given: dict[str, Any]) -> list[dict[str, Any]]:
        found = connection.execute(sql, given)
        names = [each[0] for each in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def points(found: list[dict[str, Any]]) -> int:
        features = []
        for row in found:
            lat, long = row.pop("lat"), row.pop("long")
            point = None if lat is None else {"type": "Point", "coordinates": [long, lat]}
            features.append({"type": "Feature", "id": row["measure_id"], "geometry": point, "properties": row})
        encode({"type": "FeatureCollection", "features": features})
        return len(features)

    def gauge(measure: str) -> int:
        found = rows(of_gauge, {"m": measure})
        encode(found)
        return len(found)

    return {
        "gauge": gauge,
        "latest": lambda: points(rows(newest, {})),
        "box": lambda west, south, east, north: points(
            rows(
                f"{newest} WHERE long BETWEEN $w AND $e AND lat BETWEEN $s AND $n",
                {"w": west, "s": south, "e": east, "n": north},
            )
        ),
    }


if __name__ == "__main__":
    main()
