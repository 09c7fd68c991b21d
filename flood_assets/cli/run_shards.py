"""Refresh, reconcile or expire the shards of a network in the terminal: a line for each as it ends, then a table.

No Dagster is imported. A lake without shards is run by `flood_assets.cli.run`.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from flood_assets import settings
from flood_assets.cli.printing import plain_table, say
from flood_assets.errors import FloodAssetsError
from flood_assets.lake import members
from flood_assets.lake.opening import open_store
from flood_assets.network import Network, read_network
from flood_assets.shards import metrics, work
from flood_assets.shards.fan import Outcome, fan_out
from flood_assets.shards.work import Job
from flood_assets.tick.steps import Ticked
from flood_assets.words import counted

# Stations that a line names.
_SHOWN = 5


def run_shards(
    command: work.Name, file: Path, names: Sequence[str] = (), *, verbose: bool = False, dry_run: bool = False
) -> int:
    """Do the command for all shards of a network, or for those that are named.

    Returns:
        The exit code: 0 if all shards ended well, else 1.

    Raises:
        SettingsError: a setting, the file or a name is wrong, or Dask is away.
        NetworkError: the lakes below FLOOD_LAKE_URL are not the shards of this network.
        LakeError: the common URL cannot be read or written.
    """
    network, environment = read_network(file, settings.api_url()), settings.emf()
    shards = tuple(network.shard(name) for name in dict.fromkeys(names)) or network.shards
    job = Job.of_settings()
    asked = partial(work.WORKS[command], job, **({"dry_run": True} if dry_run else {}))
    _claim(job.common_url, network, dry_run=dry_run)
    console, began = Console(), time.perf_counter()
    outcomes = list[Outcome[Ticked]]()
    with _logged(verbose=verbose):
        for outcome in fan_out(asked, shards, dask=settings.dask()):
            outcomes.append(outcome)
            say(console, _line(outcome, dry_run=dry_run), "red" if outcome.reason else None)
    judged = _judge(console, job) if command == "refresh" else True
    seconds = time.perf_counter() - began
    console.print(_cleaned(outcomes) if command == "expire" else _table(outcomes))
    failed = [each for each in outcomes if each.reason]
    where = f" on {settings.dask()}" if settings.dask() else ""
    say(console, f"{counted(len(outcomes), 'shard')} of the network {network.name} in {seconds:.1f} s{where}")
    if environment:
        click.echo(metrics.line(outcomes, environment, settings.now(), seconds=seconds, job=command))
    if failed:
        say(Console(stderr=True), f"flood-assets: {_failed(command, failed)}")
    return 0 if judged and not failed else 1


def _claim(common_url: str, network: Network, *, dry_run: bool) -> None:
    store = open_store(common_url)
    if not dry_run or members.members(store) is not None:
        members.claim(store, network)


def _judge(console: Console, job: work.Job) -> bool:
    """Judge the alerts over all shards, and say what came of it; False if that failed."""
    rules = settings.alerts_file()
    if rules is None:
        return True
    try:
        told = work.judge_alerts(job, rules)
    except FloodAssetsError as error:
        say(console, f"alerts failed: {error}", "red")
        return False
    say(console, f"alerts: {told['firing']:,} firing, {counted(told['events'], 'event')}")
    for note in told.get("notes", ()):
        say(console, f"alerts: {note}", "yellow")
    return True


@contextmanager
def _logged(*, verbose: bool) -> Iterator[None]:
    """Show on stderr what is said of shards under way: who is tried again, who is still at work; else what is said."""
    package, handler = logging.getLogger("flood_assets"), logging.StreamHandler()
    before = package.level
    if verbose:
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
        package.setLevel(logging.INFO)
    else:
        handler.addFilter(logging.Filter("flood_assets.shards"))
    package.addHandler(handler)
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(before)


def _line(outcome: Outcome[Ticked], *, dry_run: bool) -> str:
    name, told = outcome.shard.name, _told(outcome)
    if outcome.reason:
        tries = f" after {counted(outcome.tries, 'try', 'tries')}" if outcome.tries > 1 else ""
        return f"{name} failed{tries}: {outcome.reason}"
    parts = []
    if "readings" in told:
        readings = told["readings"]
        parts.append(f"{readings['added']:,} new and {counted(readings['revised'], 'revised reading')}")
    if "completeness" in told:
        parts.append(_share(told["completeness"]))
    if "readings" not in told and "expire" in told:
        gone, would = told["expire"], "would be " if dry_run else ""
        deleted, trimmed = gone["deleted_windows"], gone["trimmed_windows"]
        parts.append(f"{counted(deleted, 'window')} {would}deleted, {trimmed:,} {would}trimmed")
    # An API that does not know a station is no failure, and what is not fetched shows nowhere else.
    unknown = told.get("readings", {}).get("unknown_stations", ())
    if unknown:
        some = ", ".join(unknown[:_SHOWN]) + (", ..." if len(unknown) > _SHOWN else "")
        parts.append(f"the API does not know {counted(len(unknown), 'station')}: {some}")
    return f"{name}: {', '.join([*parts, f'{outcome.seconds:.1f} s'])}"


def _told(outcome: Outcome[Ticked]) -> dict[str, dict[str, Any]]:
    return {} if outcome.result is None else outcome.result.done


def _share(account: dict[str, Any]) -> str:
    return f"{100 * account['received'] / account['expected']:.1f} % complete" if account["expected"] else "nothing due"


def _table(outcomes: Sequence[Outcome[Ticked]]) -> Table:
    """Return one line per shard and one for all: readings by outcome, what is missing of the day, requests, seconds."""
    table = plain_table("shard", "new", "revised", "same", "missing", "requests", "tries", "seconds", left=1)
    sums = [0] * 5
    for outcome in sorted(outcomes, key=lambda one: one.shard.name):
        told = _told(outcome)
        readings, account = told.get("readings", {}), told.get("completeness", {})
        values = [readings.get(name) for name in ("added", "revised", "unchanged")]
        values += [account.get("missing"), readings.get("requests")]
        sums = [total + (value or 0) for total, value in zip(sums, values, strict=True)]
        cells = ("-" if value is None else f"{value:,}" for value in values)
        table.add_row(outcome.shard.name, *cells, f"{outcome.tries}", f"{outcome.seconds:.1f}")
    if len(outcomes) > 1:
        table.add_section()
        table.add_row("all", *(f"{total:,}" for total in sums), "", "")
    return table


def _cleaned(outcomes: Sequence[Outcome[Ticked]]) -> Table:
    table = plain_table("shard", "deleted", "trimmed", "rows", "tries", "seconds", left=1)
    for outcome in sorted(outcomes, key=lambda one: one.shard.name):
        gone = _told(outcome).get("expire", {})
        values = [gone.get(name) for name in ("deleted_windows", "trimmed_windows", "deleted_rows")]
        cells = ("-" if value is None else f"{value:,}" for value in values)
        table.add_row(outcome.shard.name, *cells, f"{outcome.tries}", f"{outcome.seconds:.1f}")
    return table


def _failed(command: work.Name, failed: Sequence[Outcome[Ticked]]) -> str:
    reasons = "; ".join(f"{each.shard.name}: {each.reason}" for each in failed)
    again = " ".join(f"--shard {each.shard.name}" for each in failed)
    return (
        f"{command} failed in {counted(len(failed), 'shard')}: {reasons}. All others are done; "
        f"`flood-assets {command} {again}` tries these again, as the next {command} does"
    )
