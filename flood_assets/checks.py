"""What is judged after each materialization. A check says what it found; it does not stop what was stored.

All checks of `readings` look at the lake once, in one step: a step for each would cost more than the looking.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.explain import explained
from flood_assets.lake.lake import Lake
from flood_assets.lake.parquet import DamagedWindowError
from flood_assets.partitions import RETENTION, WINDOW, cutoff
from flood_assets.resources import Clock, LakeResource
from flood_assets.schemas import MEASURES, READINGS, STATIONS, TIME, Table

# 74 % of the measures were this fresh in the whole `latest` of 2024-02-29; below half, something is wrong.
FRESH = timedelta(hours=1)
FRESH_SHARE = 0.5

# The cleanup comes every 15 minutes; what it has not got to within the hour is a fault.
CLEANUP_GRACE = timedelta(hours=1)

# Measures appear before the hourly snapshot lists them; more than a tenth unknown means that the snapshot is old.
KNOWN_SHARE = 0.9

READINGS_CHECKS = (
    ("windows_can_be_read", "Each stored window can be decoded; one that cannot is set aside and filled again."),
    ("unique_keys", "No reading is there twice."),
    ("times_inside_their_window", "Each reading lies in the window of its own time."),
    ("known_measures", f"At least {KNOWN_SHARE:.0%} of the measures are in the newest snapshot."),
    ("fresh_measures", f"At least {FRESH_SHARE:.0%} of the measures have a reading of the last hour."),
    ("nothing_past_its_day", "No stored reading is older than 24 hours, but for the hour that cleaning up may take."),
)


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(name=name, asset="readings", description=description) for name, description in READINGS_CHECKS
    ]
)
def readings_checks(lake: LakeResource, clock: Clock) -> Iterator[dg.AssetCheckResult]:
    """Look at all stored readings and judge them."""
    now = clock.now()
    with explained():
        tables, aside = decoded(lake.open())
    found = {"windows": len(tables), "damaged": len(aside), "kept_as": ", ".join(aside) or "none"}
    yield _result("windows_can_be_read", not aside, found)
    yield from judge(tables, now)


def decoded(store: Lake) -> tuple[dict[datetime, pa.Table], list[str]]:
    """The rows of all stored windows, and the names that those were given which cannot be decoded.

    Nothing else decodes a window that no reading comes for: left alone, it would stay damaged until the next
    reconcile. Set aside, it makes the next tick read the whole day.
    """
    tables: dict[datetime, pa.Table] = {}
    aside: list[str] = []
    for stored in store.windows(READINGS):
        try:
            tables[stored.window] = _rows(store, stored.key)
        except DamagedWindowError:
            aside.append(store.set_aside(READINGS, stored.window, only=stored) or stored.key)
    return tables, aside


def judge(windows: dict[datetime, pa.Table], now: datetime) -> Iterator[dg.AssetCheckResult]:
    """The results of the checks of `readings` that look at rows.

    Args:
        windows: for each stored window measure_id, date_time and station_id of its rows.
        now: the time to judge by.
    """
    rows = sum(len(table) for table in windows.values())
    twice = sum(
        len(table) - len(table.group_by(["measure_id", "date_time"]).aggregate([])) for table in windows.values()
    )
    yield _result("unique_keys", twice == 0, {"rows": rows, "rows_too_many": twice})

    misplaced = {window: count for window, table in windows.items() if (count := _outside(table, window))}
    yield _result(
        "times_inside_their_window",
        not misplaced,
        {"windows": len(windows), "misplaced_rows": sum(misplaced.values())}
        | ({"first_window": f"{min(misplaced):%Y-%m-%d %H:%M}"} if misplaced else {}),
    )

    if not rows:
        nothing = {"rows": 0}
        for name in ("known_measures", "fresh_measures"):
            yield _result(name, False, nothing, dg.AssetCheckSeverity.WARN)
        yield _result("nothing_past_its_day", True, nothing)
        return

    newest = _newest(pa.concat_tables(windows.values()))
    known = newest["station_id_max"].is_valid().to_numpy()
    yield _result(
        "known_measures",
        float(known.mean()) >= KNOWN_SHARE,
        {
            "measures": len(newest),
            "unknown": int((~known).sum()),
            "some_of_them": ", ".join(newest["measure_id"].filter(pa.array(~known)).to_pylist()[:5]) or "none",
        },
        dg.AssetCheckSeverity.WARN,
    )

    ages = now.timestamp() - newest["date_time_max"].cast(pa.int64()).to_numpy() / 1000
    fresh = float((ages <= FRESH.total_seconds()).mean())
    yield _result(
        "fresh_measures",
        fresh >= FRESH_SHARE,
        {
            "fresh_percent": round(100 * fresh, 1),
            "newest_reading": dg.MetadataValue.timestamp(now - timedelta(seconds=float(ages.min()))),
            "median_age_minutes": round(float(np.median(ages)) / 60, 1),
            "silent_for_6_hours": int((ages > 6 * 3600).sum()),
        },
        dg.AssetCheckSeverity.WARN,
    )

    oldest = min(pc.min(table["date_time"]).as_py() for table in windows.values() if len(table))
    past = sum(_not_after(table, cutoff(now)) for table in windows.values())
    yield _result(
        "nothing_past_its_day",
        oldest > now - RETENTION - CLEANUP_GRACE,
        {
            "rows_past_24_hours": past,
            "oldest_reading": dg.MetadataValue.timestamp(oldest),
            "cutoff": dg.MetadataValue.timestamp(cutoff(now)),
        },
    )


@dg.asset_check(asset="stations", description="No station is there twice, and most have coordinates.")
def stations_are_sound(lake: LakeResource, clock: Clock) -> dg.AssetCheckResult:
    """Judge the newest snapshot of stations."""
    with explained():
        table = _newest_snapshot(lake, STATIONS, clock)
    twice = len(table) - len(pc.unique(table["station_id"]))
    placed = len(table) - table["lat"].null_count
    return dg.AssetCheckResult(
        passed=twice == 0 and placed > len(table) / 2,
        metadata={"stations": len(table), "rows_too_many": twice, "without_coordinates": len(table) - placed},
    )


@dg.asset_check(asset="measures", description="No measure is there twice, and each belongs to a station.")
def measures_are_sound(lake: LakeResource, clock: Clock) -> dg.AssetCheckResult:
    """Judge the newest snapshot of measures."""
    with explained():
        table = _newest_snapshot(lake, MEASURES, clock)
    twice = len(table) - len(pc.unique(table["measure_id"]))
    homeless = table["station_id"].null_count
    return dg.AssetCheckResult(
        passed=len(table) > 0 and twice == 0 and homeless == 0,
        severity=dg.AssetCheckSeverity.ERROR if twice else dg.AssetCheckSeverity.WARN,
        metadata={
            "measures": len(table),
            "rows_too_many": twice,
            "without_station": homeless,
            "without_period": table["period_s"].null_count,
        },
    )


def _newest_snapshot(lake: LakeResource, table: Table, clock: Clock) -> pa.Table:
    newest = lake.open().newest_snapshot(table, clock.now())
    return newest if newest is not None else table.schema.empty_table()


def _newest(rows: pa.Table) -> pa.Table:
    return rows.group_by("measure_id").aggregate([("date_time", "max"), ("station_id", "max")])


def _outside(table: pa.Table, window: datetime) -> int:
    at = table["date_time"]
    early = pc.less(at, pa.scalar(window, TIME))
    late = pc.greater_equal(at, pa.scalar(window + WINDOW, TIME))
    return pc.sum(pc.or_(early, late)).as_py() or 0


def _not_after(table: pa.Table, moment: datetime) -> int:
    return pc.sum(pc.less_equal(table["date_time"], pa.scalar(moment, TIME))).as_py() or 0


def _result(
    name: str,
    passed: bool,
    metadata: Mapping[str, Any],
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key="readings", check_name=name, passed=passed, severity=severity, metadata=metadata
    )


def _rows(store: Lake, key: str) -> pa.Table:
    """The rows of a window as they are stored: a reader would be spared what the checks are to find."""
    stored = store.load(READINGS, key)
    # All columns are decoded, so that damage in any is found; those that are judged are kept.
    rows = stored.file.read() if stored else READINGS.schema.empty_table()
    return rows.select(["measure_id", "date_time", "station_id"])
