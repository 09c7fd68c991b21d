"""The programs that people read Parquet with read every table of the lake.

They are in an environment of their own, which `make test-readers` makes: `benchmarks/requirements/readers.in`.
"""

import json
import shutil
import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flood_assets.lake.parquet import ROW_GROUP_ROWS, encode
from flood_assets.schemas import READINGS, TABLES
from flood_assets_tests.support import other_readers

PYTHON = Path(__file__).parents[2] / ".bench" / "envs" / "readers" / "bin" / "python"
READERS = ("duckdb", "polars", "pandas_pyarrow", "pandas_fastparquet", "datafusion", "chdb", "spark")
START = datetime(2026, 11, 28, 12, tzinfo=UTC)


def value(type_, row):
    if pa.types.is_string(type_):
        return f"{row:06d}-Tafón|'\","
    if pa.types.is_timestamp(type_):
        return START + timedelta(milliseconds=row)
    if pa.types.is_date(type_):
        return date(1994, 1, 1) + timedelta(days=row)
    if pa.types.is_boolean(type_):
        return row % 2 == 0
    return row if pa.types.is_integer(type_) else row / 7


def rows_of(table, kind):
    """Return rows of a table: none, or with all, some or none of what may be null."""
    count = {"empty": 0, "large": ROW_GROUP_ROWS + 50}.get(kind, 6)
    columns = [
        [
            None if field.nullable and (kind == "nulls" or (kind != "full" and row % 3)) else value(field.type, row)
            for row in range(count)
        ]
        for field in table.schema
    ]
    return pa.table(columns, schema=table.schema)


CASES = [(table, kind) for table in TABLES.values() for kind in ("empty", "nulls", "some", "full")] + [
    (READINGS, "large")
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Each case's file, and its columns as `other_readers` gives them."""
    folder = tmp_path_factory.mktemp("files")
    found = {}
    for table, kind in CASES:
        rows = rows_of(table, kind)
        path = folder / f"{table.name}-{kind}.parquet"
        path.write_bytes(encode(table, rows))
        found[path] = {
            name: [other_readers.plain(each) for each in rows[name].to_pylist()] for name in rows.column_names
        }
    return found


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_column_of_nulls_has_no_empty_dictionary(table):
    # fastparquet cannot read a dictionary page of 0 bytes.
    metadata = pq.ParquetFile(pa.BufferReader(encode(table, rows_of(table, "nulls")))).metadata
    columns = [metadata.row_group(0).column(at) for at in range(metadata.num_columns)]
    assert not any(column.has_dictionary_page for column in columns)
    assert {column.compression for column in columns} == {"ZSTD"}


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_every_table_is_read(files, reader):
    if not PYTHON.exists():
        pytest.skip(f"no environment with {reader}: `make test-readers` makes it")
    if reader == "spark" and shutil.which("java") is None:
        pytest.skip("Spark needs Java: install a JRE, such as Debian's openjdk-17-jre-headless")
    command = [PYTHON, other_readers.__file__, reader, *files]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert told.returncode == 0, told.stderr[-3000:]
    wrong = []
    for (path, wanted), line in zip(files.items(), told.stdout.splitlines(), strict=True):
        found = json.loads(line)
        wrong += (
            [] if found == wanted else [f"{path.stem}: {name}" for name in wanted if found.get(name) != wanted[name]]
        )
    assert not wrong
