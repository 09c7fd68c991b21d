"""When what is asked for: the ticks of the schedules."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from flood_assets.definitions import build_defs
from flood_assets.defs.jobs import tick as requests_of_a_tick
from flood_assets.defs.jobs import whole_day
from flood_assets.defs.schedules import housekeeping_every_hour, reconcile_every_6_hours, refresh_every_15_minutes
from flood_assets.errors import LakeError
from flood_assets.lake.lake import Lake
from flood_assets.partitions import partition_key, retained_windows, window_of
from flood_assets.schemas import MEASURES, READINGS, STATIONS
from flood_assets_tests.conftest import HOUR, NOW, QUARTER, Place, StoppedClock, failure_of

RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def tick(
    schedule: dg.ScheduleDefinition, moment: datetime, place: Place, now: datetime | None = None
) -> list[dg.RunRequest]:
    """Evaluate a tick of a schedule when it is due, or at `now`."""
    clock = StoppedClock(moment=(now or moment).isoformat())
    with dg.build_schedule_context(
        instance=place.instance,
        resources={"clock": clock, "lake": place.lake_resource},
        scheduled_execution_time=moment,
        repository_def=place.defs.get_repository_def(),
    ) as context:
        return schedule.evaluate_tick(context).run_requests


def keys(*names: str) -> list[dg.AssetKey]:
    return [dg.AssetKey(name) for name in names]


def snapshot(place: Place, window: datetime) -> None:
    for asset in ("stations", "measures"):
        assert place.materialize(asset, window).success


def gauges(requests: list[dg.RunRequest]) -> list[str]:
    """The newest window for which a snapshot is asked for."""
    return [r.tags[RANGE[1]] for r in requests if dg.AssetKey("measures") in (r.asset_selection or [])]


@pytest.mark.parametrize(
    ("moment", "first", "last"),
    [
        ("2026-11-21 00:00", "2026-11-20-00:00", "2026-11-21-00:00"),
        ("2026-11-21 00:15", "2026-11-20-00:00", "2026-11-21-00:00"),
        ("2026-11-21 23:45", "2026-11-20-23:00", "2026-11-21-23:00"),
        ("2026-11-30 23:45", "2026-11-29-23:00", "2026-11-30-23:00"),
        ("2026-12-01 00:00", "2026-11-30-00:00", "2026-12-01-00:00"),
        ("2027-01-01 00:30", "2026-12-31-00:00", "2027-01-01-00:00"),
        # Both days on which British clocks change: windows are UTC.
        ("2027-03-28 01:15", "2027-03-27-01:00", "2027-03-28-01:00"),
        ("2026-10-25 01:15", "2026-10-24-01:00", "2026-10-25-01:00"),
    ],
)
def test_a_tick_asks_for_the_readings_of_the_25_windows_of_the_day(moment, first, last, on_disk):
    *_, request = tick(refresh_every_15_minutes, utc(moment), on_disk)
    assert request.asset_selection == keys("readings", "completeness", "conditions", "warnings")
    assert tuple(request.tags[name] for name in RANGE) == (first, last)
    assert request.run_config == {"ops": {"readings": {"config": {"incremental": True}}}}
    assert request.partition_key is None


@pytest.mark.parametrize(("sinks", "publishes"), [("kinesis://s", True), ("wrong", True), (" ", False)])
def test_a_tick_publishes_if_sinks_are_named_right_or_wrong(sinks, publishes, on_disk, monkeypatch):
    monkeypatch.setenv("FLOOD_PUBLISH", sinks)
    *_, request = tick(refresh_every_15_minutes, utc("2026-11-21 09:15"), on_disk)
    assert (dg.AssetKey("published") in request.asset_selection) == publishes


def test_a_tick_without_a_readable_lake_asks_for_the_last_steps_too(on_disk, monkeypatch, tmp_path):
    monkeypatch.setenv("FLOOD_ALERTS", str(tmp_path / "rules.toml"))
    monkeypatch.setenv("FLOOD_PUBLISH", "kinesis://s")

    def unreadable(*_):
        raise LakeError("away")

    monkeypatch.setattr(Lake, "windows", unreadable)
    (request,) = tick(refresh_every_15_minutes, utc("2026-11-21 09:15"), on_disk)
    last = ("alerts", "published")
    assert request.asset_selection == keys("readings", "completeness", "conditions", "warnings", *last)


def test_a_tick_by_british_summer_time_is_the_same_moment(on_disk):
    moment = datetime(2026, 10, 20, 1, 0, tzinfo=UTC)
    summer = moment.astimezone(datetime.strptime("+0100", "%z").tzinfo)
    assert tick(refresh_every_15_minutes, summer, on_disk) == tick(refresh_every_15_minutes, moment, on_disk)


def test_the_first_tick_of_all_takes_a_snapshot_first_for_the_whole_day(on_disk):
    snapshot, readings = tick(refresh_every_15_minutes, utc("2026-11-21 09:45"), on_disk)
    assert [snapshot.tags[name] for name in RANGE] == ["2026-11-20-09:00", "2026-11-21-09:00"]
    assert snapshot.asset_selection == keys("stations", "measures", "warning_areas")
    assert snapshot.run_key != readings.run_key


def test_a_snapshot_is_taken_once_an_hour(on_disk: Place):
    place = on_disk
    taken = []
    for number in range(9):
        moment = NOW.replace(minute=0, second=0) + number * QUARTER
        due = gauges(tick(refresh_every_15_minutes, moment, place))
        taken.append(len(due))
        if due:
            snapshot(place.at(moment + timedelta(seconds=20)), window_of(moment))
    assert taken == [1, 0, 0, 0, 1, 0, 0, 0, 1]


def test_a_snapshot_that_was_missed_or_failed_is_made_up_for_by_the_next_tick(on_disk):
    snapshot(on_disk, window_of(NOW))
    hour = window_of(NOW) + HOUR
    for minutes in (0, 15, 30):
        due = gauges(tick(refresh_every_15_minutes, hour + timedelta(minutes=minutes), on_disk))
        assert due == [partition_key(hour)]


@pytest.mark.parametrize("hours", [1, 5, 24, 25, 72])
def test_a_due_snapshot_fills_every_retained_window_after_the_last_one(on_disk, hours):
    snapshot(on_disk, window_of(NOW))
    moment = window_of(NOW) + hours * HOUR
    request, _ = tick(refresh_every_15_minutes, moment, on_disk)
    first = max(window_of(NOW) + HOUR, retained_windows(moment)[0])
    assert [request.tags[name] for name in RANGE] == [partition_key(first), partition_key(moment)]


def test_a_cleanup_makes_no_further_snapshot_due(on_disk):
    snapshot(on_disk, window_of(NOW))
    moment = window_of(NOW) + 25 * HOUR
    on_disk.at(moment + timedelta(seconds=20))
    snapshot(on_disk, moment)
    # An event of the cleanup, newer than that of today's snapshot.
    assert on_disk.expire().success
    assert gauges(tick(refresh_every_15_minutes, moment + QUARTER, on_disk)) == []


def test_a_snapshot_that_a_person_took_of_an_older_window_does_not_stand_for_this_hours(on_disk):
    snapshot(on_disk, window_of(NOW))
    older = window_of(NOW) - 3 * HOUR
    snapshot(on_disk, older)
    assert gauges(tick(refresh_every_15_minutes, NOW.replace(minute=15), on_disk)) == []
    assert gauges(tick(refresh_every_15_minutes, NOW.replace(minute=15) + HOUR, on_disk)) != []


def lists(requests: list[dg.RunRequest]) -> list[dg.AssetKey]:
    """The lists that are asked for before the readings."""
    return [key for request in requests[:-1] for key in request.asset_selection]


def test_flood_areas_are_listed_once_a_day_and_again_until_it_succeeds(on_disk):
    areas = keys("warning_areas")
    assert lists(tick(refresh_every_15_minutes, NOW, on_disk)) == keys("stations", "measures", "warning_areas")
    assert on_disk.run("refresh_job", asset_selection=areas).success
    snapshot(on_disk, window_of(NOW))
    assert lists(tick(refresh_every_15_minutes, NOW + QUARTER, on_disk)) == []
    for hour in (1, 2, 12, 21, 22, 23, 24):
        snapshot(on_disk.at(NOW + hour * HOUR), window_of(NOW) + hour * HOUR)
        due = lists(tick(refresh_every_15_minutes, NOW + hour * HOUR, on_disk))
        assert due == ([] if hour < 22 else areas), "the old list has not expired yet"
    (request, _) = tick(refresh_every_15_minutes, on_disk.now, on_disk)
    assert on_disk.run("refresh_job", request).success
    assert lists(tick(refresh_every_15_minutes, on_disk.now + QUARTER, on_disk)) == []


def test_reconcile_asks_for_the_whole_day_and_leaves_the_reading_to_the_asset(on_disk):
    moment = utc("2026-11-21 07:07")
    (request,) = tick(reconcile_every_6_hours, moment, on_disk)
    assert {name: request.tags[name] for name in RANGE} == whole_day(moment)
    assert not request.run_config


def test_a_reconcile_that_a_daemon_makes_up_for_hours_late_is_over_the_day_that_can_still_be_had(on_disk):
    due, late = utc("2026-11-21 07:07"), utc("2026-11-21 12:50")
    (request,) = tick(reconcile_every_6_hours, due, on_disk, now=late)
    assert {name: request.tags[name] for name in RANGE} == whole_day(late)
    assert request.run_key == tick(reconcile_every_6_hours, due, on_disk)[0].run_key


def test_housekeeping_asks_for_one_run_without_settings(on_disk):
    (request,) = tick(housekeeping_every_hour, utc("2026-11-21 07:41"), on_disk)
    assert not request.run_config


def test_each_tick_has_run_keys_of_its_own_so_that_a_repeated_tick_launches_nothing_twice(on_disk):
    for schedule in (refresh_every_15_minutes, reconcile_every_6_hours, housekeeping_every_hour):
        first, again, next_one = (
            {request.run_key for request in tick(schedule, utc(f"2026-11-21 {time}"), on_disk)}
            for time in ("07:00", "07:00", "07:15")
        )
        assert first == again
        assert None not in first
        assert not first & next_one


def test_what_a_tick_asks_for_is_what_the_jobs_can_do(on_disk):
    place = on_disk
    for request in tick(refresh_every_15_minutes, NOW.replace(minute=0, second=0), place):
        result = place.run("refresh_job", request)
        assert result.success
    (request,) = tick(reconcile_every_6_hours, NOW.replace(second=0), place)
    assert place.run("reconcile_job", request).success
    (request,) = tick(housekeeping_every_hour, NOW, place)
    assert place.run("housekeeping_job", request).success


def test_all_start_by_themselves():
    schedules = build_defs().schedules
    assert len(schedules) == 3
    assert all(schedule.default_status == dg.DefaultScheduleStatus.RUNNING for schedule in schedules)


def test_reconcile_and_housekeeping_do_not_meet_a_tick():
    minutes = {schedule.name: schedule.cron_schedule.split()[0] for schedule in build_defs().schedules}
    assert minutes == {
        "refresh_every_15_minutes": "*/15",
        "reconcile_every_6_hours": "7",
        "housekeeping_every_hour": "41",
    }


def test_a_snapshot_of_measures_without_stations_is_asked_for_again(on_disk):
    assert on_disk.materialize("measures", window_of(NOW)).success
    assert gauges(tick(refresh_every_15_minutes, NOW, on_disk)) == [partition_key(window_of(NOW))]


def test_a_new_lake_gets_its_snapshots_although_dagster_has_recorded_some_of_another(on_disk: Place, tmp_path):
    snapshot(on_disk, window_of(NOW))
    on_disk.lake_url = (tmp_path / "another").as_uri()
    snapshots, readings = tick(refresh_every_15_minutes, NOW.replace(second=0), on_disk)
    assert [snapshots.tags[name] for name in RANGE] == [readings.tags[name] for name in RANGE]
    for request in (snapshots, readings):
        assert on_disk.run("refresh_job", request).success
    for table in (STATIONS, MEASURES, READINGS):
        assert [stored.window for stored in on_disk.lake.windows(table)] == retained_windows(NOW)


def test_the_terminal_and_the_schedule_request_the_same(on_disk: Place):
    for moment in (NOW, NOW + HOUR):
        on_disk.at(moment)
        scheduled = tick(refresh_every_15_minutes, moment, on_disk)
        in_the_terminal = requests_of_a_tick(on_disk.lake, moment)
        assert [(r.asset_selection, {name: r.tags[name] for name in RANGE}, r.run_config) for r in scheduled] == [
            (r.asset_selection, r.tags, r.run_config) for r in in_the_terminal
        ]
        for request in in_the_terminal:
            assert on_disk.run("refresh_job", request).success


@pytest.mark.parametrize("schedule", [refresh_every_15_minutes, reconcile_every_6_hours])
def test_a_lake_that_follows_a_stream_is_skipped(on_disk: Place, schedule):
    on_disk.lake.claim("kinesis://flood-readings")
    with dg.build_schedule_context(
        instance=on_disk.instance,
        resources={"clock": StoppedClock(moment=NOW.isoformat()), "lake": on_disk.lake_resource},
        scheduled_execution_time=NOW,
        repository_def=on_disk.defs.get_repository_def(),
    ) as context:
        found = schedule.evaluate_tick(context)
    assert found.run_requests == []
    assert "`flood-assets consume kinesis://flood-readings` fills it" in found.skip_message


@pytest.mark.parametrize("url", ["x3://bucket", "file"], ids=["a wrong setting", "a lake that cannot be listed"])
def test_a_lake_that_cannot_be_listed_is_reported_by_the_run(on_disk: Place, tmp_path, url):
    (tmp_path / "file").write_text("not a folder")
    on_disk.lake_url = url if "://" in url else (tmp_path / url / "lake").as_uri()
    (request,) = tick(refresh_every_15_minutes, NOW, on_disk)
    assert request.asset_selection == keys("readings", "completeness", "conditions", "warnings")
    told = failure_of(on_disk.run("refresh_job", request))
    assert "FLOOD_LAKE_URL is 'x3://bucket'" in told or str(tmp_path / "file") in told
