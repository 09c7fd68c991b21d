"""Two versions on one lake, as while one is rolled out: the older one reads on, and drops nothing of the newer one.

What a newer version writes is made here: a table with one more column, and its format in the footer.
"""

import json
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flood_assets.errors import RefusedError
from flood_assets.lake import identity, parquet
from flood_assets.lake.archive import Archive
from flood_assets.lake.frozen import Frozen
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import archive_key, current_key, key_of
from flood_assets.lake.parquet import DamagedWindowError, NewerFormatError, encode
from flood_assets.landing.ingest import ingest
from flood_assets.partitions import cutoff, window_of
from flood_assets.schemas import READINGS, STATIONS
from flood_assets.serve.watch import Watcher
from flood_assets_tests.support.lake_rows import HOUR, NOW, a_day, at, fetched, put_raw, stations

API = "https://flood.example/api"


def newer(data, *, says=True):
    """The same rows as a version writes them that has one more column; perhaps without saying so."""
    rows = pq.read_table(pa.BufferReader(data))
    rows = rows.append_column("quality", pa.array(["Good"] * len(rows)))
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, rows.schema, store_schema=False, use_dictionary=False, compression="zstd") as writer:
        writer.write_table(rows)
        if says:
            writer.add_key_value_metadata({"flood_assets.format": "2"})
    return sink.getvalue().to_pybytes()


def rewrite(lake, key, **more):
    data = newer(lake.store.read(key).data, **more)
    put_raw(lake, key, data)
    return data


@pytest.fixture
def ahead(folder):
    """A lake in which a newer version has written one window of today and one that expires, and a present."""
    folder.claim(API)
    folder.upsert_readings(a_day(["a", "b"]), NOW, NOW)
    folder.put_snapshots(STATIONS, [window_of(NOW)], stations("S"))
    for key in (key_of(READINGS, at(8)), key_of(READINGS, at(12, days_ago=1)), current_key(STATIONS)):
        rewrite(folder, key)
    return folder


def objects(lake):
    return {meta.key: meta.e_tag for meta in lake.store.list("") if not meta.key.startswith(".locks")}


def test_readers_read_on_without_the_column(ahead):
    whole = ahead.read(READINGS, now=NOW)
    assert whole.schema == READINGS.schema
    assert len(whole) == len(a_day(["a", "b"]))
    assert len(ahead.read(READINGS, at(8), at(9), now=NOW, measure_ids=["a"], columns=["value"])) == 4
    assert ahead.newest_snapshot(STATIONS, NOW)["station_id"].to_pylist() == ["S"]
    assert len(Lake(Frozen.of(ahead.store)).read(READINGS, now=NOW)) == len(whole)


def test_no_window_is_taken_for_damaged(ahead):
    before = objects(ahead)
    assert ahead.damaged(READINGS) == []
    _, quarantined = ahead.inspect(READINGS, [each.window for each in ahead.windows(READINGS)])
    assert quarantined == {}
    assert ahead.quarantine(READINGS, at(8)) is None
    assert objects(ahead) == before


def test_a_window_is_not_written_without_its_column(ahead):
    before = objects(ahead)
    with pytest.raises(NewerFormatError, match=r"hour=08/readings.parquet is of format 2, and this version.*Upgrade"):
        ahead.upsert_readings(fetched(("late", at(8, 20), 1.0)), NOW, NOW)
    with pytest.raises(NewerFormatError):
        ahead.follow_readings(ahead.read(READINGS, at(8), at(9), now=NOW), NOW)
    with pytest.raises(NewerFormatError, match=r"current/stations.parquet"):
        ahead.put_snapshots(STATIONS, [window_of(NOW)], stations("S", "T"))
    with pytest.raises(NewerFormatError):
        ahead.put_listed(STATIONS, STATIONS.schema.empty_table(), {"acme:x": NOW}, NOW)
    assert objects(ahead) == before
    # Any other window is written.
    ahead.upsert_readings(fetched(("late", at(7, 20), 1.0)), NOW, NOW)


def test_no_cleanup_trims_or_archives_it_without_its_column(ahead):
    later = at(12, 30)
    with pytest.raises(NewerFormatError):
        ahead.expire(later)
    # Deleted whole it loses nothing.
    assert ahead.expire(NOW + 26 * HOUR)
    assert ahead.windows(READINGS) == []


def test_an_archived_day_of_a_newer_version_is_not_written(folder):
    folder.upsert_readings(a_day(["a"]), NOW, NOW)
    archive = Archive.beside(folder.store, "archive")
    folder.expire(at(10, 30), archive=archive)
    data = rewrite(folder, f"archive/{archive_key(at(0, days_ago=1))}")
    (wait,) = folder.expire(at(10, 50), archive=archive)
    assert (wait.action, "is of format 2" in wait.why) == ("waits", True)
    assert folder.store.read(f"archive/{archive_key(at(0, days_ago=1))}").data.to_pybytes() == data


def test_a_column_that_nobody_announced_is_damage(folder):
    folder.upsert_readings(a_day(["a"]), NOW, NOW)
    rewrite(folder, key_of(READINGS, at(8)), says=False)
    with pytest.raises(DamagedWindowError, match="unknown column quality"):
        folder.read(READINGS, now=NOW)


def test_a_newer_format_has_all_columns_of_this_one(folder):
    """A name that a flipped bit has changed is not taken for a new column."""
    folder.upsert_readings(a_day(["a"]), NOW, NOW)
    put_raw(
        folder,
        key_of(READINGS, at(8)),
        newer(folder.store.read(key_of(READINGS, at(8))).data).replace(b"raw_value", b"raw_valve"),
    )
    with pytest.raises(DamagedWindowError, match="no column raw_value"):
        folder.read(READINGS, now=NOW)


# -- what is asked at the start


@pytest.fixture
def of_a_newer(folder):
    folder.claim(API)
    folder.upsert_readings(a_day(["a"]), NOW, NOW)
    put_raw(folder, "_lake.json", json.dumps({"api": API, "layout": 2, "format": 2}).encode())
    return folder


WRITERS = {
    "claim": lambda lake: lake.claim(API),
    "expire": lambda lake: lake.expire(NOW + timedelta(hours=2)),
    "ingest": lambda lake: ingest(lake, NOW),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_whoever_writes_refuses_at_the_start(of_a_newer, write):
    before = objects(of_a_newer)
    with pytest.raises(RefusedError, match=r"_lake.json is of format 2, .*Upgrade flood_assets here, or stop it"):
        write(of_a_newer)
    assert objects(of_a_newer) == before


def test_whoever_reads_goes_on(of_a_newer):
    assert of_a_newer.source() == API
    of_a_newer.require_api()
    watcher = Watcher(lambda: of_a_newer, lambda: NOW)
    watcher.look()
    assert (watcher.trouble, watcher.snapshot is not None) == ("", True)


def test_a_server_does_not_read_another_layout(folder, caplog):
    put_raw(folder, "_lake.json", json.dumps({"api": API, "layout": 3}).encode())
    watcher = Watcher(lambda: folder, lambda: NOW)
    watcher.look()
    assert watcher.snapshot is None
    assert "says layout 3; this version knows 2: upgrade flood_assets" in caplog.text


def test_a_newer_version_says_so_when_it_begins_and_the_older_one_stops(folder, monkeypatch):
    folder.claim(API)
    folder.upsert_readings(a_day(["a"]), NOW, NOW)
    with monkeypatch.context() as patch:
        for module in (identity, parquet):
            patch.setattr(module, "FORMAT", 2)
        folder.claim(API)
        assert json.loads(folder.store.read("_lake.json").data.to_pybytes()) == {"api": API, "layout": 2, "format": 2}
        # It reads and writes windows of both formats.
        folder.upsert_readings(fetched(("late", at(8, 20), 1.0)), NOW, NOW)
        folder.expire(at(10, 20))
        assert min(folder.read(READINGS, now=at(10, 20))["date_time"].to_pylist()) > cutoff(at(10, 20))
    with pytest.raises(NewerFormatError):
        folder.claim(API)
    with pytest.raises(NewerFormatError):
        folder.upsert_readings(fetched(("late", at(8, 25), 1.0)), NOW, NOW)
    assert len(folder.read(READINGS, at(8), at(9), now=NOW)) == 5


def test_the_first_format_costs_no_byte():
    assert b"flood_assets.format" not in encode(READINGS, READINGS.schema.empty_table())
