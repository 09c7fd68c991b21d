"""Work for many shards: one outcome for each, in this process and on a real Dask scheduler, whatever dies meanwhile."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import distributed
import pytest
from distributed.comm import CommClosedError

from flood_assets.errors import SettingsError
from flood_assets.network import Shard, parse_network
from flood_assets.shards.fan import Outcome, Patience, fan_out
from flood_assets_tests.shards import works
from flood_assets_tests.support.dask_processes import Processes, dask_processes, free_port

API = "http://user:secret@127.0.0.1:1/flood-monitoring"
# Nothing here waits for a request that is under way at an API.
QUICK = Patience(grace_s=0)


def shards_named(*names: str, at_once: int = 4) -> tuple[Shard, ...]:
    described = "".join(f'[[shard]]\nname = "{name}"\nparameter = "{name}"\n' for name in names)
    return parse_network(f'name = "england"\nat_once = {at_once}\n{described}', API).shards


def by_name(outcomes: list[Outcome]) -> dict[str, Outcome]:
    found = {each.shard.name: each for each in outcomes}
    assert len(found) == len(outcomes), "a shard has two outcomes"
    return found


def wait_for(path: Path) -> None:
    over = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < over, f"{path.name} did not come"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory):
    with dask_processes(tmp_path_factory.mktemp("dask")) as made:
        yield made


@pytest.fixture(params=["in this process", "on Dask"])
def dask(request: pytest.FixtureRequest) -> str | None:
    if request.param == "in this process":
        return None
    made: Processes = request.getfixturevalue("processes")
    return made.whole()


def test_a_shard_that_fails_does_not_fail_the_others_and_is_tried_again(dask, tmp_path):
    names = ("away", "wrong", "bug", "once", "partly", "well")
    found = by_name(list(fan_out(partial(works.troubled, tmp_path), shards_named(*names), dask=dask, patience=QUICK)))
    assert {name: (each.reason, each.tries) for name, each in found.items()} == {
        "away": ("the API is away", 2),
        "wrong": ("FLOOD_X is wrong", 1),
        "bug": ("an error of the program, see the log: KeyError: 'a row'", 2),
        "once": ("", 2),
        "partly": ("the warnings failed", 2),
        "well": ("", 1),
    }
    assert found["well"].result == "well"
    assert found["once"].result == "once"
    assert found["partly"].result == "the readings"
    assert {name: len((tmp_path / name).read_text()) for name in names} == {n: e.tries for n, e in found.items()}


def test_results_come_one_by_one(tmp_path):
    outcomes = fan_out(partial(works.troubled, tmp_path), shards_named("a", "b"))
    assert next(outcomes).result == "a"
    assert not (tmp_path / "b").exists()


def test_no_more_requests_are_inside_the_gate_of_an_api_than_it_allows_in_this_process(tmp_path):
    seen = []

    def both(shard, gate):
        with ThreadPoolExecutor(4) as pool:
            each = [Shard(f"{shard.name}{n}", "n", API, shard.scope, leads=False) for n in range(4)]
            seen.extend(pool.map(lambda one: works.inside(tmp_path, 0.1, one, gate), each))

    assert [each.reason for each in fan_out(both, shards_named("a", at_once=2))] == [""]
    assert max(seen) == 2


def test_no_more_requests_are_inside_the_gate_of_an_api_than_it_allows_on_all_workers(processes, tmp_path):
    address = processes.whole()
    for at_once in (1, 2):
        shards = shards_named("a", "b", "c", "d", at_once=at_once)
        found = list(fan_out(partial(works.inside, tmp_path, 0.4), shards, dask=address, patience=QUICK))
        assert [each.reason for each in found] == [""] * 4
        assert max(each.result for each in found) == at_once


def test_work_goes_to_another_worker_when_one_dies(processes, tmp_path):
    address = processes.whole()
    work, shards = partial(works.waiting, tmp_path), shards_named("a", "b", "c")

    def kill() -> None:
        wait_for(tmp_path / "a began")
        wait_for(tmp_path / "b began")
        processes.kill_worker(0)
        (tmp_path / "go on").touch()

    killer = threading.Thread(target=kill)
    killer.start()
    found = by_name(list(fan_out(work, shards, dask=address, patience=QUICK)))
    killer.join()
    assert {name: (each.reason, each.tries) for name, each in found.items()} == dict.fromkeys("abc", ("", 1))
    assert {each.result for each in found.values()} == {processes.pid_of_worker(1)}


def test_what_has_no_result_is_submitted_again_when_the_scheduler_was_lost(processes, tmp_path, caplog):
    address = processes.whole()
    work, shards = partial(works.waiting, tmp_path), shards_named("a", "b", "c")

    def kill() -> None:
        wait_for(tmp_path / "a began")
        wait_for(tmp_path / "b began")
        processes.kill_scheduler()
        (tmp_path / "go on").touch()
        processes.wait_for_workers_to_end()
        processes.keep()

    killer = threading.Thread(target=kill)
    killer.start()
    found = by_name(list(fan_out(work, shards, dask=address, patience=QUICK)))
    killer.join()
    assert {name: (each.reason, each.tries) for name, each in found.items()} == dict.fromkeys("abc", ("", 1))
    assert "was lost: 3 shards again" in caplog.text


def test_a_scheduler_that_ends_while_it_greets_is_waited_for(processes, monkeypatch):
    """One was killed in just this moment, in a run of the proof with fifty kills."""
    address, greeted = processes.whole(), []

    class Unlucky(distributed.Client):
        def __init__(self, *args, **more) -> None:
            greeted.append(address)
            if len(greeted) == 1:
                raise CommClosedError("in <TCP (closed) Client->Scheduler>: Stream is closed")
            super().__init__(*args, **more)

    monkeypatch.setattr(distributed, "Client", Unlucky)
    assert [each.result for each in fan_out(works.named, shards_named("a"), dask=address, patience=QUICK)] == ["A"]
    assert len(greeted) == 2


def test_it_is_said_who_is_still_at_work_and_a_shard_that_never_ends_is_given_up(processes, tmp_path, caplog):
    address = processes.whole()
    patience = Patience(told_every_s=0.2, silence_s=1, grace_s=0)
    work = partial(works.waiting, tmp_path)
    (outcome,) = fan_out(work, shards_named("slow"), dask=address, patience=patience)
    assert outcome.reason.startswith("no shard has ended for 1 s; still at work: slow (tcp://127.0.0.1:")
    assert "still at work: slow (tcp://127.0.0.1:" in caplog.text
    (tmp_path / "go on").touch()


def test_a_scheduler_that_stays_away_is_the_reason_of_what_is_left(processes, tmp_path):
    address = processes.whole()

    def kill() -> None:
        wait_for(tmp_path / "a began")
        processes.end()

    # The client gives up by itself after as long as it waited at first: that must do for two processes to start.
    patience = Patience(connect_s=15, grace_s=0)
    killer = threading.Thread(target=kill)
    killer.start()
    work = partial(works.waiting, tmp_path)
    (outcome,) = fan_out(work, shards_named("a"), dask=address, patience=patience)
    killer.join()
    assert "where no scheduler of Dask answers within 15 s" in outcome.reason


def test_processes_of_this_machine_do_the_work_with_one_heap_that_is_not_trimmed(monkeypatch):
    for name in works.MEMORY:
        monkeypatch.delenv(name, raising=False)
    found = list(fan_out(works.placed, shards_named("a", "b"), dask="local[2]"))
    assert [each.reason for each in found] == ["", ""]
    results = [each.result or {} for each in found]
    assert os.getpid() not in {each.pop("pid") for each in results}
    assert results == [{"MALLOC_TRIM_THRESHOLD_": None, "MALLOC_ARENA_MAX": "1"}] * 2


def test_an_address_without_a_scheduler_is_a_setting_that_is_wrong():
    nowhere, patience = f"tcp://127.0.0.1:{free_port()}", Patience(connect_s=1)
    with pytest.raises(SettingsError, match=r"where no scheduler of Dask answers within 1 s: start `dask scheduler`"):
        list(fan_out(works.named, shards_named("a"), dask=nowhere, patience=patience))


def test_an_address_that_dask_cannot_use_is_said_with_its_reason():
    with pytest.raises(SettingsError, match=r"tls://127.0.0.1:1', which Dask cannot use \(TLS expects .*: correct it"):
        list(fan_out(works.named, shards_named("a"), dask="tls://127.0.0.1:1", patience=Patience(connect_s=1)))


def test_a_scheduler_without_a_worker_is_one_too(tmp_path):
    with dask_processes(tmp_path, workers=0) as processes:
        address = processes.whole()
        with pytest.raises(SettingsError, match=rf"no worker after 1 s: start `dask worker {address} --nthreads"):
            list(fan_out(works.named, shards_named("a"), dask=address, patience=Patience(connect_s=1)))


def test_a_missing_dask_is_said_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SettingsError, match=r"FLOOD_DASK is 'local\[1\]', and Dask cannot be imported.*\[dask\]"):
        list(fan_out(works.named, shards_named("a"), dask="local[1]"))


def test_without_dask_none_of_it_is_imported():
    code = (
        "import sys; from flood_assets.shards.fan import fan_out; list(fan_out(print, []));"
        "assert not {'dask', 'distributed', 'flood_assets.shards.cluster'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
