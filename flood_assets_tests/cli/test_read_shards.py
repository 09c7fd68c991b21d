"""The commands that read show shards as one lake, and on stderr what is away."""

import json
import re
import shutil
from contextlib import closing

import duckdb
import pytest
from click.testing import CliRunner

from flood_assets import query
from flood_assets.cli.main import main
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import key_of
from flood_assets.lake.united import reading
from flood_assets.partitions import window_of
from flood_assets.query.sql import Views
from flood_assets.query.sql_script import script
from flood_assets.schemas import READINGS, STATIONS
from flood_assets_tests.query.test_sql import KEYS, in_microseconds, rows
from flood_assets_tests.support.filled_once import filled_once
from flood_assets_tests.support.lake_rows import put_raw, snapshot
from flood_assets_tests.support.quick_dagster import copy_folder
from flood_assets_tests.support.seven_gauges import NOW
from flood_assets_tests.support.sharded import SHARDS, fill_both


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return filled_once(tmp_path_factory, "one and shards", fill_both)


@pytest.fixture
def shards(both, tmp_path):
    """Shards that a test may change."""
    copy_folder(both / "shards", tmp_path / "shards")
    return tmp_path / "shards"


def run(lake, *arguments):
    environ = {"FLOOD_LAKE_URL": lake.as_uri(), "FLOOD_NOW": NOW.isoformat(), "COLUMNS": "200"}
    return CliRunner().invoke(main, arguments, env=environ)


def take_away(shards, name):
    shutil.rmtree(shards / f"shard={name}")
    (shards / f"shard={name}").write_text("no folder")


def test_the_status_has_a_line_a_shard_and_then_the_lake(both):
    one, several = (run(both / place, "status") for place in ("one", "shards"))
    assert (one.exit_code, several.exit_code) == (0, 0), several.output
    lines = several.output.splitlines()
    for name, measures in (("level", 3), ("flow", 1), ("rainfall", 2), ("tide", 1)):
        (line,) = [each for each in lines if re.match(rf"{name} +25 of 25 ", each)]
        assert line.split()[-6:] == [str(measures), "10-05", "09:00", "10-05", "09:07", "0"]
    for told in ("measures: 7", "completeness:", "warnings: 1 in force"):
        assert [each for each in lines if each.startswith(told)] == [
            each for each in one.output.splitlines() if each.startswith(told)
        ]


def test_the_status_of_a_shard_that_is_away_is_a_problem(shards):
    take_away(shards, "tide")
    found = run(shards, "status")
    assert found.exit_code == 1
    assert "fault: the shard tide of the network england cannot be read" in found.output.replace("\n  ", " ")
    told = json.loads(run(shards, "status", "--json").output)
    assert [*told["shards"]] == [name for name in SHARDS if name != "tide"]
    assert "the shard tide of the network england cannot be read" in told["faults"][0]
    assert told["tables"]["readings"]["rows"] == sum(
        each["tables"]["readings"]["rows"] for each in told["shards"].values()
    )


def test_a_station_is_shown_with_the_gauges_of_all_shards(both, shards):
    one, several = (run(both / place, "show", "Kingston") for place in ("one", "shards"))
    assert several.stdout == one.stdout
    assert "[K1-flow]" in several.stdout
    assert "[K1-level]" in several.stdout
    take_away(shards, "rainfall")
    found = run(shards, "show", "Kingston")
    assert found.exit_code == 0
    assert found.stdout == one.stdout
    assert found.stderr.startswith("the shard rainfall of the network england cannot be read")


@pytest.mark.parametrize("name", KEYS)
def test_a_view_has_the_rows_of_all_shards(both, name):
    answers = []
    for place in ("one", "shards"):
        with closing(Views(reading(Lake.open(both / place)), NOW)) as views:
            answers.append(rows(views, f"SELECT * FROM {name} ORDER BY {', '.join(KEYS[name])}"))
    assert answers[0].equals(answers[1])
    assert len(answers[0]) > 0


def test_sql_says_on_stderr_what_is_away(shards):
    take_away(shards, "rainfall")
    found = run(shards, "sql", "SELECT count(DISTINCT measure_id) AS n FROM readings", "--format", "csv")
    assert (found.exit_code, found.stdout) == (0, "n\n5\n")
    assert found.stderr.startswith("the shard rainfall of the network england cannot be read")


def shell(place, lake=None):
    connection = duckdb.connect(config={"autoinstall_known_extensions": False})
    connection.execute(script(reading(lake or Lake.open(place)), NOW, stopped=True))
    return closing(connection)


@pytest.mark.parametrize("name", KEYS)
def test_the_file_for_duckdbs_shell_unites_the_files_of_shards(both, name):
    statement = f"SELECT * FROM {name} ORDER BY {', '.join(KEYS[name])}"
    with shell(both / "one") as one, shell(both / "shards") as several:
        found = several.sql(statement).to_arrow_table()
        assert found.equals(one.sql(statement).to_arrow_table())
    answer = in_microseconds(getattr(query, name)(both / "one", NOW).rows)
    assert found.equals(answer.sort_by([(key, "ascending") for key in KEYS[name]])) or name == "completeness"
    assert len(found) > 0


def test_in_duckdbs_shell_a_station_is_there_once_and_newest_and_an_empty_shard_is_no_error(shards):
    later = snapshot(STATIONS, NOW, {"station_id": "K1", "label": "Kingston Bridge"})
    Lake.open(shards / "shard=flow").put_snapshots(STATIONS, [window_of(NOW)], later)
    shutil.rmtree(shards / "shard=tide")
    with shell(shards) as several:
        assert several.sql("SELECT label FROM stations WHERE station_id = 'K1'").fetchall() == [("Kingston Bridge",)]
        assert several.sql("SELECT count(DISTINCT measure_id) FROM readings").fetchall() == [(6,)]
    take_away(shards, "rainfall")
    assert "-- Not here: the shard rainfall of the network england cannot be read" in script(
        reading(Lake.open(shards)), NOW
    )


def test_the_doctor_decodes_the_windows_of_each_shard(shards):
    put_raw(Lake.open(shards / "shard=level"), key_of(READINGS, window_of(NOW)), b"no Parquet")
    found = run(shards, "doctor")
    assert "1 window of readings cannot be read" in found.output.replace("\n", " ")


def test_the_doctor_does_not_compare_the_apis_of_shards_with_that_of_the_settings(both):
    found = run(both / "shards", "doctor").output.replace("\n", " ")
    assert "the shards hold readings of http" in found
    assert "but FLOOD_API_URL is" not in found


def test_the_doctor_reads_the_file_of_a_network(both, tmp_path, monkeypatch):
    file = tmp_path / "network.toml"
    monkeypatch.setenv("FLOOD_NETWORK", str(file))
    file.write_text('name = "england"\n[[shard]]\nname = "all"\n')
    found = run(both / "shards", "doctor").output
    assert "FLOOD_NETWORK: 1 shard of the network england, filled in one process" in found
    file.write_text('name = "england"\n')
    assert "describes no shard" in run(both / "shards", "doctor").output
