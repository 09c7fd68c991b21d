"""Put the page of the lake's state together: the age of everything, as a whole and by region."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from flood_assets.partitions import from_ms
from flood_assets.query.conditions import BANDS
from flood_assets.query.status import Status, look
from flood_assets.serve import asked, tables
from flood_assets.serve.pages import words
from flood_assets.serve.pages.overview import Overview
from flood_assets.serve.snapshot import Snapshot
from flood_assets.words import counted

_HOUR = timedelta(hours=1)
_HOLDS = timedelta(seconds=30)
TABLES: Mapping[str, str] = {
    "readings": "Readings",
    "stations": "List of stations",
    "measures": "List of measures",
    "completeness": "Count of expected and missing readings",
    "timeliness": "Usual delays",
    "conditions": "States of gauges",
    "warnings": "Flood warnings",
    "warning_areas": "Flood areas",
    "rejects": "Rows that could not be stored",
}


@dataclass(frozen=True)
class Region:
    """A catchment, or all stations without one.

    Attributes:
        name: of the catchment; empty for the stations without one.
        stations: how many are listed.
        measures: how many of theirs have a reading in the last 24 hours.
        newest: time of the newest reading; None without one.
        recent: share of those measures whose newest reading is at most an hour old.
        expected: readings expected in the last 24 hours.
        missing: of these.
        above: stations above their typical range.
    """

    name: str
    stations: int
    measures: int
    newest: datetime | None
    recent: float | None
    expected: int
    missing: int
    above: int

    @property
    def complete(self) -> float | None:
        """The share of expected readings that are there."""
        return 1 - self.missing / self.expected if self.expected else None


@dataclass(frozen=True)
class StateView:
    """The state of the lake as its page shows it; `faults` do not name where the lake is."""

    status: Status
    faults: Sequence[str]
    regions: Sequence[Region]
    lone: Sequence[str]
    until: datetime


def view(snapshot: Snapshot, now: datetime) -> StateView:
    """Return the state at `now`."""
    status = look(snapshot.lake, now)
    seen = Overview.of(snapshot, now)
    ids = snapshot.ids.to_pylist()
    lone = [ids[code] for code, station in enumerate(snapshot.station_ids) if station is None]
    faults = [text.replace(snapshot.lake.url, "the lake") for text in dict.fromkeys([*snapshot.notes, *status.faults])]
    return StateView(status, faults, _regions(snapshot, now, seen), lone, min(seen.until, now + _HOLDS))


def summary(status: Status) -> str:
    """Return the state in a sentence."""
    fresh, whole = status.freshness, status.completeness
    if fresh is None:
        return "There are no readings of the last 24 hours."
    text = f"{counted(fresh.measures, 'measure')} sent readings in the last 24 hours"
    if fresh.known:
        text += f", of {fresh.known:,} that are listed"
    if whole and whole.counts["expected"]:
        share = 1 - whole.counts["missing"] / whole.counts["expected"]
        text += f"; {words.percent(share)} of all expected readings are here"
    return f"{text}."


def _regions(snapshot: Snapshot, now: datetime, seen: Overview) -> list[Region]:
    catchments = (seen.stations["catchment"].cast(pa.string()).fill_null("")).to_pylist()
    names = sorted({*catchments}, key=lambda name: (not name, name.casefold()))
    place = {name: number for number, name in enumerate(names)}
    of_station = np.array([place[each] for each in catchments], np.int64)
    if not len(of_station):
        return []
    of_measure = np.where(snapshot.station >= 0, of_station[snapshot.station], -1)
    conditions = tables.latest(snapshot, asked.Joined(), now)
    of = conditions.whole.of if conditions.whole else np.zeros(0, np.int64)
    region = of_measure[of]
    times = conditions.rows["date_time"].cast(pa.int64()).to_numpy()
    here = region >= 0
    size = len(names)
    measures = np.bincount(region[here], minlength=size)
    newest = np.full(size, -1, np.int64)
    np.maximum.at(newest, region[here], times[here])
    edge = int((now - _HOUR).timestamp() * 1000)
    recent = np.bincount(region[here & (times >= edge)], minlength=size)
    expected, missing = _ledger(snapshot, now, of_measure, size)
    stations = np.bincount(of_station, minlength=size)
    above = np.bincount(of_station[seen.band >= BANDS.index("above")], minlength=size)
    return [
        Region(
            name,
            int(stations[at]),
            int(measures[at]),
            from_ms(int(newest[at])) if newest[at] >= 0 else None,
            float(recent[at] / measures[at]) if measures[at] else None,
            int(expected[at]),
            int(missing[at]),
            int(above[at]),
        )
        for at, name in enumerate(names)
    ]


def _ledger(snapshot: Snapshot, now: datetime, of_measure: np.ndarray, size: int) -> list[np.ndarray]:
    """Return expected and missing readings of each region."""
    rows = tables.completeness(snapshot, asked.Spanned(), now).rows
    code = np.array([snapshot.codes[each] for each in rows["measure_id"].to_pylist()], np.int64)
    region = of_measure[code] if len(code) else code
    here = region >= 0
    return [np.bincount(region[here], rows[name].to_numpy()[here], minlength=size) for name in ("expected", "missing")]
