"""Statistics of many small groups of numbers at once, without a loop over the groups."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def ordered(group: Ints, value: Ints) -> tuple[Ints, Ints]:
    """Both, sorted by group and in each group by value; ten times quicker as one number than as two columns."""
    if not len(group):
        return group, value
    least = value.min()
    span = int(value.max()) - int(least) + 1
    # A million groups leave room for a century of milliseconds.
    if span * (int(group.max()) + 1) >= 2**63:
        order = np.lexsort((value, group))
        return group[order], value[order]
    both = group * span + (value - least)
    if (both[1:] >= both[:-1]).all():
        return group, value
    both.sort()
    group = both // span
    return group, both - group * span + least


def mode(group: Ints, value: Ints, groups: int) -> tuple[Ints, Ints, Ints]:
    """Of each group the most frequent value (the smallest of several), how often it occurs, and the group's size.

    Args:
        group: the group of each value, 0 to `groups` - 1.
        value: whole numbers, in any order.
        groups: how many groups there are; an empty one has mode 0.
    """
    found, often = np.zeros(groups, np.int64), np.zeros(groups, np.int64)
    size = np.bincount(group, minlength=groups)
    if len(group):
        group, value = ordered(group, value)
        start = np.flatnonzero(np.r_[True, (np.diff(group) != 0) | (np.diff(value) != 0)])
        count = np.diff(np.append(start, len(group)))
        best = np.lexsort((value[start], -count, group[start]))
        one = best[np.r_[True, np.diff(group[start[best]]) != 0]]
        found[group[start[one]]] = value[start[one]]
        often[group[start[one]]] = count[one]
    return found, often, size


def quantile(group: Ints, value: Ints, groups: int, share: float) -> Floats:
    """Of each group the smallest of its values that at least `share` of them do not exceed; NaN for an empty one."""
    found = np.full(groups, np.nan)
    if len(group):
        group, value = ordered(group, value)
        start = np.flatnonzero(np.r_[True, np.diff(group) != 0])
        size = np.diff(np.append(start, len(group)))
        found[group[start]] = value[start + np.maximum(np.ceil(share * size).astype(np.int64) - 1, 0)]
    return found
