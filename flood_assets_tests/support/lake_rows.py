"""Make rows for a lake and inspect its contents."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa

from flood_assets.lake.lake import Lake
from flood_assets.lake.write import WindowChange
from flood_assets.partitions import WINDOW, window_of
from flood_assets.schemas import MEASURES, READINGS, REJECTS, STATIONS, TIME, Table

NOW = datetime(2026, 11, 21, 9, 7, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
QUARTER = timedelta(minutes=15)
INPUT = pa.schema(
    [("measure_id", pa.string()), ("date_time", TIME), ("value", pa.float64()), ("raw_value", pa.string())]
)


def read_window(lake: Lake, table: Table, window: datetime, *, now: datetime, **more) -> pa.Table:
    """Read the retained rows of one window; no rows when it does not exist."""
    start = window_of(window)
    return lake.read(table, start, start + WINDOW, now=now, **more)


def at(hour: int, minute: int = 0, *, days_ago: int = 0) -> datetime:
    return datetime(2026, 11, 21 - days_ago, hour, minute, tzinfo=UTC)


def fetched(*rows: tuple) -> pa.Table:
    """(measure_id, date_time[, value[, raw_value]])."""
    full = [(*row, *[None] * (4 - len(row))) for row in rows]
    columns = list(zip(*full, strict=True)) if full else [()] * 4
    return pa.table({f.name: pa.array(columns[i], f.type) for i, f in enumerate(INPUT)})


def stored(lake: Lake, now: datetime = NOW) -> list[dict]:
    return lake.read(READINGS, now=now).to_pylist()


def values(lake: Lake, now: datetime = NOW) -> dict:
    return {(row["measure_id"], row["date_time"]): row["value"] for row in stored(lake, now)}


def snapshot(table: Table, observed_at: datetime, *rows: dict) -> pa.Table:
    """Make rows of `stations` or `measures`; columns not given are null."""
    full = [{**dict.fromkeys(table.schema.names), **row, "observed_at": observed_at} for row in rows]
    return pa.Table.from_pylist(full, schema=table.schema)


def stations(*ids: str, observed_at: datetime = NOW, **columns: object) -> pa.Table:
    return snapshot(STATIONS, observed_at, *[{"station_id": i, **columns} for i in ids])


def measures(observed_at: datetime = NOW, **station_of: str) -> pa.Table:
    return snapshot(MEASURES, observed_at, *[{"measure_id": m, "station_id": s} for m, s in station_of.items()])


def put_snapshot(lake: Lake, table: Table, window: datetime, rows: pa.Table) -> WindowChange:
    """Replace one window of `stations` or `measures`."""
    (change,) = lake.put_snapshots(table, [window], rows)
    return change


def rejects(*rows: tuple[datetime, str, str]) -> pa.Table:
    return pa.Table.from_pylist(
        [dict(zip(REJECTS.schema.names, row, strict=True)) for row in rows], schema=REJECTS.schema
    )


def put_raw(lake: Lake, key: str, data: bytes) -> None:
    """Place bytes in the lake as a stranger would."""
    blob = lake.store.head(key)
    lake.store.put(key, data, replaces=blob)


def keys(lake: Lake) -> list[str]:
    """List every object of the lake except locks."""
    return [meta.key for meta in lake.store.list("") if not meta.key.startswith(".locks")]


def a_day(measure_ids: list[str], now: datetime = NOW, value: float = 1.0) -> pa.Table:
    """Make a reading of each measure at each retained quarter of an hour."""
    first = window_of(now) - 23 * HOUR
    times = [t for i in range(96) if (t := first + i * QUARTER) <= now]
    return fetched(*[(m, t, value) for m in measure_ids for t in times])
