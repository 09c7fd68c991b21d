"""Shards of a tiny network in a folder: its API is a table, and a write or a delete may be the last of a process.

`Api` is the truth: gauges, and readings that grow with `Api.tick`. `Filled` fills shards from it as a tick does,
without HTTP. `World.union` reads what readers unite, whole. `killed_at` ends the process at one object.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from flood_assets.lake import members
from flood_assets.lake.archive import Archive
from flood_assets.lake.folder import Folder
from flood_assets.lake.lake import Lake
from flood_assets.network import Network, Shard, parse_network
from flood_assets.partitions import cutoff, window_of
from flood_assets.places import SHARD_FOLDER
from flood_assets.schemas import MEASURES, READINGS, STATIONS
from flood_assets.shards.change import Change, Gauges
from flood_assets_tests.support.lake_rows import HOUR, NOW, fetched, snapshot

URL = "https://flood.example/flood-monitoring"
Key = tuple[str, datetime]
Row = dict[str, object]

# Measure, station, parameter: a station has several, and no id tells which.
GAUGES = (
    ("m1", "s1", "level"),
    ("m2", "s1", "rainfall"),
    ("m3", "s2", "level"),
    ("m4", "s3", "rainfall"),
    ("m5", "s4", "flow"),
)


def network(*shards: str, name: str = "england") -> Network:
    """Return a network of shards such as "level=level" (by parameter), "north:s1,s2" (by station) or "all"."""
    text = f'name = "{name}"\n'
    for each in shards:
        named, by_parameter, parameter = each.partition("=")
        named, by_station, stations = named.partition(":")
        text += f'[[shard]]\nname = "{named}"\n'
        text += f'parameter = "{parameter}"\n' if by_parameter else ""
        text += f"stations = {stations.split(',')}\n" if by_station else ""
    return parse_network(text, URL)


@dataclass
class Api:
    """An API as a table: the readings that it shows, by key."""

    gauges: tuple[tuple[str, str, str], ...] = GAUGES
    readings: dict[Key, float] = field(default_factory=dict)
    now: datetime = NOW

    def tick(self, now: datetime) -> None:
        """Show a reading of each gauge at a moment, and correct the one before; whoever looks sees all or nothing."""
        shown = dict(self.readings)
        for measure, _, _ in self.gauges:
            if (measure, self.now) in shown:
                shown[measure, self.now] += 0.5
            shown[measure, now] = float(len(shown))
        self.readings, self.now = shown, now

    def of(self, shard: Shard | None) -> list[tuple[str, str, str]]:
        """Return the gauges of a shard; all for none."""
        scope = shard and shard.scope
        return [
            gauge
            for gauge in self.gauges
            if scope is None
            or (
                (not scope.stations or gauge[1] in scope.stations)
                and (not scope.parameter or gauge[2] == scope.parameter)
            )
        ]

    def lists(self, shard: Shard | None) -> Gauges:
        """Return what it lists for a shard."""
        gauges = self.of(shard)
        stations = [{"station_id": station} for station in dict.fromkeys(station for _, station, _ in gauges)]
        measures = [dict(zip(("measure_id", "station_id", "parameter"), gauge, strict=True)) for gauge in gauges]
        return Gauges(snapshot(STATIONS, self.now, *stations), snapshot(MEASURES, self.now, *measures))

    def fill(self, lake: Lake, shard: Shard | None = None) -> None:
        """Store lists and readings as a tick does."""
        lists, now, readings = self.lists(shard), self.now, self.readings
        lake.claim(URL, shard)
        lake.put_snapshots(STATIONS, [window_of(now)], lists.stations)
        lake.put_snapshots(MEASURES, [window_of(now)], lists.measures)
        ids = {measure for measure, _, _ in self.of(shard)}
        shown = [(*key, value) for key, value in sorted(readings.items()) if key[0] in ids]
        lake.upsert_readings(fetched(*shown), now, now, stations=lists.measures)


@dataclass
class Filled:
    """The `Filler` of the tiny network."""

    common: str
    api: Api
    archive_place: str | None = None

    def at(self, name: str) -> Lake:
        return Lake.open(f"{self.common}/{SHARD_FOLDER}{name}" if name else self.common)

    def gauges(self, shard: Shard) -> Gauges:
        return self.api.lists(shard)

    def claim(self, shard: Shard) -> None:
        self.at(shard.name).claim(URL, shard)

    def refresh(self, shard: Shard) -> None:
        self.api.fill(self.at(shard.name), shard)

    def archive(self, name: str) -> Archive | None:
        return None if self.archive_place is None else Archive.beside(self.at(name).store, self.archive_place)


@dataclass
class World:
    """A common URL in a folder, and the API whose readings are there."""

    folder: Path
    api: Api = field(default_factory=Api)

    @property
    def common(self) -> Lake:
        return Lake.open(self.folder.as_uri())

    @property
    def filler(self) -> Filled:
        return Filled(self.folder.as_uri(), self.api)

    def lake(self, shard: Shard) -> Lake:
        return self.filler.at(shard.name)

    def tick(self, of: Network | None) -> None:
        """Refresh the shards of a network, or the lake without shards, from the API as it is."""
        if of is None:
            self.api.fill(self.common)
            return
        members.claim(self.common.store, of)
        for shard in of.shards:
            self.api.fill(self.lake(shard), shard)

    def filled(self, of: Network | None, hours: int = 1) -> "World":
        """Fill hour by hour, so that readings have histories."""
        for hour in range(hours, -1, -1):
            self.api.tick(NOW - hour * HOUR)
            self.tick(of)
        return self

    def change(self, to: Network, *drop: str, keep: bool = False) -> Change:
        """Return a change; what it says is in its `said`."""
        said = list[str]()
        made = Change(self.common, to, self.filler, lambda: self.api.now, said.append, frozenset(drop), keep, 0.0)
        made.said = said  # type: ignore[attr-defined]
        return made

    def names(self) -> list[str]:
        """Return the shards that hold an object but locks, and an empty name for a lake without shards."""
        names = {
            meta.key.split("/")[0].removeprefix(SHARD_FOLDER) if meta.key.startswith(SHARD_FOLDER) else ""
            for meta in self.common.store.list("")
            if ".locks/" not in meta.key and meta.key not in ("_network.json", "_lake.json")
        }
        return sorted(names)

    def union(self) -> dict[Key, Row]:
        """Return the retained readings that readers unite, as all of them are at one moment; none is there twice."""
        store = self.common.store
        while True:
            before = members.members(store)
            names = [""] if before is None else before.names
            rows = [row for name in names for row in self.filler.at(name).read(READINGS, now=self.api.now).to_pylist()]
            # Readers look again once they have read: an old lake is deleted only after they have changed over.
            if members.members(store) == before:
                break
        found = {(row["measure_id"], row["date_time"]): row for row in rows}
        assert len(found) == len(rows), "a reading is there twice"
        return found

    def truth(self) -> dict[Key, float]:
        return {key: value for key, value in self.api.readings.items() if key[1] > cutoff(self.api.now)}


def values(rows: dict[Key, Row]) -> dict[Key, object]:
    """Return the value of each reading."""
    return {key: row["value"] for key, row in rows.items()}


class Killed(BaseException):
    """The end of a process: nothing of it is done any more."""


@contextmanager
def killed_at(number: int, *, after: bool) -> Iterator[list[str]]:
    """End the process at its n-th write or delete, before or after it; yield the names of the objects until then."""
    touched = list[str]()
    lock, over = threading.Lock(), threading.Event()
    usual = {name: getattr(Folder, name) for name in ("put", "delete")}

    def counted(name: str) -> Callable[..., None]:
        def method(self: Folder, key: str | list[str], *args: object, **more: object) -> None:
            with lock:
                touched.append(f"{name} {self.url.rpartition('/')[2]} {key}")
                mine = len(touched) == number
            if over.is_set() or (mine and not after):
                over.set()
                raise Killed
            usual[name](self, key, *args, **more)
            if mine:
                over.set()
                raise Killed

        return method

    for name in usual:
        setattr(Folder, name, counted(name))
    try:
        yield touched
    except Killed:
        pass
    finally:
        for name, method in usual.items():
            setattr(Folder, name, method)
