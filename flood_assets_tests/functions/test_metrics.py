"""Functions on a schedule tell CloudWatch what the commands tell it, and tell of failures too."""

import pytest
from click.testing import CliRunner

from flood_assets import functions
from flood_assets.cli.main import main
from flood_assets.lake.lake import Lake
from flood_assets_tests.conftest import NOW, QUARTER
from flood_assets_tests.support.embedded_metrics import lines
from flood_assets_tests.support.quick_dagster import copy_folder

AWAY = "http://127.0.0.1:9/"


@pytest.fixture
def call(filled, tmp_path, monkeypatch, capsys):
    """Call functions on a copy of a lake a tick old, a quarter later; return what they print for CloudWatch."""
    copy_folder(tmp_path / "lake", tmp_path / "of-lambda")
    filled.at(NOW + QUARTER)
    given = {"API_URL": filled.api_url, "LAKE_URL": (tmp_path / "of-lambda").as_uri(), "NOW": filled.now.isoformat()}
    for name, value in {**given, "EMF": "dev"}.items():
        monkeypatch.setenv(f"FLOOD_{name}", value)

    def called(name: str, *, fails: bool = False) -> dict:
        capsys.readouterr()
        if fails:
            with pytest.raises(Exception, match=r"failed|waiting|holds"):
                getattr(functions, name)({}, None)
        else:
            getattr(functions, name)({}, None)
        (line,) = lines(capsys.readouterr().out)
        assert line["environment"] == "dev"
        assert (line["Failures"] > 0) == fails
        return line

    return called


@pytest.mark.parametrize("command", ["refresh", "reconcile"])
def test_a_call_tells_what_the_command_tells(filled, call, command, monkeypatch):
    if command == "refresh":
        monkeypatch.setenv("FLOOD_PUBLISH", AWAY)
    told = call(command)
    assert told["RowsNew"] > 0
    assert told["NewestReadingAge"] > 0
    assert ("SinkLag" in told) == (command == "refresh")
    monkeypatch.setenv("FLOOD_LAKE_URL", filled.lake_url)
    filled.at(filled.now)
    result = CliRunner().invoke(main, [command])
    assert result.exit_code == 0
    (found,) = lines(result.stdout)
    own = {"_aws", "Duration"}
    assert {n: v for n, v in told.items() if n not in own} == {n: v for n, v in found.items() if n not in own}
    assert told["_aws"]["CloudWatchMetrics"] == found["_aws"]["CloudWatchMetrics"]


def test_what_fails_is_told(filled, call, monkeypatch):
    filled.server.set_faults([{"match": "data/readings", "kind": "status", "status": 400, "times": 0}])
    told = call("refresh", fails=True)
    assert (told["failed"], told["Failures"], told["RefreshSucceeded"]) == ("readings", 1, 0)
    assert "RowsNew" not in told
    Lake.open(f"{filled.lake_url}-other").claim("https://another.example/api")
    monkeypatch.setenv("FLOOD_LAKE_URL", f"{filled.lake_url}-other")
    told = call("refresh", fails=True)
    assert told["Failures"] == 1, "before the first step"


def test_how_far_a_sink_lags_is_told_while_it_is_away(filled, call, monkeypatch):
    monkeypatch.setenv("FLOOD_PUBLISH", AWAY)
    told = call("publish", fails=True)
    assert told["SinkLag"] == QUARTER.total_seconds()
    later = filled.now + 2 * QUARTER
    monkeypatch.setenv("FLOOD_NOW", later.isoformat())
    assert call("publish", fails=True)["SinkLag"] == 3 * QUARTER.total_seconds()
    filled.at(later)
    told = call("refresh", fails=True)
    assert (told["SinkLag"], told["failed"], told["RefreshSucceeded"]) == (3 * QUARTER.total_seconds(), "published", 1)
    assert call("expire")["Failures"] == 0


def test_nothing_is_printed_unless_an_environment_is_named(filled, call, monkeypatch, capsys):
    monkeypatch.delenv("FLOOD_EMF")
    capsys.readouterr()
    functions.expire({}, None)
    assert capsys.readouterr().out == ""
