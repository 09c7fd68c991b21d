"""The rules of docs/alerts.md are read, choose gauges of the demo, and can be replayed."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from flood_assets.alerts.evidence import gather
from flood_assets.alerts.rules import KINDS, read_rules
from flood_assets.alerts.targets import read_targets
from flood_assets.cli.main import main
from flood_assets.lake.lake import Lake
from flood_assets_tests.conftest import NOW

PAGE = Path(__file__).parents[2] / "docs" / "alerts.md"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    blocks = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    made = tmp_path_factory.mktemp("rules") / "alerts.toml"
    made.write_text("\n".join(blocks))
    return made


def test_each_rule_of_the_page_chooses_gauges_of_the_demo(demo_lake, file):
    rules = read_rules(file)
    evidence = gather(Lake.open(demo_lake), rules, NOW)
    assert evidence.notes == ()
    chosen = {rule.name: len(evidence.chosen[rule.name]) for rule in rules if rule.kind not in ("warning", "api_late")}
    assert len(chosen) >= 5
    assert [name for name, count in chosen.items() if not count] == []
    assert [target.kind for target in read_targets(file)] == ["alertmanager", "sink", "sink", "apprise"]


def test_the_rules_of_the_page_are_replayed(demo_lake, file, monkeypatch):
    monkeypatch.setenv("FLOOD_LAKE_URL", demo_lake.as_uri())
    monkeypatch.setenv("FLOOD_NOW", NOW.isoformat())
    result = CliRunner().invoke(main, ["alerts", "test", str(file)])
    assert result.exit_code == 0, result.output
    assert re.search(r"4 rules would have fired \d+ times? from", result.output)


def test_the_page_names_every_kind_of_rule():
    page = PAGE.read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"`{kind}`" not in page] == []
