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


def with_gaps(lake):
    """A day of hourly measures: one that left out a reading, one that is eight hours late, one that sent none."""
    hours = [NOW - i * HOUR for i in range(24)]
    lake.upsert_readings(fetched(*[("gap", t) for t in hours if t != hours[5]]), NOW, NOW)
    lake.upsert_readings(fetched(*[("late", t) for t in hours[8:]]), NOW, NOW)
    known(lake, gap=3600, late=3600, dead=3600)
    newest = [{"measure_id": "gap", "newest": NOW, "interval_s": 3600}, {"measure_id": "late", "newest": hours[8]}]
    asked = watermarks.Asked.once(NOW, polled=True)
    watermarks.advance(lake.store, pa.Table.from_pylist(newest, schema=WATERMARKS), NOW, asked)


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
