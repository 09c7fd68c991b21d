"""The names of the simulated country: England's, on rivers that have them, and those that the examples use."""

from collections import Counter

import numpy as np
import pytest

from flood_assets.simulator import Simulator, geography, names
from flood_assets.simulator.country import everything
from flood_assets.simulator.network import Network

THAMES = "River Thames"


def items(network: Network) -> list[dict]:
    return [station.item for number in range(network.blocks) for station in network.block(number).stations]


def test_no_name_is_another_river_s_too():
    known = names.rivers()
    assert len(known) >= geography.RIVERS
    assert known[0].name == THAMES
    assert len({river.name for river in known}) == len(known)
    towns = [town for river in known for town in river.towns]
    assert len(set(towns)) == len(towns)
    assert all(river.catchment and river.county and len(river.towns) > 2 for river in known)
    assert names.KINGSTON not in towns, "one station alone is called so"


def test_each_river_is_placed_in_england():
    long, lat = np.array([(river.long, river.lat) for river in names.rivers()]).T
    assert geography.inside(long, lat).all()


@pytest.mark.parametrize("seed", [1, 7])
def test_a_river_rises_near_the_one_that_it_is_named_after(seed):
    ground = geography.ground(seed)
    assert len({river.name for river in ground.rivers}) == geography.RIVERS
    real = np.array([(river.long, river.lat) for river in ground.rivers])
    assert np.abs(ground.source - real)[1:].max() <= 0.1
    assert ground.source[0].tolist() == [-2.03, 51.69]
    assert ground.mouth[0] == pytest.approx([0.55, 51.46], abs=0.01)


@pytest.mark.parametrize("seed", [1, 7])
def test_each_station_of_a_river_is_in_one_of_its_towns(seed):
    known = {river.name: river for river in names.rivers()}
    on_rivers = [item for item in items(Network(600, seed)) if item.get("riverName", "Tide") != "Tide"]
    assert len(on_rivers) > 100
    for item in on_rivers:
        river = known[item["riverName"]]
        assert item["catchmentName"] == river.catchment
        if isinstance(item.get("town"), str):
            assert item["town"] in river.towns


@pytest.mark.parametrize("seed", [1, 7])
def test_the_thames_has_most_gauges_and_kingston_is_on_it(seed):
    found = items(Network(5500, seed))
    rivers = Counter(item["riverName"] for item in found if "riverName" in item)
    assert next(name for name, _ in rivers.most_common() if name != "Tide") == THAMES
    (kingston,) = [item for item in found if item["label"].casefold() == "kingston"]
    assert (kingston["riverName"], kingston["town"], kingston["RLOIid"]) == (THAMES, "Kingston upon Thames", "7267")
    assert kingston["long"] == pytest.approx(-0.31, abs=0.1)
    assert kingston["lat"] == pytest.approx(51.41, abs=0.2)
    numbers = [item["RLOIid"] for item in found if isinstance(item.get("RLOIid"), str)]
    assert len(set(numbers)) == len(numbers)


def test_kingston_is_in_a_small_country_too_with_its_typical_range_and_reports_today():
    simulator = Simulator(40, seed=1)
    now = int(simulator.now.timestamp())
    block = simulator.block_of(0)
    (station,) = [station for station in block.stations if station.item["label"] == "Kingston"]
    assert station.item["RLOIid"] == "7267"
    assert {"typicalRangeLow", "typicalRangeHigh"} <= set(station.scales["stageScale"])
    newest = simulator.latest(block, everything(block), now)
    ages = {m: now - time for m, time in zip(newest.measure.tolist(), newest.time.tolist(), strict=True)}
    assert [ages[m] < 3600 for m in station.measures] == [True, True]
