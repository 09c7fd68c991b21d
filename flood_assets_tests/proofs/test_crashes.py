"""Test killed runs: at any moment the lake stays whole, nothing is lost, and the next run completes.

The runs are what `flood-assets refresh`, `reconcile` and `expire` do, each in a process of its own, ended by SIGKILL at
a random moment of its time, or before, during or after a random object that it writes or deletes. All commands and all
four kinds of kill take turns in random order, so that four kills have each once. How many: FLOOD_KILLS; the seed:
FLOOD_SEED, printed when a test fails.
"""

import os
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

import pytest

from flood_assets.lake.read import StoredWindow
from flood_assets.simulator import Server
from flood_assets_tests.support import proof
from flood_assets_tests.support.forked import Ended, Forker, Kill, Order
from flood_assets_tests.support.proof import Store, Witness, processes
from flood_assets_tests.support.s3_process import s3_process

__all__ = ["processes"]

KILLS = int(os.environ.get("FLOOD_KILLS") or 4)
SEED = int(os.environ.get("FLOOD_SEED") or 1)

# Before an hour and a midnight, so that even a few rounds cross both.
START = datetime(2026, 10, 15, 22, 40, 30, tzinfo=UTC)
QUARTER = timedelta(minutes=15)

Kind = Literal["at a moment", "before", "during", "after"]

pytestmark = pytest.mark.timeout(300 + 30 * KILLS)


@pytest.fixture(scope="module")
def country() -> Iterator[Server]:
    with proof.restless_country(30, SEED, lambda: START) as server:
        yield server


@pytest.fixture(scope="module")
def moto() -> Iterator[Store]:
    with s3_process() as server:
        yield proof.a_bucket(server)


class Operator:
    """Operator that runs commands on a lake as time goes on, and kills some."""

    def __init__(self, store: Store, country: Server, processes: Forker, chance: random.Random) -> None:
        self.store, self.country, self.processes, self.chance = store, country, processes, chance
        self.witness = Witness(country)
        self.lake = store.open()
        self.more: dict[str, str] = {}
        self.usual: dict[str, Ended] = {}
        self.killed: Counter[str] = Counter()
        self.escaped = 0
        self.seen: set[StoredWindow] = set()
        self.works: list[str] = []
        self.kinds: list[Kind] = []
        self.at(START)

    def at(self, moment: datetime) -> None:
        self.now = moment
        self.country.set_clock(moment)
        self.truth = self.witness.look(moment)

    def run(self, work: str, kill: Kill | None = None) -> Ended:
        environ = {"FLOOD_API_URL": self.country.url, "FLOOD_NOW": self.now.isoformat()}
        (ended,) = self.processes.run(Order(work, {**environ, **self.store.environ, **self.more}, kill))
        return ended

    def complete(self, work: str) -> None:
        """Run to successful completion; its duration bounds the later kills."""
        ended = self.run(work)
        assert not ended.failed, ended.said
        # What a run that has nothing to do takes is no measure of one that has.
        usual = self.usual.get(work)
        if usual is None or ended.objects >= usual.objects // 2:
            self.usual[work] = ended

    def next(self) -> str:
        """Return the next command to kill: all three in turn, in random order."""
        if not self.works:
            self.works = ["refresh", "refresh", "reconcile", "expire"]
            self.chance.shuffle(self.works)
        return self.works.pop()

    def how(self, usual: Ended) -> tuple[Kind, Kill]:
        """Return the next kind of kill, in random order, and one of it for a run that usually ends so."""
        if not self.kinds:
            self.kinds = [*get_args(Kind)]
            self.chance.shuffle(self.kinds)
        kind = self.kinds.pop()
        if kind == "at a moment":
            return kind, Kill(after_s=self.chance.uniform(0, usual.seconds))
        return kind, Kill(at_object=self.chance.randint(1, max(usual.objects, 1)), when=kind)

    def kill(self, work: str) -> None:
        """Kill a run and check the lake."""
        before = proof.held(self.lake, self.now)
        kind, kill = self.how(self.usual[work])
        ended = self.run(work, kill)
        if ended.killed:
            self.killed[f"{work}, {kind}"] += 1
        else:
            assert not ended.failed, ended.said
            self.escaped += 1
            # It ended first, for it had less to do than usual: its turn comes again, with this as its measure.
            self.usual[work] = ended
            self.works.insert(0, work)
            self.kinds.insert(0, kind)
        assert not proof.unreadable(self.lake, self.seen)
        after = proof.held(self.lake, self.now)
        assert not proof.lost(before, after, self.now - proof.DAY)
        assert not proof.invented(after, self.witness)

    def tick(self) -> None:
        """Run the refresh after a kill; it completes and stores all that `latest` shows."""
        self.complete("refresh")
        after = proof.held(self.lake, self.now)
        assert not proof.behind(after, self.truth)
        assert not proof.invented(after, self.witness)

    def reconcile(self) -> None:
        self.complete("reconcile")
        assert not proof.unlike(proof.held(self.lake, self.now), self.truth)

    def expire(self) -> None:
        before = proof.held(self.lake, self.now)
        self.complete("expire")
        assert not proof.lost(before, proof.held(self.lake, self.now), self.now - proof.DAY)
        assert not proof.past(self.lake, self.now)
        assert not proof.litter(self.lake), "a killed run's files are swept"


def kill_again_and_again(operator: Operator, kills: int) -> None:
    """Kill runs repeatedly, each followed by healing runs; time advances by at least 15 minutes."""
    chance = operator.chance
    print(f"FLOOD_SEED={SEED} FLOOD_KILLS={KILLS}")
    for work in ("refresh", "reconcile", "expire"):
        operator.at(operator.now + QUARTER)
        operator.complete(work)
    while operator.killed.total() < kills:
        assert operator.escaped <= 2 * kills + 10, "runs end before they are killed"
        operator.at(operator.now + chance.choices((QUARTER, 2 * QUARTER, 5 * QUARTER), (8, 2, 1))[0])
        work = operator.next()
        operator.kill(work)
        if chance.random() < 0.2:
            # A second run is killed before any has healed the first.
            operator.kill(operator.next())
        print(f"{operator.now:%d %H:%M}: killed {operator.killed.total()}", flush=True)
        operator.tick()
        if chance.random() < 0.5:
            operator.reconcile()
        if work == "expire" or chance.random() < 0.2:
            operator.expire()
    operator.reconcile()
    operator.expire()
    print(f"killed {dict(operator.killed)}; {operator.escaped} ended first")


def test_runs_that_are_killed_leave_a_folder_whole_and_the_next_run_completes(country, processes, tmp_path):
    chance = random.Random(f"{SEED} folder")
    operator = Operator(proof.a_folder(tmp_path), country, processes, chance)
    kill_again_and_again(operator, KILLS)


# What a killed write leaves in a bucket is tested with the store; that each run copes with it, in the long proofs.
@pytest.mark.long
def test_runs_that_are_killed_leave_a_bucket_whole_and_the_next_run_completes(country, processes, moto):
    operator = Operator(moto, country, processes, random.Random(f"{SEED} bucket"))
    kill_again_and_again(operator, KILLS)
