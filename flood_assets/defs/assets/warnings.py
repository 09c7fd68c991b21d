"""Flood warnings, followed from tick to tick, and the areas that they are for.

How they are followed is in `flood_assets.warnings`. Both tables have hourly windows like the others, but Dagster sees
each as a whole: only the list as it is now can be asked for.
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.defs.assets.stations import warn_of
from flood_assets.defs.assets.tables import API_POOL, RETRIES, computed
from flood_assets.defs.charts import table
from flood_assets.defs.failures import explained
from flood_assets.defs.resources import Clock, LakeResource, Source
from flood_assets.ea.lists import times_ahead
from flood_assets.errors import SourceError
from flood_assets.schemas import TIME, WARNING_AREAS, WARNINGS
from flood_assets.tick.lists import list_areas, list_warnings
from flood_assets.tick.outputs import Snapshot
from flood_assets.warnings import NO_LONGER_IN_FORCE, in_force

LISTED = "warnings_listed"
# Warnings in the preview.
_SHOWN = 10
_LEVELS = {1: "severe_flood_warnings", 2: "flood_warnings", 3: "flood_alerts"}


@computed(WARNING_AREAS, pool=API_POOL, retry_policy=RETRIES)
def warning_areas(
    context: dg.AssetExecutionContext, source: Source, lake: LakeResource, clock: Clock
) -> dg.MaterializeResult[Snapshot]:
    """List every flood area for which a warning or an alert can be issued, with its centre and its river.

    One row per area, keyed by `flood_area_id`. About 4,400 rows from one request, once a day.
    """
    with explained(), closing(source.open(clock)) as api:
        now, store = clock.now(), lake.open()
        store.claim(source.base_url)
        found = list_areas(api, store, now)
    warn_of(context, found.rejects)
    told = {
        "rejected": len(found.rejects),
        "with_coordinates": len(found.rows) - found.rows["lat"].null_count,
        "incomplete": _incomplete(found.rows),
    }
    return dg.MaterializeResult(value=found, metadata=told)


@computed(
    WARNINGS,
    # For the names of the areas.
    deps=["warning_areas"],
    pool=API_POOL,
    # The readings of a tick wait for nothing and fail for nothing: the list comes last, and is not needed for success.
    op_tags={"dagster/priority": "-1"},
    output_required=False,
    check_specs=[
        dg.AssetCheckSpec(
            LISTED, asset="warnings", description="The API gave its list of warnings whole; else the last one stands."
        )
    ],
)
def warnings(
    context: dg.AssetExecutionContext, source: Source, lake: LakeResource, clock: Clock
) -> Iterator[dg.MaterializeResult[Snapshot]]:
    """List the flood alerts and warnings of the last 24 hours, with what changed and what is no longer in force.

    One row per area, keyed by `flood_area_id`. An area that leaves the API's list is no longer in force, and known for
    a day more; an empty list is a calm day. If the API does not give the list, nothing is materialized, the check
    `warnings_listed` warns, and the last list stands.
    """
    with explained(), closing(source.open(clock)) as api:
        now, store = clock.now(), lake.open()
        store.claim(source.base_url)
        try:
            found = list_warnings(api, store, now)
        except SourceError as error:
            context.log.warning("the flood warnings were not listed: %s. The last list stands", error)
            yield _judged(passed=False, reason=str(error))
            return
    rows, rejects = found.snapshot.rows, found.snapshot.rejects
    warn_of(context, rejects)
    context.log.info("%d flood warnings and alerts in force", len(in_force(rows)))
    yield dg.MaterializeResult(
        value=found.snapshot, metadata=described(rows, found.rows, found.asked_at) | {"rejected": len(rejects)}
    )
    yield _judged(passed=not found.odd, reason=found.odd)


def _judged(*, passed: bool, reason: str) -> Any:
    # For the type checker a result of the asset: Dagster takes both.
    return dg.AssetCheckResult(
        check_name=LISTED,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"reason": reason} if reason else {},
    )


def described(rows: pa.Table, listed: pa.Table, asked_at: datetime) -> dict[str, Any]:
    """Return metadata of the warnings as they are known after a list: what is in force, what changed, what is odd."""
    present, moment = in_force(rows), pa.scalar(asked_at, TIME)
    levels = present["severity_level"].to_pylist()
    changed = pc.equal(rows["changed_at"], moment)
    first, left = pc.equal(rows["revision"], 0), pc.fill_null(pc.equal(rows["left_at"], moment), False)
    if_london, if_utc = times_ahead(listed, asked_at)
    return {
        "in_force": len(present),
        **{name: levels.count(level) for level, name in _LEVELS.items()},
        "severity_unknown": sum(level not in _LEVELS for level in levels),
        "listed_as_ended": listed["severity_level"].to_pylist().count(NO_LONGER_IN_FORCE),
        "new": _count(pc.and_(changed, first)),
        "changed": _count(pc.and_not(pc.and_not(changed, first), left)),
        "left": _count(left),
        "incomplete": _incomplete(listed),
        "times_ahead_if_london": if_london,
        "times_ahead_if_utc": if_utc,
        "asked_at": dg.MetadataValue.timestamp(asked_at),
        "preview": _preview(present),
    }


def _incomplete(rows: pa.Table) -> int:
    """Count the rows in which the API left out a field, or gave none that can be stored."""
    complete = pa.array([True] * len(rows), pa.bool_())
    for name in rows.column_names:
        complete = pc.and_(complete, pc.is_valid(rows[name]))
    return len(rows) - _count(complete)


def _count(mask: pa.ChunkedArray | pa.Array) -> int:
    return pc.sum(mask).as_py() or 0


def _preview(present: pa.Table) -> dg.MarkdownMetadataValue:
    """Return a table of the most severe warnings in force."""
    order = [("severity_level", "ascending"), ("severity_changed_at", "descending")]
    worst = present.take(pc.sort_indices(present, sort_keys=order)[:_SHOWN]).to_pylist()
    shown = [
        (row["severity"], row["label"] or row["description"], _time(row["severity_changed_at"]), row["county"])
        for row in worst
    ]
    return table(["severity", "area", "since (UTC)", "county"], shown)


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""
