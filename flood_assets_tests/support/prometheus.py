"""Run a real `flood-assets serve` and a real Prometheus that scrapes it, on free ports of 127.0.0.1."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flood_assets_tests.support.programs import program
from flood_assets_tests.support.promtool import RULES

# A machine that does much else.
_PATIENCE_S = 120.0
_COMMAND = "from flood_assets.cli.main import main; main()"


def wait_for(asked: Callable[[], Any], what: str) -> Any:
    """Return the first answer that is true."""
    ends = time.monotonic() + _PATIENCE_S
    while time.monotonic() < ends:
        if found := asked():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {_PATIENCE_S:.0f} s")


@contextmanager
def _running(command: list[str], log: Path, environ: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, **(environ or {})}
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def serving(folder: Path, environ: dict[str, str]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run the server's command; yield host and port, and the process."""
    log = folder / "serve.log"
    with _running([sys.executable, "-u", "-c", _COMMAND, "serve", "--port", "0"], log, environ) as process:

        def listening() -> str | None:
            said = log.read_text()
            assert process.poll() is None, said
            found = re.search(r"http://(127\.0\.0\.1:\d+)/", said)
            return found and found[1]

        yield wait_for(listening, "the server listens"), process


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, path: str, **params: str) -> Any:
        """Return what an address of its API answers; None as long as it is not there."""
        try:
            with urllib.request.urlopen(f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(params)}") as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error
        except OSError:
            return None

    def query(self, query: str) -> list[dict[str, Any]]:
        """Return the result of a query."""
        found = self.ask("query", query=query)
        return found["result"] if found else []


@contextmanager
def scraping(folder: Path, target: str) -> Iterator[Prometheus]:
    """Run Prometheus with the alarms of `deploy/monitoring`; it scrapes and judges each second."""
    binary = program("prometheus")
    with socket.create_server(("127.0.0.1", 0)) as free:
        here = f"127.0.0.1:{free.getsockname()[1]}"
    job = {"job_name": "flood-assets", "static_configs": [{"targets": [target], "labels": {"environment": "test"}}]}
    config = folder / "prometheus.yml"
    times = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config.write_text(json.dumps({"global": times, "rule_files": [str(RULES)], "scrape_configs": [job]}))
    command = [
        binary,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={here}",
        "--log.level=warn",
    ]
    with _running(command, folder / "prometheus.log"):
        yield Prometheus(f"http://{here}")
