"""Show, check and change the shards of a network in the terminal, for `flood-assets shards`."""

from collections.abc import Callable, Sequence
from datetime import datetime

import click
from rich.console import Console

from flood_assets import settings
from flood_assets.cli.printing import plain_table, say
from flood_assets.errors import SettingsError
from flood_assets.lake import members
from flood_assets.lake.lake import Lake
from flood_assets.network import Network, read_network
from flood_assets.places import folder_of
from flood_assets.shards.change import Change, called, difference
from flood_assets.shards.check import check as check_measures
from flood_assets.shards.filling import ApiFiller
from flood_assets.shards.states import states
from flood_assets.words import counted

_SHOWN = 10


def show(common_url: str, now: datetime) -> int:
    """Print the shards and what differs, and return the exit code: 1 if a shard cannot be read.

    Raises:
        NetworkError: the file cannot be read, or does not fit what is stored.
        LakeError: the common URL cannot be read.
    """
    path = settings.network_file()
    network = None if path is None else read_network(path, settings.api_url())
    if network is None and (folder := folder_of(common_url)) and not folder.is_dir():
        click.echo(f"there is no lake at {common_url}, and FLOOD_NETWORK names no file: there are no shards")
        return 0
    common = Lake.open(common_url)
    console = Console(highlight=False)
    same = network is not None and difference(common, network).nothing
    found = states(common, network, ApiFiller(common_url, lambda: now).at, now)
    if network is None and members.members(common.store) is None:
        say(console, f"{common_url} has no shards, and FLOOD_NETWORK names no file that describes any")
        return 0
    table = plain_table("shard", "asks for", "", "readings", "newest", "asked at", left=3)
    for each in found:
        readings = "" if each.readings is None else f"{each.readings:,}"
        state = "!" if each.trouble else "*" if each.differs else ""
        table.add_row(each.name or "(none)", each.asks, state, readings, _at(each.newest), _at(each.asked_at))
    console.print(table)
    for each in found:
        if each.differs:
            say(console, f"* {called(each.name)}: {each.differs}")
        if each.trouble:
            say(console, f"! {each.trouble}", "red")
    if network is not None:
        say(
            console,
            "readers unite what FLOOD_NETWORK describes" if same else "`flood-assets shards apply` changes over",
        )
    return 1 if any(each.trouble for each in found) else 0


def check(common_url: str, clock: Callable[[], datetime]) -> int:
    """Print which measures of the APIs are in no shard or in several, and return the exit code: 1 if there are any.

    Raises:
        SettingsError: FLOOD_NETWORK names no file.
        SourceError: an API did not answer.
        LakeError: a shard cannot be read.
    """
    console, network = Console(highlight=False), _network()
    found = check_measures(network, ApiFiller(common_url, clock), clock)
    for each in found:
        say(console, f"{each.api} shows {counted(each.shown, 'measure')}")
        table = plain_table("shard", "measures", left=1)
        for name, measures in each.shards.items():
            table.add_row(name, f"{measures:,}")
        console.print(table)
        if each.nowhere:
            say(console, f"in no shard: {counted(len(each.nowhere), 'measure')}: {_some(each.nowhere)}", "red")
        if each.twice:
            told = [f"{measure} ({', '.join(names)})" for measure, names in each.twice.items()]
            say(console, f"in several shards: {counted(len(told), 'measure')}: {_some(told)}", "red")
        if not each.nowhere and not each.twice:
            say(console, "each is in one shard")
    return 1 if any(each.nowhere or each.twice for each in found) else 0


def apply(
    common_url: str, clock: Callable[[], datetime], *, drop: Sequence[str], keep: bool, grace_s: float, dry_run: bool
) -> int:
    """Change over to the shards of FLOOD_NETWORK, and return the exit code: 1 if an old lake could not be deleted yet.

    Raises:
        SettingsError: FLOOD_NETWORK names no file, or it does not fit what is stored.
        ShardsError: something would be lost.
        SourceError: an API did not answer.
        LakeError: a lake cannot be read or written.
    """
    network, console = _network(), Console(highlight=False)
    filler = ApiFiller(common_url, clock, settings.archive())
    change = Change(
        Lake.open(common_url), network, filler, clock, lambda text: say(console, text), frozenset(drop), keep, grace_s
    )
    if dry_run:
        change.plan()
        return 0
    return 0 if change.apply() else 1


def _network() -> Network:
    path = settings.network_file()
    if path is None:
        raise SettingsError("FLOOD_NETWORK is not set: it names the file that describes the shards, see docs/shards.md")
    return read_network(path, settings.api_url())


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _at(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}Z"
