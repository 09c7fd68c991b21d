"""The dashboard is what its code builds; a real Prometheus that scrapes a real server answers all of its queries."""

import json
import re
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from flood_assets.lake.cursor import Part, advance
from flood_assets.lake.lake import Lake
from flood_assets.ledger.account import take
from flood_assets.query.alerts import Alerts, update_alerts
from flood_assets_tests.support.prometheus import scraping, serving, wait_for
from flood_assets_tests.support.promtool import MONITORING, RULES, alarms
from flood_assets_tests.support.seven_gauges import NOW, fill

BOARD = MONITORING / "grafana" / "flood_assets.json"
_METRIC = re.compile(r"\b(?:flood_assets|process)_\w+")


def panels() -> Iterator[tuple[str, str]]:
    """Yield the title and the query of each panel, for the environment `test`."""
    for panel in json.loads(BOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$environment", "test")


def test_the_dashboard_is_what_its_code_builds():
    """Write it anew with `python -m deploy.monitoring.dashboard`."""
    pytest.importorskip("grafana_foundation_sdk", reason="grafana-foundation-sdk is not installed")
    from deploy.monitoring import dashboard  # noqa: PLC0415 - it needs the same

    assert dashboard.build() == BOARD.read_text(encoding="utf-8")


def test_every_panel_has_queries_and_a_unit():
    board = json.loads(BOARD.read_text())
    shown = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert len(shown) > 20
    for panel in shown:
        assert panel["targets"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
    assert len({panel["title"] for panel in shown}) == len(shown)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake of which nothing is unknown: it has been counted, judged, and published to one sink."""
    lake = Lake.open(tmp_path / "lake")
    fill(lake)
    take(lake, NOW).store(lake)
    advance(lake.store, "a-sink", {NOW.replace(minute=0, second=0): Part()}, NOW)
    update_alerts(lake, lambda _: (Alerts(judged_at=NOW), None))
    return tmp_path / "lake"


def test_a_real_prometheus_answers_every_query_and_judges_every_rule(lake, tmp_path):
    with (
        serving(tmp_path, {"FLOOD_LAKE_URL": str(lake), "FLOOD_NOW": NOW.isoformat()}) as (target, server),
        scraping(tmp_path, target) as prometheus,
    ):
        for _ in range(2):
            urllib.request.urlopen(f"http://{target}/api/v1/latest").read()
        part = 'flood_assets_http_requests_total{part="metrics"}'
        wait_for(lambda: prometheus.query(f"rate({part}[5m])"), "two scrapes")
        text = urllib.request.urlopen(f"http://{target}/metrics").read().decode()
        exposed = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
        exposed |= {name + suffix for name in exposed for suffix in ("_bucket", "_count", "_sum")}
        for title, query in panels():
            assert set(_METRIC.findall(query)) <= exposed, title
            assert prometheus.query(query), (title, query)

        # The rules ask for nothing that is not there, and Prometheus can judge them.
        asked = set(_METRIC.findall(RULES.read_text())) - {"flood_assets"}
        assert asked - exposed == set()
        rules = wait_for(lambda: _judged(prometheus.ask("rules")), "all rules are judged")
        assert {rule["health"] for rule in rules} == {"ok"}
        assert set(alarms()) <= {rule["name"] for rule in rules}

        server.send_signal(signal.SIGTERM)
        server.wait(30)
        wait_for(lambda: "FloodAssetsServerDown" in _pending(prometheus), "the server is missed")


def _judged(found: dict | None) -> list[dict] | None:
    rules = [rule for group in found["groups"] for rule in group["rules"]] if found else []
    return rules if rules and all(rule["health"] != "unknown" for rule in rules) else None


def _pending(prometheus) -> set[str]:
    return {alert["labels"]["alertname"] for alert in (prometheus.ask("alerts") or {"alerts": []})["alerts"]}
