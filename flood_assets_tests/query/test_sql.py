"""SQL over the lake: each view is the answer of a question, joins count right, and nothing else can be reached."""

from contextlib import closing
from datetime import UTC, datetime, timedelta

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flood_assets import query
from flood_assets.errors import LakeError
from flood_assets.lake.lake import Lake
from flood_assets.query import sql
from flood_assets.query.sql import StatementError, Views
from flood_assets.schemas import READINGS, TABLES, TIME
from flood_assets_tests.conftest import NOW
from flood_assets_tests.support import sql_lake
from flood_assets_tests.support.lake_rows import HOUR, fetched
from flood_assets_tests.support.sql_lake import LATER

QUESTIONS = (
    "readings",
    "stations",
    "measures",
    "conditions",
    "completeness",
    "timeliness",
    "warnings",
    "warning_areas",
)
KEYS = {name: [*TABLES[name].key, *(["window_start"] if name == "completeness" else [])] for name in QUESTIONS}


@pytest.fixture(scope="module")
def lake(demo_lake, tmp_path_factory) -> Lake:
    return sql_lake.later(demo_lake, tmp_path_factory.mktemp("sql") / "lake")


@pytest.fixture
def views(lake):
    with closing(Views(lake, LATER)) as opened:
        yield opened


def rows(views: Views, statement: str) -> pa.Table:
    schema, batches = views.read(views.select(statement))
    return pa.Table.from_batches(batches, schema)


def one(views: Views, expression: str) -> object:
    return rows(views, f"SELECT {expression}").column(0)[0].as_py()


def in_microseconds(table: pa.Table) -> pa.Table:
    """Return a table with times as DuckDB has them."""
    fields = [each.with_nullable(True) for each in table.schema]
    return table.cast(pa.schema([f.with_type(pa.timestamp("us", "UTC")) if f.type == TIME else f for f in fields]))


# -- the views are the answers of the questions


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_view_has_the_columns_types_and_rows_of_its_question(views, lake, name):
    found, answer = rows(views, f"SELECT * FROM {name}"), getattr(query, name)(lake, LATER)
    assert len(found) > 0
    assert found.schema.equals(in_microseconds(answer.rows).schema)
    order = [(key, "ascending") for key in KEYS[name]]
    assert found.sort_by(order).equals(in_microseconds(answer.rows).sort_by(order))
    assert views.notes == answer.notes


def test_a_key_has_one_row(views):
    for name, key in {**KEYS, "latest": ["measure_id"]}.items():
        assert one(views, f"count(*) = count(DISTINCT ({', '.join(key)})) FROM {name}"), name


def test_latest_is_the_newest_reading_of_each_measure(views, lake):
    found = rows(views, "SELECT * FROM latest ORDER BY measure_id").to_pandas()
    readings = query.readings(lake, LATER).rows.to_pandas()
    expected = readings.loc[readings.groupby("measure_id").date_time.idxmax()].sort_values("measure_id")
    assert len(expected) > 300
    pd.testing.assert_frame_equal(found, expected.reset_index(drop=True), check_dtype=False)


def test_a_join_with_stations_and_measures_counts_each_reading_once(views, lake):
    stored = len(query.readings(lake, LATER).rows)
    joined = (
        "readings LEFT JOIN measures USING (measure_id) LEFT JOIN stations ON stations.station_id = measures.station_id"
    )
    assert one(views, f"count(*) FROM {joined}") == stored
    assert one(views, f"count(DISTINCT (measure_id, date_time)) FROM {joined}") == stored
    with_more = f"{joined} LEFT JOIN conditions USING (measure_id) LEFT JOIN timeliness USING (measure_id)"
    assert one(views, f"count(*) FROM {with_more}") == stored


def test_no_reading_is_over_a_day_old(views, lake):
    assert one(views, "min(date_time) > now() - INTERVAL 24 HOURS FROM readings") is True
    assert min(lake.read(READINGS, now=NOW)["date_time"].to_pylist()) < LATER - timedelta(hours=24), "some have expired"


def test_only_what_a_statement_scans_is_read(lake, monkeypatch):
    asked = []
    for name, question in sql._QUESTIONS.items():
        monkeypatch.setitem(sql._QUESTIONS, name, lambda *given, n=name, q=question: asked.append(n) or q(*given))
    statements = {
        "SELECT 1": [],
        "DESCRIBE readings": [],
        "SHOW TABLES": [],
        "WITH readings AS (SELECT 1) FROM readings": [],
        "SELECT 'readings' AS conditions": [],
        "SELECT count(*) FROM latest": ["readings"],
        "FROM stations AS a JOIN stations AS b USING (station_id)": ["stations"],
        "FROM query('SELECT * FROM meas' || 'ures')": ["measures"],
        "PIVOT measures ON parameter USING count(*)": ["measures"],
    }
    for statement, expected in statements.items():
        asked.clear()
        with closing(Views(lake, LATER)) as views:
            rows(views, statement)
        assert asked == expected, statement


def test_all_views_are_shown(views):
    assert rows(views, "SHOW TABLES")["name"].to_pylist() == sorted(sql.VIEWS)


# -- the moment of the answer


@pytest.mark.parametrize(
    "now", ["now()", "current_timestamp", "get_current_timestamp()", "transaction_timestamp()", "NOW()"]
)
def test_now_is_the_moment_of_the_answer(views, now):
    assert one(views, now) == LATER


@pytest.mark.parametrize("today", ["today()", "current_date"])
def test_today_is_the_day_of_the_answer(views, today):
    assert one(views, today) == LATER.date()


def test_times_are_utc_and_can_be_asked_for_as_those_of_england(views):
    times = rows(views, "SELECT date_time AS utc, date_time AT TIME ZONE 'Europe/London' AS local FROM latest LIMIT 1")
    assert times["local"][0].as_py() - times["utc"][0].as_py().replace(tzinfo=None) == HOUR
    assert one(views, "CAST(now() AS VARCHAR)") == "2026-10-15 11:07:30+00"


# -- what is refused


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("INSERT INTO readings VALUES (1)", "INSERT is refused: the lake is only read here, with SELECT"),
        ("WITH x AS (SELECT 1) INSERT INTO readings FROM x", "INSERT is refused"),
        ("COPY readings TO 'x.csv'", "COPY is refused"),
        ("ATTACH 'x'", "ATTACH is refused"),
        ("INSTALL httpfs", "LOAD is refused"),
        ("LOAD httpfs", "LOAD is refused"),
        ("CREATE TABLE x AS SELECT 1", "CREATE is refused"),
        ("DROP VIEW latest", "DROP is refused"),
        ("UPDATE readings SET value = 1", "UPDATE is refused"),
        ("DELETE FROM readings", "DELETE is refused"),
        ("SET enable_external_access = true", "SET is refused"),
        ("PRAGMA database_list", "PRAGMA is refused"),
        ("EXPORT DATABASE 'x'", "EXPORT is refused"),
        ("CALL pragma_version()", "CALL is refused"),
        ("SELECT 1; SELECT 2", "expected one statement, and not 2"),
        ("SELECT 1; DROP VIEW latest", "expected one statement, and not 2"),
        ("", "expected one statement, and not 0"),
        ("-- nothing", "expected one statement, and not 0"),
        ("SELECT * FROM reading", "no view is called 'reading'; there is 'readings'; the views are readings, latest, "),
        ('SELECT * FROM "a b"', "no view is called 'a b'; "),
        ("FROM readings, gauges", "no view is called 'gauges'; "),
        ("SELECT valu FROM readings", '"valu" not found in FROM clause! Candidate bindings: "value"'),
        ("SELECT station_id FROM readings JOIN measures USING (measure_id)", "Ambiguous reference to column"),
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT (1", "syntax error"),
        ("SELECT nothing(1)", "Scalar Function with name nothing does not exist!"),
        ("SELECT 'x'::INTEGER", "Could not convert string 'x' to INT32"),
        ("SELECT unit::INTEGER FROM measures WHERE unit IS NOT NULL", "Could not convert string"),
        ("SELECT if(range = 900000, 'x', '1')::INTEGER FROM range(1000000)", "Could not convert string 'x' to INT32"),
    ],
)
def test_what_is_no_select_or_has_a_fault_is_one_line(views, statement, said):
    with pytest.raises(StatementError) as raised:
        rows(views, statement)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "statement",
    [
        "FROM '{file}'",
        "FROM read_csv('{file}')",
        "FROM read_text('{file}')",
        "FROM read_blob('{file}')",
        "FROM read_parquet('{file}')",
        "FROM glob('{folder}/*')",
        "FROM sniff_csv('{file}')",
        "FROM query('FROM read_csv(''{file}'')')",
        "FROM 'https://127.0.0.1:9/x.parquet'",
        "FROM 's3://bucket/x.parquet'",
    ],
)
def test_no_statement_reaches_a_file_or_an_address(views, tmp_path, statement):
    file = tmp_path / "mine.csv"
    file.write_text("secret\n42\n")
    with pytest.raises(StatementError, match=r"disabled|not supported|no view|does not exist") as raised:
        rows(views, statement.format(file=file, folder=tmp_path))
    assert "42" not in str(raised.value)


def test_no_statement_reaches_the_variables_of_the_program(views):
    reachable = pa.table({"x": [1]})
    assert len(reachable) == 1
    with pytest.raises(StatementError, match="no view is called 'reachable'"):
        rows(views, "FROM reachable")


def test_nothing_is_written_beside_the_lake(lake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with closing(Views(lake, LATER)) as views:
        rows(views, "SELECT * FROM readings ORDER BY value, date_time, measure_id")
    assert list(tmp_path.iterdir()) == []


# -- the lake


def test_a_lake_that_cannot_be_read_is_the_lakes_fault(demo_lake, tmp_path):
    lake = sql_lake.later(demo_lake, tmp_path / "lake")
    stored = lake.windows(READINGS)[5]
    lake.store.put(stored.key, b"no parquet", replaces=lake.store.head(stored.key))
    with closing(Views(lake, LATER)) as views:
        with pytest.raises(LakeError, match=stored.key):
            rows(views, "SELECT count(*) FROM latest")
        assert one(views, "count(*) > 100 FROM stations"), "other views can still be asked"
        with pytest.raises(StatementError, match="no view is called"):
            rows(views, "FROM reading")


def test_a_lake_that_fails_after_the_first_rows_is_the_lakes_fault(demo_lake, tmp_path):
    lake = sql_lake.later(demo_lake, tmp_path / "lake")
    stored = lake.windows(READINGS)[5]
    lake.store.put(stored.key, b"no parquet", replaces=lake.store.head(stored.key))
    statement = "SELECT range::VARCHAR AS id FROM range(3000000) UNION ALL SELECT measure_id FROM readings"
    with closing(Views(lake, LATER)) as views, pytest.raises(LakeError, match=stored.key):
        rows(views, statement)


def test_notes_of_the_questions_are_kept_once(tmp_path):
    with closing(Views(Lake.open(tmp_path), NOW)) as views:
        assert one(views, "count(*) FROM readings JOIN latest USING (measure_id), stations") == 0
        assert sorted(note.partition(" yet: ")[0] for note in views.notes) == [
            f"the lake {tmp_path.as_uri()} has no readings",
            f"the lake {tmp_path.as_uri()} has no stations",
        ]


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)


@settings(max_examples=25)
@given(ids=st.lists(TEXTS | st.sampled_from(["it's", '"', "';--", "\\", "a,b", "{}"]), min_size=1, unique=True))
def test_any_text_is_an_id(tmp_path_factory, ids):
    now = datetime(2026, 11, 21, 9, tzinfo=UTC)
    lake = Lake.open(tmp_path_factory.mktemp("ids"))
    lake.upsert_readings(fetched(*[(each, now - HOUR, float(n)) for n, each in enumerate(ids)]), now, now)
    with closing(Views(lake, now)) as views:
        for number, each in enumerate(ids):
            quoted = each.replace("'", "''")
            assert rows(views, f"SELECT value, measure_id FROM latest WHERE measure_id = '{quoted}'").to_pylist() == [
                {"value": float(number), "measure_id": each}
            ]


def test_duckdb_is_not_left_open(lake):
    views = Views(lake, LATER)
    views.close()
    with pytest.raises(duckdb.ConnectionException):
        views._connection.sql("SELECT 1")
