"""Check this machine: settings, Dagster home and definitions, versions. No other page of `doctor` imports Dagster."""

# ruff: noqa: PLC0415 - an import may be what fails, and each check pays for its own

import importlib.metadata
import os
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path

from flood_assets import settings
from flood_assets.cli.doctor.findings import Finding, Findings, brief, failed, note, ok, warning
from flood_assets.errors import SettingsError
from flood_assets.places import split_userinfo
from flood_assets.words import counted

SHOWN = ("dagster", "dagster-aws", "dagster-webserver", "pyarrow", "obstore", "pandas")


def check_settings() -> Findings:
    """Check the environment variables of `flood_assets.settings`."""
    read: Callable[[], object]
    for name, default, read in (
        ("FLOOD_API_URL", "the live API", lambda: split_userinfo(settings.api_url())[0]),
        ("FLOOD_LAKE_URL", "a folder in the working directory", settings.lake_url),
        ("FLOOD_NOW", "this machine's clock", lambda: f"{settings.now():%Y-%m-%d %H:%M}Z"),
    ):
        origin = "from the environment" if os.environ.get(name) else f"default: {default}"
        try:
            yield ok(f"{name}: {read()} ({origin})")
        except SettingsError as error:
            yield failed(str(error), f"correct {name}, or unset it to use {default}")
    if os.environ.get("FLOOD_NOW"):
        yield note("FLOOD_NOW replaces this machine's clock", "unset it unless the API replays a recording")
    if (file := settings.network_file()) is not None:
        yield _network(file)


def _network(file: Path) -> Finding:
    """Read the file of a network; the lakes of its shards are the subject of `lake`."""
    from flood_assets.network import read_network

    try:
        network, dask = read_network(file, settings.api_url()), settings.dask()
    except SettingsError as error:
        return failed(str(error), "correct the file or the variable, or unset FLOOD_NETWORK for a lake without shards")
    where = f"on {dask}" if dask else "in one process"
    return ok(f"FLOOD_NETWORK: {counted(len(network.shards), 'shard')} of the network {network.name}, filled {where}")


def check_dagster_home() -> Findings:
    """Check the folder DAGSTER_HOME, its dagster.yaml, its storage and the daemon."""
    home = os.environ.get("DAGSTER_HOME")
    if not home:
        yield note(
            "DAGSTER_HOME is not set: runs from the terminal are not recorded, and `dagster dev` forgets its own",
            "set it to the absolute path of the repository's folder dagster_home, or use `make ui`",
        )
        return
    folder = Path(home)
    if not folder.is_absolute() or not folder.is_dir():
        make = f"mkdir -p {folder.absolute()} && cp dagster_home/dagster.yaml {folder.absolute()}/"
        found = f"DAGSTER_HOME is '{home}': expected the absolute path of an existing folder"
        yield failed(found, f"{make}, and set DAGSTER_HOME to that folder")
        return
    if not (folder / "dagster.yaml").is_file():
        found = f"{folder} has no dagster.yaml: Dagster's defaults apply, without limits and retries"
        yield warning(found, f"cp dagster_home/dagster.yaml {folder}/")
    from dagster import DagsterInstance

    try:
        with DagsterInstance.get() as instance:
            runs, statuses = instance.get_runs_count(), instance.get_daemon_statuses()
    except Exception as error:  # noqa: BLE001 - a storage, a launcher or YAML may raise anything
        said = re.sub(r'Value ".*?" of type', "Value *** of type", str(error), flags=re.DOTALL)  # may be a password
        yield failed(
            f"Dagster cannot use {folder}: {brief(said)}",
            "correct dagster.yaml there, or copy the repository's dagster_home/dagster.yaml again; check that this "
            "user may write to the folder, and that a database named in dagster.yaml is up",
        )
        return
    yield ok(f"the Dagster home {folder} works and has {counted(runs, 'run')}")
    dead = sorted(name for name, status in statuses.items() if not status.healthy)
    if not dead:
        yield ok("the Dagster daemon is running")
    elif len(dead) == len(statuses):
        yield note("no Dagster daemon is running: schedules and sensors do nothing", "start it, such as by `make ui`")
    else:
        yield warning(f"parts of the Dagster daemon have no heartbeat: {', '.join(dead)}", "restart dagster-daemon")


def check_definitions() -> Findings:
    """Load the Dagster definitions and validate them."""
    started = time.perf_counter()
    try:
        import dagster as dg

        from flood_assets.definitions import build_defs

        dg.Definitions.validate_loadable(definitions := build_defs())
    except Exception as error:  # noqa: BLE001 - an import may raise anything
        yield failed(
            f"the Dagster definitions do not load: {type(error).__name__}: {brief(error)}",
            "`python -c 'import flood_assets.definitions'` shows where; is requirements.lock installed?",
        )
        return
    assets = len(list(definitions.resolve_all_asset_specs()))
    yield ok(f"the Dagster definitions load: {assets} assets in {time.perf_counter() - started:.1f} s")


def check_versions() -> Findings:
    """Check that the installed packages meet the requirements of this one and of Dagster's."""
    from packaging.requirements import Requirement

    yield ok(", ".join([f"python {platform.python_version()}", *(f"{name} {_version(name)}" for name in SHOWN)]))
    for name in filter(_version, ("flood-assets", "dagster-aws", "dagster-webserver")):
        for requirement in map(Requirement, importlib.metadata.requires(name) or []):
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            installed = _version(requirement.name)
            if installed is None or not requirement.specifier.contains(installed, prereleases=True):
                found = f"{name} needs {requirement}, installed is {installed or 'none'}"
                yield failed(found, "install requirements.lock in a new virtual environment")


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
