"""What is installed, and whether it fits together."""

# ruff: noqa: PLC0415 - what a check looks at may be what fails to import

import importlib.metadata
import platform
from collections.abc import Iterator

from flood_assets.cli.doctor.finding import Doing, Finding, Findings, Level

SHOWN = ("dagster", "dagster-aws", "dagster-webserver", "pyarrow", "obstore", "pandas")


def check_versions(_: Doing) -> Findings:
    """What is installed, and whether it fits together."""
    versions = {name: _version(name) for name in SHOWN}
    shown = ", ".join(f"{name} {version or 'missing'}" for name, version in versions.items())
    yield Finding(Level.OK, f"python {platform.python_version()}, {shown}")
    wrong = [line for name in ("flood-assets", "dagster-aws", "dagster-webserver") for line in _unmet(name)]
    for line in wrong:
        yield Finding(Level.FAILED, line, "install what requirements.lock pins, in a new virtual environment")
    if not wrong and versions["dagster-aws"]:
        yield Finding(Level.OK, "dagster, dagster-aws and the rest fit together")


def _unmet(distribution: str) -> Iterator[str]:
    """What a distribution asks for and is not there so."""
    from packaging.requirements import Requirement

    try:
        wanted = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return
    for requirement in map(Requirement, wanted):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        there = _version(requirement.name)
        if there is None or not requirement.specifier.contains(there, prereleases=True):
            yield f"{distribution} needs {requirement}, and there is {there or 'none'}"


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
