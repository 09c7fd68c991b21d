"""The SQL of docs/publishing.md does what the page says, on the lake of a demo, with the rights that it names alone."""

from contextlib import closing

import psycopg
import pytest

from flood_assets.lake.lake import Lake
from flood_assets.publish.publisher import publish
from flood_assets.sinks.postgresql import PostgreSql
from flood_assets_tests.conftest import NOW
from flood_assets_tests.support import examples
from flood_assets_tests.support.postgresql import PASSWORD, READER, WRITER, Database, equal

PAGE = examples.ROOT / "docs" / "publishing.md"
PREPARED, *QUERIES = [each.text for each in examples.fenced("sql") if each.place.startswith("publishing.md")]


@pytest.fixture(scope="module")
def prepared(postgresql):
    """A database without rights for everybody, as the page has it prepared, and with PostGIS if there is one."""
    with postgresql.primary.connect("postgres") as connection:
        connection.execute("CREATE DATABASE page")
        connection.execute("REVOKE ALL ON DATABASE page FROM PUBLIC")
        postgis = connection.execute("SELECT FROM pg_available_extensions WHERE name = 'postgis'").fetchone()
    with postgresql.primary.connect("page") as connection:
        if postgis is not None:
            connection.execute("CREATE EXTENSION postgis")
        connection.execute(PREPARED.replace("DATABASE flood", "DATABASE page"))
        connection.execute(f"ALTER ROLE flood PASSWORD '{PASSWORD}'; GRANT flood_reader TO {READER}")
    return Database(postgresql.primary, "flood", "page"), postgis is not None


@pytest.fixture(scope="module")
def published(prepared, demo_lake, tmp_path_factory):
    database, postgis = prepared
    lake = Lake.open(demo_lake)
    # The demo's lake stays as it is: the cursor goes to another place.
    elsewhere = Lake.open(tmp_path_factory.mktemp("page"))
    for meta in lake.store.list(""):
        if meta.key.startswith(("readings", "current")):
            elsewhere.store.put(meta.key, lake.store.read(meta.key).data.to_pybytes(), replaces=None)
    with closing(PostgreSql(database.server.url("page", "flood"), lambda: NOW)) as sink:
        found = publish(elsewhere, sink, NOW)
        assert (found.trouble, found.waiting) == ("", 0)
    return database, postgis, elsewhere


def test_the_user_of_the_page_publishes_everything(published):
    database, _, lake = published
    equal(database, lake, NOW, ["readings", "stations", "measures", "conditions"])


@pytest.mark.parametrize("number", range(len(QUERIES)))
def test_each_query_gives_a_reader_rows(published, number):
    database, postgis, _ = published
    if "ST_" in QUERIES[number] and not postgis:
        pytest.skip("not installed: `apt-get install postgresql-postgis`")
    with database.server.connect("page", READER) as reader:
        done = reader.execute(QUERIES[number])
        names, rows = [column.name for column in done.description], done.fetchall()
    assert len(rows) > 1
    assert any("Kingston" in str(row) or row[names.index("value")] is not None for row in rows)


def test_a_reader_may_only_read(published):
    database, _, _ = published
    with database.server.connect("page", READER) as reader:
        for statement in ("DELETE FROM flood.readings", "CREATE TABLE flood.mine ()", "CREATE TEMP TABLE mine ()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(statement)


def test_a_user_that_does_not_own_the_tables_publishes_with_the_rights_of_the_page(published):
    database, _, lake = published
    with database.server.connect("page") as connection:
        connection.execute(
            f"GRANT CONNECT, TEMPORARY ON DATABASE page TO {WRITER}; GRANT USAGE ON SCHEMA flood TO {WRITER}"
        )
        connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA flood TO {WRITER}")
        connection.execute("DELETE FROM flood.readings")
    with closing(PostgreSql(database.server.url("page"), lambda: NOW)) as sink:
        assert publish(lake, sink, NOW, since=NOW.replace(year=2000)).trouble == ""
    equal(database, lake, NOW, ["readings", "stations", "measures", "conditions"])


def test_the_page_has_three_queries_and_names_each_table():
    assert len(QUERIES) == 3
    page = PAGE.read_text(encoding="utf-8")
    assert [
        name
        for name in ("readings", "stations", "measures", "conditions", "publication")
        if f"`{name}`" not in page and f"[`{name}`]" not in page
    ] == []
