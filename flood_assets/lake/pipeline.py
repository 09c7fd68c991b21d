"""Run tasks in parallel, but hand out their results in order."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def in_order(work: Callable[[S], T], tasks: Sequence[S], threads: int) -> Iterator[T]:
    """Yield `work(task)` for each task, in order.

    At most `threads` tasks are worked on, waiting, or in the caller's hands at once, so that memory is bounded: the
    next one is begun when the caller comes back. The error of a task is raised in its place, and ends the iteration.
    """
    threads = min(threads, len(tasks))
    if threads <= 1:
        yield from map(work, tasks)
        return
    with ThreadPoolExecutor(threads) as pool:
        queue: deque[Future[T]] = deque()
        for task in tasks:
            if len(queue) == threads:
                yield queue.popleft().result()
            queue.append(pool.submit(work, task))
        while queue:
            yield queue.popleft().result()


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

    with ThreadPoolExecutor(threads - 1) as pool:
        others = [pool.submit(done, share) for share in shares[1:]]
        return done(shares[0]) + [result for other in others for result in other.result()]
