"""The checks of `readings`: readable, unique, in their window, known, fresh, not expired, plausible.

One step reads the lake once for all of them. Each window is decoded once and whole, and only numbers of it are kept, so
that a network a hundred times larger than a country fits into memory.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flood_assets.defs.checks.gauges import snapshot
from flood_assets.defs.checks.values import NAMED, PLAUSIBLE, plausible
from flood_assets.defs.failures import explained
from flood_assets.defs.resources import Clock, LakeResource
from flood_assets.grouping import Blocks, Ints, Piece, ordered
from flood_assets.lake.lake import Lake
from flood_assets.lake.parquet import DamagedWindowError
from flood_assets.lake.read import StoredWindow
from flood_assets.partitions import RETENTION, WINDOW, cutoff, from_ms, to_ms
from flood_assets.schemas import MEASURES, READINGS, REJECTS, STATIONS, TIME

# Windows that are decoded at once. In a network 100 times larger than a country each needs some 300 MB meanwhile.
AT_ONCE = 4

# 74 % of the measures were this fresh in the whole `latest` of 2024-02-29; below half, something is wrong.
FRESH = timedelta(hours=1)
FRESH_SHARE = 0.5

# The cleanup runs every 15 minutes; rows that it has not removed within the hour are a fault.
CLEANUP_GRACE = timedelta(hours=1)

# Measures appear before the hourly snapshot lists them; more than a tenth unknown means that the snapshot is old.
KNOWN_SHARE = 0.9

READINGS_CHECKS = (
    ("windows_readable", "Every window is readable, also of `rejects`; others are quarantined and fetched again."),
    ("unique_keys", "No reading is stored twice."),
    ("times_in_window", "Each reading is stored in the window of its own time."),
    ("known_measures", f"At least {KNOWN_SHARE:.0%} of the measures are in the newest snapshot."),
    ("fresh_measures", f"At least {FRESH_SHARE:.0%} of the measures have a reading from the last hour."),
    ("nothing_expired", "No stored reading is older than 24 hours, plus the hour that the cleanup may take."),
    PLAUSIBLE,
)


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(name=name, asset="readings", description=description) for name, description in READINGS_CHECKS
    ]
)
def readings_checks(lake: LakeResource, clock: Clock) -> Iterator[dg.AssetCheckResult]:
    """Read all stored readings and check them."""
    now = clock.now()
    with explained():
        store = lake.open()
        windows, day, quarantined = examine(store, now)
        # Rejects cannot be fetched again: the API does not show them twice.
        quarantined += [name for window in store.damaged(REJECTS) if (name := store.quarantine(REJECTS, window))]
        measures, stations = (snapshot(store, table, now) for table in (MEASURES, STATIONS))
    found = {"windows": len(windows), "damaged": len(quarantined), "quarantined_as": ", ".join(quarantined) or "none"}
    yield _result("windows_readable", not quarantined, found)
    yield from judge(windows, day, now)
    yield plausible(day, measures, stations)


@dataclass(frozen=True)
class Window:
    """Counts of one stored window.

    Attributes:
        rows: all rows.
        duplicates: rows whose key occurs before.
        misplaced: rows whose time lies in another window.
        expired: rows that are older than 24 hours.
        oldest: the oldest time; None without rows.
    """

    rows: int
    duplicates: int
    misplaced: int
    expired: int
    oldest: datetime | None


def examine(store: Lake, now: datetime) -> tuple[dict[datetime, Window], Blocks, list[str]]:
    """Count and read the readable windows, and quarantine the others; return the names under which those are kept.

    Nothing else decodes a window that gets no new reading: it would stay damaged until the next reconcile. A quarantine
    makes the next tick read the whole day.
    """
    windows, day = look(store, now)
    damaged = [window for window, found in windows.items() if found is None]
    # None: another run has quarantined it meanwhile.
    quarantined = [name for window in damaged if (name := store.quarantine(READINGS, window))]
    return {window: found for window, found in windows.items() if found is not None}, day, quarantined


def look(store: Lake, now: datetime) -> tuple[dict[datetime, Window | None], Blocks]:
    """Decode each stored window once and whole; return its counts (None if it is damaged), and all rows.

    The rows are as stored, without the cut that `Lake.read` makes. Their columns are `at` (milliseconds since 1970),
    `value` (NaN for null) and `placed` (true if the station is known).
    """

    def counted(stored: StoredWindow) -> tuple[Window, Piece] | None:
        try:
            opened = store.load(READINGS, stored.key)
            # All columns although four are needed: damage in any of them would stop a reader.
            rows = READINGS.schema.empty_table() if opened is None else opened.file.read(coded=True)
        except DamagedWindowError:
            return None
        at = rows["date_time"].cast(TIME).cast(pa.int64()).to_numpy()
        piece = Piece.of(
            rows["measure_id"],
            {
                "at": at,
                "value": np.asarray(rows["value"].to_numpy(), np.float64),
                "placed": rows["station_id"].is_valid().to_numpy(),
            },
        )
        return _count(piece, stored.window, now), piece

    listed = store.windows(READINGS)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(counted, listed))
    windows = {stored.window: each and each[0] for stored, each in zip(listed, found, strict=True)}
    return windows, Blocks.of([each[1] for each in found if each])


def _count(piece: Piece, window: datetime, now: datetime) -> Window:
    at = piece.columns["at"]
    measure, time = ordered(piece.measure.indices.to_numpy().astype(np.int64), at)
    return Window(
        rows=len(at),
        duplicates=int(((measure[1:] == measure[:-1]) & (time[1:] == time[:-1])).sum()),
        misplaced=int(((at < to_ms(window)) | (at >= to_ms(window + WINDOW))).sum()),
        expired=int((at <= to_ms(cutoff(now))).sum()),
        oldest=from_ms(int(at.min())) if len(at) else None,
    )


def judge(windows: Mapping[datetime, Window], day: Blocks, now: datetime) -> Iterator[dg.AssetCheckResult]:
    """Return the results of the checks of `readings` on keys, times and stations.

    Args:
        windows: the counts of each stored window.
        day: their rows, as `look` returns them.
        now: decides which readings are fresh or expired.
    """
    rows = sum(window.rows for window in windows.values())
    duplicates = sum(window.duplicates for window in windows.values())
    yield _result("unique_keys", duplicates == 0, {"rows": rows, "duplicate_rows": duplicates})

    misplaced = [window for window, counts in windows.items() if counts.misplaced]
    yield _result(
        "times_in_window",
        not misplaced,
        {"windows": len(windows), "misplaced_rows": sum(windows[window].misplaced for window in misplaced)}
        | ({"first_window": f"{min(misplaced):%Y-%m-%d %H:%M}"} if misplaced else {}),
    )

    if not rows:
        nothing = {"rows": 0}
        for name in ("known_measures", "fresh_measures"):
            yield _result(name, False, nothing, dg.AssetCheckSeverity.WARN)
        yield _result("nothing_expired", True, nothing)
        return

    newest, known = _newest(day)
    yield _result(
        "known_measures",
        float(known.mean()) >= KNOWN_SHARE,
        {
            "measures": len(newest),
            "unknown": int((~known).sum()),
            "examples": ", ".join(day.measures.filter(pa.array(~known))[:NAMED].to_pylist()) or "none",
        },
        dg.AssetCheckSeverity.WARN,
    )

    ages = now.timestamp() - newest / 1000
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

    oldest = min(window.oldest for window in windows.values() if window.oldest)
    yield _result(
        "nothing_expired",
        oldest > now - RETENTION - CLEANUP_GRACE,
        {
            "expired_rows": sum(window.expired for window in windows.values()),
            "oldest_reading": dg.MetadataValue.timestamp(oldest),
            "cutoff": dg.MetadataValue.timestamp(cutoff(now)),
        },
    )


def _newest(day: Blocks) -> tuple[Ints, NDArray[np.bool_]]:
    """Return the newest time of each measure, and if any of its readings has a station."""
    newest, known = np.full(len(day.measures), np.iinfo(np.int64).min), np.zeros(len(day.measures), np.bool_)
    for codes, columns in day.pieces:
        if len(codes):
            start = np.flatnonzero(np.diff(codes, prepend=-1))
            newest[codes[start]] = np.maximum(newest[codes[start]], np.maximum.reduceat(columns["at"], start))
            known[codes[columns["placed"]]] = True
    return newest, known


def _result(
    name: str,
    passed: bool,
    metadata: Mapping[str, Any],
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key="readings", check_name=name, passed=passed, severity=severity, metadata=metadata
    )
