"""The Dagster home with its settings and daemon, and whether the definitions load."""

# ruff: noqa: PLC0415 - what a check looks at may be what fails to import, and each import's cost is its check's own

import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flood_assets.cli.doctor.finding import Doing, Finding, Findings, Level, brief, look

if TYPE_CHECKING:
    import dagster as dg

_SECRET_SET = re.compile(
    r"((?:secret|token|passw|url|conn|key)\w*)['\"]?\s*:[\s\['\"]*([^\s,'\"}\]]{4,})", re.IGNORECASE
)


def check_dagster(doing: Doing) -> Findings:
    """The Dagster home, and whether the definitions load."""
    yield from look(_check_home, doing)
    yield from look(_check_definitions, doing)


def _check_home(doing: Doing) -> Findings:
    """Where Dagster keeps its runs, with which settings, and whether its daemon is alive."""
    home = os.environ.get("DAGSTER_HOME")
    if not home:
        yield Finding(
            Level.NOTE,
            "DAGSTER_HOME is not set: runs from the terminal are recorded nowhere, and `dagster dev` forgets its own",
            "set it to the absolute path of the repository's folder dagster_home, or use `make ui`, which does",
        )
        return
    folder = Path(home)
    if not folder.is_absolute() or not folder.is_dir():
        why = "is not a folder" if folder.is_absolute() else "is not an absolute path"
        make = f"mkdir -p {folder.absolute()} && cp dagster_home/dagster.yaml {folder.absolute()}/"
        yield Finding(Level.FAILED, f"DAGSTER_HOME is '{home}', which {why}", f"{make}, and set DAGSTER_HOME to that")
        return
    if not (folder / "dagster.yaml").is_file():
        yield Finding(
            Level.WARNING,
            f"{folder} has no dagster.yaml: Dagster's own defaults are in force, without limits and without retries",
            f"cp dagster_home/dagster.yaml {folder}/",
        )
    doing("opening the Dagster home")
    from dagster import DagsterInstance

    try:
        instance = DagsterInstance.from_config(home)
    except Exception as error:  # noqa: BLE001 - whatever a storage, a launcher or YAML may raise
        yield Finding(
            Level.FAILED,
            f"no Dagster instance can be made from {folder}/dagster.yaml: {_told(error, folder)}",
            "correct the file, or start again from the repository's dagster_home/dagster.yaml",
        )
        return
    with instance:
        yield from _check_instance(instance, folder)


def _check_instance(instance: "dg.DagsterInstance", folder: Path) -> Findings:
    try:
        runs = instance.get_runs_count()
        yield Finding(Level.OK, f"the Dagster home {folder} is in order and records {runs:,} runs")
        limits = {limit.name: limit.limit for limit in instance.event_log_storage.get_pool_limits()}
        statuses = instance.get_daemon_statuses()
    except Exception as error:  # noqa: BLE001 - whatever a database may raise
        yield Finding(
            Level.FAILED,
            f"the run storage of {folder} cannot be used: {_told(error, folder)}",
            "check that this user may write there, and that the database in dagster.yaml is up",
        )
        return
    from flood_assets.defs.assets.tables import API_POOL

    pools = instance.get_concurrency_config().pool_config
    limit = limits.get(API_POOL, pools.default_pool_limit)
    if limit == 1:
        yield Finding(Level.OK, f"the pool {API_POOL} lets one run at the API at a time")
    else:
        yield Finding(
            Level.WARNING,
            f"the pool {API_POOL} has {'no limit' if limit is None else f'the limit {limit}'}: several runs may ask "
            "the API at once",
            f"`concurrency: pools: default_limit: 1` in {folder}/dagster.yaml, or `dagster instance concurrency set "
            f"{API_POOL} 1`",
        )
    dead = sorted(name for name, status in statuses.items() if not status.healthy)
    if not dead:
        yield Finding(Level.OK, "the Dagster daemon is running")
    elif len(dead) == len(statuses):
        yield Finding(
            Level.NOTE,
            "no Dagster daemon is running: schedules and sensors do nothing",
            "`dagster dev`, or `dagster-daemon run` beside the webserver",
        )
    else:
        yield Finding(
            Level.WARNING, f"parts of the Dagster daemon have no heartbeat: {', '.join(dead)}", "restart dagster-daemon"
        )


def _told(error: Exception, folder: Path) -> str:
    """What Dagster says of its settings, without the secrets that stand in them and that it may repeat."""
    text = " ".join(str(error).split())
    with suppress(OSError, UnicodeDecodeError):
        for _, value in _SECRET_SET.findall((folder / "dagster.yaml").read_text(encoding="utf-8")):
            text = text.replace(value, "***")
    return brief(ValueError(text))


_LOAD = """
import sys, time
sys.path.insert(0, sys.argv[1])
started = time.perf_counter()
from flood_assets.definitions import build_defs
defs = build_defs()
loaded = time.perf_counter() - started
import dagster as dg
dg.Definitions.validate_loadable(defs)
print(f"{loaded:.2f} {len(list(defs.resolve_all_asset_specs()))}")
"""


def _check_definitions(doing: Doing) -> Findings:
    """Load and validate the definitions in a process of their own, as Dagster does at each run."""
    doing("loading the definitions")
    place = str(Path(__file__).parents[3])
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and words
            [sys.executable, "-c", _LOAD, place], capture_output=True, text=True, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        yield Finding(Level.FAILED, "the definitions do not load within 2 minutes", "is this machine out of memory?")
        return
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        yield Finding(
            Level.FAILED,
            f"the definitions do not load: {last}",
            "`python -c 'import flood_assets.definitions'` shows where; a missing package: install requirements.lock",
        )
        return
    seconds, assets = done.stdout.split()
    found = f"the definitions load and validate: {assets} assets, imported in {seconds} s"
    if float(seconds) > 10:
        yield Finding(Level.WARNING, found, "each run and each sensor's process pays that: is the disk slow?")
    else:
        yield Finding(Level.OK, found)
