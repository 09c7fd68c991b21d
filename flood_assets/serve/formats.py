"""Encode Arrow tables as JSON, GeoJSON, CSV, Arrow and Parquet. Pure.

Times are UTC with a Z; JSON has null where a value is none, several, or not finite.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

MEDIA_TYPES: Mapping[str, str] = {
    "json": "application/json",
    "geojson": "application/geo+json",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.file",
    "parquet": "application/vnd.apache.parquet",
}
POSITION = ("lat", "long")

_JSON = msgspec.json.Encoder()
# Rows of CSV that are made at once: 3 MB of readings.
_CSV_ROWS = 20_000


class Coded(NamedTuple):
    """A column as codes: the JSON of each distinct value, and which of them each row has."""

    codes: NDArray[np.int32]
    texts: NDArray[np.object_]

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> "Coded":
        """Encode each distinct value of a column once."""
        if pa.types.is_dictionary(column.type):
            coded = column.unify_dictionaries().combine_chunks()
        else:
            coded = column.combine_chunks().dictionary_encode()
        # Rows without a value have the last code.
        texts = np.array([*_cells(pa.chunked_array([coded.dictionary])), "null"], np.object_)
        codes = coded.indices.cast(pa.int32()).fill_null(len(texts) - 1).to_numpy()
        return cls(codes, texts)


def json_of_codes(columns: Mapping[str, Coded], at: NDArray[np.int64]) -> list[str]:
    """Return the rows at some places as JSON objects."""
    some: Any = slice(int(at[0]), int(at[-1]) + 1) if len(at) and at[-1] - at[0] + 1 == len(at) else at
    cells = (each.texts[each.codes[some]].tolist() for each in columns.values())
    template = _template(tuple(columns))
    return [template % row for row in zip(*cells, strict=True)]


def json_rows(rows: pa.Table) -> list[str]:
    """Return each row as a JSON object."""
    template = _template(tuple(rows.column_names))
    return [template % cells for cells in zip(*(_cells(column) for column in rows.columns), strict=True)]


@lru_cache(maxsize=256)
def _template(names: tuple[str, ...]) -> str:
    return "{" + ",".join(f"{_text(name).replace('%', '%%')}:%s" for name in names) + "}"


def features(rows: pa.Table, key: Sequence[str], names: Sequence[str] | None = None) -> list[str]:
    """Return each row as a GeoJSON feature, whose id is its key and whose point is `lat` and `long`, if it has them.

    Args:
        rows: have `key`, `lat` and `long`.
        key: the columns that make a row unique.
        names: the properties; None for all columns but the position.
    """
    bare = [name for name in names or rows.column_names if name not in POSITION]
    ids = [_text(":".join(map(str, each))) for each in zip(*(rows[name].to_pylist() for name in key), strict=True)]
    template = '{"type":"Feature","id":%s,"geometry":%s,"properties":%s}'
    return [template % each for each in zip(ids, _points(rows), json_rows(rows.select(bare)), strict=True)]


def json_object(name: str, rows: Iterable[str], said: Mapping[str, Any]) -> bytes:
    """Return a JSON object with the list `name` of encoded rows, after what else is said."""
    head = _JSON.encode(said).decode()
    begun = f"{head[:-1]}," if said else "{"
    return f'{begun}"{name}":[{",".join(rows)}]}}'.encode()


def csv(rows: pa.Table) -> Iterator[bytes]:
    """Yield rows as CSV (RFC 4180) with a header; null is an empty cell."""
    rows = _with_time_texts(rows)
    for start in range(0, max(1, len(rows)), _CSV_ROWS):
        sink = io.BytesIO()
        options = arrow_csv.WriteOptions(include_header=not start, quoting_style="needed", quoting_header="none")
        arrow_csv.write_csv(plain(rows.slice(start, _CSV_ROWS)), sink, options)
        yield sink.getvalue()


def arrow(rows: pa.Table) -> Iterator[bytes]:
    """Yield rows as an Arrow file, compressed with LZ4."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(rows)
    yield sink.getvalue().to_pybytes()


def parquet(rows: pa.Table) -> Iterator[bytes]:
    """Yield rows as a Parquet file, compressed with Zstandard."""
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    yield sink.getvalue().to_pybytes()


FILES: Mapping[str, Callable[[pa.Table], Iterator[bytes]]] = {"csv": csv, "arrow": arrow, "parquet": parquet}


def plain(rows: pa.Table) -> pa.Table:
    """Return rows with dictionaries of text as text."""
    types = [pa.string() if pa.types.is_dictionary(each.type) else each.type for each in rows.schema]
    fields = [field.with_type(type_) for field, type_ in zip(rows.schema, types, strict=True)]
    return rows.cast(pa.schema(fields))


def times(column: pa.ChunkedArray) -> list[str]:
    """Return times as ISO 8601 in UTC with a Z; empty for null."""
    found = _ms(column)
    return [f"{text}Z" if text != "NaT" else "" for text in np.datetime_as_string(found, unit=_unit(found)).tolist()]


def text_of(texts: pa.Array) -> bytes:
    """Return texts one after the other, which is how an array holds them."""
    _, offsets, data = texts.buffers()
    first, last = np.frombuffer(offsets, np.int32)[[texts.offset, texts.offset + len(texts)]].tolist()
    found: bytes = data[first:last].to_pybytes()
    return found


def _text(text: str) -> str:
    return _JSON.encode(text).decode()


def _cells(column: pa.ChunkedArray) -> list[str]:
    """Return each cell as JSON."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        return [f'"{text}"' if text else "null" for text in times(column)]
    if pa.types.is_floating(kind):
        return [repr(value) if -_INF < value < _INF else "null" for value in column.to_numpy().tolist()]
    if pa.types.is_string(kind) or pa.types.is_dictionary(kind):
        return _texts(column)
    if pa.types.is_boolean(kind):
        return [_BOOLEANS[value] for value in column.to_pylist()]
    if pa.types.is_date(kind):
        return ["null" if day is None else f'"{day.isoformat()}"' for day in column.to_pylist()]
    return ["null" if value is None else str(value) for value in column.to_pylist()]


_INF = float("inf")
_BOOLEANS = {True: "true", False: "false", None: "null"}


def _texts(column: pa.ChunkedArray) -> list[str]:
    """Return texts as JSON; each distinct one is encoded once."""
    text = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
    values = text.to_pylist()
    known: dict[str | None, str] = {None: "null"}
    for value in {*values} - {None}:
        known[value] = _text(value)
    return [known[value] for value in values]


def _ms(column: pa.ChunkedArray) -> Any:
    ms = column.cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64())
    found = ms.fill_null(np.iinfo(np.int64).min) if column.null_count else ms
    return found.to_numpy().view("datetime64[ms]")


def _unit(moments: Any) -> Any:
    """Return s, or ms where a moment has a part of a second."""
    return "ms" if (moments.view(np.int64)[~np.isnat(moments)] % 1000).any() else "s"


def _with_time_texts(rows: pa.Table) -> pa.Table:
    """Return rows with times as dictionaries of text: to format each distinct one takes a tenth of the time."""
    for number, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            coded = rows.column(number).combine_chunks().dictionary_encode()
            texts = pa.array(times(pa.chunked_array([coded.dictionary])), pa.string())
            rows = rows.set_column(number, field.name, pa.DictionaryArray.from_arrays(coded.indices, texts))
    return rows


def _points(rows: pa.Table) -> list[str]:
    lat, long = (rows[name].to_pylist() for name in POSITION)
    template = '{"type":"Point","coordinates":[%r,%r]}'
    return ["null" if y is None or x is None else template % (x, y) for y, x in zip(lat, long, strict=True)]
