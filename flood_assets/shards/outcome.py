"""Attempt the work for one shard, return its result or its error as an `Outcome`, and decide whether to try again.

`fan` does so for many shards in this process, `cluster` where Dask has a worker.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from flood_assets.ea.http import Gate
from flood_assets.errors import FloodAssetsError, RefusedError, SettingsError
from flood_assets.network import Shard

T = TypeVar("T")

logger = logging.getLogger("flood_assets.shards")

# A plain function that a worker can import, or a `functools.partial` of one: it is sent there with its arguments. It
# reads no setting from the environment, and may be done twice, also at the same time. Of all requests to an API that
# are held by its gate, no more are under way than the shard's `at_once`.
Work = Callable[[Shard, Gate], T]


class PartlyFailedError(FloodAssetsError):
    """Work that failed in part; `done` is the result of the rest."""

    def __init__(self, reason: str, done: Any) -> None:
        super().__init__(reason)
        self.done = done


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """The end of the work for one shard.

    Attributes:
        shard: whose.
        result: what the work returned, also if it failed in part; else None.
        reason: why it failed; empty if it did not.
        passing: True if another try may end well.
        tries: how often it was tried.
        seconds: how long the last try took, where it was done.
    """

    shard: Shard
    result: T | None
    reason: str = ""
    passing: bool = False
    tries: int = 1
    seconds: float = 0.0


@dataclass(frozen=True)
class Patience:
    """Limits of what is tried again, and waited for.

    Attributes:
        tries: most tries for a shard. A worker's death is one only if Dask gives up: see
            `distributed.scheduler.allowed-failures`.
        connect_s: seconds for a scheduler to answer, also after a restart, and for its first worker to be there.
        told_every_s: seconds without a result after which the log says which shards are still at work.
        silence_s: seconds without any result after which those that are still at work are given up.
        grace_s: seconds for the workers of a lost scheduler to end their requests, before others send the same: Dask
            lets a worker's thread run for half a minute.
    """

    tries: int = 2
    connect_s: float = 30
    told_every_s: float = 60
    silence_s: float = 1800
    grace_s: float = 31


def attempt(work: Work[T], shard: Shard, gate: Gate) -> Outcome[T]:
    """Do the work for one shard, and return its result, or in `reason` its error."""
    began = time.monotonic()
    result, reason, passing = None, "", False
    try:
        result = work(shard, gate)
    except PartlyFailedError as error:
        result, reason, passing = error.done, str(error), True
    except FloodAssetsError as error:
        reason, passing = str(error), not isinstance(error, SettingsError | RefusedError)
    except Exception as error:
        # Another shard may have no such row; and an exception that cannot be sent would say nothing here.
        logger.exception("the shard %s ended by an error of the program", shard.name)
        reason, passing = f"an error of the program, see the log: {type(error).__name__}: {error}", True
    return Outcome(shard, result, reason, passing, seconds=time.monotonic() - began)


def again(outcome: Outcome[T], patience: Patience) -> bool:
    """Return True if a shard is to be tried again in this call, and say so in the log."""
    if not outcome.reason or not outcome.passing or outcome.tries >= patience.tries:
        return False
    logger.warning("%s failed, and is tried again: %s", outcome.shard.name, outcome.reason)
    return True
