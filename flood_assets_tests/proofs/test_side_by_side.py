"""Test concurrent runs on one lake, each a process, while the API moves on and readers keep reading.

Four refreshes, a reconcile and two cleanups begin in the same moment, as those of several machines may: nothing is
lost, nothing is there twice, and no older value replaces a newer one. How many rounds: FLOOD_ROUNDS; the seed of the
country: FLOOD_SEED.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from flood_assets.lake import watermarks
from flood_assets.lake.objects import Blob
from flood_assets.schemas import READINGS
from flood_assets.simulator import Server
from flood_assets_tests.support import proof
from flood_assets_tests.support.forked import READERS, Ended, Forker, Order, Pace
from flood_assets_tests.support.lake_rows import put_raw
from flood_assets_tests.support.proof import Held, Key, Store, Value, Witness, processes
from flood_assets_tests.support.s3 import S3Server
from flood_assets_tests.support.s3_process import s3_process

__all__ = ["processes"]

ROUNDS = int(os.environ.get("FLOOD_ROUNDS") or 1)
SEED = int(os.environ.get("FLOOD_SEED") or 1)

# An hour and a day end while the first runs are under way.
START = datetime(2026, 10, 15, 23, 58, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SPEED = 30
SLOW_S = 0.02

# Refreshes continue from each other's watermarks: no other fetches again what one of them loses.
TIMES = {"refresh": 2}

WRITERS = ("refresh", "refresh", "refresh", "refresh", "reconcile", "expire", "expire")
TOGETHER = (0,) * len(WRITERS)
# Seconds by which the clocks of the writers are wrong.
APART = (0, 100, -100, 60, -60, 0, -90)

pytestmark = pytest.mark.timeout(600 * (1 + ROUNDS))


@pytest.fixture(scope="module")
def moto() -> Iterator[S3Server]:
    with s3_process() as server:
        yield server


class Crowd:
    """Concurrent runs on one lake, with the clock that they, the API and the readers share."""

    def __init__(self, store: Store, server: Server, processes: Forker) -> None:
        self.store, self.server, self.processes = store, server, processes
        self.witness = Witness(server)
        self.lake = store.open()

    def alone(self, work: str, now: datetime) -> Ended:
        """Run once while the API's clock stands still; it must succeed."""
        self.server.set_clock(now)
        self.witness.look(now)
        environ = {"FLOOD_API_URL": self.server.url, "FLOOD_NOW": now.isoformat(), **self.store.environ}
        (ended,) = self.processes.run(Order(work, environ))
        assert not ended.failed, ended.said
        return ended

    def together(
        self, start: datetime, *orders: tuple[str, float], times: Mapping[str, int] | None = None
    ) -> tuple[list[Ended], datetime]:
        """Run all at once, each with a clock off by some seconds; return the moment when all have ended."""
        pace = Pace(start, time.monotonic(), SPEED)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.server.simulator, "_now", pace.now)
            self.server.set_clock(None)
            environ = {"FLOOD_API_URL": self.server.url, **self.store.environ}
            ended = self.processes.run(
                *(Order(work, environ, None, pace, off, SLOW_S, (times or {}).get(work, 1)) for work, off in orders)
            )
            end = pace.now().replace(microsecond=0) + timedelta(seconds=1)
            self.server.set_clock(end)
        return ended, end

    def went_back(
        self, after: dict[Key, Held], end: datetime, undecided: timedelta, known: Mapping[Key, set[Value]]
    ) -> list[object]:
        """Return readings that had the true value and went back to an older one.

        Args:
            after: what the lake holds.
            end: the present, when all runs have ended.
            undecided: how long a request may take from its stamp until the API decides what to answer.
            known: what the API had shown before: to such a value it may have come back by itself.
        """
        truth = self.witness.look(end)
        back = []
        for key, held in after.items():
            value = truth.get(key, held.value)
            if held.value == value or held.previous != value or value in known.get(key, ()):
                continue
            # Two that were under way at once: which was first nobody can know, and a reconcile puts it right.
            moment = min(held.changed + undecided, end)
            self.server.set_clock(moment)
            if self.witness.look(moment).get(key) != value:
                back.append((key, held, value))
        self.server.set_clock(end)
        return back


@pytest.fixture
def crowd(processes: Forker) -> Iterator[Callable[[Store], Crowd]]:
    with proof.restless_country(60, SEED, lambda: START) as server:
        yield lambda store: Crowd(store, server, processes)


def meet(crowd: Crowd, readers: list[str], *, apart: bool) -> None:
    """Run rounds of concurrent runs and check all invariants after each.

    Args:
        crowd: on which lake.
        readers: who looks meanwhile.
        apart: whether in the first round, and in each second one after it, clocks differ and requests fail.
    """
    print(f"FLOOD_SEED={SEED} FLOOD_ROUNDS={ROUNDS}")
    now = START - timedelta(minutes=40)
    for work in ("refresh", "reconcile"):
        crowd.alone(work, now)
    now = START
    for number in range(apart, apart + ROUNDS):
        crowd.server.set_clock(now)
        truth = crowd.witness.look(now)
        before, known = proof.held(crowd.lake, now), watermarks.load(crowd.lake.store)
        shown = {key: set(values) for key, values in crowd.witness.shown.items()}
        offsets = (TOGETHER, APART)[number % 2]
        orders = [*zip(WRITERS, offsets, strict=True), *((reader, 0) for reader in readers)]
        if number % 2:
            # A machine whose clock is far behind, and an API that refuses more requests than the five can send that are
            # tried again: at least one run is refused at its second try too.
            orders.append(("refresh", -600))
            crowd.server.set_faults([{"match": "latest", "status": 400, "times": 16}])
        ended, end = crowd.together(now, *orders, times=TIMES)
        crowd.server.set_faults([])

        writers, watchers = ended[: len(WRITERS)], ended[len(WRITERS) : len(WRITERS) + len(readers)]
        wrong = [one.said for one in writers if one.failed]
        if number % 2:
            # They say why, and what the others stored stays.
            assert all(one.failed <= {"readings"} for one in writers), wrong
            refused = [one for one in ended if one.failed]
            assert refused
            assert all("HTTP 400" in one.said or "clock says" in one.said for one in refused), wrong
        else:
            assert not wrong, wrong
        for one in watchers:
            assert one.code == 0, f"{one.work}: {one.said}"
            print(f"{one.work}: {one.said.strip()}")

        assert not proof.unreadable(crowd.lake)
        crowd.witness.look(end)
        after = proof.held(crowd.lake, end)
        # What the foremost of the clocks has let expire.
        edge = end + max(offsets) * timedelta(seconds=1) - proof.DAY
        assert not proof.lost(before, after, edge)
        assert not proof.invented(after, crowd.witness)
        stays = {key: value for key, value in truth.items() if key[1] > edge}
        assert not proof.unjustified(crowd.lake, known.rows if known else None, after, stays)
        # A run asks several times: what it asks for takes a part of it, however busy the machine is.
        longest = max(one.seconds / TIMES.get(one.work, 1) for one in writers)
        assert not crowd.went_back(after, end, SPEED * timedelta(seconds=longest / 2), shown)

        now = end + 2 * MINUTE
        crowd.alone("reconcile", now)
        assert not proof.unlike(proof.held(crowd.lake, now), crowd.witness.look(now))
        crowd.alone("expire", now)
        assert not proof.past(crowd.lake, now)
        assert not proof.litter(crowd.lake)
        revised = sum(after[key].revision > before[key].revision for key in before.keys() & after.keys())
        print(f"round {number}: {end - START} later, {len(after.keys() - before.keys())} new, {revised} revised")
        now += 13 * MINUTE


def test_runs_at_once_on_a_folder_lose_nothing_and_its_readers_never_see_less_than_before(crowd, tmp_path):
    meet(crowd(proof.a_folder(tmp_path)), list(READERS), apart=False)


def test_runs_at_once_on_a_bucket_lose_nothing_and_its_readers_never_see_less_than_before(crowd, moto):
    meet(crowd(proof.a_bucket(moto)), ["read the lake", "read in a notebook"], apart=True)


@pytest.mark.s3
def test_runs_at_once_on_a_real_s3_lose_nothing_and_its_readers_never_see_less_than_before(crowd, ceph_server):
    meet(crowd(proof.a_bucket(ceph_server)), ["read the lake", "read in a notebook"], apart=True)


def survive_damage(crowd: Crowd) -> None:
    """Damage two windows, one wholly and one inside, and run many runs at once."""
    print(f"FLOOD_SEED={SEED}")
    now = START - timedelta(minutes=40)
    for work in ("refresh", "reconcile"):
        crowd.alone(work, now)
    now = START
    crowd.server.set_clock(now)
    crowd.witness.look(now)
    before = proof.held(crowd.lake, now)
    windows = crowd.lake.windows(READINGS)
    put_raw(crowd.lake, windows[5].key, b"not Parquet")
    inside = crowd.lake.store.get(windows[9].key)
    assert isinstance(inside, Blob)
    data = inside.data.to_pybytes()
    put_raw(crowd.lake, windows[9].key, data[:200] + bytes(100) + data[300:])

    ended, end = crowd.together(now, *zip(WRITERS, TOGETHER, strict=True))
    # Who decodes it first says so, and until the day has been read again nobody knows what it lacks.
    wrong = [one.failed - {"windows_can_be_read", "everything_fetched"} for one in ended]
    assert not any(wrong), [one.said for one in ended if one.failed]
    assert len(crowd.lake.store.list("_quarantine/readings")) >= 2, "what was damaged is kept"

    now = end + 2 * MINUTE
    crowd.alone("refresh", now)
    after, _ = proof.held(crowd.lake, now), crowd.witness.look(now)
    gone = [key for key in before if key[1] > now - proof.DAY and key not in after]
    assert not gone, "watermarks claim what was in the damaged windows, and nobody asks for it"
    assert not proof.invented(after, crowd.witness)
    crowd.alone("reconcile", now)
    assert not proof.unlike(proof.held(crowd.lake, now), crowd.witness.look(now))


def test_many_runs_that_meet_damaged_windows_of_a_folder_fill_them_again(crowd, tmp_path):
    survive_damage(crowd(proof.a_folder(tmp_path)))


@pytest.mark.long
def test_many_runs_that_meet_damaged_windows_of_a_bucket_fill_them_again(crowd, moto):
    survive_damage(crowd(proof.a_bucket(moto)))
