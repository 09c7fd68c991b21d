"""Make days for the ledger: readings, listed gauges and evidence."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from flood_assets.grouping import Blocks
from flood_assets.lake import watermarks
from flood_assets.lake.parquet import schema_of
from flood_assets.ledger.day import READ, Day, day_piece
from flood_assets.schemas import MEASURES, READINGS, WATERMARKS

NOW = datetime(2026, 11, 21, 9, 7, 30, tzinfo=UTC)
DAY = timedelta(hours=24)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)

# (date_time, first_seen_at, raw_value); "" for no value, None for one number.
Row = tuple[datetime, datetime, str | None]


def every(step: timedelta, *, phase: timedelta = timedelta(), now: datetime = NOW) -> list[datetime]:
    """Return the moments of a gauge's day that are retained at `now`."""
    midnight = datetime(now.year, now.month, now.day, tzinfo=UTC) - DAY
    moments = (midnight + phase + i * step for i in range(2 * DAY // step))
    return [moment for moment in moments if now - DAY < moment <= now]


def a_day(readings: Mapping[str, Iterable[datetime | Row]], listed: Mapping[str, int | None]) -> Day:
    """Return a day: readings by measure (a moment alone was seen at once), and listed periods in seconds."""
    rows = [
        (measure, *(row if isinstance(row, tuple) else (row, row, None)))
        for measure, given in readings.items()
        for row in given
    ]
    found = [
        {
            **dict.fromkeys(READ),
            "measure_id": measure,
            "date_time": at,
            "first_seen_at": seen,
            "value": 1.0 if raw is None else None,
            "raw_value": raw or None,
        }
        for measure, at, seen, raw in rows
    ]
    gauges = [
        {
            **dict.fromkeys(MEASURES.schema.names),
            "measure_id": m,
            "station_id": f"of {m}",
            "period_s": p,
            "observed_at": NOW,
        }
        for m, p in listed.items()
    ]
    plain = pa.Table.from_pylist(found, schema=schema_of(READINGS, READ))
    listed = pa.Table.from_pylist(gauges, schema=MEASURES.schema)
    piece = day_piece(plain.cast(schema_of(READINGS, READ, coded=True)))
    blocks = Blocks.of([piece], listed["measure_id"].combine_chunks())
    return Day.of(blocks.measures, blocks.block(0, len(blocks.measures)), listed)


def marked(as_of: datetime, newest: Mapping[str, datetime], asked: watermarks.Asked) -> watermarks.Watermarks:
    rows = [{"measure_id": measure, "newest": at, "interval_s": None} for measure, at in newest.items()]
    return watermarks.Watermarks(pa.Table.from_pylist(rows, schema=WATERMARKS), as_of, asked)
