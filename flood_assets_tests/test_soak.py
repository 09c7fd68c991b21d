"""A day of the soak, with few turns of the daemon and an API that is away for six hours: `make soak` lives seven."""

from pathlib import Path

import pytest

from flood_assets_tests import soak

pytestmark = pytest.mark.slow


@pytest.mark.timeout(600)
def test_a_day_with_an_api_that_was_away_keeps_all_promises(tmp_path: Path):
    setup = soak.Setup(days=1, stations=60, faulty_days={1}, hours=6, minutes=(7,))
    said: list[str] = []
    with soak.soaking(setup, tmp_path, said.append) as living:
        (day,) = living.live()
    assert soak.broken_promises(setup, [day]) == []
    assert day.checkpoints == 3
    assert day.readings > 4000
    # What was due while the API was away: gauges, readings and the reconcile.
    assert day.failed_runs == 3
    assert said[-1] == soak.row_of(day)


def test_a_reading_that_is_missing_breaks_a_promise():
    day = soak.Day(1, checkpoints=4, readings=100)
    assert soak.broken_promises(soak.Setup(), [day]) == []
    day.missing = 1
    assert soak.broken_promises(soak.Setup(), [day]) == ["day 1: missing is 1"]
