"""Fill a folder once for all processes of a session, whichever needs it first; nobody changes it afterwards."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def filled_once(factory: pytest.TempPathFactory, name: str, fill: Callable[[Path], object]) -> Path:
    """Return the folder of a name, which `fill` has filled here or in another process of pytest-xdist."""
    session = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        session = session.parent
    folder = session / name
    with FileLock(session / f"{name}.lock"):
        if not folder.exists():
            part = session / f"{name} of {os.getpid()}"
            part.mkdir()
            fill(part)
            part.rename(folder)
    return folder
