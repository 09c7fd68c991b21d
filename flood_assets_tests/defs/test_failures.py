"""Our own errors in Dagster's words."""

import dagster as dg
import pytest

from flood_assets.defs.failures import explained
from flood_assets.defs.windows import WindowError
from flood_assets.ea.http import NotFoundError
from flood_assets.errors import ClockError, FloodAssetsError, LakeError, SettingsError, SourceError
from flood_assets.lake.failure import RunFailure
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import FAILURE
from flood_assets.lake.parquet import DamagedWindowError
from flood_assets_tests.conftest import NOW, failure_of
from flood_assets_tests.support.lake_rows import put_raw


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (SourceError("the API is away"), True),
        (NotFoundError("there is no such measure"), True),
        (LakeError("the bucket is away"), True),
        (DamagedWindowError("file:///lake/readings", "no footer"), True),
        (SettingsError("FLOOD_API_URL is 'x'"), False),
        (ClockError("the clock is wrong"), False),
        (WindowError("window x is not available"), False),
        (FloodAssetsError("something else"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_error_is_told_by_its_message_and_tried_again_only_where_that_can_help(error, again):
    with pytest.raises(dg.Failure) as failure, explained():
        raise error
    assert failure.value.description == str(error)
    assert failure.value.allow_retries is again
    assert failure.value.__cause__ is error


def test_a_fault_of_the_program_stays_what_it_is():
    with pytest.raises(ZeroDivisionError), explained():
        1 / 0  # noqa: B018


@pytest.mark.parametrize("stop", [dg.DagsterExecutionInterruptedError, KeyboardInterrupt])
def test_a_run_that_is_told_to_stop_does_not_try_again(stop):
    tries = []

    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=2))
    def asked() -> None:
        tries.append(1)
        with explained():
            raise stop

    result = dg.materialize([asked], raise_on_error=False)
    assert not result.success
    assert len(tries) == 1
    assert failure_of(result).startswith("the run was stopped")


def test_a_step_that_failed_is_remembered_in_the_lake(place):
    place.server.set_faults([{"match": "id/stations", "kind": "status", "status": 400, "times": 0}])
    place.tick(snapshot=True)
    assert place.lake.last_failure() == RunFailure("stations", NOW.replace(microsecond=0))


def test_a_lake_that_failed_is_not_asked_once_more(place, monkeypatch):
    def away(*_):
        raise LakeError("the bucket is away")

    monkeypatch.setattr(Lake, "claim", away)
    assert not place.tick(snapshot=True).success
    assert place.lake.last_failure() is None


def test_a_refresh_of_another_api_is_not_a_failure_of_this_lake(place):
    place.lake.claim("http://another.example/api")
    assert not place.tick(snapshot=True).success
    assert place.lake.last_failure() is None


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"step": "readings"}', b'{"step": 1, "at_ms": "x"}'])
def test_a_record_that_cannot_be_understood_is_none(place, data):
    put_raw(place.lake, FAILURE, data)
    assert place.lake.last_failure() is None
    place.lake.record_failure("readings", NOW)
    assert place.lake.last_failure().step == "readings"
