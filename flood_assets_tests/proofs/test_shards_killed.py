"""Kill workers and the scheduler of a Dask cluster while eight shards are refreshed, reconciled and cleaned up.

At a random moment of a command one of the processes gets SIGKILL, and a supervisor starts again what has ended. The
command must end well all the same: nothing is lost, nothing is there twice or in two shards, and the API is never asked
for more at once than it allows. How many kills: FLOOD_KILLS; the seed: FLOOD_SEED, printed when a test fails.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from flood_assets.ea.client import FloodMonitoringApi
from flood_assets.lake import members
from flood_assets.lake.lake import Lake
from flood_assets.lake.opening import open_store
from flood_assets.network import Network, parse_network
from flood_assets.shards.fan import Patience, fan_out
from flood_assets.shards.work import WORKS, Job, Name
from flood_assets.simulator import Server
from flood_assets.simulator import server as simulator
from flood_assets_tests.support import proof
from flood_assets_tests.support.dask_processes import Processes, dask_processes

KILLS = int(os.environ.get("FLOOD_KILLS") or 3)
SEED = int(os.environ.get("FLOOD_SEED") or 1)
SHARDS, AT_ONCE, STATIONS = 8, 2, 20

# Before an hour and a midnight, so that even a few rounds cross both.
START = datetime(2026, 10, 15, 22, 40, 30, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
WORKERS = (0, 1)

# Each kill takes some seconds of processor time for processes that start: `shards/test_fan.py` has two for every day.
pytestmark = [pytest.mark.long, pytest.mark.timeout(600 + 60 * KILLS)]


class Queue:
    """Requests that the API is answering, and the most of them at one moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = self.most = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            yield
        finally:
            with self._lock:
                self._now -= 1


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Queue:
    """The API takes a moment for each answer; only this moment counts, as a client is done before its server is."""
    asked, answer = Queue(), simulator._Handler._api

    def slowly(handler, path, query):
        with asked.one():
            time.sleep(0.02)
        answer(handler, path, query)

    monkeypatch.setattr(simulator._Handler, "_api", slowly)
    return asked


class Operator:
    """Operator that runs commands on a cluster as time goes on, and kills its processes."""

    def __init__(self, under: Path, country: Server, processes: Processes) -> None:
        self.country, self.processes = country, processes
        self.chance = random.Random(SEED)
        self.common = (under / "lake").as_uri()
        self.witness = proof.Witness(country)
        self.usual: dict[Name, float] = {}
        self.killed: Counter[str] = Counter()
        self.escaped = 0
        self.works: list[Name] = []
        self.victims: list[int | None] = []
        api = FloodMonitoringApi(country.url, now=lambda: START)
        # One has an empty notation, and cannot be asked for.
        self.measures = {row["measure_id"] for row in api.measures().rows.to_pylist() if row["station_id"]}
        self.network = self._network(sorted(filter(None, api.stations().rows["station_id"].to_pylist())))
        members.claim(open_store(self.common), self.network)
        self.at(START)

    def _network(self, stations: list[str]) -> Network:
        described = "".join(f'[[shard]]\nname = "s{n}"\nstations = {stations[n::SHARDS]}\n' for n in range(SHARDS))
        return parse_network(f'name = "n"\nat_once = {AT_ONCE}\n{described}', self.country.url)

    def at(self, moment: datetime) -> None:
        self.now = moment
        self.country.set_clock(moment)
        self.truth = {key: value for key, value in self.witness.look(moment).items() if key[0] in self.measures}

    @property
    def lakes(self) -> list[Lake]:
        return [Lake.open(shard.lake_url(self.common)) for shard in self.network.shards]

    def held(self) -> dict[proof.Key, proof.Held]:
        found: dict[proof.Key, proof.Held] = {}
        for lake in self.lakes:
            more = proof.held(lake, self.now)
            assert not found.keys() & more.keys(), "a reading is in two shards"
            found |= more
        return found

    def run(self, work: Name) -> float:
        """Do the work for all shards; each must end well, whatever died meanwhile."""
        began = time.monotonic()
        job = Job(self.common, self.now.isoformat())
        patience = Patience(connect_s=120, grace_s=1)
        outcomes = [
            *fan_out(partial(WORKS[work], job), self.network.shards, dask=self.processes.address, patience=patience)
        ]
        assert {each.shard.name: each.reason for each in outcomes} == dict.fromkeys(
            (f"s{n}" for n in range(SHARDS)), ""
        )
        assert len(outcomes) == SHARDS
        return time.monotonic() - began

    def complete(self, work: Name) -> None:
        self.usual[work] = self.run(work)

    def kill(self, work: Name) -> None:
        """Run a command, kill a process meanwhile, and check the lakes."""
        before, self.victims = self.held(), self.victims or self.chance.sample([None, *WORKERS], 3)
        victim, over = self.victims.pop(), threading.Event()
        self.processes.whole()

        def kill_and_keep() -> None:
            if over.wait(self.chance.uniform(0, self.usual[work])):
                return
            self.killed[f"{work}, {'the scheduler' if victim is None else 'a worker'}"] += 1
            if victim is None:
                self.processes.kill_scheduler()
            else:
                self.processes.kill_worker(victim)
            # A worker ends by itself a moment after its scheduler.
            while not over.wait(0.2):
                self.processes.keep()

        killer, killed = threading.Thread(target=kill_and_keep), self.killed.total()
        killer.start()
        try:
            taken = self.run(work)
        finally:
            over.set()
            killer.join()
        if self.killed.total() == killed:
            # It ended first: its turn comes again, with this as its measure.
            self.escaped, self.usual[work] = self.escaped + 1, taken
            self.works.insert(0, work)
            self.victims.append(victim)
        after = self.held()
        assert not "; ".join(filter(None, map(proof.unreadable, self.lakes)))
        assert not proof.lost(before, after, self.now - proof.DAY)
        assert not proof.invented(after, self.witness)

    def next(self) -> Name:
        if not self.works:
            self.works = self.chance.sample(["refresh", "reconcile", "expire"], 3)
        return self.works.pop()

    def tick(self) -> None:
        """Refresh after a kill: all that `latest` shows is there."""
        self.complete("refresh")
        after = self.held()
        assert not proof.behind(after, self.truth)
        assert not proof.invented(after, self.witness)

    def end(self) -> None:
        """After a reconcile and a cleanup the shards hold what the API shows, and nothing else."""
        self.complete("reconcile")
        assert not proof.unlike(self.held(), self.truth)
        self.complete("expire")
        assert not "; ".join(filter(None, (proof.past(lake, self.now) for lake in self.lakes)))
        assert not [name for lake in self.lakes for name in proof.litter(lake)]


def kill_again_and_again(operator: Operator, kills: int) -> None:
    print(f"FLOOD_SEED={SEED} FLOOD_KILLS={kills}")
    operator.complete("refresh")
    # What these take for the first time is as good a measure as any.
    operator.usual |= {"reconcile": operator.usual["refresh"], "expire": operator.usual["refresh"] / 4}
    while operator.killed.total() < kills:
        assert operator.escaped <= 2 * kills + 10, "commands end before anything is killed"
        operator.at(operator.now + operator.chance.choices((QUARTER, 2 * QUARTER, 5 * QUARTER), (8, 2, 1))[0])
        operator.kill(operator.next())
        print(f"{operator.now:%d %H:%M}: killed {operator.killed.total()}", flush=True)
        # The command has healed what the kill left; now and then a tick looks whether more is to be done.
        if operator.chance.random() < 0.3:
            operator.tick()
    operator.end()
    print(f"killed {dict(operator.killed)}; {operator.escaped} ended first")


def test_shards_lose_nothing_when_workers_and_the_scheduler_are_killed(tmp_path, asked):
    with (
        proof.restless_country(STATIONS, SEED, lambda: START) as country,
        dask_processes(tmp_path, len(WORKERS)) as processes,
    ):
        kill_again_and_again(Operator(tmp_path, country, processes), KILLS)
    assert asked.most == AT_ONCE, "all shards and workers together ask for two at once, and never for more"
