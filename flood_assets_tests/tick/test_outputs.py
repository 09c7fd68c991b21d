"""Values that store themselves, without Dagster."""

import pytest

from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import key_of
from flood_assets.ledger.account import take
from flood_assets.partitions import retained_windows, window_of
from flood_assets.schemas import COMPLETENESS, STATIONS, TIMELINESS
from flood_assets.tick.outputs import Snapshot
from flood_assets_tests.conftest import HOUR, NOW
from flood_assets_tests.support.lake_rows import put_raw, read_window, snapshot


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake.open(tmp_path.as_uri())


def stations(*ids: str):
    return snapshot(STATIONS, NOW, *({"station_id": each} for each in ids))


def test_a_snapshot_is_stored_in_each_window_that_has_not_expired(lake):
    expired, *windows = [window_of(NOW) - hours * HOUR for hours in (25, 24, 1, 0)]
    changes = Snapshot(STATIONS, stations("a", "b"), [expired, *windows], NOW).store(lake)
    assert [change.window for change in changes["stations"]] == windows
    assert [stored.window for stored in lake.windows(STATIONS)] == windows
    assert lake.newest_snapshot(STATIONS, NOW)["station_id"].to_pylist() == ["a", "b"]


def test_a_snapshot_also_replaces_damaged_windows_and_no_sound_ones(lake):
    damaged, sound, asked = (window_of(NOW) - hours * HOUR for hours in (3, 2, 1))
    Snapshot(STATIONS, stations("old"), [damaged, sound], NOW).store(lake)
    put_raw(lake, key_of(STATIONS, damaged), b"not Parquet")
    changes = Snapshot(STATIONS, stations("new"), [asked], NOW).store(lake)
    assert [(change.window, bool(change.quarantined_as)) for change in changes["stations"]] == [
        (damaged, True),
        (asked, False),
    ]
    held = {each: read_window(lake, STATIONS, each, now=NOW)["station_id"].to_pylist() for each in (damaged, sound)}
    assert held == {damaged: ["new"], sound: ["old"]}


def test_an_account_stores_both_of_its_tables_and_unchanged_counts_once(lake):
    account = take(lake, NOW)
    assert account.now == NOW
    changes = account.store(lake)
    assert [change.window for change in changes["completeness"]] == retained_windows(NOW)
    assert [change.window for change in changes["timeliness"]] == [window_of(NOW)]
    assert [len(lake.windows(table)) for table in (COMPLETENESS, TIMELINESS)] == [25, 1]
    assert not any(change.written for each in take(lake, NOW).store(lake).values() for change in each)
