"""`flood-assets sql` as a person and a pipe meet it: formats, files, a table of the terminal's width, exit codes."""

import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from flood_assets import query
from flood_assets.cli.main import main
from flood_assets.cli.rows import MOST, table
from flood_assets.cli.sql import answer
from flood_assets.lake.lake import Lake
from flood_assets.partitions import window_of
from flood_assets.schemas import READINGS, STATIONS
from flood_assets_tests.conftest import NOW
from flood_assets_tests.support.lake_rows import HOUR, fetched, snapshot
from flood_assets_tests.support.s3 import BUCKET, s3_server

__all__ = ["s3_server"]

ROWS = "(1, 'a', TIMESTAMPTZ '2026-01-01 09:00Z'), (20, NULL, NULL), (3, '', NULL)"
THREE = f"SELECT * FROM (VALUES {ROWS}) t(n, text, seen)"


@pytest.fixture
def sql(demo_lake, monkeypatch):
    monkeypatch.setenv("FLOOD_LAKE_URL", demo_lake.as_uri())
    monkeypatch.setenv("FLOOD_NOW", NOW.isoformat())
    monkeypatch.setenv("COLUMNS", "80")

    def command(*words: str, **more):
        result = CliRunner().invoke(main, ["sql", *words], **more)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return command


def printed(result) -> str:
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


# -- formats


def test_a_pipe_gets_csv_and_null_is_no_empty_text(sql):
    assert printed(sql(THREE)) == 'n,text,seen\n1,"a","2026-01-01T09:00:00Z"\n20,,\n3,"",\n'


def test_json_is_an_array_of_objects(sql):
    statement = (
        f"SELECT *, [seen, NULL] AS l, {{'x': 1.50, 'y': 'nan'::DOUBLE}} AS s, INTERVAL 1 DAY AS i FROM ({THREE})"
    )
    first, second, third = json.loads(printed(sql(statement, "--format", "json")))
    at = "2026-01-01T09:00:00Z"
    assert first == {"n": 1, "text": "a", "seen": at, "l": [at, None], "s": {"x": 1.5, "y": None}, "i": "1 day"}
    assert (second["text"], third["text"], second["seen"]) == (None, "", None)
    assert json.loads(printed(sql(f"{THREE} LIMIT 0", "--format", "json"))) == []


def test_a_table_aligns_numbers_on_the_right_and_texts_on_the_left(sql):
    assert printed(sql(THREE, "--format", "table")).splitlines() == [
        " n  text  seen",
        "──────────────────────────────",
        " 1  a     2026-01-01T09:00:00Z",
        "20  NULL  NULL",
        " 3        NULL",
    ]


def test_what_is_wider_than_80_columns_has_a_paragraph_for_each_row(sql):
    statement = f"SELECT n, repeat('word ', 20) AS long, seen FROM ({THREE}) ORDER BY n"
    text = printed(sql(statement, "--format", "table"))
    words = ("word " * 20).rstrip()
    assert text.startswith(f"n     1\nlong  {words}\nseen  2026-01-01T09:00:00Z\n\nn     3\n")


def test_parquet_has_the_types_of_the_answer(sql, tmp_path):
    file = tmp_path / "x.parquet"
    statement = f"SELECT *, sum(n) OVER () AS total, INTERVAL 1 DAY AS i, seen::DATE AS day FROM ({THREE})"
    assert printed(sql(statement, "--output", str(file))) == ""
    found = pq.read_table(file)
    assert [str(each.type) for each in found.schema] == [
        "int32", "string", "timestamp[us, tz=UTC]", "int64", "string", "date32[day]",
    ]  # fmt: skip
    assert found["seen"][0].as_py() == datetime(2026, 1, 1, 9, tzinfo=UTC)
    assert found["total"].to_pylist() == [24, 24, 24]
    piped = sql(statement, "--format", "parquet")
    assert pq.read_table(io.BytesIO(piped.stdout_bytes)).equals(found)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "CSV"])
def test_the_whole_day_is_written_and_read_by_others_as_the_lake_has_it(sql, demo_lake, tmp_path, suffix):
    file = tmp_path / f"day.{suffix}"
    assert printed(sql("FROM readings ORDER BY ALL", "-o", str(file))) == ""
    assert [each.name for each in tmp_path.iterdir()] == [file.name]
    expected = query.readings(demo_lake, NOW).rows.to_pandas().sort_values(READINGS.schema.names)
    if suffix == "parquet":
        found = pd.read_parquet(file)
    else:
        times = ["date_time", "first_seen_at", "changed_at"]
        # The id '' is a station's, and no missing one.
        found = pd.read_csv(
            file, parse_dates=times, keep_default_na=False, na_values={"value": "", "previous_value": ""}
        )
        expected = expected.fillna({"station_id": "", "raw_value": ""})
    assert len(found) > 10_000
    pd.testing.assert_frame_equal(found, expected.reset_index(drop=True), check_dtype=False)


def test_one_column_of_nulls_has_as_many_lines_as_rows(sql, demo_lake):
    lines = list(csv.reader(printed(sql("SELECT typical_low FROM stations")).splitlines()))
    assert len(lines) == len(query.stations(demo_lake, NOW).rows) + 1
    assert [] not in lines
    assert [""] in lines


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_a_name_twice_is_refused_where_names_must_differ(sql, form):
    result = sql("SELECT 1 AS a, 2 AS a", "--format", form)
    assert result.exit_code == 2
    assert result.stderr == f"flood-assets: several columns are called a: {form} needs a name for each, given by AS\n"
    assert printed(sql('SELECT 1 AS "a,""b""", 2 AS "a,""b"""')) == '"a,""b""","a,""b"""\n1,2\n'


@pytest.mark.parametrize("form", ["table", "csv", "json", "parquet"])
def test_every_type_of_duckdb_is_written(sql, form):
    statement = """SELECT 1::HUGEINT h, uuid() u, '{"a": 1}'::JSON j, TIME '10:00' t, 'a'::ENUM ('a') e, NULL n,
        MAP {'a': 1} m, '\\x00'::BLOB b, 1.5::DECIMAL(4, 2) d, TIMESTAMP '2026-01-01' ts, '101'::BIT bi, true bo,
        [1, 2]::INTEGER[2] a, TIMESTAMP_NS '2026-01-01' ns, 'inf'::FLOAT f, INTERVAL 1 HOUR i, 1::UTINYINT ut"""
    result = sql(statement, "--format", form)
    assert (result.exit_code, result.stderr) == (0, "")
    if form == "csv":
        header, cells = csv.reader(io.StringIO(result.stdout))
        row = dict(zip(header, cells, strict=True))
        assert (row["h"], row["d"], row["n"], row["a"], row["ts"]) == ("1", "1.50", "", "[1, 2]", "2026-01-01T00:00:00")
    elif form == "json":
        (row,) = json.loads(result.stdout)
        assert (row["h"], row["d"], row["n"], row["a"], row["m"], row["f"]) == (1, 1.5, None, [1, 2], {"a": 1}, None)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)


@settings(max_examples=25)
@given(ids=st.lists(TEXTS | st.sampled_from(['"', "a,b", "\r", "\n", "\r\n", "'", ""]), min_size=1, unique=True))
def test_any_text_comes_through_csv_and_in_a_table_keeps_its_line(tmp_path_factory, ids):
    folder = tmp_path_factory.mktemp("texts")
    now = datetime(2026, 11, 21, 9, tzinfo=UTC)
    lake = Lake.open(folder / "lake")
    lake.upsert_readings(fetched(*[(each, now - HOUR, 1.0) for each in ids]), now, now)
    files = {form: folder / f"ids.{form}" for form in ("csv", "table")}
    for form, file in files.items():
        answer(lake.url, now, "SELECT measure_id, value FROM readings", form, str(file))
    with files["csv"].open(encoding="utf-8", newline="") as file:
        assert sorted(csv.reader(file)) == sorted([["measure_id", "value"], *([each, "1"] for each in ids)])
    assert len(files["table"].read_text(encoding="utf-8").split("\n")) == len(ids) + 3


# -- tables


def test_a_table_has_1000_rows_and_says_how_many_more_there_are(sql):
    result = sql("SELECT range AS n FROM range(120000)", "--format", "table")
    assert len(result.stdout.splitlines()) == MOST + 2
    assert result.stdout.splitlines()[-1].strip() == "999"
    assert result.stderr == "and 119,000 more rows: --format csv gives all\n"


def test_no_rows_have_their_columns(sql):
    assert printed(sql(f"{THREE} LIMIT 0", "--format", "table")).splitlines()[0].split() == ["n", "text", "seen"]
    assert printed(sql(f"{THREE} LIMIT 0")) == "n,text,seen\n"


def test_what_a_cell_holds_cannot_move_the_cursor_or_be_taken_as_style():
    cells = pa.table({"a": ["\x1b[31mred", "two\nlines", "[bold]b[/bold]", ":smile:"]})
    text, more = table(cells.schema, iter(cells.to_batches()))
    assert [line.rstrip() for line in text.splitlines()[2:]] == [
        "\\x1b[31mred", "two\\nlines", "[bold]b[/bold]", ":smile:",
    ]  # fmt: skip
    assert more == 0


def test_in_a_terminal_it_is_a_table_of_its_width(demo_lake):
    """A pseudo-terminal of 60 columns, which the row does not fit into."""
    leader, follower = pty.openpty()
    environ = {**os.environ, "FLOOD_LAKE_URL": demo_lake.as_uri(), "FLOOD_NOW": NOW.isoformat(), "COLUMNS": "60"}
    statement = "SELECT 1 AS one, repeat('word ', 30) AS long"
    code = "from flood_assets.cli.main import main; main()"
    command = [sys.executable, "-c", code, "sql", statement]
    with subprocess.Popen(command, stdout=follower, stderr=subprocess.PIPE, env=environ) as process:
        os.close(follower)
        read = b""
        try:
            while part := os.read(leader, 4096):
                read += part
        except OSError:  # the other end is closed
            pass
        assert (process.wait(), process.stderr.read()) == (0, b"")
    os.close(leader)
    lines = read.decode().replace("\r\n", "\n").splitlines()
    assert lines[0] == "one   1"
    assert len(lines) > 3
    assert all(len(line) <= 60 for line in lines)


# -- in and out


def test_a_dash_reads_the_statement_from_stdin(sql):
    assert printed(sql("-", input="SELECT 1 AS a -- a comment\n")) == "a\n1\n"


def test_a_reader_that_has_enough_ends_it_without_a_word(demo_lake):
    code = "from flood_assets.cli.main import main; main()"
    environ = {**os.environ, "FLOOD_LAKE_URL": demo_lake.as_uri(), "FLOOD_NOW": NOW.isoformat()}
    command = [sys.executable, "-c", code, "sql", "FROM readings"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ) as process:
        assert process.stdout.readline().startswith(b"measure_id,date_time,")
        process.stdout.close()
        assert process.stderr.read() == b""
        process.wait()


def test_ctrl_c_ends_a_long_statement_without_a_trace(demo_lake, tmp_path):
    # Whoever runs the tests in the background has told their children to ignore it.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from flood_assets.cli.main import main; main()"
    environ = {**os.environ, "FLOOD_LAKE_URL": demo_lake.as_uri(), "FLOOD_NOW": NOW.isoformat()}
    statement = "SELECT a.range AS n FROM range(100000000000) a WHERE a.range % 7 = 8 OR a.range < 3"
    file = tmp_path / "x.csv"
    command = [sys.executable, "-c", code, "sql", statement, "-o", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ) as process:
        while not (tmp_path / "x.csv.part").exists():
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, said = process.communicate()
    assert (process.returncode, out, said.decode().strip()) == (1, b"", "Aborted!")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_plain_file_is_written_and_not_replaced(sql, tmp_path):
    (tmp_path / "there.csv").write_text("old and longer than the new")
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "there.csv")
    assert printed(sql("SELECT 1 AS a", "-o", str(link))) == ""
    assert link.is_symlink()
    assert (tmp_path / "there.csv").read_text() == "a\n1\n"
    assert printed(sql("SELECT 1 AS a", "-o", os.devnull, "--format", "csv")) == ""
    assert not os.path.isfile(os.devnull)  # noqa: PTH113


def test_notes_go_to_stderr_and_not_among_the_rows(sql, tmp_path, monkeypatch):
    lake = Lake.open(tmp_path / "lake")
    lake.put_snapshots(STATIONS, [window_of(NOW)], snapshot(STATIONS, NOW, {"station_id": "s"}))
    monkeypatch.setenv("FLOOD_LAKE_URL", lake.url)
    result = sql("SELECT count(*) AS n FROM readings, stations")
    assert (result.exit_code, result.stdout) == (0, "n\n0\n")
    assert result.stderr.startswith(f"the lake {lake.url} has no readings yet: run `FLOOD_LAKE_URL={lake.url} ")
    assert printed(sql("SELECT count(*) AS n FROM stations")) == "n\n1\n"


def test_init_writes_a_file_and_says_how_it_is_used(sql, tmp_path):
    file = tmp_path / "lake.sql"
    result = sql("--init", str(file))
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"Start DuckDB's shell with: duckdb -init {file}\n"
    text = file.read_text(encoding="utf-8")
    assert f"MACRO now() AS TIMESTAMPTZ '{NOW.isoformat()}'" in text, "FLOOD_NOW is followed"


# -- what goes wrong


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["FROM reading"], "flood-assets: no view is called 'reading'; there is 'readings'; the views are"),
        (["SELEC 1"], "flood-assets: Parser Error: syntax error at or near"),
        (["SELECT valu FROM readings"], 'flood-assets: Binder Error: Referenced column "valu" not found'),
        (["COPY readings TO 'x.csv'"], "flood-assets: COPY is refused: the lake is only read here, with SELECT"),
        (["FROM 'x.csv'"], "flood-assets: Permission Error: Cannot access file"),
        (["SELECT 1", "-o", "x.xlsx"], "flood-assets: --output is 'x.xlsx': expected a name that ends in .csv, .json"),
        (["SELECT 1", "-o", "none/x.csv"], "flood-assets: cannot write none/x.csv: No such file or directory"),
        (["--init", "none/x.sql"], "flood-assets: cannot write none/x.sql: No such file or directory"),
    ],
)
def test_a_fault_is_one_line_and_exit_code_2(sql, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    result = sql(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(said)
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [[], ["SELECT 1", "--init", "x.sql"], ["SELECT 1", "--format", "xml"]])
def test_a_wrong_command_is_told_how(sql, words):
    result = sql(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage: main sql [OPTIONS] [STATEMENT]" in result.stderr


def test_a_file_that_was_there_stays_as_it_was_if_a_row_has_a_fault(sql, tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("mine")
    # The fault is in one of the last rows.
    result = sql("SELECT if(range = 900000, 'x', '1')::INTEGER AS n FROM range(1000000)", "-o", str(file))
    assert result.exit_code == 2
    assert result.stderr == "flood-assets: Conversion Error: Could not convert string 'x' to INT32\n"
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"mine.csv": "mine"}


@pytest.mark.parametrize("words", [["SELECT 1"], ["--init", "x.sql"]])
def test_without_a_lake_the_remedy_is_that_of_the_other_commands(sql, tmp_path, monkeypatch, words):
    monkeypatch.setenv("FLOOD_LAKE_URL", (tmp_path / "none").as_uri())
    monkeypatch.chdir(tmp_path)
    result, shown = sql(*words), CliRunner().invoke(main, ["show", "Kingston"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == shown.stderr
    assert list(tmp_path.iterdir()) == []


# -- S3


def test_a_lake_in_s3_is_read_through_our_own_store(sql, demo_lake, s3_server, no_aws_of_this_machine, monkeypatch):
    client = s3_server.client()
    for file in demo_lake.rglob("*.parquet"):
        client.upload_file(str(file), BUCKET, f"sql/{file.relative_to(demo_lake).as_posix()}")
    statements = [
        "FROM latest ORDER BY measure_id",
        "FROM conditions ORDER BY measure_id",
        "FROM warnings ORDER BY ALL",
    ]
    in_folder = [printed(sql(statement)) for statement in statements]
    for name, value in s3_server.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FLOOD_LAKE_URL", f"s3://{BUCKET}/sql")
    assert [printed(sql(statement)) for statement in statements] == in_folder
    monkeypatch.setenv("FLOOD_LAKE_URL", "s3://no-such-bucket/sql")
    result = sql("FROM latest")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no-such-bucket" in result.stderr
