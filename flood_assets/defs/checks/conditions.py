"""The checks of `conditions`: plausible readings, and nothing said that nothing is known of. Pure.

The asset `conditions` evaluates them in its own step.
"""

from collections.abc import Iterable
from functools import reduce
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets import quality
from flood_assets.quality.tally import Tally

# Three of the 5,169 newest readings of 2024-02-29 fail (0.06 %). More than ten times as many are not broken gauges: the
# source, its units or the snapshot of measures is wrong.
FAILING_SHARE = 0.01
# The most measures that are named as examples.
NAMED = 5

CONDITIONS_CHECKS = (
    (
        "plausible_values",
        f"At most {FAILING_SHARE:.0%} of the readings fail a quality test; see flood_assets.quality.",
    ),
    (
        "everything_supported",
        "No band without a typical range, no rain total without coverage, no value that failed or stands for none.",
    ),
)


def plausible(tally: Tally) -> dg.AssetCheckResult:
    """Return the result of the check that counts the flags of QARTOD's tests in the readings.

    Without a snapshot of measures nothing is evaluated, and the check `known_measures` of readings fails.
    """
    told: dict[str, Any] = {"rows": tally.rows, "without_value": tally.without_value}
    tests = ("any_test", *(name.removesuffix("_flag") for name in quality.TESTS))
    for what, count in zip(tests, tally.counts, strict=True):
        told |= {f"{what}_suspect": int(count[quality.SUSPECT]), f"{what}_fail": int(count[quality.FAIL])}
    # The worst first, of equals in order of their ids, which are sorted.
    failing = tally.failing
    most_failing = [number for number in np.argsort(-failing, kind="stable")[:NAMED] if failing[number]]
    named = [f"{tally.measures[number].as_py()} ({failing[number]})" for number in most_failing]
    share = told["any_test_fail"] / tally.rows if tally.rows else 0.0
    told |= {"failing_measures": int((failing > 0).sum()), "examples": ", ".join(named) or "none"}
    told["fail_percent"] = round(100 * share, 3)
    return dg.AssetCheckResult(
        check_name="plausible_values",
        passed=share <= FAILING_SHARE,
        severity=dg.AssetCheckSeverity.WARN,
        metadata=told,
    )


def supported(rows: pa.Table, stations: pa.Table) -> dg.AssetCheckResult:
    """Return the result of the check that looks for conditions that nothing supports.

    Args:
        rows: schema `schemas.CONDITIONS`.
        stations: the newest snapshot.
    """
    from flood_assets.query.conditions import NO_VALUES, RAIN_HOURS  # noqa: PLC0415 - see the asset

    at = pc.index_in(rows["station_id"], value_set=stations["station_id"].combine_chunks(), skip_nulls=True)
    low, high = (stations[name].take(at) for name in ("typical_low", "typical_high"))
    ranged = pc.less_equal(low, high).fill_null(False)
    no_value = pc.is_in(rows["value"], value_set=pa.array(NO_VALUES))
    wrong = {
        "band_without_range": pc.and_(rows["band"].is_valid(), pc.invert(ranged)),
        "rain_without_coverage": _any(
            pc.and_(
                rows[f"rain_{hours}h"].is_valid(),
                pc.invert(pc.greater(rows[f"rain_{hours}h_coverage"], 0).fill_null(False)),
            )
            for hours in RAIN_HOURS
        ),
        "value_that_failed": pc.or_(no_value, pc.greater_equal(rows["flag"], quality.FAIL).fill_null(False)),
    }
    counts = {name: pc.sum(found).as_py() or 0 for name, found in wrong.items()}
    examples = rows["measure_id"].filter(_any(wrong.values()))[:NAMED].to_pylist()
    return dg.AssetCheckResult(
        check_name="everything_supported",
        passed=not any(counts.values()),
        metadata={"gauges": len(rows), **counts, "examples": ", ".join(examples) or "none"},
    )


def _any(found: Iterable[pa.ChunkedArray]) -> pa.ChunkedArray:
    return reduce(pc.or_, found)
