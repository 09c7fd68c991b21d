"""The demo's lake two hours later, with readings that came and were corrected since, for what answers SQL over it."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.lake.lake import Lake
from flood_assets.schemas import READINGS
from flood_assets_tests.conftest import HOUR, NOW, QUARTER
from flood_assets_tests.support.examples import ROOT
from flood_assets_tests.support.lake_rows import INPUT
from flood_assets_tests.support.quick_dagster import copy_folder

LATER = NOW + 2 * HOUR
SEEN = LATER - QUARTER
NEW, REVISED = 4, 6


def later(demo: Path, folder: Path) -> Lake:
    """Return a copy of the demo's lake with six corrections and four new readings, all seen at `SEEN`."""
    copy_folder(demo, folder)
    lake = Lake.open(folder)
    rows = lake.read(READINGS, now=LATER)
    rows = rows.filter(pc.and_(pc.greater(rows["date_time"], NOW - HOUR), pc.is_valid(rows["value"]))).to_pylist()
    found = [{**row, "value": row["value"] + 1} for row in rows[:REVISED]]
    found += [{**row, "date_time": NOW + QUARTER, "value": 7.0} for row in rows[-NEW:]]
    lake.upsert_readings(pa.Table.from_pylist(found, schema=INPUT), SEEN, LATER)
    return lake


def recipes() -> dict[str, str]:
    """Return the statements of the page on SQL by their headings."""
    page = (ROOT / "docs" / "sql.md").read_text(encoding="utf-8")
    found = {}
    for section in page.split("\n### ")[1:]:
        heading, _, rest = section.partition("\n")
        found[heading] = rest.partition("```sql\n")[2].partition("```\n")[0]
    return found
