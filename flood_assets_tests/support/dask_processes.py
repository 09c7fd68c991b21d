"""Run a Dask scheduler and workers as processes of their own, which a test may kill and start again."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).parents[2]
# Leases of a worker that was killed end as soon as this; half a minute is the default.
_QUICK = {
    "DASK_DISTRIBUTED__SCHEDULER__LOCKS__LEASE_TIMEOUT": "3s",
    "DASK_DISTRIBUTED__SCHEDULER__LOCKS__LEASE_VALIDATION_INTERVAL": "500ms",
    # Tests kill workers oftener than a task that ends them would.
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "20",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Processes:
    """A scheduler at an address, and its workers, each a process with one thread."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        # The work of a test is a function of this folder, which is not installed.
        importable = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._environ = {**os.environ, "PYTHONPATH": importable, **_QUICK, **environ}
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self._scheduler: subprocess.Popen[bytes] | None = None
        self._workers: dict[int, subprocess.Popen[bytes]] = {}

    def start_scheduler(self) -> None:
        port = self.address.rpartition(":")[2]
        self._scheduler = self._started(
            "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard", "--dashboard-address", "127.0.0.1:0"
        )

    def start_worker(self, number: int) -> None:
        self._workers[number] = self._started(
            "worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0",
            "--host", "127.0.0.1", "--death-timeout", "60", "--local-directory", str(self._folder),
        )  # fmt: skip

    def _started(self, *command: str) -> subprocess.Popen[bytes]:
        with (self._folder / "dask.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *command], env=self._environ, stdout=log, stderr=log, cwd=self._folder
            )

    def kill_scheduler(self) -> None:
        assert self._scheduler is not None
        _kill(self._scheduler)

    def kill_worker(self, number: int) -> None:
        _kill(self._workers[number])

    def pid_of_worker(self, number: int) -> int:
        return self._workers[number].pid

    def wait_for_workers_to_end(self) -> None:
        """Wait until the workers have ended by themselves, as they do without a scheduler."""
        for worker in self._workers.values():
            worker.wait()

    def keep(self) -> None:
        """Start again what has ended, as a supervisor does, for workers end with their scheduler; wait for nothing."""
        if self._scheduler is None or self._scheduler.poll() is not None:
            self.start_scheduler()
        for number, worker in list(self._workers.items()):
            if worker.poll() is not None:
                self.start_worker(number)

    def whole(self) -> str:
        """Start again what has ended, and return the address once all workers are connected."""
        from distributed import Client  # noqa: PLC0415 - its users need it anyhow

        self.keep()
        with Client(self.address, timeout=120, set_as_default=False) as client:
            if self._workers:
                client.wait_for_workers(len(self._workers), timeout=120)
        return self.address

    def end(self) -> None:
        for process in (*self._workers.values(), self._scheduler):
            if process is not None and process.poll() is None:
                _kill(process)

    def said(self) -> str:
        return (self._folder / "dask.log").read_text(errors="replace")


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


@contextmanager
def dask_processes(folder: Path, workers: int = 2, environ: Mapping[str, str] | None = None) -> Iterator[Processes]:
    processes = Processes(folder, environ or {})
    try:
        processes.start_scheduler()
        for number in range(workers):
            processes.start_worker(number)
        yield processes
    finally:
        processes.end()
