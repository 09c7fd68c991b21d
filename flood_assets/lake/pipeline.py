"""Run tasks in parallel, but hand out their results in order.

A signal may raise anywhere in the main thread, as SIGTERM does in Dagster's runs. In a `ThreadPoolExecutor` that may be
between the taking of a lock and the block that lets it go: its threads wait for it for ever, and the process for them.
Here threads share nothing but queues that take and give in one step, and nobody waits for a thread.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Generic, TypeVar, cast

S = TypeVar("S")
T = TypeVar("T")

# What a task that has begun is given to end once a signal has raised; it writes whole objects or none.
_GRACE_S = 5.0


def in_order(work: Callable[[S], T], tasks: Sequence[S], threads: int) -> Iterator[T]:
    """Yield `work(task)` for each task, in order.

    At most `threads` tasks are worked on, waiting, or in the caller's hands at once, so that memory is bounded: the
    next one is begun when the caller comes back. The error of a task is raised in its place, and ends the iteration.
    """
    threads = min(threads, len(tasks))
    if threads <= 1:
        yield from map(work, tasks)
        return
    with _Threads(work, threads) as begun:
        for task in tasks[: threads - 1]:
            begun.begin(task)
        for number in range(len(tasks)):
            for task in tasks[number + threads - 1 : number + threads]:
                begun.begin(task)
            yield begun.result(number)


def all_of(work: Callable[[S], T], tasks: Sequence[S], threads: int) -> list[T]:
    """Return `work(task)` of each task, in order, for short tasks all of whose results are wanted at once.

    Each thread has its own run of tasks, the caller's the first. Handing short tasks out one by one costs as much as
    they take: a day of one gauge was read no sooner by two threads than by one. The error of a task is raised when all
    threads have ended.
    """
    if (threads := min(threads, len(tasks))) <= 1:
        return [work(task) for task in tasks]
    ends = [len(tasks) * (thread + 1) // threads for thread in range(threads)]
    shares = [tasks[start:end] for start, end in pairwise([0, *ends])]

    def done(share: Sequence[S]) -> list[T]:
        return [work(task) for task in share]

    with _Threads(done, threads - 1) as others:
        for share in shares[1:]:
            others.begin(share)
        return done(shares[0]) + [result for number in range(threads - 1) for result in others.result(number)]


class _Threads(Generic[S, T]):
    """Threads that work on tasks as they are given; all have ended with the context, unless a signal ended it."""

    def __init__(self, work: Callable[[S], T], threads: int) -> None:
        self._work = work
        self._given: SimpleQueue[tuple[int, S] | None] = SimpleQueue()
        self._ended: SimpleQueue[tuple[int, T | None, BaseException | None]] = SimpleQueue()
        self._results: dict[int, tuple[T | None, BaseException | None]] = {}
        self._begun = self._unseen = self._started = 0
        self._most = threads
        self._raised: BaseException | None = None

    def __enter__(self) -> "_Threads[S, T]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stopped = error is not self._raised and not isinstance(error, Exception | GeneratorExit)
        with suppress(Empty):
            while self._unseen:
                self._see(_GRACE_S if stopped else None)
        for _ in range(self._started):
            self._given.put(None)

    def begin(self, task: S) -> None:
        """Give the next task to the threads."""
        if self._started < self._most:
            self._started += 1
            # Not waited for when the process ends.
            Thread(target=self._run, daemon=True).start()
        self._given.put((self._begun, task))
        self._begun += 1
        self._unseen += 1

    def result(self, number: int) -> T:
        """Wait for the task that was begun as the n-th, from 0, and return its result or raise its error."""
        while number not in self._results:
            self._see(None)
        result, error = self._results.pop(number)
        if error is not None:
            self._raised = error
            raise error
        return cast("T", result)

    def _see(self, timeout: float | None) -> None:
        number, result, error = self._ended.get(timeout=timeout)
        self._results[number] = (result, error)
        self._unseen -= 1

    def _run(self) -> None:
        while (given := self._given.get()) is not None:
            number, task = given
            try:
                self._ended.put((number, self._work(task), None))
            except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
                self._ended.put((number, None, error))
