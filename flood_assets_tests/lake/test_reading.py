"""What readers are given, on both kinds of store."""

from datetime import timedelta

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from flood_assets.errors import LakeError
from flood_assets.lake import read, watermarks
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import WATERMARKS_KEY, key_of
from flood_assets.lake.parquet import ROW_GROUP_ROWS, DamagedWindowError, encode
from flood_assets.lake.read import Content
from flood_assets.partitions import cutoff
from flood_assets.schemas import MEASURES, READINGS, REJECTS, STATIONS, TABLES, WATERMARKS
from flood_assets_tests.support.lake_rows import (
    HOUR,
    NOW,
    QUARTER,
    a_day,
    at,
    fetched,
    keys,
    measures,
    put_raw,
    put_snapshot,
    read_window,
    rejects,
    snapshot,
    stations,
    stored,
    values,
)


def test_an_empty_lake_gives_empty_tables_with_the_right_schema(lake):
    for table in TABLES.values():
        rows = lake.read(table, now=NOW)
        assert rows.schema == table.schema
        assert len(rows) == 0
        assert lake.windows(table) == []
    assert lake.newest_snapshot(STATIONS, NOW) is None
    assert lake.contents(READINGS, [at(9)]) == {at(9): Content(0, 0, None, None)}


def test_start_is_included_and_end_is_not(lake):
    lake.upsert_readings(a_day(["m"]), NOW, NOW)
    times = lake.read(READINGS, at(6, 15), at(8), now=NOW, columns=["date_time"]).column("date_time").to_pylist()
    assert times == [at(6, 15) + i * QUARTER for i in range(7)]
    assert len(lake.read(READINGS, at(8), at(8), now=NOW)) == 0
    assert len(lake.read(READINGS, at(9), None, now=NOW)) == 1


def test_no_reader_is_given_a_row_that_is_older_than_a_day(lake):
    lake.upsert_readings(a_day(["m"]), NOW, NOW)
    put_snapshot(lake, STATIONS, at(9), stations("S"))
    lake.add_rejects(rejects((at(9), "x,y", "odd")))
    on_the_edge = at(3) + 24 * HOUR
    for later in (NOW + 5 * HOUR, on_the_edge, at(9) + 24 * HOUR - timedelta(seconds=1), NOW + 30 * HOUR):
        kept = [t for t in a_day(["m"]).column("date_time").to_pylist() if t > cutoff(later)]
        everything = lake.read(READINGS, later - 99 * HOUR, later + HOUR, now=later)
        assert everything.column("date_time").to_pylist() == kept
        by_window = [read_window(lake, READINGS, at(h), now=later) for h in range(10)]
        assert pa.concat_tables(by_window).num_rows == sum(t >= at(0) for t in kept)
        assert len(lake.read(REJECTS, now=later)) == (at(9) > cutoff(later))
    # The snapshot's window is given until all of it has expired.
    assert len(lake.read(STATIONS, now=at(9) + 25 * HOUR - QUARTER)) == 1
    assert len(lake.read(STATIONS, now=at(9) + 25 * HOUR)) == 0
    assert lake.newest_snapshot(STATIONS, at(9) + 25 * HOUR) is None


def test_snapshots_count_by_the_start_of_their_window(lake):
    for hour in (6, 7, 8):
        put_snapshot(lake, STATIONS, at(hour, 30), stations(f"S{hour}"))
    assert lake.read(STATIONS, at(7), at(8), now=NOW).column("station_id").to_pylist() == ["S7"]
    assert lake.read(STATIONS, at(6, 1), None, now=NOW).column("station_id").to_pylist() == ["S7", "S8"]
    assert read_window(lake, STATIONS, at(6, 59), now=NOW).column("station_id").to_pylist() == ["S6"]
    assert lake.newest_snapshot(STATIONS, NOW).column("station_id").to_pylist() == ["S8"]
    assert lake.newest_snapshot(STATIONS, at(7, 59)).column("station_id").to_pylist() == ["S7"]


def test_this_hours_snapshot_is_found_without_a_listing(lake, monkeypatch):
    put_snapshot(lake, STATIONS, at(8), stations("S8"))
    put_snapshot(lake, STATIONS, at(10), stations("S10"))
    monkeypatch.setattr(lake, "windows", lambda _: pytest.fail("listed"))
    found = lake.newest_snapshot(STATIONS, at(8, 59), columns=["river", "station_id"])
    assert found.to_pylist() == [{"river": None, "station_id": "S8"}]
    monkeypatch.undo()
    assert lake.newest_snapshot(STATIONS, at(9)).column("station_id").to_pylist() == ["S8"]
    assert lake.newest_snapshot(STATIONS, at(7)) is None


def test_only_the_columns_that_were_asked_for(lake):
    lake.upsert_readings(a_day(["m"]), NOW, NOW)
    rows = lake.read(READINGS, now=NOW, columns=["value", "measure_id"], measure_ids=["m"])
    assert rows.schema == pa.schema([READINGS.schema.field("value"), READINGS.schema.field("measure_id")])
    with pytest.raises(LakeError, match="readings has no column colour: it has measure_id, date_time"):
        lake.read(READINGS, now=NOW, columns=["colour"])
    with pytest.raises(LakeError, match="stations cannot be read by measure"):
        lake.read(STATIONS, now=NOW, measure_ids=["m"])


@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("whole_up_to", [10**9, 0])
def test_some_measures_only(lake, monkeypatch, coded, whole_up_to):
    """In one GET or by ranges, row groups that cannot hold them are left alone."""
    monkeypatch.setattr(read, "WHOLE_UP_TO", whole_up_to)
    ids = [f"m{i:05}" for i in range(ROW_GROUP_ROWS)]
    lake.upsert_readings(fetched(*[(m, at(8, q * 15), float(q)) for m in ids for q in range(4)]), NOW, NOW)
    lake.upsert_readings(fetched(("m00001", at(7), 9.0), ("other", at(7), 9.0)), NOW, NOW)
    wanted = ["m00001", ids[-96], "nobody"]
    rows = lake.read(READINGS, now=NOW, measure_ids=wanted, coded=coded)
    assert pa.types.is_dictionary(rows.schema.field("measure_id").type) == coded
    found = list(zip(rows.column("measure_id").to_pylist(), rows.column("value").to_pylist(), strict=True))
    assert found == [("m00001", 9.0)] + [(m, float(q)) for m in wanted[:2] for q in range(4)]
    assert len(lake.read(READINGS, now=NOW, measure_ids=[])) == 0


def test_a_window_replaced_while_it_is_read_by_ranges_is_read_again(lake, twin, monkeypatch):
    monkeypatch.setattr(read, "WHOLE_UP_TO", 0)
    lake.upsert_readings(fetched(("m", at(9), 1.0)), NOW, NOW)
    get_range, calls = lake.store.get_range, []

    def after_another_writer(meta, start, end):
        calls.append(meta)
        if len(calls) == 2:
            twin.upsert_readings(fetched(("m", at(9), 2.0), ("n", at(9), 2.0)), NOW, NOW)
        return get_range(meta, start, end)

    monkeypatch.setattr(lake.store, "get_range", after_another_writer)
    rows = lake.read(READINGS, now=NOW, measure_ids=["m", "n"])
    assert rows.column("value").to_pylist() == [2.0, 2.0]
    assert len({meta.e_tag for meta in calls}) == 2


def test_a_window_that_vanishes_counts_as_empty(lake, monkeypatch):
    put_snapshot(lake, STATIONS, at(8), stations("old"))
    put_snapshot(lake, STATIONS, at(9), stations("new"))
    listed = lake.windows(STATIONS)
    lake.store.delete([key_of(STATIONS, at(9))])
    monkeypatch.setattr(lake, "windows", lambda _: listed)
    assert lake.newest_snapshot(STATIONS, NOW).column("station_id").to_pylist() == ["old"]
    assert lake.read(STATIONS, now=NOW).column("station_id").to_pylist() == ["old"]


def test_strangers_files_are_not_windows(lake):
    lake.upsert_readings(fetched(("m", at(9), 1.0)), NOW, NOW)
    for key in (
        "readings/notes.txt",
        "readings/date=2026-11-21/hour=09/copy.parquet",
        "readings/date=2026-11-21/hour=09/_temporary",
        "readings/date=2026-11-21/hour=31/readings.parquet",
        "readings/date=2026-02-31/hour=01/readings.parquet",
        "readings2/date=2026-11-21/hour=09/readings.parquet",
        "_elsewhere/readings/date=2026-11-21/hour=09/readings.parquet",
    ):
        put_raw(lake, key, b"x")
    assert [w.window for w in lake.windows(READINGS)] == [at(9)]
    assert len(stored(lake)) == 1
    assert lake.expire(NOW + 48 * HOUR) != []


def test_the_oldest_row_comes_from_the_footer(lake):
    lake.upsert_readings(fetched(("b", at(9, 1)), ("a", at(9, 5)), ("c", at(9, 3))), NOW, NOW)
    assert lake.contents(READINGS, [at(9)])[at(9)].oldest == at(9, 1)
    put_snapshot(lake, STATIONS, at(9), stations("S"))
    assert lake.contents(STATIONS, [at(9)])[at(9)].oldest is None


def test_a_window_that_was_asked_for_and_held_nothing_is_there_and_empty(lake):
    lake.upsert_readings(fetched(("m", at(9))), NOW, NOW)
    lake.ensure_windows(READINGS, [at(8), at(9)])
    assert [stored.window for stored in lake.windows(READINGS)] == [at(8), at(9)]
    assert read_window(lake, READINGS, at(8), now=NOW).equals(READINGS.schema.empty_table())
    assert read_window(lake, READINGS, at(9), now=NOW).num_rows == 1


def test_the_contents_of_windows_are_told_from_their_footers(lake):
    lake.upsert_readings(fetched(("m", at(9)), ("m", at(9, 7)), ("a", at(9, 5))), NOW, NOW)
    contents = lake.contents(READINGS, [at(8), at(9)])
    (stored,) = lake.windows(READINGS)
    assert contents[at(9)] == Content(3, stored.size, at(9), at(9, 7))
    assert contents[at(8)] == Content(0, 0, None, None)


# -- snapshots and rejects


def test_a_snapshot_replaces_its_window(lake):
    first = put_snapshot(lake, STATIONS, at(9, 59), stations("b", "a", label="Old"))
    assert (first.window, first.added, first.rows, first.written) == (at(9), 2, 2, True)
    assert lake.read(STATIONS, now=NOW).column("station_id").to_pylist() == ["a", "b"]
    rows = pa.concat_tables([stations("b", label="New"), stations("c"), stations("a", label="Old")])
    second = put_snapshot(lake, STATIONS, at(9), rows)
    assert (second.added, second.revised, second.unchanged, second.rows) == (1, 1, 1, 3)
    third = put_snapshot(lake, STATIONS, at(9), stations("c"))
    assert (third.added, third.revised, third.unchanged, third.rows, third.written) == (0, 0, 1, 1, True)


def test_a_snapshot_that_was_asked_for_earlier_does_not_replace_a_newer_one(lake):
    put_snapshot(lake, STATIONS, at(9), stations("new", observed_at=NOW))
    late = put_snapshot(lake, STATIONS, at(9), stations("old", observed_at=NOW - HOUR))
    assert (late.written, late.rows) == (False, 1)
    assert lake.read(STATIONS, now=NOW).column("station_id").to_pylist() == ["new"]


def test_a_snapshot_of_which_only_the_time_changed_is_not_written(lake):
    put_snapshot(lake, STATIONS, at(9), stations("a", "b", label="L", lat=float("nan")))
    before = lake.windows(STATIONS)
    later = NOW + QUARTER
    change = put_snapshot(lake, STATIONS, at(9), stations("b", "a", label="L", lat=float("nan"), observed_at=later))
    assert (change.written, change.unchanged, change.rows) == (False, 2, 2)
    assert lake.windows(STATIONS) == before
    assert lake.read(STATIONS, now=NOW).column("observed_at").to_pylist() == [NOW, NOW]


def test_a_snapshot_with_a_key_twice_keeps_the_last(lake):
    twice = snapshot(MEASURES, NOW, {"measure_id": "m", "unit": "m"}, {"measure_id": "m", "unit": "mAOD"})
    put_snapshot(lake, MEASURES, at(9), twice)
    assert lake.read(MEASURES, now=NOW).column("unit").to_pylist() == ["mAOD"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (stations("a").drop_columns(["label"]), "label"),
        (stations("a").append_column("colour", pa.array(["red"])), "colour"),
        (stations(None), "stations.station_id: 1 of 1 are null"),
    ],
)
def test_a_snapshot_that_is_not_the_tables_is_refused(folder, rows, said):
    with pytest.raises(ValueError, match=said):
        put_snapshot(folder, STATIONS, at(9), rows)


def test_rejects_are_kept_once_in_the_window_in_which_they_were_seen(lake):
    first = lake.add_rejects(rejects((at(9), "b", "odd"), (at(8, 59), "a", "odd")))
    assert [(c.window, c.added) for c in first] == [(at(8), 1), (at(9), 1)]
    second = lake.add_rejects(rejects((at(9, 5), "b", "odder"), (at(9, 5), "c", "odd")))
    assert [(c.added, c.unchanged, c.rows) for c in second] == [(1, 1, 2)]
    before = lake.windows(REJECTS)
    assert not lake.add_rejects(rejects((at(9, 6), "c", "odd")))[0].written
    assert lake.windows(REJECTS) == before
    assert [(r["line"], r["seen_at"]) for r in lake.read(REJECTS, now=NOW).to_pylist()] == [
        ("a", at(8, 59)),
        ("b", at(9)),
        ("c", at(9, 5)),
    ]
    assert lake.add_rejects(rejects()) == []


# -- damage

_KEY = key_of(READINGS, at(9))


def _other(**columns):
    """A window of readings with columns replaced, and without those that are None."""
    rows = pa.table(
        {f.name: pa.array([None if f.nullable else 0], f.type) for f in READINGS.schema if f.name != "measure_id"}
    )
    rows = rows.add_column(0, "measure_id", pa.array(["m"]))
    for name, column in columns.items():
        rows = rows.drop_columns([name]) if name in rows.column_names else rows
        rows = rows if column is None else rows.append_column(name, pa.array(column))
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    return sink.getvalue().to_pybytes()


def _flipped():
    data = bytearray(encode(READINGS, _window_rows()))
    data[12] ^= 0xFF
    return bytes(data)


def _window_rows():
    return pa.Table.from_pylist(
        [
            {"measure_id": m, "date_time": at(9), "first_seen_at": NOW, "changed_at": NOW, "revision": 0}
            for m in ("a", "b")
        ],
        schema=READINGS.schema,
    )


DAMAGE = {
    "empty": (b"", "file size is 0"),
    "text": (b"<html>503 Service Unavailable</html>" * 9, "magic bytes"),
    "cut": (_other()[:-20], "magic bytes"),
    "flipped bit": (_flipped(), ""),
    "column missing": (_other(revision=None), "no column revision"),
    "column unknown": (_other(colour=["red"]), "unknown column colour"),
    "type": (_other(value=["1.5"]), "value is string and not double"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_window_is_named_to_readers_and_written_anew_by_a_merge(lake, damage, caplog):
    data, said = DAMAGE[damage]
    lake.upsert_readings(fetched(("m", at(8), 1.0)), NOW, NOW)
    put_raw(lake, _KEY, data)
    with pytest.raises(DamagedWindowError, match=f"{_KEY} cannot be read: .*{said}.*move it below _quarantine"):
        lake.read(READINGS, now=NOW)
    (change,) = lake.upsert_readings(fetched(("m", at(9), 2.0)), NOW, NOW).windows
    assert change.quarantined_as.startswith(f"_quarantine/{_KEY}.2")
    assert (change.added, change.rows, change.written) == (1, 1, True)
    assert bytes(lake.store.get(change.quarantined_as).data) == data
    assert [r["value"] for r in stored(lake)] == [1.0, 2.0]
    assert [r.levelname for r in caplog.records] == ["ERROR"]
    assert _KEY in caplog.text


def test_rows_out_of_order_are_damage_to_a_merge(lake):
    put_raw(lake, _KEY, encode(READINGS, _window_rows().take([1, 0])))
    (change,) = lake.upsert_readings(fetched(("m", at(9), 2.0)), NOW, NOW).windows
    assert change.quarantined_as
    assert len(stored(lake)) == 1


def test_a_run_that_is_killed_as_it_replaces_a_damaged_window_leaves_no_watermarks(lake, monkeypatch):
    """They claim what the window no longer holds, and the next refresh would believe them."""
    watermarks.advance(lake.store, WATERMARKS.empty_table(), NOW)
    put_raw(lake, _KEY, b"not Parquet")
    put = lake.store.put

    class Killed(BaseException):
        pass

    def killed_after(key, data, *, replaces):
        put(key, data, replaces=replaces)
        if key == _KEY:
            raise Killed

    monkeypatch.setattr(lake.store, "put", killed_after)
    with pytest.raises(Killed):
        lake.upsert_readings(fetched(("m", at(9), 1.0)), NOW, NOW)
    assert values(lake) == {("m", at(9)): 1.0}
    assert watermarks.load(lake.store).forgotten


def test_a_damaged_window_is_set_aside_by_hand_and_leaves_an_empty_one(lake):
    assert lake.quarantine(READINGS, at(9)) is None
    put_raw(lake, _KEY, b"x")
    aside = lake.quarantine(READINGS, at(9, 30))
    assert keys(lake) == [aside, WATERMARKS_KEY, _KEY]
    assert stored(lake) == []
    assert lake.quarantine(READINGS, at(9)) is None


def test_a_damaged_snapshot_is_passed_over_and_replaced(lake, caplog):
    put_snapshot(lake, STATIONS, at(8), stations("S"))
    put_raw(lake, key_of(STATIONS, at(9)), b"x")
    assert lake.newest_snapshot(STATIONS, NOW).column("station_id").to_pylist() == ["S"]
    assert "an older snapshot is used" in caplog.text
    assert put_snapshot(lake, STATIONS, at(9), stations("T")).quarantined_as


def test_an_older_layout_without_a_column_that_may_be_null_is_read_with_nulls(lake):
    put_raw(
        lake, _KEY, _other(previous_value=None, date_time=pa.array([at(9)], READINGS.schema.field("date_time").type))
    )
    assert stored(lake)[0]["previous_value"] is None
    assert lake.read(READINGS, now=NOW, columns=["previous_value"]).schema.names == ["previous_value"]
    (change,) = lake.upsert_readings(fetched(("n", at(9), 2.0)), NOW, NOW).windows
    assert (change.rows, change.quarantined_as) == (2, None)


# -- the bytes, and what others see


def test_the_same_content_gives_the_same_bytes(lake, twin, tmp_path):
    rows = a_day(["a", "b"])
    lake.upsert_readings(rows, NOW, NOW)
    other = Lake.open((tmp_path / "other").as_uri())
    other.upsert_readings(rows.slice(50), NOW, NOW)
    other.upsert_readings(rows.slice(0, 50), NOW, NOW)
    for window in lake.windows(READINGS):
        assert bytes(lake.store.get(window.key).data) == bytes(other.store.get(window.key).data)


def test_a_stored_window_says_all_about_itself(folder):
    folder.upsert_readings(a_day(["a", "b"]), NOW, NOW)
    metadata = pq.read_metadata(pa.BufferReader(folder.store.get(key_of(READINGS, at(8))).data))
    assert metadata.schema.to_arrow_schema() == READINGS.schema
    for i in range(metadata.num_columns):
        column = metadata.row_group(0).column(i)
        assert column.compression == "ZSTD"
        # By the others nobody looks for row groups.
        assert column.is_stats_set == (column.path_in_schema in {"measure_id", "date_time", "station_id"})
    assert metadata.row_group(0).column(0).statistics.max == "b"
    assert [s.column_index for s in metadata.row_group(0).sorting_columns] == [0, 1]


def test_a_national_hour_takes_less_than_seven_bytes_a_reading(folder):
    """5,000 gauges that move a little, with ids as the API has them."""
    rng = np.random.default_rng(1)
    ids = [f"{4000 + i * 7}TH-level-stage-i-15_min-{'mASD' if i % 3 else 'mAOD'}" for i in range(5000)]
    walk = np.round(rng.uniform(0, 50, 5000)[:, None] + rng.normal(0, 0.002, (5000, 4)).cumsum(axis=1), 3)
    rows = fetched(*[(m, at(8, 15 * q), float(walk[i, q])) for i, m in enumerate(ids) for q in range(4)])
    (change,) = folder.upsert_readings(rows, NOW, NOW, stations=measures(**{m: m.split("-")[0] for m in ids})).windows
    assert change.size / change.rows < 7


def test_duckdb_reads_the_folder(folder, tmp_path):
    folder.upsert_readings(a_day(["a", "b"]), NOW, NOW)
    folder.claim("http://localhost")
    found = duckdb.connect().execute(
        f"select date, hour, count(*), min(value) from read_parquet('{tmp_path}/the lake/readings/**/*.parquet', "
        "hive_partitioning = true) where measure_id = 'a' group by all order by all limit 2"
    )
    assert [str(cell) for cell in found.fetchone()] == ["2026-11-20", "10", "4", "1.0"]


def test_pyarrow_reads_the_folder_and_skips_what_is_not_data(folder, tmp_path):
    folder.upsert_readings(a_day(["a", "b"]), NOW, NOW)
    folder.claim("http://localhost")
    put_raw(folder, "_quarantine/readings/date=2026-11-21/hour=09/readings.parquet.20261121", b"x")
    rows = ds.dataset(tmp_path / "the lake", partitioning="hive").to_table()
    assert len(rows) == len(a_day(["a", "b"]))
    assert pc.count_distinct(rows.column("hour")).as_py() == 24
