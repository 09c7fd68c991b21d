"""Test a whole day of refreshes against the API's truth: simulated, and recorded if available.

Everything goes through the Dagster jobs as the schedules ask for them; only the clocks are set by hand.
"""

import csv
import io
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import Request, urlopen

import dagster as dg
import pyarrow.compute as pc
import pytest

from flood_assets.definitions import build_defs
from flood_assets.defs.jobs import refresh_requests, whole_day
from flood_assets.defs.resources import LakeResource, Source
from flood_assets.lake.lake import Lake
from flood_assets.partitions import cutoff, window_of
from flood_assets.schemas import MEASURES, READINGS, STATIONS, WARNING_AREAS
from flood_assets.simulator import Simulator, serve
from flood_assets_tests.support.retained import is_retained
from flood_assets_tests.support.s3 import BUCKET, s3_server

__all__ = ["s3_server"]

REPLAY = Path(os.environ.get("FLOOD_REPLAY") or Path(__file__).parents[3] / "shared" / "replay")
QUARTER = timedelta(minutes=15)
DAY = timedelta(hours=24)

Rows = dict[tuple[str, datetime], str]


@dataclass
class Api:
    """Server that answers like the API, with a settable clock and a truth."""

    url: str
    control: str
    lists_areas: bool = True

    def set_clock(self, now: datetime) -> None:
        self._put(f"clock?now={now:%Y-%m-%dT%H:%M:%SZ}")

    def reset(self) -> None:
        self._put("reset")

    def requests(self) -> dict[str, int]:
        with urlopen(f"{self.control}/stats") as answer:
            return {name: counted["requests"] for name, counted in json.load(answer).items()}

    def truth(self, now: datetime) -> Rows:
        span = f"from={now - DAY:%Y-%m-%dT%H:%M:%SZ}&to={now:%Y-%m-%dT%H:%M:%SZ}"
        return self._readings(f"{self.control}/truth.csv?{span}")

    def latest(self) -> Rows:
        return self._readings(f"{self.url}/data/readings.csv?latest")

    def _put(self, what: str) -> None:
        urlopen(Request(f"{self.control}/{what}", method="PUT")).close()

    @staticmethod
    def _readings(url: str) -> Rows:
        with urlopen(url) as answer:
            rows = csv.DictReader(io.StringIO(answer.read().decode(), newline=""))
            return {
                (row["measure"].rpartition("/id/measures/")[2], datetime.fromisoformat(row["dateTime"])): row["value"]
                for row in rows
            }


@pytest.fixture(params=["replay", "simulator"])
def api(request) -> Iterator[Api]:
    if request.param == "simulator":
        with serve(Simulator(stations=150, seed=7)) as server:
            yield Api(server.url, server.control)
        return
    if not (REPLAY / "ea_replay.py").exists():
        pytest.skip(f"the recorded readings are not at hand: no {REPLAY.name}/ea_replay.py beside the repository")
    command = [sys.executable, REPLAY / "ea_replay.py", "--data", REPLAY / "sample", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().split()[-1]
            # The recording has no list of flood areas.
            yield Api(url, url.replace("/flood-monitoring", "/__replay"), lists_areas=False)
        finally:
            process.kill()  # SIGTERM may be ignored by what a background shell starts


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


class Keeper:
    """Project on a lake: runs what schedules and sensors request at a given time."""

    def __init__(self, api: Api, lake_url: str, instance: dg.DagsterInstance, monkeypatch) -> None:
        self.api, self.lake_url, self.instance, self._monkeypatch = api, lake_url, instance, monkeypatch
        self.defs = build_defs(source=Source(url=api.url), lake=LakeResource(url=lake_url))

    def at(self, now: datetime) -> None:
        self.now = now
        self.api.set_clock(now)
        self._monkeypatch.setenv("FLOOD_NOW", now.isoformat())

    def run(self, job: str, requests: list[dg.RunRequest]) -> None:
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        for request in requests:
            result = self.defs.resolve_job_def(job).execute_in_process(
                instance=self.instance,
                asset_selection=request.asset_selection,
                tags=dict(request.tags),
                run_config={**request.run_config, **quiet},
            )
            assert result.success

    def tick(self) -> None:
        gauges, areas = ([stored.window for stored in self.lake.windows(each)] for each in (MEASURES, WARNING_AREAS))
        if not self.api.lists_areas:
            areas = [window_of(self.now)]
        self.run("refresh_job", refresh_requests(self.now, gauges, areas))

    def reconcile(self) -> None:
        self.run("reconcile_job", [dg.RunRequest(tags=whole_day(self.now))])

    def expire(self) -> None:
        self.run("retention_job", [dg.RunRequest()])

    @property
    def lake(self) -> Lake:
        return Lake.open(self.lake_url)

    def rows(self) -> Rows:
        """Return the rows a reader gets, with values as the API writes them; fail on a duplicate key."""
        table = self.lake.read(READINGS, now=self.now)
        values = [
            raw if raw is not None else value
            for raw, value in zip(table["raw_value"].to_pylist(), table["value"].to_pylist(), strict=True)
        ]
        rows = dict(
            zip(zip(table["measure_id"].to_pylist(), table["date_time"].to_pylist(), strict=True), values, strict=True)
        )
        assert len(rows) == len(table)
        return rows


def same(lake: Rows, truth: Rows) -> bool:
    """Return True if both hold the same readings and values, whatever the number format."""
    return lake.keys() == truth.keys() and all(_number(lake[key]) == _number(truth[key]) for key in truth)


def _number(value: str | float | None) -> object:
    if value is None or value == "":
        return None
    try:
        return float(value)
    except ValueError:
        # The order of several values says nothing.
        return sorted(str(value).split("|"))


def a_quarter_ago() -> datetime:
    """The last quarter to two: of the recorded day it is known which requests are needed then, whenever it is run."""
    now = datetime.now(UTC).replace(microsecond=0)
    last = now.replace(hour=13, minute=45, second=0)
    return last if last + timedelta(minutes=15) <= now else last - timedelta(days=1)


@pytest.mark.parametrize("store", ["folder", "bucket"])
def test_one_refresh_of_an_empty_lake_holds_exactly_the_truth_and_asks_for_each_day_and_list_once(
    api, store, instance, tmp_path, request, monkeypatch
):
    if store == "bucket":
        for name, value in request.getfixturevalue("s3_server").environ.items():
            monkeypatch.setenv(name, value)
        url = f"s3://{BUCKET}/{uuid.uuid4().hex}"
    else:
        url = (tmp_path / "lake").as_uri()
    keeper = Keeper(api, url, instance, monkeypatch)
    keeper.at(a_quarter_ago() + timedelta(minutes=4))
    api.reset()
    keeper.tick()
    lists = {"/id/stations": 1, "/id/measures": 1} | ({"/id/floods": 1, "/id/floodAreas": 1} if api.lists_areas else {})
    assert lists | {"/data/readings date": 2} == api.requests()
    truth = api.truth(keeper.now)
    assert len(truth) > 1000
    assert same(keeper.rows(), truth)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_day_of_ticks_loses_nothing_that_shows_and_a_reconcile_finds_the_rest(api, instance, tmp_path, monkeypatch):
    """96 ticks; then one reconcile and one cleanup."""
    keeper = Keeper(api, (tmp_path / "lake").as_uri(), instance, monkeypatch)
    end = a_quarter_ago()
    moment = end - DAY
    while moment <= end:
        keeper.at(moment)
        keeper.tick()
        rows, truth = keeper.rows(), api.truth(moment)
        unseen = {key for key in rows if key not in truth}
        assert not unseen, "the lake holds what the API does not show"
        revealed = {key for key in api.latest() if is_retained(key[1], moment)}
        assert not revealed - rows.keys(), "`latest` shows what the lake has not"
        moment += QUARTER

    assert len(keeper.rows()) > 0.98 * len(truth)
    keeper.reconcile()
    assert same(keeper.rows(), truth)
    table = keeper.lake.read(READINGS, now=end)
    assert pc.max(table["revision"]).as_py() >= 1, "the source has corrections, and none was seen"

    keeper.expire()
    for stored in keeper.lake.windows(READINGS):
        oldest = keeper.lake.contents(READINGS, [stored.window])[stored.window].oldest
        assert oldest is None or oldest > cutoff(end)
    assert same(keeper.rows(), truth), "the cleanup took something that is retained"
    assert not keeper.lake.expired(end)
    for table in (STATIONS, MEASURES):
        assert all(stored.window > cutoff(end) - timedelta(hours=1) for stored in keeper.lake.windows(table))
