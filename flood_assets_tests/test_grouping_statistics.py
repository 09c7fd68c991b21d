"""Statistics of groups are those that Python's own library gives for each group."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flood_assets.grouping import mode, quantile

pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 5)), max_size=40)


def columns(rows):
    return (np.array([row[i] for row in rows], np.int64) for i in range(2))


@given(pairs)
def test_the_mode_is_the_most_frequent_value_and_the_smallest_of_several(rows):
    found = list(zip(*(column.tolist() for column in mode(*columns(rows), 4)), strict=True))
    for group in range(4):
        values = Counter(value for of, value in rows if of == group)
        best = min(values, key=lambda value: (-values[value], value), default=0)
        assert found[group] == (best, values[best], values.total())


@given(pairs, st.sampled_from([0.01, 0.1, 0.5, 0.95, 1.0]))
def test_a_quantile_is_a_value_that_so_many_do_not_exceed(rows, share):
    found = quantile(*columns(rows), 4, share)
    for group in range(4):
        values = sorted(value for of, value in rows if of == group)
        if values:
            assert found[group] == values[math.ceil(share * len(values)) - 1]
        else:
            assert math.isnan(found[group])


def test_the_median_of_two_is_the_smaller():
    assert quantile(np.array([0, 0]), np.array([7, 3]), 1, 0.5) == pytest.approx([3])
