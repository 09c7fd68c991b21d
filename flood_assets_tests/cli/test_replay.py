"""`FLOOD_NOW`: a recording of any time can be replayed."""

from datetime import UTC, datetime, timedelta

import pytest

from flood_assets.cli.run import run
from flood_assets.lake.lake import Lake
from flood_assets.schemas import MEASURES, READINGS
from flood_assets_tests.conftest import QUARTER


@pytest.mark.parametrize("ahead", [False, True], ids=["old storm", "three hours ahead"])
def test_an_event_of_any_time_is_replayed(country, tmp_path, monkeypatch, capsys, ahead):
    moment = datetime.now(UTC) + timedelta(hours=3) if ahead else datetime(2023, 10, 20, 12, 7, tzinfo=UTC)
    lake_url = (tmp_path / "lake").as_uri()
    monkeypatch.setenv("FLOOD_API_URL", country.url)
    monkeypatch.setenv("FLOOD_LAKE_URL", lake_url)
    for now in (moment, moment + QUARTER):
        country.set_clock(now)
        monkeypatch.setenv("FLOOD_NOW", now.isoformat())
        run("refresh")
        told = capsys.readouterr().out
        assert "failed:" not in "".join(line for line in told.splitlines() if not line.startswith("check "))
    lake = Lake.open(lake_url)
    newest = max(lake.read(READINGS, now=now)["date_time"].to_pylist())
    assert now - timedelta(hours=1) < newest <= now
    assert lake.newest_snapshot(MEASURES, now) is not None
