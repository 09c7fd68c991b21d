"""Make gauges and their readings, and compute their flags."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from flood_assets import quality
from flood_assets.schemas import MEASURES, READINGS, STATIONS
from flood_assets_tests.support.lake_rows import snapshot

START = datetime(2026, 10, 5, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
HOUR = timedelta(hours=1)
READING = READINGS.schema.field("date_time").type


@dataclass(frozen=True)
class Gauge:
    """Measure as described by a snapshot, with the stage scale of its station."""

    parameter: str = "level"
    qualifier: str | None = "Stage"
    unit: str | None = "mASD"
    value_type: str = "instantaneous"
    period_s: int | None = 900
    measure_id: str = "m"
    station_id: str = "s"
    scale: dict = field(default_factory=dict, hash=False)


RIVER = Gauge()
TIDE = Gauge(qualifier="Tidal Level", unit="mAOD")
GROUNDWATER = Gauge(qualifier="Groundwater", unit="mAOD")
RESERVOIR = Gauge(qualifier="Reservoir Level", unit="mAOD")
FLOW = Gauge("flow", None, "m3/s")
RAIN = Gauge("rainfall", "Tipping Bucket Raingauge", "mm", "total")
RAIN_EVENT = Gauge("rainfall", "Tipping Bucket Raingauge", "mm", "event", None)
RAIN_COUNTER = Gauge("rainfall", "Tipping Bucket Raingauge", "mm", "cumulative total")
WIND = Gauge("wind", "Speed", "m/s", "mean")
DIRECTION = Gauge("wind", "Direction", "deg", "mean")
WARMTH = Gauge("temperature", "Dry Bulb", "deg C")


def readings(measure_ids: Sequence[str], times: Sequence[datetime], values: Sequence[float | None]) -> pa.Table:
    return pa.table({
        "measure_id": pa.array(measure_ids, pa.string()),
        "date_time": pa.array(times, READING),
        "value": pa.array(values, pa.float64()),
    })  # fmt: skip


def measures(*gauges: Gauge) -> pa.Table:
    names = ("measure_id", "station_id", "parameter", "qualifier", "unit", "value_type", "period_s")
    return snapshot(MEASURES, START, *[{name: getattr(gauge, name) for name in names} for gauge in gauges])


def stations(*gauges: Gauge) -> pa.Table:
    scales = {gauge.station_id: gauge.scale for gauge in gauges}
    return snapshot(STATIONS, START, *[{"station_id": i, **scale} for i, scale in scales.items()])


def flags_of(
    gauge: Gauge,
    values: Sequence[float | None],
    *,
    every: timedelta = QUARTER,
    at: Sequence[timedelta] | None = None,
    beside: Iterable[Gauge] = (),
) -> dict[str, list[int]]:
    """Return the flags of one gauge's readings by column; readings follow `every` or lie `at` times after the start."""
    times = [START + each for each in (at or [i * every for i in range(len(values))])]
    rows = readings([gauge.measure_id] * len(values), times, values)
    return quality.flags(rows, measures(gauge, *beside), stations(gauge, *beside)).to_pydict()


def restless(count: int, around: float = 1.0, by: float = 0.001) -> list[float]:
    """Return quiet values of which no two neighbours are equal."""
    return [around + (by if i % 2 else 0) for i in range(count)]
