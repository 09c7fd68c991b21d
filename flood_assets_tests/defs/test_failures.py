"""Our own errors in Dagster's words."""

import dagster as dg
import pytest

from flood_assets.defs.assets.common import WindowError
from flood_assets.defs.failures import explained
from flood_assets.ea.http import NotFoundError
from flood_assets.errors import ClockError, FloodAssetsError, LakeError, SettingsError, SourceError
from flood_assets.lake.parquet import DamagedWindowError
from flood_assets_tests.conftest import failure_of


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (SourceError("the API is away"), True),
        (NotFoundError("there is no such measure"), True),
        (LakeError("the bucket is away"), True),
        (DamagedWindowError("file:///lake/readings", "no footer"), True),
        (SettingsError("FLOOD_API_URL is 'x'"), False),
        (ClockError("the clock is wrong"), False),
        (WindowError("window x cannot be had"), False),
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
    assert failure_of(result).startswith("the run was told to stop")
