"""Threads work side by side, and what has to be done in order is."""

import threading

import pytest

from flood_assets.lake.turns import Turns


def test_all_is_done_in_order_although_the_first_takes_longest():
    turns, done, second_ready = Turns(4), [], threading.Event()

    def work(number):
        with turns.of(number) as wait:
            if number == 0:
                # The second has done its own part by now, and waits.
                assert second_ready.wait(30)
            elif number == 1:
                second_ready.set()
            wait()
            done.append(number)
        return number * 10

    assert turns.all(work, 2) == [0, 10, 20, 30]
    assert done == [0, 1, 2, 3]


def test_who_has_nothing_to_do_in_order_need_not_wait():
    turns, odd_done = Turns(2), threading.Event()

    def work(number):
        with turns.of(number) as wait:
            if number == 1:
                odd_done.set()
            else:
                assert odd_done.wait(30)
                wait()
        return number

    assert turns.all(work, 2) == [0, 1]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_after_an_error_what_comes_before_is_done_and_nothing_after(threads):
    turns, done = Turns(6), []

    def work(number):
        with turns.of(number) as wait:
            if number == 3:
                raise ValueError("the third")
            wait()
            done.append(number)

    with pytest.raises(ValueError, match="the third"):
        turns.all(work, threads)
    assert done == [0, 1, 2]


def test_of_two_errors_the_first_in_order_is_told():
    turns, later_failed = Turns(2), threading.Event()

    def work(number):
        try:
            with turns.of(number) as wait:
                if number == 0:
                    assert later_failed.wait(30)
                    wait()
                raise ValueError(f"number {number}")
        finally:
            if number == 1:
                later_failed.set()

    with pytest.raises(ValueError, match="number 0"):
        turns.all(work, 2)


def test_nothing_is_nothing():
    assert Turns(0).all(lambda number: number, 2) == []
