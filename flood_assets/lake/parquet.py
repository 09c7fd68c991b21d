"""Encode a window as Parquet; decode it, whole or in part, and detect damage.

The names of the objects are in `layout`, reading and writing their bytes in `store`.
"""

import io
import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flood_assets.errors import LakeError, RefusedError
from flood_assets.grouping import ranks
from flood_assets.lake.layout import FORMAT
from flood_assets.schemas import READINGS, Table, pushed

# One gauge costs the decoding of one row group. Measured on the national day after a day of ticks, one gauge's and one
# river's day and the whole day: of 8,192 rows the gauge took 1.6 times as long; 2,048 rows need a tenth more bytes, and
# the river took a quarter longer.
ROW_GROUP_ROWS = 4096

# By these a reader leaves out row groups; of the other columns the least and the greatest say nothing.
_STATISTICS = ("measure_id", "date_time", "station_id")

# Metadata in the footer: the format if it is not the first one, when the rows were asked for, how many readings are
# pushed and not the API's, and which rows of a list publishers have removed.
_FORMAT = "flood_assets.format"
_ASKED_AT, _PUSHED, _REMOVED = "flood_assets.asked_at", "flood_assets.pushed", "flood_assets.removed"

# Text that repeats; it may be read as codes into a dictionary.
_CODED = ("measure_id", "station_id", "raw_value")


# What pyarrow raises for bytes that are no Parquet, or no longer: names that are no text and times of no year among it.
_UNREADABLE = (pa.ArrowException, OSError, ValueError, OverflowError)


class DamagedWindowError(LakeError):
    """An object in a window's place is damaged, or is no window of its table."""

    def __init__(self, place: str, reason: str) -> None:
        self.place, self.reason = place, reason.rstrip(". ")
        super().__init__(
            f"{place} cannot be read: {self.reason}. The next refreshes move it below _quarantine/ and fill "
            "the window again, as long as the API has it; `flood-assets reconcile` does so now for readings"
        )


class NewerFormatError(RefusedError):
    """Object of a newer version of this package: this one may read it, and would drop columns if it wrote it."""

    def __init__(self, place: str, found: object) -> None:
        super().__init__(
            f"{place} is of format {found}, and this version of flood_assets writes format {FORMAT}: a newer version "
            "is at work on this lake. Upgrade flood_assets here, or stop it and leave the lake to the newer one; "
            "nothing was changed. Reading goes on"
        )


def encode(
    table: Table,
    rows: pa.Table,
    *,
    asked_at: datetime | None = None,
    removed: Mapping[str, int] | None = None,
    row_group_rows: int = ROW_GROUP_ROWS,
) -> bytes:
    """Encode rows as Parquet; the same rows give the same bytes. They must have the table's schema and order.

    `asked_at` is kept in the footer, for rows that may be none, and so are keys that were `removed`, with the time in
    ms.
    """
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        rows.schema,
        # Rows are sorted by measure, so equal text lies side by side: zstd packs that better than a dictionary, whose
        # codes have too short runs. Measured on the national day after a day of ticks: 7.1 bytes a reading, 8.7 with
        # dictionaries, 7.8 at zstd's level 1. Nor can fastparquet read the dictionary of a column that is all null.
        use_dictionary=False,
        compression="zstd",
        compression_level=3,
        write_statistics=[name for name in rows.column_names if name in {*_STATISTICS, table.time}],
        # The Parquet types say all there is to say, and the Arrow schema would be 2 % more bytes.
        store_schema=False,
        write_page_checksum=True,
        sorting_columns=pq.SortingColumn.from_ordering(table.schema, [(name, "ascending") for name in table.key]),
    ) as writer:
        writer.write_table(rows, row_group_size=row_group_rows)
        if FORMAT > 1:
            writer.add_key_value_metadata({_FORMAT: str(FORMAT)})
        if asked_at is not None:
            writer.add_key_value_metadata({_ASKED_AT: asked_at.isoformat()})
        if removed:
            writer.add_key_value_metadata({_REMOVED: json.dumps(removed)})
        if table is READINGS and (many := pc.sum(pushed(rows["measure_id"])).as_py()):
            writer.add_key_value_metadata({_PUSHED: str(many)})
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded


class _Span(NamedTuple):
    min: Any
    max: Any


def pack(rows: pa.Table, said: Mapping[bytes, bytes]) -> bytes:
    """Return a small table and what it says of itself as Parquet with checksums, for an object beside the tables."""
    sink = pa.BufferOutputStream()
    rows = rows.replace_schema_metadata(dict(said))
    pq.write_table(rows, sink, compression="zstd", use_dictionary=False, write_page_checksum=True)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def unpack(data: pa.Buffer) -> tuple[pa.Table, Mapping[bytes, bytes]]:
    """Return what `pack` was given; pa.ArrowException or OSError if the pages are damaged."""
    # `read_table` would make a dataset of it first, which takes longer than the reading.
    rows = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True).read(use_threads=False)
    return rows.replace_schema_metadata(None), rows.schema.metadata or {}


class WindowFile:
    """A stored window, open for reading.

    An object of an older format, which lacks columns that may be null, is read with nulls for them, and one of a newer
    format, by its footer, without the columns that it has more. Anything else that differs from the table's schema is
    damage.

    Args:
        table: whose window it is.
        place: the object's full name, for messages.
        source: its bytes, or a file that fetches them in parts.

    Raises:
        DamagedWindowError: not Parquet, or not this table.
    """

    def __init__(self, table: Table, place: str, source: Any) -> None:
        self.table = table
        self.place = place
        try:
            if isinstance(source, pa.Buffer):
                source = pa.BufferReader(source)
            # Text with offsets of 64 bits is decoded a quarter more quickly, and costs next to nothing to cast.
            self._file = pq.ParquetFile(source, binary_type=pa.large_binary(), page_checksum_verification=True)
            self._metadata = self._file.metadata
            schema = self._metadata.schema.to_arrow_schema()
        except _UNREADABLE as error:
            raise DamagedWindowError(place, _one_line(error)) from error
        self._stored = set(schema.names)
        newer = self.format > FORMAT
        if not schema.equals(table.schema) and (wrong := _differences(table.schema, schema, newer=newer)):
            raise DamagedWindowError(place, f"it is not a window of {table.name}: {wrong}")

    @property
    def rows(self) -> int:
        """The number of its rows."""
        return int(self._metadata.num_rows)

    @property
    def format(self) -> int:
        """The format that it was written in, by the footer."""
        text = (self._metadata.metadata or {}).get(_FORMAT.encode(), b"")
        return int(text) if text.isdigit() else 1

    def require_format(self) -> None:
        """Refuse to be replaced by rows that lack what a newer version has stored: NewerFormatError."""
        if self.format > FORMAT:
            raise NewerFormatError(self.place, self.format)

    @property
    def pushed(self) -> int:
        """Number of pushed readings among its rows, by the footer."""
        text = (self._metadata.metadata or {}).get(_PUSHED.encode(), b"")
        return int(text) if text.isdigit() else 0

    @property
    def removed(self) -> dict[str, int]:
        """Keys that were removed from a list, and when, in ms."""
        try:
            found = json.loads((self._metadata.metadata or {}).get(_REMOVED.encode(), b"{}"))
            return {str(name): int(at) for name, at in found.items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise DamagedWindowError(self.place, f"its footer gives {_REMOVED} in another form") from error

    @property
    def asked_at(self) -> datetime | None:
        """When its rows were asked for, if the footer says so."""
        text = (self._metadata.metadata or {}).get(_ASKED_AT.encode(), b"")
        try:
            return datetime.fromisoformat(text.decode()) if text else None
        except ValueError as error:
            raise DamagedWindowError(self.place, f"its footer gives {_ASKED_AT} as {text!r}") from error

    def oldest(self) -> datetime | None:
        """Return the oldest time in it, from the statistics alone; None without rows or for a snapshot."""
        return min((found.min for found in self._times), default=None)

    def newest(self) -> datetime | None:
        """Return the newest time in it, likewise."""
        return max((found.max for found in self._times), default=None)

    @cached_property
    def _times(self) -> list[_Span]:
        """The footer's statistics of the times, where it has any."""
        if not self.table.time:
            return []
        return [found for found in self._statistics(self.table.time) if found is not None]

    def _statistics(self, name: str) -> list[_Span | None]:
        """Return the least and the greatest of a column in each row group, by the footer; None where it has none."""
        column = self._metadata.schema.names.index(name)
        try:
            groups = [self._metadata.row_group(group).column(column) for group in range(self._metadata.num_row_groups)]
            # Asked for the statistics of a column whose type is another than its schema's, Arrow ends the process.
            if {group.physical_type for group in groups} - {self._metadata.schema.column(column).physical_type}:
                raise DamagedWindowError(self.place, f"its footer gives {name} two types")
            found = [group.statistics for group in groups]
            return [_Span(f.min, f.max) if f is not None and f.has_min_max else None for f in found]
        except _UNREADABLE as error:
            raise DamagedWindowError(self.place, _one_line(error)) from error

    def read(self, columns: Sequence[str] | None = None, *, coded: bool = False, strict: bool = False) -> pa.Table:
        """Return its rows.

        Args:
            columns: only these, in this order.
            coded: leave ids and raw values as dictionaries instead of plain strings. Whoever asks for that works with
                the rows, as the checks do, and needs them to be strictly so.
            strict: hold against them what the footer says of them.
        """
        names = self.table.schema.names if columns is None else list(columns)
        rows = self.decoded(names, coded=coded, strict=strict)
        return joined([rows], schema_of(self.table, names, coded=coded))

    def decoded(
        self,
        names: Sequence[str],
        *,
        measure_ids: Sequence[str] | None = None,
        coded: bool = False,
        strict: bool = False,
    ) -> pa.Table:
        """Return its rows as they are decoded, for `joined` to make one table of those of several windows.

        Args:
            names: only these columns, in this order.
            measure_ids: only rows of these, which are sorted; row groups that hold none of them are not decoded.
            coded: as for `read`.
            strict: as for `read`; where only some rows are decoded there is nothing to hold against them.
        """
        groups = list(range(self._metadata.num_row_groups))
        needed = dict.fromkeys(names)
        if measure_ids is not None:
            spans = self._statistics("measure_id")
            groups = [g for g in groups if _may_hold(spans[g], measure_ids)]
            needed["measure_id"] = None
        present = [name for name in needed if name in self._stored]
        try:
            # Windows are read side by side already: a second pool of threads inside each would only contend.
            rows = self._file.read_row_groups(groups, columns=present, use_threads=False)
            if measure_ids is not None:
                rows = _of_measures(rows, measure_ids)
        except _UNREADABLE as error:
            raise DamagedWindowError(self.place, _one_line(error)) from error
        if measure_ids is None and (coded or strict):
            self._require_honest_footer(rows)
        # Arrow takes longer to decode into dictionaries than to decode and encode.
        for name in [name for name in _CODED if coded and name in present]:
            codes = rows.column(name).cast(pa.string()).dictionary_encode()
            rows = rows.set_column(rows.column_names.index(name), name, codes)
        for name in needed.keys() - self._stored:
            rows = rows.append_column(name, pa.nulls(len(rows)))
        return rows.select(list(names))

    def _require_honest_footer(self, rows: pa.Table) -> None:
        """Compare rows with their footer: it has no checksum, and decides which row groups are read."""
        for name in {self.table.time, "measure_id"} & set(rows.column_names):
            start = 0
            for group, said in enumerate(self._statistics(name)):
                part = rows.column(name).slice(start, count := self._metadata.row_group(group).num_rows)
                start += count
                found = pc.min_max(part).as_py()
                if count and said != (found["min"], found["max"]):
                    raise DamagedWindowError(self.place, f"its footer says of {name}: {said}")


class RangedFile(io.RawIOBase):
    """A file over `fetch(start, end)`, for objects too large to transfer whole for one gauge."""

    def __init__(self, size: int, fetch: Any) -> None:
        self._size, self._fetch, self._at = size, fetch, 0

    def readable(self) -> bool:  # noqa: D102
        return True

    def seekable(self) -> bool:  # noqa: D102
        return True

    def tell(self) -> int:  # noqa: D102
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:  # noqa: D102
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int | None = -1) -> bytes:  # noqa: D102
        end = self._size if size is None or size < 0 else min(self._at + size, self._size)
        if end <= self._at:
            return b""
        data: bytes = self._fetch(self._at, end)
        self._at += len(data)
        return data


def schema_of(table: Table, columns: Sequence[str], *, coded: bool = False) -> pa.Schema:
    """Return the schema of some columns of a table, as `WindowFile.read` gives them."""
    fields = [table.schema.field(name) for name in columns]
    if coded:
        fields = [f.with_type(pa.dictionary(pa.int32(), pa.string())) if f.name in _CODED else f for f in fields]
    return pa.schema(fields)


def joined(pieces: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    """Join the `WindowFile.decoded` rows of some windows, at least one; their text is cast once for all."""
    rows = pa.concat_tables(pieces, promote_options="permissive")
    pairs = zip(rows.columns, schema.types, strict=True)
    columns = [column if column.type == type_ else column.cast(type_) for column, type_ in pairs]
    return pa.Table.from_arrays(columns, schema=schema)


def conform(table: Table, rows: pa.Table) -> pa.Table:
    """Return the rows with exactly the table's columns and types, sorted by its key; of several with one key, the last.

    NaN becomes null: a number that is not one is no value.

    Raises:
        ValueError: a column is missing or unknown, cannot be cast, or has nulls where none may be.
    """
    if set(rows.column_names) != set(table.schema.names):
        odd = sorted(set(rows.column_names) ^ set(table.schema.names))
        raise ValueError(f"{table.name}: columns missing or unknown: {', '.join(odd)}")
    rows = rows.select(table.schema.names).cast(pa.schema([f.with_nullable(True) for f in table.schema]))
    arrays = []
    for field, given in zip(table.schema, rows.columns, strict=True):
        column = pc.if_else(pc.is_nan(given), None, given) if pa.types.is_floating(field.type) else given
        if not field.nullable and column.null_count:
            raise ValueError(
                f"{table.name}.{field.name}: {column.null_count} of {len(column)} are null and must not be"
            )
        arrays.append(column)
    rows = pa.Table.from_arrays(arrays, schema=table.schema).combine_chunks()
    if len(table.key) == 1 and len(rows) and ranks(rows.column(table.key[0]).chunk(0))[1] is None:
        return rows
    number = pa.array(range(len(rows)), pa.int64())
    last = rows.append_column("_row", number).group_by(list(table.key)).aggregate([("_row", "max")])
    order = pc.sort_indices(last, sort_keys=[(name, "ascending") for name in table.key])
    return rows.take(last.column("_row_max").take(order)).combine_chunks()


def _may_hold(span: _Span | None, measure_ids: Sequence[str]) -> bool:
    """Return whether one of some sorted ids may be among rows from the least to the greatest of a span."""
    if span is None:
        return True
    at = bisect_left(measure_ids, span.min)
    return at < len(measure_ids) and bool(measure_ids[at] <= span.max)


def _of_measures(rows: pa.Table, measure_ids: Sequence[str]) -> pa.Table:
    """Return the rows of some measures, all of which lie side by side: a window is sorted by them."""
    column = rows.column("measure_id").combine_chunks()
    wanted = pa.array(measure_ids, column.type)
    # To compare each row, or to look each up in a set, takes a tenth of the time of decoding it.
    starts = pc.search_sorted(column, wanted, side="left").to_numpy().astype(np.int64)
    counts = pc.search_sorted(column, wanted, side="right").to_numpy().astype(np.int64) - starts
    if len(measure_ids) == 1:
        return rows.slice(starts[0], counts[0])
    offsets = np.repeat(starts - np.cumsum(counts) + counts, counts)
    return rows.take(pa.array(offsets + np.arange(len(offsets))))


def _differences(expected: pa.Schema, found: pa.Schema, *, newer: bool) -> str:
    """Explain why a stored schema is unusable; empty when it can be read. A newer format has only more columns."""
    wanted = {field.name: field for field in expected}
    stored = {field.name: field.type for field in found}
    missing = [name for name, field in wanted.items() if name not in stored and (newer or not field.nullable)]
    extra = [name for name in stored if name not in wanted and not newer]
    types = [
        f"{name} is {type_} and not {wanted[name].type}"
        for name, type_ in stored.items()
        if name in wanted and type_ != wanted[name].type
    ]
    said = [f"no column {name}" for name in missing] + [f"unknown column {name}" for name in extra] + types
    return "; ".join(said)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
