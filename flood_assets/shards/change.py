"""Change from the shards that readers unite to those that the file of a network describes, and lose nothing.

The new shards are filled from the lakes that hold their readings and from the API; what they have then is proved
against the old lakes; readers change over with one compare-and-swap of `_network.json`; what the old lakes got since
is carried too; the old lakes are deleted. Each step may be killed and is repeated by the next command, which finds
where it was from what is stored: nothing else remembers it.

Runs of others may go on. Those with the old file fill the old shards until readers change over, and are refused then
(`lake.members.claim`); those with the new file are refused until then. One that had begun before is why an old lake is
looked at once more before it is deleted, and why only unchanged objects are.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

import pyarrow as pa

from flood_assets.errors import LakeError
from flood_assets.lake import identity, members
from flood_assets.lake.archive import Archive
from flood_assets.lake.lake import Lake
from flood_assets.lake.listed import of_api
from flood_assets.lake.members import Members
from flood_assets.lake.objects import ConflictError
from flood_assets.network import Network, NetworkError, Shard
from flood_assets.partitions import window_of
from flood_assets.places import is_api
from flood_assets.schemas import MEASURES, READINGS, STATIONS
from flood_assets.shards import carry, removal
from flood_assets.shards.beside import carry_beside, move_waiting
from flood_assets.shards.carry import Counts, New, Old
from flood_assets.words import counted

# Old lakes are looked at so often before what is still written to them is left to the next command.
ROUNDS = 3
# Who began to read the old lakes before readers changed over has so many seconds to end.
GRACE_S = 30.0
# Measures that a message names.
SHOWN = 5

NOTHING = "nothing is to be done: readers unite the shards that the file describes"


class ShardsError(LakeError):
    """Change of shards that would lose something, or that somebody else has made meanwhile."""


class Gauges(NamedTuple):
    """Lists of the API for a shard: schemas `STATIONS` and `MEASURES`."""

    stations: pa.Table
    measures: pa.Table


class Filler(Protocol):
    """Opens the lakes of shards and fills them from their APIs; see `filling`."""

    def at(self, name: str) -> Lake:
        """Open the lake of a shard's name; of an empty one the lake at the common URL."""

    def gauges(self, shard: Shard) -> Gauges:
        """Ask the API which gauges a shard has."""

    def claim(self, shard: Shard) -> None:
        """Make sure that the lake of a shard is this shard's."""

    def refresh(self, shard: Shard) -> None:
        """Bring a shard up to date from its API."""

    def archive(self, name: str) -> Archive | None:
        """Return where expired readings of a lake are kept; None to keep none."""


@dataclass(frozen=True)
class Difference:
    """Difference between the file and what is stored.

    Attributes:
        before: what readers unite; None without shards.
        new: shards that readers do not unite yet.
        going: names of the lakes that are not in the file: shards that readers unite, and what is left of others. An
            empty name is a lake without shards at the common URL.
        same: whether readers unite what the file describes, in its order.
    """

    before: Members | None
    new: tuple[Shard, ...]
    going: tuple[str, ...]
    same: bool

    @property
    def nothing(self) -> bool:
        """True if there is nothing to do."""
        return self.same and not self.going


def difference(common: Lake, network: Network) -> Difference:
    """Compare the shards of a file with those that readers unite and with the lakes that are stored.

    Raises:
        NetworkError: a shard's name is that of one that asks for something else, or the network is another one.
        LakeError: the common URL cannot be read.
    """
    before, there = members.members(common.store), identity.read(common.store)
    name = before.network if before is not None else network.name if there is None else there.network
    if name not in (None, network.name):
        raise NetworkError(
            f"{common.url} unites the shards of the network {name}, and FLOOD_NETWORK describes {network.name}: write "
            f'name = "{name}", which stays what it is, or set FLOOD_LAKE_URL to another place'
        )
    told = network.told()["shards"]
    united = {} if before is None else {each["name"]: each for each in before.shards}
    for each in told:
        if united.get(each["name"], each) != each:
            raise NetworkError(
                f"the shard {each['name']} asks for something else than the one that readers unite: a name belongs to "
                "one question for ever, so give it a new name"
            )
    names = {each.name for each in network.shards}
    return Difference(
        before,
        tuple(each for each in network.shards if each.name not in united),
        tuple(name for name in stored(common) if name not in names),
        before is not None and [*before.shards] == told,
    )


def stored(common: Lake) -> list[str]:
    """Return the names of the lakes that hold anything below the common URL; empty for one without shards there."""
    there = identity.read(common.store)
    return removal.lakes(common.store.list(""), network=there is not None and there.network is not None)


@dataclass
class Change:
    """The change from some shards to others; `apply` takes its steps.

    Args:
        common: the common URL, opened as a lake.
        network: what the file describes.
        filler: opens and fills the shards.
        clock: the current time.
        say: tells a person what is done.
        drop: measures that may go, or shards whose measures may.
        keep: leave the old lakes where they are.
        grace_s: seconds for readers that have begun with the old lakes, before these are deleted.
        sleep: waits for some seconds.
    """

    common: Lake
    network: Network
    filler: Filler
    clock: Callable[[], datetime]
    say: Callable[[str], None]
    drop: frozenset[str] = frozenset()
    keep: bool = False
    grace_s: float = GRACE_S
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        # What is retained now is carried, also if it expires meanwhile: its new shard may have to archive it.
        self.now = self.clock()

    def plan(self) -> None:
        """Say what `apply` would do; nothing is written, but the APIs are asked for their lists.

        Raises:
            ShardsError: measures belong to no new shard.
        """
        found = difference(self.common, self.network)
        if found.nothing:
            self.say(NOTHING)
            return
        for shard in found.new:
            self.say(f"shard {shard.name}: would be filled")
        new = [self._new(shard, store=False) for shard in self.network.shards]
        counts = carry.count(self._old(found.going, new), self.now)
        if counts.owned:
            self.say(f"{counted(counts.owned, 'reading')} would be carried and proved")
        self._require_owners(counts)
        if not found.same:
            self.say(f"readers would unite {', '.join(each.name for each in self.network.shards)}")
        for name in found.going:
            self.say(f"{called(name)}: would be {'kept' if self.keep else 'deleted'}")

    def apply(self) -> bool:
        """Change over; return False if an old lake could not be deleted yet, so that the command has to be repeated.

        Raises:
            ShardsError: measures belong to no new shard, something is not where it should be, or somebody else has
                changed the shards. If that is so before readers change over, they still unite what they did.
            SourceError: an API did not answer; likewise.
            LakeError: a lake could not be read or written; the command can be repeated.
        """
        found = difference(self.common, self.network)
        if found.nothing:
            self.say(NOTHING)
            return True
        if not found.same:
            self._archive(found)
        for shard in found.new:
            self.filler.claim(shard)
        new = [self._new(shard, store=shard in found.new) for shard in self.network.shards]
        old = self._old(found.going, new)
        self._require_owners(carry.count(old, self.now))
        if not found.same:
            # Before the APIs are asked, which do not know when a reading was first seen.
            self._carry(old, new)
            self._refresh(found.new)
            self._catch_up(old, new)
            self._change_over(found)
        # From here on only runs that had begun before may still write to the old lakes.
        identity.claim_network(self.common.store, self.network.name, over_a_lake=True)
        if old and not self.keep and self.grace_s:
            self._carry(old, new)
            self.say(f"waiting {self.grace_s:g} s for readers that have begun with the old lakes")
            self.sleep(self.grace_s)
        return self._retire(old, new)

    def _archive(self, found: Difference) -> None:
        """Archive what has expired: only what is retained is carried, and archived by its new shard."""
        for name in found.going:
            lake = self.filler.at(name)
            archive = self.filler.archive(name)
            done = lake.expire(self.clock(), archive=archive) if archive is not None else []
            waits = [each for each in done if each.action == "waits"]
            if waits:
                raise ShardsError(
                    f"{counted(len(waits), 'expired window')} of {called(name)} wait for the archive, and nothing was "
                    f"changed: {waits[0].why}"
                )

    def _refresh(self, shards: Sequence[Shard]) -> None:
        for number, shard in enumerate(shards, 1):
            self.say(f"shard {shard.name}: asking its API ({number} of {len(shards)})")
            self.filler.refresh(shard)

    def _new(self, shard: Shard, *, store: bool) -> New:
        """Return a shard with the measures that the API lists for it: as it is stored, else as it answers now."""
        lake, now = self.filler.at(shard.name), self.clock()
        fresh = {window_of(now)} <= {each.window for each in lake.windows(STATIONS)} & {
            each.window for each in lake.windows(MEASURES)
        }
        rows = lake.newest_snapshot(MEASURES, now) if fresh or not store else None
        if rows is None:
            gauges = self.filler.gauges(shard)
            rows = gauges.measures
            if store:
                for table, listed in ((STATIONS, gauges.stations), (MEASURES, rows)):
                    lake.put_snapshots(table, [window_of(now)], listed)
        return New(shard, lake, frozenset(of_api(rows)["measure_id"].to_pylist()))

    def _old(self, names: Sequence[str], new: Sequence[New]) -> list[Old]:
        """Open the lakes that are to go; ShardsError if one is none of ours."""
        found = list[Old]()
        for name in names:
            lake = self.filler.at(name)
            there = identity.read(lake.store)
            api = None if there is None or there.network is not None else there.api
            if api is not None and not is_api(api):
                raise ShardsError(f"{lake.url} follows the stream {api}: only what comes from an API can be sharded")
            if there is not None and there.shard is not None and there.shard["network"] != self.network.name:
                raise ShardsError(
                    f"{lake.url} belongs to the network {there.shard['network']} and not to {self.network.name}: set "
                    "FLOOD_LAKE_URL to another place"
                )
            found.append(Old.of(name, lake, api, new, self.now))
        return found

    def _carry(self, old: Sequence[Old], new: Sequence[New]) -> None:
        """Carry what the new shards have not got from the old lakes; ShardsError if it is not there then."""
        if not old:
            return
        self.say(f"carrying the readings of {_named(old)}")
        carry_beside(old, new, self.clock())
        counts = carry.carry_readings(old, new, self.now, self.clock)
        if counts.missing or counts.different:
            raise ShardsError(
                f"{counted(counts.missing, 'reading')} of the old shards missing in the new ones, "
                f"{counts.different:,} different: nothing is deleted. Run the command again; `flood-assets status` of "
                "a shard's lake may say why"
            )
        self._require_owners(counts)
        known = counts.owned - counts.added - counts.revised
        self.say(
            f"{counted(counts.owned, 'reading')} proved to be in their new shards: {counts.added:,} new, "
            f"{counts.revised:,} revised, {known:,} there before"
        )

    def _catch_up(self, old: Sequence[Old], new: Sequence[New]) -> None:
        """Carry what came while the APIs were asked, until nobody writes to the old lakes meanwhile, if that may be.

        What comes later is carried after readers have changed over, who do not see it for these seconds.
        """
        for _ in range(ROUNDS):
            before = [each.lake.windows(READINGS) for each in old]
            self._carry(old, new)
            if [each.lake.windows(READINGS) for each in old] == before:
                return

    def _change_over(self, found: Difference) -> None:
        try:
            members.replace(self.common.store, self.network, found.before)
        except ConflictError:
            raise ShardsError(
                f"somebody else has changed the shards of {self.common.url} meanwhile, and nothing was changed here: "
                "see `flood-assets shards`, then run the command again"
            ) from None
        self.say(f"readers unite {', '.join(each.name for each in self.network.shards)}")

    def _retire(self, old: Sequence[Old], new: Sequence[New]) -> bool:
        """Carry what the old lakes got since, and delete them once all they hold is proved to be in the new ones."""
        for _ in range(ROUNDS):
            there = stored(self.common)
            old = [each for each in old if each.name in there]
            if not old:
                return True
            # Only what is listed before it is carried may go.
            listed = [removal.held(each.lake.store, identity=bool(each.name)) for each in old]
            self._carry(old, new)
            for each in old:
                move_waiting(each.lake.store, new[0].lake.store)
            if self.keep:
                self.say(f"kept: {_named(old)}. The same command without --keep deletes them")
                return True
            for each, ours in zip(old, listed, strict=True):
                if not removal.remove(each.lake.store, ours):
                    self.say(f"{called(each.name)}: deleted")
        left = [each for each in old if each.name in stored(self.common)]
        if left:
            self.say(f"{_named(left)}: somebody still writes there; run the command again later")
        return not left

    def _require_owners(self, counts: Counts) -> None:
        """Refuse to leave behind what belongs to no new shard and is not to be dropped."""
        left = {
            measure: readings
            for name, measures in counts.left.items()
            if name not in self.drop
            for measure, readings in measures.items()
            if measure not in self.drop
        }
        if left:
            some = ", ".join(f"{measure} ({readings:,})" for measure, readings in sorted(left.items())[:SHOWN])
            more = f" and {len(left) - SHOWN:,} more" if len(left) > SHOWN else ""
            raise ShardsError(
                f"{counted(len(left), 'measure')} with {counted(sum(left.values()), 'reading')} would be in no shard, "
                f"and nothing was deleted: {some}{more}. Describe a shard that asks for them, or name with --drop what "
                "may go: measures, or the old shard whose rest may go"
            )


def called(name: str) -> str:
    """Return a lake in words, by its shard's name."""
    return f"shard {name}" if name else "the lake without shards"


def _named(old: Sequence[Old]) -> str:
    return ", ".join(called(each.name) for each in old)
