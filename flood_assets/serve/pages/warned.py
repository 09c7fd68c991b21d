"""Put the flood warnings together for the pages: what is in force, what has ended, and which stations are near."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.lake.parquet import DamagedWindowError
from flood_assets.query import nearby
from flood_assets.query.flood_warnings import OVERDUE
from flood_assets.schemas import WARNING_AREAS, WARNINGS
from flood_assets.serve.pages import words
from flood_assets.serve.snapshot import Snapshot
from flood_assets.warnings import in_force

_HOLDS = timedelta(seconds=60)
# Stations near a warned area that are named; the others are counted.
NEAR = 4
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Warned:
    """The warnings of the last 24 hours.

    Attributes:
        now: the moment.
        asked_at: when the API was last asked for its list; None if no list is stored.
        active: those in force, the most severe first: schema `schemas.WARNINGS`, and lat and long of the area's centre.
        ended: those that were in force in the last 24 hours; likewise.
        until: until when this holds.
    """

    now: datetime
    asked_at: datetime | None
    active: pa.Table
    ended: pa.Table
    until: datetime

    @classmethod
    def of(cls, snapshot: Snapshot, now: datetime) -> "Warned":
        """Return the warnings at `now`, or at some seconds ago."""
        return snapshot.kept("warned", now, lambda: cls._of(snapshot, now))

    @classmethod
    def _of(cls, snapshot: Snapshot, now: datetime) -> "Warned":
        try:
            known = snapshot.warnings(now)
        except DamagedWindowError:
            known = None  # the page of the state tells the damage
        rows = WARNINGS.schema.empty_table() if known is None else known.rows
        areas = snapshot.lake.newest_snapshot(WARNING_AREAS, now)
        areas = WARNING_AREAS.schema.empty_table() if areas is None else areas
        at = pc.index_in(rows["flood_area_id"], value_set=areas["flood_area_id"].combine_chunks())
        for name in ("lat", "long"):
            rows = rows.append_column(name, areas[name].take(at))
        rows = rows.sort_by([("severity_level", "ascending"), ("flood_area_id", "ascending")])
        active = in_force(rows)
        there = pc.is_in(rows["flood_area_id"], value_set=active["flood_area_id"].combine_chunks())
        return cls(now, known and known.asked_at, active, rows.filter(pc.invert(there)), now + _HOLDS)

    @property
    def overdue(self) -> bool:
        """True if the list is old, so that newer warnings may be missing."""
        return self.asked_at is not None and self.now - self.asked_at > OVERDUE

    @property
    def counts(self) -> list[tuple[str, int]]:
        """Number in force of each severity, the most severe first."""
        levels = self.active["severity_level"].to_pylist()
        return [(words.SEVERITIES[level], levels.count(level)) for level in (1, 2, 3)]

    def near(self, station: Row) -> list[dict[str, Any]]:
        """Return the warnings in force whose area's centre is within 8 km of a station, the nearest first."""
        point = pa.table({"lat": pa.array([station["lat"]], pa.float64()), "long": [station["long"]]})
        pairs = nearby.near(point, self.active)
        rows = self.active.take(pa.array(pairs.second)).to_pylist()
        return [{**row, "km": km} for row, km in zip(rows, pairs.km.tolist(), strict=True)]

    def with_stations(self, rows: pa.Table, stations: pa.Table) -> list[dict[str, Any]]:
        """Return warnings with the stations within 8 km of the area's centre: `stations`, the nearest, and `others`."""
        pairs = nearby.near(rows, stations)
        found: list[list[tuple[int, float]]] = [[] for _ in range(len(rows))]
        for first, second, km in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.km.tolist(), strict=True):
            found[first].append((second, km))
        given = rows.to_pylist()
        for row, near in zip(given, found, strict=True):
            row["stations"] = [
                {**stations.slice(at, 1).select(["station_id", "label", "river"]).to_pylist()[0], "km": km}
                for at, km in near[:NEAR]
            ]
            row["others"] = max(0, len(near) - NEAR)
        return given


def chosen(rows: pa.Table, river: str, county: str) -> pa.Table:
    """Return the warnings whose river or sea, and whose counties, contain some text; empty for all."""
    for name, text in (("river_or_sea", river), ("county", county)):
        if text:
            found = pc.match_substring(rows[name], text, ignore_case=True)
            rows = rows.filter(pc.fill_null(found, False))
    return rows


def texts(rows: Sequence[pa.Table], name: str) -> list[str]:
    """Return the distinct names in a column of several names, separated by commas; sorted."""
    cells = {cell for each in rows for cell in each[name].unique().to_pylist() if cell}
    return sorted({part.strip() for cell in cells for part in cell.split(",")} - {""})
