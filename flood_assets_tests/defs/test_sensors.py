"""When the sensor asks for a cleanup."""

from datetime import timedelta

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from flood_assets.defs.sensors import retention_sensor
from flood_assets.partitions import window_of
from flood_assets_tests.conftest import HOUR, NOW, Place
from flood_assets_tests.support.s3 import s3_server  # noqa: F401 - a fixture


def look(place: Place) -> dg.RunRequest | str:
    """What the sensor says: a request, or why there is none."""
    context = dg.build_sensor_context(
        instance=place.instance,
        resources={"lake": place.lake_resource, "clock": place.clock},
        repository_def=place.defs.get_repository_def(),
    )
    data = retention_sensor.evaluate_tick(context)
    return data.run_requests[0] if data.run_requests else data.skip_message


def test_it_skips_while_nothing_is_older_than_a_day(filled):
    assert look(filled) == "nothing in the lake is older than 24 hours"


def test_it_skips_for_an_empty_lake(place):
    assert look(place) == "nothing in the lake is older than 24 hours"


def test_it_asks_when_the_window_that_the_cutoff_crosses_holds_rows_past_it(filled):
    filled.at(NOW + timedelta(minutes=20))
    request = look(filled)
    assert request.tags["flood_assets/reason"] == "windows to clean up: 1, the oldest 2026-10-14-09:00"
    assert request.run_key is None


def test_it_asks_when_a_snapshot_has_expired(filled):
    filled.at(window_of(NOW) + 25 * HOUR)
    assert "windows to clean up: " in look(filled).tags["flood_assets/reason"]


def test_what_it_asks_for_cleans_up_and_then_it_skips(filled):
    filled.at(NOW + 3 * HOUR)
    assert filled.run("retention_job", look(filled)).success
    assert look(filled) == "nothing in the lake is older than 24 hours"


@pytest.mark.parametrize(
    "status",
    [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED],
)
def test_it_skips_while_a_cleanup_is_under_way(filled, status):
    run = create_run_for_test(filled.instance, job_name="retention_job", status=status)
    filled.at(NOW + 3 * HOUR)
    assert look(filled) == f"cleanup {run.run_id} has not finished"


@pytest.mark.parametrize(
    "status", [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.SUCCESS]
)
def test_it_asks_again_after_a_cleanup_that_left_something(filled, status):
    create_run_for_test(filled.instance, job_name="retention_job", status=status)
    filled.at(NOW + 3 * HOUR)
    assert isinstance(look(filled), dg.RunRequest)
    assert isinstance(look(filled), dg.RunRequest)


def test_other_runs_do_not_keep_it_from_asking(filled):
    create_run_for_test(filled.instance, job_name="refresh_job", status=dg.DagsterRunStatus.STARTED)
    filled.at(NOW + 3 * HOUR)
    assert isinstance(look(filled), dg.RunRequest)


def test_a_lake_that_cannot_be_reached_is_a_reason_to_skip(place, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    place.lake_url = (tmp_path / "file" / "lake").as_uri()
    assert look(place).startswith("the lake could not be read: ")


def test_a_wrong_setting_is_a_reason_to_skip_with_the_remedy(place):
    place.lake_url = "x3://bucket"
    assert "FLOOD_LAKE_URL is 'x3://bucket'" in look(place)


def test_it_sees_a_lake_in_s3(place, s3_server, monkeypatch):  # noqa: F811
    for name, value in s3_server.environ.items():
        monkeypatch.setenv(name, value)
    place.lake_url = "s3://flood-lake/sensor"
    place.lake_settings = {"endpoint_url": s3_server.endpoint_url, "region_name": s3_server.region_name}
    assert place.tick(snapshot=True).success
    assert look(place) == "nothing in the lake is older than 24 hours"
    place.at(NOW + 3 * HOUR)
    assert place.run("retention_job", look(place)).success
    assert look(place) == "nothing in the lake is older than 24 hours"


def test_it_looks_every_quarter_of_an_hour_and_starts_by_itself():
    assert retention_sensor.minimum_interval_seconds == 900
    assert retention_sensor.default_status == dg.DefaultSensorStatus.RUNNING
