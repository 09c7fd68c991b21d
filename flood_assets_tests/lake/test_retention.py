"""What goes after a day, and what never does, on both kinds of store."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flood_assets.errors import LakeError
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import WATERMARKS_KEY, key_of
from flood_assets.lake.read import load
from flood_assets.lake.retention import Expiry
from flood_assets.partitions import cutoff, is_expired, window_of
from flood_assets.schemas import READINGS, REJECTS, STATIONS
from flood_assets_tests.support.lake_rows import (
    HOUR,
    NOW,
    QUARTER,
    a_day,
    at,
    fetched,
    keys,
    put_raw,
    put_snapshot,
    rejects,
    stations,
    stored,
)


def _all_rows(lake: Lake) -> list:
    """Every stored reading, expired or not."""
    found = [load(lake.store, READINGS, w.key) for w in lake.windows(READINGS)]
    return [r for s in found for r in s.file.read(["measure_id", "date_time"]).to_pylist()]


def test_nothing_is_expired_in_a_lake_that_is_up_to_date(lake):
    lake.upsert_readings(a_day(["m"]), NOW, NOW)
    put_snapshot(lake, STATIONS, at(9), stations("S"))
    before = {table: lake.windows(table) for table in (READINGS, STATIONS)}
    assert lake.expired(NOW) == []
    assert lake.expire(NOW) == []
    assert {table: lake.windows(table) for table in before} == before


def test_expired_windows_are_deleted_and_the_crossing_one_is_trimmed(lake):
    lake.upsert_readings(a_day(["a", "b"]), NOW, NOW)
    put_snapshot(lake, STATIONS, at(10, days_ago=1), stations("S"))
    put_snapshot(lake, STATIONS, at(12, days_ago=1), stations("S"))
    lake.add_rejects(
        rejects((at(11, days_ago=1), "x", "odd"), (at(12, 20, days_ago=1), "y", "odd"), (at(9), "z", "odd"))
    )
    later = at(12, 30)
    sizes = {w.key: w.size for w in lake.windows(READINGS)}
    planned = lake.expired(later)
    assert lake.expire(later, dry_run=True, tables=[STATIONS])[0].rows == 1
    dry = lake.expire(later, dry_run=True)
    assert {w.key: w.size for w in lake.windows(READINGS)} == sizes
    done = lake.expire(later)

    def what(found):
        return sorted((e.table, e.window.hour, e.action) for e in found)

    assert what(done) == [
        ("readings", 10, "deleted"),
        ("readings", 11, "deleted"),
        ("readings", 12, "trimmed"),
        ("rejects", 11, "deleted"),
        # Emptied, and deleted when it expires: to delete it now would lose rows that an upsert adds meanwhile.
        ("rejects", 12, "trimmed"),
        ("stations", 10, "deleted"),
    ]
    assert (
        [(t, h) for t, h, _ in what(planned)] == [(t, h) for t, h, _ in what(dry)] == [(t, h) for t, h, _ in what(done)]
    )
    assert {e.rows for e in done if e.table == "readings"} == {8, 6}
    first = at(10, days_ago=1)
    assert Expiry("readings", first, 8, sizes[key_of(READINGS, first)], "deleted") in done
    assert min(r["date_time"] for r in _all_rows(lake)) == at(12, 45, days_ago=1)
    assert lake.expired(later) == []
    assert lake.expire(later) == []


def test_after_a_day_nothing_is_left(lake):
    lake.upsert_readings(a_day(["a"]), NOW, NOW)
    lake.add_rejects(rejects((at(9), "x", "odd")))
    put_snapshot(lake, STATIONS, at(9), stations("S"))
    lake.claim("http://localhost")
    lake.expire(NOW + 25 * HOUR)
    assert keys(lake) == ["_lake.json"]
    if lake.store.local:
        root = Path(lake.url.removeprefix("file://").replace("%20", " "))
        assert not list(root.rglob("date=*"))


def test_what_was_set_aside_goes_with_its_window(lake):
    put_raw(lake, key_of(READINGS, at(9)), b"x")
    lake.quarantine(READINGS, at(9))
    assert lake.expire(NOW) == []
    assert [e.action for e in lake.expired(NOW + 25 * HOUR)] == ["deleted", "deleted"]
    lake.expire(NOW + 25 * HOUR)
    assert keys(lake) == [WATERMARKS_KEY]


def test_a_damaged_window_goes_when_it_has_expired(lake):
    put_raw(lake, key_of(READINGS, at(9)), b"x")
    assert lake.expire(NOW + 24 * HOUR) == []
    (done,) = lake.expire(NOW + 25 * HOUR)
    assert (done.action, done.rows) == ("deleted", None)
    assert lake.windows(READINGS) == []


def test_rows_that_a_merge_adds_while_a_window_is_trimmed_stay(bucket, twin_of, monkeypatch):
    lake, twin = bucket, twin_of(bucket)
    lake.upsert_readings(a_day(["a"]), NOW, NOW)
    later = at(12, 30)
    put, late = lake.store.put, at(12, 50, days_ago=1)

    def after_another_writer(key, data, *, replaces):
        monkeypatch.undo()
        twin.upsert_readings(fetched(("late", late, 5.0)), later, later)
        put(key, data, replaces=replaces)

    monkeypatch.setattr(lake.store, "put", after_another_writer)
    lake.expire(later)
    assert [(r["measure_id"], r["date_time"]) for r in stored(lake, later)[:2]] == [
        ("a", at(12, 45, days_ago=1)),
        ("late", late),
    ]


def test_what_cannot_be_deleted_is_an_error(lake, monkeypatch):
    lake.upsert_readings(a_day(["a"]), NOW, NOW)
    monkeypatch.setattr(lake.store, "delete", lambda _: None)
    with pytest.raises(LakeError, match=r"expired rows are still there.*readings 2026-11-20 10:00"):
        lake.expire(at(12, 30))


def test_files_of_killed_writers_are_ignored_and_swept(folder, tmp_path):
    folder.upsert_readings(a_day(["a"]), NOW, NOW)
    root = tmp_path / "the lake"
    left = [root / f"{key_of(READINGS, at(9))}#1", root / "_lake.json#3"]
    for path in left:
        path.write_bytes(b"half a win")
    assert len(folder.windows(READINGS)) == 24
    with folder.store.locked(key_of(READINGS, at(9))):
        folder.expire(NOW)
        assert [p.exists() for p in left] == [True, False]
    folder.expire(NOW)
    assert not left[0].exists()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moments=st.sets(st.integers(1, 24 * 60 * 60 - 1), min_size=1, max_size=30),
    ahead=st.integers(0, 26 * 60 * 60),
)
def test_exactly_what_is_retained_stays(tmp_path_factory, moments, ahead):
    lake = Lake.open(tmp_path_factory.mktemp("lake").as_uri())
    times = [NOW - timedelta(seconds=s) for s in moments]
    lake.upsert_readings(fetched(*[("m", t, 1.0) for t in times]), NOW, NOW)
    later = NOW + timedelta(seconds=ahead)
    planned, done = lake.expired(later), lake.expire(later)
    assert sorted(r["date_time"] for r in _all_rows(lake)) == sorted(t for t in times if t > cutoff(later))
    assert sum(e.rows for e in done) == sum(t <= cutoff(later) for t in times)
    assert (
        {e.window for e in planned} == {e.window for e in done} == {window_of(t) for t in times if t <= cutoff(later)}
    )
    assert all(
        is_expired(e.window, later) for e in done if e.action == "deleted" and e.window != window_of(cutoff(later))
    )


def test_age_of_the_files_says_nothing(folder, tmp_path):
    folder.upsert_readings(a_day(["a"]), NOW, NOW)
    for path in (tmp_path / "the lake").rglob("*.parquet"):
        os.utime(path, (0, 0))
    assert folder.expire(NOW) == []
    assert len(stored(folder)) == len(a_day(["a"]))


def test_a_merge_after_an_expiry_does_not_bring_back_what_expired(lake):
    lake.upsert_readings(a_day(["a"]), NOW, NOW)
    later = at(12, 30)
    lake.expire(later)
    merge = lake.upsert_readings(a_day(["a"]), later, later)
    assert merge.expired == 11
    assert not any(c.written for c in merge.windows)
    assert lake.expired(later + QUARTER - timedelta(milliseconds=1)) == []
    assert len(lake.expired(later + QUARTER)) == 1
    assert lake.expired(later, tables=[REJECTS]) == []
