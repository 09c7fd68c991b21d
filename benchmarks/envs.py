"""Create virtual environments for tools whose packages conflict with ours, each from its own lock with hashes.

They are created once in `.bench/envs`; `requirements/NAME.in` lists the packages, `requirements/NAME.lock` pins them.
An environment that cannot be created is reported in the results; the other contestants still run.
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
    """An environment could not be created; the message is pip's last line."""


def python_of(name: str, folder: Path, tell: Callable[[str], None]) -> str:
    """Return the interpreter of an environment; create it if it is absent or its lock has changed.

    Args:
        name: name of the lock.
        folder: folder of the environments.
        tell: reports progress.

    Raises:
        MissingError: the environment could not be created.
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
            raise MissingError(why(made.stderr, made.stdout) or f"exit code {made.returncode}")
    done.write_text(wanted, encoding="utf-8")
    return str(python)


def versions(python: str, packages: list[str]) -> dict[str, str]:
    """Return the installed versions of packages in an environment; absent packages are left out."""
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


if __name__ == "__main__":
    try:
        python_of(sys.argv[1], Path(".bench/envs"), print)
    except MissingError as missing:
        sys.exit(f"the environment {sys.argv[1]} could not be made: {missing}")
