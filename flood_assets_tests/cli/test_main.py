"""The commands that a person types: exit codes, and what they read at 80 columns."""

import re
from collections.abc import Callable

import dagster as dg
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from flood_assets import __version__
from flood_assets.cli import run as terminal
from flood_assets.cli.main import main
from flood_assets.definitions import build_defs
from flood_assets.defs.resources import Source
from flood_assets.lake.layout import key_of
from flood_assets.lake.parquet import encode
from flood_assets.lake.read import load
from flood_assets.partitions import retained_windows
from flood_assets.schemas import MEASURES, READINGS, STATIONS
from flood_assets_tests.conftest import HOUR, NOW, QUARTER, Place

COMMANDS = sorted(main.commands)
Run = Callable[..., Result]


@pytest.fixture
def run(place: Place, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FLOOD_API_URL", place.api_url)
    monkeypatch.setenv("FLOOD_LAKE_URL", place.lake_url)

    def command(*words: str) -> Result:
        monkeypatch.setenv("FLOOD_NOW", place.now.isoformat())
        result = CliRunner().invoke(main, words)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return command


def fits(text: str) -> bool:
    return all(len(line) <= 80 for line in text.splitlines()) and "…" not in text


# -- help


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_lists_every_command_and_the_settings(option):
    result = CliRunner().invoke(main, [option])
    assert result.exit_code == 0
    for word in (*COMMANDS, "FLOOD_API_URL", "FLOOD_LAKE_URL", "DAGSTER_HOME"):
        assert word in result.output
    assert fits(result.output)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_says_what_it_does(command):
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: main {command} ")
    assert len(main.commands[command].help) > 30
    assert all(option.help for option in main.commands[command].params)
    assert fits(result.output)


def test_the_commands_are_those_that_people_know():
    assert COMMANDS == ["doctor", "expire", "reconcile", "refresh", "simulate", "status"]


def test_the_version():
    assert __version__ in CliRunner().invoke(main, ["--version"]).output


# -- runs


def test_refresh_fills_the_day_and_sums_it_up(place, run):
    result = run("refresh")
    assert result.exit_code == 0, result.output
    assert fits(result.output)
    header, rule, *rows = result.output.splitlines()
    assert header.split() == ["table", "windows", "rows", "new", "revised", "same", "written", "bytes"]
    assert set(rule.strip()) == {"─"}
    windows = {"measures": "25", "stations": "25", "readings": "25", "timeliness": "1", "completeness": "25"}
    assert [row.split()[:2] for row in rows[:5]] == [list(each) for each in windows.items()]
    held = len(place.lake.read(READINGS, now=NOW))
    assert rows[2].split()[2:] == [
        f"{held:,}", f"{held:,}", "0", "0", "25", f"{sum(found.size for found in place.lake.windows(READINGS)):,}"
    ]  # fmt: skip
    assert rows[5] == "first fill: downloading the whole day"
    parts = [
        "seconds", "snapshots", "download", "parse", "store", "ledger", "checks", "reporting", "Dagster"
    ]  # fmt: skip
    assert rows[6].split() == parts
    spent = [float(part) for part in rows[8].split()]
    assert len(spent) == len(parts)
    assert spent[0] == pytest.approx(sum(spent[1:]), abs=0.06), "each second is somebody's"
    assert rows[9:] == ["11 of 11 checks passed"]


def test_a_second_refresh_in_the_hour_takes_no_snapshot_and_one_in_the_next_does(place, run):
    assert run("refresh").exit_code == 0
    place.at(NOW + QUARTER)
    result = run("refresh")
    assert "measures " not in result.output.split("readings")[0]
    assert "9 of 9 checks passed" in result.output
    place.at(NOW + HOUR)
    assert "11 of 11 checks passed" in run("refresh").output
    # The first one stands for the whole day, the second for its hour.
    assert len(place.lake.windows(MEASURES)) == 26


def test_reconcile_says_what_was_the_same(place, run):
    assert run("refresh").exit_code == 0
    result = run("reconcile")
    assert result.exit_code == 0
    assert "reading 2026-10-14 and 2026-10-15 again, as requested" in result.output
    held = f"{len(place.lake.read(READINGS, now=NOW)):,}"
    (row,) = [line.split() for line in result.output.splitlines() if line.strip().startswith("readings ")]
    assert row[2:7] == [held, "0", "0", held, "0"]


def test_expire_deletes_and_a_dry_run_only_reports(place, run):
    assert run("refresh").exit_code == 0
    place.at(NOW + 3 * HOUR)
    dry, wet, again = run("expire", "--dry-run"), run("expire"), run("expire")
    assert [result.exit_code for result in (dry, wet, again)] == [0, 0, 0]
    assert re.fullmatch(r"12 windows would be deleted, 1 would be trimmed: [\d,]+ rows, [\d,]+ bytes\n", dry.output)
    assert re.fullmatch(r"12 windows deleted, 1 trimmed: [\d,]+ rows, [\d,]+ bytes\n", wet.output)
    assert again.output == "0 windows deleted, 0 trimmed: 0 rows, 0 bytes\n"
    assert [found.window for found in place.lake.windows(READINGS)] == retained_windows(place.now)[:-3]


def test_verbose_lets_dagsters_log_through(run):
    assert "RUN_SUCCESS" in run("expire", "-v").stderr
    assert run("expire").stderr == ""


def test_runs_are_recorded_where_dagster_home_is(run, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    assert run("expire").exit_code == 0
    with dg.DagsterInstance.get() as instance:
        (found,) = instance.get_runs()
    assert (found.job_name, found.status) == ("retention_job", dg.DagsterRunStatus.SUCCESS)


# -- what goes wrong


def test_an_api_that_is_away_is_one_message_and_exit_code_1(run, monkeypatch):
    monkeypatch.setattr(terminal, "build_defs", lambda: build_defs(source=Source(tries=1)))
    monkeypatch.setenv("FLOOD_API_URL", "http://127.0.0.1:9/flood-monitoring")
    result = run("refresh")
    assert result.exit_code == 1
    # The order depends on how long each waited before its retry.
    for line in result.output.splitlines():
        assert re.match(r"(measures|stations) failed: http://127\.0\.0\.1:9/flood-monitoring/id/\1", line)
    assert len(result.output.splitlines()) == 2
    assert "Traceback" not in result.output


def test_readings_are_stored_without_stations_and_the_next_refresh_asks_for_stations_again(place, run, monkeypatch):
    monkeypatch.setattr(terminal, "build_defs", lambda: build_defs(source=Source(tries=1)))
    place.server.set_faults([{"match": "id/stations", "kind": "status", "status": 400, "times": 0}])
    result = run("refresh")
    assert result.exit_code == 1
    assert "stations failed" in result.output
    assert len(place.lake.windows(READINGS)) == 25
    place.server.set_faults([])
    assert run("refresh").exit_code == 0
    assert len(place.lake.windows(STATIONS)) == 25


def test_brackets_in_a_message_are_shown_as_they_are(run, monkeypatch):
    assert run("refresh").exit_code == 0
    monkeypatch.setenv("FLOOD_API_URL", "http://127.0.0.1:9/[bold]x[/nothing]")
    result = run("reconcile")
    assert result.exit_code == 1
    assert "and not of http://127.0.0.1:9/[bold]x[/nothing]: set FLOOD_LAKE_URL" in result.output


@pytest.mark.parametrize(
    ("name", "value"), [("FLOOD_API_URL", "ftp://x"), ("FLOOD_LAKE_URL", "x3://b"), ("FLOOD_NOW", "yesterday")]
)
def test_a_wrong_setting_is_named_with_its_value(place, monkeypatch, name, value):
    for known, right in (("FLOOD_API_URL", place.api_url), ("FLOOD_LAKE_URL", place.lake_url)):
        monkeypatch.setenv(known, right)
    monkeypatch.setenv("FLOOD_NOW", NOW.isoformat())
    monkeypatch.setenv(name, value)
    result = CliRunner().invoke(main, ["refresh"])
    assert f"{name} is '{value}'" in result.output
    assert "Traceback" not in result.output
    assert result.exit_code == 2


def test_a_wrong_command_or_option_is_exit_code_2():
    assert CliRunner().invoke(main, ["refil"]).exit_code == 2
    assert CliRunner().invoke(main, ["refresh", "--dry-run"]).exit_code == 2
    assert CliRunner().invoke(main, ["simulate", "--port", "99999"]).exit_code == 2


def test_a_wrong_time_is_named_after_its_option():
    result = CliRunner().invoke(main, ["simulate", "--now", "yesterday"])
    assert result.exit_code == 2
    assert "'--now': 'yesterday': expected a time with a zone" in result.output
    assert "FLOOD_NOW" not in result.output


def test_a_fault_that_a_check_finds_is_exit_code_1(place, run):
    assert run("refresh").exit_code == 0
    window = retained_windows(NOW)[3]
    key = key_of(READINGS, window)
    stored = load(place.lake.store, READINGS, key)
    rows = stored.file.read()
    twice = encode(READINGS, pa.concat_tables([rows, rows.slice(0, 2)]))
    place.lake.store.put(key, twice, replaces=stored.meta)
    place.at(NOW + QUARTER)
    result = run("refresh")
    assert result.exit_code == 1
    assert "check unique_keys of readings failed: rows " in result.output
    assert "8 of 9 checks passed" in result.output


def test_a_warning_of_a_check_is_shown_and_is_no_failure(place, run):
    assert run("refresh").exit_code == 0
    silent = {"kind": "hole", "start": f"{NOW:%Y-%m-%dT%H:%M}", "end": "2027", "times": 0}
    place.server.set_faults([{"match": "readings.csv", **silent}])
    place.at(NOW + QUARTER * 7)
    assert run("expire").exit_code == 0
    result = run("refresh")
    assert (result.exit_code, "fresh_measures of readings failed: " in result.output) == (0, True)


# -- the table with a country's numbers


def test_the_table_of_a_whole_country_fits_into_80_columns():
    from rich.console import Console  # noqa: PLC0415

    def told(asset: str, rows: int, size: int) -> dg.AssetMaterialization:
        metadata = {"dagster/partition_row_count": rows, "added": rows, "revised": 12_345, "unchanged": rows}
        return dg.AssetMaterialization(asset, metadata=metadata | {"written": True, "bytes": size})

    many = [told("readings", 24_000, 150_000) for _ in range(25)]
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(terminal._table({"stations": [told("stations", 5_500, 900_000)], "readings": many}))
    text = console.export_text()
    console.file.close()
    assert fits(text)
    assert "600,000" in text
    assert "3,750,000" in text


def test_a_run_that_replaced_damaged_windows_says_so_in_its_last_lines(run, filled):
    lake = filled.lake
    for table in (READINGS, STATIONS):
        found = lake.windows(table)[-1 if table is READINGS else 0]
        lake.store.put(found.key, b"no parquet", replaces=lake.store.head(found.key))
    filled.at(NOW + HOUR)
    last = run("refresh").output.splitlines()[-6:]
    for table in ("readings", "stations"):
        start = f"replaced 1 damaged window of {table}; what was there is kept as _quarantine/{table}/date="
        assert [line for line in last if line.startswith(start)], last
    filled.at(NOW + HOUR + QUARTER)
    assert "damaged" not in run("refresh").output
