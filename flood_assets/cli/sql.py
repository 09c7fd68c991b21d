"""Print or write the answer to a SELECT over the lake, for `flood-assets sql`.

The views are in `flood_assets.query.sql`, the tables in `flood_assets.cli.rows`.
"""

import csv
import io
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import click
import msgspec
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
from duckdb import DuckDBPyRelation

from flood_assets.cli.opening import opened
from flood_assets.cli.rows import table
from flood_assets.errors import SettingsError
from flood_assets.query.sql import StatementError, Views
from flood_assets.query.sql_script import script

FORMATS = ("table", "csv", "json", "parquet")

# Types of DuckDB by how they are written; all others, and null, are written as their text.
_AS_THEY_ARE = {
    "boolean", "tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint",
    "uhugeint", "float", "double", "decimal", "varchar",
}  # fmt: skip
_NESTED = {"list", "array", "struct", "map"}
_NOT_IN_PARQUET = {"interval": "VARCHAR", "enum": "VARCHAR", "hugeint": "BIGINT", "uhugeint": "BIGINT"}

_JSON = msgspec.json.Encoder(decimal_format="number", enc_hook=str)


def answer(lake_url: str, now: datetime, statement: str, form: str | None, output: str | None) -> None:
    """Print the answer to a statement, or write it to a file; notes go to stderr.

    Args:
        lake_url: the lake.
        now: decides what is retained, and is `now()` of the statement.
        statement: a SELECT.
        form: one of `FORMATS`; None for that of the file's suffix, else a table in a terminal and CSV in a pipe.
        output: the file; None for stdout.

    Raises:
        StatementError: the statement has a fault.
        SettingsError: no format has the file's suffix, the file cannot be written.
        LakeError: there is no lake, or it could not be read.
    """
    form = form or _form_of(output)
    with closing(Views(opened(lake_url, now), now)) as views:
        found = _shaped(views.select(statement), form)
        with _sink(output) as sink:
            _write(views, found, form, sink)
        for note in views.notes:
            click.echo(note, err=True)


def write_script(lake_url: str, now: datetime, file: str, *, stopped: bool) -> None:
    """Write the file that makes the views in DuckDB's own shell; see `sql_script.script`."""
    text = script(opened(lake_url, now), now, stopped=stopped)
    with _sink(file) as sink:
        sink.write(text.encode())
    click.echo(f"Start DuckDB's shell with: duckdb -init {file}", err=True)


def _form_of(output: str | None) -> str:
    if output is None:
        return "table" if sys.stdout.isatty() else "csv"
    form = Path(output).suffix.removeprefix(".").lower()
    if form not in FORMATS[1:]:
        expected = ", ".join(f".{each}" for each in FORMATS[1:])
        raise SettingsError(f"--output is '{output}': expected a name that ends in {expected}, or --format")
    return form


@contextmanager
def _sink(output: str | None) -> Iterator[BinaryIO]:
    """Open stdout, or a file that has its name only once it is whole."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(output)
    # A device, a pipe or a link such as /dev/stdout is written itself, and not replaced.
    is_special = path.is_symlink() or (path.exists() and not path.is_file())
    part = path if is_special else path.with_name(f"{path.name}.part")
    try:
        try:
            with part.open("wb") as file:
                yield file
            if part != path:
                part.replace(path)
        except BaseException:
            if part != path:
                with suppress(OSError):
                    part.unlink()
            raise
    except OSError as error:
        raise SettingsError(f"cannot write {output}: {error.strerror}") from None


def _shaped(found: DuckDBPyRelation, form: str) -> DuckDBPyRelation:
    """Return an answer with what the format has no type for as text: times with a Z, all else as DuckDB writes it."""
    names = found.columns
    if form in ("json", "parquet") and (twice := next((name for name in names if names.count(name) > 1), None)):
        raise StatementError(f"several columns are called {twice}: {form} needs a name for each, given by AS")
    cells = []
    for number, (name, kind) in enumerate(zip(names, (each.id for each in found.types), strict=True), 1):
        cell, text = f"#{number}", f"CAST(#{number} AS VARCHAR)"
        if form == "parquet":
            cell = f"CAST({cell} AS {_NOT_IN_PARQUET[kind]})" if kind in _NOT_IN_PARQUET else cell
        elif kind == "timestamp with time zone":
            cell = f"replace(CAST(CAST({cell} AS TIMESTAMP) AS VARCHAR), ' ', 'T') || 'Z'"
        elif kind.startswith("timestamp"):
            cell = f"replace({text}, ' ', 'T')"
        elif kind not in _AS_THEY_ARE and not (form == "json" and kind in _NESTED):
            cell = text
        quoted = name.replace('"', '""')
        cells.append(f'{cell} AS "{quoted}"')
    return found.project(", ".join(cells))


def _write(views: Views, found: DuckDBPyRelation, form: str, sink: BinaryIO) -> None:
    if form == "parquet" and sink.isatty():
        raise SettingsError("Parquet is no text: name a file with --output")
    schema, batches = views.read(found)
    if form == "csv":
        _csv(schema, batches, sink)
    elif form == "json":
        _json(batches, sink)
    elif form == "parquet":
        _parquet(schema, batches, sink)
    else:
        text, more = table(schema, batches)
        sink.write(text.encode())
        if more:
            views.notes.append(f"and {more:,} more rows: --format csv gives all")


def _csv(schema: pa.Schema, batches: Iterator[pa.RecordBatch], sink: BinaryIO) -> None:
    header = io.StringIO()
    csv.writer(header, lineterminator="\n").writerow(schema.names)
    sink.write(header.getvalue().encode())
    options = arrow_csv.WriteOptions(include_header=False, quoting_style="needed")
    for batch in batches:
        if len(schema) == 1 and batch.column(0).null_count:
            # An empty line is no row: readers pass over it.
            texts = batch.column(0).cast(pa.string()).fill_null("")
            batch = pa.record_batch([texts], schema.names)  # noqa: PLW2901
        rows = pa.BufferOutputStream()
        arrow_csv.write_csv(batch, rows, options)
        sink.write(rows.getvalue())


def _json(batches: Iterator[pa.RecordBatch], sink: BinaryIO) -> None:
    before = b"["
    for batch in batches:
        for row in batch.to_pylist(maps_as_pydicts="lossy"):
            sink.write(before + _JSON.encode(row))
            before = b",\n"
    sink.write(b"]\n" if before != b"[" else b"[]\n")


def _parquet(schema: pa.Schema, batches: Iterator[pa.RecordBatch], sink: BinaryIO) -> None:
    # A pipe does not tell where it is, as Parquet's writer wants to know; a country's day has 10 MB.
    file = sink if sink.seekable() else io.BytesIO()
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
    if isinstance(file, io.BytesIO) and file is not sink:
        sink.write(file.getvalue())
