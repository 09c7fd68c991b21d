"""The commands that a person types: exit codes, and what they read at 80 columns."""

import json
import re
import signal
import socket
from collections.abc import Callable

import dagster as dg
import pyarrow as pa
import pytest
from click import Option
from click.testing import CliRunner, Result

from flood_assets import __version__
from flood_assets.cli import run as terminal
from flood_assets.cli.main import main
from flood_assets.definitions import build_defs
from flood_assets.defs.resources import Source
from flood_assets.lake.layout import key_of
from flood_assets.lake.parquet import encode
from flood_assets.lake.read import load
from flood_assets.partitions import retained_windows, window_of
from flood_assets.schemas import MEASURES, READINGS, STATIONS, TABLES, WARNING_AREAS
from flood_assets_tests.conftest import HOUR, NOW, QUARTER, Place
from flood_assets_tests.support.receiving import receiving

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
    return all(len(line) <= 80 and line == line.rstrip() for line in text.splitlines()) and "…" not in text


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
    assert all(each.help for each in main.commands[command].params if isinstance(each, Option))
    assert fits(result.output)


def test_the_commands_are_those_that_people_know():
    assert COMMANDS == [
        "alerts", "consume", "doctor", "expire", "ingest", "key", "publish", "reconcile", "refresh", "serve", "shards",
        "show", "simulate", "sql", "status", "subscribe",
    ]  # fmt: skip


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
    windows = {"measures": "25", "stations": "25", "warning_areas": "1", "readings": "25", "timeliness": "1"}
    windows |= {"completeness": "25", "conditions": "1", "warnings": "1"}
    assert [row.split()[:2] for row in rows[:8]] == [list(each) for each in windows.items()]
    held = len(place.lake.read(READINGS, now=NOW))
    assert rows[3].split()[2:] == [
        f"{held:,}", f"{held:,}", "0", "0", "25", f"{sum(found.size for found in place.lake.windows(READINGS)):,}"
    ]  # fmt: skip
    assert rows[8] == "first fill: downloading the whole day"
    *times, checks = rows[9:]
    whole, parts = re.fullmatch(r"([\d.]+) s: (.*)", " ".join(line.strip() for line in times)).groups()
    spent = {name: float(taken) for name, taken in re.findall(r"([A-Za-z ]+) ([\d.]+)(?:, |$)", parts)}
    assert list(spent) == [
        "station lists", "warnings", "download", "parse", "store", "ledger", "conditions", "checks", "cleanup",
        "reporting", "Dagster",
    ]  # fmt: skip
    assert float(whole) == pytest.approx(sum(spent.values()), abs=0.06), "each second is somebody's"
    assert checks == "13 of 13 checks passed"


def test_a_refresh_publishes_to_the_sinks_and_says_so(place, run, monkeypatch):
    with receiving() as receiver:
        monkeypatch.setenv("FLOOD_PUBLISH", receiver.url)
        result = run("refresh")
    assert result.exit_code == 0, result.output
    assert len(receiver.accepted) == len(place.lake.read(READINGS, now=NOW))
    assert f"published {len(receiver.accepted):,} events to 1 sink\n" in result.output
    assert "publishing " in result.output
    assert fits(result.output)


def test_a_sink_that_is_none_ends_a_refresh_before_it_begins(place, run, monkeypatch):
    monkeypatch.setenv("FLOOD_PUBLISH", "ftp://example.org")
    result = run("refresh")
    assert (result.exit_code, "FLOOD_PUBLISH has 'ftp://example.org'" in result.output) == (2, True)
    assert place.requests() == 0


def test_a_second_refresh_in_the_hour_takes_no_snapshot_and_one_in_the_next_does(filled, run):
    filled.at(NOW + QUARTER)
    result = run("refresh")
    assert "measures " not in result.output.split("readings")[0]
    assert "13 of 13 checks passed" in result.output
    filled.at(NOW + HOUR)
    assert "15 of 15 checks passed" in run("refresh").output
    # The first one stands for the whole day, the second for its hour; what has expired meanwhile is gone.
    assert [found.window for found in filled.lake.windows(MEASURES)] == retained_windows(filled.now)


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        ("/id/floods", 0, "check warnings_listed of warnings failed (a warning): reason"),
        ("/id/floodAreas", 1, "warning_areas failed:"),
    ],
)
def test_readings_are_stored_though_warnings_or_areas_cannot_be_had(filled, run, monkeypatch, path, code, said):
    definitions = build_defs(source=Source(tries=1))
    monkeypatch.setattr(terminal, "build_defs", lambda: definitions)
    filled.lake.store.delete([found.key for found in filled.lake.windows(WARNING_AREAS)])
    filled.at(NOW + QUARTER)
    filled.server.set_faults([{"kind": "status", "status": 500, "match": path, "times": 0}])
    result = run("refresh")
    assert (result.exit_code, said in result.output) == (code, True), result.output
    assert filled.server.stats()["/data/readings latest"]["requests"] == 1
    assert filled.lake.contents(READINGS, [window_of(NOW)])[window_of(NOW)].newest > NOW


def test_reconcile_says_what_was_the_same(filled, run):
    result = run("reconcile")
    assert result.exit_code == 0
    assert "reading 2026-10-14 and 2026-10-15 again, as requested" in result.output
    held = f"{len(filled.lake.read(READINGS, now=NOW)):,}"
    (row,) = [line.split() for line in result.output.splitlines() if line.strip().startswith("readings ")]
    assert row[2:7] == [held, "0", "0", held, "0"]


def test_expire_deletes_and_a_dry_run_only_reports(filled, run):
    filled.at(NOW + 3 * HOUR)
    dry, wet, again = run("expire", "--dry-run"), run("expire"), run("expire")
    assert [result.exit_code for result in (dry, wet, again)] == [0, 0, 0]
    assert re.fullmatch(r"12 windows deleted, 1 trimmed: [\d,]+ rows, [\d,]+ bytes\n2 of 2 checks passed\n", wet.output)
    assert dry.output == wet.output.replace("deleted", "would be deleted").replace("trimmed", "would be trimmed")
    assert again.output == "0 windows deleted, 0 trimmed: 0 rows, 0 bytes\n2 of 2 checks passed\n"
    assert [found.window for found in filled.lake.windows(READINGS)] == retained_windows(filled.now)[:-3]


def test_expire_says_how_many_rows_it_archived(filled, run, monkeypatch):
    monkeypatch.setenv("FLOOD_ARCHIVE", "archive")
    filled.at(NOW + 3 * HOUR)
    assert re.search(r"bytes; [1-9][\d,]* rows archived\n", run("expire").output)


def test_an_archive_that_is_away_is_an_error_and_the_refresh_goes_on(filled, run, monkeypatch, tmp_path):
    (tmp_path / "away").write_bytes(b"")
    monkeypatch.setenv("FLOOD_ARCHIVE", str(tmp_path / "away"))
    filled.at(NOW + 3 * HOUR)
    result = run("refresh")
    assert result.exit_code == 1
    assert "check expired_readings_archived of retention failed: archive" in result.output
    assert window_of(filled.now) in {found.window for found in filled.lake.windows(READINGS)}


def test_an_archive_that_is_no_place_is_told_at_once(filled, run, monkeypatch):
    monkeypatch.setenv("FLOOD_ARCHIVE", "1")
    assert "FLOOD_ARCHIVE is '1'" in run("expire").stderr


@pytest.mark.parametrize("command", ["refresh", "reconcile"])
def test_who_runs_only_one_command_from_cron_is_cleaned_up_after(filled, run, command):
    filled.at(NOW + 3 * HOUR)
    result = run(command)
    assert result.exit_code == 0, result.output
    assert re.match(r"12 windows deleted, 1 trimmed: [\d,]+ rows, [\d,]+ bytes\n", result.output)
    assert filled.lake.expired(filled.now) == []
    assert (
        min(found.window for table in TABLES.values() for found in filled.lake.windows(table))
        == retained_windows(filled.now)[0]
    )
    assert "deleted" not in run(command).output, "nothing is left to clean up"


def test_expired_readings_go_although_the_api_is_away(filled, run):
    filled.at(NOW + 3 * HOUR)
    filled.server.set_faults([{"match": "flood-monitoring", "kind": "status", "status": 400, "times": 0}])
    result = run("refresh")
    assert result.exit_code == 1
    assert result.output.startswith("12 windows deleted, 1 trimmed: ")
    assert filled.lake.expired(filled.now) == []


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
    said = result.stdout.replace("\n  ", " ").splitlines()
    for line in said:
        lists = r"(stations|measures|warning_areas) failed: http://127\.0\.0\.1:9/flood-monitoring/id/(\1|floodAreas)"
        assert re.match(lists, line)
    assert len(said) == 3
    assert "Traceback" not in result.output
    last = result.stderr.replace("\n  ", " ")
    assert re.fullmatch(
        r"flood-assets: refresh failed in \w+, \w+ and \w+, see above\. `flood-assets doctor` .* again\n", last
    )
    assert result.output.endswith(result.stderr), "it is the last that is said"


def test_status_tells_of_a_failed_refresh_until_one_succeeds(place, run, monkeypatch):
    monkeypatch.setattr(terminal, "build_defs", lambda: build_defs(source=Source(tries=1)))
    assert run("status").exit_code == 1, "there is no lake"
    assert run("refresh").exit_code == 0
    assert run("status").exit_code == 0
    place.at(NOW + QUARTER)
    place.server.set_faults([{"match": "readings", "kind": "status", "status": 400, "times": 0}])
    assert run("refresh").exit_code == 1
    told = run("status")
    assert told.exit_code == 1
    assert "fault: the last run failed at 2026-10-15 09:22Z in the step readings: " in told.output.replace("\n  ", " ")
    place.at(NOW + 2 * QUARTER)
    place.server.set_faults([])
    assert run("refresh").exit_code == 0
    assert run("status").exit_code == 0


def test_json_is_all_that_is_on_stdout(place, run, monkeypatch):
    for code in (1, 0):
        told = run("status", "--json")
        assert told.exit_code == code
        assert bool(json.loads(told.stdout)["faults"]) is bool(code)
        assert run("refresh").exit_code == 0
    monkeypatch.setenv("FLOOD_LAKE_URL", "x3://b")
    told = run("status", "--json")
    assert (told.exit_code, told.stdout) == (2, "")
    assert "FLOOD_LAKE_URL is 'x3://b'" in told.stderr


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


def test_brackets_in_a_message_are_shown_as_they_are(filled, run, monkeypatch):
    monkeypatch.setenv("FLOOD_API_URL", "http://127.0.0.1:9/[bold]x[/nothing]")
    result = run("reconcile")
    assert result.exit_code == 1
    assert "and not of http://127.0.0.1:9/[bold]x[/nothing]: set FLOOD_LAKE_URL" in result.output.replace("\n  ", " ")


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


def test_a_taken_port_is_told_with_the_option(monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(main, ["simulate", "--stations", "3", "--port", str(port)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert (
        result.stderr == f"simulator: port {port} is in use: choose another with --port, or --port 0 for a free one\n"
    )


def test_a_wrong_time_is_named_after_its_option():
    result = CliRunner().invoke(main, ["simulate", "--now", "yesterday"])
    assert result.exit_code == 2
    assert "'--now': 'yesterday': expected a time with a zone" in result.output
    assert "FLOOD_NOW" not in result.output


def test_a_fault_that_a_check_finds_is_exit_code_1(filled, run):
    window = retained_windows(NOW)[3]
    key = key_of(READINGS, window)
    stored = load(filled.lake.store, READINGS, key)
    rows = stored.file.read()
    twice = encode(READINGS, pa.concat_tables([rows, rows.slice(0, 2)]))
    filled.lake.store.put(key, twice, replaces=stored.meta)
    filled.at(NOW + QUARTER)
    result = run("refresh")
    assert result.exit_code == 1
    assert "check unique_keys of readings failed: rows " in result.output
    assert "12 of 13 checks passed" in result.output
    last = result.stderr.replace("\n  ", " ")
    assert last.startswith(
        "flood-assets: refresh failed: the check unique_keys of readings found an error, see above. "
    )
    assert result.output.endswith(result.stderr)


def test_a_warning_of_a_check_is_shown_and_is_no_failure(filled, run):
    silent = {"kind": "hole", "start": f"{NOW:%Y-%m-%dT%H:%M}", "end": "2027", "times": 0}
    filled.server.set_faults([{"match": "readings.csv", **silent}])
    filled.at(NOW + QUARTER * 7)
    assert run("expire").exit_code == 0
    result = run("refresh")
    assert (result.exit_code, "fresh_measures of readings failed (a warning): " in result.output) == (0, True)


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
        found = lake.windows(table)[-1 if table is READINGS else 4]
        lake.store.put(found.key, b"no parquet", replaces=lake.store.head(found.key))
    filled.at(NOW + HOUR)
    words = " ".join(run("refresh").output.split())
    last = words[words.index("station lists ") :]
    for table in ("readings", "stations"):
        assert f"replaced 1 damaged window of {table}; what was there is kept as _quarantine/{table}/date=" in last
    filled.at(NOW + HOUR + QUARTER)
    assert "damaged" not in run("refresh").output
