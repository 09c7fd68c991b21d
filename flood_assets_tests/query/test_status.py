"""The state of the lake as data; how it is printed is tested in `flood_assets_tests.cli.test_status`."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import WATERMARKS_KEY, key_of
from flood_assets.lake.parquet import WindowFile
from flood_assets.partitions import retained_windows, window_of
from flood_assets.query.status import look
from flood_assets.schemas import MEASURES, READINGS, REJECTS, STATIONS
from flood_assets_tests.support.filled_lakes import API, filled, known, marked, of_many_ages, with_gaps
from flood_assets_tests.support.lake_rows import (
    HOUR,
    NOW,
    QUARTER,
    a_day,
    at,
    fetched,
    put_raw,
    rejects,
    stations,
)


@pytest.fixture
def lake(tmp_path):
    return Lake.open((tmp_path / "the [blue] lake").as_uri())


def test_an_empty_lake_has_no_api_and_no_readings(lake):
    found = look(lake, NOW)
    assert found.empty
    assert found.api is None
    assert found.freshness is None


def test_each_table_is_counted(lake):
    filled(lake, "a", "b")
    lake.put_snapshots(STATIONS, [window_of(NOW)], stations("s"))
    lake.add_rejects(rejects((NOW, "x,y,z", "no time")))
    found = look(lake, NOW)
    readings = found.tables["readings"]
    assert (len(readings.windows), readings.rows) == (24, 2 * 93)
    assert readings.size == sum(w.size for w in lake.windows(READINGS))
    assert (readings.oldest, readings.newest) == (at(10, days_ago=1), at(9))
    assert (found.tables["stations"].rows, found.tables["stations"].newest) == (1, at(9))
    assert (found.api, found.as_of, found.missing) == (API, NOW, [])


def test_freshness_is_the_share_of_measures_by_the_age_of_their_newest_reading(lake):
    of_many_ages(lake)
    fresh = look(lake, NOW).freshness
    assert (fresh.measures, fresh.newest) == (5, NOW)
    assert list(fresh.within.values()) == [2, 3, 4]
    assert (fresh.known, fresh.silent) == (7, 2)


def test_readings_past_their_day_count_neither_as_fresh_nor_as_silent(lake):
    lake.upsert_readings(fetched(("a", NOW - 23 * HOUR), ("b", NOW)), NOW - HOUR, NOW - HOUR)
    lake.upsert_readings(fetched(("b", NOW)), NOW, NOW)
    later = NOW + HOUR + timedelta(minutes=1)
    found = look(lake, later)
    assert (found.freshness.measures, found.past) == (1, 1)
    much_later = NOW + 30 * HOUR
    found = look(lake, much_later)
    assert found.freshness is None
    assert len(found.tables["readings"].expired) == 2


def test_a_whole_day_is_complete(lake):
    filled(lake, "a", "b")
    # From 09:07:30 on there are 96 quarters; `a_day` begins at 10:00.
    whole = look(lake, NOW).completeness
    assert (whole.measures, whole.idle) == (2, 0)
    assert (whole.counts["expected"], whole.counts["received"], whole.counts["silent"]) == (192, 2 * 93, 2 * 3)


def test_what_the_gauge_has_still_to_send_and_what_nobody_asked_for_are_told_apart(lake):
    with_gaps(lake)
    whole = look(lake, NOW).completeness
    counts = whole.counts
    assert (whole.measures, whole.idle, whole.idle_silent) == (3, 1, 24)
    assert (counts["expected"], counts["received"]) == (72, 23 + 16)
    assert (counts["silent"], counts["not_due"], counts["not_fetched"]) == (1 + 24, 8, 0)
    # Nobody has watched how late they are, so each is given 12 hours, but for the one that has not said anything.
    later = look(lake, NOW + 14 * HOUR).completeness.counts
    assert later["not_fetched"] == 1 + 9 + 13


def test_more_readings_of_one_measure_do_not_make_up_for_another(lake):
    eager = [("eager", NOW - i * QUARTER) for i in range(96)]
    lake.upsert_readings(fetched(*eager, ("poor", NOW)), NOW, NOW)
    known(lake, eager=900, poor=3600)
    counts = look(lake, NOW).completeness.counts
    assert (counts["expected"], counts["received"], counts["missing"]) == (96 + 24, 97, 23)


def test_event_gauges_are_not_judged(lake):
    lake.upsert_readings(fetched(("event", NOW), ("steady", NOW)), NOW, NOW)
    known(lake, event=None, steady=3600)
    assert look(lake, NOW).completeness.measures == 1


def test_without_watermarks_nobody_knows_when_the_api_was_asked(lake):
    lake.upsert_readings(fetched(("a", NOW)), NOW, NOW)
    found = look(lake, NOW)
    assert (found.as_of, found.completeness) == (None, None)


def test_missing_windows_are_found(lake):
    filled(lake, "a")
    for hour in (3, 4):
        lake.store.delete([key_of(READINGS, at(hour))])
    found = look(lake, NOW)
    assert found.missing == [at(3), at(4)]


def test_the_two_ends_of_the_day_may_be_missing(lake):
    filled(lake, "a")
    lake.store.delete([key_of(READINGS, window) for window in retained_windows(NOW)[:: len(retained_windows(NOW)) - 1]])
    assert look(lake, NOW).missing == []


@pytest.mark.parametrize("table", [READINGS, MEASURES, STATIONS, REJECTS], ids=lambda table: table.name)
def test_a_damaged_window_is_found_and_the_rest_is_counted(lake, table):
    filled(lake, "a")
    put_raw(lake, key_of(table, at(9)), b"not parquet")
    found = look(lake, NOW)
    assert list(found.tables[table.name].damaged) == [at(9)]
    assert found.tables["readings"].rows == (93 if table is not READINGS else 92)


@pytest.mark.parametrize("column", READINGS.schema.names)
def test_pages_damaged_behind_a_sound_footer_are_found(lake, column):
    filled(lake, "a")
    key = key_of(READINGS, at(3))
    data = bytearray(lake.store.get(key).data.to_pybytes())
    chunk = pq.read_metadata(pa.BufferReader(bytes(data))).row_group(0).column(READINGS.schema.names.index(column))
    data[(chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 1] ^= 0xFF
    put_raw(lake, key, bytes(data))
    assert list(look(lake, NOW).tables["readings"].damaged) == [at(3)]


def test_quarantined_objects_are_listed(lake):
    filled(lake, "a")
    put_raw(lake, key_of(READINGS, at(9)), b"not parquet")
    aside = lake.quarantine(READINGS, at(9))
    assert look(lake, NOW).quarantined == [aside]


@pytest.mark.parametrize("key", [WATERMARKS_KEY, "_lake.json"])
def test_objects_beside_the_tables_may_be_damaged_too(lake, key):
    filled(lake, "a")
    put_raw(lake, key, b"{")
    found = look(lake, NOW)
    assert found.tables["readings"].rows == 93
    (problem,) = found.problems
    assert key in problem


def test_each_window_of_a_national_day_is_decoded_once_and_with_ids_as_codes(lake, monkeypatch):
    measures, times = 5_200, [window_of(NOW) - 23 * HOUR + i * QUARTER for i in range(93)]
    ids = pa.DictionaryArray.from_arrays(
        np.tile(np.arange(measures, dtype=np.int32), len(times)),
        pa.array([f"{i:04}TH-level-stage-i-15_min-mASD" for i in range(measures)]),
    )
    moments = np.repeat(np.array([t.replace(tzinfo=None) for t in times], "datetime64[ms]"), measures)
    rows = pa.table(
        {
            "measure_id": ids,
            "date_time": pa.array(moments).cast(READINGS.schema.field("date_time").type),
            "value": np.random.default_rng(1).normal(size=len(moments)).round(3),
            "raw_value": pa.nulls(len(moments), pa.string()),
        }
    )
    lake.upsert_readings(rows, NOW, NOW)
    marked(lake, **{f"{i:04}TH-level-stage-i-15_min-mASD": 900 for i in range(measures)})
    decoded, decode = [], WindowFile.decoded

    def noted(file, names, **more):
        decoded.append((file.place, more["coded"]))
        return decode(file, names, **more)

    monkeypatch.setattr(WindowFile, "decoded", noted)
    assert look(lake, NOW).tables["readings"].rows == 483_600
    of_readings = sorted(each for each in decoded if "/readings/" in each[0])
    assert of_readings == [(f"{lake.url}/{stored.key}", True) for stored in lake.windows(READINGS)]


def test_each_window_of_readings_is_fetched_once(lake, monkeypatch):
    filled(lake, "a", "b")
    gets, get = [], lake.store.get
    monkeypatch.setattr(lake.store, "get", lambda key, **more: gets.append(key) or get(key, **more))
    assert look(lake, NOW).completeness.counts["received"] > 0
    of_readings = [key for key in gets if key.startswith("readings/")]
    assert sorted(set(of_readings)) == sorted(of_readings)
    assert set(of_readings) >= {stored.key for stored in lake.windows(READINGS)}


def test_a_window_of_an_hour_that_is_yet_to_come_is_counted_and_not_fresh(lake):
    filled(lake, "a")
    earlier = NOW - 3 * HOUR
    found = look(lake, earlier)
    assert found.tables["readings"].rows == len(a_day(["a"]))
    assert found.freshness.newest <= earlier
