"""Dagster ingests what landed: when its sensor asks, what a run tells, and what the terminal does without a daemon."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._core.test_utils import create_run_for_test

from flood_assets.cli.main import main
from flood_assets.defs.assets.landed import POOL
from flood_assets.defs.assets.tables import API_POOL
from flood_assets.defs.sensors import landing_sensor
from flood_assets.lake.layout import key_of
from flood_assets.landing import batches
from flood_assets.landing.objects import Place as BatchPlace
from flood_assets.partitions import window_of
from flood_assets.query.status import look as look_at
from flood_assets.schemas import READINGS
from flood_assets_tests.conftest import HOUR, NOW, Place
from flood_assets_tests.support.pushing import batch_of, key_file, stored


@pytest.fixture(autouse=True)
def somebody_may_push(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOOD_API_KEYS", str(key_file(tmp_path)))


def look(place: Place) -> dg.RunRequest | str:
    context = dg.build_sensor_context(
        instance=place.instance,
        resources={"lake": place.lake_resource, "clock": place.clock},
        repository_def=place.defs.get_repository_def(),
    )
    data = landing_sensor.evaluate_tick(context)
    return data.run_requests[0] if data.run_requests else data.skip_message


def land(place: Place, id_: str = "one", value: float = 1.0) -> None:
    batches.land(place.lake.store, batch_of("acme", id_, [("acme:weir", place.now - HOUR, value)], place.now))


def test_the_sensor_asks_as_long_as_a_batch_waits_and_no_run_is_at_it(filled):
    assert look(filled) == "no batch waits"
    land(filled)
    assert look(filled).tags["flood_assets/reason"] == "1 batch to ingest"
    run = create_run_for_test(filled.instance, job_name="landing_job", status=dg.DagsterRunStatus.STARTED)
    assert look(filled) == f"ingestion {run.run_id} has not finished"
    filled.instance.delete_run(run.run_id)
    result = filled.run("landing_job", look(filled))
    assert result.success
    assert look(filled) == "no batch waits"
    (told,) = (
        event.step_materialization_data.materialization.metadata
        for event in result.all_events
        if event.is_step_materialization
    )
    assert (told["batches"].value, told["rows"].value, told["added"].value) == (1, 1, 1)
    assert stored(filled.lake, NOW)["acme:weir", NOW - HOUR]["first_seen_at"] == NOW
    assert all(check.passed for check in result.get_asset_check_evaluations())


def test_where_nobody_may_push_the_sensor_asks_the_lake_for_nothing(filled, tmp_path, monkeypatch):
    lines = key_file(tmp_path).read_text().splitlines()
    (tmp_path / "keys").write_text("\n".join(line for line in lines if "push" not in line))
    land(filled)
    monkeypatch.setattr(type(filled.lake_resource), "open", None)
    assert look(filled).startswith("nobody may push: no key of FLOOD_API_KEYS")
    monkeypatch.delenv("FLOOD_API_KEYS")
    assert look(filled).startswith("nobody may push")


def test_a_push_waits_for_no_run_at_the_api_and_is_looked_for_within_seconds():
    assert POOL != API_POOL
    assert landing_sensor.minimum_interval_seconds <= 10
    assert landing_sensor.default_status == dg.DefaultSensorStatus.RUNNING


def test_a_lake_that_cannot_be_read_is_a_reason_and_no_traceback(place, tmp_path):
    (tmp_path / "lake").write_text("a file")
    assert look(place).startswith("the lake could not be read: ")


def test_an_undecodable_batch_is_put_aside_and_told_until_it_is_a_day_old(filled):
    land(filled)
    filled.lake.store.put("landing/acme/broken", b"no gzip", replaces=None)
    result = filled.run("landing_job")
    assert result.success
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert check.metadata["kept_as"].value == "_quarantine/landing/acme/broken"
    assert batches.find(filled.lake.store, BatchPlace.of("acme", "broken")).state == "unreadable"
    assert ("acme:weir", NOW - HOUR) in stored(filled.lake, NOW), "the others are ingested"
    assert filled.lake.store.list("landing") == []

    # Receipts and what is put aside are as old as their objects.
    batches.expire(filled.lake.store, datetime.now(UTC) + timedelta(hours=23))
    assert len(filled.lake.store.list("receipts")) == 2
    filled.at(datetime.now(UTC) + timedelta(hours=25))
    assert filled.expire().success
    assert [filled.lake.store.list(folder) for folder in ("receipts", "_quarantine/landing")] == [[], []]


def test_a_damaged_window_is_a_reason_for_a_run_too(filled):
    land(filled)
    assert filled.run("landing_job").success
    window = window_of(NOW - HOUR)
    there = filled.lake.store.read(key_of(READINGS, window))
    filled.lake.store.put(key_of(READINGS, window), b"damage", replaces=there.meta)
    assert filled.tick().success
    assert ("acme:weir", NOW - HOUR) not in stored(filled.lake, NOW)
    request = look(filled)
    assert request.tags["flood_assets/reason"] == "1 damaged window to fill again"
    assert filled.run("landing_job", request).success
    assert ("acme:weir", NOW - HOUR) in stored(filled.lake, NOW)
    assert look(filled) == "no batch waits"


def test_the_status_tells_batches_that_nobody_ingests(filled):
    land(filled)
    told = [look_at(filled.lake, datetime.now(UTC) + timedelta(minutes=age)).faults for age in (50, 70)]
    found = ["1 pushed batch not ingested" in " ".join(faults) for faults in told]
    assert found == [False, True]


def test_what_waits_is_never_deleted(filled):
    land(filled)
    filled.at(datetime.now(UTC) + timedelta(hours=25))
    assert filled.expire().success
    assert len(filled.lake.store.list("landing")) == 1


@pytest.fixture
def terminal(filled, monkeypatch):
    """The commands over the place."""
    for name, value in filled.environ.items():
        if name.startswith("FLOOD"):
            monkeypatch.setenv(name, value)
    return lambda *words: CliRunner().invoke(main, words)


def test_the_command_ingests_and_says_what_became_of_it(filled, terminal):
    assert terminal("ingest").output == "0 batches ingested: nothing was to be done\n"
    land(filled, "one", 1.0)
    land(filled, "two", 2.0)
    done = terminal("ingest")
    assert (done.exit_code, done.output) == (
        0,
        "2 batches ingested: 1 added, 1 revised, 0 unchanged, 0 expired; 0 rows refused\n",
    )
    filled.lake.store.put("landing/acme/broken", b"no gzip", replaces=None)
    done = terminal("ingest")
    assert done.exit_code == 1
    assert "kept as _quarantine/landing/acme/broken" in done.output


def test_a_refresh_from_cron_ingests_too(filled, terminal):
    land(filled)
    done = terminal("refresh")
    assert done.exit_code == 0, done.output
    assert ("acme:weir", NOW - HOUR) in stored(filled.lake, NOW)
