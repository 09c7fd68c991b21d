"""Say how the work on a lake goes: which step succeeded when, what failed, what is damaged, missing or overdue.

For those who watch over it by machine; `status` says it to a person, and reads all readings for that. Here footers, the
lists and the stored counts are enough.
"""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.grouping import Ints
from flood_assets.lake.lake import Lake
from flood_assets.lake.parquet import DamagedWindowError
from flood_assets.lake.read import Content
from flood_assets.ledger.account import CAUSES
from flood_assets.partitions import EPOCH, is_expired, retained_windows, utc
from flood_assets.query import flood_warnings
from flood_assets.query.alerts import stored_alerts
from flood_assets.query.status import OVERDUE, unhealed
from flood_assets.schemas import (
    COMPLETENESS,
    CONDITIONS,
    MEASURES,
    READINGS,
    REJECTS,
    STATIONS,
    TABLES,
    TIMELINESS,
    WARNING_AREAS,
    Table,
)
from flood_assets.warnings import in_force

# The API's; others push what they like, and that is `OTHER`.
PARAMETERS = ("level", "rainfall", "flow", "wind", "temperature")
OTHER = "other"
# Each leaves its time in the lake, whoever ran it.
STEPS = ("stations", "measures", "warning_areas", "readings", "completeness", "conditions", "warnings", "alerts")
COUNTS = ("expected", "received", "late", *CAUSES)
SEVERITIES = ("Extreme", "Severe", "Moderate", "Minor", "Unknown")
LEVELS = ("severe", "warning", "alert")


@dataclass(frozen=True)
class Health:
    """The work on a lake at a moment.

    Attributes:
        succeeded: when each step asked or counted last, by `STEPS`; a step that never did is not there.
        failed: the step that failed last, if nothing has healed that since.
        damaged: windows that cannot be read, by table.
        missing: windows of readings that should be there.
        overdue: expired windows that should have been deleted an hour ago.
        rejects: rows that could not be stored.
        alerts: those that are firing, by `SEVERITIES`; None where none were ever judged.
        warnings: those in force, by `LEVELS`.
    """

    succeeded: Mapping[str, datetime]
    failed: str | None
    damaged: Mapping[str, int]
    missing: int
    overdue: int
    rejects: int
    alerts: Mapping[str, int] | None
    warnings: Mapping[str, int]


def health(lake: Lake, now: datetime, damaged: int) -> Health:
    """Return the health of a lake at `now`; `damaged` windows of readings are known to whoever has read them.

    Of shards a step succeeded when it did in the shard where that is longest ago.

    Raises:
        LakeError: the lake cannot be read.
    """
    found = lake.each_shard(lambda shard: _health(shard, now))
    united = _united([*found.values()])
    return replace(united, damaged={READINGS.name: damaged, **united.damaged})


def _health(lake: Lake, now: datetime) -> Health:
    listed = {name: [each.window for each in lake.windows(table)] for name, table in TABLES.items()}
    retained = {name: [window for window in of if not is_expired(window, now)] for name, of in listed.items()}
    found = {name: lake.footers(table, retained[name]) for name, table in TABLES.items() if table is not READINGS}
    broken = {name: sum(isinstance(each, DamagedWindowError) for each in of.values()) for name, of in found.items()}
    marks = lake.watermarks()
    as_of = marks.as_of if marks is not None and marks.as_of > EPOCH else None
    failure = unhealed(lake.last_failure(), retained, None if marks is not None and marks.forgotten else as_of)
    alerts, warned = stored_alerts(lake, now), _warned(lake, now)
    levels = [] if warned is None else in_force(warned.rows)["severity_level"].to_pylist()
    succeeded = {
        "stations": _observed(lake, STATIONS, now),
        "measures": _observed(lake, MEASURES, now),
        "warning_areas": _observed(lake, WARNING_AREAS, now),
        "readings": as_of,
        "completeness": _observed(lake, TIMELINESS, now),
        "conditions": _observed(lake, CONDITIONS, now),
        "warnings": None if warned is None else warned.asked_at,
        "alerts": alerts.judged_at,
    }
    firing = [alert.severity for alert in alerts.firing]
    return Health(
        succeeded={step: at for step, at in succeeded.items() if at is not None},
        failed=None if failure is None else failure.step,
        damaged=broken,
        missing=len({*retained_windows(now)[1:-1]} - {*retained[READINGS.name]}),
        overdue=sum(is_expired(each, now - OVERDUE) for of in listed.values() for each in of),
        rejects=sum(each.rows for each in found[REJECTS.name].values() if isinstance(each, Content)),
        alerts=None if alerts.judged_at is None else {name: firing.count(name) for name in SEVERITIES},
        warnings={name: levels.count(level) for level, name in enumerate(LEVELS, 1)},
    )


def _united(parts: Sequence[Health]) -> Health:
    if len(parts) == 1:
        return parts[0]
    judged = [each.alerts for each in parts if each.alerts is not None]
    return Health(
        succeeded={
            step: min(each.succeeded[step] for each in parts if step in each.succeeded)
            for step in STEPS
            if any(step in each.succeeded for each in parts)
        },
        failed=next((each.failed for each in parts if each.failed is not None), None),
        damaged=_sums([each.damaged for each in parts]),
        missing=max((each.missing for each in parts), default=0),
        overdue=sum(each.overdue for each in parts),
        rejects=sum(each.rejects for each in parts),
        alerts=_sums(judged) if judged else None,
        warnings=_sums([each.warnings for each in parts]),
    )


def _sums(parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {name: sum(each[name] for each in parts) for name in (parts[0] if parts else ())}


def _observed(lake: Lake, table: Table, now: datetime) -> datetime | None:
    rows = lake.newest_snapshot(table, now, columns=["observed_at"])
    return None if rows is None else utc(pc.max(rows["observed_at"]).as_py())


def _warned(lake: Lake, now: datetime) -> flood_warnings.Known | None:
    try:
        return flood_warnings.known(lake, now)
    except DamagedWindowError:
        return None  # counted among the damaged ones


def counts(
    lake: Lake, now: datetime, measures: pa.Table, known: MutableMapping[tuple[datetime, str | None], Ints]
) -> Mapping[str, Sequence[int]]:
    """Return the last count of completeness: for each of `PARAMETERS` and `OTHER`, the sums of `COUNTS`.

    Args:
        lake: the lake.
        now: decides which windows are retained.
        measures: the newest list, schema `MEASURES`.
        known: sums by window and e-tag; those of other windows are added, those that have gone are taken out.

    Raises:
        LakeError: the lake cannot be read.
    """
    stored = {(each.window, each.e_tag) for each in lake.windows(COMPLETENESS) if not is_expired(each.window, now)}
    for gone in set(known) - stored:
        del known[gone]
    for key, sums in _summed(lake, sorted(stored - set(known)), measures):
        known[key] = sums
    total = sum(known.values(), np.zeros((len(PARAMETERS) + 1, len(COUNTS)), np.int64))
    return dict(zip((*PARAMETERS, OTHER), total.tolist(), strict=True))


def _summed(
    lake: Lake, wanted: Sequence[tuple[datetime, str | None]], measures: pa.Table
) -> Iterator[tuple[tuple[datetime, str | None], Ints]]:
    e_tags = dict(wanted)
    of_listed = parameters_of(measures)
    windows = lake.each(COMPLETENESS, [window for window, _ in wanted], columns=["measure_id", *COUNTS])
    for window, rows in windows:
        if isinstance(rows, DamagedWindowError):
            continue
        place = pc.index_in(rows["measure_id"], value_set=measures["measure_id"]).fill_null(-1).to_numpy()
        parameter = np.append(of_listed, len(PARAMETERS))[place]
        sums = [np.bincount(parameter, rows[name].to_numpy(), len(PARAMETERS) + 1) for name in COUNTS]
        yield (window, e_tags[window]), np.stack(sums, axis=1).astype(np.int64)


def parameters_of(measures: pa.Table) -> Ints:
    """Return the place of each listed measure's parameter in `PARAMETERS`, or behind them that of `OTHER`."""
    found: Ints = (
        pc.index_in(measures["parameter"], value_set=pa.array(PARAMETERS))
        .fill_null(len(PARAMETERS))
        .to_numpy()
        .astype(np.int64)
    )
    return found
