"""The asset `alerts` in a tick: last, only with FLOOD_ALERTS, also when the readings fail, and failing nothing."""

import subprocess
import sys
from datetime import timedelta

import dagster as dg
import pytest

from flood_assets.defs.jobs import refresh_requests, tick
from flood_assets.query.alerts import stored_alerts
from flood_assets_tests.conftest import NOW, Place

RULES = """
[[rule]]
name = "any river in its range"
parameter = "level"
above = -100

[[rule]]
name = "silent"
silent = true
"""


@pytest.fixture
def rules(tmp_path, monkeypatch):
    file = tmp_path / "alerts.toml"
    file.write_text(RULES)
    monkeypatch.setenv("FLOOD_ALERTS", str(file))
    return file


def run_tick(place: Place) -> dg.ExecuteInProcessResult:
    *_, request = tick(place.lake, place.now)
    return place.run("refresh_job", request)


def check_of(result):
    (found,) = [each for each in result.get_asset_check_evaluations() if each.check_name == "alerts_judged"]
    return found


def test_a_tick_judges_after_conditions_and_warnings_and_tells_what_fires(filled, rules):
    result = run_tick(filled)
    assert result.success
    steps = [event.step_key for event in result.all_events if event.is_step_success]
    assert steps[-1] == "alerts"
    told = {name: value.value for name, value in result.asset_materializations_for_node("alerts")[0].metadata.items()}
    state = stored_alerts(filled.lake, filled.now)
    assert told["firing"] == len(state.firing) > 10
    assert {alert.rule for alert in state.firing} == {"any river in its range"}
    assert state.firing[0].why in told["firing_now"]
    again = run_tick(filled.at(NOW + timedelta(minutes=1)))
    assert again.asset_materializations_for_node("alerts")[0].metadata["events"].value == 0


def test_without_the_setting_nothing_is_judged_or_loaded(filled):
    *_, request = tick(filled.lake, filled.now)
    assert dg.AssetKey("alerts") not in request.asset_selection
    # Materialized by hand, it says why nothing is judged.
    result = filled.run("refresh_job", asset_selection=[dg.AssetKey("alerts")])
    assert result.success
    assert check_of(result).metadata["reason"].value == "FLOOD_ALERTS is not set: nothing is judged"
    assert result.asset_materializations_for_node("alerts") == []
    loaded = "from flood_assets.definitions import build_defs; build_defs(); import sys; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in found if name.startswith("flood_assets.alerts")] == []


def test_an_api_that_is_away_is_one_alert_though_the_readings_fail(filled, rules):
    assert run_tick(filled).success
    moment = NOW
    with filled.server.away():
        for _ in range(5):
            moment += timedelta(minutes=15)
            result = run_tick(filled.at(moment))
            assert not result.success
    state = stored_alerts(filled.lake, moment)
    assert [alert.subject for alert in state.firing if alert.kind != "above"] == ["api"]


def test_wrong_rules_fail_no_run_and_are_an_error_of_the_check(filled, rules):
    rules.write_text('[[rule]]\nname = "it"\nabove = "high"')
    result = run_tick(filled)
    assert result.success
    check = check_of(result)
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "rule 'it': above is 'high': expected a number, such as 1.5" in check.metadata["reason"].value


def test_a_rule_that_chooses_nothing_warns(filled, rules):
    rules.write_text('[[rule]]\nname = "it"\nriver = "Styx"\nabove = 1')
    check = check_of(run_tick(filled))
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "rule 'it': no river is called 'Styx'" in check.metadata["reason"].value


def test_alerts_are_asked_for_only_where_there_are_rules():
    (request,) = refresh_requests(NOW, [NOW.replace(minute=0, second=0)], [NOW], alerts=True)
    assert request.asset_selection[-1] == dg.AssetKey("alerts")
