"""A day of readings as numpy columns, one code a measure, beside what the newest snapshot says of the measures."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flood_assets.ledger.groups import Floats, Ints
from flood_assets.schemas import TIME

Flags = NDArray[np.bool_]

# What `Day.of` needs of readings and of measures.
READ = ("measure_id", "date_time", "value", "raw_value", "first_seen_at")
LISTED = ("measure_id", "station_id", "period_s")


@dataclass(frozen=True)
class Day:
    """Readings sorted by measure and time, each key once; times are milliseconds since 1970.

    Attributes:
        measures: ids of all measures that are listed or have readings, sorted.
        stations: the station of each; null where it is not listed.
        period: nominal time between readings of each, ms; NaN where none is listed.
        measure: of each reading, its place in `measures`.
        at: when it was read.
        seen: when the API first showed it.
        several: whether it has more than one value.
        empty: whether it has none.
    """

    measures: pa.Array
    stations: pa.Array
    period: Floats
    measure: Ints
    at: Ints
    seen: Ints
    several: Flags
    empty: Flags

    @classmethod
    def of(cls, readings: pa.Table, listed: pa.Table) -> "Day":
        """The day of readings with the columns `READ` (measure_id coded) and measures with the columns `LISTED`."""
        coded = readings["measure_id"].unify_dictionaries().combine_chunks()
        text, index = coded.dictionary.cast(pa.string()), coded.indices.to_numpy(zero_copy_only=False)
        known = listed["measure_id"].combine_chunks()
        # A dictionary may hold measures of which no row is left.
        used = text.take(pa.array(np.flatnonzero(np.bincount(index, minlength=len(text)))))
        measures = pc.unique(pa.concat_arrays([known, used]))
        measures = measures.take(pc.sort_indices(measures))
        code = pc.index_in(text, value_set=measures).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        measure = code[index] if len(index) else np.zeros(0, np.int64)
        at = milliseconds(readings["date_time"])
        order = np.lexsort((at, measure))
        several = pc.fill_null(pc.match_substring(readings["raw_value"].cast(pa.string()), "|"), False).to_numpy()
        place = pc.index_in(measures, value_set=known)
        period = listed["period_s"].take(place).cast(pa.float64()).to_numpy() * 1000
        return cls(
            measures=measures,
            stations=listed["station_id"].combine_chunks().take(place),
            period=np.where(period > 0, period, np.nan),
            measure=measure[order],
            at=at[order],
            seen=milliseconds(readings["first_seen_at"])[order],
            several=several[order],
            empty=(readings["value"].is_null().to_numpy() & ~several)[order],
        )


def milliseconds(times: pa.ChunkedArray) -> Ints:
    """Times as milliseconds since 1970."""
    found: Ints = times.cast(TIME).cast(pa.int64()).to_numpy()
    return found
