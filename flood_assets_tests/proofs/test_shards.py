"""One network in one lake, in shards by parameter and in shards by station: the same readings, counts and conditions.

The country is restless: one reading in forty is late, and one in five is corrected. What each form asks is counted by
the server itself.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from flood_assets.ea import plan
from flood_assets.ea.client import FloodMonitoringApi
from flood_assets.lake.lake import Lake
from flood_assets.network import parse_network
from flood_assets.schemas import COMPLETENESS, CONDITIONS, MEASURES, READINGS, WARNING_AREAS, WARNINGS, Table
from flood_assets.shards.opening import open_shard
from flood_assets.simulator import Server
from flood_assets.tick.steps import Given, Ticked, reconcile, refresh
from flood_assets_tests.support.proof import restless_country

START = datetime(2026, 10, 15, 9, 7, 30, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
# The first fill, two hours without any tick, and one more; then a reconcile.
TICKS = [START + quarters * QUARTER for quarters in (0, 8, 9)]
RECONCILE = START + 10 * QUARTER

# What follows from when the API was asked: the forms do not ask at the same moments for the same.
WHEN_ASKED = {
    READINGS: {"first_seen_at", "changed_at", "previous_value", "revision"},
    COMPLETENESS: {"late", "silent", "not_due", "not_fetched", "observed_at"},
    CONDITIONS: {"freshness", "next_due_at"},
}
HEADER = b"dateTime,measure,value\r\n"


@dataclass
class World:
    """A country, its clock, and the lakes that are filled from it, by form."""

    server: Server
    under: Path
    now: datetime = START
    forms: dict[str, list[Given]] = field(default_factory=dict)

    def clock(self) -> datetime:
        return self.now

    @property
    def api(self) -> FloodMonitoringApi:
        return FloodMonitoringApi(self.server.url, now=self.clock)

    def single(self) -> None:
        self.forms["single"] = [Given(Lake.open(self.under / "single"), self.server.url, self.clock)]

    def shards(self, form: str, scopes: Mapping[str, str]) -> None:
        """Add a form with a shard of each name and what it asks for, as TOML."""
        text = "".join(f'[[shard]]\nname = "{name}"\n{scope}\n' for name, scope in scopes.items())
        common = (self.under / form).as_uri()
        network = parse_network(f'name = "{form}"\n{text}', self.server.url)
        self.forms[form] = [open_shard(each, common, self.clock) for each in network.shards]

    def by_parameter(self) -> None:
        found = sorted(set(self.api.measures().rows["parameter"].to_pylist()))
        self.shards("parameters", {each: f'parameter = "{each}"' for each in found})

    def by_station(self, many: int) -> None:
        """Deal the stations out; one has an empty notation, and cannot be asked for."""
        found = [each for each in self.api.stations().rows["station_id"].to_pylist() if each]
        self.shards("stations", {f"s{at}": f"stations = {found[at::many]}" for at in range(many)})

    def take(self, steps: Callable[[Given], Ticked]) -> None:
        for given in self.each():
            ticked = steps(given)
            assert (ticked.failed, ticked.skipped, ticked.left) == ({}, [], [])

    def each(self) -> Iterator[Given]:
        for shards in self.forms.values():
            yield from shards

    def union(self, form: str, table: Table, *, without: set[str] = frozenset()) -> pa.Table:
        """Return what the lakes of a form hold, in the order of the key."""
        lakes = [given.lake for given in self.forms[form]]
        # Conditions are those of now; other tables have rows of each hour.
        rows = pa.concat_tables(
            [
                lake.newest_snapshot(table, self.now) if table is CONDITIONS else lake.read(table, now=self.now)
                for lake in lakes
            ]
        )
        by = [name for name in (*table.key, "window_start") if name in rows.column_names]
        assert len(rows.group_by(by).aggregate([])) == len(rows), "a row is in two shards"
        kept = [name for name in rows.column_names if name not in without]
        return rows.sort_by([(name, "ascending") for name in by]).select(kept).combine_chunks()

    def listed_at_named_stations(self, rows: pa.Table) -> pa.Table:
        """Return the rows that a request for a station shows: measures that are listed, at stations with a notation."""
        measures = self.api.measures().rows
        named = measures.filter(pc.not_equal(measures["station_id"], ""))["measure_id"].combine_chunks()
        return rows.filter(pc.is_in(rows["measure_id"], named)).combine_chunks()


@contextmanager
def world(stations: int, under: Path) -> Iterator[World]:
    moment: list[World] = []
    with restless_country(stations, 5, lambda: moment[0].now if moment else START) as server:
        moment.append(World(server, under))
        yield moment[0]


def require_equal(world: World, form: str, *, without: Mapping[Table, set[str]]) -> None:
    for table in (READINGS, COMPLETENESS, CONDITIONS):
        left_out = without.get(table, set())
        expected, found = (world.union(each, table, without=left_out) for each in ("single", form))
        if form == "stations":
            expected = world.listed_at_named_stations(expected)
        assert len(found) > 20, table.name
        differ = [name for name in expected.column_names if not expected[name].equals(found[name])]
        assert (len(found), differ) == (len(expected), []), (form, table.name)


def ticks_and_a_reconcile(world: World) -> None:
    for world.now in TICKS:
        world.take(refresh)
    world.now = RECONCILE
    world.take(reconcile)
    found = world.union("single", READINGS)
    restless = (pc.sum(found["revision"]).as_py(), pc.sum(pc.greater(found["first_seen_at"], TICKS[-1])).as_py())
    assert min(restless) > 20, "nothing was corrected or late"


def test_shards_hold_what_one_lake_holds_after_ticks_and_a_reconcile(tmp_path):
    with world(20, tmp_path) as found:
        found.single()
        found.by_parameter()
        found.by_station(2)
        ticks_and_a_reconcile(found)
        for form in ("parameters", "stations"):
            require_equal(found, form, without=WHEN_ASKED)
            # Warnings belong to no shard: the first has them.
            for given, leads in zip(found.forms[form], (True, False, False), strict=False):
                assert (bool(given.lake.windows(WARNINGS)), bool(given.lake.windows(WARNING_AREAS))) == (leads, leads)


@pytest.mark.long
def test_sixteen_shards_hold_what_one_lake_holds(tmp_path):
    with world(200, tmp_path) as found:
        found.single()
        found.shards("one", {"all": ""})
        found.by_parameter()
        found.by_station(16)
        ticks_and_a_reconcile(found)
        for form in ("parameters", "stations"):
            require_equal(found, form, without=WHEN_ASKED)
        require_equal(found, "one", without={})


def test_parameters_ask_for_the_same_rows_and_bytes_in_as_many_parts_as_there_are_shards(tmp_path, monkeypatch):
    """All nine columns are equal, as all is asked for at the same moments.

    A tick reads no day here: else each shard would decide by its own costs what is cheaper, its part of a day or some
    measures singly.
    """
    monkeypatch.setattr(plan, "ROWS_PER_S", 1)
    with world(24, tmp_path) as found:
        found.single()
        found.by_parameter()
        many = len(found.forms["parameters"])
        assert many > 2
        singly = 0
        for found.now, steps in ((START, refresh), (START + QUARTER, refresh), (START + 2 * QUARTER, reconcile)):
            asked = {}
            for form, shards in found.forms.items():
                found.server.reset()
                for given in shards:
                    assert not steps(given).failed
                asked[form] = found.server.stats()
            single, parts = asked["single"], asked["parameters"]
            assert parts.keys() == single.keys()
            for endpoint, counted in single.items():
                requests, size = counted["requests"], counted["bytes"]
                if endpoint in ("/data/readings latest", "/data/readings date"):
                    # Each part has the header line.
                    expected = {"requests": many * requests, "bytes": size + (many - 1) * requests * len(HEADER)}
                    assert parts[endpoint] == expected, endpoint
                elif endpoint in ("/id/stations", "/id/measures"):
                    assert parts[endpoint]["requests"] == many * requests, endpoint
                else:
                    assert parts[endpoint] == counted, endpoint
            singly += single.get("/id/measures/*/readings since", {"requests": 0})["requests"]
            # A window of counts is stored again if one of its counts is another.
            require_equal(found, "parameters", without={COMPLETENESS: {"observed_at"}})
        assert singly > 5
        listed = pa.concat_tables([given.lake.read(MEASURES, now=found.now) for given in found.forms["parameters"]])
        assert len(listed) == len(found.forms["single"][0].lake.read(MEASURES, now=found.now))
