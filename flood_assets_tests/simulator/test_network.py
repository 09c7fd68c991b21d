import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flood_assets.simulator import geography
from flood_assets.simulator.network import ROOT, Network

COUNTRY = Network(5500, seed=1)
BLOCKS = [COUNTRY.block(number) for number in range(COUNTRY.blocks)]
STATIONS = [(block, station) for block in BLOCKS for station in block.stations]
MEASURES = [measure for block in BLOCKS for measure in block.measures]


def share(things, of) -> float:
    return sum(map(bool, things)) / len(of)


def test_the_national_grid_agrees_with_a_real_station_to_some_metres():
    easting, northing = geography.to_grid(np.array([51.874767]), np.array([-1.740083]))
    assert easting[0] == pytest.approx(417990, abs=15)
    assert northing[0] == pytest.approx(219610, abs=15)


def test_a_grid_reference_names_the_square_and_the_place_in_it():
    assert geography.grid_reference(442793, 453042) == "SE4279353042"
    assert geography.grid_reference(539512, 110044, digits=2) == "TQ3910"


def test_stations_stand_in_england():
    placed = [station.item for _, station in STATIONS if "lat" in station.item]
    long, lat = np.array([s["long"] for s in placed]), np.array([s["lat"] for s in placed])
    near = [
        geography.inside(long + dx, lat + dy) for dx in (-0.06, 0, 0.06) for dy in (-0.05, 0, 0.05)
    ]  # tide gauges stand on the outline itself
    assert np.any(near, axis=0).mean() > 0.97


def test_ids_of_stations_and_measures_are_unique():
    assert len({station.notation for _, station in STATIONS}) == 5500
    assert len({measure.notation for measure in MEASURES}) == len(MEASURES)


def test_the_number_of_measures_and_their_mix_are_those_of_the_country():
    assert 6800 < len(MEASURES) < 7200
    parameters = Counter(measure.item["parameter"] for measure in MEASURES)
    assert 0.73 < parameters["level"] / len(MEASURES) < 0.80
    assert 0.15 < parameters["rainfall"] / len(MEASURES) < 0.21
    assert 0.035 < parameters["flow"] / len(MEASURES) < 0.06
    assert parameters["wind"] > 4
    assert parameters["temperature"] > 4
    periods = Counter(measure.item.get("period") for measure in MEASURES)
    assert 0.91 < periods[900] / len(MEASURES) < 0.96
    assert 0.04 < periods[3600] / len(MEASURES) < 0.08
    assert set(periods) == {None, 300, 900, 1800, 3600}


def test_measures_per_station_are_mostly_one():
    counts = Counter(len(station.measures) for _, station in STATIONS)
    assert counts[1] > 4000
    assert 8 <= counts[0] <= 30
    assert counts[8] == 1


def test_quirks_of_station_lists_are_about_as_frequent_as_in_the_real_ones():
    items = [station.item for _, station in STATIONS]
    assert 0.45 < share(("RLOIid" in i for i in items), items) < 0.56
    assert all(("RLOIid" in i) == ("riverName" in i) == ("status" in i) == ("stageScale" in i) for i in items)
    assert 0.06 < share(("lat" not in i for i in items), items) < 0.13
    assert 0.15 < share((i["label"] == "Rainfall station" for i in items), items) < 0.25
    assert 0.004 < share((i["notation"] != i["stationReference"] for i in items), items) < 0.02
    assert 1 <= sum(i["label"] == "ElementNotMappedToAnOutstation" for i in items) <= 15
    assert sum(isinstance(i.get("status"), list) for i in items) == 1
    references = Counter(i["stationReference"] for i in items)
    assert 2 <= sum(n > 1 for n in references.values()) <= 25
    scaled = [(b, s) for b, s in STATIONS if "stageScale" in s.item]
    assert sum("stageScale" not in s.scales for _, s in scaled) == 2
    assert 0.2 < share(("highestRecent" not in s.scales.get("stageScale", {}) for _, s in scaled), scaled) < 0.32


def test_quirks_of_measures_occur():
    units = Counter(measure.item["unitName"] for measure in MEASURES)
    assert 0.03 < units["---"] / len(MEASURES) < 0.09
    assert {"mASD", "mAOD", "m", "mm", "mBDAT", "m3/s", "Ml/d", "deg C", "deg", "m/s"} <= set(units)
    assert sum(m.notation.startswith("-") for m in MEASURES) == 3
    assert any(m.notation.endswith("-15_min----") for m in MEASURES)
    assert any("-southern-" in m.notation for m in MEASURES)
    unlisted = sum(int(b.signals.unlisted.sum()) for b in BLOCKS)
    assert 1 <= unlisted <= 30


def test_small_networks_have_the_rare_oddities_too():
    block = Network(60, seed=5).block(0)
    notations = {s.notation for s in block.stations}
    assert {"0", ""} <= notations
    assert len(block.stations[0].measures) == 8
    assert block.stations[6].item["stationReference"] == block.stations[7].item["stationReference"]


def test_all_text_is_ascii():
    assert json.dumps([s.item for _, s in STATIONS], ensure_ascii=False).isascii()


@given(st.integers(0, 549_999))
def test_every_station_is_found_by_its_id(index):
    network = Network.__new__(Network)
    network.stations, network._seed = 550_000, 1
    assert network.find(network.notation(index)) == index


def test_every_measure_leads_to_its_station():
    for block in BLOCKS[:2]:
        for measure in block.measures:
            station = block.stations[measure.station]
            wanted = COUNTRY.find(station.notation)
            assert wanted in COUNTRY.find_measure(measure.notation)
            assert measure.item["station"] == f"{ROOT}/id/stations/{station.notation}"


@pytest.mark.parametrize("unknown", ["nonsense", "E1", "99999999999999999999TH", "0-", "E6501"])
def test_an_unknown_id_is_not_found(unknown):
    assert COUNTRY.find(unknown) is None
