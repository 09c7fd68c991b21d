"""Count flags by test, and failing readings by measure, block by block."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from flood_assets.grouping import Ints, MeasureBlock
from flood_assets.quality import MISSING, TESTS
from flood_assets.quality.codes import FAIL, QcFlags


@dataclass
class Tally:
    """Counts of flags.

    Attributes:
        measures: ids of all measures.
        rows: readings.
        without_value: those that have none.
        failing: readings of each measure that fail any test.
        counts: readings by flag; a row for any test, then one for each of `TESTS`.
    """

    measures: pa.Array
    rows: int = 0
    without_value: int = 0
    failing: Ints = field(init=False)
    counts: Ints = field(init=False)

    def __post_init__(self) -> None:
        self.failing = np.zeros(len(self.measures), np.int64)
        self.counts = np.zeros((1 + len(TESTS), MISSING + 1), np.int64)

    def add(self, block: MeasureBlock, worst: QcFlags, tests: QcFlags) -> None:
        """Count the flags of a block with a column `value`: the worst of each reading, and those of `TESTS`."""
        self.counts += [np.bincount(flags, minlength=MISSING + 1) for flags in (worst, *tests)]
        of_block = np.bincount(block.measure[worst == FAIL], minlength=block.last - block.first)
        self.failing[block.first : block.last] += of_block
        self.rows += len(worst)
        self.without_value += int(np.isnan(block.columns["value"]).sum())
