"""Compare a contestant's rows with the simulator's truth: lost, wrong, duplicate and out-of-range rows."""

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from benchmarks.contestant import DAY, readings_table

KEY = ["measure_id", "date_time"]


class Correctness(NamedTuple):
    """Result of a comparison.

    Attributes:
        shown: readings of the retained 24 hours that the API showed.
        had: number of these that the contestant has.
        wrong: number of these with another value.
        twice: duplicate rows within the retained 24 hours.
        older: rows outside the retained 24 hours.
    """

    shown: int
    had: int
    wrong: int
    twice: int
    older: int

    @property
    def recall(self) -> float:
        """Share of the shown readings that the contestant has."""
        return self.had / self.shown if self.shown else 1.0


def read_truth(path: Path) -> pa.Table:
    """Read the simulator's truth as measure_id, date_time, value, several.

    `several` is true if the API gave more than one value: then null is right, and so is the value if all are equal.
    `value` is null for several different values and for none.
    """
    kinds = {"dateTime": pa.timestamp("s", "UTC"), "measure": pa.string(), "value": pa.string()}
    rows = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=kinds, strings_can_be_null=True))
    several = pc.fill_null(pc.match_substring(rows["value"], "|"), fill_value=False)
    once = pc.replace_substring_regex(rows["value"], r"^([^|]+)[|]([^|]+)$", r"\1")
    same = pc.equal(rows["value"], pc.binary_join_element_wise(once, once, "|"))
    value = pc.if_else(pc.and_(several, pc.fill_null(same, fill_value=False)), once, rows["value"])
    return readings_table(rows["measure"], rows["dateTime"], value).append_column("several", several)


def compare(rows: Path, truth: pa.Table, now: datetime) -> Correctness:
    """Compare a contestant's exported rows with the truth of `now - 24 h < t <= now`."""
    given = pq.read_table(rows)
    at = given["date_time"]
    inside = pc.and_(pc.greater(at, _at(now - DAY)), pc.less_equal(at, _at(now)))
    kept = given.filter(inside)
    single = kept.group_by(KEY, use_threads=False).aggregate([("value", "last")]).rename_columns([*KEY, "theirs"])
    both = truth.join(single.append_column("there", pa.repeat(True, len(single))), KEY, join_type="left outer")
    met = both.filter(pc.is_valid(both["there"]))
    close = pc.less(pc.abs(pc.subtract(met["value"], met["theirs"])), 1e-9)
    neither = pc.and_(pc.or_(met["several"], pc.is_null(met["value"])), pc.is_null(met["theirs"]))
    right = pc.or_(pc.fill_null(close, fill_value=False), neither)
    return Correctness(
        shown=len(truth),
        had=len(met),
        wrong=len(met) - (pc.sum(right).as_py() or 0),
        twice=len(kept) - len(single),
        older=len(given) - len(kept),
    )


def _at(moment: datetime) -> pa.Scalar:
    return pa.scalar(moment, pa.timestamp("ms", "UTC"))
