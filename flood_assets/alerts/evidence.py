"""Gather by what rules are judged: the gauges that they choose, the readings of these, and what the API was asked.

`gather` reads the lake once; `Evidence` is plain values, and judging it looks at nothing else.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets import quality, query
from flood_assets.alerts.episodes import Point
from flood_assets.alerts.rules import Rule
from flood_assets.lake.lake import Lake
from flood_assets.lake.parquet import DamagedWindowError
from flood_assets.ledger.day import milliseconds
from flood_assets.partitions import RETENTION, from_ms, to_ms, utc
from flood_assets.query import flood_warnings, nearby
from flood_assets.query.conditions import MISSED_UPLOADS, NO_VALUES, Known
from flood_assets.query.filters import Gauges
from flood_assets.query.place import Place
from flood_assets.query.question import Question
from flood_assets.schemas import MEASURES, STATIONS, TIMELINESS, WARNING_AREAS

# Delay of a gauge whose own is not known: two rounds of asking.
USUAL_DELAY = timedelta(minutes=30)
USUAL_INTERVAL = timedelta(minutes=15)
_HOURLY_S = 3600


@dataclass(frozen=True)
class Gauge:
    """A gauge with its usable readings of the last 24 hours.

    Attributes:
        measure_id, station_id, label, unit, lat, long: which it is, and where.
        is_level: True for a level; the usual hysteresis of others is a share.
        interval, delay: its reporting interval and usual delay; None where they are not known.
        due_after: how long after a reading the next upload is due at most.
        newest_at: time of its newest reading, usable or not; None without any in the snapshot's memory.
        scale: typical low, typical high and highest level on record; None where no range belongs to the measure.
        readings: those that are one number and not flagged as fail, in order of time; `side` is 0.
        known_at: when each was known, ms since 1970.
        seen: time (ms) of each reading, also of those that are not usable, and when it was known.
    """

    measure_id: str
    station_id: str | None = None
    label: str = ""
    unit: str | None = None
    lat: float | None = None
    long: float | None = None
    is_level: bool = True
    interval: timedelta | None = None
    delay: timedelta | None = None
    due_after: timedelta | None = None
    newest_at: datetime | None = None
    scale: tuple[float, float, float] | None = None
    readings: tuple[Point, ...] = ()
    known_at: tuple[int, ...] = ()
    seen: tuple[tuple[int, int], ...] = ()

    @property
    def next_due_at(self) -> datetime | None:
        """When the next reading is due; None where that is not known."""
        if self.newest_at is None or self.interval is None or self.due_after is None:
            return None
        return self.newest_at + self.interval + self.due_after

    @property
    def silent_from(self) -> datetime | None:
        """When it counts as silent: after three more missed uploads."""
        if self.next_due_at is None or self.interval is None or self.due_after is None:
            return None
        return self.next_due_at + MISSED_UPLOADS * (self.interval + self.due_after)

    def at(self, moment: datetime) -> "Gauge":
        """Return the gauge as it was known at a moment."""
        ms = to_ms(moment)
        kept = [place for place, known in enumerate(self.known_at) if known <= ms and self.readings[place].at <= ms]
        seen = [each for each in self.seen if each[1] <= ms]
        newest = max((at for at, _ in seen), default=None)
        return replace(
            self,
            readings=tuple(self.readings[place] for place in kept),
            known_at=tuple(self.known_at[place] for place in kept),
            seen=tuple(seen),
            newest_at=from_ms(newest) if newest is not None else None if self.seen else self.newest_at,
        )


@dataclass(frozen=True)
class Evidence:
    """All that rules are judged by.

    Attributes:
        gauges: the gauges that any rule chooses, by measure_id.
        chosen: for each rule's name the measure_ids, or for warnings the warnings in force (rows of `WARNINGS`); None
            for a rule whose evidence cannot be read, or is old.
        notes: why a rule chooses nothing, or cannot be judged.
        asked: when the API was asked, oldest first.
        overdue: gauges that report each hour at least and of which the next reading was due when the API was last
            asked; None where that is not known.
        reporting: of how many.
    """

    gauges: Mapping[str, Gauge] = field(default_factory=dict)
    chosen: Mapping[str, Sequence[str] | Sequence[Mapping[str, Any]] | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    asked: tuple[datetime, ...] = ()
    overdue: int | None = None
    reporting: int = 0

    def asked_at(self, now: datetime) -> datetime | None:
        """Return when the API was last asked by then; None if it never was."""
        return max((each for each in self.asked if each <= now), default=None)

    def at(self, moment: datetime) -> "Evidence":
        """Return what was known of the gauges at a moment; warnings and the API as a whole are as they are now."""
        return replace(self, gauges={name: gauge.at(moment) for name, gauge in self.gauges.items()}, overdue=None)


def gather(lake: Lake, rules: Sequence[Rule], now: datetime) -> Evidence:
    """Read what the rules are judged by.

    Raises:
        LakeError: the lake could not be read.
    """
    # Before the readings: a run that ends meanwhile stores the readings first.
    marks = lake.watermarks()
    asked = () if marks is None else tuple(sorted({*marks.asked.polls, *filter(None, [marks.asked.last])}))
    notes: list[str] = []
    chosen: dict[str, Any] = {}
    # One place for all rules, as it reads each snapshot once.
    place = Place.of(lake, now)
    for rule in rules:
        if rule.kind == "warning":
            chosen[rule.name] = _warnings(lake, rule, now, notes)
        elif rule.kind != "api_late":
            chosen[rule.name] = _measures(place, rule, notes)
    ids = sorted({each for rule in rules for each in chosen.get(rule.name) or () if rule.kind != "warning"})
    timeliness = lake.newest_snapshot(TIMELINESS, now)
    timeliness = TIMELINESS.schema.empty_table() if timeliness is None else timeliness
    overdue, reporting = _overdue(timeliness, asked[-1] if asked else None, now)
    gauges = _gauges(lake, place, ids, timeliness) if ids else {}
    missing = () if place.lake is None else place.lake.troubles
    noted = tuple(dict.fromkeys([*lake.troubles, *missing, *notes]))
    return Evidence(gauges, chosen, noted, asked, overdue, reporting)


def _measures(place: Place, rule: Rule, notes: list[str]) -> list[str]:
    asked = Question(place, Gauges.of(_filters(rule)), ("measure_id", "station_id"), joined=False)
    found = asked.answer(asked.snapshot(MEASURES))
    rows = found.rows
    notes += [f"rule '{rule.name}': {note}" for note in found.notes]
    if rule.bbox or rule.near:
        stations = place.snapshot(STATIONS)
        here = _inside(STATIONS.schema.empty_table() if stations is None else stations, rule)["station_id"]
        rows = rows.filter(pc.is_in(rows["station_id"], value_set=here.combine_chunks()))
        if not len(rows) and not found.notes:
            notes.append(f"rule '{rule.name}': no such gauge lies there")
    ids: list[str] = rows["measure_id"].to_pylist()
    return ids


def _filters(rule: Rule) -> Any:
    return {name: list(texts) for name, texts in rule.gauges.items()}


def _inside(rows: pa.Table, rule: Rule) -> pa.Table:
    """Return the rows with a position in the box of a rule and near its point."""
    if rule.bbox:
        lat, long = (np.asarray(rows[name].to_numpy(), np.float64) for name in ("lat", "long"))
        rows = rows.filter(pa.array(nearby.in_box(lat, long, rule.bbox)))
    if rule.near:
        point = pa.table({"lat": [rule.near[0]], "long": [rule.near[1]]})
        rows = rows.take(pa.array(np.sort(nearby.near(point, rows, rule.km).second)))
    return rows


def _warnings(lake: Lake, rule: Rule, now: datetime, notes: list[str]) -> list[Mapping[str, Any]] | None:
    """Return the warnings in force that a rule chooses; None if it is not known which are."""
    try:
        known = flood_warnings.known(lake, now)
    except DamagedWindowError as error:
        notes.append(f"rule '{rule.name}': {error}")
        return None
    if known is None or now - known.asked_at > flood_warnings.OVERDUE:
        when = "there is none" if known is None else f"the last is of {known.asked_at:%Y-%m-%d %H:%MZ}"
        notes.append(f"rule '{rule.name}': no list of flood warnings of the last hour ({when}), so nothing is known")
        return None
    found = query.warnings(lake, now, **_filters(rule))
    # That nothing is in force is a calm day; other notes are of names.
    notes += [f"rule '{rule.name}': {note}" for note in found.notes if "no such flood warning" not in note]
    areas = lake.newest_snapshot(WARNING_AREAS, now, columns=("flood_area_id", "lat", "long"))
    areas = WARNING_AREAS.schema.empty_table() if areas is None else areas
    rows = found.rows
    at = pc.index_in(rows["flood_area_id"], value_set=areas["flood_area_id"].combine_chunks())
    for name in ("lat", "long"):
        rows = rows.append_column(name, areas[name].take(at))
    return _inside(rows, rule).to_pylist()


def _overdue(timeliness: pa.Table, asked: datetime | None, now: datetime) -> tuple[int | None, int]:
    """Count the gauges of the last day that were due when the API was last asked, and all of them."""
    if asked is None:
        return None, 0
    due, newest = timeliness["next_due_at"], timeliness["newest_at"]
    hourly = pc.less_equal(timeliness["interval_s"], _HOURLY_S)
    here = pc.and_(pc.and_(pc.is_valid(due), hourly), pc.greater(newest, pa.scalar(now - RETENTION, newest.type)))
    late = pc.and_(here, pc.less_equal(due, pa.scalar(asked, due.type)))
    return pc.sum(late).as_py() or 0, pc.sum(here).as_py() or 0


def _gauges(lake: Lake, place: Place, ids: Sequence[str], timeliness: pa.Table) -> dict[str, Gauge]:
    measures, stations = (place.snapshot(table) for table in (MEASURES, STATIONS))
    measures = MEASURES.schema.empty_table() if measures is None else measures
    stations = STATIONS.schema.empty_table() if stations is None else stations
    columns = ("measure_id", "date_time", "value", "flag", "first_seen_at")
    rows = query.readings(lake, place.now, columns=columns, flags=True, measure=list(ids)).rows
    readings, seen, known = _readings(rows, timeliness)
    listed = pc.unique(pa.concat_arrays([measures["measure_id"].combine_chunks(), pa.array(ids, pa.string())]))
    listed = listed.take(pc.array_sort_indices(listed))
    scales = _scales(Known.of(listed, measures, stations, timeliness), readings)
    of_measure = {row["measure_id"]: row for row in _some(measures, "measure_id", ids)}
    by_id = {row["station_id"]: row for row in stations.to_pylist()}
    labels = _labels(by_id, measures)
    reporting = {row["measure_id"]: row for row in _some(timeliness, "measure_id", ids)}
    return {
        each: _gauge(
            each,
            labels.get(each, each),
            of_measure.get(each, {}),
            by_id.get(of_measure.get(each, {}).get("station_id"), {}),
            reporting.get(each, {}),
            scales.get(each),
            readings.get(each, []),
            known.get(each, []),
            seen.get(each, []),
        )
        for each in ids
    }


def _labels(stations: Mapping[str, Mapping[str, Any]], measures: pa.Table) -> dict[str, str]:
    """Return a name for each measure: the station's; its id or the qualifier too, where others have the same.

    Most rain gauges are called "Rainfall station", and some stations have a level upstream and one downstream.
    """
    common = Counter(row["label"] for row in stations.values())
    rows = measures.select(["measure_id", "station_id", "parameter", "qualifier"]).to_pylist()
    several = defaultdict[tuple[Any, Any], set[Any]](set)
    for row in rows:
        several[row["station_id"], row["parameter"]].add(row["qualifier"])
    found = {}
    for row in rows:
        label = stations.get(row["station_id"], {}).get("label")
        if label is None:
            continue
        label = f"{label} ({row['station_id']})" if common[label] > 1 else label
        more = len(several[row["station_id"], row["parameter"]]) > 1 and row["qualifier"]
        found[row["measure_id"]] = f"{label}, {row['qualifier']}" if more else label
    return found


def _some(rows: pa.Table, name: str, ids: Sequence[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rows.filter(pc.is_in(rows[name], value_set=pa.array(ids, pa.string()))).to_pylist()
    return found


def _gauge(
    measure_id: str,
    label: str,
    measure: Mapping[str, Any],
    station: Mapping[str, Any],
    reporting: Mapping[str, Any],
    scale: tuple[float, float, float] | None,
    readings: list[Point],
    known: list[int],
    seen: list[tuple[int, int]],
) -> Gauge:
    interval, delay, due = (
        None if (seconds := reporting.get(name)) is None else timedelta(seconds=seconds)
        for name in ("interval_s", "usual_delay_s", "due_after_s")
    )
    newest = max((at for at, _ in seen), default=None)
    remembered = reporting.get("newest_at")
    return Gauge(
        measure_id=measure_id,
        station_id=measure.get("station_id"),
        label=label,
        unit=measure.get("unit"),
        lat=station.get("lat"),
        long=station.get("long"),
        is_level=measure.get("parameter") == "level",
        interval=interval,
        delay=delay,
        due_after=due,
        newest_at=from_ms(newest) if newest is not None else remembered and utc(remembered),
        scale=scale,
        readings=tuple(readings),
        known_at=tuple(known),
        seen=tuple(seen),
    )


def _readings(
    rows: pa.Table, timeliness: pa.Table
) -> tuple[dict[str, list[Point]], dict[str, list[tuple[int, int]]], dict[str, list[int]]]:
    """Return the usable readings of each measure, the times of all with when they were known, and of the usable ones.

    The first fill of a lake shows a day at once, so of its readings nobody saw when they came: they count as known
    after the usual delay.
    """
    delays = dict(zip(*(timeliness[name].to_pylist() for name in ("measure_id", "usual_delay_s")), strict=True))
    usual = USUAL_DELAY // timedelta(seconds=1)
    rows = rows.sort_by([("measure_id", "ascending"), ("date_time", "ascending")])
    at, first_seen = (milliseconds(rows[name]).tolist() for name in ("date_time", "first_seen_at"))
    fill = min(first_seen, default=0)
    value = np.asarray(rows["value"].to_numpy(), np.float64)
    flag = np.asarray(rows["flag"].to_numpy(), np.int8)
    usable = np.isfinite(value) & (flag != quality.FAIL) & ~np.isin(value, NO_VALUES)
    readings, seen, known = (
        defaultdict[str, list[Point]](list),
        defaultdict[str, Any](list),
        defaultdict[str, Any](list),
    )
    columns = (rows["measure_id"].to_pylist(), at, first_seen, value.tolist(), flag.tolist(), usable.tolist())
    for measure, moment, shown, number, worst, good in zip(*columns, strict=True):
        came = shown
        if shown == fill:
            delay = delays.get(measure)
            came = min(shown, moment + 1000 * (usual if delay is None else delay))
        seen[measure].append((moment, came))
        if good:
            readings[measure].append(Point(moment, number, 0, worst))
            known[measure].append(came)
    return readings, seen, known


def _scales(known: Known, readings: Mapping[str, Sequence[Point]]) -> dict[str, tuple[float, float, float]]:
    """Return typical low, typical high and highest level of the measures to which the station's range belongs."""
    ids = known.ids.to_pylist()
    medians = np.array([np.median([p.value for p in readings[each]]) if readings.get(each) else np.nan for each in ids])
    fits = known.gauges.limits.on_scale(medians) & np.isfinite(medians) & (known.low <= known.high)
    return {
        ids[place]: (float(known.low[place]), float(known.high[place]), float(known.highest[place]))
        for place in np.flatnonzero(fits).tolist()
    }
