"""Readings of another lake are united in any order, repeated and in any portions, to the same window."""

from datetime import timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flood_assets.lake.follow import newest, united
from flood_assets.lake.lake import Lake
from flood_assets.schemas import READINGS
from flood_assets_tests.support.lake_rows import HOUR, NOW, at, keys, put_raw

# Few of each, so that keys meet, and so do states of equal rank.
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "measure_id": st.sampled_from(["a", "b"]),
            "date_time": st.sampled_from([at(8), at(8, 15)]),
            "station_id": st.sampled_from([None, "s", "t"]),
            "value": st.sampled_from([None, 1.0, 2.0, -1.0]),
            "raw_value": st.sampled_from([None, "1|2"]),
            "first_seen_at": st.sampled_from([at(8, 20), at(8, 30)]),
            "changed_at": st.sampled_from([at(8, 30), at(8, 30) + timedelta(milliseconds=1), at(8, 45)]),
            "previous_value": st.sampled_from([None, 0.5]),
            "revision": st.sampled_from([0, 1, 2]),
        }
    ),
    max_size=8,
)


def table(rows):
    return pa.Table.from_pylist(rows, schema=READINGS.schema)


def rank(row):
    """The order of docs/publishing.md, and then whatever is the same for everybody."""
    rest = [row[name] for name in ("first_seen_at", "station_id", "value", "raw_value", "previous_value")]
    return row["changed_at"], row["revision"], [(cell is not None, cell or 0 if cell != "" else "") for cell in rest]


def expected(rows):
    found = {}
    for row in rows:
        key = (row["measure_id"], row["date_time"])
        if key not in found or rank(found[key]) < rank(row):
            found[key] = row
    return [found[key] for key in sorted(found)]


def plain(rows):
    return list(rows.to_pylist())


@given(ROWS, st.data())
@settings(max_examples=60)
def test_any_portions_in_any_order_and_repeated_give_the_same_window(rows, data):
    given_in = data.draw(st.permutations([*rows, *data.draw(st.lists(st.sampled_from(rows or [None]), max_size=3))]))
    given_in = [row for row in given_in if row is not None]
    cuts = sorted(data.draw(st.sets(st.integers(0, len(given_in)), max_size=3)))
    stored, added = None, 0
    for start, end in zip([0, *cuts], [*cuts, len(given_in)], strict=True):
        if start < end:
            before = 0 if stored is None else len(stored)
            portion = newest(table(given_in[start:end]))
            stored, counts = united(stored, portion)
            assert counts.added == len(stored) - before
            assert counts.added + counts.revised + counts.unchanged == len(portion)
            added += counts.added
    assert plain(stored if stored is not None else table([])) == plain(table(expected(rows)))
    assert added == len(expected(rows))


def state(measure, moment, value, *, changed=NOW, revision=0, **more):
    row = {"station_id": None, "raw_value": None, "first_seen_at": NOW, "previous_value": None, **more}
    return {
        **row, "measure_id": measure, "date_time": moment, "value": value, "changed_at": changed, "revision": revision
    }  # fmt: skip


@pytest.fixture
def lake(tmp_path):
    return Lake.open(tmp_path)


def test_rows_keep_their_times_and_a_repetition_writes_nothing(lake):
    rows = table([state("a", at(8), 1.0, first_seen_at=at(8, 5), changed=at(8, 40), revision=3, previous_value=0.5)])
    assert [change.written for change in lake.follow_readings(rows, NOW).windows] == [True]
    assert plain(lake.read(READINGS, now=NOW)) == plain(rows)
    (change,) = lake.follow_readings(rows, NOW).windows
    assert (change.written, change.added, change.revised, change.unchanged) == (False, 0, 0, 1)


def test_what_is_a_day_old_is_counted_and_what_is_ahead_is_kept_for_its_time(lake):
    rows = table([state("a", NOW - 24 * HOUR, 1.0), state("a", NOW - 23 * HOUR, 2.0), state("a", NOW + HOUR, 3.0)])
    assert lake.follow_readings(rows, NOW).expired == 1
    assert lake.read(READINGS, now=NOW)["value"].to_pylist() == [2.0]
    assert lake.read(READINGS, now=NOW + HOUR)["value"].to_pylist() == [3.0]


def test_a_late_duplicate_does_not_undo_a_newer_value(lake):
    old, new = state("a", at(8), 1.0, changed=at(8, 10)), state("a", at(8), 2.0, changed=at(8, 20), revision=1)
    for row in (new, old, new):
        lake.follow_readings(table([row]), NOW)
    assert lake.read(READINGS, now=NOW)["value"].to_pylist() == [2.0]


def test_a_damaged_window_is_put_aside_and_begun_anew(lake):
    row = state("a", at(8), 1.0)
    lake.follow_readings(table([row]), NOW)
    (key,) = [key for key in keys(lake) if key.startswith("readings/")]
    put_raw(lake, key, b"damaged")
    (change,) = lake.follow_readings(table([row]), NOW).windows
    assert change.quarantined_as
    assert plain(lake.read(READINGS, now=NOW)) == plain(table([row]))
