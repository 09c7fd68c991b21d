"""The checks of `readings`: readable, unique, in their window, known, fresh, not expired.

One step reads the lake once for all of them. Each window is decoded once and whole, and only numbers of it are kept, so
that a network a hundred times larger than a country fits into memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from dagster import AssetCheckResult as Result
from dagster import AssetCheckSeverity as Severity
from numpy.typing import NDArray

from flood_assets.defs.assets.tables import check_specs
from flood_assets.defs.failures import explained
from flood_assets.defs.resources import Clock, LakeResource
from flood_assets.grouping import Blocks, Ints, Piece, ordered
from flood_assets.lake.lake import Lake
from flood_assets.lake.parquet import DamagedWindowError
from flood_assets.ledger.day import milliseconds
from flood_assets.partitions import RETENTION, WINDOW, cutoff, from_ms, to_ms
from flood_assets.schemas import READINGS, REJECTS, pushed

# 74 % of the measures were this fresh in the whole `latest` of 2024-02-29; below half, something is wrong.
FRESH = timedelta(hours=1)
FRESH_SHARE = 0.5
# The cleanup runs every 15 minutes; rows that it has not removed within the hour are a fault.
CLEANUP_GRACE = timedelta(hours=1)
# Measures appear before the hourly snapshot lists them; more than a tenth unknown means that the snapshot is old.
KNOWN_SHARE = 0.9
# The most measures that are named as examples.
NAMED = 5

READINGS_CHECKS = (
    ("windows_readable", "Every window is readable, also of `rejects`; others are quarantined and fetched again."),
    ("unique_keys", "No reading is stored twice."),
    ("times_in_window", "Each reading is stored in the window of its own time."),
    ("known_measures", f"At least {KNOWN_SHARE:.0%} of the measures are in the newest snapshot."),
    ("fresh_measures", f"At least {FRESH_SHARE:.0%} of the measures have a reading from the last hour."),
    ("nothing_expired", "No stored reading is older than 24 hours, plus the hour that the cleanup may take."),
)


@dg.multi_asset_check(specs=check_specs("readings", READINGS_CHECKS))
def readings_checks(lake: LakeResource, clock: Clock) -> Iterator[Result]:
    """Read all stored readings and check them."""
    now = clock.now()
    with explained():
        store = lake.open()
        windows, day, quarantined = examine(store)
        # Rejects cannot be fetched again: the API does not show them twice.
        quarantined += [name for window in store.damaged(REJECTS) if (name := store.quarantine(REJECTS, window))]
    found = {"windows": len(windows), "damaged": len(quarantined), "quarantined_as": ", ".join(quarantined) or "none"}
    yield _result("windows_readable", not quarantined, found)
    yield from judge(windows, day, now)


def examine(store: Lake) -> tuple[list[datetime], Blocks, list[str]]:
    """Read the readable windows, and quarantine the others; return the names under which those are kept.

    Nothing else decodes a window that gets no new reading: it would stay damaged until the next reconcile. A quarantine
    makes the next tick read the whole day.
    """
    readable, damaged, day = look(store)
    # None: another run has quarantined it meanwhile.
    return readable, day, [name for window in damaged if (name := store.quarantine(READINGS, window))]


def look(store: Lake) -> tuple[list[datetime], list[datetime], Blocks]:
    """Decode each stored window once and whole; return the readable windows, the damaged ones, and all rows.

    The rows are as stored, without the cut that `Lake.read` makes: a piece for each readable window. Their columns are
    `at` (milliseconds since 1970) and `placed` (true if the station is known).
    """
    pieces: dict[datetime, Piece] = {}
    damaged = []
    # All columns although three are needed: damage in any of them would stop a reader.
    for window, rows in store.each(READINGS, [stored.window for stored in store.windows(READINGS)], coded=True):
        if isinstance(rows, DamagedWindowError):
            damaged.append(window)
            continue
        at = milliseconds(rows["date_time"])
        pieces[window] = Piece.of(rows["measure_id"], {"at": at, "placed": rows["station_id"].is_valid().to_numpy()})
    return list(pieces), damaged, Blocks.of(list(pieces.values()))


def judge(windows: Sequence[datetime], day: Blocks, now: datetime) -> Iterator[Result]:
    """Return the results of the checks of `readings` on keys, times and stations.

    The readable windows and their rows are as `look` returns them; `now` decides which are fresh or expired.
    """
    times = [columns["at"] for _, columns in day.pieces]
    rows = sum(map(len, times))
    duplicates = 0
    for codes, columns in day.pieces:
        measure, time = ordered(codes.astype(np.int64), columns["at"])
        duplicates += int(((measure[1:] == measure[:-1]) & (time[1:] == time[:-1])).sum())
    yield _result("unique_keys", duplicates == 0, {"rows": rows, "duplicate_rows": duplicates})

    outside = {
        window: int(((at < to_ms(window)) | (at >= to_ms(window + WINDOW))).sum())
        for window, at in zip(windows, times, strict=True)
    }
    misplaced = [window for window, count in outside.items() if count]
    yield _result(
        "times_in_window",
        not misplaced,
        {"windows": len(windows), "misplaced_rows": sum(outside.values())}
        | ({"first_window": f"{misplaced[0]:%Y-%m-%d %H:%M}"} if misplaced else {}),
    )

    of_api = pc.invert(pushed(pa.chunked_array([day.measures])))
    if not pc.any(of_api).as_py():
        for name in ("known_measures", "fresh_measures"):
            yield _result(name, False, {"rows": 0}, Severity.WARN)
    else:
        yield from _judge_measures(day, of_api.to_numpy(), now)
    if not rows:
        yield _result("nothing_expired", True, {"rows": 0})
        return
    oldest = from_ms(min(int(at.min()) for at in times if len(at)))
    yield _result(
        "nothing_expired",
        oldest > now - RETENTION - CLEANUP_GRACE,
        {
            "expired_rows": sum(int((at <= to_ms(cutoff(now))).sum()) for at in times),
            "oldest_reading": dg.MetadataValue.timestamp(oldest),
            "cutoff": dg.MetadataValue.timestamp(cutoff(now)),
        },
    )


def _judge_measures(day: Blocks, of_api: NDArray[np.bool_], now: datetime) -> Iterator[Result]:
    """Return the results of the checks of the API's measures; what others push says nothing of the API."""
    newest, known = (column[of_api] for column in _newest(day))
    unknown = day.measures.filter(pa.array(of_api)).filter(pa.array(~known))
    yield _result(
        "known_measures",
        float(known.mean()) >= KNOWN_SHARE,
        {
            "measures": len(newest),
            "unknown": len(unknown),
            "examples": ", ".join(unknown[:NAMED].to_pylist()) or "none",
        },
        Severity.WARN,
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
        Severity.WARN,
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


def _result(name: str, passed: bool, metadata: Mapping[str, Any], severity: Severity = Severity.ERROR) -> Result:
    return Result(asset_key="readings", check_name=name, passed=passed, severity=severity, metadata=metadata)
