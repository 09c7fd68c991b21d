"""The functions on a schedule do what the commands do, under Lambda's own runtime, in the time that they have."""

import subprocess
import sys
from datetime import timedelta

import pyarrow.compute as pc
import pytest

from flood_assets import functions
from flood_assets.defs.jobs import tick
from flood_assets.errors import SettingsError
from flood_assets.lake.lake import Lake
from flood_assets.lake.read import load
from flood_assets.schemas import COMPLETENESS, CONDITIONS, READINGS, STATIONS, TABLES, Table
from flood_assets_tests.conftest import HOUR, NOW, QUARTER, Place
from flood_assets_tests.support.lake_rows import fetched
from flood_assets_tests.support.lambda_runtime import function
from flood_assets_tests.support.quick_dagster import copy_folder

MINUTE = timedelta(minutes=1)
SCHEDULED = {"version": "0", "detail-type": "Scheduled Event", "source": "aws.scheduler", "detail": {}}


class Context:
    """The time that is left, as a function of Lambda is told."""

    def __init__(self, *seconds: float) -> None:
        self._seconds = list(seconds)

    def get_remaining_time_in_millis(self) -> int:
        return int(1000 * (self._seconds.pop(0) if len(self._seconds) > 1 else self._seconds[0]))


@pytest.fixture
def other(place: Place, tmp_path, monkeypatch) -> Lake:
    """A lake for the functions, beside that of the place."""
    lake = Lake.open((tmp_path / "of-lambda").as_uri())
    monkeypatch.setenv("FLOOD_API_URL", place.api_url)
    monkeypatch.setenv("FLOOD_LAKE_URL", lake.url)
    return lake


def contents(lake: Lake, *tables: Table) -> dict:
    """All rows of all windows, expired or not; of all tables, if none is named."""
    return {
        (table.name, each.window): load(lake.store, table, each.key).file.read().to_pylist()
        for table in tables or TABLES.values()
        for each in lake.windows(table)
    }


def refreshed(moment, monkeypatch, context=None) -> dict:
    monkeypatch.setenv("FLOOD_NOW", moment.isoformat())
    return functions.refresh(SCHEDULED, context)


def reconciled(moment, monkeypatch, context=None) -> dict:
    monkeypatch.setenv("FLOOD_NOW", moment.isoformat())
    return functions.reconcile(SCHEDULED, context)


def environ_of(place: Place, lake: Lake) -> dict:
    return {**place.environ, "FLOOD_LAKE_URL": lake.url}


@pytest.mark.parametrize("call", [functions.refresh, functions.reconcile, functions.expire])
def test_a_network_is_refused_and_not_filled_as_one_lake(other, monkeypatch, call):
    monkeypatch.setenv("FLOOD_NETWORK", "england.toml")
    with pytest.raises(SettingsError, match=r"FLOOD_NETWORK is 'england.toml', and functions fill one lake"):
        call(SCHEDULED, None)
    assert other.store.list("") == []


def test_no_dagster_is_imported():
    told = "import sys; import flood_assets.functions, flood_assets.tick.steps, flood_assets.serve.opening; "
    told += "import flood_assets.consume.consumer; print([n for n in sys.modules if n.startswith('dagster')])"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_after_ticks_both_lakes_are_equal(place, other, monkeypatch):
    """The first tick, the next one, and one after half a day without any."""
    for moment in (NOW, NOW + QUARTER, NOW + 13 * HOUR):
        place.at(moment)
        if moment > NOW:
            place.run("retention_job")
        for request in tick(place.lake, moment):
            assert place.run("refresh_job", request).success
        place.at(moment)
        told = refreshed(moment, monkeypatch)
        assert {"readings", "completeness", "conditions", "warnings"} <= told["done"].keys()
        assert contents(other) == contents(place.lake)
    assert told["done"]["expire"]["deleted_rows"] > 0
    assert told["done"]["readings"]["added"] > 0


def test_a_reconcile_finds_what_dagsters_does_and_no_tick_does(filled, other, monkeypatch, tmp_path):
    old = filled.lake.read(READINGS, now=NOW).filter(
        pc.field("date_time") == NOW.replace(minute=0, second=0) - 5 * HOUR
    )
    wrong = [(id_, at, -99.0) for id_, at in zip(*(old[key].to_pylist() for key in READINGS.key), strict=True)]
    filled.lake.upsert_readings(fetched(*wrong), NOW, NOW)
    copy_folder(tmp_path / "lake", tmp_path / "of-lambda")
    filled.at(NOW + MINUTE)
    assert filled.expire().success
    assert filled.tick().success
    assert filled.reconcile().success
    filled.at(NOW + MINUTE)
    assert refreshed(NOW + MINUTE, monkeypatch)["done"]["readings"]["revised"] == 0
    told = reconciled(NOW + MINUTE, monkeypatch)["done"]
    assert list(told) == ["readings", "completeness", "conditions"]
    assert told["readings"]["revised"] == len(wrong) > 0
    tables = (READINGS, COMPLETENESS, CONDITIONS)
    assert contents(other, *tables) == contents(filled.lake, *tables)


def test_a_reconcile_that_fails_says_so_and_counts_and_judges_nothing(filled, other, monkeypatch, tmp_path):
    copy_folder(tmp_path / "lake", tmp_path / "of-lambda")
    before = contents(other)
    filled.at(NOW).server.set_faults([{"match": "data/readings", "kind": "status", "status": 400, "times": 0}])
    with pytest.raises(functions.StepsFailedError, match=r"^readings failed: "):
        reconciled(NOW, monkeypatch)
    assert contents(other) == before
    told = reconciled(NOW, monkeypatch, Context(19))
    assert {*told["left"], *told["skipped"]} == {"readings", "completeness", "conditions"}


def test_under_the_runtime_of_lambda_ticks_are_taken_and_errors_told(place, other):
    pytest.importorskip("awslambdaric", reason="not installed: pip install awslambdaric")
    with function("refresh", environ_of(place, other)) as call:
        first = call(SCHEDULED)
        assert first.error is None, first.error
        assert first.result["done"]["stations"]["listed"] == 40
        assert first.result["done"]["readings"]["added"] == len(other.read(READINGS, now=NOW))
        again = call(SCHEDULED)
        assert again.result["done"]["readings"]["added"] == 0
        place.server.set_faults([{"match": "data/readings", "kind": "status", "status": 400, "times": 0}])
        failed = call(SCHEDULED)
        assert failed.error["errorType"] == "StepsFailedError"
        assert "readings failed: " in failed.error["errorMessage"]
    assert other.last_failure().step == "readings"


def test_what_does_not_need_the_readings_goes_on_without_them(place, other, monkeypatch):
    refreshed(NOW, monkeypatch)
    place.at(NOW + QUARTER).server.set_faults([{"match": "data/readings", "kind": "status", "status": 400, "times": 0}])
    with pytest.raises(functions.StepsFailedError, match=r"^readings failed: "):
        refreshed(NOW + QUARTER, monkeypatch)
    window = other.newest_snapshot(TABLES["warnings"], NOW + QUARTER)
    assert max(window["observed_at"].to_pylist()) == NOW + QUARTER


def test_no_step_is_begun_without_time_for_it_and_the_next_call_goes_on(place, other, monkeypatch):
    told = refreshed(NOW, monkeypatch, Context(60, 60, 60, 60, 19))
    assert "stations" in told["done"]
    assert "readings" in told["left"]
    assert {"completeness", "conditions"} <= {*told["left"], *told["skipped"]}
    assert other.windows(READINGS) == []
    assert other.windows(STATIONS)
    told = refreshed(NOW, monkeypatch, Context(60))
    assert "left" not in told
    assert place.tick(snapshot=True).success
    assert contents(other) == contents(place.lake)


@pytest.mark.slow
def test_a_call_that_is_killed_is_completed_by_the_next(place, other, monkeypatch):
    pytest.importorskip("awslambdaric", reason="not installed: pip install awslambdaric")
    environ = environ_of(place, other)
    for after_s in (1.2, 1.6):
        with function("refresh", environ) as call:
            call(SCHEDULED, kill_after_s=after_s)
    refreshed(NOW, monkeypatch)
    assert place.tick(snapshot=True).success
    assert contents(other) == contents(place.lake)


def test_a_wrong_lake_is_refused(place, other, monkeypatch):
    other.claim("https://another.example/api")
    with pytest.raises(Exception, match=r"another\.example"):
        refreshed(NOW, monkeypatch)


def test_expire_deletes_archives_and_tells(place, other, monkeypatch, tmp_path):
    refreshed(NOW, monkeypatch)
    rows = len(other.read(READINGS, now=NOW))
    monkeypatch.setenv("FLOOD_NOW", (NOW + timedelta(hours=25)).isoformat())
    (tmp_path / "away").write_bytes(b"")
    monkeypatch.setenv("FLOOD_ARCHIVE", str(tmp_path / "away"))
    with pytest.raises(Exception, match="windows of readings are not archived, and stay"):
        functions.expire(SCHEDULED, None)
    assert other.windows(STATIONS) == []
    monkeypatch.setenv("FLOOD_ARCHIVE", "archive")
    assert functions.expire(SCHEDULED, None)["archived_rows"] == rows
    assert functions.expire(SCHEDULED, None)["archived_rows"] == 0
    assert other.windows(READINGS) == []


def test_publish_wants_a_sink_and_raises_while_one_is_away(place, other, monkeypatch):
    refreshed(NOW, monkeypatch)
    with pytest.raises(Exception, match="nothing to publish to: set FLOOD_PUBLISH"):
        functions.publish(SCHEDULED, None)
    monkeypatch.setenv("FLOOD_PUBLISH", "http://127.0.0.1:9/")
    with pytest.raises(functions.SinksAwayError, match="waiting"):
        functions.publish(SCHEDULED, None)


def test_a_sink_that_is_away_fails_a_tick_only_when_changes_wait_for_two(place, other, monkeypatch):
    monkeypatch.setenv("FLOOD_PUBLISH", "http://127.0.0.1:9/")
    assert refreshed(NOW, monkeypatch)["done"]["published"]["waiting"] > 0
    place.at(NOW + 2 * QUARTER)
    with pytest.raises(functions.StepsFailedError, match=r"^published failed: http.* waiting for half an hour"):
        refreshed(NOW + 2 * QUARTER, monkeypatch)
