"""What a merge stores, on both kinds of store."""

import random
from datetime import datetime, timedelta
from math import isnan

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flood_assets.lake import upsert
from flood_assets.lake.lake import Lake
from flood_assets.partitions import cutoff, window_of
from flood_assets.schemas import MEASURES, READINGS, TIME
from flood_assets_tests.support.lake_rows import (
    HOUR,
    INPUT,
    NOW,
    QUARTER,
    a_day,
    at,
    fetched,
    measures,
    put_snapshot,
    stored,
    values,
)
from flood_assets_tests.support.retained import is_retained


def test_a_new_reading_is_stored_with_all_its_columns(lake):
    merge = lake.upsert_readings(fetched(("m", at(9), 1.5)), NOW, NOW, stations=measures(m="s"))
    (change,) = merge.windows
    assert (change.window, change.rows, change.added, change.revised, change.unchanged) == (at(9), 1, 1, 0, 0)
    assert change.written
    assert (change.oldest, change.newest) == (at(9), at(9))
    assert change.size == lake.windows(READINGS)[0].size
    assert stored(lake) == [
        {
            "measure_id": "m",
            "date_time": at(9),
            "station_id": "s",
            "value": 1.5,
            "raw_value": None,
            "first_seen_at": NOW,
            "changed_at": NOW,
            "previous_value": None,
            "revision": 0,
        }
    ]
    assert lake.read(READINGS, now=NOW).schema == READINGS.schema


def test_a_correction_keeps_what_was_there_before(lake):
    lake.upsert_readings(fetched(("m", at(9), 1.5)), NOW, NOW)
    later = NOW + QUARTER
    (change,) = lake.upsert_readings(fetched(("m", at(9), 1.7)), later, later).windows
    assert (change.added, change.revised, change.rows) == (0, 1, 1)
    (row,) = stored(lake)
    assert (row["value"], row["previous_value"], row["revision"]) == (1.7, 1.5, 1)
    assert (row["first_seen_at"], row["changed_at"]) == (NOW, later)


def test_a_value_that_goes_missing_is_a_correction_too(lake):
    lake.upsert_readings(fetched(("m", at(9), 1.5), ("n", at(9), None)), NOW, NOW)
    (change,) = lake.upsert_readings(fetched(("m", at(9), None), ("n", at(9), 2.0)), NOW, NOW).windows
    assert change.revised == 2
    assert [(r["value"], r["previous_value"]) for r in stored(lake)] == [(None, 1.5), (2.0, None)]


def test_a_slow_writer_does_not_overwrite_newer_knowledge(lake):
    lake.upsert_readings(fetched(("m", at(9), 2.0)), NOW, NOW)
    (change,) = lake.upsert_readings(fetched(("m", at(9), 1.0)), NOW - QUARTER, NOW).windows
    assert (change.revised, change.unchanged, change.written) == (0, 1, False)
    assert values(lake) == {("m", at(9)): 2.0}


def test_of_two_runs_under_way_at_once_the_row_that_was_asked_for_later_stays(lake):
    """A run asks many times: what it asked for last is newer than what another asked for while it was under way."""

    def asked(value: float, moment: datetime) -> pa.Table:
        return fetched(("m", at(9), value)).append_column("observed_at", pa.array([moment], TIME))

    began, middle, end = NOW, NOW + QUARTER, NOW + 2 * QUARTER
    lake.upsert_readings(asked(2.0, end), began, NOW)
    (change,) = lake.upsert_readings(asked(1.0, middle), middle, NOW).windows
    assert (change.revised, change.unchanged, change.written) == (0, 1, False)
    (row,) = stored(lake)
    assert (row["value"], row["first_seen_at"], row["changed_at"]) == (2.0, end, end)

    lake.upsert_readings(asked(3.0, end + QUARTER), began, NOW)
    (row,) = stored(lake)
    assert (row["value"], row["changed_at"], row["revision"]) == (3.0, end + QUARTER, 1)


def test_a_late_reading_lands_in_its_own_window(lake):
    lake.upsert_readings(a_day(["m"]), NOW, NOW)
    late = at(3, 7)
    (change,) = lake.upsert_readings(fetched(("m", late, 9.0)), NOW, NOW).windows
    assert (change.window, change.added, change.rows) == (at(3), 1, 5)
    assert values(lake)["m", late] == 9.0


def test_rows_that_a_fetch_does_not_mention_stay(lake):
    lake.upsert_readings(fetched(("m", at(9), 1.0), ("n", at(9), 2.0)), NOW, NOW)
    lake.upsert_readings(fetched(("n", at(9), 3.0)), NOW, NOW)
    assert values(lake) == {("m", at(9)): 1.0, ("n", at(9)): 3.0}


def test_expired_and_future_rows_are_counted_and_not_stored(lake):
    edge = cutoff(NOW)
    ms = timedelta(milliseconds=1)
    rows = fetched(("m", edge - ms), ("m", edge), ("m", edge + ms), ("m", NOW), ("m", NOW + ms), ("m", NOW + HOUR))
    merge = lake.upsert_readings(rows, NOW, NOW)
    assert (merge.expired, merge.future) == (2, 2)
    assert list(values(lake)) == [("m", edge + ms), ("m", NOW)]


def test_of_a_key_that_comes_twice_the_last_one_wins(lake):
    merge = lake.upsert_readings(fetched(("m", at(9), 1.0), ("n", at(9), 5.0), ("m", at(9), 2.0)), NOW, NOW)
    assert merge.repeated == 1
    (change,) = merge.windows
    assert change.added == 2
    assert [(r["value"], r["revision"]) for r in stored(lake)] == [(2.0, 0), (5.0, 0)]


@pytest.mark.parametrize(("before", "after", "revised"), [("1|2", "2|1", 0), ("1|2|2", "2|1|2", 0), ("1|2", "1|3", 1)])
def test_the_order_of_several_values_says_nothing(lake, before, after, revised):
    lake.upsert_readings(fetched(("m", at(9), None, before), ("n", at(9), None, "x")), NOW, NOW)
    (change,) = lake.upsert_readings(fetched(("m", at(9), None, after), ("n", at(9), None, "x")), NOW, NOW).windows
    assert (change.revised, change.written) == (revised, bool(revised))
    assert stored(lake)[0]["raw_value"] == (after if revised else before)


def test_nan_is_stored_as_null_and_equals_it(lake):
    lake.upsert_readings(fetched(("m", at(9), float("nan"))), NOW, NOW)
    (change,) = lake.upsert_readings(fetched(("m", at(9), None)), NOW, NOW).windows
    assert not change.written
    assert lake.read(READINGS, now=NOW).column("value").null_count == 1


def test_a_window_that_does_not_change_is_not_written(lake):
    rows = a_day(["a", "b"])
    lake.upsert_readings(rows, NOW, NOW)
    before = lake.windows(READINGS)
    merge = lake.upsert_readings(rows, NOW + QUARTER, NOW)
    assert not any(change.written for change in merge.windows)
    assert sum(change.unchanged for change in merge.windows) == len(rows)
    assert lake.windows(READINGS) == before


def test_merging_nothing_writes_nothing(lake):
    merge = lake.upsert_readings(fetched(), NOW, NOW)
    assert merge.windows == []
    assert lake.windows(READINGS) == []


def test_a_station_is_filled_in_as_soon_as_it_is_known(lake):
    lake.upsert_readings(fetched(("m", at(9), 1.0), ("n", at(9), 1.0), ("o", at(9), 1.0)), NOW, NOW)
    (change,) = lake.upsert_readings(fetched(("n", at(9), 1.0)), NOW, NOW, stations=measures(m="S", n="T")).windows
    assert (change.filled, change.revised, change.unchanged, change.written) == (2, 0, 1, True)
    assert [r["station_id"] for r in stored(lake)] == ["S", "T", None]
    (change,) = lake.upsert_readings(fetched(("n", at(9), 1.0)), NOW, NOW, stations=measures(m="X", n="X")).windows
    assert not change.written


def test_the_station_of_a_snapshot(lake):
    put_snapshot(lake, MEASURES, at(9), measures(m="S", n="T"))
    known = lake.newest_snapshot(MEASURES, NOW)
    rows = fetched(("m", at(9), 1.0), ("n", at(9), 1.0), ("o", at(9), 1.0))
    lake.upsert_readings(rows, NOW, NOW, stations=known)
    assert [r["station_id"] for r in stored(lake)] == ["S", "T", None]


@pytest.mark.parametrize("chunks", [1, 3])
def test_coded_ids_are_taken_as_they_are(lake, chunks):
    pieces = [
        pa.table(
            {
                "measure_id": pa.DictionaryArray.from_arrays(pa.array([1, 0, 2], pa.int32()), ["b", f"a{i}", "b"]),
                "date_time": pa.array([at(9), at(9), at(8)], INPUT.field("date_time").type),
                "value": [1.0, 2.0, 3.0],
                "raw_value": pa.array(["x", None, "y"]).dictionary_encode(),
            }
        )
        for i in range(chunks)
    ]
    lake.upsert_readings(pa.concat_tables(pieces), NOW, NOW)
    assert values(lake) == {("b", at(8)): 3.0, ("b", at(9)): 2.0} | {(f"a{i}", at(9)): 1.0 for i in range(chunks)}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (fetched(("m", at(9))).drop_columns(["value"]), "value"),
        (fetched(("m", at(9))).append_column("colour", pa.array(["red"])), "colour"),
        (fetched(("m", at(9))).append_column("station_id", pa.array(["own"])), "station_id"),
        (fetched((None, at(9))), "measure_id is null in 1 rows"),
        (fetched(("m", None)), "date_time is null in 1 rows"),
    ],
)
def test_rows_that_are_not_readings_are_refused(folder, rows, said):
    with pytest.raises(ValueError, match=said):
        folder.upsert_readings(rows, NOW, NOW)


def test_windows_are_written_oldest_first(lake, monkeypatch):
    """Whatever kills a run, a gauge's newest stored reading never lies behind a gap that the run left."""
    written = []
    put = lake.store.put

    def power_cut(key, data, *, replaces):
        if len(written) == 7:
            raise KeyboardInterrupt
        put(key, data, replaces=replaces)
        written.append(key)

    monkeypatch.setattr(lake.store, "put", power_cut)
    rows = a_day(["a", "b"])
    with pytest.raises(KeyboardInterrupt):
        lake.upsert_readings(rows.take(random.Random(1).sample(range(len(rows)), len(rows))), NOW, NOW)
    assert written == sorted(written)
    assert [w.key for w in lake.windows(READINGS)] == written
    monkeypatch.undo()
    merge = lake.upsert_readings(rows, NOW, NOW)
    assert [change.written for change in merge.windows] == [False] * 7 + [True] * 17
    assert len(values(lake)) == len(rows)


# -- properties, against a dictionary

_moments = st.integers(-2, 26 * 4).map(lambda q: NOW - 25 * HOUR + q * QUARTER) | st.sampled_from(
    [cutoff(NOW), cutoff(NOW) + timedelta(milliseconds=1), NOW, NOW + timedelta(milliseconds=1)]
)
_rows = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "B", "é", ""]),
        _moments,
        st.sampled_from([None, 0.0, 1.5, -2.0, float("nan")]),
        st.sampled_from([None, None, "1|2", "2|1", "x"]),
    ),
    max_size=25,
)
_fetches = st.lists(st.tuples(_rows, st.integers(-3, 3).map(lambda q: NOW + q * QUARTER)), max_size=6)


def _same(a, b):
    return a[0] == b[0] and sorted((a[1] or "\0").split("|")) == sorted((b[1] or "\0").split("|"))


def _expected(fetches):
    """What the lake must hold: {key: (value, raw_value, first_seen_at, changed_at, previous_value, revision)}."""
    held = {}
    for rows, observed in fetches:
        last = {(m, t): (None if v is None or isnan(v) else v, raw) for m, t, v, raw in rows if is_retained(t, NOW)}
        for key, (value, raw) in last.items():
            if key not in held:
                held[key] = (value, raw, observed, observed, None, 0)
                continue
            old = held[key]
            if not _same(old, (value, raw)) and old[3] <= observed:
                held[key] = (value, raw, old[2], observed, old[0], old[5] + 1)
    return held


def _held(lake):
    columns = ("value", "raw_value", "first_seen_at", "changed_at", "previous_value", "revision")
    return {(r["measure_id"], r["date_time"]): tuple(r[c] for c in columns) for r in stored(lake)}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fetches=_fetches)
def test_any_sequence_of_merges_holds_what_a_dictionary_would(tmp_path_factory, fetches):
    lake = Lake.open(tmp_path_factory.mktemp("lake").as_uri())
    for rows, observed in fetches:
        merge = lake.upsert_readings(fetched(*rows), observed, NOW)
        assert [c.window for c in merge.windows] == sorted({window_of(t) for _, t, *_ in rows if is_retained(t, NOW)})
        counted = sum(c.added + c.revised + c.unchanged for c in merge.windows)
        assert counted + merge.expired + merge.future + merge.repeated == len(rows)
        again = lake.upsert_readings(fetched(*rows), observed, NOW)
        assert not any(c.written for c in again.windows)
    assert _held(lake) == _expected(fetches)
    rows = stored(lake)
    assert rows == sorted(rows, key=lambda r: (window_of(r["date_time"]), r["measure_id"].encode(), r["date_time"]))


@settings(deadline=None)
@given(old=_rows, new=_rows, known=st.sampled_from([{}, {"a": "s"}, {"a": "s", "b": "t"}]))
def test_what_is_taken_for_a_repetition_would_change_nothing(old, new, known):
    """Windows stored without stations meet the same rows, others, and stations that have become known."""
    first, *others = (
        upsert.split(fetched(*rows), NOW, NOW, measures(**of)) for rows, of in ((old, {}), (old, known), (new, known))
    )
    tables = {w.start: upsert.upsert(None, first.block(w), first.station_of)[0].table() for w in first.windows}
    for fetch in (first, *others):
        for window in fetch.windows:
            if (table := tables.get(window.start)) is None:
                continue
            fresh = fetch.block(window)
            _, counts = upsert.upsert(upsert.Block.of(table), fresh, fetch.station_of)
            repeated = upsert.repeats(table, fresh)
            assert not (repeated and counts.news)
            assert repeated or fetch is not first


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=_rows, seed=st.integers(0, 999), parts=st.integers(1, 4))
def test_how_a_fetch_is_split_and_ordered_makes_no_difference(tmp_path_factory, rows, seed, parts):
    once = list({(m, t): (m, t, v, raw) for m, t, v, raw in rows}.values())
    whole, split = (Lake.open(tmp_path_factory.mktemp("lake").as_uri()) for _ in range(2))
    whole.upsert_readings(fetched(*once), NOW, NOW)
    random.Random(seed).shuffle(once)
    for i in range(parts):
        split.upsert_readings(fetched(*once[i::parts]), NOW, NOW)
    assert whole.read(READINGS, now=NOW).equals(split.read(READINGS, now=NOW))
