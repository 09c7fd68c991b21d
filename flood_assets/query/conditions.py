"""Condition of each gauge at a moment: value, band, trend, rain totals, freshness; for all gauges at once.

`conditions_of` decides by its arguments alone: readings with their flags, the newest snapshots, the reporting of each
gauge, and `now`. It never changes a value, chooses one of several, or counts a gap as zero; what it leaves out is
counted. `survey` reads a lake and asks it block by block.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets import quality
from flood_assets.grouping import HOUR_MS, Flags, Floats, Ints, begins
from flood_assets.ledger.day import milliseconds
from flood_assets.partitions import RETENTION, to_ms
from flood_assets.quality.kinds import Kind
from flood_assets.quality.series import Series
from flood_assets.schemas import CONDITIONS, TIME

BANDS = ("below", "normal", "above", "record")
TRENDS = ("rising", "steady", "falling")
FRESHNESS = ("current", "late", "silent")

# Numbers that loggers send for "no value". In metres or m³/s none of them is one: the gross range test fails them where
# the unit is known, but 6 % of the stages have none. pegelonline showed -888 as a level for years.
NO_VALUES = (-888.0, -999.0, -9999.0)

# The official service (DEFRA's check-for-flooding) looks at as many readings for its trend. Of five, one may be
# anything: of their ten slopes it spoils four, and the median is still among the others.
TREND_READINGS = 5
FEWEST_FOR_TREND = 3
# Water and heat rise and fall. Rain falls only, wind turns, and what is of no known kind may be anything.
_WITH_TREND = (Kind.RIVER, Kind.TIDE, Kind.GROUNDWATER, Kind.POOL, Kind.FLOW, Kind.TEMPERATURE)
# A change is one if it exceeds one and a half steps of the gauge's resolution, since a value on the edge of two steps
# flickers by one; and four deviations of its noise: the change over five readings by the median slope has 1.33
# deviations of a reading's noise, so these are three of its own.
_STEPS, _DEVIATIONS = 1.5, 4.0
# The third difference has no part in a level that moves like a parabola, as a tide nearly does within an hour. Of
# independent noise it has sqrt(1 + 9 + 9 + 1) deviations; 1.4826 makes one of a median of absolute values.
_NOISE = 1.4826 / 20**0.5
# Values have three decimals: what differs by less is the same.
_SAME = 1e-6

RAIN_HOURS = (1, 6, 24)

# Uploads that a gauge misses before it is called silent and not late.
MISSED_UPLOADS = 3


def conditions_of(
    readings: pa.Table, measures: pa.Table, stations: pa.Table, timeliness: pa.Table, now: datetime
) -> pa.Table:
    """Return the condition of each measure, one row for each that is listed, or has readings or a timeliness.

    * **value**: the newest reading that is one number and not flagged as fail. Newer ones that are not used are counted
      in `passed_over`: no value or several, a fail, a number that stands for none (-888), a time after `now`.
    * **band**: below, normal or above the station's typical range (5th to 95th percentile), record above the highest
      that was recorded. Only for the measure that the station's stage scale belongs to, which `quality.limits` decides
      by qualifier, unit and values; null for all others, for tides, and where the range is missing or upside down.
    * **trend**: rising, steady or falling by the median of the slopes between the last five usable readings (Theil
      1950, Sen 1968) that follow each other without a gap; with fewer than three null. Steady means that the change is
      not above the gauge's resolution and noise. For levels, flows and temperatures.
    * **rain**: totals of 1, 6 and 24 hours up to the newest reading that is due by now, each with the share of its
      expected readings that is there. Without any reading a total is null, never 0. Only for rain by period: of a gauge
      that reports each tip nobody knows whether it heard nothing or fell silent. Readings of the first minutes of the
      24 hours have left the lake, so that this coverage stays below 1 by what is not yet due.
    * **freshness**: current until the next reading is due, then late; silent after three more missed uploads, or
      without a reading in a whole day. Null while it is not known how late the gauge usually is.

    Args:
        readings: measure_id, date_time, value and `flag` (of `quality.flags`), of 24 hours, in any order; a repeated
            one counts once.
        measures: the newest snapshot, schema `schemas.MEASURES`.
        stations: likewise, `schemas.STATIONS`.
        timeliness: `schemas.TIMELINESS`; measures that are not in it have neither freshness nor rain totals.
        now: decides what is due, and which readings are a day old at most.

    Returns:
        `schemas.CONDITIONS`, by measure_id.
    """
    ids = _distinct([measures["measure_id"], timeliness["measure_id"]])
    known = pc.index_in(readings["measure_id"], value_set=ids)
    if known.null_count:
        ids = _distinct([ids, readings["measure_id"]])
        known = pc.index_in(readings["measure_id"], value_set=ids)
    return Known.of(ids, measures, stations, timeliness).conditions(
        known.cast(pa.int64()).to_numpy(),
        milliseconds(readings["date_time"]),
        np.asarray(readings["value"].to_numpy(), np.float64),
        np.asarray(readings["flag"].to_numpy(), np.int8),
        now,
    )


@dataclass(frozen=True)
class Known:
    """Some measures with all that the newest snapshots and the timeliness know of them: a row for each.

    Attributes:
        listed: schema `schemas.MEASURES`; null where no snapshot lists the measure.
        reporting: schema `schemas.TIMELINESS`; likewise.
        gauges: kinds, limits and periods.
        low, high: typical range of the station; NaN without one.
        highest: highest level of the station, recent or on record; likewise.
    """

    ids: pa.Array
    listed: pa.Table
    reporting: pa.Table
    gauges: quality.Gauges
    low: Floats
    high: Floats
    highest: Floats

    @classmethod
    def of(cls, ids: pa.Array, measures: pa.Table, stations: pa.Table, timeliness: pa.Table) -> "Known":
        """Return measures by their ids, which contain those of all `measures`: stations are judged by all they have."""
        listed = measures.take(pc.index_in(ids, value_set=measures["measure_id"].combine_chunks()))
        reporting = timeliness.take(pc.index_in(ids, value_set=timeliness["measure_id"].combine_chunks()))
        at = pc.index_in(listed["station_id"], value_set=stations["station_id"].combine_chunks(), skip_nulls=True)
        low, high, record, recent = (
            _numbers(stations[name].take(at))
            for name in ("typical_low", "typical_high", "max_on_record", "highest_recent")
        )
        gauges = quality.Gauges.of(listed, stations)
        return cls(ids, listed, reporting, gauges, low, high, np.fmax(record, recent))

    def some(self, first: int, last: int) -> "Known":
        """Return the measures from `first` to before `last`."""
        rows = slice(first, last)
        return Known(
            self.ids[rows],
            self.listed[rows],
            self.reporting[rows],
            self.gauges.some(rows),
            self.low[rows],
            self.high[rows],
            self.highest[rows],
        )

    def conditions(
        self, measure: Ints, time: Ints, value: Floats, flag: npt.NDArray[np.int8], now: datetime
    ) -> pa.Table:
        """Return the condition of each measure, by the rules of `conditions_of`.

        Args:
            measure: place of each reading's measure.
            time: ms since 1970.
            value: NaN where there is none.
            flag: worst flag.
            now: as there.
        """
        day = _Day.of(measure, time, value, flag, self.gauges, now)
        rate, trend = day.trend(self.gauges)
        interval = _numbers(self.reporting["interval_s"]) * 1000
        delay = _numbers(self.reporting["due_after_s"]) * 1000
        newest = day.last
        columns = {
            "measure_id": self.ids,
            "station_id": pc.coalesce(self.listed["station_id"], self.reporting["station_id"]),
            "date_time": _times(day.series.time, newest),
            "value": _values(day.series.value, newest),
            "flag": pa.array(np.append(day.flag, np.int8(0))[newest], mask=newest < 0),
            "passed_over": pa.array(day.passed_over().astype(np.int32)),
            "band": _words(BANDS, _bands(day, self)),
            "trend": _words(TRENDS, trend),
            "rate_per_hour": pa.array(rate, from_pandas=True),
            **day.extremes(),
            **_rain(day, self.gauges, interval, delay, now),
            "freshness": _words(FRESHNESS, freshness_of(self.reporting, newest >= 0, now)),
            "next_due_at": self.reporting["next_due_at"],
            "observed_at": pa.repeat(pa.scalar(now, TIME), len(self.ids)),
        }
        return pa.table([columns[name] for name in CONDITIONS.schema.names], schema=CONDITIONS.schema)


@dataclass(frozen=True)
class _Day:
    """Usable readings of a day, and how many others there are.

    Attributes:
        series: the usable ones, each measure's in order of time, in the unit in which they were given.
        flag: the worst flag of each.
        last: place of each measure's newest usable reading, -1 without one.
        unused: measure and time of all others.
    """

    series: Series
    flag: npt.NDArray[np.int8]
    last: Ints
    unused: tuple[Ints, Ints]

    @classmethod
    def of(
        cls,
        measure: Ints,
        time: Ints,
        value: Floats,
        flag: npt.NDArray[np.int8],
        gauges: quality.Gauges,
        now: datetime,
    ) -> "_Day":
        good = np.isfinite(value) & (flag != quality.FAIL) & (time <= to_ms(now))
        for each in NO_VALUES:
            good &= value != each
        kept = np.flatnonzero(good & (time > to_ms(now - RETENTION)))
        unused = np.flatnonzero(~good)
        series, place = Series.of(measure[kept], time[kept], value[kept], gauges.period)
        shown = np.zeros(len(series.value), np.int8)
        if len(shown) == len(kept):
            shown[place] = flag[kept]
        else:  # of a repeated reading the worst flag
            np.maximum.at(shown, place, flag[kept])
        last = np.full(len(gauges.kinds), -1, np.int64)
        last[series.measure] = np.arange(len(series.measure))
        return cls(series, shown, last, (measure[unused], time[unused]))

    def passed_over(self) -> Ints:
        """Count the readings of each measure that are newer than the one that is used, each time once."""
        measure, time = self.unused
        since = np.append(self.series.time, -(2**62))[self.last]
        newer = time > since[measure]
        measure, time = measure[newer], time[newer]
        order = np.lexsort((time, measure))
        first = begins(measure[order], time[order])
        return np.bincount(measure[order][first], minlength=len(self.last))

    def trend(self, gauges: quality.Gauges) -> tuple[Floats, Ints]:
        """Return each measure's slope in its unit an hour and its place in `TRENDS`; NaN and -1 without one."""
        place = self.last[:, None] - np.arange(TREND_READINGS)[::-1]
        inside = (place >= np.append(self._run_starts(), 0)[self.last][:, None]) & (self.last >= 0)[:, None]
        place = np.where(inside, place, -1)
        value = np.append(self.series.value, np.nan)[place]
        hours = np.append(self.series.time / HOUR_MS, np.nan)[place]
        enough = (inside.sum(axis=1) >= FEWEST_FOR_TREND) & np.isin(gauges.kinds, _WITH_TREND)
        value, hours = value[enough], hours[enough]
        slopes = np.stack(
            [
                (value[:, j] - value[:, i]) / (hours[:, j] - hours[:, i])
                for i, j in combinations(range(TREND_READINGS), 2)
            ]
        )
        # The median of those that are there, which are sorted to the front: a third of `nanmedian`'s time.
        slopes.sort(axis=0)
        count, each = np.isfinite(slopes).sum(axis=0), np.arange(len(value))
        rate = np.full(len(self.last), np.nan)
        rate[enough] = (slopes[(count - 1) // 2, each] + slopes[count // 2, each]) / 2
        change = np.full(len(self.last), np.nan)
        change[enough] = rate[enough] * (hours[:, -1] - np.nanmin(hours, axis=1, initial=np.inf))
        least = self._least_change(enough)
        found = np.where(np.abs(change) > least, np.where(change > 0, 0, 2), 1)
        return rate, np.where(enough, found, -1)

    def _run_starts(self) -> Ints:
        """Return for each reading the place of the first one that leads up to it without a gap."""
        starts = np.where(np.isnan(self.series.gap), np.arange(len(self.series.gap)), 0)
        return np.maximum.accumulate(starts) if len(starts) else starts

    def _least_change(self, wanted: Flags) -> Floats:
        """Return the change of each wanted measure up to which it is steady: by its resolution and noise of the day."""
        step = np.diff(self.series.value, prepend=np.nan)
        step[np.isnan(self.series.gap)] = np.nan
        size = np.abs(step)
        resolution = self._of_each(np.where(size > _SAME, size, np.inf), np.minimum)
        resolution[~np.isfinite(resolution)] = 0
        # NaN at a gap spreads over the differences that touch it.
        third = np.full(len(step), np.nan)
        third[2:] = step[2:] - 2 * step[1:-1] + step[:-2]
        third[~wanted[self.series.measure]] = np.nan
        noise = np.nan_to_num(_NOISE * self.series.medians(np.abs(third)))
        return np.maximum(_STEPS * resolution, _DEVIATIONS * noise) + _SAME

    def _of_each(self, value: Floats, best: np.ufunc) -> Floats:
        """Return the least or the greatest of one number a reading, for each measure; NaN without a reading."""
        found = np.full(len(self.last), np.nan)
        start = np.flatnonzero(begins(self.series.measure))
        if len(start):
            found[self.series.measure[start]] = best.reduceat(value, start)
        return found

    def extremes(self) -> dict[str, pa.Array]:
        """Return the least and the greatest value of each measure, each with the first time at which it was reached."""
        found = {}
        measure = self.series.measure
        for name, best in (("min_24h", np.minimum), ("max_24h", np.maximum)):
            extreme = self._of_each(self.series.value, best)
            reached = np.flatnonzero(self.series.value == extreme[measure])
            first = np.full(len(self.last), -1, np.int64)
            first[measure[reached][::-1]] = reached[::-1]
            found[name] = _values(self.series.value, first)
            found[f"{name}_at"] = _times(self.series.time, first)
        return found


def _bands(day: _Day, known: Known) -> Ints:
    """Return the place of each measure's band in `BANDS`; -1 where it has none."""
    limits = known.gauges.limits
    # Where the scale may be another measure's, the values of the day must lie on it.
    unsure = np.isfinite(limits.scale[0]) & ~limits.scale_is_sure
    medians = day.series.medians(np.where(unsure[day.series.measure], day.series.value, np.nan))
    scaled = limits.on_scale(medians)
    value = np.append(day.series.value, np.nan)[day.last]
    band = np.where(value < known.low, 0, np.where(value > known.high, 2, 1))
    band[(value > known.high) & (value > known.highest)] = 3
    return np.where(scaled & (known.low <= known.high) & np.isfinite(value), band, -1)


def _rain(
    day: _Day, gauges: quality.Gauges, interval: Floats, delay: Floats, now: datetime
) -> dict[str, pa.Array | pa.ChunkedArray]:
    """Return the totals of rain with their coverage, and how many readings of the day were left out of them."""
    size = len(day.last)
    series, newest = day.series, np.append(day.series.time, 0)[day.last].astype(np.float64)
    raining = (gauges.kinds == Kind.RAIN) & (interval > 0)
    # The newest time that should have been received by now, on the grid of the newest reading; a gauge whose delay is
    # not known owes nothing newer than that.
    owed = np.floor((to_ms(now) - np.nan_to_num(delay, nan=np.inf) - newest) / interval)
    due = np.where(raining & (day.last >= 0), newest + np.maximum(owed, 0) * interval, np.nan)
    found: dict[str, pa.Array | pa.ChunkedArray] = {}
    wet = np.flatnonzero(np.isfinite(due)[series.measure])
    measure, value = series.measure[wet], day.series.value[wet]
    # 0 for the reading that is due last, 1 for the one before, ...
    slot = np.round((due[measure] - series.time[wet]) / interval[measure]).astype(np.int64)
    before = (due[measure] - series.time[wet]) / HOUR_MS
    for hours in RAIN_HOURS:
        inside = (before < hours) & (slot >= 0)
        total = np.bincount(measure[inside], value[inside], size)
        expected = np.maximum(np.round(hours * HOUR_MS / interval), 1)
        first = begins(measure[inside], slot[inside])
        received = np.bincount(measure[inside][first], minlength=size)
        there = np.isfinite(due)
        coverage = np.where(there, np.minimum(received / expected, 1), np.nan)
        found[f"rain_{hours}h"] = pa.array(np.where(there & (received > 0), total, np.nan), from_pandas=True)
        found[f"rain_{hours}h_coverage"] = pa.array(coverage, from_pandas=True)
    left_out, time = day.unused
    recent = (time > to_ms(now - timedelta(hours=24))) & (time <= to_ms(now))
    count = np.bincount(left_out[recent], minlength=size).astype(np.int32)
    found["rain_left_out"] = pa.array(count, mask=gauges.kinds != Kind.RAIN)
    return found


def freshness_of(reporting: pa.Table, heard: Flags, now: datetime) -> Ints:
    """Return the place of each measure's freshness in `FRESHNESS`; -1 where it is not known.

    Args:
        reporting: schema `schemas.TIMELINESS`, a row for each; null for an unknown one.
        heard: True for those with a usable reading in the last 24 hours.
        now: the moment.
    """
    interval, delay = (_numbers(reporting[name]) * 1000 for name in ("interval_s", "due_after_s"))
    due = reporting["next_due_at"].cast(pa.int64()).cast(pa.float64()).to_numpy()
    overdue = to_ms(now) - due
    found = np.where(overdue < 0, 0, np.where(overdue < MISSED_UPLOADS * (interval + delay), 1, 2))
    found[np.isnan(overdue)] = -1
    found[(interval > 0) & ~heard] = 2
    return found


def _distinct(columns: Iterable[pa.Array | pa.ChunkedArray]) -> pa.Array:
    """Return the distinct ids of some columns, which may be dictionaries, sorted."""
    ids = pa.concat_arrays([pc.unique(column).cast(pa.string()) for column in columns]).unique()
    return ids.take(pc.sort_indices(ids))


def _numbers(column: pa.ChunkedArray) -> Floats:
    return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)


def _values(value: Floats, place: Ints) -> pa.Array:
    return pa.array(np.append(value, np.nan)[place], mask=place < 0)


def _times(time: Ints, place: Ints) -> pa.Array:
    return pa.array(np.append(time, 0)[place], mask=place < 0).cast(TIME)


def _words(words: Iterable[str], place: Ints) -> pa.Array:
    return pa.array(list(words), pa.string()).take(pa.array(place, mask=place < 0))
