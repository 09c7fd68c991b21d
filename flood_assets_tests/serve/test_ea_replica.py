"""A refresh from a served lake fills an equal one, also while the served one goes on changing."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from flood_assets import query
from flood_assets.cli.run import run
from flood_assets.lake.lake import Lake
from flood_assets.schemas import MEASURES, READINGS, STATIONS, WARNING_AREAS, WARNINGS
from flood_assets.simulator import Simulator, serve
from flood_assets_tests.support.listening import listening

QUARTER = timedelta(minutes=15)
# What says when and by whom a row was asked for, and what it was before.
OURS = {
    "observed_at",
    "first_seen_at",
    "changed_at",
    "previous_value",
    "revision",
    "previous_severity_level",
    "left_at",
}


class Clock:
    """The time of the source, of the server and of both refreshes."""

    def __init__(self, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.set(now)

    def set(self, now: datetime) -> None:
        self.now = now
        self._monkeypatch.setenv("FLOOD_NOW", now.isoformat())

    def refresh(self, api_url: str, lake: Path, command: str = "refresh") -> None:
        self._monkeypatch.setenv("FLOOD_API_URL", api_url)
        self._monkeypatch.setenv("FLOOD_LAKE_URL", str(lake))
        assert run(command) == 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(datetime(2026, 11, 29, 9, 7, 30, tzinfo=UTC), monkeypatch)


def given(rows: pa.Table, key: tuple[str, ...]) -> list[dict]:
    """What the source said of each, in order."""
    kept = [name for name in rows.column_names if name not in OURS]
    return rows.select(kept).sort_by([(name, "ascending") for name in key]).to_pylist()


def contents(folder: Path, now: datetime) -> dict[str, list[dict]]:
    lake = Lake.open(folder)
    lists = {table: lake.newest_snapshot(table, now) for table in (STATIONS, MEASURES, WARNING_AREAS)}
    warned = query.warnings(lake, now, in_force=False).rows
    # A warning that has left the list is known to those alone who saw it there.
    tables = {**lists, READINGS: lake.read(READINGS, now=now), WARNINGS: warned.filter(pc.is_null(warned["left_at"]))}
    return {table.name: given(rows, table.key) for table, rows in tables.items()}


@pytest.mark.slow
def test_a_replica_is_equal_also_while_the_first_lake_goes_on_changing(clock, tmp_path, caplog):
    first, replica = tmp_path / "first", tmp_path / "replica"
    caplog.set_level(logging.WARNING, "flood_assets")
    with serve(Simulator(stations=150, seed=1, now=lambda: clock.now)) as source:
        clock.refresh(source.url, first)
        before = contents(first, clock.now)
        assert min(map(len, before.values())) > 0
        assert any("|" in (row["raw_value"] or "") for row in before["readings"])
        with listening(first, clock.now) as served:
            url = f"{served.url}/flood-monitoring"
            clock.refresh(url, replica)
            assert contents(replica, clock.now) == before
            for _ in range(2):
                clock.set(clock.now + QUARTER)
                served.now = clock.now
                clock.refresh(source.url, first)
                served.watcher.look()
                clock.refresh(url, replica)
                after = contents(first, clock.now)
                assert contents(replica, clock.now) == after
                assert after["readings"] != before["readings"]
                before = after
            clock.refresh(url, replica, "reconcile")
            assert contents(replica, clock.now) == after
    assert [each.message for each in caplog.records if "suspect" in each.message or "checks" in each.message] == []
