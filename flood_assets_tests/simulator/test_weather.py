import numpy as np
import pytest

from flood_assets.simulator.network import Kind, Network
from flood_assets.simulator.weather import Weather

NETWORK = Network(1000, seed=2)
WEATHER = Weather(2, NETWORK.ground)
SIGNALS = NETWORK.block(1).signals
START = 1795219200  # 2026-11-21T00:00Z


def series(kind: Kind, days: int, step: int = 900, place: int = 0):
    which = np.flatnonzero(SIGNALS.kind == kind)[place]
    time = START + np.arange(0, days * 86400, step)
    return WEATHER.values(SIGNALS, np.full(time.size, which), time) / 1000


def correlation(a, b) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def test_values_do_not_depend_on_what_else_is_asked():
    which = np.arange(SIGNALS.number.size).repeat(96)
    time = np.tile(START + np.arange(96) * 900, SIGNALS.number.size)
    together = WEATHER.values(SIGNALS, which, time)
    fresh = Weather(2, NETWORK.ground)
    some = np.random.default_rng(0).permutation(which.size)[:500]
    assert (fresh.values(SIGNALS, which[some], time[some]) == together[some]).all()


def test_rain_falls_in_whole_tips_and_mostly_not_at_all():
    rain = np.concatenate([series(Kind.RAIN, 60, place=i) for i in range(8)])
    assert np.allclose(rain / 0.2, np.round(rain / 0.2))
    assert 0.7 < (rain == 0).mean() < 0.97
    assert 0.5 < rain.sum() / 8 / 60 < 10  # mm a day
    assert rain.min() == 0


def test_neighbouring_gauges_get_rain_at_the_same_time_and_distant_ones_less_so():
    time = START + np.arange(0, 60 * 86400, 3600)
    here, near, far = (
        WEATHER.intensity(np.full(time.size, x), np.full(time.size, y), time)
        for x, y in ((400.0, 300.0), (406.0, 304.0), (560.0, 90.0))
    )
    assert correlation(here, near) > 0.9
    assert correlation(here, far) < 0.4


def test_tides_turn_twice_a_day():
    tide = series(Kind.TIDE, 28, step=300)
    rising = np.diff(np.convolve(tide, np.ones(13) / 13, "valid")) > 0
    high_waters = (rising[:-1] & ~rising[1:]).sum()
    assert high_waters == pytest.approx(28 * 24 / 12.42, abs=2)


def test_a_flood_moves_down_the_river():
    hours = START + np.arange(0, 90 * 86400, 3600)
    signals = SIGNALS.take(np.zeros(3, dtype=np.int64))
    signals.river[:] = 5
    signals.share[:] = (0.13, 0.5, 0.87)
    up, _, down = (WEATHER._rise(signals, np.full(hours.size, i), hours) for i in range(3))
    lags = [correlation(up[: up.size - lag], down[lag:]) for lag in range(60)]
    assert 4 <= int(np.argmax(lags)) <= 59
    assert max(lags) > 0.6


def test_rivers_are_mostly_between_typical_low_and_high():
    rivers = np.flatnonzero((SIGNALS.kind == Kind.RIVER) & (SIGNALS.spoilt == 0) & (SIGNALS.factor == 1))
    time = START + np.arange(0, 90 * 86400, 6 * 3600)
    level = WEATHER.values(SIGNALS, rivers.repeat(time.size), np.tile(time, rivers.size)) / 1000
    share = (level - SIGNALS.low[rivers].repeat(time.size)) / SIGNALS.span[rivers].repeat(time.size)
    assert ((share > 0) & (share < 1)).mean() > 0.85
    assert (share > 1.2).any()


def test_groundwater_is_slow():
    assert np.abs(np.diff(series(Kind.GROUND, 10, step=3600))).max() < 0.05
