"""Work on things in a row by several threads, of which a part has to be done in the order of the row."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class _AbandonedError(Exception):
    """Something before this failed: it is not done."""


class Turns:
    """The turns of things that are numbered from 0."""

    def __init__(self, count: int) -> None:
        self._left = set(range(count))
        self._failed = count  # the first that did
        self._changed = threading.Condition()

    @contextmanager
    def of(self, number: int) -> Iterator[Callable[[], None]]:
        """Work on one of them: gives a function that returns once all before it are done.

        That raises when one before it has failed, or the whole was given up.
        """

        def wait() -> None:
            with self._changed:
                self._changed.wait_for(lambda: self._failed < number or min(self._left) == number)
                if self._failed < number:
                    raise _AbandonedError

        try:
            yield wait
        except BaseException:
            self._fail(number)
            raise
        with self._changed:
            self._left.remove(number)
            self._changed.notify_all()

    def _fail(self, number: int) -> None:
        with self._changed:
            self._failed = min(self._failed, number)
            self._changed.notify_all()

    def all(self, work: Callable[[int], T], threads: int) -> list[T]:
        """What `work` makes of each.

        Of those that fail the error of the first is raised; what comes before it is done, and nothing after it gets
        its turn. Nor does anything that has not had it when this thread is interrupted.
        """
        if len(self._left) <= 1:
            return [work(number) for number in sorted(self._left)]
        with ThreadPoolExecutor(threads, thread_name_prefix="turn") as pool:
            try:
                waiting = [pool.submit(work, number) for number in sorted(self._left)]
                return [future.result() for future in waiting]
            except BaseException:
                self._fail(-1)
                pool.shutdown(wait=False, cancel_futures=True)
                raise
