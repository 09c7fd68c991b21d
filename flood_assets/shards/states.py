"""List each shard with what its lake holds, and what differs between the file of a network and what readers unite."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flood_assets.errors import LakeError
from flood_assets.lake import members, watermarks
from flood_assets.lake.lake import Lake
from flood_assets.network import Network
from flood_assets.partitions import is_expired
from flood_assets.schemas import READINGS
from flood_assets.shards.change import called, stored
from flood_assets.words import counted


@dataclass(frozen=True)
class State:
    """A shard.

    Attributes:
        name: its name; empty for a lake without shards at the common URL.
        asks: what it asks its API for.
        readings: retained ones; None if they cannot be read.
        newest: time of the newest.
        asked_at: when its API was asked last.
        trouble: why its lake cannot be read; else empty.
        differs: what `flood-assets shards apply` would do with it; else empty.
    """

    name: str
    asks: str
    readings: int | None = None
    newest: datetime | None = None
    asked_at: datetime | None = None
    trouble: str = ""
    differs: str = ""


def states(common: Lake, network: Network | None, at: Callable[[str], Lake], now: datetime) -> list[State]:
    """Return the shards of the file, those that readers unite, and other lakes below the common URL.

    Args:
        common: the common URL, opened as a lake.
        network: of the file; None without one.
        at: opens the lake of a shard's name.
        now: decides what is retained.

    Raises:
        LakeError: the common URL cannot be read.
    """
    before = members.members(common.store)
    united = {} if before is None else {each["name"]: each for each in before.shards}
    described = {} if network is None else {each["name"]: each for each in network.told()["shards"]}
    found = []
    there = stored(common)
    for name in dict.fromkeys([*described, *united, *there]):
        told = described.get(name) or united.get(name)
        differs = _differs(name, described if network is not None else None, united)
        state = State(name, "everything" if told is None and not name else _asks(told), differs=differs)
        found.append(_looked_at(state, at(name), now) if name in there else state)
    return found


def _differs(name: str, described: Mapping[str, Any] | None, united: Mapping[str, Any]) -> str:
    if not name:
        return "goes, once its readings are in shards" if described is not None else "" if not united else "left behind"
    if name in united:
        return "" if described is None or name in described else "goes: the file does not describe it"
    if described is not None and name in described:
        return "new: readers do not unite it yet"
    return "left behind: readers do not unite it"


def _asks(told: Mapping[str, Any] | None) -> str:
    if told is None:
        return "?"
    if "parameter" in told:
        return str(told["parameter"])
    return counted(told["stations"], "station") if "stations" in told else "everything"


def _looked_at(state: State, lake: Lake, now: datetime) -> State:
    try:
        windows = [each.window for each in lake.windows(READINGS) if not is_expired(each.window, now)]
        contents = lake.contents(READINGS, windows).values()
        marks = watermarks.load(lake.store)
    except LakeError as error:
        return State(state.name, state.asks, trouble=f"{called(state.name)}: {error}", differs=state.differs)
    return State(
        state.name,
        state.asks,
        sum(each.rows for each in contents),
        max((each.newest for each in contents if each.newest is not None), default=None),
        None if marks is None else marks.as_of,
        differs=state.differs,
    )
