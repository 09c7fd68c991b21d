"""Follow flood warnings from list to list: what is new, what changed, what is no longer in force."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa

from flood_assets.partitions import cutoff
from flood_assets.schemas import WARNINGS

NO_LONGER_IN_FORCE = 4

# What our own request adds says nothing of whether the warning changed.
_OURS = ("first_seen_at", "changed_at", "previous_severity_level", "revision", "left_at", "observed_at")
_GIVEN = [name for name in WARNINGS.schema.names if name not in _OURS]


def follow(before: pa.Table | None, listed: pa.Table, now: datetime) -> pa.Table:
    """Return the warnings of the last 24 hours as they are now known.

    An area that is no longer listed is no longer in force; it is kept for a day with the time at which it left. One
    that is listed again counts as changed. Nothing else ends a warning, however old its message is.

    Args:
        before: the warnings as they were known before, schema `schemas.WARNINGS`; None for none.
        listed: the API's list of now: the columns of `WARNINGS` that the API gives, and observed_at.
        now: when it was asked.

    Returns:
        Schema `WARNINGS`, by flood_area_id.
    """
    known = {} if before is None else {row["flood_area_id"]: row for row in before.to_pylist()}
    rows = {row["flood_area_id"]: _met(known.get(row["flood_area_id"]), row) for row in listed.to_pylist()}
    edge = cutoff(now)
    for area, row in known.items():
        if area not in rows and (row["left_at"] is None or row["left_at"] > edge):
            rows[area] = _left(row, now)
    return pa.Table.from_pylist([rows[area] for area in sorted(rows)], schema=WARNINGS.schema)


def _met(then: Mapping[str, Any] | None, row: dict[str, Any]) -> dict[str, Any]:
    """Return a listed warning with what is remembered of it."""
    now = row["observed_at"]
    fresh = {"first_seen_at": now, "changed_at": now, "previous_severity_level": None, "revision": 0, "left_at": None}
    if then is None:
        return {**row, **fresh}
    kept = {**row, **{name: then[name] for name in fresh}, "left_at": None}
    if then["left_at"] is None and all(row[name] == then[name] for name in _GIVEN):
        return kept
    return _changed(kept, then, now)


def _left(then: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return a warning that is not listed."""
    if then["left_at"] is not None:
        return {**then, "observed_at": now}
    row = {**then, "severity_level": NO_LONGER_IN_FORCE, "left_at": now, "observed_at": now}
    return _changed(row, then, now)


def _changed(row: dict[str, Any], then: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    row |= {"changed_at": now, "revision": then["revision"] + 1}
    if row["severity_level"] != then["severity_level"]:
        row["previous_severity_level"] = then["severity_level"]
    return row
