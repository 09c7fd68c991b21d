"""Materializing readings: one window, a range, the day, a tick."""

import base64
import re
from datetime import timedelta
from xml.etree import ElementTree as ET

import dagster as dg
import pyarrow as pa
import pytest
from dagster._core.events import DagsterEventType

from flood_assets.defs.assets.readings import fetch, preview
from flood_assets.defs.assets.tables import RETRIES
from flood_assets.lake import watermarks
from flood_assets.partitions import partition_key, retained_windows, window_of
from flood_assets.schemas import READINGS, REJECTS, STATIONS, TIME
from flood_assets_tests.conftest import HOUR, NOW, QUARTER, Place, failure_of
from flood_assets_tests.support.lake_rows import rejects

PICTURE = re.compile(r"^!\[[^]]+\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)$")


def truth(place: Place) -> dict:
    rows = place.server.truth(place.now - timedelta(hours=24), place.now)
    return {(row.measure, row.time): row.value for row in rows}


def stored(place: Place) -> dict:
    rows = place.lake.read(READINGS, now=place.now).to_pylist()
    return {(row["measure_id"], row["date_time"]): row["value"] for row in rows}


def steps(result: dg.ExecuteInProcessResult, kind: DagsterEventType) -> list[dg.DagsterEvent]:
    return [event for event in result.all_events if event.event_type == kind]


def test_the_first_tick_fills_the_day_with_all_that_the_api_shows(ticked):
    assert stored(ticked).keys() == truth(ticked).keys()
    # The stations, the measures, the flood areas, two days, and the warnings.
    assert ticked.requests() == 6


def test_a_tick_is_one_run_that_tells_of_each_retained_window(ticked):
    for window in retained_windows(NOW):
        (told,) = ticked.materializations("readings", window)
        metadata = {name: value.value for name, value in told.metadata.items()}
        rows = ticked.lake.contents(READINGS, [window])[window]
        assert metadata["dagster/partition_row_count"] == rows.rows > 0
        assert metadata["bytes"] == rows.size > 0
        assert metadata["oldest"] == rows.oldest.timestamp()
        assert metadata["newest"] == rows.newest.timestamp()
        assert (metadata["added"], metadata["revised"], metadata["unchanged"]) == (rows.rows, 0, 0)
        assert metadata["written"] is True
        assert metadata["dagster/uri"] == f"{ticked.lake.url}/readings"


def test_metadata_shows_a_picture_a_preview_and_the_reason_in_less_than_30_kilobytes(filled):
    for moment in (NOW, NOW + QUARTER):
        if moment > NOW:
            assert filled.at(moment).tick().success
        told = filled.materializations("readings", window_of(moment))[0].metadata
        svg = base64.b64decode(PICTURE.match(told["chart"].value).group(1))
        assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
        header, rule, *rows = told["preview"].value.splitlines()
        assert header == "| measure | time (UTC) | value |"
        assert rule == "|---|---|---|"
        assert rows
        assert all(row.count(" | ") == 2 for row in rows)
        assert told["reason"].value
        assert told["requests"].value >= 1
        assert sum(len(str(value.value)) for value in told.values()) < 30_000


def test_the_next_tick_adds_what_is_new_and_leaves_the_rest_alone(filled):
    filled.at(NOW + QUARTER)
    assert filled.tick().success
    assert stored(filled).keys() >= {key for key in truth(filled) if key[1] > NOW - QUARTER}
    old, new = (filled.materializations("readings", window_of(NOW) + n * HOUR)[0].metadata for n in (-20, 0))
    assert old["written"].value is False
    assert old["added"].value == 0
    assert new["added"].value > 0


def test_ticks_over_three_hours_lose_nothing(filled):
    for number in range(1, 13):
        filled.at(NOW + number * QUARTER)
        assert filled.tick().success
    assert stored(filled).keys() == truth(filled).keys()


def test_one_window_is_filled_alone(place):
    window = window_of(NOW) - 5 * HOUR
    assert place.materialize("readings", window).success
    assert [found.window for found in place.lake.windows(READINGS)] == [window]
    assert stored(place).keys() == {key for key in truth(place) if window_of(key[1]) == window}
    assert len(place.materializations("readings", window)) == 1


def test_one_window_by_its_partition_key(place):
    window = window_of(NOW) - 5 * HOUR
    result = place.run("refresh_job", asset_selection=[dg.AssetKey("readings")], partition_key=partition_key(window))
    assert result.success
    assert len(place.materializations("readings", window)) == 1


def test_a_range_of_windows_is_one_run_and_a_request_a_day(place):
    first, last = window_of(NOW) - 12 * HOUR, window_of(NOW) - 8 * HOUR
    assert place.materialize("readings", first, last).success
    assert [found.window for found in place.lake.windows(READINGS)] == [first + n * HOUR for n in range(5)]
    assert stored(place).keys() == {key for key in truth(place) if first <= key[1] < last + HOUR}
    assert place.requests() == 2
    assert len(place.instance.get_runs()) == 1


def test_the_whole_day_again_finds_what_was_corrected(filled):
    filled.at(NOW + 3 * HOUR)
    assert filled.tick().success
    assert filled.reconcile().success
    seen = {key: value for key, value in truth(filled).items() if "|" not in value and value}
    held = stored(filled)
    assert {key: float(value) for key, value in seen.items()} == {key: held[key] for key in seen}


def test_readings_know_their_station_once_a_snapshot_knows_the_measure(filled):
    rows = filled.lake.read(READINGS, now=NOW)
    assert rows["station_id"].null_count < len(rows) / 10


@pytest.mark.parametrize(
    ("first", "last", "named"),
    [
        pytest.param(-25, -25, "2026-10-14-08:00", id="the window that has just expired"),
        pytest.param(1, 1, "2026-10-15-10:00", id="a window to come"),
        pytest.param(-30, 0, "2026-10-14-03:00 and 5 more", id="a range that reaches too far back"),
    ],
)
def test_windows_outside_the_day_are_refused_before_anything_is_asked(place, first, last, named):
    start, end = window_of(NOW) + first * HOUR, window_of(NOW) + last * HOUR
    result = place.materialize("readings", start, end)
    assert not result.success
    assert failure_of(result) == (
        f"window {named} is not available: only the last 24 hours are kept. "
        "Choose windows from 2026-10-14-09:00 to 2026-10-15-09:00."
    )
    assert place.requests() == 0
    assert not steps(result, DagsterEventType.STEP_UP_FOR_RETRY)


def test_a_day_that_was_asked_for_before_the_hour_and_read_after_it_lacks_only_what_expired(place):
    assert place.materialize("stations", window_of(NOW) - 25 * HOUR, window_of(NOW) - HOUR).success
    assert place.materialize("readings", window_of(NOW) - 25 * HOUR, window_of(NOW) - HOUR).success
    expected = retained_windows(NOW)[:-1]
    assert [found.window for found in place.lake.windows(READINGS)] == expected
    assert [found.window for found in place.lake.windows(STATIONS)] == expected
    shown = {key for key in truth(place) if key[1] < window_of(NOW)}
    assert stored(place).keys() == shown


@pytest.mark.parametrize("asset", ["stations", "measures", "readings"])
def test_a_job_that_is_launched_without_windows_says_how_to_choose_them(place, asset):
    result = place.run("refresh_job", asset_selection=[dg.AssetKey(asset)])
    assert failure_of(result).startswith("this run names no windows: press Materialize and choose partitions")
    assert place.requests() == 0
    assert not steps(result, DagsterEventType.STEP_UP_FOR_RETRY)


@pytest.mark.parametrize("asset", ["stations", "measures"])
def test_snapshots_outside_the_day_are_refused_too(place, asset):
    result = place.materialize(asset, window_of(NOW) - 25 * HOUR)
    assert failure_of(result).startswith("window 2026-10-14-08:00 is not available")
    assert place.requests() == 0


def test_a_tick_that_waited_in_the_queue_passes_over_windows_that_expired_meanwhile(filled):
    # As asked for at NOW, but run three hours later.
    tags = {
        "dagster/asset_partition_range_start": partition_key(retained_windows(NOW)[0]),
        "dagster/asset_partition_range_end": partition_key(retained_windows(NOW)[-1]),
    }
    filled.at(NOW + 3 * HOUR)
    config = {"ops": {"readings": {"config": {"incremental": True}}}}
    result = filled.run("refresh_job", asset_selection=[dg.AssetKey("readings")], tags=tags, run_config=config)
    assert result.success
    assert stored(filled).keys() == truth(filled).keys()


def test_a_lake_of_another_api_is_refused(filled):
    before = {found.key: found.e_tag for found in filled.lake.windows(READINGS)}
    other = filled.api_url.replace("127.0.0.1", "localhost")
    real, filled.api_url = filled.api_url, other
    result = filled.reconcile()
    filled.api_url = real
    assert f"holds readings of {real} and not of {other}" in failure_of(result)
    assert {found.key: found.e_tag for found in filled.lake.windows(READINGS)} == before


@pytest.mark.parametrize("how", ["tick", "reconcile"])
def test_a_clock_that_jumped_back_is_refused_and_nothing_is_changed(filled, how):
    before = {found.key: found.e_tag for found in filled.lake.windows(READINGS)}
    filled.at(NOW - 2 * HOUR)
    result = getattr(filled, how)()
    assert failure_of(result).startswith(
        "this machine's clock says 2026-10-15 07:07:30Z, but the lake was filled at 2026-10-15 09:07:30Z: set the clock"
    )
    assert not steps(result, DagsterEventType.STEP_UP_FOR_RETRY)
    assert filled.requests() == 0
    assert {found.key: found.e_tag for found in filled.lake.windows(READINGS)} == before


def test_a_clock_that_is_a_minute_off_is_no_matter(filled):
    filled.at(NOW - timedelta(minutes=1))
    assert filled.tick().success


def test_an_api_that_is_away_is_tried_again_after_a_while_and_then_told(place, no_waiting):
    place.api_url = "http://127.0.0.1:9/flood-monitoring"
    result = place.reconcile()
    assert failure_of(result).startswith("http://127.0.0.1:9/flood-monitoring/data/readings.csv?date=2026-10-15: ")
    assert len(steps(result, DagsterEventType.STEP_UP_FOR_RETRY)) == RETRIES.max_retries
    assert 0 < sum(no_waiting) <= 60


def test_an_api_that_comes_back_is_met_by_the_second_try(place, no_waiting):
    place.server.set_faults([{"match": "readings.csv", "kind": "status", "status": 503}])
    assert place.reconcile().success
    assert stored(place).keys() == truth(place).keys()


def test_a_damaged_window_is_set_aside_and_told_of(filled):
    window = window_of(NOW) - 4 * HOUR
    (found,) = [found for found in filled.lake.windows(READINGS) if found.window == window]
    filled.lake.store.put(found.key, b"no parquet", replaces=filled.lake.store.head(found.key))
    assert filled.reconcile().success
    told = filled.materializations("readings", window)[0].metadata
    assert told["quarantined_as"].value.startswith("_quarantine/readings/")
    assert told["dagster/partition_row_count"].value > 0
    assert stored(filled).keys() == truth(filled).keys()


def test_the_preview_shows_no_reading_that_was_not_stored(filled):
    """Of seven readings, three are of the retained day."""
    hours = (-25, -24, -23, -1, 0, 1, 400)
    rows = pa.table(
        {
            "measure_id": [f"of-{hour}" for hour in hours],
            "date_time": pa.array([NOW + hour * HOUR for hour in hours], TIME),
            "value": [1.0] * len(hours),
            "raw_value": pa.array([None] * len(hours), pa.string()),
        }
    )
    lines = preview(rows, NOW).value.splitlines()[2:]
    assert [line.split()[1] for line in lines] == ["of-0", "of--1", "of--23"]


def test_the_preview_shows_a_reading_that_several_answers_gave_once_with_its_last_value():
    rows = pa.table(
        {
            "measure_id": ["a", "b", "a", "a"],
            "date_time": pa.array([NOW, NOW, NOW, NOW - HOUR], TIME),
            "value": [1.0, 2.0, 3.0, 4.0],
            "raw_value": pa.array([None] * 4, pa.string()),
        }
    )
    lines = preview(rows, NOW).value.splitlines()[2:]
    assert [(line.split()[1], line.split()[-2]) for line in lines] == [("b", "2"), ("a", "3"), ("a", "4")]


@pytest.mark.parametrize("hours_ago", [0, 12, 24])
def test_a_damaged_window_is_filled_again_by_the_tick_that_finds_it(filled, hours_ago):
    window = window_of(NOW) - hours_ago * HOUR
    (found,) = [found for found in filled.lake.windows(READINGS) if found.window == window]
    filled.lake.store.put(found.key, b"no parquet", replaces=filled.lake.store.head(found.key))
    filled.at(NOW + QUARTER)
    assert filled.tick().success
    told = filled.materializations("readings", window)[0].metadata
    assert told["quarantined_as"].value.startswith("_quarantine/readings/")
    # The asset's page shows the newest window.
    newest = filled.materializations("readings", window_of(filled.now))[0].metadata
    assert newest["replaced_damaged_windows"].value == told["quarantined_as"].value
    assert stored(filled).keys() == truth(filled).keys()


def test_damage_that_only_a_merge_sees_is_healed_by_the_next_tick(filled):
    """The footer is whole, a page is not: the tick keeps what it brought, and lets the lake count as incomplete."""
    window = window_of(NOW)
    (found,) = [found for found in filled.lake.windows(READINGS) if found.window == window]
    whole = filled.lake.store.get(found.key)
    data = bytearray(whole.data.to_pybytes())
    data[8:40] = b"x" * 32
    filled.lake.store.put(found.key, bytes(data), replaces=whole.meta)
    filled.at(NOW + QUARTER)
    assert filled.tick().success
    assert watermarks.load(filled.lake.store).forgotten
    filled.at(NOW + 2 * QUARTER)
    assert filled.tick().success
    assert stored(filled).keys() == truth(filled).keys()


def test_rejects_are_stored_by_the_same_step_and_recorded_with_the_rows_of_their_table(filled, monkeypatch):
    def materializations() -> list[dict]:
        records = dg.AssetRecordsFilter(asset_key=dg.AssetKey("rejects"))
        found = filled.instance.fetch_materializations(records, limit=10).records
        return [{name: told.value for name, told in each.asset_materialization.metadata.items()} for each in found]

    assert materializations() == [], "all rows could be parsed"
    filled.lake.add_rejects(rejects((NOW - HOUR, "x", "odd")))

    def fetch_with_rejects(*arguments):
        batch = fetch(*arguments)
        object.__setattr__(getattr(batch, "parts", batch), "rejects", rejects((NOW, "y", "odd"), (NOW, "z", "odd")))
        return batch

    monkeypatch.setattr("flood_assets.defs.assets.readings.fetch", fetch_with_rejects)
    assert filled.at(NOW + QUARTER).tick().success
    (told,) = materializations()
    stored = filled.lake.windows(REJECTS)
    assert (told["dagster/row_count"], told["windows"]) == (3, 2)
    assert told["bytes"] == sum(window.size for window in stored)
    assert told["dagster/uri"] == f"{filled.lake.url}/rejects"
    assert filled.materializations("readings", window_of(filled.now))[0].metadata["rejected_rows"].value == 2
