"""Seven gauges with all tables in one lake, and the same in four shards."""

from pathlib import Path

import pyarrow as pa

from flood_assets.lake.lake import Lake
from flood_assets.lake.watermarks import Asked, advance
from flood_assets.ledger.account import take
from flood_assets.partitions import window_of
from flood_assets.query.survey import survey
from flood_assets.schemas import CONDITIONS, MEASURES, STATIONS, WARNING_AREAS, WARNINGS, WATERMARKS
from flood_assets_tests.support.lake_rows import QUARTER, fetched, snapshot
from flood_assets_tests.support.seven_gauges import MEASURE_IDS, NOW, fill
from flood_assets_tests.support.split_lake import split

SHARDS = ("level", "flow", "rainfall", "tide")
AREA = {"flood_area_id": "A1", "label": "Thames at Kingston", "lat": 51.4, "long": -0.3, "county": "Surrey"}


def shard_of(measure: str) -> str:
    """Return the shard of each measure: the level and the flow of one station are apart."""
    return {"flow": "flow", "rain": "rainfall", "tide": "tide"}.get(measure.partition("-")[2], "level")


def fill_both(folder: Path) -> None:
    """Fill `one` and `shards` below a folder with the same rows."""
    one = Lake.open(folder / "one")
    fill(one)
    one.claim("https://flood.example")
    # Two corrections, and one gauge that sends nothing for hours.
    one.upsert_readings(fetched(("K1-level", NOW.replace(minute=0, second=0), 77.0)), NOW + QUARTER, NOW + QUARTER)
    marks = [{"measure_id": each, "newest": NOW.replace(minute=0, second=0), "interval_s": 900} for each in MEASURE_IDS]
    advance(one.store, pa.Table.from_pylist(marks, schema=WATERMARKS), NOW, Asked.once(NOW, polled=True))
    one.put_snapshots(WARNING_AREAS, [window_of(NOW)], snapshot(WARNING_AREAS, NOW, AREA))
    listed = snapshot(
        WARNINGS, NOW, {**{k: AREA[k] for k in ("flood_area_id",)}, "severity_level": 2, "severity": "Flood Warning"}
    )
    one.put_snapshots(WARNINGS, [window_of(NOW)], listed)
    take(one, NOW).store(one)
    found = survey(one, NOW, *(one.newest_snapshot(table, NOW) for table in (MEASURES, STATIONS)))
    one.put_state(CONDITIONS, found.conditions, NOW)
    split(one, folder / "shards", shard_of, SHARDS)
