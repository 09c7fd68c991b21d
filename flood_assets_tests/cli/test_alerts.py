"""`flood-assets alerts` lists what is firing, and `alerts test` replays rules over the day."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from flood_assets.alerts.judging import judge_lake
from flood_assets.alerts.rules import read_rules
from flood_assets.cli.main import main
from flood_assets.lake.lake import Lake
from flood_assets.partitions import window_of
from flood_assets.schemas import MEASURES, STATIONS
from flood_assets_tests.support.lake_rows import NOW, QUARTER, fetched, snapshot

NEWEST = NOW.replace(minute=0, second=0)
RISING = [0.5] * 60 + [1.2] * 10 + [0.5] * 20 + [1.6] * 5
RULES = '[[rule]]\nname = "Mill high"\nstation = "Mill"\nabove = 1.0\n[[rule]]\nname = "quiet"\nsilent = true\n'


@pytest.fixture
def lake(tmp_path):
    lake = Lake.open(tmp_path / "lake")
    at = window_of(NOW)
    lake.put_snapshots(STATIONS, [at], snapshot(STATIONS, NOW, {"station_id": "S", "label": "Mill"}))
    measure = {"measure_id": "m", "station_id": "S", "parameter": "level", "unit": "mASD", "period_s": 900}
    lake.put_snapshots(MEASURES, [at], snapshot(MEASURES, NOW, measure))
    first = NEWEST - (len(RISING) - 1) * QUARTER
    rows = [("m", first + n * QUARTER, value) for n, value in enumerate(RISING)]
    lake.upsert_readings(fetched(*rows), NOW, NOW)
    (tmp_path / "rules.toml").write_text(RULES)
    return lake


@pytest.fixture
def run(lake, tmp_path, monkeypatch):
    monkeypatch.setenv("FLOOD_LAKE_URL", lake.url)
    monkeypatch.setenv("FLOOD_NOW", NOW.isoformat())

    def invoke(*words):
        result = CliRunner().invoke(main, ["alerts", *words])
        return result.exit_code, result.output

    return invoke


def test_a_replay_shows_when_a_rule_would_have_fired_and_changes_nothing(lake, run, tmp_path):
    before = [meta.key for meta in lake.store.list("")]
    code, out = run("test", str(tmp_path / "rules.toml"))
    assert code == 0
    moments = [line.split("  ")[:2] for line in out.splitlines() if re.match(r"\d{4}-", line)]
    assert [said.split(":")[0] for _, said in moments] == ["fires", "clears", "fires"]
    # Each reading counts half an hour after its time, as nobody saw when it came; the replay looks at 7, 22, ...
    second = NEWEST - (len(RISING) - 62) * QUARTER
    assert moments[0][0] == f"{second + timedelta(minutes=37):%Y-%m-%d %H:%MZ}"
    assert "not replayed, because only their present is known: quiet" in out
    assert "1 rule would have fired 2 times from" in out
    assert [meta.key for meta in lake.store.list("")] == before
    code, early = run("test", str(tmp_path / "rules.toml"), "--at", (NOW - timedelta(hours=4)).isoformat())
    assert "would have fired 1 time from" in early


def test_a_replay_of_another_day_is_refused(run, tmp_path):
    code, out = run("test", str(tmp_path / "rules.toml"), "--at", "2026-11-19T09:00:00Z")
    assert (code, "--at is 2026-11-19 09:00Z: readings are kept from 2026-11-20 09:07Z" in out) == (2, True)
    code, out = run("test", str(tmp_path / "none.toml"))
    assert (code, "cannot be read" in out) == (2, True)


def test_what_is_firing_is_listed_with_its_reason(lake, run, tmp_path):
    assert run() == (
        0,
        "no alerts were judged yet: set FLOOD_ALERTS to a file of rules, and run `flood-assets refresh`\n",
    )
    judge_lake(lake, read_rules(Path(tmp_path / "rules.toml")), NOW)
    code, out = run()
    assert code == 0
    assert "1 alert firing, judged at 2026-11-21 09:07Z. These alerts are made by rules of your own" in out
    assert "FIRING  Mill high: Mill, since 2026-11-21 08:00Z\n" in out
    assert "learnt late  Mill high: Mill, since" in out


def test_without_a_lake_there_is_an_error(run, monkeypatch, tmp_path):
    monkeypatch.setenv("FLOOD_LAKE_URL", str(tmp_path / "nowhere"))
    code, out = run()
    assert (code, "there is no lake at" in out) == (1, True)
