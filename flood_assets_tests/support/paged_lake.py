"""A small lake with what makes pages go wrong: markup in names, an empty id, gaps, flags, corrections, no position."""

from datetime import UTC, datetime, timedelta

from flood_assets.lake.current import Present
from flood_assets.lake.lake import Lake
from flood_assets.partitions import window_of
from flood_assets.schemas import MEASURES, STATIONS, TIMELINESS, WARNING_AREAS, WARNINGS
from flood_assets.warnings import in_force
from flood_assets_tests.support.filled_lakes import API, marked
from flood_assets_tests.support.lake_rows import HOUR, QUARTER, fetched, snapshot

NOW = datetime(2026, 11, 21, 9, 7, 30, tzinfo=UTC)
# An hour after the clocks in England went back, at 01:00 UTC.
DST = datetime(2026, 10, 25, 3, 7, 30, tzinfo=UTC)
EVIL = "<script>alert('x')</script>\"&Weir"
MEASURE_IDS = ["-begins-with-a-dash", "K1-flow", "K1-level", "K2-tide", "R1-rain", "E-level", "N-level", "S/1-level"]

STATION_ROWS = [
    {
        "station_id": "K1",
        "label": "Kingston",
        "river": "River Thames",
        "town": "Kingston upon Thames",
        "catchment": "Thames",
        "lat": 51.41,
        "long": -0.31,
        "typical_low": 0.5,
        "typical_high": 1.5,
        "max_on_record": 4.25,
        "rloi_id": "7267",
    },
    {"station_id": "K2", "label": "Hull Docks", "river": "Tide", "town": "Hull", "lat": 53.74, "long": -0.33},
    {"station_id": "E", "label": EVIL, "river": "River <b>Bold</b>", "town": "A&E", "lat": 52.5, "long": -1.9},
    {"station_id": "", "label": "Nameless Lock", "river": "River Thames", "lat": 51.44, "long": -0.33},
    {"station_id": "S/1", "label": "Slash Mill", "river": "River Thames", "lat": 51.5, "long": -0.9},
    {"station_id": "N", "label": "Nowhere Farm", "river": "River Thames"},
    {"station_id": "R1", "label": "Rainfall station", "lat": 51.42, "long": -0.33},
    {"station_id": "M", "label": "Mute", "lat": 52.0, "long": -1.0},
]
MEASURE_ROWS = [
    ("K1-level", "K1", "level", "Stage", "mASD"),
    ("K1-flow", "K1", "flow", "", "m3/s"),
    ("K2-tide", "K2", "level", "Tidal Level", "mAOD"),
    ("E-level", "E", "level", "Stage", "m"),
    ("-begins-with-a-dash", "", "level", "Stage", "m"),
    ("S/1-level", "S/1", "level", "Stage", "m"),
    ("N-level", "N", "level", "Stage", "m"),
    ("R1-rain", "R1", "rainfall", "Tipping Bucket Raingauge", "mm"),
]
AREA = {
    "flood_area_id": "061FWF",
    "label": "River Thames at Kingston",
    "county": "Surrey",
    "river_or_sea": "River Thames",
    "lat": 51.411,
    "long": -0.31,
}


def fill(lake: Lake, now: datetime = NOW) -> Lake:
    """Fill a lake that was refreshed just before `now`."""
    newest = now.replace(minute=0, second=0)
    lake.claim(API)
    window = window_of(now)
    lake.put_snapshots(STATIONS, [window], snapshot(STATIONS, now - QUARTER, *STATION_ROWS))
    names = ("measure_id", "station_id", "parameter", "qualifier", "unit")
    rows = [{**dict(zip(names, row, strict=True)), "value_type": "instantaneous"} for row in MEASURE_ROWS]
    rows = [{**row, "period_s": 900, "value_type": "total" if row["unit"] == "mm" else "instantaneous"} for row in rows]
    gauges = snapshot(MEASURES, now - QUARTER, *rows)
    lake.put_snapshots(MEASURES, [window], gauges)
    first, second = now - 2 * HOUR, now
    early = [_row(measure, newest - i * QUARTER, i) for measure in MEASURE_IDS for i in range(8, 96)]
    late = [_row(measure, newest - i * QUARTER, i) for measure in MEASURE_IDS for i in range(8)]
    alone = [("nobody-knows-it", newest, 3.5)]
    lake.upsert_readings(fetched(*[row for row in early if row]), first, first, stations=gauges)
    # The reading of three hours ago is corrected from 1.012 to 1.4.
    correction = [("K1-level", newest - 12 * QUARTER, 1.4)]
    lake.upsert_readings(
        fetched(*[row for row in [*late, *correction, *alone] if row]), second, second, stations=gauges
    )
    due = {"interval_s": 900, "uploads": 5, "usual_delay_s": 300, "due_after_s": 600, "newest_at": newest}
    due |= {"newest_seen_at": now, "next_due_at": newest + timedelta(seconds=1500)}
    reporting = [{"measure_id": row[0], "station_id": row[1], **due} for row in MEASURE_ROWS]
    lake.put_snapshots(TIMELINESS, [window], snapshot(TIMELINESS, now, *reporting))
    marked(lake, now, **dict.fromkeys(MEASURE_IDS, 900))
    lake.put_snapshots(WARNING_AREAS, [window], snapshot(WARNING_AREAS, now, AREA))
    warning = {
        **{name: AREA[name] for name in ("flood_area_id", "label", "county", "river_or_sea")},
        "severity_level": 2,
        "severity": "Flood warning",
        "message": "The river is high.\n<b>Act</b> now.\n",
        "raised_at": now - 5 * HOUR,
        "severity_changed_at": now - 5 * HOUR,
        "first_seen_at": now - 5 * HOUR,
        "changed_at": now - 5 * HOUR,
        "revision": 0,
    }
    ended = {**warning, "flood_area_id": "gone", "label": "Gone", "severity_level": 4, "left_at": now - HOUR}
    listed = snapshot(WARNINGS, now, warning, ended)
    lake.put_snapshots(WARNINGS, [window], listed, Present(in_force(listed), now))
    return lake


def _row(measure: str, at: datetime, age: int) -> tuple | None:
    """Return a reading; None in the gaps of the rain and of one level, from five to eight hours ago."""
    if measure in ("R1-rain", "K2-tide") and 20 <= age < 32:
        return None
    if measure == "R1-rain":
        return measure, at, 0.4 if age % 8 < 3 else 0.0
    if measure == "K1-level" and age in (3, 40, 50):
        return {3: (measure, at, 99.0), 40: (measure, at, None, "1.2|1.9"), 50: (measure, at, None)}[age]
    # It rises above the typical range.
    return measure, at, round(1.6 - age * 0.01 if measure == "K1-level" else 1.0 + age * 0.01, 3)
