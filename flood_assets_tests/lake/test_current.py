"""The present of a table in one object: replaced with each new snapshot, and never past a day."""

from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flood_assets.lake import current
from flood_assets.lake.current import Present
from flood_assets.lake.layout import current_key, key_of
from flood_assets.partitions import window_of
from flood_assets.schemas import COMPLETENESS, MEASURES, STATIONS, TABLES, WARNINGS
from flood_assets_tests.support.lake_rows import HOUR, NOW, keys, measures, put_raw, put_snapshot, snapshot, stations

KEY = "current/stations.parquet"


def present(lake, key=KEY):
    """Return the rows as a stranger reads them."""
    return pq.read_table(pa.BufferReader(lake.store.read(key).data))


def test_the_tables_that_have_a_present():
    present = [table.name for table in TABLES.values() if table.current]
    assert present == ["stations", "measures", "conditions", "warnings", "warning_areas"]
    assert all("observed_at" in table.schema.names for table in TABLES.values() if table.current)


def test_each_new_snapshot_replaces_the_present(lake):
    put_snapshot(lake, STATIONS, window_of(NOW), stations("a", "b"))
    put_snapshot(lake, MEASURES, window_of(NOW), measures(m="a"))
    assert present(lake)["station_id"].to_pylist() == ["a", "b"]
    assert present(lake, current_key(MEASURES)).equals(measures(m="a"))
    later = stations("b", "c", observed_at=NOW + HOUR)
    put_snapshot(lake, STATIONS, window_of(NOW + HOUR), later)
    assert present(lake).equals(later)
    assert present(lake).equals(lake.newest_snapshot(STATIONS, NOW + HOUR))


def test_the_same_list_asked_for_again_says_so_in_the_present(lake):
    put_snapshot(lake, STATIONS, window_of(NOW), stations("a"))
    later = stations("a", observed_at=NOW + timedelta(minutes=15))
    assert not put_snapshot(lake, STATIONS, window_of(NOW), later).written
    assert present(lake).equals(later)


def test_a_snapshot_that_was_asked_for_earlier_changes_no_present(lake):
    put_snapshot(lake, STATIONS, window_of(NOW), stations("a"))
    put_snapshot(lake, STATIONS, window_of(NOW - HOUR), stations("b", observed_at=NOW - HOUR))
    put_snapshot(lake, STATIONS, window_of(NOW), stations(observed_at=NOW + HOUR))
    assert present(lake)["station_id"].to_pylist() == ["a"], "and neither does an empty list"


WARNED = current_key(WARNINGS)


def put_warnings(lake, at, *areas):
    """Store warnings of a time, all of them in force."""
    rows = snapshot(WARNINGS, at, *({"flood_area_id": area} for area in areas))
    lake.put_snapshots(WARNINGS, [window_of(at)], rows, Present(rows, at))


def test_an_empty_present_replaces_the_one_before_and_says_when_it_was_asked_for(lake):
    put_warnings(lake, NOW, "a", "b")
    put_warnings(lake, NOW + HOUR)
    assert present(lake, WARNED).num_rows == 0
    footer = pq.read_metadata(pa.BufferReader(lake.store.read(WARNED).data)).metadata
    assert footer[b"flood_assets.asked_at"].decode() == (NOW + HOUR).isoformat()
    assert current.asked_at(lake.store, WARNINGS) == NOW + HOUR
    # What was asked for before it comes too late, and what is asked for after it does not.
    put_warnings(lake, NOW + timedelta(minutes=59), "a")
    assert present(lake, WARNED).num_rows == 0
    put_warnings(lake, NOW + 2 * HOUR, "c")
    assert present(lake, WARNED)["flood_area_id"].to_pylist() == ["c"]


def test_an_empty_present_goes_when_it_is_a_day_old(lake):
    put_warnings(lake, NOW)
    assert lake.expire(NOW + 24 * HOUR) == []
    assert WARNED in keys(lake)
    assert len(lake.expire(NOW + 25 * HOUR)) == 2
    assert keys(lake) == []


def test_a_present_whose_footer_says_no_time_is_damaged_and_replaced(lake):
    put_warnings(lake, NOW + HOUR, "a")
    data = lake.store.read(WARNED).data.to_pybytes()
    put_raw(lake, WARNED, data.replace((NOW + HOUR).isoformat().encode(), b"x" * len((NOW + HOUR).isoformat())))
    assert current.asked_at(lake.store, WARNINGS) is None
    put_warnings(lake, NOW, "b")
    assert present(lake, WARNED)["flood_area_id"].to_pylist() == ["b"]


def test_tables_without_a_present_have_none(lake):
    put_snapshot(lake, COMPLETENESS, window_of(NOW), COMPLETENESS.schema.empty_table())
    assert keys(lake) == [key_of(COMPLETENESS, window_of(NOW))]


def test_a_damaged_present_is_replaced(lake):
    put_raw(lake, KEY, b"not parquet")
    put_snapshot(lake, STATIONS, window_of(NOW), stations("a"))
    assert present(lake)["station_id"].to_pylist() == ["a"]


def test_a_lake_that_was_filled_before_gets_its_present_with_the_next_list(lake):
    put_snapshot(lake, STATIONS, window_of(NOW), stations("a"))
    lake.store.delete([KEY])
    assert not put_snapshot(lake, STATIONS, window_of(NOW), stations("a")).written
    assert present(lake)["station_id"].to_pylist() == ["a"]


def test_the_present_is_never_older_than_the_newest_window(lake, monkeypatch):
    """A run that is killed between the two leaves the present ahead."""
    put = lake.store.put

    def killed_at_a_window(key, data, *, replaces):
        if key != KEY:
            raise KeyboardInterrupt
        put(key, data, replaces=replaces)

    monkeypatch.setattr(lake.store, "put", killed_at_a_window)
    with pytest.raises(KeyboardInterrupt):
        put_snapshot(lake, STATIONS, window_of(NOW), stations("a"))
    assert keys(lake) == [KEY]


def test_the_present_goes_when_it_is_a_day_old_with_the_newest_window(lake):
    put_snapshot(lake, STATIONS, window_of(NOW - HOUR), stations("a", observed_at=NOW - HOUR))
    put_snapshot(lake, STATIONS, window_of(NOW), stations("a", "b"))
    last = window_of(NOW) + 25 * HOUR - timedelta(minutes=1)
    assert {each.window for each in lake.expire(last)} == {window_of(NOW - HOUR)}
    assert KEY in keys(lake)
    gone = last + timedelta(minutes=1)
    planned = [(each.table, each.window, each.action) for each in lake.expired(gone)]
    assert planned == [("stations", window_of(NOW), "deleted")] * 2, "the window, and the present"
    assert len(lake.expire(gone, dry_run=True)) == 2
    assert KEY in keys(lake)
    assert len(lake.expire(gone)) == 2
    assert keys(lake) == []
    assert lake.expired(gone) == lake.expire(gone) == []


@pytest.mark.parametrize("data", [b"", b"not parquet"])
def test_a_damaged_present_goes_when_no_window_is_left(lake, data):
    put_raw(lake, KEY, data)
    assert [each.action for each in lake.expire(NOW)] == ["deleted"]
    assert keys(lake) == []


def test_a_present_without_a_window_stays_for_its_day(lake):
    put_snapshot(lake, STATIONS, window_of(NOW), snapshot(STATIONS, NOW, {"station_id": "a"}))
    lake.store.delete([key_of(STATIONS, window_of(NOW))])
    assert lake.expire(NOW + 23 * HOUR) == []
    assert keys(lake) == [KEY]
    assert len(lake.expire(NOW + 26 * HOUR)) == 1
    assert keys(lake) == []
