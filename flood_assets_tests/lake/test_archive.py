"""Expired readings are archived before they are deleted: none is lost, none is there twice, and no reader sees them."""

import logging
import random
import threading
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flood_assets.errors import LakeError, SettingsError
from flood_assets.lake.archive import ROW_GROUP_ROWS, Archive
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import archive_key, key_of
from flood_assets.lake.parquet import encode
from flood_assets.lake.read import load
from flood_assets.partitions import cutoff
from flood_assets.schemas import READINGS
from flood_assets.settings import archive as given_archive
from flood_assets_tests.support.lake_rows import HOUR, NOW, a_day, at, fetched, keys, put_raw, rejects

LATER = at(12, 30)
YESTERDAY = archive_key(at(0, days_ago=1))


class Killed(BaseException):
    """The end of a process, as far as the lake can tell."""


@pytest.fixture
def archive(lake: Lake) -> Archive:
    return Archive.beside(lake.store, "archive")


@pytest.fixture
def filled(folder: Lake) -> Lake:
    folder.upsert_readings(a_day(["a", "b"]), NOW, NOW)
    # One is corrected, and keeps what it was.
    folder.upsert_readings(fetched(("a", at(11, 15, days_ago=1), 99.0)), NOW, NOW)
    return folder


def of(lake: Lake, key: str = f"archive/{YESTERDAY}") -> list[dict]:
    """The rows of an archived day as any reader of Parquet sees them."""
    blob = lake.store.read(key)
    return [] if blob is None else pq.read_table(pa.BufferReader(blob.data)).to_pylist()


def rows_of(lake: Lake) -> list[dict]:
    found = [load(lake.store, READINGS, each.key) for each in lake.windows(READINGS)]
    return [row for each in found for row in each.file.read().to_pylist()]


def in_order(rows: list[dict]) -> list[dict]:
    return sorted(rows, key=lambda row: (row["measure_id"], row["date_time"]))


def test_what_expires_is_archived_as_it_was_and_leaves_the_lake(lake, archive):
    lake.upsert_readings(a_day(["b", "a"]), NOW, NOW)
    lake.upsert_readings(fetched(("a", at(11, 15, days_ago=1), 99.0)), NOW, NOW)
    before = rows_of(lake)
    done = lake.expire(LATER, archive=archive)
    gone = in_order([row for row in before if row["date_time"] <= cutoff(LATER)])
    # Sorted by measure and time, with revisions and times.
    assert of(lake) == gone
    assert {row["revision"] for row in gone} == {0, 1}
    assert {e.action for e in done} == {"deleted", "trimmed"}
    assert sum(e.archived for e in done) == sum(e.rows for e in done) == len(gone)
    assert lake.expired(LATER) == []
    assert lake.expire(LATER, archive=archive) == []


def test_a_file_has_one_utc_day_and_grows_quarter_by_quarter(filled):
    archive = Archive.beside(filled.store, "archive")
    before = rows_of(filled)
    # Trimmed, deleted whole, and both at once.
    for minutes in (15, 30, 45, 60, 75, 150, 840, 855, 870, 885, 900, 915, 1500):
        now = NOW + timedelta(minutes=minutes)
        filled.expire(now, archive=archive)
        day = of(filled)
        assert day == in_order([r for r in before if r["date_time"] <= min(cutoff(now), at(23, 59, days_ago=1))])
    assert day + of(filled, f"archive/{archive_key(at(0))}") == in_order(
        [r for r in before if r["date_time"] < at(0)]
    ) + in_order([r for r in before if r["date_time"] >= at(0)])
    assert rows_of(filled) == []


def test_without_an_archive_nothing_is_kept(filled):
    filled.expire(LATER)
    assert not [key for key in keys(filled) if key.startswith("archive")]


def test_a_dry_run_archives_nothing(filled):
    archive = Archive.beside(filled.store, "archive")
    dry = filled.expire(LATER, dry_run=True, archive=archive)
    assert {(e.action, e.archived) for e in dry} == {("deleted", 0), ("trimmed", 0)}
    assert not [key for key in keys(filled) if key.startswith("archive")]


def test_another_place_is_found_by_its_url(filled, tmp_path):
    place = (tmp_path / "elsewhere").as_uri()
    done = filled.expire(LATER, archive=Archive.beside(filled.store, place))
    assert not [key for key in keys(filled) if key.startswith("archive")]
    found = duckdb.sql(f"SELECT count(*), min(date)::TEXT FROM '{tmp_path}/elsewhere/*/*.parquet'").fetchall()
    assert found == [(sum(each.rows for each in done), "2026-11-20")]


def test_readers_of_the_lake_never_see_the_archive(filled):
    filled.expire(LATER, archive=Archive.beside(filled.store, "archive"))
    rows = filled.read(READINGS, at(0, days_ago=1), now=LATER)
    assert min(rows["date_time"].to_pylist()) > cutoff(LATER)
    assert next(w.window for w in filled.windows(READINGS)) == at(12, days_ago=1)
    # Nor is it deleted, however old it is.
    filled.expire(NOW + timedelta(days=400), archive=Archive.beside(filled.store, "archive"))
    assert len(of(filled)) + len(of(filled, f"archive/{archive_key(at(0))}")) == len(a_day(["a", "b"]))


def test_files_have_large_row_groups(folder):
    rows = a_day([f"m{i:04}" for i in range(900)])
    folder.upsert_readings(rows, NOW, NOW)
    folder.expire(NOW + 25 * HOUR, archive=Archive.beside(folder.store, "archive"))
    blob = folder.store.read(f"archive/{YESTERDAY}")
    footer = pq.read_metadata(pa.BufferReader(blob.data))
    assert [footer.row_group(i).num_rows for i in range(footer.num_row_groups)] == [
        min(ROW_GROUP_ROWS, footer.num_rows - start) for start in range(0, footer.num_rows, ROW_GROUP_ROWS)
    ]


# -- whoever is killed, whenever


def writes(lake: Lake, monkeypatch, do) -> None:
    """Call `do(name, key, work)` for each object that is written or deleted."""
    store = lake.store
    put, delete = store.put, store.delete

    def putting(key, data, *, replaces):
        do("put", key, lambda: put(key, data, replaces=replaces))

    def deleting(found):
        for key in found:
            do("delete", key, lambda key=key: delete([key]))

    monkeypatch.setattr(store, "put", putting)
    monkeypatch.setattr(store, "delete", deleting)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_cleanup_that_is_killed_anywhere_loses_nothing(folder, monkeypatch, when):
    """At each object: what has expired is in the lake or in the archive, and the next cleanup ends the work."""
    truth = {}
    reached = []
    for point in range(100):
        with monkeypatch.context() as patch:
            lake = Lake.open(f"{folder.url}{point}")
            lake.upsert_readings(a_day(["a", "b"]), NOW, NOW)
            put_raw(lake, key_of(READINGS, at(11, days_ago=1)), b"damaged")
            truth = {(r["measure_id"], r["date_time"]): r for r in rows_of_sound(lake)}
            left = [point]

            def killing(name, key, work, left=left):
                if left[0] == 0 and when == "before":
                    raise Killed
                work()
                if left[0] == 0:
                    raise Killed
                left[0] -= 1
                reached.append((name, key.partition("/")[0]))

            writes(lake, patch, killing)
            try:
                lake.expire(LATER, archive=Archive.beside(lake.store, "archive"))
            except Killed:
                pass
            else:
                break
        both = {(r["measure_id"], r["date_time"]): r for r in [*rows_of_sound(lake), *of(lake)]}
        assert both == truth, point
        damaged = [key for key in keys(lake) if "hour=11" in key and "date=2026-11-20" in key]
        assert damaged, point
        again = Lake.open(lake.url)
        again.expire(LATER, archive=Archive.beside(again.store, "archive"))
        assert of(again) == in_order([r for r in truth.values() if r["date_time"] <= cutoff(LATER)])
        assert again.expired(LATER) == []
    assert point >= 5
    assert set(reached) == {("put", "archive"), ("put", "readings"), ("delete", "readings")}


def rows_of_sound(lake: Lake) -> list[dict]:
    return [
        row
        for window, rows in lake.each(READINGS, [each.window for each in lake.windows(READINGS)])
        if isinstance(rows, pa.Table)
        for row in rows.to_pylist()
    ]


@pytest.mark.races
def test_two_cleaners_at_once_archive_everything_once(lake, twin):
    lake.upsert_readings(a_day([f"m{i}" for i in range(20)]), NOW, NOW)
    truth = rows_of(lake)
    start, failed = threading.Barrier(2), []

    def clean(each: Lake) -> None:
        start.wait()
        try:
            each.expire(LATER, archive=Archive.beside(each.store, "archive"))
        except LakeError as error:
            failed.append(error)

    threads = [threading.Thread(target=clean, args=(each,)) for each in (lake, twin)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert of(lake) == in_order([row for row in truth if row["date_time"] <= cutoff(LATER)])
    assert lake.expired(LATER) == []


def test_what_a_slow_writer_adds_between_archive_and_deletion_is_archived_too(filled, monkeypatch):
    """A run whose clock is an hour behind writes into a window that is being archived."""
    late = at(11, 20, days_ago=1)
    put = filled.store.put

    def after_the_archive(key, data, *, replaces):
        put(key, data, replaces=replaces)
        if key.startswith("archive"):
            monkeypatch.undo()
            Lake.open(filled.url).upsert_readings(fetched(("late", late, 5.0)), NOW, NOW)

    monkeypatch.setattr(filled.store, "put", after_the_archive)
    filled.expire(LATER, archive=Archive.beside(filled.store, "archive"))
    assert ("late", late) in {(row["measure_id"], row["date_time"]) for row in of(filled)}
    assert filled.expired(LATER) == []


@pytest.mark.parametrize("seed", range(3))
def test_rows_that_come_again_change_nothing(folder, seed):
    """The file of a day does not depend on order, portions or repetitions."""
    chance = random.Random(seed)
    lake = Lake.open(f"{folder.url}-rows")
    lake.upsert_readings(a_day(["a", "b"]), NOW, NOW)
    rows = pa.Table.from_pylist(rows_of(lake), schema=READINGS.schema)
    archive = Archive.beside(folder.store, "archive")
    for _ in range(12):
        archive.keep(rows.take(chance.sample(range(len(rows)), 60)))
    assert archive.keep(rows) >= 0
    blob = folder.store.read(f"archive/{YESTERDAY}")
    assert archive.keep(rows) == 0
    assert folder.store.read(f"archive/{YESTERDAY}").meta == blob.meta
    assert of(folder) == in_order([row for row in rows.to_pylist() if row["date_time"] < at(0)])


# -- an archive that cannot be written


def test_while_the_archive_cannot_be_written_readings_stay_and_everything_else_goes(filled, tmp_path, caplog):
    place = tmp_path / "elsewhere"
    # A file in its place: root, who runs tests in containers, may write into any folder.
    place.write_bytes(b"")
    archive = Archive.beside(filled.store, place.as_uri())
    filled.add_rejects(rejects((at(11, days_ago=1), "x", "odd")))
    before = rows_of(filled)
    with caplog.at_level(logging.ERROR):
        done = filled.expire(LATER, archive=archive)
    waits = [e for e in done if e.action == "waits"]
    assert rows_of(filled) == before
    assert [e.window.hour for e in waits] == [10, 11, 12]
    assert {(e.table, e.action) for e in done} == {("readings", "waits"), ("rejects", "deleted")}
    assert "Readings that have expired stay in the lake until they are archived" in waits[0].why
    assert "3 windows of readings are not archived, and stay" in caplog.text
    # Our readers cut at 24 hours all the same.
    assert min(filled.read(READINGS, now=LATER)["date_time"].to_pylist()) > cutoff(LATER)
    place.unlink()
    filled.expire(LATER, archive=Archive.beside(filled.store, place.as_uri()))
    assert filled.expired(LATER) == []
    assert len(list(Path(place).rglob("*.parquet"))) == 1


def test_a_bucket_that_is_not_there_is_told(bucket, opened_with):
    bucket.upsert_readings(a_day(["a"]), NOW, NOW)
    archive = Archive.beside(bucket.store, "s3://no-such-bucket/flood", s3=opened_with[bucket.url])
    (wait, *_) = [e for e in bucket.expire(LATER, archive=archive) if e.action == "waits"]
    assert "there is no such bucket" in wait.why
    assert len(rows_of(bucket)) == len(a_day(["a"]))


def test_an_archived_day_that_cannot_be_read_is_never_replaced(filled):
    put_raw(filled, f"archive/{YESTERDAY}", b"half a file")
    before = rows_of(filled)
    done = filled.expire(LATER, archive=Archive.beside(filled.store, "archive"))
    assert {e.action for e in done} == {"waits"}
    assert "Put back a sound copy or move it away" in done[0].why
    assert rows_of(filled) == before
    assert filled.store.read(f"archive/{YESTERDAY}").data.to_pybytes() == b"half a file"


def test_a_stranger_in_an_archived_days_place_stays(filled):
    stranger = encode(READINGS, READINGS.schema.empty_table()).replace(b"measure_id", b"measure_ix")
    put_raw(filled, f"archive/{YESTERDAY}", stranger)
    done = filled.expire(LATER, archive=Archive.beside(filled.store, "archive"))
    assert {e.action for e in done} == {"waits"}


def test_the_bytes_of_a_damaged_window_are_archived(lake, archive, caplog):
    lake.upsert_readings(a_day(["a"]), NOW, NOW)
    put_raw(lake, key_of(READINGS, at(10, days_ago=1)), b"damaged")
    put_raw(lake, key_of(READINGS, at(11, days_ago=1)), b"quarantined")
    lake.quarantine(READINGS, at(11, days_ago=1))
    done = lake.expire(LATER, archive=archive)
    kept = [key for key in keys(lake) if key.startswith("archive/_damaged/readings/date=2026-11-20/hour=1")]
    assert [lake.store.read(key).data.to_pybytes() for key in kept] == [b"damaged", b"quarantined"]
    assert "2026-11-20/hour=10/readings.parquet" in caplog.text
    assert sorted((e.window.hour, e.rows) for e in done if e.action == "deleted" and e.rows is None) == [
        (10, None),
        (11, None),
    ]
    assert lake.expired(LATER) == []


# -- the setting


@pytest.mark.parametrize(
    ("given", "place"),
    [
        (None, None),
        ("", None),
        (" archive ", "archive"),
        ("/srv/flood", "file:///srv/flood"),
        ("s3://archive/flood/", "s3://archive/flood"),
    ],
)
def test_the_setting_names_a_place(given, place):
    assert given_archive({} if given is None else {"FLOOD_ARCHIVE": given}) == place


@pytest.mark.parametrize("given", ["1", "readings", "./archive", "x3://bucket", "s3://", "file://archive"])
def test_a_setting_that_names_no_place_is_refused(given):
    with pytest.raises(SettingsError, match=r"FLOOD_ARCHIVE is '.*expected archive, for a folder below the lake"):
        given_archive({"FLOOD_ARCHIVE": given})
