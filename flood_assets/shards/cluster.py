"""Do the work of `fan` on a Dask cluster, so that no result is lost when a worker or the scheduler dies.

Dask does a task again whose worker died. A client that loses its scheduler has lost all futures: what has no result yet
is submitted again, as work may be done twice. Requests to an API hold a lease of a `distributed.Semaphore`, which the
scheduler ends half a minute after its worker died.
"""

import hashlib
import logging
import queue
import re
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

from flood_assets import __version__
from flood_assets.errors import FloodAssetsError, SettingsError
from flood_assets.network import Shard
from flood_assets.shards.outcome import Outcome, Patience, Work, again, attempt
from flood_assets.words import counted

if TYPE_CHECKING:
    from distributed import Client, Future

T = TypeVar("T")

logger = logging.getLogger("flood_assets.shards")

# Workers of this machine: Dask has glibc return each block that is freed at once, and a fill then takes 1.6 times the
# CPU time, as the kernel gives and takes pages; None leaves that variable alone. A heap for each thread costs a sixth
# of the memory. The profiler looks at each task a hundred times a second, for a page that is not shown.
_WORKERS = {
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
    "distributed.nanny.pre-spawn-environ.MALLOC_ARENA_MAX": 1,
    "distributed.worker.profile.enabled": False,
}


class GateError(FloodAssetsError):
    """Scheduler that cannot say whether a request may be sent."""


class _AwayError(FloodAssetsError):
    """Scheduler that does not answer, or has no worker."""


def fan_out(work: Work[T], shards: Sequence[Shard], dask: str, patience: Patience) -> Iterator[Outcome[T]]:
    """Do what `fan.fan_out` promises on the cluster at `dask`, with its errors."""
    if not shards:
        return
    with _Cluster(dask, patience) as cluster:
        yield from _Fan(cluster, work, shards, patience).outcomes()


class _Lease:
    """Lease of a request to an API: of its semaphore, which all workers of the scheduler share."""

    def __init__(self, shard: Shard) -> None:
        from distributed import Semaphore  # noqa: PLC0415 - only where there is a cluster

        # Two runs of other limits do not share one: Dask knows a semaphore by its name, and never another number.
        digest = hashlib.blake2b(shard.source.encode(), digest_size=8).hexdigest()
        self._semaphore = Semaphore(shard.at_once, f"flood-assets {digest} {shard.at_once}")

    def __enter__(self) -> None:
        try:
            self._semaphore.__enter__()
        except (OSError, RuntimeError) as error:
            raise GateError(f"the scheduler does not say whether the API may be asked: {error}") from error

    def __exit__(self, *_: object) -> None:
        # Where this fails, the lease ends by itself.
        with suppress(OSError, RuntimeError):
            self._semaphore.release()


def _on_worker(work: Work[T], shard: Shard) -> Outcome[T]:
    lease = _Lease(shard)
    return attempt(work, shard, lambda: lease)


class _Cluster:
    """Connection to a scheduler, or a cluster of this machine's processes for as long as it is open."""

    def __init__(self, dask: str, patience: Patience) -> None:
        self.address = dask
        self._patience = patience
        self._open = ExitStack()
        self.client: Client

    def __enter__(self) -> Self:
        try:
            import distributed  # noqa: PLC0415 - only where there is a cluster
        except ImportError as error:
            raise SettingsError(
                f"FLOOD_DASK is '{self.address}', and Dask cannot be imported ({error}): pip install "
                "'flood-assets[dask]', or unset FLOOD_DASK to do all shards in one process"
            ) from None
        # What it logs of a lost connection is a traceback; what matters is said here.
        self._open.enter_context(distributed.utils.silence_logging_cmgr(logging.CRITICAL))
        try:
            self.client = self._connected()
            self.require_workers()
        except _AwayError as error:
            self.__exit__()
            raise SettingsError(str(error)) from error.__cause__
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _connected(self) -> "Client":
        import dask  # noqa: PLC0415 - only where there is a cluster
        from distributed import Client, LocalCluster  # noqa: PLC0415

        place: Any = self.address
        if local := re.fullmatch(r"local\[(\d+)\]", self.address):
            with dask.config.set(_WORKERS):
                place = LocalCluster(
                    n_workers=int(local[1]), threads_per_worker=1, processes=True, host="127.0.0.1",
                    # Without an address Dask takes port 8787 for its health and metrics, the dashboard shown or not.
                    dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False},
                    # A share of the machine for each would end a worker that has a large shard.
                    memory_limit=None, silence_logs=logging.CRITICAL,
                )  # fmt: skip
            self._open.callback(place.close)
        until = time.monotonic() + self._patience.connect_s
        while True:
            try:
                client = Client(place, timeout=max(1.0, until - time.monotonic()), set_as_default=False)
            except (OSError, TypeError, ValueError, ImportError) as error:  # TypeError: tls:// without certificates
                # One that ends while it greets is started again as well as one that was away before.
                if not isinstance(error, OSError) or time.monotonic() > until:
                    raise self._away(error) from error
                time.sleep(0.2)
            else:
                self._open.callback(client.close)
                return client

    def come_back(self) -> None:
        """Wait until the client has connected itself again; _AwayError if it gave up, or no worker came."""
        while self.client.status == "connecting":
            time.sleep(0.1)
        if self.client.status != "running":
            raise self._away()
        self.require_workers()

    def require_workers(self) -> None:
        """Wait for a worker; _AwayError if none comes."""
        wait = self._patience.connect_s
        until = time.monotonic() + wait
        while True:
            try:
                self.client.wait_for_workers(1, timeout=max(0.1, until - time.monotonic()))
            except OSError as error:
                if self.client.status == "closed":
                    raise self._away() from error
                if time.monotonic() > until:
                    raise _AwayError(
                        f"the scheduler {self.address} has no worker after {wait:.0f} s: start `dask worker "
                        f"{self.address} --nthreads 1`, with flood_assets installed"
                    ) from error
                time.sleep(0.2)
            else:
                return

    def _away(self, error: Exception | None = None) -> _AwayError:
        if error is not None and not isinstance(error, OSError):
            why = f"which Dask cannot use ({error}): correct it"
        else:
            wait = self._patience.connect_s
            why = f"where no scheduler of Dask answers within {wait:.0f} s: start `dask scheduler`"
        return _AwayError(f"FLOOD_DASK is '{self.address}', {why}, or unset FLOOD_DASK to do all shards in one process")

    def processing(self) -> Mapping[str, Sequence[str]]:
        """Return the keys that each worker is to do, or has begun; nothing if the scheduler does not say."""
        with suppress(OSError, AttributeError, RuntimeError):  # of a client that is closed, or about to be
            found: Mapping[str, Sequence[str]] = self.client.processing()
            return found
        return {}


class _Fan:
    """Shards whose work is under way on a cluster."""

    def __init__(self, cluster: _Cluster, work: Work[Any], shards: Sequence[Shard], patience: Patience) -> None:
        self._cluster, self._work, self._patience = cluster, work, patience
        self._run = uuid.uuid4().hex[:8]
        # Shards without an outcome, and how often each was tried; those of them that are to be submitted.
        self._tries = dict.fromkeys(shards, 1)
        self._waiting = deque(shards)
        self._shards: dict[Future[Any], Shard] = {}
        self._ended: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()

    def outcomes(self) -> Iterator[Outcome[Any]]:
        """Yield one outcome for each shard."""
        heard = time.monotonic()
        while self._tries:
            if time.monotonic() - heard > self._patience.silence_s:
                yield from self._given_up(f"no shard has ended for {self._patience.silence_s:.0f} s")
                return
            try:
                outcome = self._next()
            except (queue.Empty, TimeoutError):
                # Either nothing has ended, or a worker died with a result, and another does the work again.
                logger.warning("still at work: %s", self._at_work())
            except (OSError, CancelledError):
                try:
                    self._begin_again()
                except _AwayError as error:
                    yield from self._given_up(str(error))
                    return
            else:
                heard = time.monotonic()
                if outcome is not None:
                    yield outcome

    def _next(self) -> Outcome[Any] | None:
        """Wait for a future that ends; return its outcome, or None if its shard is tried again.

        Raises:
            queue.Empty: none has ended for a while.
            TimeoutError: its result does not come.
            OSError, CancelledError: the scheduler was lost, with all futures.
        """
        while self._waiting:
            self._submit(self._waiting[0])
            self._waiting.popleft()
        future = self._ended.get(timeout=self._patience.told_every_s)
        if future not in self._shards:
            return None  # of a scheduler that was lost
        found = self._outcome(future)
        shard = self._shards.pop(future)
        outcome = replace(found, tries=self._tries[shard])
        if again(outcome, self._patience):
            self._tries[shard] += 1
            self._waiting.append(shard)
            return None
        del self._tries[shard]
        return outcome

    def _submit(self, shard: Shard) -> None:
        from distributed.client import ClosedClientError  # noqa: PLC0415 - only where there is a cluster

        key = f"{shard.network}-{shard.name}-{self._run}-{uuid.uuid4().hex[:8]}"
        try:
            future = self._cluster.client.submit(_on_worker, self._work, shard, key=key, pure=False)
        except ClosedClientError as error:
            raise ConnectionError(str(error)) from error
        self._shards[future] = shard
        future.add_done_callback(self._ended.put)

    def _outcome(self, future: "Future[Any]") -> Outcome[Any]:
        """Return the outcome of a future that has ended; errors as for `_next`."""
        from distributed import KilledWorker  # noqa: PLC0415 - only where there is a cluster

        shard = self._shards[future]
        try:
            outcome: Outcome[Any] = future.result(timeout=self._patience.told_every_s)
        except TimeoutError:
            future.add_done_callback(self._ended.put)
            raise
        except (OSError, CancelledError):
            raise
        except KilledWorker as error:
            died = counted(error.allowed_failures + 1, "worker")
            why = f"{died} died at it, the last one {error.last_worker.address}: look at their logs and their memory"
            return Outcome(shard, None, why, passing=True)
        except Exception as error:  # noqa: BLE001 - whatever Dask raises, the other shards go on
            why = f"Dask could not do it: {type(error).__name__}: {error}. Have the workers flood_assets {__version__}?"
            return Outcome(shard, None, why, passing=True)
        return outcome

    def _begin_again(self) -> None:
        """Have all that has no result submitted again, once the scheduler is back; _AwayError if it does not come."""
        logger.warning("the scheduler %s was lost: %s again", self._cluster.address, counted(len(self._tries), "shard"))
        self._shards.clear()
        time.sleep(self._patience.grace_s)
        self._cluster.come_back()
        self._waiting = deque(self._tries)

    def _given_up(self, why: str) -> Iterator[Outcome[Any]]:
        """Yield the outcome of each shard that has none; its work is let go of when the client closes."""
        reason = f"{why}; still at work: {self._at_work()}. The next run goes on from what is stored"
        for shard, tries in self._tries.items():
            yield Outcome(shard, None, reason, passing=True, tries=tries)

    def _at_work(self) -> str:
        where = {str(key): worker for worker, keys in self._cluster.processing().items() for key in keys}
        found = {shard.name: where.get(str(future.key)) for future, shard in self._shards.items()}
        return ", ".join(f"{name} ({worker or 'no worker has it'})" for name, worker in found.items()) or "none"
