"""The commands over the shards of a network: a line for each, and what fails is named with its reason and remedy."""

import json
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

import pytest
from click.testing import CliRunner, Result

from flood_assets import query
from flood_assets.cli.main import main
from flood_assets.ea.client import FloodMonitoringApi
from flood_assets.lake.lake import Lake
from flood_assets.schemas import READINGS
from flood_assets_tests.conftest import NOW, Place
from flood_assets_tests.support import proof

Run = Callable[..., Result]
NAMES = ("flow", "level", "rainfall")


@pytest.fixture
def run(place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path) -> Run:
    described = "".join(f'[[shard]]\nname = "{name}"\nparameter = "{name}"\n' for name in NAMES)
    (tmp_path / "network.toml").write_text(f'name = "england"\n{described}')
    for name, value in {
        "COLUMNS": "80",
        "FLOOD_API_URL": place.api_url,
        "FLOOD_LAKE_URL": place.lake_url,
        "FLOOD_NETWORK": str(tmp_path / "network.toml"),
    }.items():
        monkeypatch.setenv(name, value)

    def command(*words: str) -> Result:
        monkeypatch.setenv("FLOOD_NOW", place.now.isoformat())
        result = CliRunner().invoke(main, words)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return command


def shard_of(place: Place, name: str) -> Lake:
    return Lake.open(f"{place.lake_url}/shard={name}")


def held(place: Place) -> dict:
    found = {}
    for name in NAMES:
        more = proof.held(shard_of(place, name), place.now)
        assert not found.keys() & more.keys(), "a reading is in two shards"
        found |= more
    return found


def test_refresh_fills_each_shard_and_sums_them_up(place, run, monkeypatch):
    monkeypatch.setenv("FLOOD_EMF", "prod")
    result = run("refresh")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    for name, line in zip(NAMES, lines, strict=False):
        rows = len(shard_of(place, name).read(READINGS, now=NOW))
        assert line.startswith(f"{name}: {rows:,} new and 0 revised readings, ")
    assert lines[3].split() == ["shard", "new", "revised", "same", "missing", "requests", "tries", "seconds"]
    total = len(held(place))
    assert lines[9].split()[:4] == ["all", f"{total:,}", "0", "0"]
    assert lines[10].startswith("3 shards of the network england in ")
    assert all(len(line) <= 80 for line in lines[:11])
    told = json.loads(lines[11])
    assert (told["RowsNew"], told["RefreshSucceeded"], told["Failures"], told["job"]) == (total, 1.0, 0.0, "refresh")
    assert told["NewestReadingAge"] < 3600


def test_a_failed_shard_is_named_with_its_reason_and_alone_is_tried_again(place, run, tmp_path):
    (tmp_path / "lake" / "shard=level").parent.mkdir()
    (tmp_path / "lake" / "shard=level").write_text("in the way")
    result = run("refresh")
    assert result.exit_code == 1
    assert "\nlevel failed:" in result.output
    said = " ".join(result.stderr.split())
    assert "refresh failed in 1 shard: level: file://" in said
    assert "`flood-assets refresh --shard level` tries these again" in said
    (tmp_path / "lake" / "shard=level").unlink()
    again = run("refresh", "--shard", "level")
    assert again.exit_code == 0
    assert again.output.startswith("level: ")
    assert "rainfall" not in again.output


def test_a_line_names_some_of_the_stations_that_the_api_does_not_know(place, run, tmp_path):
    with closing(FloodMonitoringApi(place.api_url, now=lambda: NOW)) as api:
        known = next(each for each in api.measures().rows["station_id"].to_pylist() if each)
    stations = json.dumps([known, *(f"no such {number}" for number in range(1, 8))])
    (tmp_path / "network.toml").write_text(f'name = "england"\n[[shard]]\nname = "few"\nstations = {stations}\n')
    result = run("refresh")
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "the API does not know 7 stations: no such 1, no such 2, no such 3, no such 4, no such 5, ..., " in said


def test_reconcile_reads_the_day_again_and_expire_empties_what_is_over(place, run):
    assert run("refresh").exit_code == 0
    before = len(held(place))
    result = run("reconcile")
    assert result.exit_code == 0
    assert f"{before:,}" in result.output.splitlines()[9].split()[3]
    place.at(NOW + timedelta(hours=3))
    dry = run("expire", "--dry-run")
    assert "level: 12 windows would be deleted, 1 would be trimmed, " in dry.output
    assert run("expire").exit_code == 0
    assert not proof.past(shard_of(place, "level"), place.now)


def test_alerts_are_judged_over_all_shards_and_kept_at_the_common_url(place, run, monkeypatch, tmp_path):
    (tmp_path / "rules.toml").write_text('[[rule]]\nname = "any level"\nparameter = "level"\nabove = -1000.0\n')
    monkeypatch.setenv("FLOOD_ALERTS", str(tmp_path / "rules.toml"))
    result = run("refresh")
    assert result.exit_code == 0, result.output
    (said,) = [line for line in result.output.splitlines() if line.startswith("alerts: ")]
    firing = int(said.split()[1].replace(",", ""))
    assert firing > 1
    assert query.alerts(place.lake_url, NOW).rows["status"].to_pylist().count("firing") == firing
    assert (tmp_path / "lake" / "_alerts").is_dir()
    assert not (tmp_path / "lake" / "shard=level" / "_alerts").exists()
    again = run("refresh")
    assert f"alerts: {firing:,} firing, 0 events" in again.output
    (tmp_path / "rules.toml").write_text("rule")
    wrong = run("refresh")
    assert (wrong.exit_code, "\nalerts failed:" in wrong.output) == (1, True)


def test_other_lakes_and_wrong_names_are_refused(place, run, monkeypatch, tmp_path):
    assert run("refresh", "--shard", "level").exit_code == 0
    unknown = run("refresh", "--shard", "tide")
    assert (unknown.exit_code, "has no shard 'tide': it has flow, level, rainfall" in unknown.output) == (2, True)
    (tmp_path / "network.toml").write_text('name = "england"\n[[shard]]\nname = "all"\n')
    other = run("refresh")
    assert (other.exit_code, "unites the shards flow, level, rainfall" in other.output) == (2, True)
    monkeypatch.delenv("FLOOD_NETWORK")
    alone = run("refresh", "--shard", "level")
    assert (alone.exit_code, "set FLOOD_NETWORK to the file" in alone.output) == (2, True)
