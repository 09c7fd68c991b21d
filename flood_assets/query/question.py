"""A question while it is answered: the lake at a moment, the gauges and columns asked for, the notes so far."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets import quality
from flood_assets.lake.united import United
from flood_assets.ledger.account import Account, take
from flood_assets.partitions import cutoff
from flood_assets.query import filters
from flood_assets.query.filters import GaugeFilters, Gauges, Span, Texts, shown
from flood_assets.query.names import nothing_given, suggestions
from flood_assets.query.place import LakePlace, Place, Result
from flood_assets.schemas import MEASURES, READINGS, STATIONS, Table
from flood_assets.words import counted

# The columns that `joined` adds, under the names that they have in their own table.
_OF_STATION = [STATIONS.schema.field(name) for name in ("label", "river", "lat", "long")]
_OF_MEASURE = [MEASURES.schema.field(name) for name in ("parameter", "qualifier", "unit")]

# For notes: until when.
LOST = "readings up to {} are deleted"


@dataclass(frozen=True)
class Question:
    """A lake at a moment, the gauges and columns that are asked for, and the notes so far."""

    place: Place
    gauges: Gauges
    names: Sequence[str]
    joined: bool
    notes: list[str] = field(default_factory=list)
    # What was found though it is not called as it was asked for: told as well, and no reason for an empty answer.
    matched: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        lake: LakePlace,
        now: datetime,
        gauges: GaugeFilters,
        own: Iterable[pa.Field],
        columns: Texts | None,
        *,
        joined: bool = False,
        flags: bool = False,
        whole: bool = False,
    ) -> "Question":
        """Return the question of some arguments; `own` are the columns of its table. Errors as for `query.readings`."""
        names = [each.name for each in own]
        if joined:
            names += [each.name for each in (*_OF_STATION, *_OF_MEASURE)]
        if flags:
            names += quality.SCHEMA.names
        more = [] if whole else [option for option, given in (("joined", joined), ("flags", flags)) if not given]
        names = filters.columns(columns, names, more)
        chosen = Gauges.of(gauges)
        place = Place.of(lake, now, None if whole or joined or flags else chosen.columns)
        return cls(place, chosen, names, joined)

    def answer(self, rows: pa.Table) -> Result:
        """Return the columns that are asked for, and the notes."""
        return self.place.result(rows.select(self.names), [*self.matched, *self.notes])

    @cached_property
    def measure_ids(self) -> Sequence[str] | None:
        """The ids of the measures that are asked for, None for all; note why there are none."""
        if self.place.lake is None:
            self.notes.append(self.place.why_nothing(READINGS))
            return ()
        if not self.gauges.only_measures:
            found: list[str] = self.snapshot(MEASURES)["measure_id"].to_pylist()
            return found
        ids = self.gauges.texts.get("measure")
        if ids == ():
            self.notes.append(nothing_given("measure"))
        return ids

    def stored(self, span: Span, *more: str) -> pa.Table:
        """Return the stored readings with the columns that are asked for, `more`, and those that a join needs."""
        ids = self.measure_ids
        if self.place.lake is None or (ids is not None and not ids):
            return READINGS.schema.empty_table()
        keys = ["measure_id", "station_id"] if self.joined else [] if ids is None else ["measure_id"]
        own = [name for name in (*self.names, *more, *keys) if name in READINGS.schema.names]
        columns = list(dict.fromkeys(own))
        now = self.place.now
        rows = self.place.lake.read(READINGS, span.start, span.end, now=now, columns=columns, measure_ids=ids)
        self.note_unknown_measures(rows)
        return rows

    def account(self) -> Account | None:
        """Return the ledger of the gauges; None without a lake or gauges, which is noted."""
        ids = self.measure_ids
        if self.place.lake is None or (ids is not None and not ids):
            return None
        account = take(self.place.lake, self.place.now, measure_ids=ids)
        if isinstance(self.place.lake, United) and self.place.lake.shards:
            self.place.snapshot(MEASURES)  # which notes a shard that has none
        if account.lost:
            lost = f"{counted(len(account.lost), 'damaged window')} of readings: what was in them counts as not fetched"
            self.notes.append(f"{lost}: run `flood-assets doctor`")
        self.note_unknown_measures(account.timeliness)
        return account

    def snapshot(self, table: Table) -> pa.Table:
        """Return the rows of the newest `stations` or `measures` that match all filters; note why there are none."""
        other = MEASURES if table is STATIONS else STATIONS
        tables = (STATIONS, MEASURES) if self.gauges.concern(other) else (table,)
        for each in tables:
            if self.place.snapshot(each) is None:
                self.notes.append(self.place.why_no_snapshot(each))
                return table.schema.empty_table()
        before = len(self.notes)
        chosen = {
            each.name: self.gauges.choose(each, self.place.snapshot(each), self.notes, self.matched) for each in tables
        }
        rows = chosen[table.name]
        if other.name in chosen:
            there = chosen[other.name]["station_id"].drop_null().combine_chunks()
            rows = rows.filter(pc.is_in(rows["station_id"], value_set=there))
        if not len(rows) and len(self.notes) == before:
            together = f"no gauge matches all of {self.gauges}, though each name is known"
            self.notes.append(together if self.gauges.texts else f"the newest snapshot of {table.name} has no rows")
        return rows

    def to_join(self, rows: pa.Table) -> tuple[pa.Table, pa.Table]:
        """Return the newest measures and stations; empty where there is no snapshot, which is noted if rows need it."""
        found = []
        for table in (MEASURES, STATIONS):
            snapshot = self.place.snapshot(table)
            if snapshot is None and len(rows):
                note = f"nothing can be joined from {table.name}: {self.place.why_no_snapshot(table)}"
                self.notes.extend({note} - {*self.notes})
            found.append(table.schema.empty_table() if snapshot is None else snapshot)
        return found[0], found[1]

    def with_gauges(self, rows: pa.Table) -> pa.Table:
        """Add what the newest snapshots know of each row's measure and station, if that was asked for."""
        if not self.joined:
            return rows
        measures, stations = self.to_join(rows)
        at = pc.index_in(rows["measure_id"], value_set=measures["measure_id"].combine_chunks())
        # The snapshot may be newer than the row, and know a station that was unknown then.
        station = pc.coalesce(measures["station_id"].take(at), rows["station_id"])
        rows = rows.set_column(rows.schema.get_field_index("station_id"), READINGS.schema.field("station_id"), station)
        for each in _OF_MEASURE:
            rows = rows.append_column(each, measures[each.name].take(at))
        at = pc.index_in(station, value_set=stations["station_id"].combine_chunks())
        for each in _OF_STATION:
            rows = rows.append_column(each, stations[each.name].take(at))
        return rows

    def note_unknown_measures(self, rows: pa.Table) -> None:
        """Note each measure_id that has no row and is in no snapshot."""
        asked = self.gauges.texts.get("measure", ()) if self.gauges.only_measures else ()
        met = set(pc.unique(rows["measure_id"]).to_pylist()) if asked else set()
        silent = [measure for measure in asked if measure not in met]
        if not silent:
            return
        snapshot = self.place.snapshot(MEASURES)
        known = set() if snapshot is None else set(snapshot["measure_id"].to_pylist())
        unknown = [measure for measure in silent if measure not in known]
        if unknown and (known or not self.place.why_nothing(READINGS)):
            self.notes.extend(suggestions("measure", unknown, sorted(known)))

    def note_missing(self, rows: pa.Table, span: Span) -> None:
        """Note hours that are not retained, and why there is nothing."""
        self.note_time(rows, "start", span.start, span.end)
        if not len(rows) and not self.notes:
            of = f" for {self.gauges}" if self.gauges.texts else ""
            first, until = span.start or cutoff(self.place.now), span.end or self.place.now
            self.notes.append(
                f"no readings{of} from {shown(first)} to {shown(until)}: the gauges may be late or silent"
            )

    def note_time(
        self, rows: pa.Table, name: str, start: datetime | None, end: datetime | None = None, *, lost: str = LOST
    ) -> None:
        """Note why the lake has no rows, and a time that is not retained, or is yet to come."""
        if not len(rows) and not self.notes and (why := self.place.why_nothing(READINGS)):
            self.notes.append(why)
        now, edge = self.place.now, cutoff(self.place.now)
        past = f"is over a day ago: {lost.format(shown(edge))}"
        if start is not None and start > now:
            self.notes.append(f"{name} {shown(start)} is after now, which is {shown(now)}")
        elif end is not None and end <= edge:
            self.notes.append(f"end {shown(end)} {past}")
        elif start is not None and start < edge:
            self.notes.append(f"{name} {shown(start)} {past}")
