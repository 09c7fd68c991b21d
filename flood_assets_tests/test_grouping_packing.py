"""Groups and values packed into one number, and rows cut into runs."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from flood_assets.grouping import Packing, begins, count_rows, ordered, runs

rows = st.lists(st.tuples(st.integers(0, 5), st.integers(-(2**40), 2**40)), max_size=30)


def columns(pairs):
    return (np.array([pair[i] for pair in pairs], np.int64) for i in range(2))


@given(rows)
def test_packed_numbers_sort_as_group_and_value_and_come_back(pairs):
    group, value = columns(pairs)
    packing = Packing.of(value)
    packed = packing.pack(group, value)
    assert list(zip(*(column.tolist() for column in packing.unpack(packed)), strict=True)) == pairs
    assert [pairs[i] for i in np.argsort(packed, kind="stable")] == sorted(pairs)


@given(rows, rows)
def test_two_columns_packed_by_one_rule_can_be_compared(some, others):
    packing = Packing.of(*(list(columns(pairs))[1] for pairs in (some, others)))
    one, other = (packing.pack(*columns(pairs)) for pairs in (some, others))
    for number, pair in zip(one.tolist(), some, strict=True):
        assert [number < packed for packed in other.tolist()] == [pair < more for more in others]


@given(rows)
@example([(2**40, 2**60), (2**40, -(2**60)), (0, 0)])
def test_rows_are_ordered_by_group_and_value_also_where_one_number_cannot_hold_both(pairs):
    found = ordered(*columns(pairs))
    assert list(zip(*(column.tolist() for column in found), strict=True)) == sorted(pairs)


@given(rows)
def test_a_row_begins_where_any_column_changes(pairs):
    assert begins(*columns(pairs)).tolist() == [not i or pairs[i] != pairs[i - 1] for i in range(len(pairs))]


def test_rows_are_counted_over_all_columns():
    assert count_rows([], 2).tolist() == [0, 0]
    assert count_rows([np.array([0, 1, 1], np.int32), np.array([1], np.int32)], 3).tolist() == [1, 3, 0]


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 20))
def test_runs_hold_all_groups_in_order_and_less_than_asked_but_for_their_first(count, most):
    found = runs(np.array(count, np.int64), most)
    assert [group for first, last in found for group in range(first, last)] == list(range(len(count)))
    assert all(first < last and sum(count[first + 1 : last]) < most for first, last in found)
