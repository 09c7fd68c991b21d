"""Readings are brought in order once, whatever order, parts and dictionaries they come in."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flood_assets.ea.parse import FETCHED
from flood_assets.grouping import HOUR_MS, Windowed, by_window

NOW = datetime(2026, 11, 21, 9, 7, 30, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)

Row = tuple[str, datetime, float | None, str | None]

# Some minutes around midnight and the turn of an hour, so that keys come again; one a century away; one before 1970.
TIMES = st.one_of(
    st.integers(-200, 200).map(lambda minutes: NOW + minutes * timedelta(minutes=30)),
    st.sampled_from([NOW, NOW + MS, NOW.replace(year=2126), NOW.replace(year=1969)]),
)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "aa", "é", "z"]),
        TIMES,
        st.one_of(st.none(), st.integers(-9, 9).map(float)),
        st.one_of(st.none(), st.just("1|2")),
    ),
    max_size=40,
)
CUTS = st.lists(st.integers(0, 40), max_size=6).map(sorted)


def table(rows: list[Row]) -> pa.Table:
    ids, times, values, raws = zip(*rows, strict=True) if rows else ((), (), (), ())
    columns = [ids, times, values, raws, [NOW] * len(rows)]
    return pa.table([pa.array(column) for column in columns], names=FETCHED.names).cast(FETCHED)


def parts(rows: list[Row], cuts: list[int]) -> list[pa.Table]:
    """The rows in tables of their own, each with a dictionary of its own."""
    edges = [0, *(min(cut, len(rows)) for cut in cuts), len(rows)]
    return [table(rows[a:b]) for a, b in pairwise(edges)]


def in_order(rows: list[Row]) -> list[Row]:
    """The same, one row at a time."""
    last = {(name, at): (name, at, value, raw) for name, at, value, raw in rows}
    return sorted(last.values(), key=lambda row: ((row[1] - EPOCH) // timedelta(hours=1), row[0].encode(), row[1]))


def listed(found: pa.Table) -> list[Row]:
    rows = found.select(["measure_id", "date_time", "value", "raw_value"]).to_pylist()
    return [(row["measure_id"], row["date_time"], row["value"], row["raw_value"]) for row in rows]


def taken(found: Windowed) -> list[Row]:
    return [row for window in found.windows for row in listed(window.rows)]


@given(ROWS, CUTS)
@example([("a", NOW, 1.0, None), ("b", NOW, 2.0, None)], [1])
@settings(deadline=None)
def test_readings_are_found_by_window_measure_and_time_and_of_several_the_last(rows, cuts):
    found = by_window(pa.concat_tables(parts(rows, cuts)))
    assert taken(found) == in_order(rows)
    assert len(found) + found.repeated == len(rows)
    assert found.ids.to_pylist() == sorted(set(found.ids.to_pylist()), key=str.encode)
    starts = [window.start for window in found.windows]
    assert starts == sorted(set(starts))
    for window in found.windows:
        assert len(window)
        assert all(window.time // HOUR_MS * HOUR_MS == window.start)
        assert found.ids.take(pa.array(window.measure)).to_pylist() == window.rows["measure_id"].to_pylist()


@given(ROWS, TIMES, TIMES)
@settings(deadline=None)
def test_readings_between_two_moments(rows, after, until):
    found = by_window(table(rows)).between((after - EPOCH) // MS, (until - EPOCH) // MS)
    assert taken(found) == [row for row in in_order(rows) if after < row[1] <= until]
    assert all(len(window) for window in found.windows)


@given(ROWS, st.integers(1, 9))
@settings(deadline=None)
def test_blocks_of_measures_have_all_times_of_each_in_order(rows, size):
    found = by_window(table(rows))
    times: dict[str, list[int]] = {name: [] for name in found.ids.to_pylist()}
    for block in found.by_measure().each(size):
        for code, at in zip(block.measure.tolist(), block.columns.get("at", np.zeros(0)).tolist(), strict=True):
            times[found.ids[block.first + code].as_py()].append(at)
    for name, found_times in times.items():
        assert found_times == sorted({(at - EPOCH) // MS for other, at, *_ in rows if other == name})


@given(ROWS)
@settings(deadline=None)
def test_how_many_readings_each_measure_has_and_from_when_to_when(rows):
    found = by_window(table(rows))
    count, first, last = found.spans()
    for i, name in enumerate(found.ids.to_pylist()):
        times = sorted({at for other, at, *_ in rows if other == name})
        assert count[i] == len(times)
        assert (first[i], last[i]) == ((times[0] - EPOCH) // MS, (times[-1] - EPOCH) // MS)
