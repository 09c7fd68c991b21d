"""The state of the lake as text; how it is found is tested in `flood_assets_tests.query.test_status`."""

import re
from datetime import timedelta

import pyarrow as pa
import pytest

from flood_assets.cli import status
from flood_assets.lake import watermarks
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import WATERMARKS_KEY, key_of
from flood_assets.partitions import window_of
from flood_assets.query.status import look
from flood_assets.schemas import MEASURES, READINGS, REJECTS, STATIONS, WATERMARKS
from flood_assets_tests.support.filled_lakes import filled, known, of_many_ages
from flood_assets_tests.support.lake_rows import (
    HOUR,
    NOW,
    at,
    fetched,
    put_raw,
    rejects,
    stations,
)
from flood_assets_tests.support.s3 import BUCKET, s3_server

__all__ = ["s3_server"]


@pytest.fixture
def lake(tmp_path):
    return Lake.open((tmp_path / "the [blue] lake").as_uri())


def shown(lake, capsys, now=NOW):
    status.show(lake.url, now)
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    return printed.out


def test_a_lake_that_is_not_there_is_not_made_by_looking(tmp_path, capsys):
    status.show((tmp_path / "none").as_uri(), NOW)
    assert "`flood-assets refresh` makes and fills it" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_an_empty_lake_says_what_to_run(lake, capsys):
    printed = shown(lake, capsys)
    assert "none yet: the first refresh decides" in printed
    assert "Nothing is stored yet: `flood-assets refresh`" in printed


def test_each_table_has_a_row(lake, capsys):
    filled(lake, "a", "b")
    lake.put_snapshots(STATIONS, [window_of(NOW)], stations("s"))
    lake.add_rejects(rejects((NOW, "x,y,z", "no time")))
    printed = shown(lake, capsys)
    assert f"lake: {lake.url}\n" in printed
    assert re.search(r"readings +24 of 25 +186 ", printed)
    assert "rejects: 1 rows" in printed
    assert "last refresh: 2026-11-21 09:07Z, 0 min ago" in printed


def test_freshness_is_shown_in_per_cent_of_the_measures(lake, capsys):
    of_many_ages(lake)
    printed = shown(lake, capsys)
    assert "40.0 % within 15 min, 60.0 % within 1 h, 80.0 % within 6 h" in printed
    assert "silent: 2 of the 7 known measures" in printed


def test_what_is_older_than_24_hours_is_shown_with_what_deletes_it(lake, capsys):
    lake.upsert_readings(fetched(("a", NOW - 23 * HOUR), ("b", NOW)), NOW - HOUR, NOW - HOUR)
    lake.upsert_readings(fetched(("b", NOW)), NOW, NOW)
    later = NOW + HOUR + timedelta(minutes=1)
    assert "1 readings of the window that contains the cutoff: `flood-assets expire`" in shown(lake, capsys, later)
    much_later = NOW + 30 * HOUR
    assert "older than 24 hours: 2 whole windows" in shown(lake, capsys, much_later)


def test_a_whole_day_is_complete(lake, capsys):
    filled(lake, "a", "b")
    printed = shown(lake, capsys)
    assert "96.8 % of the 192 readings expected of 2 measures in 24 hours" in printed
    assert "missing: 6 readings: 6 because the gauge was silent (0 of all missing are of 0 measures" in printed
    assert "0 were not fetched\n" in printed


def test_readings_that_were_not_fetched_are_told_with_what_asks_for_them(lake, capsys):
    hours = [NOW - i * HOUR for i in range(24)]
    lake.upsert_readings(fetched(*[("gap", t) for t in hours if t != hours[5]]), NOW, NOW)
    lake.upsert_readings(fetched(*[("late", t) for t in hours[8:]]), NOW, NOW)
    known(lake, gap=3600, late=3600, dead=3600)
    newest = [{"measure_id": "gap", "newest": NOW, "interval_s": 3600}, {"measure_id": "late", "newest": hours[8]}]
    asked = watermarks.Asked.once(NOW, polled=True)
    watermarks.advance(lake.store, pa.Table.from_pylist(newest, schema=WATERMARKS), NOW, asked)
    assert "23 were not fetched: the next `flood-assets refresh` asks" in shown(lake, capsys, NOW + 14 * HOUR)


def test_without_watermarks_nobody_knows_when_the_api_was_asked(lake, capsys):
    lake.upsert_readings(fetched(("a", NOW)), NOW, NOW)
    assert "last refresh: unknown" in shown(lake, capsys)


def test_missing_windows_are_named(lake, capsys):
    filled(lake, "a")
    for hour in (3, 4):
        lake.store.delete([key_of(READINGS, at(hour))])
    assert "missing windows: 2: 2026-11-21 03:00Z, 2026-11-21 04:00Z." in shown(lake, capsys)


@pytest.mark.parametrize("table", [READINGS, MEASURES, STATIONS, REJECTS], ids=lambda table: table.name)
def test_a_damaged_window_is_shown_with_its_reason(lake, capsys, table):
    filled(lake, "a")
    put_raw(lake, key_of(table, at(9)), b"not parquet")
    reason = look(lake, NOW).tables[table.name].damaged[at(9)]
    assert "The next refreshes" in reason
    assert f"damaged: {table.name} 2026-11-21 09:00Z: {reason}\n" in shown(lake, capsys)


def test_quarantined_objects_are_listed(lake, capsys):
    filled(lake, "a")
    put_raw(lake, key_of(READINGS, at(9)), b"not parquet")
    aside = lake.quarantine(READINGS, at(9))
    assert f"quarantined: 1 damaged objects, which expire with their windows: {aside}" in shown(lake, capsys)


@pytest.mark.parametrize(
    ("key", "said"), [(WATERMARKS_KEY, "reads the whole day"), ("_lake.json", "cannot be understood")]
)
def test_what_lies_beside_the_tables_may_be_damaged_too(lake, capsys, key, said):
    filled(lake, "a")
    put_raw(lake, key, b"{")
    assert re.search(f"problem: .*{said}", shown(lake, capsys))


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
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown(lake, capsys))
    assert max(map(len, plain.splitlines())) <= 50
