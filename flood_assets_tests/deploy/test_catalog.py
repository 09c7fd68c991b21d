"""The tables of the Glue catalog are those of the schemas, and their types read the files."""

import json
from pathlib import Path

import duckdb
import pytest

from deploy.terraform import catalog
from flood_assets.lake.lake import Lake
from flood_assets.schemas import TABLES
from flood_assets_tests.support.filled_once import filled_once
from flood_assets_tests.support.sharded import SHARDS, fill_both

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
    assert not {"date", "hour", "shard"} & {c["name"] for t in WRITTEN["tables"].values() for c in t["columns"]}


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


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return filled_once(tmp_path_factory, "one and shards", fill_both)


def test_partition_projection_finds_every_window_of_every_shard(both):
    """By the templates alone: DuckDB reads the objects of each place that projection makes of them."""
    one = Lake.open(both / "one")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, table in WRITTEN["tables"].items():
            windows = [each.window for each in one.windows(TABLES[name])]
            counts = []
            for place, shards, template in (
                ("one", [""], table["template"]),
                ("shards", SHARDS[:1] if table["leading"] else SHARDS, table["template_of_shards"]),
            ):
                there = [
                    f"{both}/{place}/"
                    + template.replace("${shard}", shard)
                    .replace("${date}", f"{w:%Y-%m-%d}")
                    .replace("${hour}", f"{w:%H}")
                    for shard in shards
                    for w in windows
                ]
                files = [str(path) for each in there for path in sorted(Path(each).glob("*.parquet"))]
                assert len(files) == len(there), name
                rows = f"FROM read_parquet({files}, hive_partitioning = false)"
                key = ", ".join(TABLES[name].key)
                counts.append(connection.execute(f"SELECT count(DISTINCT ({key})) {rows}").fetchall() if files else 0)
            assert counts[0] == counts[1], name


def test_a_station_of_two_shards_is_in_the_view_once(both):
    with duckdb.connect() as connection:
        files = f"{both}/shards/shard=*/current/stations.parquet"
        connection.execute(f"CREATE VIEW current_stations_by_shard AS SELECT * FROM read_parquet('{files}')")
        rows = "current_stations_by_shard"
        (every,), (distinct,) = (
            connection.execute(f"SELECT count({what} station_id) FROM {rows}").fetchone() for what in ("", "DISTINCT")
        )
        assert every > distinct
        (view,) = WRITTEN["views_of_shards"].values()
        connection.execute(f"CREATE VIEW current_stations AS {view['sql']}")
        found = connection.execute("SELECT station_id FROM current_stations").fetchall()
        assert len(found) == len({*found}) == distinct
        described = connection.execute("DESCRIBE current_stations").fetchall()
        assert [name for name, *_ in described] == [column["name"] for column in view["columns"]]
