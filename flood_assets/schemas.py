"""Tables of the lake: columns with type, unit and description, and the key that makes a row unique.

The Parquet files and the columns in the Dagster UI follow from here. Parsing is in `flood_assets.ea.parse`, storage in
`flood_assets.lake`.
"""

from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

# Milliseconds: the API's times are whole seconds, and Parquet has no unit of seconds.
TIME = pa.timestamp("ms", tz="UTC")

# Ends the name of the publisher in the ids that are pushed; the API's ids have none.
SEPARATOR = ":"


def pushed(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return for each id of a column, none of them null, if it is pushed."""
    return pc.match_substring(ids.cast(pa.string()), SEPARATOR)


def publisher_of(id_: str) -> str | None:
    """Return who pushes a measure or a station; None for the API's."""
    name, found, _ = id_.partition(SEPARATOR)
    return name if found else None


@dataclass(frozen=True)
class Column:
    """Name, type and description of a column. `unit` is empty where a number has none."""

    name: str
    type: pa.DataType
    meaning: str
    unit: str = ""
    nullable: bool = True


@dataclass(frozen=True)
class Table:
    """Table at `{lake}/{name}/date=YYYY-MM-DD/hour=HH/{name}.parquet`, sorted by `key` inside a window.

    Attributes:
        name: folder and file name.
        key: columns that together are unique inside one window.
        columns: in the order in which they are stored.
        time: the column that decides the window of a row; empty for a snapshot, whose window is the one it was made
            for.
        current: True for a snapshot whose newest rows are also at `{lake}/current/{name}.parquet`; of `warnings`, those
            in force.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    time: str = ""
    current: bool = False

    @cached_property
    def schema(self) -> pa.Schema:
        """The pyarrow schema of a stored window."""
        return pa.schema([pa.field(c.name, c.type, nullable=c.nullable) for c in self.columns])


# Watermarks: per measure, the time up to which everything that the API published is stored. One object beside the tables.
WATERMARKS = pa.schema(
    [
        pa.field("measure_id", pa.string(), nullable=False),
        pa.field("newest", TIME, nullable=False),
        # Reporting interval: the 10th percentile of the gaps between readings; null until three readings are known.
        pa.field("interval_s", pa.int32()),
    ]
)

# fmt: off
STATIONS = Table(
    name="stations",
    key=("station_id",),
    current=True,
    columns=(
        Column("station_id", pa.string(), "The API's notation of the station, or NAME:ID of a publisher's: unique; never split it", nullable=False),
        Column("label", pa.string(), "Name; most rain gauges are called 'Rainfall station'"),
        Column("river", pa.string(), "River or other water of the gauge"),
        Column("catchment", pa.string(), "Catchment, as named by the Environment Agency"),
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
        Column("highest_recent_at", TIME, "Time of the highest level of recent years; the API gives no time zone, read as UTC"),
        Column("max_on_record", pa.float64(), "Highest level on record", "m, as the stage datum"),
        Column("min_on_record", pa.float64(), "Lowest level on record", "m, as the stage datum"),
        Column("rloi_id", pa.string(), "Number of the station's page on 'River levels on the internet'; several joined with |"),
        Column("wiski_id", pa.string(), "Number in the Agency's hydrometric archive (WISKI)"),
        Column("station_reference", pa.string(), "The API's stationReference: not unique, never a key"),
        Column("publisher", pa.string(), "Name of who pushed the row; null for the API's own"),
        Column("observed_at", TIME, "Time at which the API was asked, or the row was pushed", nullable=False),
    ),
)

MEASURES = Table(
    name="measures",
    key=("measure_id",),
    current=True,
    columns=(
        Column("measure_id", pa.string(), "The API's notation of the measure, or NAME:ID of a publisher's: unique; never split it", nullable=False),
        Column("station_id", pa.string(), "Station of the measure"),
        Column("parameter", pa.string(), "level, rainfall, flow, wind or temperature"),
        Column("qualifier", pa.string(), "Kind of that parameter: Stage, Downstream Stage, Tidal Level, Groundwater, Tipping Bucket Raingauge, ..."),
        Column("unit", pa.string(), "Unit of the readings: mASD, mAOD, m, mm, m3/s, ...; null where the API gives none or '---'"),
        Column("value_type", pa.string(), "instantaneous, total, mean, max, min, event, ..."),
        Column("datum", pa.string(), "Datum of a level: datumASD (above the station's own), datumAOD (above Ordnance Newlyn), ..."),
        Column("period_s", pa.int32(), "Listed time between readings; null for event gauges and where none is listed", "s"),
        Column("publisher", pa.string(), "Name of who pushed the row; null for the API's own"),
        Column("observed_at", TIME, "Time at which the API was asked, or the row was pushed", nullable=False),
    ),
)

READINGS = Table(
    name="readings",
    key=("measure_id", "date_time"),
    time="date_time",
    columns=(
        Column("measure_id", pa.string(), "Measure of the reading", nullable=False),
        Column("date_time", TIME, "Time of the reading at the gauge", nullable=False),
        Column("station_id", pa.string(), "Station of the measure; null until a snapshot lists the measure"),
        Column("value", pa.float64(), "Value; null when the API gave none or more than one", "the measure's unit"),
        Column("raw_value", pa.string(), "The API's text, only where `value` cannot hold it, such as two values: '2.796|2.922'"),
        Column("first_seen_at", TIME, "Time of the request that first returned this reading", nullable=False),
        Column("changed_at", TIME, "Time of the request that first returned this value; first_seen_at until a correction", nullable=False),
        Column("previous_value", pa.float64(), "Value before the latest correction", "the measure's unit"),
        Column("revision", pa.int32(), "Number of corrections since the reading was first seen", nullable=False),
    ),
)

COMPLETENESS = Table(
    name="completeness",
    key=("measure_id",),
    columns=(
        Column("measure_id", pa.string(), "Measure", nullable=False),
        Column("window_start", TIME, "Start of the hour; only moments of the last 24 hours are counted", nullable=False),
        Column("station_id", pa.string(), "Station of the measure; null where no snapshot lists the measure"),
        Column("interval_s", pa.int32(), "Reporting interval: the listed period, or the gauge's own interval where that differs; null for event gauges", "s"),
        Column("expected", pa.int32(), "Expected readings by the reporting interval; 0 for event gauges", nullable=False),
        Column("received", pa.int32(), "Stored readings; more than expected where some lie between the expected times", nullable=False),
        Column("late", pa.int32(), "Received readings that were not yet published when the API was asked after they were due", nullable=False),
        Column("several", pa.int32(), "Received readings with more than one value", nullable=False),
        Column("without_value", pa.int32(), "Received readings without a value", nullable=False),
        Column("missing", pa.int32(), "Expected readings that are not stored: silent + not_due + not_fetched", nullable=False),
        Column("silent", pa.int32(), "Missing because the gauge did not report: the API was asked after the reading was due and had none", nullable=False),
        Column("not_due", pa.int32(), "Missing because the gauge usually reports later", nullable=False),
        Column("not_fetched", pa.int32(), "Missing because the API was not asked since the reading was due, or did not answer: our fault", nullable=False),
        Column("observed_at", TIME, "Time of the count; a later count with the same result is not stored", nullable=False),
    ),
)

TIMELINESS = Table(
    name="timeliness",
    key=("measure_id",),
    columns=(
        Column("measure_id", pa.string(), "Measure", nullable=False),
        Column("station_id", pa.string(), "Station of the measure; null where no snapshot lists the measure"),
        Column("interval_s", pa.int32(), "Reporting interval, as in completeness; null for event gauges", "s"),
        Column("usual_delay_s", pa.int32(), "Median delay from a reading to its first appearance, up to one round of requests too long; null until one was observed", "s"),
        Column("due_after_s", pa.int32(), "95th percentile of the delay from the first reading of an upload to its first appearance; null until one was observed", "s"),
        Column("uploads", pa.int32(), "Uploads of the last day from which both delays were learnt; 0 where they are older", nullable=False),
        Column("newest_at", TIME, "Time of the newest reading; kept as long as there is a snapshot of each day"),
        Column("newest_seen_at", TIME, "Time of the request that first returned that reading"),
        Column("next_due_at", TIME, "Time at which the next reading is due: newest_at + interval_s + due_after_s; null where one of them is"),
        Column("observed_at", TIME, "Time of the calculation", nullable=False),
    ),
)

REJECTS = Table(
    name="rejects",
    key=("line",),
    time="seen_at",
    columns=(
        Column("seen_at", TIME, "Time at which the API was asked", nullable=False),
        Column("line", pa.string(), "The API's row, its cells joined with commas; of an odd cell in a list of gauges its path, field and text", nullable=False),
        Column("reason", pa.string(), "Reason why it could not be stored", nullable=False),
    ),
)

CONDITIONS = Table(
    name="conditions",
    key=("measure_id",),
    current=True,
    columns=(
        Column("measure_id", pa.string(), "Measure", nullable=False),
        Column("station_id", pa.string(), "Station of the measure; null where no snapshot lists the measure"),
        Column("date_time", TIME, "Time of the newest reading that is one number and not flagged as fail; null without one in the last 24 hours"),
        Column("value", pa.float64(), "Value of that reading", "the measure's unit"),
        Column("flag", pa.int8(), "Worst QARTOD flag of that reading: 1 pass, 2 not evaluated, 3 suspect or of high interest"),
        Column("passed_over", pa.int32(), "Newer readings that are not used: no value or several, flagged as fail, or later than now", nullable=False),
        Column("band", pa.string(), "below, normal or above the station's typical range, record above its highest recorded level; null for tides and where no range belongs to the measure"),
        Column("trend", pa.string(), "rising, steady or falling by the last five readings; steady up to the gauge's resolution and noise; null with fewer than three"),
        Column("rate_per_hour", pa.float64(), "Median slope of those readings", "the measure's unit an hour"),
        Column("min_24h", pa.float64(), "Least usable value of the last 24 hours", "the measure's unit"),
        Column("min_24h_at", TIME, "First time at which it was reached"),
        Column("max_24h", pa.float64(), "Greatest usable value of the last 24 hours", "the measure's unit"),
        Column("max_24h_at", TIME, "First time at which it was reached"),
        *(
            column
            for hours in (1, 6, 24)
            for column in (
                Column(f"rain_{hours}h", pa.float64(), f"Rain of the {hours} h up to the newest reading that is due; null without any reading", "mm"),
                Column(f"rain_{hours}h_coverage", pa.float64(), "Share of the expected readings that the total is made of: received / expected", "share, 0 to 1"),
            )
        ),
        Column("rain_left_out", pa.int32(), "Readings of rain of the last 24 hours that are in no total: no value or several, or flagged as fail"),
        Column("freshness", pa.string(), "current until the next reading is due, then late; silent after three more missed uploads or without a reading in 24 hours; null while the usual delay is not known"),
        Column("next_due_at", TIME, "Time at which the next reading is due, as in timeliness"),
        Column("observed_at", TIME, "Time of the calculation", nullable=False),
    ),
)

WARNINGS = Table(
    name="warnings",
    key=("flood_area_id",),
    current=True,
    columns=(
        Column("flood_area_id", pa.string(), "Flood area of the warning, as in warning_areas", nullable=False),
        Column("severity_level", pa.int32(), "1 severe flood warning, 2 flood warning, 3 flood alert, 4 no longer in force; 4 also once the area has left the API's list"),
        Column("severity", pa.string(), "The API's words for it; those of the last listing once the area has left the list"),
        Column("description", pa.string(), "Place that is warned"),
        Column("label", pa.string(), "Name of the flood area, as in warning_areas; null while no list has had it"),
        Column("message", pa.string(), "The message as published, with its line breaks"),
        Column("river_or_sea", pa.string(), "River, or part of the sea, that may flood"),
        Column("county", pa.string(), "Counties of the area"),
        Column("ea_area", pa.string(), "Area of the Environment Agency"),
        Column("is_tidal", pa.bool_(), "True if the sea or a tidal river may flood"),
        Column("raised_at", TIME, "Time at which the message was raised; the API gives no time zone, read as Europe/London"),
        Column("severity_changed_at", TIME, "Time of the latest change of severity; likewise"),
        Column("message_changed_at", TIME, "Time of the latest change of the message; likewise"),
        Column("raised_given", pa.string(), "The API's text of raised_at"),
        Column("severity_changed_given", pa.string(), "The API's text of severity_changed_at"),
        Column("message_changed_given", pa.string(), "The API's text of message_changed_at"),
        Column("first_seen_at", TIME, "Time of the request that first returned a warning for this area, within a day"),
        Column("changed_at", TIME, "Time of the request that first returned the warning as it is now, or no longer had it"),
        Column("previous_severity_level", pa.int32(), "Severity level before the latest change of it"),
        Column("revision", pa.int32(), "Number of changes since the warning was first seen"),
        Column("left_at", TIME, "Time of the first request whose list no longer had the area; null while it is listed"),
        Column("observed_at", TIME, "Time at which the API was asked", nullable=False),
    ),
)

WARNING_AREAS = Table(
    name="warning_areas",
    key=("flood_area_id",),
    current=True,
    columns=(
        Column("flood_area_id", pa.string(), "The API's notation of the flood area", nullable=False),
        Column("label", pa.string(), "Name"),
        Column("description", pa.string(), "Place and extent in words"),
        Column("county", pa.string(), "Counties of the area"),
        Column("river_or_sea", pa.string(), "River, or part of the sea, that may flood"),
        Column("ea_area", pa.string(), "Area of the Environment Agency"),
        Column("lat", pa.float64(), "Latitude of its centre, WGS 84", "degrees north"),
        Column("long", pa.float64(), "Longitude of its centre, WGS 84", "degrees east"),
        Column("polygon_url", pa.string(), "Address of its outline as GeoJSON"),
        Column("observed_at", TIME, "Time at which the API was asked", nullable=False),
    ),
)

# Not a table of windows: the last day of alerts is one object, which `flood_assets.query.alerts` reads and writes.
ALERTS = Table(
    name="alerts",
    key=("alert_id",),
    columns=(
        Column("alert_id", pa.string(), "Id, which follows from rule, subject and time: the same whoever judges", nullable=False),
        Column("rule", pa.string(), "Name of the rule", nullable=False),
        Column("kind", pa.string(), "Kind of the rule: above, below, band, record, rising, rain, silent, late, warning or api_late", nullable=False),
        Column("subject", pa.string(), "What the rule holds for: a measure_id, a flood_area_id, or api", nullable=False),
        Column("status", pa.string(), "firing, cleared, or learnt_late for one that was over or old when it became known", nullable=False),
        Column("severity", pa.string(), "Extreme, Severe, Moderate, Minor or Unknown, as the rule says", nullable=False),
        Column("label", pa.string(), "Name of the place", nullable=False),
        Column("why", pa.string(), "Why it fired, and by which readings", nullable=False),
        Column("since", TIME, "Time of the first reading at or beyond the threshold", nullable=False),
        Column("known_at", TIME, "Time at which it was first judged so", nullable=False),
        Column("threshold", pa.float64(), "Value that was reached; null for rules without one", "unit"),
        Column("unit", pa.string(), "Unit of threshold, value and peak"),
        Column("value", pa.float64(), "Newest value that was judged; of a flood warning its severity level", "unit"),
        Column("value_at", TIME, "Time of that value; of a silent gauge that of its newest reading"),
        Column("peak", pa.float64(), "Value furthest beyond the threshold", "unit"),
        Column("peak_at", TIME, "Time of that value"),
        Column("fired_at", TIME, "Time at which it fired; null for one learnt late"),
        Column("until", TIME, "Time of the reading that ended it; null while it lasts"),
        Column("cleared_at", TIME, "Time at which its end was judged; null while it lasts"),
        Column("ended_because", pa.string(), "Why it ended; null while it lasts"),
        Column("unknown", pa.string(), "Why nothing newer is known of one that lasts; null if it is known"),
        Column("station_id", pa.string(), "Station of the gauge; null for flood areas and the API"),
        Column("lat", pa.float64(), "Latitude, WGS 84", "degrees north"),
        Column("long", pa.float64(), "Longitude, WGS 84", "degrees east"),
    ),
)

# fmt: on

# All are Dagster assets; rejects are stored beside the lists and the readings, and timeliness beside completeness.
TABLES = {
    table.name: table
    for table in (
        STATIONS,
        MEASURES,
        READINGS,
        COMPLETENESS,
        TIMELINESS,
        CONDITIONS,
        REJECTS,
        WARNINGS,
        WARNING_AREAS,
    )
}
