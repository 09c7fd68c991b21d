"""Shared parts of source-fault tests: a small country that can go away, and the invariants of each run.

`Trial` looks at the lake before and after a run. The oracle is the simulator's own truth: what the API would show now.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from flood_assets.ea.http import RetryPolicy
from flood_assets.lake import watermarks
from flood_assets.partitions import cutoff
from flood_assets.schemas import MEASURES, READINGS, STATIONS, Table
from flood_assets.simulator import Server, Simulator
from flood_assets.simulator.faults import STRANGER
from flood_assets_tests.conftest import Place

DAY = timedelta(hours=24)

Key = tuple[str, datetime]
Rows = dict[Key, str | float | None]


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """Record the client's waits between retries; nothing really sleeps."""
    waited: list[float] = []
    defaults = RetryPolicy.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "sleep", waited.append)
    monkeypatch.setitem(defaults, "jitter", lambda: 0.5)
    return waited


def same_value(held: str | float | None, shown: str) -> bool:
    """Return True if a stored value equals the API's text; the order of several values does not matter."""
    if "|" in shown:
        numbers = sorted(map(float, shown.split("|")))
        return held == numbers[0] == numbers[-1] or sorted(map(float, str(held).split("|"))) == numbers
    return held is None if not shown else held == float(shown)


@dataclass
class Trial:
    """One place and the checks on it.

    Attributes:
        shown: per reading, the values that the API has shown at any moment of this trial.
    """

    place: Place

    def __post_init__(self) -> None:
        self.shown: dict[Key, set[str]] = {}
        self.before: Rows = {}
        self.marked: dict[str, datetime] = {}

    # -- the oracle

    def truth(self) -> dict[Key, str]:
        """Return the retained day as the API would show it now."""
        rows = self.place.server.truth(self.place.now - DAY, self.place.now)
        return {(row.measure, row.time): row.value for row in rows}

    def observe(self) -> None:
        """Record the state before a run."""
        for key, value in self.truth().items():
            self.shown.setdefault(key, set()).add(value)
        self.before, self.marked = self.rows(), self.watermarks()

    # -- the lake

    def rows(self) -> Rows:
        """Return the rows a reader gets now; fail if a window is unreadable or holds a duplicate."""
        table = self.place.lake.read(READINGS, now=self.place.now)
        ids, times, values, raws = (
            table[name].to_pylist() for name in ("measure_id", "date_time", "value", "raw_value")
        )
        held = {
            (measure, at): value if raw is None else raw
            for measure, at, value, raw in zip(ids, times, values, raws, strict=True)
        }
        assert len(held) == len(table), "a reading is there twice"
        return held

    def watermarks(self) -> dict[str, datetime]:
        known = watermarks.load(self.place.lake.store)
        return {row["measure_id"]: row["newest"] for row in known.rows.to_pylist()} if known else {}

    def files(self) -> dict[str, bytes]:
        """Return the bytes of all stored objects except the lake's identity."""
        folder = folder_of(self.place)
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix in {".parquet", ""} and not path.name.startswith(".")
        }

    # -- what must hold

    def nothing_made_up_or_lost(self) -> None:
        """Assert that every row and value was shown by the API, and that no earlier row is gone."""
        held = self.rows()
        for (measure, at), value in held.items():
            origin = measure.removesuffix(STRANGER.decode())
            assert (origin, at) in self.shown, f"{measure} {at} was never shown"
            assert any(same_value(value, text) for text in self.shown[origin, at])
        edge = cutoff(self.place.now)
        assert {key for key in self.before if key[1] > edge} <= held.keys()
        for table in (STATIONS, MEASURES):
            newest = self.place.lake.newest_snapshot(table, self.place.now)
            assert newest is None or len(newest) == len(self.listed(table)), "a shorter list was accepted"

    def listed(self, table: Table) -> list[str]:
        """Return the stations or measures that the API lists."""
        blocks = list(self.place.server.simulator.blocks)
        stations = [(block, station) for block in blocks for station in block.stations]
        if table is STATIONS:
            return [station.notation for _, station in stations]
        return [measure.notation for block, station in stations for measure in block.listed(station)]

    def no_watermark_hides_anything(self) -> None:
        """Assert that all readings between a measure's old and new watermark are stored."""
        held, now = self.rows(), self.watermarks()
        hidden = [
            (measure, at)
            for measure, at in self.truth()
            if measure in now and self.marked.get(measure, cutoff(self.place.now)) < at <= now[measure]
            if (measure, at) not in held
        ]
        assert not hidden, f"watermarks say that {len(hidden)} readings are stored, such as {hidden[:3]}"
        assert all(now[measure] >= at for measure, at in self.marked.items() if measure in now)

    def equals_truth(self, *, values: bool = True) -> None:
        """Assert that the lake equals the API, except for measures shown only during a fault."""
        truth = self.truth()
        held = {key: value for key, value in self.rows().items() if not key[0].endswith(STRANGER.decode())}
        assert held.keys() == truth.keys(), (
            f"{len(truth.keys() - held.keys())} missing, {len(held.keys() - truth.keys())} too many"
        )
        if values:
            assert all(same_value(held[key], truth[key]) for key in truth)


def folder_of(place: Place) -> Path:
    """Return the folder of a local lake."""
    return Path(place.lake_url.removeprefix("file://"))


def copied(lake: Path, place: Place) -> Place:
    """Return the place with a copy of a lake that was filled once for many tests."""
    shutil.copytree(lake, folder_of(place), dirs_exist_ok=True)
    return place


def small_country() -> Server:
    """Return a dozen stations with some two dozen measures."""
    return Server(Simulator(stations=12, seed=1))


@pytest.fixture(scope="module")
def country() -> Iterator[Server]:
    with small_country() as server:
        yield server


@pytest.fixture(scope="module")
def full(country, tmp_path_factory) -> Path:
    """Return a lake after its first tick at NOW."""
    with dg.DagsterInstance.ephemeral() as instance:
        place = Place(country, tmp_path_factory.mktemp("full").as_uri(), instance)
        assert place.tick(snapshot=True).success
        return folder_of(place)
