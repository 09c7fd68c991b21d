"""The state of the lake as text; how it is found is tested in `flood_assets_tests.query.test_status`."""

import json
import re
from datetime import timedelta

import pytest

from flood_assets.cli import status
from flood_assets.lake.current import Present
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import WATERMARKS_KEY, current_key, key_of
from flood_assets.partitions import window_of
from flood_assets.query import status_json
from flood_assets.query.status import look
from flood_assets.schemas import COMPLETENESS, MEASURES, READINGS, REJECTS, STATIONS, WARNING_AREAS, WARNINGS
from flood_assets.warnings import in_force
from flood_assets_tests.support.filled_lakes import filled, known, marked, of_many_ages, with_gaps
from flood_assets_tests.support.lake_rows import (
    HOUR,
    NOW,
    at,
    fetched,
    put_raw,
    rejects,
    snapshot,
    stations,
)
from flood_assets_tests.support.s3 import BUCKET, s3_server

__all__ = ["s3_server"]


@pytest.fixture
def lake(tmp_path):
    return Lake.open((tmp_path / "the [blue] lake").as_uri())


def looked(lake, capsys, now=NOW):
    """The exit code and what is printed, as it is printed."""
    code = status.show(lake.url, now)
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    return code, printed.out


def shown(lake, capsys, now=NOW):
    """What is printed, each item on one line."""
    return looked(lake, capsys, now)[1].replace("\n  ", " ")


def in_json(lake, capsys, now=NOW):
    code = status.show(lake.url, now, as_json=True)
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert code == (1 if found["faults"] else 0)
    return found


def test_a_lake_that_is_not_there_is_not_made_by_looking(tmp_path, capsys):
    place = (tmp_path / "none").as_uri()
    assert status.show(place, NOW) == 1
    assert "`flood-assets refresh` makes and fills it" in capsys.readouterr().out
    assert status.show(place, NOW, as_json=True) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["lake"], found["exists"]) == (place, False)
    assert found["faults"] == ["there is no lake yet: run `flood-assets refresh`"]
    assert list(tmp_path.iterdir()) == []


def test_an_empty_lake_says_what_to_run(lake, capsys):
    code, printed = looked(lake, capsys)
    assert code == 1
    assert "none yet: the first refresh decides" in printed
    assert "fault: no reading of the last 24 hours is stored: run `flood-assets refresh`\n" in printed


def test_each_table_has_a_row(lake, capsys):
    filled(lake, "a", "b")
    lake.put_snapshots(STATIONS, [window_of(NOW)], stations("s"))
    lake.add_rejects(rejects((NOW, "x,y,z", "no time")))
    printed = shown(lake, capsys)
    assert f"lake: {lake.url}\n" in printed
    assert re.search(r"readings +24 of 25 +186 ", printed)
    assert "rejects: 1 row or cell of the API could not be parsed" in printed
    assert "last refresh: 2026-11-21 09:07Z, 0 min ago" in printed
    assert looked(lake, capsys)[0] == 0, printed


def test_freshness_is_shown_in_per_cent_of_the_measures(lake, capsys):
    of_many_ages(lake)
    printed = shown(lake, capsys)
    assert "40.0 % within 15 min, 60.0 % within 1 h, 80.0 % within 6 h" in printed
    assert "silent: 2 of the 7 listed measures\n" in printed


def test_what_is_older_than_24_hours_is_shown_with_what_deletes_it(lake, capsys):
    lake.upsert_readings(fetched(("a", NOW - 23 * HOUR), ("b", NOW)), NOW - HOUR, NOW - HOUR)
    lake.upsert_readings(fetched(("b", NOW)), NOW, NOW)
    later = NOW + HOUR + timedelta(minutes=1)
    assert "older than 24 hours: 0 whole windows, and 1 reading of the window that contains the cutoff: " in shown(
        lake, capsys, later
    )
    much_later = NOW + 30 * HOUR
    assert "older than 24 hours: 2 whole windows" in shown(lake, capsys, much_later)


def test_a_whole_day_is_complete(lake, capsys):
    filled(lake, "a", "b")
    printed = shown(lake, capsys)
    assert "96.8 % of the 192 readings expected from 2 measures with a known reporting interval" in printed
    assert "missing: 6 readings: 6 not sent by their gauges, 0 not due yet, 0 not fetched\n" in printed
    assert "nothing is lost: the API had not published the missing readings" in printed


def test_readings_that_were_not_fetched_are_told_with_what_asks_for_them(lake, capsys):
    with_gaps(lake)
    printed = shown(lake, capsys, NOW + 14 * HOUR)
    assert "23 not fetched\nnot fetched: the next `flood-assets refresh` asks for them\n" in printed
    assert "nothing is lost" not in printed


def test_without_watermarks_nobody_knows_when_the_api_was_asked(lake, capsys):
    lake.upsert_readings(fetched(("a", NOW)), NOW, NOW)
    assert "last refresh: unknown" in shown(lake, capsys)


def test_missing_windows_are_named(lake, capsys):
    filled(lake, "a")
    for hour in (3, 4):
        lake.store.delete([key_of(READINGS, at(hour))])
    printed = shown(lake, capsys)
    assert "missing windows: 2: 2026-11-21 03:00Z, 2026-11-21 04:00Z." in printed
    assert "fault: 2 missing windows of readings: run `flood-assets refresh`\n" in printed


@pytest.mark.parametrize("table", [READINGS, MEASURES, STATIONS, REJECTS], ids=lambda table: table.name)
def test_a_damaged_window_is_shown_with_its_reason(lake, capsys, table):
    filled(lake, "a")
    put_raw(lake, key_of(table, at(9)), b"not parquet")
    reason = look(lake, NOW).tables[table.name].damaged[at(9)]
    assert "The next refreshes" in reason
    assert ".. " not in reason
    printed = shown(lake, capsys)
    assert f"damaged: {table.name} 2026-11-21 09:00Z: {reason}\n" in printed
    assert "fault: 1 window cannot be read: " in printed
    assert looked(lake, capsys)[0] == 1


def test_quarantined_objects_are_listed(lake, capsys):
    filled(lake, "a")
    put_raw(lake, key_of(READINGS, at(9)), b"not parquet")
    aside = lake.quarantine(READINGS, at(9))
    assert f"quarantined: 1 damaged object, deleted when the window expires: {aside}" in shown(lake, capsys)


@pytest.mark.parametrize(
    ("key", "said"), [(WATERMARKS_KEY, "reads the whole day"), ("_lake.json", "cannot be understood")]
)
def test_what_lies_beside_the_tables_may_be_damaged_too(lake, capsys, key, said):
    filled(lake, "a")
    put_raw(lake, key, b"{")
    assert re.search(f"fault: .*{said}", shown(lake, capsys))


def test_a_bucket_is_looked_at_as_a_folder_is(s3_server, monkeypatch, capsys):
    for name, value in s3_server.environ.items():
        monkeypatch.setenv(name, value)
    lake = Lake.open(f"s3://{BUCKET}/status")
    filled(lake, "a")
    assert re.search(r"readings +24 of 25 +93 ", shown(lake, capsys))


def test_a_narrow_terminal_gets_no_longer_lines(lake, capsys, monkeypatch):
    filled(lake, "a", "b")
    put_raw(lake, key_of(READINGS, at(9)), b"not parquet")
    lake.quarantine(READINGS, at(9))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "50")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", looked(lake, capsys)[1])
    assert max(map(len, plain.splitlines())) <= 50


# -- the shape of what is printed


@pytest.mark.parametrize("colour", ["", "1"], ids=["pipe", "terminal"])
def test_everything_fits_into_80_columns_and_no_line_ends_with_a_blank(lake, capsys, monkeypatch, colour):
    filled(lake, "a", "b")
    put_raw(lake, key_of(READINGS, at(9)), b"not parquet")
    lake.quarantine(READINGS, at(9))
    put_raw(lake, key_of(STATIONS, at(9)), b"not parquet")
    lake.store.delete([key_of(READINGS, at(3))])
    if colour:
        monkeypatch.setenv("FORCE_COLOR", colour)
    monkeypatch.setenv("COLUMNS", "200")
    _, printed = looked(lake, capsys)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", printed).splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    # In a pipe a word that is longer, such as a URL, stays whole.
    assert [line for line in lines if len(line) > 80 and (colour or " " in line.strip())] == []
    (row,) = [line for line in lines if line.startswith("readings ")]
    assert row.split()[-4:] == ["11-20", "10:00", "11-21", "08:45"]


def test_counts_of_measures_add_up(lake, capsys):
    """A measure may report before the list of measures names it."""
    filled(lake, "a", "b", "new")
    known(lake, a=900, b=900, never=900)
    printed = shown(lake, capsys)
    assert "measures: 3 of 4 with a reading of the last 24 hours" in printed
    assert "silent: 1 of the 3 listed measures; reporting but not listed: 1\n" in printed


def test_the_missing_readings_are_counted_once_each(lake, capsys):
    """24 of a gauge that sent nothing, 1 that a gauge left out, 8 of one that is late."""
    with_gaps(lake)
    counts = look(lake, NOW).completeness.counts
    printed = shown(lake, capsys)
    told = re.search(
        r"missing: (\d+) readings: (\d+) of 1 measure without any reading of the day, (\d+) not sent by other "
        r"gauges, (\d+) not due yet, (\d+) not fetched",
        printed,
    )
    missing, *parts = map(int, told.groups())
    assert missing == counts["missing"] == sum(parts)
    assert parts == [24, 1, 8, 0]


def warned(lake, at, *levels):
    """A list of warnings of these severities."""
    rows = snapshot(
        WARNINGS, at, *({"flood_area_id": str(i), "severity_level": level} for i, level in enumerate(levels))
    )
    lake.put_snapshots(WARNINGS, [window_of(at)], rows, Present(in_force(rows), at))


def test_warnings_in_force_are_counted_by_severity_with_the_time_of_the_list(lake, capsys):
    filled(lake, "a")
    assert "warnings: " not in shown(lake, capsys), "no list is stored"
    assert in_json(lake, capsys)["warnings"] is None
    warned(lake, NOW, 3, 1, 3, 4)
    told = "warnings: 3 in force: 1 severe flood warning, 2 flood alerts, by the list of 2026-11-21 09:07Z\n"
    assert told in shown(lake, capsys)
    counts = {"in_force": 3, "severe": 1, "warning": 0, "alert": 2}
    assert in_json(lake, capsys)["warnings"] == counts | {"listed_at": "2026-11-21T09:07:30Z"}


def test_a_calm_day_and_a_damaged_list_are_told_apart(lake, capsys):
    filled(lake, "a")
    warned(lake, NOW)
    code, printed = looked(lake, capsys)
    assert (code, "warnings: none in force, by the list of 2026-11-21 09:07Z\n" in printed) == (0, True)
    put_raw(lake, key_of(WARNINGS, window_of(NOW)), b"not parquet")
    code, printed = looked(lake, capsys)
    assert (code, "warnings: " in printed, "damaged: warnings 2026-11-21 09:00Z" in printed) == (1, False, True)


# -- faults


def test_an_old_list_of_warnings_is_a_fault_of_a_lake_that_is_refreshed(lake, capsys):
    filled(lake, "a")
    warned(lake, NOW - timedelta(minutes=59))
    assert looked(lake, capsys)[0] == 0
    lake.store.delete([current_key(WARNINGS), key_of(WARNINGS, window_of(NOW - timedelta(minutes=59)))])
    assert looked(lake, capsys)[0] == 0, "who only stores readings needs no warnings"
    warned(lake, NOW - timedelta(minutes=61), 3)
    code, printed = looked(lake, capsys)
    assert (code, printed.count("fault: ")) == (1, 1)
    told = printed.replace("\n  ", " ")
    assert "fault: the last list of flood warnings is of 2026-11-21 08:06Z, over an hour ago" in told
    lake.store.delete([current_key(WARNINGS), key_of(WARNINGS, window_of(NOW - HOUR))])
    lake.put_snapshots(COMPLETENESS, [window_of(NOW)], COMPLETENESS.schema.empty_table())
    assert "fault: no list of flood warnings of the last 24 hours is stored: " in shown(lake, capsys)


def test_a_run_that_failed_is_a_fault_until_one_succeeds(lake, capsys):
    filled(lake, "a")
    lake.record_failure("readings", NOW + timedelta(minutes=15))
    later = NOW + timedelta(minutes=20)
    code, printed = looked(lake, capsys, later)
    assert code == 1
    assert "fault: the last run failed at 2026-11-21 09:22Z in the step readings: " in printed.replace("\n  ", " ")
    marked(lake, as_of=NOW + timedelta(minutes=16), a=900)
    assert looked(lake, capsys, later)[0] == 0


@pytest.mark.parametrize("table", [STATIONS, MEASURES, WARNING_AREAS], ids=lambda table: table.name)
def test_a_failed_list_of_gauges_is_healed_by_the_list_and_not_by_readings(lake, capsys, table):
    filled(lake, "a")
    lake.store.delete([key_of(MEASURES, window_of(NOW))])
    lake.record_failure(table.name, NOW - timedelta(minutes=1))
    assert looked(lake, capsys)[0] == 1
    lake.put_snapshots(STATIONS, [window_of(NOW)], stations("s"))
    lake.put_snapshots(WARNING_AREAS, [window_of(NOW)], snapshot(WARNING_AREAS, NOW, {"flood_area_id": "1"}))
    known(lake, a=900)
    assert looked(lake, capsys)[0] == 0


def test_a_refresh_that_is_an_hour_late_and_a_cleanup_that_is(lake, capsys):
    filled(lake, "a")
    assert looked(lake, capsys, NOW + timedelta(minutes=59))[0] == 0
    code, printed = looked(lake, capsys, NOW + timedelta(minutes=61))
    assert (code, printed.count("fault: ")) == (1, 1)
    assert "fault: the last refresh was at 2026-11-21 09:07Z, over an hour ago" in printed
    late = NOW + 3 * HOUR
    marked(lake, as_of=late, a=900)
    printed = shown(lake, capsys, late)
    assert "fault: 1 window not deleted for over an hour after expiring: run `flood-assets expire`\n" in printed


# -- JSON


def test_json_says_the_same_for_scripts(lake, capsys):
    filled(lake, "a", "b")
    lake.put_snapshots(STATIONS, [window_of(NOW)], stations("s"))
    put_raw(lake, key_of(MEASURES, at(8)), b"not parquet")
    lake.store.delete([key_of(READINGS, at(3))])
    lake.record_failure("completeness", NOW + timedelta(seconds=1))
    found = in_json(lake, capsys)
    state = look(lake, NOW)
    assert found["version"] == status_json.JSON_VERSION == 1
    assert (found["lake"], found["exists"], found["api"]) == (lake.url, True, state.api)
    assert (found["now"], found["last_refresh"]) == ("2026-11-21T09:07:30Z", "2026-11-21T09:07:30Z")
    assert found["last_failure"] == {"step": "completeness", "at": "2026-11-21T09:07:31Z"}
    assert found["faults"] == state.faults
    assert len(found["faults"]) == 3
    readings = found["tables"]["readings"]
    assert (readings["windows"], readings["rows"]) == (23, state.tables["readings"].rows)
    assert (readings["oldest"], readings["newest"]) == ("2026-11-20T10:00:00Z", "2026-11-21T09:00:00Z")
    assert [each["window"] for each in found["tables"]["measures"]["damaged"]] == ["2026-11-21T08:00:00Z"]
    assert found["missing_windows"] == ["2026-11-21T03:00:00Z"]
    assert found["freshness"]["within_minutes"] == {"15": 2, "60": 2, "360": 2}
    whole = found["completeness"]
    assert whole["missing"] == whole["silent"] + whole["not_due"] + whole["not_fetched"]


def test_json_of_an_empty_lake_has_the_same_names(lake, capsys):
    empty = in_json(lake, capsys)
    filled(lake, "a")
    assert list(empty) == list(in_json(lake, capsys))
    assert (empty["freshness"], empty["completeness"], empty["last_refresh"]) == (None, None, None)
