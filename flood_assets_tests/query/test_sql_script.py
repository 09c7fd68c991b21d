"""The file for DuckDB's own shell makes the same views from Parquet alone. DuckDB in Python stands for the shell."""

import duckdb
import pyarrow as pa
import pytest

from flood_assets import query
from flood_assets.errors import SettingsError
from flood_assets.lake.frozen import Frozen
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import current_key
from flood_assets.partitions import window_of
from flood_assets.query.sql import VIEWS
from flood_assets.query.sql_script import script
from flood_assets.schemas import READINGS, TABLES, TIME, TIMELINESS, WARNING_AREAS
from flood_assets_tests.conftest import NOW, QUARTER
from flood_assets_tests.query.test_sql import KEYS, in_microseconds
from flood_assets_tests.support import sql_lake
from flood_assets_tests.support.lake_rows import HOUR, fetched
from flood_assets_tests.support.quick_dagster import copy_folder
from flood_assets_tests.support.sql_lake import LATER


@pytest.fixture
def lake(demo_lake, tmp_path) -> Lake:
    return sql_lake.later(demo_lake, tmp_path / "lake")


@pytest.fixture
def shell():
    """DuckDB as its shell is, but for what would be downloaded."""
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as connection:
        yield connection


def all_of(shell: duckdb.DuckDBPyConnection, name: str, key: list[str]) -> pa.Table:
    return shell.sql(f"SELECT * FROM {name} ORDER BY {', '.join(key)}").to_arrow_table()


@pytest.mark.parametrize("name", KEYS)
def test_right_after_a_refresh_each_view_is_the_answer_of_its_question(demo_lake, shell, name):
    shell.execute(script(Lake.open(demo_lake), NOW, stopped=True))
    answer = in_microseconds(getattr(query, name)(Lake.open(demo_lake), NOW).rows)
    found = all_of(shell, name, KEYS[name])
    assert len(found) > 0
    assert found.schema.equals(answer.schema)
    assert found.equals(answer.sort_by([(key, "ascending") for key in KEYS[name]]))


def test_later_readings_are_cut_and_lists_are_those_of_the_last_refresh(lake, shell):
    shell.execute(script(lake, LATER, stopped=True))
    for name in ("readings", "stations", "measures", "warnings"):
        order = [(key, "ascending") for key in KEYS[name]]
        answer = in_microseconds(getattr(query, name)(lake, LATER).rows).sort_by(order)
        assert all_of(shell, name, KEYS[name]).equals(answer), name
    assert shell.sql("SELECT count(*) FROM readings").fetchall()[0][0] < len(lake.read(READINGS, now=NOW))
    assert set(shell.sql("SELECT DISTINCT observed_at FROM conditions").to_arrow_table().column(0).to_pylist()) == {NOW}


def test_latest_and_a_join_count_right(lake, shell):
    shell.execute(script(lake, LATER, stopped=True))
    readings = query.readings(lake, LATER).rows.to_pandas()
    newest = readings.groupby("measure_id").date_time.max()
    found = shell.sql("SELECT measure_id, date_time FROM latest").to_arrow_table().to_pandas()
    assert found.set_index("measure_id").date_time.sort_index().eq(newest.sort_index()).all()
    assert len(found) == len(newest)
    joined = (
        "readings LEFT JOIN measures USING (measure_id) LEFT JOIN stations ON stations.station_id = measures.station_id"
    )
    assert shell.sql(f"SELECT count(*) FROM {joined}").fetchall() == [(len(readings),)]


def test_with_a_running_clock_everything_of_the_past_is_cut(demo_lake, shell):
    """The demo's lake is of a day long ago."""
    text = script(Lake.open(demo_lake), NOW)
    assert "MACRO" not in text
    shell.execute(text)
    for name in ("readings", "latest", "completeness", "timeliness"):
        assert shell.sql(f"SELECT count(*) FROM {name}").fetchall() == [(0,)], name


def test_what_is_added_later_is_seen_without_writing_the_file_again(lake, shell):
    shell.execute(script(lake, LATER, stopped=True))
    lake.upsert_readings(fetched(("new", LATER - QUARTER, 1.0)), LATER, LATER)
    assert shell.sql("SELECT value FROM latest WHERE measure_id = 'new'").fetchall() == [(1.0,)]


def test_of_timeliness_the_newest_window_counts(lake, shell):
    newest = lake.newest_snapshot(TIMELINESS, LATER)
    at = newest.schema.get_field_index("observed_at")
    older = newest.set_column(at, newest.schema.field(at), pa.repeat(pa.scalar(NOW - 5 * HOUR, TIME), len(newest)))
    lake.put_snapshots(TIMELINESS, [window_of(NOW - 5 * HOUR)], older)
    shell.execute(script(lake, LATER, stopped=True))
    assert len(lake.windows(TIMELINESS)) == 2
    assert all_of(shell, "timeliness", ["measure_id"]).equals(in_microseconds(newest))


@pytest.mark.parametrize("name", ["it's", "[a-z]*", "a ? b", "per%20cent", "é", 'qu"ote', "-- x"])
def test_any_folder_can_be_named(demo_lake, tmp_path, shell, name):
    copy_folder(demo_lake, tmp_path / name)
    copy_folder(demo_lake, tmp_path / "a")  # which [a-z]* would match too
    shell.execute(script(Lake.open(tmp_path / name), NOW, stopped=True))
    expected = (len(Lake.open(demo_lake).read(READINGS, now=NOW)),)
    assert shell.sql("SELECT count(*) FROM readings").fetchall() == [expected]
    assert shell.sql("SELECT count(*) = count(DISTINCT station_id) FROM stations").fetchall() == [(True,)]


def test_a_table_that_is_not_there_is_named_and_the_others_have_views(lake, shell):
    lake.store.delete([each.key for each in lake.windows(TIMELINESS)])
    lake.store.delete([current_key(WARNING_AREAS)])
    text = script(lake, LATER, stopped=True)
    shell.execute(text)
    made = {row[0] for row in shell.sql("SHOW TABLES").fetchall()}
    assert made == set(VIEWS) - {"timeliness", "warning_areas", "alerts"}
    for name in ("timeliness", "warning_areas"):
        assert f"-- There is no view {name}: the lake has none. Run `flood-assets refresh`" in text
    assert "no view alerts: the lake has none. Run `FLOOD_ALERTS=alerts.toml flood-assets refresh`" in text


def test_in_s3_it_says_what_it_needs_and_holds_no_secret(demo_lake, shell, monkeypatch):
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(variable, f"hidden-{variable}")
    folder = Lake.open(demo_lake)
    in_s3 = Frozen({meta.key: folder.store.read(meta.key) for meta in folder.store.list("")})
    in_s3.url = "s3://bucket/it's"
    text = script(Lake(in_s3), NOW, stopped=True)
    assert "hidden" not in text
    head, _, views = text.partition("SET TimeZone")
    needed = [line for line in head.splitlines() if not line.startswith("--") and line]
    assert needed == [
        "INSTALL httpfs;",
        "LOAD httpfs;",
        "INSTALL aws;",
        "LOAD aws;",
        "CREATE OR REPLACE SECRET flood_lake (TYPE s3, PROVIDER credential_chain, SCOPE 's3://bucket/it''s/');",
    ]
    # Without httpfs, which is not installed here: the same views, with the folder in place of the bucket.
    shell.execute(("SET TimeZone" + views).replace("s3://bucket/it''s", demo_lake.as_posix()))
    assert shell.sql("SELECT count(*) FROM readings").fetchall() == [(len(folder.read(READINGS, now=NOW)),)]


@pytest.mark.parametrize("url", ["az://container/lake", "gs://bucket/lake"])
def test_other_buckets_are_refused_with_the_remedy(url):
    nothing = Frozen({})
    nothing.url = url
    with pytest.raises(SettingsError, match=f"and not {url}: use `flood-assets sql`"):
        script(Lake(nothing), NOW)


def test_it_can_be_executed_twice(demo_lake, shell):
    for _ in range(2):
        shell.execute(script(Lake.open(demo_lake), NOW, stopped=True))
    assert {row[0] for row in shell.sql("SHOW TABLES").fetchall()} == set(VIEWS) - {"alerts"}
    assert set(VIEWS) <= {*TABLES, "latest", "alerts"}
