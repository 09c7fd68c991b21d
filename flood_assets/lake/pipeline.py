"""Run tasks in parallel, but hand out their results in order."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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
