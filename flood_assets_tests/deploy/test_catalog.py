"""The tables of the Glue catalog are those of the schemas, and their types read the files."""

import json

import duckdb
import pytest

from deploy.terraform import catalog
from flood_assets.schemas import TABLES

WRITTEN = json.loads(catalog.FILE.read_text(encoding="utf-8"))


def test_the_file_is_up_to_date():
    """Write it anew with `python -m deploy.terraform.catalog`."""
    assert catalog.FILE.read_text(encoding="utf-8") == catalog.written()


def test_every_table_and_column_is_there():
    assert {name: [c["name"] for c in table["columns"]] for name, table in WRITTEN["tables"].items()} == {
        name: table.schema.names for name, table in TABLES.items()
    }
    assert {name for name, table in WRITTEN["tables"].items() if table["current"]} == {
        name for name, table in TABLES.items() if table.current
    }


def test_glue_takes_the_comments():
    comments = [c["comment"] for table in WRITTEN["tables"].values() for c in table["columns"]]
    assert max(map(len, comments)) <= 255


def test_no_table_has_a_column_of_its_partitions():
    assert not {"date", "hour"} & {c["name"] for t in WRITTEN["tables"].values() for c in t["columns"]}


@pytest.mark.parametrize("view", WRITTEN["views"])
def test_a_view_has_the_columns_that_it_promises(demo_lake, view):
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name in ("readings", "current_measures", "current_stations"):
            table = WRITTEN["tables"][name.removeprefix("current_")]
            columns = ", ".join(f'CAST("{c["name"]}" AS {duck(c["type"])}) AS "{c["name"]}"' for c in table["columns"])
            path = f"{name.replace('_', '/', 1)}.parquet" if "_" in name else f"{name}/*/*/*.parquet"
            connection.execute(f"CREATE VIEW {name} AS SELECT {columns} FROM read_parquet('{demo_lake}/{path}')")
        for name, each in WRITTEN["views"].items():
            connection.execute(f"CREATE VIEW {name} AS {each['sql']}")
        found = connection.execute(f"DESCRIBE {view}").fetchall()
    promised = WRITTEN["views"][view]["columns"]
    assert {name: kind for name, kind, *_ in found} == {c["name"]: duck(c["type"]) for c in promised}
    # The engine reads by position what a view gives.
    assert [name for name, *_ in found] == [c["name"] for c in promised]
    assert [c["name"] for c in WRITTEN["views"][view]["presto"]] == [c["name"] for c in promised]


def duck(hive):
    return {"string": "VARCHAR", "int": "INTEGER"}.get(hive, hive.upper())


def test_all_is_what_it_was_made_from():
    # Named here so that a new kind of column is noticed where the catalog is.
    assert set(catalog.HIVE.values()) == {"string", "double", "int", "tinyint", "boolean", "date", "timestamp"}
