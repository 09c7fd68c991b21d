"""Test one soak day with few daemon turns and a six-hour API outage; `make soak` simulates seven days."""

from pathlib import Path

import pytest

from flood_assets_tests.support import soak

pytestmark = pytest.mark.long


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


def test_what_grows_breaks_a_promise_once_it_had_its_full_size():
    days = [soak.Day(number, checkpoints=4, readings=100, dagster_bytes=10**6 * number) for number in range(1, 8)]
    assert soak.broken_promises(soak.Setup(), days[:4]) == []
    (broken,) = soak.broken_promises(soak.Setup(), days[:5])
    assert broken == "dagster_bytes grew from 4,000,000 on day 4 to 5,000,000 on day 5"
    days[6].memory_bytes, days[6].records = 10, {"runs.runs": 3}
    assert len(soak.broken_promises(soak.Setup(), days)) == 3
    assert soak.broken_promises(soak.Setup(faulty_days={2}), days) == [
        "memory_bytes grew from 0 on day 2 to 10 on day 7"
    ]
