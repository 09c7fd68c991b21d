"""QARTOD's flags and their aggregate.

The five numbers are those of the Manual for the Use of Real-Time Oceanographic Data Quality Control Flags (U.S. IOOS
2020, version 1.2, doi 10.25923/w8y6-d298), which takes them from UNESCO/IOC 2013.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

QcFlags = npt.NDArray[np.int8]

PASS = 1
NOT_EVALUATED = 2
SUSPECT = 3  # "suspect or of high interest": a record flood is this too
FAIL = 4
MISSING = 9

# From the lowest rank to the highest: the highest of any test is the flag of the reading. A test that could not be made
# does not hide what another found, so "not evaluated" ranks below "pass"; a reading without a value is missing in all.
_RANKS = (MISSING, NOT_EVALUATED, PASS, SUSPECT, FAIL)


def worst(flags: Sequence[QcFlags]) -> QcFlags:
    """Return the aggregate of the flags of several tests, reading by reading."""
    rank = np.zeros(max(_RANKS) + 1, np.int8)
    rank[list(_RANKS)] = range(len(_RANKS))
    return np.array(_RANKS, np.int8)[np.max([rank[each] for each in flags], axis=0)]
