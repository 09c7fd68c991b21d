"""Follow flood warnings from list to list: new ones, changes, and those that are no longer in force. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.partitions import cutoff
from flood_assets.schemas import WARNINGS

NO_LONGER_IN_FORCE = 4

# What our own requests add says nothing of whether the warning changed.
_OURS = ("label", "first_seen_at", "changed_at", "previous_severity_level", "revision", "left_at", "observed_at")
_GIVEN = [name for name in WARNINGS.schema.names if name not in _OURS]


def follow(before: pa.Table | None, listed: pa.Table, now: datetime, *, whole: bool = True) -> pa.Table:
    """Return the warnings of the last 24 hours as they are now known.

    An area that is no longer listed is no longer in force; it is kept for a day with the time at which it left. One
    that is listed again counts as changed. Nothing else ends a warning, however old its message is.

    Args:
        before: the warnings as they were known before, schema `schemas.WARNINGS`; None for none.
        listed: the API's list of now: the columns of `WARNINGS` that the API gives, and observed_at.
        now: when it was asked.
        whole: False for a list with items whose area is not known: such a list ends no warning.

    Returns:
        Schema `WARNINGS`, by flood_area_id.
    """
    edge = cutoff(now)
    there = [] if before is None else before.to_pylist()
    known = {row["flood_area_id"]: row for row in there if row["left_at"] is None or row["left_at"] > edge}
    rows = {row["flood_area_id"]: _met(known.get(row["flood_area_id"]), row) for row in listed.to_pylist()}
    for area, row in known.items():
        if area not in rows:
            rows[area] = _left(row, now) if whole else row
    return pa.Table.from_pylist([rows[area] for area in sorted(rows)], schema=WARNINGS.schema)


def in_force(rows: pa.Table) -> pa.Table:
    """Return the warnings that are listed and not as no longer in force; one of unknown severity is in force."""
    ended = pc.fill_null(pc.equal(rows["severity_level"], NO_LONGER_IN_FORCE), False)
    return rows.filter(pc.and_not(pc.is_null(rows["left_at"]), ended))


def named(rows: pa.Table, areas: pa.Table | None) -> pa.Table:
    """Return the warnings with the `label` that their area has in a list of areas, or else had before."""
    if areas is None:
        return rows
    at = pc.index_in(rows["flood_area_id"], value_set=areas["flood_area_id"].combine_chunks())
    label = pc.coalesce(areas["label"].take(at), rows["label"])
    return rows.set_column(rows.schema.get_field_index("label"), WARNINGS.schema.field("label"), label)


def _met(then: Mapping[str, Any] | None, row: dict[str, Any]) -> dict[str, Any]:
    """Return a listed warning with what is remembered of it."""
    now = row["observed_at"]
    fresh = {"label": None, "first_seen_at": now, "changed_at": now}
    fresh |= {"previous_severity_level": None, "revision": 0, "left_at": None}
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
