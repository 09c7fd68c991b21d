"""Lakes with whole days of readings, for what judges or prints them."""

import pyarrow as pa

from flood_assets.lake import watermarks
from flood_assets.partitions import window_of
from flood_assets.schemas import MEASURES, WATERMARKS
from flood_assets_tests.support.lake_rows import HOUR, NOW, QUARTER, a_day, fetched, snapshot

API = "https://flood.example"


def marked(lake, as_of=NOW, **interval_s):
    """Watermarks with each measure's reporting interval in seconds."""
    rows = [{"measure_id": m, "newest": NOW, "interval_s": s} for m, s in interval_s.items()]
    watermarks.advance(lake.store, pa.Table.from_pylist(rows, schema=WATERMARKS), as_of)


def known(lake, **period_s):
    """A snapshot of measures with their nominal periods."""
    rows = [{"measure_id": m, "station_id": "s", "period_s": p} for m, p in period_s.items()]
    lake.put_snapshots(MEASURES, [window_of(NOW)], snapshot(MEASURES, NOW, *rows))


def filled(lake, *measures):
    """A claimed lake with a whole day of the measures."""
    lake.claim(API)
    lake.upsert_readings(a_day(list(measures)), NOW, NOW)
    known(lake, **dict.fromkeys(measures, 900))
    marked(lake, **dict.fromkeys(measures, 900))


def of_many_ages(lake):
    """Five measures whose newest readings are from now to 23 hours old, and two without any."""
    lake.upsert_readings(
        fetched(
            ("now", NOW),
            ("quarter", NOW - QUARTER),
            ("hour", NOW - HOUR),
            ("five", NOW - 5 * HOUR),
            ("five", NOW - 7 * HOUR),
            ("old", NOW - 23 * HOUR),
        ),
        NOW,
        NOW,
    )
    known(lake, now=900, quarter=900, hour=900, five=900, old=900, never=900, closed=None)
