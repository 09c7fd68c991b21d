"""What is judged after each materialization. A check says what it found; it does not stop what was stored.

All checks of `readings` look at the lake once, in one step: a step for each would cost more than the looking. Those of
`completeness` are judged where the ledger is counted.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets import quality
from flood_assets.explain import explained
from flood_assets.lake.lake import Lake
from flood_assets.lake.parquet import DamagedWindowError
from flood_assets.ledger.account import Account
from flood_assets.ledger.delays import JITTER
from flood_assets.partitions import RETENTION, WINDOW, cutoff, utc
from flood_assets.resources import Clock, LakeResource
from flood_assets.schemas import MEASURES, READINGS, REJECTS, STATIONS, TIME, Table

# 74 % of the measures were this fresh in the whole `latest` of 2024-02-29; below half, something is wrong.
FRESH = timedelta(hours=1)
FRESH_SHARE = 0.5

# The cleanup comes every 15 minutes; what it has not got to within the hour is a fault.
CLEANUP_GRACE = timedelta(hours=1)

# Measures appear before the hourly snapshot lists them; more than a tenth unknown means that the snapshot is old.
KNOWN_SHARE = 0.9

# Of the 5,169 newest readings of 2024-02-29, three fail (0.06 %). More than ten times as many are no broken gauges: the
# source, its units or the snapshot of measures went wrong.
FAILING_SHARE = 0.01

READINGS_CHECKS = (
    ("windows_can_be_read", "Each window can be decoded, `rejects` too; what cannot is set aside and filled again."),
    ("unique_keys", "No reading is there twice."),
    ("times_inside_their_window", "Each reading lies in the window of its own time."),
    ("known_measures", f"At least {KNOWN_SHARE:.0%} of the measures are in the newest snapshot."),
    ("fresh_measures", f"At least {FRESH_SHARE:.0%} of the measures have a reading of the last hour."),
    ("nothing_past_its_day", "No stored reading is older than 24 hours, but for the hour that cleaning up may take."),
    ("plausible_values", f"At most {FAILING_SHARE:.0%} of the readings fail a quality test; see flood_assets.quality."),
)

# Of the readings that are expected; more than this not fetched is no longer a gauge or two that the API refused.
UNFETCHED_SHARE = 0.01

# Gauges that are overdue, of those that were heard today: one in twenty always is, by the definition of being due.
# When a poll brought nothing at all, fewer are enough to tell that it is the source that stands still.
STILL_SHARE, STILL_SHARE_WITHOUT_NEWS = 0.5, 0.25

# As long as nobody knows when gauges are due: the newest reading of a country is always minutes old.
STILL_AFTER = timedelta(hours=2)

COMPLETENESS_CHECKS = (
    ("everything_fetched", "No reading is missing because the API was not asked for it, or could not be."),
    (
        "source_moves",
        "The API shows new readings when gauges are due: a tick that runs well and brings nothing is none.",
    ),
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
        store = lake.open()
        tables, aside = decoded(store)
        # What a damaged one held cannot be had again: the API does not repeat how it was asked.
        aside += [name for window in store.damaged(REJECTS) if (name := store.set_aside(REJECTS, window))]
        measures, stations = (_snapshot(store, table, now) for table in (MEASURES, STATIONS))
    found = {"windows": len(tables), "damaged": len(aside), "kept_as": ", ".join(aside) or "none"}
    yield _result("windows_can_be_read", not aside, found)
    yield from judge(tables, now)
    yield plausible(tables, measures, stations)


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
            # Without a name, a run that found it at the same moment was quicker.
            if name := store.set_aside(READINGS, stored.window):
                aside.append(name)
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


def plausible(windows: dict[datetime, pa.Table], measures: pa.Table, stations: pa.Table) -> dg.AssetCheckResult:
    """The result of the check that counts what QARTOD's tests find in the stored day.

    Args:
        windows: for each stored window measure_id, date_time and value of its rows.
        measures: the newest snapshot; without one nothing is evaluated, which `known_measures` tells.
        stations: likewise.
    """
    rows = pa.concat_tables(windows.values()) if windows else READINGS.schema.empty_table()
    flags = quality.flags(rows, measures, stations)
    found: dict[str, Any] = {"rows": len(rows), "without_value": rows["value"].null_count}
    for name in flags.column_names:
        counts = np.bincount(flags[name].to_numpy(), minlength=quality.MISSING + 1)
        what = name.removesuffix("_flag") if name != "flag" else "any_test"
        found |= {f"{what}_suspect": int(counts[quality.SUSPECT]), f"{what}_fail": int(counts[quality.FAIL])}
    failing = rows["measure_id"].filter(pc.equal(flags["flag"], quality.FAIL)).value_counts()
    most = sorted(failing.to_pylist(), key=lambda each: (-each["counts"], each["values"]))[:5]
    found["failing_measures"] = len(failing)
    found["some_of_them"] = ", ".join(f"{each['values']} ({each['counts']})" for each in most) or "none"
    share = found["any_test_fail"] / len(rows) if len(rows) else 0.0
    found["fail_percent"] = round(100 * share, 3)
    return _result("plausible_values", share <= FAILING_SHARE, found, dg.AssetCheckSeverity.WARN)


def judge_account(account: Account, now: datetime) -> Iterator[dg.AssetCheckResult]:
    """The results of the checks of `completeness`.

    Args:
        account: what the ledger says.
        now: the time to judge by.
    """
    totals = account.totals()
    gone = totals["not_fetched"]
    yield dg.AssetCheckResult(
        check_name="everything_fetched",
        passed=gone == 0,
        severity=(
            dg.AssetCheckSeverity.ERROR if gone > UNFETCHED_SHARE * totals["expected"] else dg.AssetCheckSeverity.WARN
        ),
        metadata=totals,
    )
    yield _moves(account, now)


def _moves(account: Account, now: datetime) -> dg.AssetCheckResult:
    """Whether the source stands still: it answers, and most of what is due does not come."""
    name = "source_moves"
    asked, gauges = account.asked.last, account.timeliness
    if asked is None:
        return dg.AssetCheckResult(check_name=name, passed=True, description="The API was not asked yet.")
    heard = gauges.filter(pc.greater(gauges["newest_at"], pa.scalar(cutoff(now), TIME)))
    if not len(heard):
        silent = f"The API was asked at {asked:%Y-%m-%d %H:%MZ} and shows no reading of the last 24 hours."
        return dg.AssetCheckResult(
            check_name=name, passed=not len(gauges), description=silent, metadata={"gauges": len(gauges)}
        )
    newest, moved = utc(pc.max(heard["newest_at"]).as_py()), utc(pc.max(heard["newest_seen_at"]).as_py())
    due = heard["next_due_at"].drop_null()
    overdue = pc.sum(pc.less_equal(due, pa.scalar(asked + JITTER, TIME))).as_py() or 0
    share = overdue / len(due) if len(due) else 0.0
    still = share >= (STILL_SHARE_WITHOUT_NEWS if moved < asked else STILL_SHARE) if len(due) else False
    still = still or (not len(due) and asked - newest >= STILL_AFTER)
    hours = round((asked - moved) / timedelta(hours=1), 2)
    said = f"last moved at {moved:%Y-%m-%d %H:%MZ}, {hours} hours before it was asked last"
    return dg.AssetCheckResult(
        check_name=name,
        passed=not still,
        description=(
            f"The source stands still: it answers, but {overdue:,} of {len(due):,} gauges are overdue; it {said}. "
            "Look at the API's status page; nothing is lost on our side."
            if still
            else f"The source {said}."
        ),
        metadata={
            "source_last_moved": dg.MetadataValue.timestamp(moved),
            "hours_since_it_moved": hours,
            "newest_reading": dg.MetadataValue.timestamp(newest),
            "asked_last": dg.MetadataValue.timestamp(asked),
            "gauges_heard_today": len(heard),
            "overdue": overdue,
        },
    )


@dg.asset_check(
    asset="stations", description="No station is there twice, most have coordinates, and all windows can be read."
)
def stations_are_sound(lake: LakeResource, clock: Clock) -> dg.AssetCheckResult:
    """Judge the newest snapshot of stations."""
    with explained():
        table, damaged = _newest_snapshot(lake, STATIONS, clock)
    twice = len(table) - len(pc.unique(table["station_id"]))
    placed = len(table) - table["lat"].null_count
    return dg.AssetCheckResult(
        passed=twice == 0 and placed > len(table) / 2 and not damaged,
        metadata={
            "stations": len(table),
            "rows_too_many": twice,
            "without_coordinates": len(table) - placed,
            "damaged": len(damaged),
        },
    )


@dg.asset_check(
    asset="measures", description="No measure is there twice, each belongs to a station, and all windows can be read."
)
def measures_are_sound(lake: LakeResource, clock: Clock) -> dg.AssetCheckResult:
    """Judge the newest snapshot of measures."""
    with explained():
        table, damaged = _newest_snapshot(lake, MEASURES, clock)
    twice = len(table) - len(pc.unique(table["measure_id"]))
    homeless = table["station_id"].null_count
    return dg.AssetCheckResult(
        passed=len(table) > 0 and twice == 0 and homeless == 0 and not damaged,
        severity=dg.AssetCheckSeverity.ERROR if twice or damaged else dg.AssetCheckSeverity.WARN,
        metadata={
            "measures": len(table),
            "rows_too_many": twice,
            "without_station": homeless,
            "without_period": table["period_s"].null_count,
            "damaged": len(damaged),
        },
    )


def _newest_snapshot(lake: LakeResource, table: Table, clock: Clock) -> tuple[pa.Table, list[datetime]]:
    """The rows of the newest snapshot, and the windows that cannot be read: the next snapshot takes their place."""
    store = lake.open()
    return _snapshot(store, table, clock.now()), store.damaged(table)


def _snapshot(store: Lake, table: Table, now: datetime) -> pa.Table:
    newest = store.newest_snapshot(table, now)
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
    rows = stored.file.read() if stored else READINGS.schema.empty_table()
    # All columns although four are needed: damage in any of them would stop a reader.
    return rows.select(["measure_id", "date_time", "station_id", "value"])
