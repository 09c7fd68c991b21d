"""Test that the whole country has the volume, the lags and the oddities of the real one."""

import numpy as np
import pytest

from flood_assets.simulator.arrivals import NONE
from flood_assets.simulator.country import everything


@pytest.fixture(scope="module")
def latest(country):
    now = country.seconds
    return [(block, country.latest(block, everything(block), now)) for block in country.blocks]


@pytest.fixture(scope="module")
def yesterday(country):
    now = country.seconds
    midnight = now // 86400 * 86400
    return [
        (block, country.shown(block, everything(block), midnight - 86400, midnight, now)) for block in country.blocks
    ]


def test_a_day_has_the_volume_of_a_real_one(yesterday):
    assert 440_000 < sum(rows.time.size for _, rows in yesterday) < 520_000


def test_latest_has_as_many_readings_as_the_real_one(latest):
    assert 4_900 < sum(rows.time.size for _, rows in latest) < 5_700


def test_latest_is_as_old_as_the_real_one(country, latest):
    lag = country.seconds - np.concatenate([rows.time for _, rows in latest])
    assert 0.60 < (lag <= 15 * 60).mean() < 0.76
    assert 0.78 < (lag <= 4 * 3600).mean() < 0.90
    assert 0.97 < (lag <= 24 * 3600).mean() < 0.999
    assert (lag <= 7 * 86400).mean() > 0.98
    assert 7 * 86400 < lag.max() <= 28.6 * 86400


def test_some_times_are_off_the_grid(yesterday):
    off = np.concatenate([rows.time % 900 != 0 for _, rows in yesterday])
    assert 0.002 < off.mean() < 0.02


def test_two_values_and_no_value_are_rare(yesterday):
    second = np.concatenate([rows.second for _, rows in yesterday])
    value = np.concatenate([rows.value for _, rows in yesterday])
    assert 0.0001 < (second != NONE).mean() < 0.002
    assert 0 < (value == NONE).mean() < 0.0002


def test_some_sensors_are_spoilt(latest):
    spoilt = sum(int((block.signals.spoilt != 0).sum()) for block, _ in latest)
    assert 1 <= spoilt <= 20


def test_latest_of_the_country_looks_at_a_small_part_of_the_retained_readings(country, latest, monkeypatch):
    looked, valued = [], []
    arrivals = type(country._arrivals)
    slots, values = arrivals.slots, arrivals.valued

    def counted(*arguments):
        found = slots(*arguments)
        looked.append(found.measure.size)
        return found

    def computed(this, signals, found):
        valued.append(found.measure.size)
        return values(this, signals, found)

    monkeypatch.setattr(arrivals, "slots", counted)
    monkeypatch.setattr(arrivals, "valued", computed)
    now = country.seconds
    for block in country.blocks:
        country.latest(block, everything(block), now)
    of_a_day = [
        slots(country._arrivals, block.signals, everything(block), now - 86400, now).measure.size
        for block in country.blocks
    ]
    # Half a day's, where 28 days are retained, and the values of those only that are shown.
    assert sum(looked) < sum(of_a_day)
    assert sum(valued) == sum(rows.time.size for _, rows in latest)
