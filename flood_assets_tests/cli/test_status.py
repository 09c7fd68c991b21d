import re
import time
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flood_assets.cli import status
from flood_assets.lake import watermarks
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import WATERMARKS_KEY, key_of
from flood_assets.partitions import retained_windows, window_of
from flood_assets.schemas import MEASURES, READINGS, REJECTS, STATIONS, WATERMARKS
from flood_assets_tests.support.lake_rows import (
    HOUR,
    NOW,
    QUARTER,
    a_day,
    at,
    fetched,
    put_raw,
    rejects,
    snapshot,
    stations,
)
from flood_assets_tests.support.s3 import BUCKET, s3_server

__all__ = ["s3_server"]

API = "https://flood.example"


@pytest.fixture
def lake(tmp_path):
    return Lake.open((tmp_path / "the [blue] lake").as_uri())


def marked(lake, as_of=NOW, **interval_s):
    """Watermarks with each measure's rhythm in seconds."""
    rows = [{"measure_id": m, "newest": NOW, "interval_s": s} for m, s in interval_s.items()]
    watermarks.advance(lake.store, pa.Table.from_pylist(rows, schema=WATERMARKS), as_of)


def known(lake, **period_s):
    """A snapshot of measures with their nominal periods."""
    rows = [{"measure_id": m, "station_id": "s", "period_s": p} for m, p in period_s.items()]
    lake.put_snapshot(MEASURES, window_of(NOW), snapshot(MEASURES, NOW, *rows))


def filled(lake, *measures):
    """A claimed lake with a whole day of the measures."""
    lake.claim(API)
    lake.upsert_readings(a_day(list(measures)), NOW, NOW)
    known(lake, **dict.fromkeys(measures, 900))
    marked(lake, **dict.fromkeys(measures, 900))


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
    found = status.look(lake, NOW)
    assert found.empty
    assert found.api is None
    assert found.freshness is None
    printed = shown(lake, capsys)
    assert "none yet: the first refresh decides" in printed
    assert "Nothing is stored yet: `flood-assets refresh`" in printed


def test_each_table_is_counted(lake, capsys):
    filled(lake, "a", "b")
    lake.put_snapshot(STATIONS, window_of(NOW), stations("s"))
    lake.add_rejects(rejects((NOW, "x,y,z", "no time")))
    found = status.look(lake, NOW)
    readings = found.tables["readings"]
    assert (len(readings.windows), readings.rows) == (24, 2 * 93)
    assert readings.size == sum(w.size for w in lake.windows(READINGS))
    assert (readings.oldest, readings.newest) == (at(10, days_ago=1), at(9))
    assert (found.tables["stations"].rows, found.tables["stations"].newest) == (1, at(9))
    assert (found.api, found.as_of, found.missing) == (API, NOW, [])
    printed = shown(lake, capsys)
    assert f"lake: {lake.url}\n" in printed
    assert re.search(r"readings +24 of 25 +186 ", printed)
    assert "rejects: 1 rows" in printed
    assert "last refresh: 2026-11-21 09:07Z, 0 min ago" in printed


def test_freshness_is_the_share_of_measures_by_the_age_of_their_newest_reading(lake, capsys):
    lake.upsert_readings(
        fetched(
            ("now", NOW),
            ("quarter", NOW - QUARTER),
            ("hour", NOW - HOUR),
            ("five", NOW - 5 * HOUR),
            ("five", NOW - 7 * HOUR),
            ("old", NOW - 23 * HOUR),
        ),
        NOW,
        NOW,
    )
    known(lake, now=900, quarter=900, hour=900, five=900, old=900, never=900, closed=None)
    fresh = status.look(lake, NOW).freshness
    assert (fresh.measures, fresh.newest) == (5, NOW)
    assert list(fresh.within.values()) == [2, 3, 4]
    assert (fresh.known, fresh.silent) == (7, 2)
    printed = shown(lake, capsys)
    assert "40.0 % within 15 min, 60.0 % within 1 h, 80.0 % within 6 h" in printed
    assert "silent: 2 of the 7 known measures" in printed


def test_readings_past_their_day_count_neither_as_fresh_nor_as_silent(lake, capsys):
    lake.upsert_readings(fetched(("a", NOW - 23 * HOUR), ("b", NOW)), NOW - HOUR, NOW - HOUR)
    lake.upsert_readings(fetched(("b", NOW)), NOW, NOW)
    later = NOW + HOUR + timedelta(minutes=1)
    found = status.look(lake, later)
    assert (found.freshness.measures, found.past) == (1, 1)
    assert "1 readings of the window that the cutoff crosses: `flood-assets expire`" in shown(lake, capsys, later)
    much_later = NOW + 30 * HOUR
    found = status.look(lake, much_later)
    assert found.freshness is None
    assert len(found.tables["readings"].expired) == 2
    assert "past their day: 2 whole windows" in shown(lake, capsys, much_later)


def test_a_whole_day_is_complete(lake, capsys):
    filled(lake, "a", "b")
    # From 09:07:30 on there are 96 quarters; `a_day` begins at 10:00.
    whole = status.look(lake, NOW).completeness
    assert (whole.measures, whole.idle) == (2, 0)
    assert (whole.counts["expected"], whole.counts["received"], whole.counts["silent"]) == (192, 2 * 93, 2 * 3)
    printed = shown(lake, capsys)
    assert "96.8 % of the 192 readings that the rhythm of 2 measures lets expect" in printed
    assert "missing: 6 readings: 6 because the gauge was silent (0 of all missing are of 0 measures" in printed
    assert "0 were not fetched\n" in printed


def test_what_the_gauge_has_still_to_send_and_what_nobody_asked_for_are_told_apart(lake, capsys):
    hours = [NOW - i * HOUR for i in range(24)]
    lake.upsert_readings(fetched(*[("gap", t) for t in hours if t != hours[5]]), NOW, NOW)
    lake.upsert_readings(fetched(*[("late", t) for t in hours[8:]]), NOW, NOW)
    known(lake, gap=3600, late=3600, dead=3600)
    newest = [{"measure_id": "gap", "newest": NOW, "interval_s": 3600}, {"measure_id": "late", "newest": hours[8]}]
    asked = watermarks.Asked.once(NOW, polled=True)
    watermarks.advance(lake.store, pa.Table.from_pylist(newest, schema=WATERMARKS), NOW, asked)
    whole = status.look(lake, NOW).completeness
    counts = whole.counts
    assert (whole.measures, whole.idle, whole.idle_missing) == (3, 1, 24)
    assert (counts["expected"], counts["received"]) == (72, 23 + 16)
    assert (counts["silent"], counts["not_due"], counts["not_fetched"]) == (1 + 24, 8, 0)
    # Nobody has watched how late they are, so each is given 12 hours, but for the one that has not said anything.
    later = status.look(lake, NOW + 14 * HOUR).completeness.counts
    assert later["not_fetched"] == 1 + 9 + 13
    assert "23 were not fetched: the next `flood-assets refresh` asks" in shown(lake, capsys, NOW + 14 * HOUR)


def test_more_readings_of_one_measure_do_not_make_up_for_another(lake):
    eager = [("eager", NOW - i * QUARTER) for i in range(96)]
    lake.upsert_readings(fetched(*eager, ("poor", NOW)), NOW, NOW)
    known(lake, eager=900, poor=3600)
    counts = status.look(lake, NOW).completeness.counts
    assert (counts["expected"], counts["received"], counts["missing"]) == (96 + 24, 97, 23)


def test_event_gauges_are_not_judged(lake):
    lake.upsert_readings(fetched(("event", NOW), ("steady", NOW)), NOW, NOW)
    known(lake, event=None, steady=3600)
    assert status.look(lake, NOW).completeness.measures == 1


def test_without_watermarks_nobody_knows_when_the_api_was_asked(lake, capsys):
    lake.upsert_readings(fetched(("a", NOW)), NOW, NOW)
    found = status.look(lake, NOW)
    assert (found.as_of, found.completeness) == (None, None)
    assert "last refresh: unknown" in shown(lake, capsys)


def test_missing_windows_are_named(lake, capsys):
    filled(lake, "a")
    for hour in (3, 4):
        lake.store.delete([key_of(READINGS, at(hour))])
    found = status.look(lake, NOW)
    assert found.missing == [at(3), at(4)]
    assert "missing windows: 2: 2026-11-21 03:00Z, 2026-11-21 04:00Z." in shown(lake, capsys)


def test_the_two_ends_of_the_day_may_be_missing(lake):
    filled(lake, "a")
    lake.store.delete([key_of(READINGS, window) for window in retained_windows(NOW)[:: len(retained_windows(NOW)) - 1]])
    assert status.look(lake, NOW).missing == []


@pytest.mark.parametrize("table", [READINGS, MEASURES, STATIONS, REJECTS], ids=lambda table: table.name)
def test_a_damaged_window_is_shown_and_the_rest_is_counted(lake, capsys, table):
    filled(lake, "a")
    put_raw(lake, key_of(table, at(9)), b"not parquet")
    found = status.look(lake, NOW)
    assert list(found.tables[table.name].damaged) == [at(9)]
    assert found.tables["readings"].rows == (93 if table is not READINGS else 92)
    printed = shown(lake, capsys)
    assert f"damaged: {table.name} 2026-11-21 09:00Z:" in printed
    assert "The next refreshes set it aside" in printed


@pytest.mark.parametrize("column", READINGS.schema.names)
def test_pages_damaged_behind_a_sound_footer_are_found(lake, column):
    filled(lake, "a")
    key = key_of(READINGS, at(3))
    data = bytearray(lake.store.get(key).data.to_pybytes())
    chunk = pq.read_metadata(pa.BufferReader(bytes(data))).row_group(0).column(READINGS.schema.names.index(column))
    data[(chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 1] ^= 0xFF
    put_raw(lake, key, bytes(data))
    assert list(status.look(lake, NOW).tables["readings"].damaged) == [at(3)]


def test_what_was_set_aside_is_listed(lake, capsys):
    filled(lake, "a")
    put_raw(lake, key_of(READINGS, at(9)), b"not parquet")
    aside = lake.quarantine(READINGS, at(9))
    assert status.look(lake, NOW).quarantined == [aside]
    assert f"quarantined: 1 damaged objects, which expire with their windows: {aside}" in shown(lake, capsys)


@pytest.mark.parametrize(("key", "said"), [(WATERMARKS_KEY, "writes it anew"), ("_lake.json", "cannot be understood")])
def test_what_lies_beside_the_tables_may_be_damaged_too(lake, capsys, key, said):
    filled(lake, "a")
    put_raw(lake, key, b"{")
    assert status.look(lake, NOW).tables["readings"].rows == 93
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


def test_a_national_day_is_looked_at_in_a_second(lake):
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
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        found = status.look(lake, NOW)
        seconds.append(time.perf_counter() - started)
    assert found.tables["readings"].rows == 483_600
    assert min(seconds) < 1, seconds


def test_each_window_of_readings_is_fetched_once(lake, monkeypatch):
    filled(lake, "a", "b")
    gets, get = [], lake.store.get
    monkeypatch.setattr(lake.store, "get", lambda key, **more: gets.append(key) or get(key, **more))
    assert status.look(lake, NOW).completeness.counts["received"] > 0
    of_readings = [key for key in gets if key.startswith("readings/")]
    assert sorted(set(of_readings)) == sorted(of_readings)
    assert set(of_readings) >= {stored.key for stored in lake.windows(READINGS)}


def test_a_window_of_an_hour_that_is_yet_to_come_is_counted_and_not_fresh(lake):
    filled(lake, "a")
    earlier = NOW - 3 * HOUR
    found = status.look(lake, earlier)
    assert found.tables["readings"].rows == len(a_day(["a"]))
    assert found.freshness.newest <= earlier
