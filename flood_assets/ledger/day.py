"""A day of readings as numpy columns, with each measure's station and period from the newest snapshot."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.grouping import Flags, Floats, Ints, MeasureBlock, Piece
from flood_assets.schemas import TIME, pushed

# Columns that a day needs of readings and of measures.
READ = ("measure_id", "date_time", "value", "raw_value", "first_seen_at")
LISTED = ("measure_id", "station_id", "period_s")


@dataclass(frozen=True)
class Day:
    """Readings sorted by measure and time, each key once; times are ms since 1970.

    Attributes:
        measures: ids of all measures that are listed or have readings, sorted.
        pushed: True for those that others push: the API is not asked for them.
        stations: the station of each; null where it is not listed.
        period: listed time between readings of each, ms; NaN where there is none.
        measure: of each reading, its place in `measures`.
        at: when it was read.
        seen: when the API first showed it, or when it was pushed.
        several: True if it has more than one value.
        empty: True if it has none.
    """

    measures: pa.Array
    pushed: Flags
    stations: pa.Array
    period: Floats
    measure: Ints
    at: Ints
    seen: Ints
    several: Flags
    empty: Flags

    @classmethod
    def of(cls, measures: pa.Array, block: MeasureBlock, listed: pa.Table) -> "Day":
        """Return the day of some measures.

        Args:
            measures: their ids.
            block: their readings, from pieces as `day_piece` makes them.
            listed: columns `LISTED` of these measures, of others or of none.
        """
        listed = rows_of(measures, listed)
        period = listed["period_s"].cast(pa.float64()).to_numpy() * 1000
        measure, columns = block.measure, block.columns
        if ((np.diff(columns["at"]) < 0) & (np.diff(measure) == 0)).any():
            order = np.lexsort((columns["at"], measure))
            measure, columns = measure[order], {name: column[order] for name, column in columns.items()}
        return cls(
            measures,
            pushed(pa.chunked_array([measures])).to_numpy(),
            listed["station_id"].combine_chunks(),
            np.where(period > 0, period, np.nan),
            measure,
            **columns,
        )


def day_piece(readings: pa.Table) -> Piece:
    """Return the columns of `Day` for a window of readings with the columns `READ`, ids and raw values coded."""
    raw = readings["raw_value"].combine_chunks()
    # Hardly a reading has one, and many of those have the same.
    several = pc.match_substring(raw.dictionary.cast(pa.string()), "|").take(raw.indices)
    several = several.fill_null(False).to_numpy(zero_copy_only=False)
    columns = {
        "at": milliseconds(readings["date_time"]),
        "seen": milliseconds(readings["first_seen_at"]),
        "several": several,
        "empty": readings["value"].is_null().to_numpy() & ~several,
    }
    return Piece.of(readings["measure_id"], columns)


def rows_of(measures: pa.Array, known: pa.Table) -> pa.Table:
    """Return each measure's row of a table; nulls where it has none."""
    return known.take(pc.index_in(measures, value_set=known["measure_id"].combine_chunks()))


def milliseconds(times: pa.ChunkedArray) -> Ints:
    """Return times as ms since 1970."""
    found: Ints = times.cast(TIME).cast(pa.int64()).to_numpy()
    return found
