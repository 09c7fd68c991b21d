"""Tasks run in parallel, their results come in order, and no more than a few are held."""

import subprocess
import sys
import threading

import pytest

from flood_assets.lake.pipeline import all_of, in_order


def test_results_come_in_order_although_the_first_takes_longest():
    second_ready = threading.Event()

    def work(number):
        if number == 0:
            # The second is worked on meanwhile, and waits.
            assert second_ready.wait(30)
        elif number == 1:
            second_ready.set()
        return number * 10

    assert list(in_order(work, range(4), 2)) == [0, 10, 20, 30]


def test_the_next_is_worked_on_while_the_caller_has_the_one_before():
    begun = [threading.Event() for _ in range(3)]

    def work(number):
        begun[number].set()
        return number

    results = in_order(work, range(3), 2)
    assert next(results) == 0
    assert begun[1].wait(30)
    assert not begun[2].is_set()
    assert list(results) == [1, 2]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_no_more_are_held_than_there_are_threads(threads):
    held, most, lock = 0, 0, threading.Lock()

    def work(number):
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        return number

    for _ in in_order(work, range(20), threads):
        with lock:
            held -= 1
    assert most <= threads


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_after_an_error_what_comes_before_is_done_and_nothing_after(threads):
    done = []

    def work(number):
        if number == 3:
            raise ValueError("the third")
        return number

    with pytest.raises(ValueError, match="the third"):
        done.extend(in_order(work, range(6), threads))
    assert done == [0, 1, 2]


def test_an_error_of_the_caller_ends_the_work():
    begun = []

    def take():
        for number in in_order(lambda number: begun.append(number) or number, range(9), 2):
            if number == 1:
                raise ValueError("the caller's")

    with pytest.raises(ValueError, match="the caller's"):
        take()
    assert set(begun) <= {0, 1, 2}


def test_of_two_errors_the_first_in_order_is_raised():
    later_failed = threading.Event()

    def work(number):
        if number == 0:
            assert later_failed.wait(30)
        else:
            later_failed.set()
        raise ValueError(f"number {number}")

    with pytest.raises(ValueError, match="number 0"):
        list(in_order(work, range(2), 2))


def test_nothing_gives_nothing():
    assert list(in_order(str, [], 2)) == []
    assert all_of(str, [], 2) == []


@pytest.mark.parametrize("tasks", [1, 2, 5, 25])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_all_results_are_in_order_whoever_works_on_them(tasks, threads):
    by = {}

    def work(number):
        by[number] = threading.get_ident()
        return number * 10

    assert all_of(work, range(tasks), threads) == [number * 10 for number in range(tasks)]
    assert len(set(by.values())) <= threads


def test_the_shares_of_two_threads_are_worked_on_at_once():
    other_begun = threading.Event()

    def work(number):
        if number == 0:
            assert other_begun.wait(30)
        elif number == 2:
            other_begun.set()
        return number

    assert all_of(work, range(4), 2) == [0, 1, 2, 3]


@pytest.mark.parametrize("wrong", [0, 3])
def test_an_error_of_any_share_is_raised(wrong):
    def work(number):
        if number == wrong:
            raise ValueError(f"number {number}")
        return number

    with pytest.raises(ValueError, match=f"number {wrong}"):
        all_of(work, range(4), 2)


# Raises where the caller's thread begins or ends the n-th function of Python on its way: what a signal may do.
STOPPED = """
import sys
from flood_assets.lake import pipeline
from flood_assets.lake.pipeline import all_of, in_order

pipeline._GRACE_S = 0.01

class Stop(BaseException):
    pass

def stopped_at(n, run):
    def trace(frame, event, argument):
        nonlocal n
        n -= event != "line"
        if n == 0:
            raise Stop
        return trace

    # Once only: what is done on the way out is not stopped again.
    sys.settrace(trace)
    try:
        run()
    except (Stop, RuntimeError):  # from a Condition that was left before it had its lock again
        return True
    finally:
        sys.settrace(None)
    return False

for run in (lambda: list(in_order(str, range(5), 3)), lambda: all_of(str, range(5), 3)):
    n = 1
    while stopped_at(n, run):
        n += 1
    print(n, flush=True)
"""


def test_a_signal_that_raises_anywhere_leaves_nobody_waiting():
    done = subprocess.run([sys.executable, "-c", STOPPED], capture_output=True, text=True, timeout=60, check=True)
    assert min(map(int, done.stdout.split())) > 20
    assert done.stderr == ""
