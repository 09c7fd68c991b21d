"""An environment for each rival whose packages do not fit beside ours, from its own lock with hashes.

They lie in `.bench/envs` and are made once; `requirements/NAME.in` says what is wanted, `requirements/NAME.lock` pins
it. One that cannot be made is told of in the results and stops nothing.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import surroundings, why

REQUIREMENTS = Path(__file__).with_name("requirements")


class MissingError(Exception):
    """An environment could not be made; the message is what pip said last."""


def python_of(name: str, folder: Path, tell: Callable[[str], None]) -> str:
    """The interpreter of an environment, made if it is not there or its lock has changed.

    Args:
        name: of the lock.
        folder: where environments are kept.
        tell: what is being done.

    Raises:
        MissingError: it could not be made.
    """
    lock, place = REQUIREMENTS / f"{name}.lock", folder / name
    python, done = place / "bin" / "python", place / ".done"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if done.exists() and done.read_text(encoding="utf-8") == wanted:
        return str(python)
    tell(f"setting up an environment for {name}")
    shutil.rmtree(place, ignore_errors=True)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", str(lock)]
    for command in ([sys.executable, "-m", "venv", str(place)], [str(python), *install]):
        made = subprocess.run(command, env=surroundings(), capture_output=True, text=True, check=False)
        if made.returncode:
            raise MissingError(why(made.stderr, made.stdout) or f"ended with {made.returncode}")
    done.write_text(wanted, encoding="utf-8")
    return str(python)


def versions(python: str, packages: list[str]) -> dict[str, str]:
    """Which versions an interpreter would import; what it has not is left out."""
    code = (
        "import importlib.metadata as m, json, sys\n"
        "found = {}\n"
        "for name in sys.argv[1:]:\n"
        "    try: found[name] = m.version(name)\n"
        "    except m.PackageNotFoundError: pass\n"
        "print(json.dumps(found))\n"
    )
    told = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=False)
    found: dict[str, str] = json.loads(told.stdout or "{}")
    return found
