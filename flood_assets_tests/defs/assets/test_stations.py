"""Snapshots of the gauges: stations and measures."""

import dagster as dg
import pytest

from flood_assets.partitions import partition_key, window_of
from flood_assets.schemas import MEASURES, READINGS, REJECTS, STATIONS
from flood_assets_tests.conftest import HOUR, NOW, failure_of
from flood_assets_tests.defs.assets.test_readings import PICTURE
from flood_assets_tests.ea.test_parse import ROOT
from flood_assets_tests.support import api_server


@pytest.fixture
def snapshot(place):
    result = place.run(
        "refresh_job",
        asset_selection=[dg.AssetKey("stations"), dg.AssetKey("measures")],
        partition_key=partition_key(window_of(NOW)),
    )
    assert result.success
    return place


def test_a_snapshot_holds_every_gauge_once(snapshot):
    stations, measures = (snapshot.lake.newest_snapshot(table, NOW) for table in (STATIONS, MEASURES))
    assert len(stations) == len(set(stations["station_id"].to_pylist())) == snapshot.server.simulator.stations
    assert len(measures) == len(set(measures["measure_id"].to_pylist())) > 40


def test_metadata_shows_a_map_and_what_is_measured(snapshot):
    (stations,) = snapshot.materializations("stations", window_of(NOW))
    (measures,) = snapshot.materializations("measures", window_of(NOW))
    assert PICTURE.match(stations.metadata["map"].value)
    assert stations.metadata["dagster/partition_row_count"].value == 40
    assert 20 < stations.metadata["with_coordinates"].value <= 40
    counts = [entry.value for name, entry in measures.metadata.items() if name.startswith("measures_of_")]
    assert sum(counts) == measures.metadata["dagster/partition_row_count"].value
    assert "oldest" not in measures.metadata


def test_a_range_gets_the_same_snapshot_in_each_window_from_one_request(place):
    windows = [window_of(NOW) - n * HOUR for n in (2, 1, 0)]
    assert place.materialize("stations", windows[0], windows[-1]).success
    assert [found.window for found in place.lake.windows(STATIONS)] == windows
    assert place.requests() == 1


def test_a_second_snapshot_of_an_hour_writes_nothing_when_no_gauge_changed(snapshot):
    before = [found.e_tag for found in snapshot.lake.windows(STATIONS)]
    assert snapshot.materialize("stations", window_of(NOW)).success
    told = snapshot.materializations("stations", window_of(NOW))[0].metadata
    assert (told["written"].value, told["unchanged"].value, told["added"].value) == (False, 40, 0)
    assert [found.e_tag for found in snapshot.lake.windows(STATIONS)] == before


@pytest.mark.parametrize("asset", ["stations", "measures"])
def test_another_api_or_none_is_refused_with_our_words(snapshot, asset):
    real, snapshot.api_url = snapshot.api_url, "http://127.0.0.1:9/flood-monitoring"
    told = failure_of(snapshot.materialize(asset, window_of(NOW)))
    assert f"holds readings of {real} and not of http://127.0.0.1:9/flood-monitoring" in told


def test_readings_are_given_the_station_of_the_newest_snapshot_that_is_retained(snapshot):
    snapshot.at(NOW + 5 * HOUR)
    assert snapshot.tick().success
    known = snapshot.lake.newest_snapshot(MEASURES, snapshot.now)
    station_of = dict(zip(known["measure_id"].to_pylist(), known["station_id"].to_pylist(), strict=True))
    rows = snapshot.lake.read(READINGS, now=snapshot.now, columns=["measure_id", "station_id"]).to_pylist()
    assert {(row["measure_id"], row["station_id"]) for row in rows} == {
        (row["measure_id"], station_of.get(row["measure_id"])) for row in rows
    }
    told = snapshot.materializations("readings", window_of(snapshot.now))[0].metadata
    # A few measures report that the API does not list, as on the real one.
    assert told["unknown_measures"].value == len({row["measure_id"] for row in rows} - set(station_of))


@pytest.mark.parametrize(("asset", "column", "odd"), [("stations", "lat", "NaN"), ("measures", "unitName", '"m\tAOD"')])
def test_an_odd_cell_is_kept_in_rejects_counted_and_told(place, asset, column, odd):
    body = f'{{"items": [{{"@id": "{ROOT}/{asset}/a", "{column}": {odd}}}, {{"@id": "{ROOT}/{asset}/b"}}]}}'
    with api_server.Server() as server:
        server.answer(api_server.whole(body.encode(), kind="application/json"))
        place.api_url = server.url
        result = place.materialize(asset, window_of(NOW))
    assert result.success
    told = place.materializations(asset, window_of(NOW))[0].metadata
    assert (told["dagster/partition_row_count"].value, told["rejected"].value) == (2, 1)
    (reject,) = place.lake.read(REJECTS, now=NOW).to_pylist()
    assert reject["line"] == f"/id/{asset}/a,{column},{odd}"
    log = "\n".join(entry.user_message for entry in place.instance.all_logs(result.run_id))
    assert f"1 cell or item could not be understood, the first: '/id/{asset}/a,{column},{odd}'" in log
    (recorded,) = place.instance.fetch_materializations(dg.AssetKey("rejects"), limit=10).records
    assert recorded.asset_materialization.metadata["dagster/row_count"].value == 1


def test_a_list_without_an_odd_cell_says_so(snapshot):
    assert snapshot.materializations("stations", window_of(NOW))[0].metadata["rejected"].value == 0
    assert snapshot.lake.windows(REJECTS) == []
