"""What a contestant has of the day that the simulator really showed: how much is lost, wrong, twice or too old."""

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
    """What was found.

    Attributes:
        shown: readings of the retained 24 hours that the API showed.
        had: of these, those that the contestant has.
        wrong: of these, those with another value.
        twice: rows of the retained day beyond one a reading.
        older: rows that are older than the day, or later than now.
    """

    shown: int
    had: int
    wrong: int
    twice: int
    older: int

    @property
    def recall(self) -> float:
        """The part of the shown readings that the contestant has."""
        return self.had / self.shown if self.shown else 1.0


def read_truth(path: Path) -> pa.Table:
    """The simulator's truth as measure_id, date_time, value, several.

    `several` says that the API gave more than one value, for which both null and, where they are equal, that value
    count as right. Otherwise several values and none are null.
    """
    kinds = {"dateTime": pa.timestamp("s", "UTC"), "measure": pa.string(), "value": pa.string()}
    rows = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=kinds, strings_can_be_null=True))
    several = pc.fill_null(pc.match_substring(rows["value"], "|"), fill_value=False)
    once = pc.replace_substring_regex(rows["value"], r"^([^|]+)[|]([^|]+)$", r"\1")
    same = pc.equal(rows["value"], pc.binary_join_element_wise(once, once, "|"))
    value = pc.if_else(pc.and_(several, pc.fill_null(same, fill_value=False)), once, rows["value"])
    return readings_table(rows["measure"], rows["dateTime"], value).append_column("several", several)


def compare(rows: Path, truth: pa.Table, now: datetime) -> Correctness:
    """Compare what a contestant gave as its rows with the truth of `now - 24 h < t <= now`."""
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
