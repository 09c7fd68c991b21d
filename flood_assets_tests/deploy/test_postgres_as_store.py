"""Dagster's records in PostgreSQL, with the image's settings: ticks of the daemon, housekeeping, reads on a replica."""

import time
from datetime import timedelta

import dagster as dg
import pytest

from flood_assets.defs.housekeeping import HousekeepingConfig, prune
from flood_assets.lake.lake import Lake
from flood_assets.partitions import partition_key, window_of
from flood_assets.schemas import READINGS
from flood_assets_tests.conftest import NOW, Place
from flood_assets_tests.support.country import simulated_country
from flood_assets_tests.support.hurried import hurried_steps
from flood_assets_tests.support.soak import RECONCILE_HOURS, SENSOR_AFTER, START, Setup

pytest.importorskip("dagster_postgres", reason="not installed: the extra `deploy`, with `make setup`")
from flood_assets_tests.support import postgres_store

DAY = timedelta(days=1)


def materialized(instance: dg.DagsterInstance) -> list[tuple[str, str | None, float]]:
    """Return what the event log says of materializations, in order."""
    found = [
        record
        for key in instance.get_asset_keys()
        for record in instance.fetch_materializations(key, limit=1000).records
    ]
    return sorted((str(record.asset_key), record.partition_key or "", record.timestamp) for record in found)


def test_ticks_are_recorded_in_postgresql_and_read_on_its_replica(postgresql, place: Place, tmp_path):
    primary = postgresql.primary
    with postgres_store.open_daemon_on(primary, "ticks", tmp_path, place.api_url, place.at) as daemon:
        daemon.schedules(NOW)  # makes nothing up from before the daemon first saw it
        daemon.schedules(NOW + timedelta(minutes=8))
        assert [run.status for run in daemon.runs()] == [dg.DagsterRunStatus.SUCCESS] * 2
        lake = Lake.open((tmp_path / "lake").as_uri())
        assert len(lake.read(READINGS, now=NOW + timedelta(minutes=8))) > 1000
        recorded, runs = materialized(daemon.instance), {run.run_id for run in daemon.runs()}
        assert len({partition for _, partition, _ in recorded}) >= 24
        postgresql.caught_up()
        with postgres_store.reading(postgresql.replica, "ticks", tmp_path) as replica:
            assert materialized(replica) == recorded
            assert {run.run_id for run in replica.get_runs()} == runs
            readings = dg.AssetKey("readings")
            assert partition_key(window_of(NOW)) in replica.get_materialized_partitions(readings)
            assert (
                sum(len(replica.all_logs(run)) for run in runs) == postgres_store.rows(primary, "ticks")["event_logs"]
            )
            with pytest.raises(Exception, match="read-only transaction"):
                replica.delete_run(next(iter(runs)))
        # What remains after housekeeping is not of these runs.
        with daemon.at(NOW + 15 * DAY):
            assert prune(daemon.instance, NOW + 15 * DAY, HousekeepingConfig()) == len(runs)
        left = postgres_store.rows(primary, "ticks")
        assert {
            name: left[name] for name in ("runs", "run_tags", "event_logs", "asset_check_executions")
        } == dict.fromkeys(("runs", "run_tags", "event_logs", "asset_check_executions"), 0)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_day_of_ticks_on_postgresql(postgresql, tmp_path, capsys):
    """All that the daemon does in a day; housekeeping and the lake as on SQLite, and the replica holds all of it."""
    primary, began = postgresql.primary, time.monotonic()
    with (
        simulated_country(60) as country,
        hurried_steps(),
        postgres_store.open_daemon_on(
            primary, "day", tmp_path, country.url, country.set_clock, module="flood_assets_tests.support.hurried"
        ) as daemon,
    ):
        lake = Lake.open((tmp_path / "lake").as_uri())
        daemon.schedules(START - timedelta(minutes=1))
        compared = 0
        for moment in Setup(days=1).moments():
            daemon.schedules(moment)
            if moment.hour in RECONCILE_HOURS and moment.minute == 7:
                assert country.compare(lake, moment).none
                compared += 1
            daemon.sensors(moment + SENSOR_AFTER)
        assert compared == len(RECONCILE_HOURS)
        runs = daemon.runs()
        assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
        ticks = {
            run.tags["dagster/run_key"] for run in runs if run.tags.get("dagster/run_key", "").startswith("readings")
        }
        assert len(ticks) == 96
        rows, size = postgres_store.rows(primary, "day"), postgres_store.size(primary, "day")
        asked = time.monotonic()
        recorded = materialized(daemon.instance)
        asked = time.monotonic() - asked
        postgresql.caught_up()
        with postgres_store.reading(postgresql.replica, "day", tmp_path) as replica:
            assert materialized(replica) == recorded
            assert {run.run_id for run in replica.get_runs()} == {run.run_id for run in runs}
        pruned_at = START + 4 * DAY + timedelta(minutes=1)
        with daemon.at(pruned_at):
            pruning = time.monotonic()
            assert prune(daemon.instance, pruned_at, HousekeepingConfig()) == len(runs)
            pruning = time.monotonic() - pruning
        left = postgres_store.rows(primary, "day")
        assert [left[name] for name in ("runs", "event_logs", "asset_check_executions")] == [0, 0, 0]
    with capsys.disabled():
        print(
            f"\n{len(ticks)} ticks, {len(runs)} runs in {time.monotonic() - began:.0f} s; {size / 1e6:.1f} MB; "
            f"{dict(rows.most_common(8))}; read in {asked:.2f} s, pruned in {pruning:.1f} s"
        )
