"""Do the same work for many shards, in this process or on a Dask cluster, and yield each result as it comes.

    for outcome in fan_out(work, network.shards, dask=settings.dask()):
        print(outcome.shard.name, outcome.reason or outcome.result)

A shard that fails does not fail the others. What is tried again, and for how long results are waited for, is said by
`Patience`. How Dask does it is in `cluster`, which is imported only when it is asked for.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from flood_assets.network import Shard
from flood_assets.shards.outcome import Outcome, Patience, Work, again, attempt

__all__ = ["Outcome", "Patience", "Work", "fan_out"]

T = TypeVar("T")


def fan_out(
    work: Work[T], shards: Iterable[Shard], *, dask: str | None = None, patience: Patience | None = None
) -> Iterator[Outcome[T]]:
    """Do the work for each shard; yield the outcomes as they come, exactly one for each shard.

    Args:
        work: see `Work`.
        shards: those of one network.
        dask: where to do it, as `settings.dask` returns it; None for this process, one shard after the other.
        patience: limits.

    Raises:
        SettingsError: Dask is not installed, or no scheduler or worker is there at first. Later that is the reason of
            the shards that are left.
    """
    todo, patience = tuple(shards), patience or Patience()
    if dask is None:
        return _in_process(work, todo, patience)
    from flood_assets.shards import cluster  # noqa: PLC0415 - Dask takes half a second to import

    return cluster.fan_out(work, todo, dask, patience)


def _in_process(work: Work[T], shards: Sequence[Shard], patience: Patience) -> Iterator[Outcome[T]]:
    turns = {shard.source: threading.BoundedSemaphore(shard.at_once) for shard in shards}
    tries, left = 0, shards
    while left:
        tries, trying, left = tries + 1, left, ()
        for shard in trying:
            turn = turns[shard.source]
            outcome = replace(attempt(work, shard, lambda turn=turn: turn), tries=tries)  # type: ignore[misc]
            if again(outcome, patience):
                # Last of all: an API that is away may be back by then.
                left = (*left, shard)
            else:
                yield outcome
