"""The checks of `readings`: whether what is stored can be read, is there once, in its place, known and fresh.

All of them look at the lake once, in one step: a step for each would cost more than the looking. Each window is decoded
once and whole, and of it only numbers are kept, so that a network a hundred times larger than a country fits.
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
from flood_assets.lake.lake import Lake, StoredWindow
from flood_assets.lake.parquet import DamagedWindowError
from flood_assets.partitions import RETENTION, WINDOW, cutoff, from_ms, to_ms
from flood_assets.schemas import MEASURES, READINGS, REJECTS, STATIONS, TIME

# Windows that are decoded at once. Of a network 100 times larger than a country each needs some 300 MB meanwhile.
AT_ONCE = 4

# 74 % of the measures were this fresh in the whole `latest` of 2024-02-29; below half, something is wrong.
FRESH = timedelta(hours=1)
FRESH_SHARE = 0.5

# The cleanup comes every 15 minutes; what it has not got to within the hour is a fault.
CLEANUP_GRACE = timedelta(hours=1)

# Measures appear before the hourly snapshot lists them; more than a tenth unknown means that the snapshot is old.
KNOWN_SHARE = 0.9

READINGS_CHECKS = (
    ("windows_can_be_read", "Each window can be decoded, `rejects` too; what cannot is quarantined and filled again."),
    ("unique_keys", "No reading is there twice."),
    ("times_inside_their_window", "Each reading lies in the window of its own time."),
    ("known_measures", f"At least {KNOWN_SHARE:.0%} of the measures are in the newest snapshot."),
    ("fresh_measures", f"At least {FRESH_SHARE:.0%} of the measures have a reading of the last hour."),
    ("nothing_past_its_day", "No stored reading is older than 24 hours, but for the hour that cleaning up may take."),
    PLAUSIBLE,
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
        windows, day, aside = examine(store, now)
        # What a damaged one held cannot be had again: the API does not repeat how it was asked.
        aside += [name for window in store.damaged(REJECTS) if (name := store.quarantine(REJECTS, window))]
        measures, stations = (snapshot(store, table, now) for table in (MEASURES, STATIONS))
    told = {"windows": len(windows), "damaged": len(aside), "kept_as": ", ".join(aside) or "none"}
    yield _result("windows_can_be_read", not aside, told)
    yield from judge(windows, day, now)
    yield plausible(day, measures, stations)


@dataclass(frozen=True)
class Window:
    """What was seen of one window.

    Attributes:
        rows: how many there are.
        twice: rows whose key is there already.
        misplaced: rows whose time lies in another window.
        past: rows that are older than a day.
        oldest: the oldest time; None without rows.
    """

    rows: int
    twice: int
    misplaced: int
    past: int
    oldest: datetime | None


def examine(store: Lake, now: datetime) -> tuple[dict[datetime, Window], Blocks, list[str]]:
    """What was seen of each window that can be decoded, their rows, and the names that the others were given.

    Nothing else decodes a window that no reading comes for: left alone, it would stay damaged until the next
    reconcile. Set aside, it makes the next tick read the whole day.
    """
    windows, day = look(store, now)
    damaged = [window for window, found in windows.items() if found is None]
    # Without a name, a run that found it at the same moment was quicker.
    aside = [name for window in damaged if (name := store.quarantine(READINGS, window))]
    return {window: found for window, found in windows.items() if found is not None}, day, aside


def look(store: Lake, now: datetime) -> tuple[dict[datetime, Window | None], Blocks]:
    """Decode each stored window once and whole: what was seen of it (None where it cannot be decoded), and all rows.

    The rows are as they are stored, as a reader would be spared what is to be found. Their columns are `at`
    (milliseconds since 1970), `value` (NaN where there is none) and `placed`: whether the station is known.
    """

    def seen(stored: StoredWindow) -> tuple[Window, Piece] | None:
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
        return _seen(piece, stored.window, now), piece

    listed = store.windows(READINGS)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(seen, listed))
    windows = {stored.window: each and each[0] for stored, each in zip(listed, found, strict=True)}
    return windows, Blocks.of([each[1] for each in found if each])


def _seen(piece: Piece, window: datetime, now: datetime) -> Window:
    at = piece.columns["at"]
    measure, time = ordered(piece.measure.indices.to_numpy().astype(np.int64), at)
    return Window(
        rows=len(at),
        twice=int(((measure[1:] == measure[:-1]) & (time[1:] == time[:-1])).sum()),
        misplaced=int(((at < to_ms(window)) | (at >= to_ms(window + WINDOW))).sum()),
        past=int((at <= to_ms(cutoff(now))).sum()),
        oldest=from_ms(int(at.min())) if len(at) else None,
    )


def judge(windows: Mapping[datetime, Window], day: Blocks, now: datetime) -> Iterator[dg.AssetCheckResult]:
    """The results of the checks of `readings` that look at keys, times and stations.

    Args:
        windows: what was seen of each stored window.
        day: their rows, as `look` gives them.
        now: the time to judge by.
    """
    rows = sum(window.rows for window in windows.values())
    twice = sum(window.twice for window in windows.values())
    yield _result("unique_keys", twice == 0, {"rows": rows, "rows_too_many": twice})

    misplaced = [window for window, seen in windows.items() if seen.misplaced]
    yield _result(
        "times_inside_their_window",
        not misplaced,
        {"windows": len(windows), "misplaced_rows": sum(windows[window].misplaced for window in misplaced)}
        | ({"first_window": f"{min(misplaced):%Y-%m-%d %H:%M}"} if misplaced else {}),
    )

    if not rows:
        nothing = {"rows": 0}
        for name in ("known_measures", "fresh_measures"):
            yield _result(name, False, nothing, dg.AssetCheckSeverity.WARN)
        yield _result("nothing_past_its_day", True, nothing)
        return

    newest, known = _newest(day)
    yield _result(
        "known_measures",
        float(known.mean()) >= KNOWN_SHARE,
        {
            "measures": len(newest),
            "unknown": int((~known).sum()),
            "some_of_them": ", ".join(day.measures.filter(pa.array(~known))[:NAMED].to_pylist()) or "none",
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
        "nothing_past_its_day",
        oldest > now - RETENTION - CLEANUP_GRACE,
        {
            "rows_past_24_hours": sum(window.past for window in windows.values()),
            "oldest_reading": dg.MetadataValue.timestamp(oldest),
            "cutoff": dg.MetadataValue.timestamp(cutoff(now)),
        },
    )


def _newest(day: Blocks) -> tuple[Ints, NDArray[np.bool_]]:
    """Of each measure its newest time, and whether any of its readings has a station."""
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
