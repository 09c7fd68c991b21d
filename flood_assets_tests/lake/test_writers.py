"""Several writers and readers at once, writers that are killed, and stores that refuse."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from moto.s3.models import S3Backend

from flood_assets.errors import LakeError
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import key_of
from flood_assets.lake.objects import ConflictError
from flood_assets.schemas import READINGS
from flood_assets_tests.support import lake_processes
from flood_assets_tests.support.lake_rows import (
    HOUR,
    NOW,
    QUARTER,
    a_day,
    at,
    fetched,
    keys,
    read_window,
    stored,
    values,
)


def _process(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", lake_processes.__name__, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_conflict_is_merged_again(bucket, twin_of, monkeypatch):
    put, calls = bucket.store.put, []

    def after_another_writer(key, data, *, replaces):
        calls.append(key)
        if len(calls) <= 3:
            twin_of(bucket).upsert_readings(fetched((f"other{len(calls)}", at(9), 2.0)), NOW, NOW)
        put(key, data, replaces=replaces)

    monkeypatch.setattr(bucket.store, "put", after_another_writer)
    (change,) = bucket.upsert_readings(fetched(("m", at(9), 1.0)), NOW, NOW).windows
    assert len(calls) == 4
    assert (change.added, change.rows) == (1, 4)
    assert {m for m, _ in values(bucket)} == {"m", "other1", "other2", "other3"}


def test_a_writer_that_never_wins_says_so(bucket, monkeypatch):
    def lost(key, data, *, replaces):
        raise ConflictError(key)

    monkeypatch.setattr(bucket.store, "put", lost)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(LakeError, match=r"readings\.parquet: gave up after 12 write conflicts"):
        bucket.upsert_readings(fetched(("m", at(9), 1.0)), NOW, NOW)


def test_a_put_on_an_old_version_writes_nothing(lake):
    key = key_of(READINGS, at(9))
    lake.store.put(key, b"one", replaces=None)
    first = lake.store.head(key)
    with pytest.raises(ConflictError):
        lake.store.put(key, b"two", replaces=None)
    lake.store.put(key, b"two!", replaces=first)
    with pytest.raises(ConflictError):
        lake.store.put(key, b"three", replaces=first)
    lake.store.delete([key])
    with pytest.raises(ConflictError):
        lake.store.put(key, b"four", replaces=first)
    assert lake.store.get(key) is None


@pytest.mark.races
@pytest.mark.parametrize("over", [False, True], ids=["create", "replace"])
def test_of_eight_that_write_at_once_one_wins(lake, twin_of, over, monkeypatch):
    """The store's own word, on which all tests of several writers stand: moto by itself lets all eight win."""
    key = key_of(READINGS, at(9))
    if over:
        lake.store.put(key, b"old", replaces=None)
    old = lake.store.head(key)
    put, together = S3Backend.put_object, threading.Barrier(8)

    def put_later(*arguments, **more):
        time.sleep(0.02)
        return put(*arguments, **more)

    monkeypatch.setattr(S3Backend, "put_object", put_later)

    def write(number: int) -> bool:
        mine = twin_of(lake).store
        together.wait(60)
        with suppress(ConflictError):
            mine.put(key, b"%d" % number, replaces=old)
            return True
        return False

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(8)))
    assert won.count(True) == 1
    assert lake.store.read(key).data == b"%d" % won.index(True)


@pytest.mark.races
def test_threads_that_merge_into_the_same_windows_lose_nothing(lake, twin_of):
    def write(number):
        mine = twin_of(lake)
        for i in range(4):
            mine.upsert_readings(fetched(*[(f"w{number}", at(h, i), float(i)) for h in (8, 9)]), NOW, NOW)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert values(lake) == {(f"w{n}", at(h, i)): float(i) for n in range(4) for h in (8, 9) for i in range(4)}


def test_a_write_waits_until_the_window_is_free(folder, twin_of):
    """A folder has no conditional PUT: a file is compared and replaced under its lock."""
    with ThreadPoolExecutor(1) as pool:
        with twin_of(folder).store.locked(key_of(READINGS, at(9))):
            merging = pool.submit(folder.upsert_readings, fetched(("m", at(9), 1.0)), NOW, NOW)
            with pytest.raises(TimeoutError):
                merging.result(timeout=0.3)
            assert folder.windows(READINGS) == []
        assert merging.result(timeout=5).windows[0].added == 1


@pytest.mark.races
def test_processes_that_merge_into_the_same_windows_lose_nothing(folder):
    done = _process("together", folder.url, 3, 20)
    assert done.returncode == 0, done.stderr
    assert values(folder) == {(f"w{n}", at(h, i)): float(i) for n in range(3) for h in range(3) for i in range(20)}


@pytest.mark.races
def test_readers_see_the_old_window_or_the_new_one(lake, twin_of):
    ids = [f"m{i}" for i in range(300)]
    lake.upsert_readings(fetched(*[(m, at(9), 0.0) for m in ids]), NOW, NOW)
    stop = threading.Event()

    def write():
        mine = twin_of(lake)
        for value in range(1, 40):
            mine.upsert_readings(fetched(*[(m, at(9), float(value)) for m in ids]), NOW, NOW)
        stop.set()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        seen = []
        while not stop.is_set() and not writing.done():
            rows = lake.read(READINGS, now=NOW, columns=["value", "revision"])
            (value,) = set(rows.column("value").to_pylist())
            assert (len(rows), set(rows.column("revision").to_pylist())) == (300, {int(value)})
            seen.append(value)
        writing.result()
    assert seen == sorted(seen)
    assert len(set(seen)) > 3


def test_a_killed_writer_leaves_whole_windows(folder):
    done = _process("kill", folder.url, 10)
    assert done.returncode == 0, done.stderr
    per_window = []
    for window in folder.windows(READINGS):
        rows = read_window(folder, READINGS, window.window, now=NOW)
        (value,) = set(rows.column("value").to_pylist())
        assert len(rows) % len(lake_processes.IDS) == 0
        per_window.append(value)
    # Oldest first: no window is ahead of an older one, and none is behind by more than the merge that was killed.
    assert per_window == sorted(per_window, reverse=True)
    assert per_window[0] - per_window[-1] <= 1
    assert per_window[0] > 1
    folder.expire(NOW)
    assert not [k for k in keys(folder) if not k.endswith("readings.parquet")]
    folder.upsert_readings(a_day(lake_processes.IDS, value=-1.0), NOW, NOW)
    assert set(values(folder).values()) == {-1.0}


def test_a_window_that_is_being_written_is_not_there_yet_for_whoever_reads_the_folder(folder, monkeypatch):
    """pyarrow's datasets take each file that starts with neither a dot nor an underscore."""
    readings = Path(folder.url.removeprefix("file://").replace("%20", " ")) / "readings"
    folder.upsert_readings(a_day(["m"]), NOW, NOW)
    rename, seen = Path.replace, []

    def look_before_it_is_renamed(self, to):
        seen.append(ds.dataset(readings, format="parquet").count_rows())
        return rename(self, to)

    monkeypatch.setattr(Path, "replace", look_before_it_is_renamed)
    folder.upsert_readings(a_day(["n"]), NOW, NOW)
    day = len(a_day(["m"]))
    assert seen[0] == day
    assert seen == sorted(seen)
    assert len(seen) == len(folder.windows(READINGS))
    assert ds.dataset(readings, format="parquet").count_rows() == 2 * day


def test_what_killed_writers_left_is_swept_and_files_of_others_are_not(folder):
    folder.upsert_readings(fetched(("m", at(9), 1.0)), NOW, NOW)
    window = Path(folder.url.removeprefix("file://").replace("%20", " ")) / key_of(READINGS, at(9))
    left = [window.with_name(name) for name in (".readings.parquet.part", "readings.parquet#1", "readings.parquet#12")]
    others = [window.with_name(name) for name in (".hidden", "notes #1.txt", "a.part")]
    for path in [*left, *others]:
        path.write_bytes(b"half")
    with folder.store.locked(key_of(READINGS, at(9))):
        assert Lake.open(folder.url).store.sweep() == 0, "it may be written at this moment"
    assert folder.store.sweep() == 3
    assert sorted(window.parent.iterdir()) == sorted([window, *others])


def test_a_lock_that_is_not_let_go_is_an_error_and_not_a_wait_for_ever(folder):
    key = key_of(READINGS, at(9))
    with (
        folder.store.locked(key),
        pytest.raises(LakeError, match=r"readings-odd-09\.lock: another process has held this lock"),
        Lake.open(folder.url).store.locked(key, timeout=0.1),
    ):
        pass


# -- stores that refuse


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 128 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", place], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a file system needs root")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_is_named_and_leaves_what_was_there(small_disk):
    lake = Lake.open((small_disk / "lake").as_uri())
    rows = fetched(*[(f"m{i}", at(h), float(i)) for i in range(20) for h in range(9)])
    lake.upsert_readings(rows, NOW, NOW)
    before = lake.windows(READINGS)
    (small_disk / "filler").write_bytes(
        b"x" * (128 * 1024 - sum(p.stat().st_blocks * 512 for p in small_disk.rglob("*") if p.is_file()))
    )
    more = fetched(*[(f"m{i}", at(h, 15), i / 7) for i in range(1000) for h in range(9)])
    with pytest.raises(LakeError, match=r"lake/readings/date=.*the disk is full: free some space"):
        lake.upsert_readings(more, NOW, NOW)
    assert lake.windows(READINGS) == before
    assert len(stored(lake)) == len(rows)
    (small_disk / "filler").unlink()
    lake.expire(NOW)
    lake.upsert_readings(fetched(("n", at(9), 1.0)), NOW, NOW)
    assert len(stored(lake)) == len(rows) + 1


def test_a_read_only_folder_is_named_and_can_be_read(small_disk):
    lake = Lake.open((small_disk / "lake").as_uri())
    lake.upsert_readings(fetched(("m", at(9), 1.0)), NOW, NOW)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(LakeError, match="the folder is read-only"):
        lake.upsert_readings(fetched(("m", at(9), 2.0)), NOW, NOW)
    with pytest.raises(LakeError, match="the folder is read-only"):
        lake.expire(NOW + 48 * HOUR)
    assert values(Lake.open(lake.url)) == {("m", at(9)): 1.0}
    with pytest.raises(LakeError, match=r"small/other cannot be made: Read-only file system"):
        Lake.open((small_disk / "other").as_uri())


def test_a_limit_on_the_size_of_files_is_named(folder):
    done = _process("short", folder.url, 1000)
    assert done.returncode
    assert "may write: raise `ulimit -f`" in done.stderr
    assert folder.windows(READINGS) == []
    folder.upsert_readings(a_day(["m"]), NOW + QUARTER, NOW)
    assert len(stored(folder)) == len(a_day(["m"]))
