"""A day of seven measures at six stations, with their snapshots."""

from datetime import UTC, date, datetime

from flood_assets.lake.lake import Lake
from flood_assets.partitions import window_of
from flood_assets.schemas import MEASURES, STATIONS
from flood_assets_tests.support.lake_rows import HOUR, QUARTER, fetched, snapshot

# Long ago, so that its partitions exist for Dagster.
NOW = datetime(2026, 10, 5, 9, 7, 30, tzinfo=UTC)
JOINED = ["label", "river", "lat", "long", "parameter", "qualifier", "unit"]
FLAGS = ["flag", "gross_range_flag", "spike_flag", "rate_of_change_flag", "flat_line_flag"]

STATION_ROWS = [
    {
        "station_id": "K1",
        "label": "Kingston",
        "river": "River Thames",
        "lat": 51.41,
        "long": -0.31,
        "opened": date(1994, 1, 1),
    },
    {"station_id": "K2", "label": "Kingston upon Hull", "river": "River Hull", "lat": 53.74, "long": -0.33},
    {"station_id": "1491TH", "label": "Teddington Lock|Teddington", "river": "River Thames"},
    {"station_id": "R1", "label": "Rainfall station", "lat": 52.0, "long": -1.0},
    {"station_id": "R2", "label": "Rainfall station"},
    {"station_id": "G1", "label": "Manor Farm"},
]
MEASURE_ROWS = [
    ("K1-level", "K1", "level", "Stage", "mASD", 900),
    ("K1-flow", "K1", "flow", "Logged", "m3/s", 900),
    ("K2-tide", "K2", "level", "Tidal Level", "mAOD", 900),
    ("T-level", "1491TH", "level", "Stage", "mASD", 900),
    ("R1-rain", "R1", "rainfall", "Tipping Bucket Raingauge", "mm", 900),
    ("R2-rain", "R2", "rainfall", "Tipping Bucket Raingauge", "mm", None),
    ("G1-level", "G1", "level", "Groundwater", "mAOD", None),
]
MEASURE_IDS = [row[0] for row in MEASURE_ROWS]


def measure_rows() -> list[dict]:
    names = ("measure_id", "station_id", "parameter", "qualifier", "unit", "period_s")
    return [dict(zip(names, row, strict=True)) for row in MEASURE_ROWS]


def fill(lake: Lake) -> None:
    """A day of seven measures: the value is the age in quarters of an hour. A snapshot four hours ago."""
    observed = NOW - 4 * HOUR
    lake.put_snapshots(STATIONS, [window_of(observed)], snapshot(STATIONS, observed, *STATION_ROWS))
    gauges = snapshot(MEASURES, observed, *measure_rows())
    lake.put_snapshots(MEASURES, [window_of(observed)], gauges)
    newest = NOW.replace(minute=0, second=0)
    rows = [(measure, newest - i * QUARTER, float(i)) for measure in MEASURE_IDS for i in range(96)]
    lake.upsert_readings(fetched(*rows), NOW, NOW, stations=gauges)
