"""A day of readings as numpy columns, one code a measure, beside what the newest snapshot says of the measures."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flood_assets.lake.blocks import Block, Blocks, Piece
from flood_assets.ledger.groups import Floats, Ints
from flood_assets.schemas import TIME

Flags = NDArray[np.bool_]

# What a day needs of readings and of measures.
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
        """The day of readings with the columns `READ` and measures with the columns `LISTED`."""
        blocks = Blocks([kept(readings)], listed["measure_id"].combine_chunks())
        return cls.among(blocks.measures, blocks.block(0, len(blocks.measures)), listed)

    @classmethod
    def among(cls, measures: pa.Array, block: Block, listed: pa.Table) -> "Day":
        """The day of some measures: their ids, their readings as `kept`, and what is listed of them or of others."""
        place = pc.index_in(measures, value_set=listed["measure_id"].combine_chunks())
        period = listed["period_s"].take(place).cast(pa.float64()).to_numpy() * 1000
        measure, columns = block.measure, block.columns
        again = (np.diff(columns["at"]) < 0) & (np.diff(measure) == 0)
        if again.any():
            order = np.lexsort((columns["at"], measure))
            measure, columns = measure[order], {name: column[order] for name, column in columns.items()}
        return cls(
            measures=measures,
            stations=listed["station_id"].combine_chunks().take(place),
            period=np.where(period > 0, period, np.nan),
            measure=measure,
            **columns,
        )


def kept(readings: pa.Table) -> Piece:
    """Of readings with the columns `READ`, what a day is made of."""
    raw = readings["raw_value"].combine_chunks()
    # Hardly a reading has one, and many of those have the same.
    marked = pc.match_substring(raw.dictionary.cast(pa.string()), "|").take(raw.indices)
    several = marked.fill_null(False).to_numpy(zero_copy_only=False)
    columns = {
        "at": milliseconds(readings["date_time"]),
        "seen": milliseconds(readings["first_seen_at"]),
        "several": several,
        "empty": readings["value"].is_null().to_numpy() & ~several,
    }
    return Piece.of(readings["measure_id"], columns)


def milliseconds(times: pa.ChunkedArray) -> Ints:
    """Times as milliseconds since 1970."""
    found: Ints = times.cast(TIME).cast(pa.int64()).to_numpy()
    return found
