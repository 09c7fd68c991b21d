"""The check of the stored values, by the flags of `flood_assets.quality`. Pure."""

from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets import quality
from flood_assets.grouping import BLOCK_ROWS, Blocks

# Three of the 5,169 newest readings of 2024-02-29 fail (0.06 %). More than ten times as many are not broken gauges: the
# source, its units or the snapshot of measures is wrong.
FAILING_SHARE = 0.01
# The most measures that are named as examples.
NAMED = 5

PLAUSIBLE = (
    "plausible_values",
    f"At most {FAILING_SHARE:.0%} of the readings fail a quality test; see flood_assets.quality.",
)


def plausible(day: Blocks, measures: pa.Table, stations: pa.Table, *, most: int = BLOCK_ROWS) -> dg.AssetCheckResult:
    """Return the result of the check that counts the flags of QARTOD's tests in the stored rows.

    Args:
        day: rows with the columns `at` (milliseconds since 1970) and `value` (NaN for null).
        measures: the newest snapshot; without one nothing is evaluated, and the check `known_measures` fails.
        stations: likewise.
        most: the most rows to flag at once; the counts do not depend on it.
    """
    place = pc.index_in(day.measures, value_set=measures["measure_id"].combine_chunks())
    listed = place.fill_null(-1).to_numpy(zero_copy_only=False)
    gauges = quality.Gauges.of(measures, stations)
    tests = ("any_test", *(name.removesuffix("_flag") for name in quality.TESTS))
    counts = np.zeros((len(tests), quality.MISSING + 1), np.int64)
    failing = np.zeros(len(day.measures), np.int64)
    rows = without = 0
    for block in day.each(most):
        of = listed[block.first : block.last]
        known = np.flatnonzero(of >= 0)
        among = np.full(len(of), -1)
        among[known] = np.arange(len(known))
        time, value = block.columns["at"], block.columns["value"]
        found = quality.flag(among[block.measure], time, value, gauges.some(of[known]))
        found = np.vstack([quality.worst(list(found)), found])
        counts += [np.bincount(flags, minlength=counts.shape[1]) for flags in found]
        failing[block.first : block.last] = np.bincount(block.measure[found[0] == quality.FAIL], minlength=len(of))
        rows, without = rows + len(value), without + int(np.isnan(value).sum())
    told: dict[str, Any] = {"rows": rows, "without_value": without}
    for what, count in zip(tests, counts, strict=True):
        told |= {f"{what}_suspect": int(count[quality.SUSPECT]), f"{what}_fail": int(count[quality.FAIL])}
    # The worst first, of equals in order of their ids, which are sorted.
    most_failing = [number for number in np.argsort(-failing, kind="stable")[:NAMED] if failing[number]]
    named = [f"{day.measures[number].as_py()} ({failing[number]})" for number in most_failing]
    share = told["any_test_fail"] / rows if rows else 0.0
    told |= {"failing_measures": int((failing > 0).sum()), "examples": ", ".join(named) or "none"}
    told["fail_percent"] = round(100 * share, 3)
    return dg.AssetCheckResult(
        asset_key="readings",
        check_name=PLAUSIBLE[0],
        passed=share <= FAILING_SHARE,
        severity=dg.AssetCheckSeverity.WARN,
        metadata=told,
    )
