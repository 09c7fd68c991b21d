"""The cleanup: what goes, what stays, and what Dagster is told of it."""

from datetime import timedelta

import dagster as dg
import pytest

from flood_assets.lake.lake import Lake
from flood_assets.partitions import cutoff, partition_key, retained_windows, window_of
from flood_assets.schemas import MEASURES, READINGS, STATIONS
from flood_assets_tests.conftest import HOUR, NOW, QUARTER, Place

TABLES = (STATIONS, MEASURES, READINGS)
LATER = NOW + 3 * HOUR


def told(result: dg.ExecuteInProcessResult) -> dict:
    events = result.asset_materializations_for_node("retention")
    (event,) = [event for event in events if event.asset_key == dg.AssetKey("retention")]
    return {name: value.value for name, value in event.metadata.items()}


def is_tombstone(event: dg.AssetMaterialization) -> bool:
    return "expired" in event.metadata and event.metadata["dagster/partition_row_count"].value == 0


def objects(place: Place) -> dict:
    return {found.key: found.e_tag for table in TABLES for found in place.lake.windows(table)}


@pytest.fixture
def old(filled: Place) -> Place:
    """A lake of which three windows have expired and a fourth is crossed."""
    return filled.at(LATER)


def test_expired_windows_go_and_the_crossing_one_is_trimmed(old):
    before = objects(old)
    result = old.expire()
    assert result.success
    assert [found.window for found in old.lake.windows(READINGS)] == retained_windows(LATER)[:-3]
    assert next(iter(old.lake.contents(READINGS, [window_of(cutoff(LATER))]).values())).oldest > cutoff(LATER)
    summary = told(result)
    assert (summary["windows_deleted"], summary["windows_trimmed"], summary["dry_run"]) == (12, 1, False)
    assert summary["rows"] > 0
    assert summary["bytes_freed"] > 0
    assert summary["cutoff"] == cutoff(LATER).timestamp()
    assert "| readings | deleted | 3: 2026-10-14-09:00 to 2026-10-14-11:00 |" in summary["details"]
    untouched = {key for key in before if "date=2026-10-15" in key}
    assert len(untouched) == 3 * 10
    assert untouched <= {key for key, tag in objects(old).items() if before[key] == tag}


def test_a_dry_run_tells_the_same_and_changes_nothing(old):
    before = objects(old)
    dry = told(old.expire(dry_run=True))
    assert objects(old) == before
    assert not is_tombstone(old.materializations("readings", window_of(NOW) - 24 * HOUR)[0])
    wet = told(old.expire())
    assert dry["dry_run"]
    assert {name: dry[name] for name in ("windows_deleted", "windows_trimmed", "rows")} == {
        name: wet[name] for name in ("windows_deleted", "windows_trimmed", "rows")
    }


def test_dagster_is_told_once_that_an_expired_window_holds_nothing(old):
    assert old.expire().success
    for number in range(1, 4):
        old.at(LATER + number * QUARTER)
        assert old.tick().success
        assert old.expire().success
    gone = [window_of(NOW) - n * HOUR for n in (24, 23, 22)]
    for window in gone:
        events = old.materializations("readings", window)
        assert [is_tombstone(event) for event in events] == [True, False]
    for window in retained_windows(old.now):
        assert not any(is_tombstone(event) for event in old.materializations("readings", window))


def test_every_table_gets_its_tombstones(filled):
    filled.at(NOW + 26 * HOUR)
    assert filled.expire().success
    for table in TABLES:
        events = filled.materializations(table.name, window_of(NOW))
        assert [is_tombstone(event) for event in events] == [True, False]
    assert not objects(filled)


def test_a_window_that_dagster_never_saw_gets_no_tombstone(place):
    assert place.tick().success
    place.at(LATER)
    assert place.expire().success
    assert is_tombstone(place.materializations("readings", window_of(NOW) - 24 * HOUR)[0])
    assert not place.materializations("stations", window_of(NOW) - 24 * HOUR)


def test_a_cleanup_that_died_before_it_told_dagster_is_caught_up_with(old):
    Lake.open(old.lake_url).expire(LATER)
    assert not is_tombstone(old.materializations("readings", window_of(NOW) - 24 * HOUR)[0])
    assert old.expire().success
    for hours in (24, 23, 22):
        assert is_tombstone(old.materializations("readings", window_of(NOW) - hours * HOUR)[0])


def test_a_cleanup_after_days_without_one_leaves_nothing_and_tells_of_all(filled):
    filled.at(NOW + timedelta(days=3))
    assert filled.expire().success
    assert not objects(filled)
    for window in retained_windows(NOW):
        assert is_tombstone(filled.materializations("readings", window)[0])


def test_a_tombstone_that_housekeeping_pruned_is_set_again_where_a_failed_run_shows_rows(old):
    assert old.expire().success
    (cleanup,) = old.instance.get_runs(dg.RunsFilter(job_name="retention_job"))
    old.instance.delete_run(cleanup.run_id)
    window = window_of(NOW) - 24 * HOUR
    assert not is_tombstone(old.materializations("readings", window)[0])
    assert old.at(LATER + timedelta(days=10)).expire().success
    assert [is_tombstone(event) for event in old.materializations("readings", window)] == [True, False]


def test_a_tick_that_was_queued_over_a_cleanup_does_not_bring_a_window_back_for_long(old):
    assert old.expire().success
    key = partition_key(window_of(NOW) - 24 * HOUR)
    late = old.run(
        "refresh_job",
        asset_selection=[dg.AssetKey("readings")],
        tags={"dagster/asset_partition_range_start": key, "dagster/asset_partition_range_end": partition_key(LATER)},
        run_config={"ops": {"readings": {"config": {"incremental": True}}}},
    )
    assert late.success
    assert old.expire().success
    assert is_tombstone(old.materializations("readings", window_of(NOW) - 24 * HOUR)[0])
    assert [found.window for found in old.lake.windows(READINGS)] == retained_windows(LATER)


def test_an_empty_lake_is_no_fault(place):
    result = place.expire()
    assert result.success
    assert (told(result)["windows_deleted"], told(result)["rows"]) == (0, 0)
