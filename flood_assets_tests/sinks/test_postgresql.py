"""Publish to PostgreSQL: Debian's server, and readers on a streaming replica of it."""

import re
import sys
import threading
from contextlib import closing
from datetime import timedelta
from hashlib import sha256
from urllib.parse import quote

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from flood_assets.errors import SettingsError
from flood_assets.lake import current, cursor
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import current_key
from flood_assets.partitions import window_of
from flood_assets.publish.events import Events
from flood_assets.publish.publisher import publish, publish_all
from flood_assets.schemas import CONDITIONS, MEASURES, READINGS, STATIONS, TABLES
from flood_assets.settings import Publishing
from flood_assets.sinks import postgresql as module
from flood_assets.sinks import postgresql_tables as tables
from flood_assets.sinks.base import SinkError
from flood_assets.sinks.opening import Unopened, open_sink
from flood_assets.sinks.postgresql import PostgreSql, address
from flood_assets_tests.publish.test_publisher import counting
from flood_assets_tests.support.lake_rows import HOUR, NOW, at, fetched, measures, put_raw, snapshot, stations
from flood_assets_tests.support.postgresql import PASSWORD, READER, WRITER, Database, equal

MINUTE = timedelta(minutes=1)
LISTS = ("stations", "measures", "conditions")
ALL = ("readings", *LISTS)


@pytest.fixture
def lake(tmp_path):
    return Lake.open(tmp_path / "lake")


@pytest.fixture
def database(postgresql, name):
    """A schema that no other test uses, in a database whose owner may not add extensions."""
    return Database(postgresql.primary, name)


@pytest.fixture
def sink(database, lake):
    with closing(opened(database)) as found:
        yield found


def opened(database, now=NOW, **more):
    return PostgreSql(database.url, lambda: now, pause_s=0, **more)


def put(lake, *rows, seen=NOW):
    lake.upsert_readings(fetched(*rows), seen, max(seen, NOW))


def listed(lake, now=NOW, **columns):
    """Put a list of two stations and two measures, and the conditions of these."""
    lake.put_snapshots(
        STATIONS, [window_of(now)], stations("s1", "s2", observed_at=now, lat=51.5, long=-0.3, **columns)
    )
    lake.put_snapshots(MEASURES, [window_of(now)], measures(now, a="s1", b="s2"))
    state(lake, now, "a", "b")


def state(lake, now, *ids, value=1.0):
    rows = [{"measure_id": each, "station_id": "s1", "value": value, "passed_over": 0} for each in ids]
    lake.put_state(CONDITIONS, snapshot(CONDITIONS, now, *rows), now)


def published(lake, database, now=NOW, **more):
    with closing(opened(database, now)) as sink:
        found = publish(lake, sink, now, **more)
    assert found.trouble == ""
    return found


# -- what is in the tables


def test_the_tables_are_the_lakes(lake, database):
    listed(lake, label='it\'s; "odd"\n\\.\nname', river="", town=None)
    put(lake, ("a", at(8), 1.25), ("b", at(7), None, "2.796|2.922"), ("c", at(7), -0.1 + 0.3), ("d", at(6), None, ""))
    assert published(lake, database).events == 4
    equal(database, lake, NOW, ALL)
    put(lake, ("a", at(8), 3.0), seen=NOW + MINUTE)
    listed(lake, NOW + MINUTE, label="another")
    assert published(lake, database, NOW + MINUTE).events == 1
    equal(database, lake, NOW + MINUTE, ALL)


def test_the_definitions_follow_from_the_schemas(lake, database):
    put(lake, ("a", at(8), 1.0))
    published(lake, database)
    kinds = {
        "string": "text",
        "double": "double precision",
        "int32": "integer",
        "int8": "smallint",
        "date32[day]": "date",
    }
    asked = """SELECT column_name, data_type, is_nullable, col_description(%s::regclass, ordinal_position)
        FROM information_schema.columns WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position"""
    for name in ALL:
        place = f"{database.schema}.{name}"
        found = database.sql(asked, [place, database.schema, name])
        assert [(row[0], row[1], row[2] == "YES") for row in found] == [
            (c.name, kinds.get(str(c.type), "timestamp with time zone"), c.nullable) for c in TABLES[name].columns
        ]
        assert [row[3].partition(" [")[0] for row in found] == [c.meaning for c in TABLES[name].columns]
        keys = "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = %s::regclass AND indisprimary"
        ((key,),) = database.sql(keys, [place])
        assert key.endswith(f"({', '.join(TABLES[name].key)})")
    assert database.sql("SELECT version, source, published_at FROM publication") == [
        (tables.version(), "flood_assets", NOW)
    ]


def test_of_two_states_the_later_one_stays_and_of_equals_the_higher_revision(database, sink):
    def send(value, changed, revision):
        row = {"measure_id": "a", "date_time": at(8), "value": value, "first_seen_at": at(8), "changed_at": changed}
        rows = pa.Table.from_pylist([{**row, "revision": revision}], schema=READINGS.schema)
        assert sink.send(Events(rows, "x")).confirmed.all()
        return database.sql("SELECT value FROM readings")[0][0]

    assert send(1.0, at(8, 10), 1) == 1.0
    assert send(2.0, at(8, 9), 2) == 1.0
    assert send(3.0, at(8, 10), 0) == 1.0
    assert send(4.0, at(8, 10), 2) == 4.0
    assert send(5.0, at(8, 11), 0) == 5.0


def test_what_is_a_day_old_is_deleted_with_the_next_commit(lake, database):
    put(lake, ("a", NOW - 23 * HOUR, 1.0), ("b", NOW - 22 * HOUR, 2.0))
    published(lake, database)
    later = NOW + HOUR
    put(lake, ("c", later, 3.0), seen=later)
    published(lake, database, later)
    # At a day sharp a reading is no longer retained.
    assert database.sql("SELECT measure_id FROM readings ORDER BY 1") == [("b",), ("c",)]


def test_what_left_a_list_leaves_the_table(lake, database):
    listed(lake)
    published(lake, database)
    later = NOW + MINUTE
    lake.put_snapshots(STATIONS, [window_of(later)], stations("s2", "s3", observed_at=later))
    state(lake, later, "b")
    published(lake, database, later)
    assert database.sql("SELECT station_id FROM stations ORDER BY 1") == [("s2",), ("s3",)]
    equal(database, lake, later, LISTS)


def test_a_list_that_is_gone_from_the_lake_leaves_no_rows(lake, database):
    listed(lake)
    published(lake, database)
    later = NOW + 26 * HOUR
    lake.expire(later)
    published(lake, database, later)
    assert [database.rows(TABLES[name]) for name in LISTS] == [[], [], []]


def test_tables_are_published_though_no_reading_changed_and_only_those_that_did(lake, database, monkeypatch):
    listed(lake)
    put(lake, ("a", at(8), 1.0))
    published(lake, database)
    state(lake, NOW + MINUTE, "a", "b", value=7.0)
    replaced = []
    replace = PostgreSql._replace
    monkeypatch.setattr(PostgreSql, "_replace", lambda *a: (replaced.append(a[2].name), replace(*a)))
    assert published(lake, database, NOW + MINUTE).events == 0
    assert replaced == ["conditions"]
    equal(database, lake, NOW + MINUTE, ALL)


def test_a_tick_without_changes_costs_two_listings_and_no_connection(lake, database, monkeypatch):
    listed(lake)
    put(lake, ("a", at(8), 1.0))
    published(lake, database)
    monkeypatch.setattr(psycopg, "connect", None)
    with counting(lake, monkeypatch) as counts:
        (found,) = publish_all(lake, Publishing((database.url,), None), lambda: NOW)
    assert (found.events, found.trouble) == (0, "")
    assert counts == {"list": 2, "get": 1}


def test_an_older_list_does_not_replace_a_newer_one(lake, database, tmp_path):
    """Two publishers: the slower one has read what the lake had before."""
    listed(lake, NOW + HOUR, label="newer")
    published(lake, database, NOW + HOUR)
    before = Lake.open(tmp_path / "before")
    listed(before, label="older")
    published(before, database)
    equal(database, lake, NOW, LISTS)


def test_conditions_that_are_newer_than_the_listing_wait_for_the_readings_that_they_speak_of(lake, database):
    put(lake, ("a", at(8), 1.0))
    published(lake, database)
    state(lake, NOW, "a")
    before = current.versions(lake.store, [CONDITIONS])
    state(lake, NOW + MINUTE, "a", "b")
    published(lake, database, present=before, stored=[])
    assert database.rows(CONDITIONS) == []
    published(lake, database, NOW + MINUTE)
    equal(database, lake, NOW + MINUTE, LISTS)


def test_a_damaged_list_is_left_as_it_was(lake, database, caplog):
    listed(lake)
    published(lake, database)
    put_raw(lake, current_key(STATIONS), b"damaged")
    put(lake, ("a", at(8), 1.0))
    assert published(lake, database).events == 1
    assert "what the sink has of it stays" in caplog.text
    assert len(database.rows(STATIONS)) == 2
    listed(lake, NOW + MINUTE)
    published(lake, database, NOW + MINUTE)
    equal(database, lake, NOW + MINUTE, ALL)


# -- what PostgreSQL does not take

# Whatever a text may be in Arrow; NUL is another test's.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NUMBERS = st.floats(allow_nan=False)


@given(st.lists(st.tuples(TEXTS, TEXTS, NUMBERS | st.none(), NUMBERS | st.none()), min_size=1, max_size=20))
@examples(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_text_and_number_arrives_as_it_is(database, sink, rows):
    full = [
        {
            "measure_id": f"{number}{text}",
            "date_time": at(8),
            "station_id": raw,
            "value": value,
            "raw_value": raw,
            "first_seen_at": NOW,
            "changed_at": NOW,
            "previous_value": previous,
            "revision": 0,
        }
        for number, (text, raw, value, previous) in enumerate(rows)
    ]
    table = pa.Table.from_pylist(full, schema=READINGS.schema)
    sent = sink.send(Events(table, "x"))
    assert (sent.confirmed.all(), sent.refused) == (True, {})
    found = {row[0]: row for row in database.rows(READINGS)}
    assert [found[row["measure_id"]] for row in full] == [tuple(row.values()) for row in full]
    database.sql("DELETE FROM readings")


def test_nul_is_replaced_in_a_text_and_refused_in_an_id(lake, database):
    listed(lake, label="a\0b")
    # Of a key an index takes 2,704 bytes, compressed.
    long = "".join(sha256(bytes([number])).hexdigest() for number in range(200))
    put(lake, ("a", at(8), None, "1\x002"), ("b\0", at(8), 2.0), ("c", at(8), 3.0), (long, at(8), 4.0))
    found = published(lake, database)
    assert (found.events, found.refused, found.waiting) == (4, 2, 0)
    assert database.sql("SELECT measure_id, raw_value FROM readings ORDER BY 1") == [("a", "1\ufffd2"), ("c", None)]
    assert {label for (label,) in database.sql("SELECT label FROM stations")} == {"a\ufffdb"}
    dead = [meta.key for meta in lake.store.list("_published") if "/dead/" in meta.key]
    assert len(dead) == 2
    assert "0x00" in "".join(lake.store.read(key).data.to_pybytes().decode() for key in dead)
    assert published(lake, database).events == 0


def test_a_station_that_is_refused_holds_up_nothing(lake, database, caplog):
    lake.put_snapshots(STATIONS, [window_of(NOW)], stations("s1", "s\0", "s3"))
    put(lake, ("a", at(8), 1.0))
    assert published(lake, database).events == 1
    assert database.sql("SELECT station_id FROM stations ORDER BY 1") == [("s1",), ("s3",)]
    assert r"refused 's\x00' of stations" in caplog.text


def test_a_constraint_of_the_owners_refuses_single_rows_and_all_others_arrive(lake, database):
    put(lake, ("first", at(8), 1.0))
    published(lake, database)
    database.sql("ALTER TABLE readings ADD CHECK (value < 50)")
    put(lake, *[(f"m{number}", at(8), float(number)) for number in range(53)])
    found = published(lake, database)
    assert (found.events, found.refused) == (53, 3)
    assert len(database.rows(READINGS)) == 51


def test_a_constraint_that_refuses_everything_is_no_dead_letter(lake, database):
    put(lake, ("first", at(8), 1.0))
    published(lake, database)
    database.sql("ALTER TABLE readings ADD CHECK (value < 50)")
    put(lake, *[(f"m{number}", at(8), 99.0) for number in range(200)])
    with closing(opened(database)) as sink:
        found = publish(lake, sink, NOW)
    assert (found.events, found.refused, found.waiting) == (0, 0, 200)
    assert "refuses more than 100 rows of readings" in found.trouble
    assert len(database.rows(READINGS)) == 1


# -- the tables' version, and who makes them


def test_publishers_that_come_at_once_make_the_tables_once(lake, database):
    put(lake, ("a", at(8), 1.0))
    ready, found = threading.Barrier(4), []

    def run():
        ready.wait()
        found.append(published(lake, database).trouble)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [""] * 4
    equal(database, lake, NOW, ["readings"])


def test_tables_of_another_version_are_refused_until_they_are_dropped_and_then_filled_again(lake, database):
    listed(lake)
    put(lake, ("a", at(8), 1.0))
    published(lake, database)
    database.sql("UPDATE publication SET version = 'old'")
    put(lake, ("b", at(8), 2.0), seen=NOW + MINUTE)
    with closing(opened(database)) as sink:
        found = publish(lake, sink, NOW + MINUTE)
    assert (found.events, found.waiting) == (0, 1)
    assert f"have version old, not {tables.version()}: DROP TABLE" in found.trouble
    database.sql(re.search(r"DROP TABLE [^;]+?(?=, and)", found.trouble)[0])
    assert published(lake, database, NOW + MINUTE).events == 2
    equal(database, lake, NOW + MINUTE, ALL)


def test_the_version_changes_with_a_column_and_not_with_its_description(monkeypatch):
    version = tables.version()
    column = READINGS.columns[-1]
    for change, same in (({"meaning": "another"}, True), ({"nullable": True}, False), ({"type": pa.int8()}, False)):
        changed = tables.Column(**{**vars(column), **change})
        table = tables.Table("readings", READINGS.key, (*READINGS.columns[:-1], changed), READINGS.time)
        monkeypatch.setattr(tables, "TABLES", (table, *tables.TABLES[1:]))
        assert (tables.version() == version) is same


def test_a_schema_may_have_any_name(lake, postgresql, name):
    odd = f'{name} it\'s "Ω" %s'
    listed(lake)
    put(lake, ("a", at(8), 1.0))
    url = f"{postgresql.primary.url()}?schema={quote(odd)}"
    with closing(PostgreSql(url, lambda: NOW)) as sink:
        assert publish(lake, sink, NOW).trouble == ""
    with postgresql.primary.connect() as reader:
        assert reader.execute(f"SELECT count(*) FROM {tables.place(odd, 'readings')}").fetchone() == (1,)


def test_tables_of_somebody_else_are_not_touched(lake, database):
    database.sql(f'CREATE SCHEMA "{database.schema}" AUTHORIZATION {WRITER}')
    database.sql("CREATE TABLE readings (theirs int)")
    put(lake, ("a", at(8), 1.0))
    with closing(opened(database)) as sink:
        found = publish(lake, sink, NOW)
    assert 'has tables of somebody else (relation "readings" already exists): name another schema' in found.trouble
    assert database.sql("SELECT * FROM readings") == []


# -- PostGIS


@pytest.fixture(scope="module")
def with_postgis(postgresql):
    """A database that has PostGIS, where its own schema is not the public one."""
    with postgresql.primary.connect("postgres") as connection:
        there = connection.execute("SELECT FROM pg_available_extensions WHERE name = 'postgis'").fetchone()
        if there is None:
            pytest.skip("not installed: `apt-get install postgresql-postgis`")
        connection.execute(f"CREATE DATABASE points OWNER {WRITER}")
    with postgresql.primary.connect("points") as connection:
        connection.execute("CREATE SCHEMA gis; GRANT USAGE ON SCHEMA gis TO PUBLIC")
    return postgresql.primary


def points(database):
    return database.sql("SELECT station_id, gis.ST_AsText(geom), gis.ST_SRID(geom) FROM stations ORDER BY 1")


def test_stations_have_points_where_postgis_is_and_get_them_when_it_comes(lake, with_postgis, name):
    database = Database(with_postgis, name, "points")
    listed(lake)
    published(lake, database)
    assert database.sql("SELECT count(*) FROM information_schema.columns WHERE column_name = 'geom'") == [(0,)]
    database.sql("CREATE EXTENSION postgis SCHEMA gis")
    later = NOW + MINUTE
    lake.put_snapshots(
        STATIONS,
        [window_of(later)],
        snapshot(STATIONS, later, {"station_id": "s1", "lat": 51.0, "long": -1.5}, {"station_id": "s2"}),
    )
    published(lake, database, later)
    assert points(database) == [("s1", "POINT(-1.5 51)", 4326), ("s2", None, None)]
    equal(database, lake, later, LISTS)
    # A new schema has them from the start; a moved station moves.
    fresh = Database(with_postgis, f"{name}-new", "points")
    published(lake, fresh, later)
    assert points(fresh) == points(database)
    lake.put_snapshots(STATIONS, [window_of(later)], stations("s1", observed_at=later + MINUTE, lat=52.0, long=-1.0))
    published(lake, fresh, later + MINUTE)
    assert points(fresh) == [("s1", "POINT(-1 52)", 4326)]
    ((plan,),) = database.sql(
        "SELECT indexdef FROM pg_indexes WHERE tablename = 'stations' AND indexdef LIKE '%%gist%%' AND schemaname = %s",
        [fresh.schema],
    )
    assert "(geom)" in plan


def test_a_reader_that_is_busy_puts_the_points_off(lake, with_postgis, name):
    database = Database(with_postgis, f"{name}-busy", "points")
    listed(lake)
    database.sql(f'CREATE SCHEMA "{database.schema}" AUTHORIZATION {WRITER}')
    with with_postgis.connect("points", WRITER) as writer, writer.transaction():
        for statement in tables.creation(database.schema):
            writer.execute(statement)
    with with_postgis.connect("points") as reader:
        if reader.execute("SELECT FROM pg_extension WHERE extname = 'postgis'").fetchone() is None:
            reader.execute("CREATE EXTENSION postgis SCHEMA gis")
        with reader.transaction():
            reader.execute(f'SELECT * FROM "{database.schema}".stations')
            published(lake, database)
    assert len(database.rows(STATIONS)) == 2
    listed(lake, NOW + MINUTE)
    published(lake, database, NOW + MINUTE)
    assert points(database)[0] == ("s1", "POINT(-0.3 51.5)", 4326)


# -- a database that is away, slow or refuses


def test_one_that_is_down_is_named_without_its_password_and_catches_up(lake, database, monkeypatch):
    put(lake, ("a", at(8), 1.0))
    connect = psycopg.connect

    def nowhere(address, **more):
        return connect(psycopg.conninfo.make_conninfo(address, port=9), **more)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg, "connect", nowhere)
        (found,) = publish_all(lake, Publishing((database.url,), None), lambda: NOW)
    assert (found.events, found.waiting) == (0, 1)
    assert "is the server running, and are its address, the user, the password" in found.trouble
    assert "pass" not in found.trouble.replace("password", "").replace(".pgpass", "")
    assert published(lake, database).events == 1
    equal(database, lake, NOW, ["readings"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda url: url.replace("pass%2Fword%25", "wrong%2Fword"), 'password authentication failed for user "writer"'),
        (lambda url: url.replace("/flood?", "/other?"), 'database "other" does not exist'),
        (lambda url: url.replace("writer:", "nobody:"), 'failed for user "nobody"'),
    ],
)
def test_a_wrong_name_or_password_is_told_and_not_shown(lake, database, change, says):
    put(lake, ("a", at(8), 1.0))
    (found,) = publish_all(lake, Publishing((change(database.url),), None), lambda: NOW)
    assert says in found.trouble
    assert "word%" not in found.trouble
    assert "wrong" not in found.trouble


def test_the_password_may_be_in_the_environment(lake, database, monkeypatch):
    put(lake, ("a", at(8), 1.0))
    plain = database.url.replace(":pass%2Fword%25", "")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    (found,) = publish_all(lake, Publishing((plain,), None), lambda: NOW)
    assert (found.events, found.trouble) == (1, "")
    assert cursor.load(lake.store, found.sink) is not None
    with closing(opened(database)) as sink:
        assert sink.name == found.sink


def failing_once(database, what):
    """Let the next update of the tables fail once; a sequence remembers it, whatever is rolled back."""
    database.sql("CREATE SEQUENCE tried")
    database.sql(
        f"CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN "
        f"IF nextval('\"{database.schema}\".tried') = 1 THEN {what}; END IF; RETURN NULL; END $$"
    )
    database.sql("CREATE TRIGGER fail AFTER INSERT ON readings EXECUTE FUNCTION fail()")


@pytest.mark.parametrize(
    "what",
    [
        "RAISE SQLSTATE '40001'",
        "RAISE SQLSTATE '40P01'",
        "PERFORM pg_terminate_backend(pg_backend_pid())",
    ],
    ids=["serialization", "deadlock", "lost"],
)
def test_what_passes_is_tried_again(lake, database, what):
    put(lake, ("a", at(8), 1.0))
    published(lake, database)
    failing_once(database, what)
    put(lake, ("b", at(8), 2.0))
    assert published(lake, database).events == 1
    equal(database, lake, NOW, ["readings"])
    assert database.sql("SELECT last_value FROM tried") == [(2,)]


def test_two_transactions_that_wait_for_each_other_end(lake, database):
    """A person's transaction and the publisher's: PostgreSQL ends one of them."""
    put(lake, ("a", at(8), 1.0), ("b", at(8), 1.0))
    published(lake, database)
    put(lake, ("a", at(8), 2.0), ("b", at(8), 2.0), seen=NOW + MINUTE)
    with database.server.connect() as person:
        person.execute(f"SET search_path TO \"{database.schema}\"; SET deadlock_timeout TO '10s'")
        with person.transaction():
            person.execute("UPDATE readings SET station_id = 'x' WHERE measure_id = 'b'")
            found = []
            thread = threading.Thread(target=lambda: found.append(published(lake, database, NOW + MINUTE).events))
            thread.start()
            waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'transactionid' AND usename = 'writer'"
            while not database.sql(waits)[0][0]:
                pass
            person.execute("UPDATE readings SET station_id = 'x' WHERE measure_id = 'a'")
    thread.join()
    assert found == [2]
    assert {row[3] for row in database.rows(READINGS)} == {2.0}


def test_one_that_says_nothing_is_given_up(lake, database, monkeypatch):
    put(lake, ("a", at(8), 1.0))
    published(lake, database)
    put(lake, ("b", at(8), 1.0))
    monkeypatch.setattr(module, "ANSWER_S", 0.5)
    with database.server.connect() as person, person.transaction():
        person.execute(f'LOCK TABLE "{database.schema}".readings')
        with closing(opened(database)) as sink:
            found = publish(lake, sink, NOW)
    assert (found.events, found.waiting) == (0, 1)
    assert "has not finished in 0 s: is the server busy, or does somebody hold a lock?" in found.trouble
    monkeypatch.undo()
    assert published(lake, database).events == 1


def test_a_replica_is_no_place_to_write_to(lake, postgresql, database):
    put(lake, ("a", at(8), 1.0))
    published(lake, database)
    postgresql.caught_up()
    with closing(opened(Database(postgresql.replica, database.schema))) as sink:
        found = publish(lake, sink, NOW)
    assert "read-only transaction: that is a read replica: name the primary" in found.trouble


def test_a_database_that_is_not_in_utf8_is_refused(lake, postgresql, name):
    with postgresql.primary.connect("postgres") as connection:
        connection.execute(f"CREATE DATABASE latin OWNER {WRITER} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    put(lake, ("a", at(8), 1.0))
    with closing(opened(Database(postgresql.primary, name, "latin"))) as sink:
        assert "the database is in LATIN1: publish to one that is in UTF8" in publish(lake, sink, NOW).trouble


def test_rights_that_are_missing_are_named(lake, postgresql, name):
    put(lake, ("a", at(8), 1.0))
    with closing(PostgreSql(f"{postgresql.primary.url(user=READER)}?schema={name}", lambda: NOW, pause_s=0)) as sink:
        found = publish(lake, sink, NOW)
    assert (
        "permission denied for database flood: give its user the rights that docs/publishing.md names" in found.trouble
    )


# -- URLs


@pytest.mark.parametrize(
    ("url", "schema", "has"),
    [
        (
            "postgresql://me:p%40ss@h:5433/db",
            "flood",
            {"host": "h", "port": "5433", "password": "p@ss", "dbname": "db"},
        ),
        ("postgresql://h/db?schema=a%20b&sslmode=require", "a b", {"sslmode": "require", "connect_timeout": "5"}),
        ("postgresql://h/db?connect_timeout=30&schema=x", "x", {"connect_timeout": "30"}),
        ("postgresql:///?service=flood", "flood", {"service": "flood"}),
        ("postgresql://a,b:5433/db?target_session_attrs=read-write", "flood", {"host": "a,b"}),
        ("postgresql://h/db?options=-c%20work_mem%3D64MB", "flood", {"options": "-c work_mem=64MB"}),
        ("postgresql://h/db?application_name=a+b", "flood", {"application_name": "a+b"}),
    ],
)
def test_a_url_is_libpqs_and_names_a_schema(url, schema, has):
    found, named = address(url)
    assert named == schema
    assert psycopg.conninfo.conninfo_to_dict(found).items() >= has.items()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://me@h/db?password=hidden", "with a password after the ?"),
        ("postgresql://me@h/db?sslpassword=hidden", "with a password after the ?"),
        ("postgresql://me@h/db?%70assword=hidden", "with a password after the ?"),
        ("postgresql://me:%zzhidden@h/db", "libpq does not understand it"),
        ("postgresql://me:hidden/x@h/db", "write / as %2F"),
        ("postgresql://me:hidden?x@h/db", "write / as %2F"),
        ("postgresql://h/db?nonsense=1", "libpq does not understand it"),
        ("postgresql://h/db?schema=", "expected the name of a schema"),
        ("postgresql://h/db?schema=pg_catalog", "expected the name of a schema"),
        ("postgres://me:hidden@h/db", "write postgresql:// in place of postgres://"),
    ],
)
def test_a_wrong_url_is_explained_and_hides_the_password(url, says):
    with pytest.raises(SettingsError) as caught:
        open_sink(url, lambda: NOW)
    assert says in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_its_tables_are_known_before_it_is_opened():
    assert Unopened("postgresql://h/db", lambda: NOW).tables == PostgreSql.tables
    assert Unopened("kinesis://x", lambda: NOW).tables == ()


def test_without_psycopg_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SinkError, match=r"pip install 'flood-assets\[postgresql\]'"):
        open_sink("postgresql://h/db", lambda: NOW)


# -- readers


def test_readers_of_a_replica_see_whole_commits_only(lake, postgresql, database):
    """In each tick every gauge has a new reading and a corrected one, and all lists change, to the tick's number."""
    ids, ticks = [f"m{number}" for number in range(40)], 16

    def tick(number):
        now = NOW + 2 * number * HOUR
        rows = [(each, now - age * HOUR, float(number)) for each in ids for age in (0, 2)]
        lake.put_snapshots(STATIONS, [window_of(now)], stations(*ids, observed_at=now, typical_low=float(number)))
        lake.put_snapshots(MEASURES, [window_of(now)], measures(now, **dict.fromkeys(ids, f"{number}")))
        lake.upsert_readings(fetched(*rows), now, now)
        state(lake, now, *ids, value=float(number))
        published(lake, database, now)

    # The newest and the one before of each gauge, and what is older than a day.
    asked = """
        SELECT 'readings', count(*), min(value), max(value) FROM (
            SELECT value, rank() OVER (PARTITION BY measure_id ORDER BY date_time DESC) FROM readings) AS r
            WHERE rank <= 2
        UNION ALL SELECT 'expired', count(*), 0, 0 FROM readings
            WHERE date_time <= (SELECT published_at FROM publication) - interval '24 hours'
        UNION ALL SELECT 'conditions', count(*), min(value), max(value) FROM conditions
        UNION ALL SELECT 'measures', count(*), min(station_id::float), max(station_id::float) FROM measures
        UNION ALL SELECT 'stations', count(*), min(typical_low), max(typical_low) FROM stations"""
    seen, torn, over = set(), [], threading.Event()

    def read():
        with postgresql.replica.connect() as reader:
            reader.execute(f'SET search_path TO "{database.schema}"')
            while not over.is_set():
                found = {name: (count, *values) for name, count, *values in reader.execute(asked).fetchall()}
                number = found["conditions"][1]
                seen.add(number)
                wanted = dict.fromkeys(LISTS, (40, number, number))
                if found != {**wanted, "readings": (80, number, number), "expired": (0, 0, 0)}:
                    torn.append(found)

    tick(0)
    postgresql.caught_up()
    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(1, ticks):
            tick(number)
        postgresql.caught_up()
    finally:
        over.set()
        reader.join()
    assert torn == []
    assert len(seen) > 5, "the reader must have met the writer"
    postgresql.caught_up()
    equal(Database(postgresql.replica, database.schema), lake, NOW + 2 * (ticks - 1) * HOUR, ALL)
