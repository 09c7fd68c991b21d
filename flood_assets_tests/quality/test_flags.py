from dataclasses import replace
from datetime import timedelta
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flood_assets import quality
from flood_assets.quality import FAIL, MISSING, NOT_EVALUATED, PASS, SUSPECT, codes
from flood_assets_tests.support.quality_rows import (
    DIRECTION,
    FLOW,
    GROUNDWATER,
    QUARTER,
    RAIN,
    RIVER,
    START,
    TIDE,
    WARMTH,
    WIND,
    flags_of,
    measures,
    readings,
    restless,
    stations,
)

SCALE = {"typical_low": 0.2, "typical_high": 1.2, "max_on_record": 4.0, "min_on_record": 0.0}
KINDS = (
    RIVER,
    replace(RIVER, unit="m"),
    replace(RIVER, unit=None),
    TIDE,
    GROUNDWATER,
    FLOW,
    RAIN,
    WIND,
    DIRECTION,
    WARMTH,
)
GAUGES = [replace(each, measure_id=f"m{i}", station_id=f"s{i}", scale=SCALE) for i, each in enumerate(KINDS)]
IDS = [*(gauge.measure_id for gauge in GAUGES), "nobody knows me"]
MEASURES, STATIONS = measures(*GAUGES), stations(*GAUGES)


def flags(rows: pa.Table) -> pa.Table:
    return quality.flags(rows, MEASURES, STATIONS)


# -- one flag of several


@pytest.mark.parametrize(
    ("given_flags", "aggregate"),
    [
        ((1, 1, 1, 1), 1),
        ((1, 2, 2, 2), 1),
        ((2, 2, 2, 2), 2),
        ((1, 3, 2, 1), 3),
        ((2, 2, 2, 3), 3),
        ((4, 3, 1, 2), 4),
        ((2, 2, 4, 2), 4),
        ((9, 9, 9, 9), 9),
    ],
)
def test_the_aggregate_is_the_worst_that_any_test_found(given_flags, aggregate):
    assert codes.worst([np.array([flag], np.int8) for flag in given_flags]).tolist() == [aggregate]


def test_a_test_that_could_not_be_made_takes_nothing_away_from_the_others():
    for one, other in product((PASS, SUSPECT, FAIL), repeat=2):
        both, more = ([np.array([flag], np.int8) for flag in (one, other, *rest)] for rest in ((), (NOT_EVALUATED,)))
        assert codes.worst(both) == codes.worst(more)


# -- shape


def test_there_is_a_row_for_each_reading_of_five_small_numbers_and_no_nulls():
    rows = readings(["m0"] * 3, [START + i * QUARTER for i in range(3)], [1.0, None, 900.0])
    found = flags(rows)
    assert found.schema == quality.SCHEMA
    assert found.column_names == ["flag", "gross_range_flag", "spike_flag", "rate_of_change_flag", "flat_line_flag"]
    assert all(field.type == pa.int8() and not field.nullable for field in found.schema)
    assert found["flag"].to_pylist() == [PASS, MISSING, SUSPECT]


def test_of_nothing_there_are_no_flags_and_without_snapshots_none_but_of_missing_values():
    assert flags(readings([], [], [])).num_rows == 0
    rows = readings(["m0", "m0"], [START, START + QUARTER], [1.0, None])
    bare = quality.flags(rows, MEASURES.schema.empty_table(), STATIONS.schema.empty_table())
    assert [set(column) for column in bare.to_pydict().values()] == [{NOT_EVALUATED, MISSING}] * 5


def test_a_measure_that_no_snapshot_knows_is_not_evaluated_beside_one_that_is_known():
    rows = readings(["nobody knows me", "m0"], [START, START], [1e9, 1e9])
    assert flags(rows)["flag"].to_pylist() == [NOT_EVALUATED, FAIL]


def test_a_reading_with_several_values_is_missing_and_no_neighbour_is_blamed():
    values = restless(20)
    values[7] = None
    found = flags_of(RIVER, values)
    assert [i for i, flag in enumerate(found["flag"]) if flag == MISSING] == [7]
    assert {flag for column in found.values() for flag in column} == {PASS, NOT_EVALUATED, MISSING}


@pytest.mark.parametrize(
    "text", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())], ids=["text", "long", "dictionary"]
)
def test_times_in_seconds_and_ids_of_any_kind_in_chunks_are_understood(text):
    rows = readings(["m0"] * 6, [START + i * QUARTER for i in range(6)], [1, 1.001, 9, 1.002, 1.001, 1])
    other = pa.table({
        "measure_id": rows["measure_id"].cast(text),
        "date_time": rows["date_time"].cast(pa.timestamp("s", tz="UTC")),
        "value": rows["value"],
        "raw_value": pa.nulls(6, pa.string()),
    })  # fmt: skip
    expected = flags(rows)
    assert expected["spike_flag"].to_pylist() == [2, 1, 4, 1, 1, 2]
    assert flags(other) == expected
    assert flags(pa.concat_tables([other.slice(0, 2), other.slice(2, 0), other.slice(2)])) == expected


def test_of_two_values_at_one_time_the_order_does_not_say_which_counts():
    """The lake has no such two; who puts tables together may."""
    at = [START + i * QUARTER for i in (0, 1, 1, 2)]
    for twice in ([1.0, 9.0], [9.0, 1.0]):
        rows = readings(["m0"] * 4, at, [1.0, *twice, 1.0])
        assert set(flags(rows)["spike_flag"].to_pylist()) == {PASS, NOT_EVALUATED}


# -- what holds of any readings

VALUES = st.none() | st.sampled_from([0.0, 1.0, 1.001, 1.5, 3.0, -30.0, 360.0, 987.0]) | st.floats(-2000, 2000)
ROW = st.tuples(
    st.sampled_from(IDS),
    st.integers(0, 30).map(lambda i: START + i * QUARTER)
    | st.integers(0, 90_000).map(lambda s: START + timedelta(seconds=s)),
    VALUES,
)
ROWS = st.lists(ROW, max_size=80).map(lambda rows: readings(*zip(*rows, strict=True)) if rows else readings([], [], []))


@given(ROWS)
@settings(max_examples=30, deadline=None)
def test_flags_are_of_the_five_and_9_exactly_where_there_is_no_value_which_stays_as_it_was(rows):
    before = rows.to_pydict()
    found = flags(rows)
    assert rows.to_pydict() == before
    assert found.num_rows == rows.num_rows
    for name in found.column_names:
        assert set(found[name].to_pylist()) <= {PASS, NOT_EVALUATED, SUSPECT, FAIL, MISSING}
        assert [flag == MISSING for flag in found[name].to_pylist()] == [value is None for value in before["value"]]
    assert found["flag"].to_numpy().tolist() == codes.worst([found[name].to_numpy() for name in quality.TESTS]).tolist()


@given(ROWS, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_readings_does_not_matter(rows, random):
    order = random.sample(range(rows.num_rows), rows.num_rows)
    assert flags(rows.take(pa.array(order, pa.int64()))) == flags(rows).take(pa.array(order, pa.int64()))


@given(ROWS, st.integers(0, 80), st.integers(0, 80))
@settings(max_examples=30, deadline=None)
def test_readings_that_are_there_twice_do_not_matter(rows, start, length):
    twice = pa.concat_tables([rows, rows.slice(start, length), rows])
    found, expected = flags(twice), flags(rows)
    assert found == pa.concat_tables([expected, expected.slice(start, length), expected])


@given(ROWS)
@settings(max_examples=12, deadline=None)
def test_each_gauge_has_the_same_flags_alone_as_among_others(rows):
    together = flags(rows)
    for measure in IDS:
        its = pa.compute.equal(rows["measure_id"], measure)
        assert flags(rows.filter(its)) == together.filter(its)
