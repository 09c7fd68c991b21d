"""The shards of a network as partitions of one asset: one run fills all, and those that fail are told."""

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from flood_assets.definitions import build_defs
from flood_assets.definitions import defs as load
from flood_assets.defs.own_records import RETENTION, SHARDS
from flood_assets.defs.windows import FIRST, LAST
from flood_assets.lake.lake import Lake
from flood_assets.network import NetworkError
from flood_assets.schemas import READINGS
from flood_assets_tests.conftest import NOW, Place
from flood_assets_tests.support import proof

NAMES = ("level", "rain-fall")
ALL = {FIRST: NAMES[0], LAST: NAMES[-1]}


@pytest.fixture
def network(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    described = "".join(f'[[shard]]\nname = "{n}"\nparameter = "{n.replace("-", "")}"\n' for n in NAMES)
    (tmp_path / "network.toml").write_text(f'name = "england"\n{described}')
    for name, value in {
        "FLOOD_API_URL": place.api_url,
        "FLOOD_LAKE_URL": place.lake_url,
        "FLOOD_NOW": NOW.isoformat(),
        "FLOOD_NETWORK": str(tmp_path / "network.toml"),
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "lake"


def run(place: Place, job: str, tags=ALL) -> dg.ExecuteInProcessResult:
    made = load().resolve_job_def(job)
    return made.execute_in_process(instance=place.instance, tags=tags, raise_on_error=False)


def filled(result: dg.ExecuteInProcessResult) -> list[str | None]:
    events = result.get_asset_materialization_events()
    return [each.step_materialization_data.materialization.partition for each in events]


def status(place: Place, key: dg.AssetKey = SHARDS) -> dict[str, str]:
    found = place.instance.get_status_by_partition(key, NAMES, load().resolve_asset_graph().get(key).partitions_def)
    return {name: each.value for name, each in found.items() if each is not None}


def in_the_way(network: Path, name: str) -> Path:
    """Let nobody write the readings of a shard, for as long as this file is where their folder should be."""
    path = network / f"shard={name}" / "readings"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_one_run_fills_all_shards_with_a_materialization_and_checks_for_each(place, network):
    result = run(place, "refresh_job")
    assert result.success
    assert filled(result) == [*NAMES]
    (event, *_) = result.get_asset_materialization_events()
    told = event.step_materialization_data.materialization.metadata
    rows = len(Lake.open(f"{place.lake_url}/shard=level").read(READINGS, now=NOW))
    assert told["added"].value == rows
    assert {"expected", "missing", "not_fetched", "newest", "requests", "seconds"} <= set(told)
    checks = {each.check_name: each.passed for each in result.get_asset_check_evaluations()}
    assert checks == {
        f"{kind}_{n.replace('-', '_')}": True for n in NAMES for kind in ("fetched", "fresh", "undamaged")
    }
    assert status(place) == dict.fromkeys(NAMES, "MATERIALIZED")


def test_a_failed_shard_leaves_its_partition_failed_and_is_done_again_alone(on_disk, network, no_waiting):
    place = on_disk
    bad = in_the_way(network, "level")
    result = run(place, "refresh_job")
    assert not result.success
    assert [each.event_type_value for each in result.all_events if "RESTARTED" in each.event_type_value]
    assert sorted(filled(result)) == ["rain-fall"], "each once, though the step was tried again"
    (failure,) = [each for each in result.all_events if each.is_step_failure]
    said = failure.step_failure_data.user_failure_data.description
    assert said.startswith("1 shard failed, all others of this run are done: ")
    assert "level: readings failed: file://" in said
    assert status(place) == {**dict.fromkeys(NAMES, "MATERIALIZED"), "level": "FAILED"}
    bad.unlink()
    again = run(place, "refresh_job", {FIRST: "level", LAST: "level"})
    assert again.success
    assert filled(again) == ["level"]
    assert status(place) == dict.fromkeys(NAMES, "MATERIALIZED")
    assert {each.check_name for each in again.get_asset_check_evaluations()} == {
        "fetched_level", "fresh_level", "undamaged_level"
    }  # fmt: skip


def test_reconcile_and_the_cleanup_are_one_run_each(place, network, monkeypatch):
    assert run(place, "refresh_job").success
    monkeypatch.setenv("FLOOD_NOW", (NOW + timedelta(hours=3)).isoformat())
    place.at(NOW + timedelta(hours=3))
    assert filled(run(place, "reconcile_job")) == [*NAMES]
    monkeypatch.setenv("FLOOD_NOW", (NOW + timedelta(hours=6)).isoformat())
    assert filled(run(place, "retention_job")) == [*NAMES]
    assert not proof.past(Lake.open(f"{place.lake_url}/shard=level"), NOW + timedelta(hours=6))
    assert status(place, RETENTION) == dict.fromkeys(NAMES, "MATERIALIZED")


def test_schedules_ask_for_one_run_over_all_shards(place, network):
    defs = load()
    for schedule in defs.schedules:
        if schedule.name != "housekeeping_every_hour":
            context = dg.build_schedule_context(instance=place.instance, scheduled_execution_time=NOW)
            (request,) = schedule.evaluate_tick(context).run_requests
            assert {name: request.tags[name] for name in ALL} == ALL
    crons = {each.name: each.cron_schedule for each in defs.schedules}
    assert crons == {
        "refresh_every_15_minutes": "*/15 * * * *",
        "reconcile_every_6_hours": "7 1,7,13,19 * * *",
        "retention_every_hour": "22 * * * *",
        "housekeeping_every_hour": "41 * * * *",
    }
    node = defs.resolve_asset_graph().get(SHARDS)
    assert node.backfill_policy == dg.BackfillPolicy.single_run()
    assert node.assets_def.op.pool == "ea_api"


def test_shards_whose_checks_would_have_one_name_are_refused(network):
    file = network.parent / "network.toml"
    file.write_text(file.read_text() + '[[shard]]\nname = "rain_fall"\nparameter = "wind"\n')
    with pytest.raises(NetworkError, match="differ in - and _ only: rename one"):
        load()


def test_without_a_network_the_definitions_are_those_of_one_lake(monkeypatch):
    assert {each.key for each in load().assets if isinstance(each, dg.AssetsDefinition)} == {
        each.key for each in build_defs().assets if isinstance(each, dg.AssetsDefinition)
    }
