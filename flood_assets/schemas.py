"""Each table of the lake, once: columns with type, unit and meaning, and the key that makes a row unique.

The pyarrow schema that is written and the column schema that the Dagster UI shows are both made from here.
What a table's rows *mean to the source* is in `flood_assets.ea.parse`; how they are stored, in
`flood_assets.lake`.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import dagster as dg

# Milliseconds: the API's times are whole seconds, and Parquet has no unit of seconds.
TIME = pa.timestamp("ms", tz="UTC")


@dataclass(frozen=True)
class Column:
    """One column: what it is called, holds and means. `unit` is empty where a number has none."""

    name: str
    type: pa.DataType
    meaning: str
    unit: str = ""
    nullable: bool = True


@dataclass(frozen=True)
class Table:
    """One table: `{lake}/{name}/date=YYYY-MM-DD/hour=HH/{name}.parquet`, sorted by `key` inside a window.

    Attributes:
        name: folder and file name.
        key: the columns that together are unique inside one window.
        columns: in the order in which they are stored.
        time: the column that says into which window a row falls; empty for a snapshot, whose window is
            the one that was asked for.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    time: str = ""

    @cached_property
    def schema(self) -> pa.Schema:
        """The pyarrow schema of a stored window."""
        return pa.schema([pa.field(c.name, c.type, nullable=c.nullable) for c in self.columns])

    @cached_property
    def column_schema(self) -> "dg.TableSchema":
        """The same for the Dagster UI: units stand in front of the meaning."""
        import dagster as dg  # noqa: PLC0415 - whoever reads the lake or fills it by hand has no use for Dagster

        return dg.TableSchema(
            columns=[
                dg.TableColumn(
                    name=c.name,
                    type=str(c.type),
                    description=f"[{c.unit}] {c.meaning}" if c.unit else c.meaning,
                    constraints=dg.TableColumnConstraints(nullable=c.nullable),
                )
                for c in self.columns
            ],
            constraints=dg.TableConstraints(other=[f"unique within a window: {', '.join(self.key)}"]),
        )


# Not a table that people read: how far the lake is complete, kept beside the tables. A *watermark* is the time up to which
# everything that the API has shown of a measure was asked for and stored.
WATERMARKS = pa.schema(
    [
        pa.field("measure_id", pa.string(), nullable=False),
        pa.field("newest", TIME, nullable=False),
        # How far apart the gauge's readings lie by its own habit; null until three of them are known.
        pa.field("interval_s", pa.int32()),
    ]
)

# fmt: off
STATIONS = Table(
    name="stations",
    key=("station_id",),
    columns=(
        Column("station_id", pa.string(), "The API's notation of the station: opaque, unique", nullable=False),
        Column("label", pa.string(), "Name; rain gauges are mostly called just 'Rainfall station'"),
        Column("river", pa.string(), "River or other water that the gauge stands in"),
        Column("catchment", pa.string(), "Catchment, as the Environment Agency groups them"),
        Column("town", pa.string(), "Nearest town"),
        Column("lat", pa.float64(), "Latitude, WGS 84", "degrees north"),
        Column("long", pa.float64(), "Longitude, WGS 84", "degrees east"),
        Column("easting", pa.float64(), "Easting on the British National Grid", "m"),
        Column("northing", pa.float64(), "Northing on the British National Grid", "m"),
        Column("grid_reference", pa.string(), "Ordnance Survey grid reference; groundwater sites often have only this"),
        Column("station_type", pa.string(), "SingleLevel, MultiTraceLevel, Coastal, Groundwater or Meteorological; several joined with |"),
        Column("status", pa.string(), "Active, Suspended, Closed or ukcmf; several joined with |; null for most rain and groundwater gauges"),
        Column("opened", pa.date32(), "Date on which the station was opened"),
        Column("typical_low", pa.float64(), "Lower end of the level's typical range (5th percentile)", "m, as the stage datum"),
        Column("typical_high", pa.float64(), "Upper end of the level's typical range (95th percentile)", "m, as the stage datum"),
        Column("highest_recent", pa.float64(), "Highest level of recent years", "m, as the stage datum"),
        Column("highest_recent_at", TIME, "When that was; the API gives it without a zone, taken as UTC"),
        Column("max_on_record", pa.float64(), "Highest level on record", "m, as the stage datum"),
        Column("min_on_record", pa.float64(), "Lowest level on record", "m, as the stage datum"),
        Column("rloi_id", pa.string(), "Number of its page on 'River levels on the internet'; several joined with |"),
        Column("wiski_id", pa.string(), "Its number in the Agency's hydrometric archive (WISKI)"),
        Column("station_reference", pa.string(), "The API's stationReference: NOT unique, never a key"),
        Column("observed_at", TIME, "When the API was asked", nullable=False),
    ),
)

MEASURES = Table(
    name="measures",
    key=("measure_id",),
    columns=(
        Column("measure_id", pa.string(), "The API's notation of the measure: opaque, never to be split", nullable=False),
        Column("station_id", pa.string(), "The station that it is measured at"),
        Column("parameter", pa.string(), "level, rainfall, flow, wind or temperature"),
        Column("qualifier", pa.string(), "What of it: Stage, Downstream Stage, Tidal Level, Groundwater, Tipping Bucket Raingauge, ..."),
        Column("unit", pa.string(), "Unit of the readings: mASD, mAOD, m, mm, m3/s, ...; null where the API gives none or '---'"),
        Column("value_type", pa.string(), "instantaneous, total, mean, max, min, event, ..."),
        Column("datum", pa.string(), "Datum of a level: datumASD (above the station's own), datumAOD (above Ordnance Newlyn), ..."),
        Column("period_s", pa.int32(), "Nominal time between readings; null for event gauges and where unspecified", "s"),
        Column("observed_at", TIME, "When the API was asked", nullable=False),
    ),
)

READINGS = Table(
    name="readings",
    key=("measure_id", "date_time"),
    time="date_time",
    columns=(
        Column("measure_id", pa.string(), "The measure that was read", nullable=False),
        Column("date_time", TIME, "When it was read at the gauge", nullable=False),
        Column("station_id", pa.string(), "The measure's station; null until a snapshot of measures knows the measure"),
        Column("value", pa.float64(), "The reading; null when the API gave no value or more than one", "the measure's unit"),
        Column("raw_value", pa.string(), "What the API gave, only where `value` does not say it all: '2.796|2.922'"),
        Column("first_seen_at", TIME, "When the API was asked and first showed this reading", nullable=False),
        Column("changed_at", TIME, "When the API was asked and first showed this value; first_seen_at until a correction", nullable=False),
        Column("previous_value", pa.float64(), "The value before the latest correction", "the measure's unit"),
        Column("revision", pa.int32(), "How often the value was corrected since it was first seen", nullable=False),
    ),
)

COMPLETENESS = Table(
    name="completeness",
    key=("measure_id",),
    columns=(
        Column("measure_id", pa.string(), "The measure that was counted", nullable=False),
        Column("window_start", TIME, "Start of the hour that was counted; only its moments of the last 24 hours count", nullable=False),
        Column("station_id", pa.string(), "The measure's station; null where no snapshot of measures knows the measure"),
        Column("interval_s", pa.int32(), "Time between readings that was counted by: the nominal one, or the gauge's own where that differs; null for event gauges", "s"),
        Column("expected", pa.int32(), "Readings that the step lets expect; 0 for event gauges", nullable=False),
        Column("received", pa.int32(), "Readings that are stored; more than expected where some lie between the steps", nullable=False),
        Column("late", pa.int32(), "Of the received, those that the API did not show yet when it was asked after they were due", nullable=False),
        Column("several", pa.int32(), "Of the received, those with more than one value", nullable=False),
        Column("without_value", pa.int32(), "Of the received, those without a value", nullable=False),
        Column("missing", pa.int32(), "Of the expected, those that are not stored: silent + not_due + not_fetched", nullable=False),
        Column("silent", pa.int32(), "Missing because the API had none when it was asked, and one was due: the gauge said nothing", nullable=False),
        Column("not_due", pa.int32(), "Missing because this gauge usually reports later", nullable=False),
        Column("not_fetched", pa.int32(), "Missing because the API was not asked since it was due, or could not be: our fault", nullable=False),
        Column("observed_at", TIME, "When it was counted; a later count that found the same is not stored", nullable=False),
    ),
)

TIMELINESS = Table(
    name="timeliness",
    key=("measure_id",),
    columns=(
        Column("measure_id", pa.string(), "The measure", nullable=False),
        Column("station_id", pa.string(), "Its station; null where no snapshot of measures knows the measure"),
        Column("interval_s", pa.int32(), "Time between its readings, as in completeness; null for event gauges", "s"),
        Column("usual_delay_s", pa.int32(), "Median time from a reading to its first appearance, as far as our asking shows it; null until one was observed", "s"),
        Column("due_after_s", pa.int32(), "Time after which a reading has come if it comes: of 20 uploads 19 brought their first reading by then; null until one was observed", "s"),
        Column("uploads", pa.int32(), "Uploads of the last day from which both were learnt; 0 where they are remembered from before", nullable=False),
        Column("newest_at", TIME, "Time of the newest reading; remembered as long as there is a snapshot of each day"),
        Column("newest_seen_at", TIME, "When the API was asked and first showed that reading"),
        Column("next_due_at", TIME, "When the next reading is due: newest_at + interval_s + due_after_s; null where one of them is"),
        Column("observed_at", TIME, "When this was judged", nullable=False),
    ),
)

REJECTS = Table(
    name="rejects",
    key=("line",),
    time="seen_at",
    columns=(
        Column("seen_at", TIME, "When the API was asked", nullable=False),
        Column("line", pa.string(), "The row as the API gave it, its cells joined with commas", nullable=False),
        Column("reason", pa.string(), "Why it could not be stored as a reading", nullable=False),
    ),
)

# fmt: on

# Stations, measures, readings and completeness are Dagster assets; rejects are written beside readings, and timeliness
# beside completeness.
TABLES = {table.name: table for table in (STATIONS, MEASURES, READINGS, COMPLETENESS, TIMELINESS, REJECTS)}
