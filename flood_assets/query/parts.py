"""Divide the answer to `readings` into parts that are read one by one, each in the process that needs it.

A part is some windows of one shard, or of a lake without shards, so that a day of readings that does not fit into
memory is read as it is worked on. Names are matched once, over all shards; a part knows its measures by their ids.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Unpack

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.errors import LakeError
from flood_assets.lake.lake import Lake
from flood_assets.partitions import EPOCH, WINDOW, is_expired
from flood_assets.places import below
from flood_assets.query import filters
from flood_assets.query.filters import Duration, GaugeFilters, Moment, Span, Texts
from flood_assets.query.place import LakePlace, opened_if_there
from flood_assets.query.query import readings
from flood_assets.query.question import Question
from flood_assets.schemas import MEASURES, READINGS

# Stored bytes of a part: a million readings, some 200 MB in pandas.
PART_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Part:
    """Readings of some windows of one lake; see `query.readings` for the arguments that it keeps."""

    lake_url: str
    now: datetime
    start: datetime | None
    end: datetime | None
    measures: Sequence[str] | None
    asked: dict[str, Any]

    def rows(self) -> pa.Table:
        """Read the part.

        Raises:
            LakeError: the lake is gone, or it or one of the windows cannot be read.
        """
        lake = opened_if_there(self.lake_url)
        if lake is None:
            raise LakeError(f"there is no lake at {self.lake_url}: it is gone since its parts were listed")
        return readings(lake, self.now, start=self.start, end=self.end, measure=self.measures, **self.asked).rows


@dataclass(frozen=True)
class Parts:
    """The parts of an answer, in which every row is once, by window and within it by shard.

    Attributes:
        parts: none where nothing is stored.
        schema: of the rows of each.
        notes: as in `Result`.
    """

    parts: list[Part]
    schema: pa.Schema
    notes: list[str]


def readings_in_parts(
    lake: LakePlace,
    now: Moment,
    *,
    start: Moment | None = None,
    end: Moment | None = None,
    last: Duration | None = None,
    columns: Texts | None = None,
    joined: bool = False,
    flags: bool = False,
    **gauges: Unpack[GaugeFilters],
) -> Parts:
    """Return the parts of the answer to `readings`, whose arguments and errors these are; no reading is read.

    With `flags` a part is a whole shard: a flag depends on all readings of the day. The process that reads a part opens
    the lake by its URL: a bucket with the credentials that it has itself.
    """
    now = filters.moment("now", now)
    span = Span.of(start, end, last, now)
    asked: dict[str, Any] = {
        "columns": None if columns is None else filters.texts("columns", columns),
        "joined": joined,
        "flags": flags,
    }
    nothing = readings(lake, now, measure=(), **asked)
    question = Question.of(lake, now, gauges, READINGS.schema, None)
    place, ids = question.place, question.measure_ids
    parts = list[Part]()
    if place.lake is not None and (ids is None or ids):
        wanted = None if ids is None else pa.array(ids, pa.string())
        for name, (windows, listed) in place.lake.each_shard(lambda shard: _held(shard, now, span, ids)).items():
            own = ids if wanted is None or listed is None else wanted.filter(pc.is_in(wanted, listed)).to_pylist()
            if windows and (own is None or own):
                spans = [span] if flags else _blocks(windows, span)
                parts += [Part(below(place.url, name), now, each.start, each.end, own, asked) for each in spans]
        place.snapshot(MEASURES)  # which notes a shard that has none
    parts.sort(key=lambda part: part.start or EPOCH)
    if parts:
        question.note_time(pa.table({"there": [True]}), "start", span.start, span.end)
    else:
        question.note_missing(READINGS.schema.empty_table(), span)
    return Parts(parts, nothing.rows.schema, question.answer(READINGS.schema.empty_table()).notes)


def _held(
    lake: Lake, now: datetime, span: Span, ids: Sequence[str] | None
) -> tuple[list[tuple[datetime, int]], pa.Array | None]:
    """Return the retained windows of a span, with their sizes, and where it matters the measures that are listed."""
    listed = None if ids is None else lake.newest_snapshot(MEASURES, now, columns=["measure_id"])
    windows = [
        (each.window, each.size)
        for each in lake.windows(READINGS)
        if not is_expired(each.window, now) and each.window <= now and span.touches(each.window)
    ]
    return windows, None if listed is None else listed["measure_id"].combine_chunks()


def _blocks(windows: Sequence[tuple[datetime, int]], span: Span) -> Iterator[Span]:
    """Yield spans of windows that together have about `PART_BYTES`, and nothing outside the span that is asked for."""
    first, size = 0, 0
    for number, (window, bytes_) in enumerate(windows):
        size += bytes_
        if size >= PART_BYTES or number == len(windows) - 1:
            start, end = windows[first][0], window + WINDOW
            yield Span(max(start, span.start or start), min(end, span.end or end))
            first, size = number + 1, 0
