"""Spark reads every table of a lake with the columns, types and partitions of the Glue catalog, and counts right.

It is in an environment of its own, which `make test-readers` makes: `benchmarks/requirements/readers.in`.
"""

import json
import shutil
import subprocess

import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from deploy.terraform import catalog
from flood_assets.schemas import TABLES
from flood_assets_tests.support.terraform import ROOT

PYTHON = ROOT / ".bench" / "envs" / "readers" / "bin" / "python"
SCRIPT = ROOT / "flood_assets_tests" / "support" / "hive_tables.py"


@pytest.mark.slow
def test_spark_reads_every_table_with_the_types_of_the_catalog(demo_lake, tmp_path):
    if not PYTHON.exists() or shutil.which("java") is None:
        pytest.skip("needs Spark and Java: `make test-readers` installs the first")
    told = subprocess.run(
        [PYTHON, SCRIPT, catalog.FILE, demo_lake],
        cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr[-3000:]
    read = {found.pop("table"): found for found in map(json.loads, told.stdout.splitlines())}
    assert set(read) == {name for name in TABLES if (demo_lake / name).exists()} >= set(TABLES) - {"rejects"}
    for name, found in read.items():
        rows = pyarrow.dataset.dataset(demo_lake / name, schema=TABLES[name].schema, format="parquet").to_table()
        present = found.pop("current", None)
        if present is not None:
            assert present == pq.read_metadata(demo_lake / "current" / f"{name}.parquet").num_rows
        counted = {column: len(rows) - rows[column].null_count for column in rows.column_names}
        assert found == {"rows": len(rows), **counted}, name
