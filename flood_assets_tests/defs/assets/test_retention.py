"""The cleanup: what goes, what stays, and what Dagster shows of it."""

from datetime import datetime, timedelta

import dagster as dg
import pytest

from flood_assets.defs.windows import FIRST, LAST, WINDOWS
from flood_assets.partitions import cutoff, partition_key, retained_windows, window_of
from flood_assets.schemas import MEASURES, READINGS, STATIONS
from flood_assets_tests.conftest import HOUR, NOW, Place

TABLES = (STATIONS, MEASURES, READINGS)
LATER = NOW + 3 * HOUR


def told(result: dg.ExecuteInProcessResult) -> dict:
    events = result.asset_materializations_for_node("retention")
    (event,) = [event for event in events if event.asset_key == dg.AssetKey("retention")]
    return {name: value.value for name, value in event.metadata.items()}


def shown(place: Place) -> list[str]:
    """Return the windows that Dagster shows as partitions."""
    return place.instance.get_dynamic_partitions(WINDOWS)


def keys_of(windows: list[datetime]) -> list[str]:
    return [partition_key(window) for window in windows]


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
    wet = told(old.expire())
    assert dry["dry_run"]
    assert {name: dry[name] for name in ("windows_deleted", "windows_trimmed", "rows")} == {
        name: wet[name] for name in ("windows_deleted", "windows_trimmed", "rows")
    }


def test_the_windows_that_dagster_shows_are_those_that_are_retained(old):
    assert old.expire().success
    assert shown(old) == keys_of(retained_windows(LATER))
    assert {found.window for found in old.lake.windows(READINGS)} <= set(retained_windows(LATER))
    # Nothing is recorded of windows that are gone: each has the one event of its run.
    assert len(old.materializations("readings", window_of(NOW) - 24 * HOUR)) == 1


def test_a_cleanup_after_days_without_one_leaves_nothing(filled):
    filled.at(NOW + timedelta(days=3))
    assert filled.expire().success
    assert not objects(filled)
    assert shown(filled) == keys_of(retained_windows(filled.now))


def test_a_tick_that_was_queued_over_a_cleanup_does_not_bring_a_window_back_for_long(old):
    first = retained_windows(NOW)[0]
    assert old.expire().success
    late = old.run(
        "refresh_job",
        asset_selection=[dg.AssetKey("readings")],
        tags=dict(zip((FIRST, LAST), keys_of(retained_windows(NOW)[::24]), strict=True)),
        run_config={"ops": {"readings": {"config": {"incremental": True}}}},
    )
    assert late.success
    assert old.expire().success
    assert first not in [found.window for found in old.lake.windows(READINGS)]
    assert shown(old) == keys_of(retained_windows(LATER))


def test_an_empty_lake_is_no_fault(place):
    result = place.expire()
    assert result.success
    assert (told(result)["windows_deleted"], told(result)["rows"]) == (0, 0)


def archived(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (found,) = [e for e in result.get_asset_check_evaluations() if e.check_name == "expired_readings_archived"]
    return found


def test_expired_readings_are_archived_and_the_cleanup_says_how_many(old, monkeypatch):
    monkeypatch.setenv("FLOOD_ARCHIVE", "archive")
    result = old.expire()
    summary = told(result)
    assert summary["archive"] == f"{old.lake_url}/archive"
    readings = [line for line in summary["details"].splitlines() if line.startswith("| readings |")]
    assert summary["rows_archived"] == sum(int(line.split("|")[4].replace(",", "")) for line in readings) > 0
    assert old.lake.store.read("archive/date=2026-10-14/readings.parquet") is not None
    assert archived(result).passed


def test_without_an_archive_the_check_says_that_nothing_is_kept(old):
    result = old.expire()
    assert archived(result).passed
    assert archived(result).metadata["archive"].value == "FLOOD_ARCHIVE is not set: nothing is kept"
    assert "rows_archived" not in told(result)


def test_an_archive_that_is_away_turns_the_check_red_and_nothing_else_waits(old, monkeypatch, tmp_path):
    (tmp_path / "away").write_bytes(b"")
    monkeypatch.setenv("FLOOD_ARCHIVE", str(tmp_path / "away"))
    before = [found.window for found in old.lake.windows(READINGS)]
    result = old.expire()
    assert result.success
    assert not archived(result).passed
    assert archived(result).severity == dg.AssetCheckSeverity.ERROR
    assert archived(result).metadata["waiting"].value.startswith("4: 2026-10-14-09:00 to 2026-10-14-12:00")
    assert "stay in the lake until they are archived" in archived(result).metadata["reason"].value
    assert [found.window for found in old.lake.windows(READINGS)] == before
    assert [found.window for found in old.lake.windows(STATIONS)] == retained_windows(LATER)[:-3]
    assert (told(result)["windows_deleted"], told(result)["rows_archived"]) == (9, 0)
