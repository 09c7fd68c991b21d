"""A run leaves one line of CloudWatch's embedded metric format where it is asked for, and none where it is not."""

from datetime import timedelta

import dagster as dg
import pytest
from click.testing import CliRunner

from flood_assets import emf, settings
from flood_assets.cli.main import main
from flood_assets.definitions import build_defs
from flood_assets.defs.emf import sensors
from flood_assets.errors import SettingsError
from flood_assets.query.status import look
from flood_assets.simulator.faults import Fault
from flood_assets_tests.conftest import NOW, QUARTER, Place
from flood_assets_tests.support.daemon import open_daemon
from flood_assets_tests.support.embedded_metrics import checked, lines


def test_ten_metrics_are_told_with_one_dimension():
    found = checked(emf.line(dict.fromkeys(emf.UNITS, 1.5), "prod", NOW, job="refresh"))
    assert found["_aws"]["Timestamp"] == NOW.timestamp() * 1000
    (directive,) = found["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == ("FloodAssets", [["environment"]])
    assert len(directive["Metrics"]) == 10, "the number that costs nothing"
    assert found["environment"] == "prod"


@pytest.mark.parametrize("given", ["a b", "x" * 65, "ü"])
def test_a_name_that_is_none_is_refused(given):
    with pytest.raises(SettingsError, match="name of an environment"):
        settings.emf({"FLOOD_EMF": given})


@pytest.fixture
def refresh(place: Place, monkeypatch):
    def run() -> tuple[int, str]:
        monkeypatch.setenv("FLOOD_API_URL", place.api_url)
        monkeypatch.setenv("FLOOD_LAKE_URL", place.lake_url)
        monkeypatch.setenv("FLOOD_NOW", place.now.isoformat())
        result = CliRunner().invoke(main, ["refresh"])
        return result.exit_code, result.stdout

    return run


def test_a_refresh_in_the_terminal_prints_one_line(filled, refresh, monkeypatch):
    filled.at(NOW + QUARTER)
    monkeypatch.setenv("FLOOD_EMF", "dev")
    code, text = refresh()
    (found,) = lines(text)
    status = look(filled.lake, filled.now)
    assert code == found["Failures"] == 0
    assert found["RefreshSucceeded"] == 1
    assert (found["job"], found["failed"]) == ("refresh", "")
    assert found["RowsNew"] > 0
    assert found["MissingSilent"] == status.completeness.counts["silent"]
    assert found["NewestReadingAge"] == (filled.now - status.freshness.newest).total_seconds()
    assert found["Duration"] > 0
    assert "SinkLag" not in found


def test_by_default_it_prints_none(filled, refresh):
    filled.at(NOW + QUARTER)
    assert lines(refresh()[1]) == []


def told(place: Place, capsys) -> list[dict]:
    """Let both sensors look at the last run, and return what they print."""
    run = place.instance.get_runs(limit=1)[0]
    kind = dg.DagsterEventType.RUN_FAILURE if run.is_failure else dg.DagsterEventType.RUN_SUCCESS
    events = place.instance.all_logs(run.run_id, of_type=kind)
    capsys.readouterr()
    sensor = sensors("dev")[int(run.is_failure)]
    context = dg.build_run_status_sensor_context(sensor.name, events[-1].dagster_event, place.instance, run)
    sensor(context)
    return lines(capsys.readouterr().out)


def test_runs_of_dagster_are_told_when_they_have_ended(filled, capsys):
    assert filled.at(NOW + QUARTER).tick().success
    (found,) = told(filled, capsys)
    assert (found["job"], found["Failures"]) == ("refresh_job", 0)
    assert found["RowsNew"] > 0
    assert found["MissingNotFetched"] == 0
    filled.server.set_faults([Fault(kind="reset", times=0)])
    assert not filled.at(NOW + 2 * QUARTER).tick().success
    (found,) = told(filled, capsys)
    assert found["Failures"] >= 1
    assert found["RefreshSucceeded"] == 0
    assert "readings" in found["failed"]
    assert "RowsNew" not in found


def test_the_sensors_are_there_only_if_an_environment_is_named():
    def names(defs: dg.Definitions) -> set[str]:
        return {sensor.name for sensor in defs.sensors}

    assert names(build_defs(emf="dev")) - names(build_defs()) == {"emf_of_success", "emf_of_failure"}


@pytest.mark.slow
def test_the_daemon_has_each_run_told_once(place, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("FLOOD_EMF", "dev")
    start = NOW.replace(minute=59, second=0, hour=8)
    with open_daemon(tmp_path / "home", place.api_url, place.lake_url, place.at) as daemon:
        for look in (daemon.sensors, daemon.schedules):
            look(start)
        daemon.schedules(start + timedelta(minutes=1, seconds=3))
        capfd.readouterr()
        for minutes in (2, 3):
            daemon.sensors(start + timedelta(minutes=minutes))
        found = lines(capfd.readouterr().out)
        assert {each["run"] for each in found} == {run.run_id for run in daemon.runs()}
    assert len(found) == 2
    assert [each["RefreshSucceeded"] for each in found if "RowsNew" in each] == [1]
