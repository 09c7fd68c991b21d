"""Damaged objects: found whatever is wrong with them, quarantined once and out of every reader's sight.

What a run does about them is in `test_store_faults_in_runs`.
"""

import io
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlsplit

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import S3FileSystem

from flood_assets.lake import watermarks
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import WATERMARKS_KEY, key_of, window_of_quarantined
from flood_assets.lake.parquet import DamagedWindowError, WindowFile
from flood_assets.schemas import MEASURES, READINGS, REJECTS, STATIONS, WATERMARKS, Table
from flood_assets_tests.support.faulty_s3 import in_front_of
from flood_assets_tests.support.lake_rows import (
    HOUR,
    NOW,
    at,
    fetched,
    keys,
    measures,
    put_raw,
    put_snapshot,
    read_window,
    rejects,
    stations,
    stored,
    values,
)
from flood_assets_tests.support.s3 import BUCKET

ALL = [READINGS, STATIONS, MEASURES, REJECTS]


def fill(lake: Lake) -> None:
    """Two windows of every table, and watermarks."""
    for hour in (8, 9):
        names = [f"m{i}" for i in range(9)]
        lake.upsert_readings(fetched(*[(m, at(hour), i / 7, f"{i}|2", "S") for i, m in enumerate(names)]), NOW, NOW)
        put_snapshot(
            lake, STATIONS, at(hour), stations("S", "T", label="Kingston", river="Thames", lat=51.4, long=-0.3)
        )
        put_snapshot(lake, MEASURES, at(hour), measures(NOW, m0="S", m1="T"))
        lake.add_rejects(rejects((at(hour), f"line {hour}", "odd")))
    watermarks.advance(lake.store, WATERMARKS.empty_table(), NOW)


def flipped(data: bytes, table: Table) -> list[bytes]:
    """The window with one byte flipped in the pages of a column: once for each column."""
    group = pq.read_metadata(io.BytesIO(data)).row_group(0)
    found = []
    for i in range(len(table.schema)):
        chunk = group.column(i)
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        # The last byte of a column's pages is one of its values or of its levels, and never of a page's header.
        at = start + chunk.total_compressed_size - 1
        found.append(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
    return found


def of_another_table(table: Table) -> bytes:
    sink = pa.BufferOutputStream()
    other = MEASURES if table is STATIONS else STATIONS
    pq.write_table(other.schema.empty_table(), sink)
    return sink.getvalue().to_pybytes()


# Each gives the damaged versions of a sound object.
KINDS = {
    "a flipped byte in a column": flipped,
    "no bytes": lambda *_: [b""],
    "zeros": lambda data, _: [bytes(len(data))],
    "the beginning only": lambda data, _: [data[:4], data[: len(data) // 2], data[:-1]],
    "without its footer": lambda data, _: [data[: -8 - int.from_bytes(data[-8:-4], "little")]],
    "another table": lambda _, table: [of_another_table(table)],
    "a text": lambda *_: [b"<html><body>503 Service Unavailable</body></html>\n" * 9],
}


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_wrong_with_a_window_it_is_found_and_set_aside_once(lake, twin, table, kind, caplog):
    fill(lake)
    key = key_of(table, at(9))
    sound = lake.store.get(key).data.to_pybytes()
    others = {k: lake.store.head(k) for k in keys(lake) if k not in {key, WATERMARKS_KEY}}
    for data in KINDS[kind](sound, table):
        put_raw(lake, key, data)
        assert lake.damaged(table) == [at(9)]
        with pytest.raises(DamagedWindowError, match=f"{key} cannot be read: "):
            lake.read(table, now=NOW)
        caplog.clear()
        aside = lake.quarantine(table, at(9))
        assert window_of_quarantined(table, aside) == at(9)
        assert bytes(lake.store.get(aside).data) == data
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        assert f"{key} cannot be read" in caplog.text
        assert aside in caplog.text
        assert lake.damaged(table) == []
        assert twin.quarantine(table, at(9)) is None
        assert len(lake.read(table, now=NOW)) == len(read_window(lake, table, at(8), now=NOW)) > 0
    assert {k: lake.store.head(k) for k in others} == others
    # Only lost readings make the lake incomplete.
    assert watermarks.load(lake.store).forgotten == (table is READINGS)


def test_a_flipped_byte_anywhere_in_a_window_is_found_or_changes_no_row(folder):
    """In the footer too, which has no checksum: a wrong minimum would keep readers from the rows of a gauge."""
    folder.upsert_readings(fetched(*[(f"m{i}", at(9), i / 7, f"{i}|2", f"S{i}") for i in range(5)]), NOW, NOW)
    data = folder.store.get(key_of(READINGS, at(9))).data.to_pybytes()
    sound = WindowFile(READINGS, "sound", pa.py_buffer(data)).read(coded=True)
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    found = {"pages": 0, "footer": 0}
    for i in range(len(data)):
        spoilt = data[:i] + bytes([data[i] ^ (0x01, 0x80, 0xFF)[i % 3]]) + data[i + 1 :]
        try:
            file = WindowFile(READINGS, "spoilt", pa.py_buffer(spoilt))
            span = file.oldest(), file.newest()
            # As a merge and the checks read it.
            rows = file.read(coded=True)
        except DamagedWindowError:
            found["footer" if i >= footer else "pages"] += 1
        else:
            assert rows.equals(sound)
            assert span == (at(9), at(9))
    assert found["pages"] > footer / 2
    assert found["footer"] > 100


def test_flipped_watermarks_are_found_or_say_the_same(folder):
    """A watermark that was put forward by damage would keep readings from ever being asked for."""
    row = {"measure_id": ["a", "b"], "newest": [at(8), at(9)], "interval_s": [900, None]}
    watermarks.advance(
        folder.store, pa.table(row, schema=WATERMARKS), NOW, watermarks.Asked.once(NOW, polled=True, read=[at(8)])
    )
    sound, data = watermarks.load(folder.store), folder.store.get(WATERMARKS_KEY).data.to_pybytes()
    found = 0
    for i in range(len(data)):
        put_raw(folder, WATERMARKS_KEY, data[:i] + bytes([data[i] ^ (0x01, 0x80, 0xFF)[i % 3]]) + data[i + 1 :])
        loaded = watermarks.load(folder.store)
        found += loaded is None
        assert loaded is None or loaded == sound
    assert found > len(data) / 4


# -- readers


def test_no_reader_of_the_folder_sees_what_was_set_aside(folder):
    fill(folder)
    put_raw(folder, key_of(READINGS, at(9)), b"no window")
    folder.quarantine(READINGS, at(9))
    root = Path(unquote(urlsplit(folder.url).path))
    sql = (
        f"SELECT count(*), max(hour)::int FROM read_parquet('{root}/readings/*/*/*.parquet', hive_partitioning = true)"
    )
    with duckdb.connect() as connection:
        assert connection.execute(sql).fetchone() == (9, 8)
        (everything,) = connection.execute(f"SELECT count(*) FROM glob('{root}/**/*.parquet')").fetchone()
    assert everything == 8 + 1 + 2  # the windows, the emptied one among them, the watermarks, and the present of two
    assert ds.dataset(root / "readings", partitioning="hive").count_rows() == 9
    # As Spark does, pyarrow passes over all whose name begins with `_` or `.`, wherever it starts.
    assert not [file for file in ds.dataset(root, format="parquet").files if "_quarantine" in file]


@pytest.mark.parametrize("server", ["s3_server", pytest.param("ceph_server", marks=pytest.mark.s3)])
def test_no_reader_of_the_bucket_sees_what_was_set_aside(server, request, opened_with):
    s3 = request.getfixturevalue(server)
    lake = Lake.open(f"s3://{BUCKET}/{request.node.name}", s3=s3)
    fill(lake)
    put_raw(lake, key_of(READINGS, at(9)), b"no window")
    lake.quarantine(READINGS, at(9))
    filesystem = S3FileSystem(
        access_key=s3.aws_access_key_id,
        secret_key=s3.aws_secret_access_key,
        endpoint_override=s3.endpoint_url,
        region=s3.region_name,
    )
    place = lake.url.removeprefix("s3://")
    assert ds.dataset(f"{place}/readings", filesystem=filesystem, partitioning="hive").count_rows() == 9


# -- several at once


@pytest.mark.races
def test_of_many_that_find_it_at_once_one_sets_it_aside(lake, twin_of):
    fill(lake)
    put_raw(lake, key_of(READINGS, at(9)), b"no window")
    with ThreadPoolExecutor(6) as pool:
        named = list(pool.map(lambda one: one.quarantine(READINGS, at(9)), [twin_of(lake) for _ in range(6)]))
    (aside,) = [name for name in named if name]
    assert [k for k in keys(lake) if k.startswith("_quarantine/")] == [aside]
    assert bytes(lake.store.get(aside).data) == b"no window"


@pytest.mark.parametrize("server", ["s3_server", pytest.param("ceph_server", marks=pytest.mark.s3)])
@pytest.mark.parametrize("quicker", ["quarantined and filled", "filled", "watermarks read and written"])
def test_what_another_run_wrote_meanwhile_is_not_moved_away(server, quicker, request):
    """The second of two runs that found the same window damaged comes too late at each of its steps."""
    with in_front_of(request.getfixturevalue(server)) as proxy:
        lake = Lake.open(f"s3://{BUCKET}/{request.node.name}", s3=proxy.server)
        other = Lake.open(lake.url, s3=proxy.behind)
        fill(other)
        key = key_of(READINGS, at(9))
        put_raw(other, key, b"no window")

        def fill_again():
            if quicker == "quarantined and filled":
                assert other.quarantine(READINGS, at(9))
            other.upsert_readings(fetched(("m0", at(9), 5.0)), NOW, NOW)

        step = f"_quarantine/{key}" if quicker == "watermarks read and written" else f"lake/{key}|/{key}$"
        proxy.on("PUT", step, times=1).waits_for(fill_again)
        assert lake.quarantine(READINGS, at(9)) is None
        assert values(other)["m0", at(9)] == 5.0
        (aside,) = [k for k in keys(other) if k.startswith("_quarantine/")]
        assert bytes(other.store.get(aside).data) == b"no window"


def test_two_damaged_versions_of_a_window_are_both_kept(lake):
    for data in (b"one", b"two"):
        put_raw(lake, key_of(READINGS, at(9)), data)
        assert lake.quarantine(READINGS, at(9))
    kept = [bytes(lake.store.get(k).data) for k in keys(lake) if k.startswith("_quarantine/")]
    assert sorted(kept) == [b"one", b"two"]


# -- retention and snapshots


def test_a_window_that_cannot_be_trimmed_is_set_aside_and_does_not_keep_others_from_expiring(lake):
    late = at(11, days_ago=1)
    times = [late, late + HOUR / 2, late - HOUR]
    lake.upsert_readings(fetched(*[(m, t, 1.0) for m in "ab" for t in times]), NOW, NOW)
    data = lake.store.get(key_of(READINGS, late)).data.to_pybytes()
    (spoilt, *_) = flipped(data, READINGS)
    put_raw(lake, key_of(READINGS, late), spoilt)
    now = at(11, 7)
    assert {(e.window, e.action) for e in lake.expire(now, dry_run=True)} == {
        (late - HOUR, "deleted"),
        (late, "quarantined"),
    }
    assert lake.damaged(READINGS) == [late]
    assert {e.action for e in lake.expire(now)} == {"deleted", "quarantined"}
    assert lake.expired(now) == []
    assert stored(lake, now) == []
    assert watermarks.load(lake.store).forgotten


def test_an_emptied_snapshot_is_no_snapshot(lake):
    fill(lake)
    put_raw(lake, key_of(STATIONS, at(9)), b"no window")
    lake.quarantine(STATIONS, at(9))
    assert lake.newest_snapshot(STATIONS, NOW)["station_id"].to_pylist() == ["S", "T"]
