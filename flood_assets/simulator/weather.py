"""Compute gauge values: moving fields of rain, floods that travel down rivers, tides, groundwater, wind, temperature.

Everything is a function of (seed, place, moment) and keeps no state but caches. `arrivals` decides when a value becomes
known and which errors it picks up on the way.
"""

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from flood_assets.simulator import geography
from flood_assets.simulator.cache import Cache
from flood_assets.simulator.chance import Floats, Ints, between, fractions, key, uniform, words
from flood_assets.simulator.network import Kind, Signals

DAY = 86400
_HOUR = 3600
_EPOCH = 3 * _HOUR  # in each, some cells of rain are born
_CELLS = 5
_LIVES = 14 * _HOUR  # the longest life of a cell
_EPOCHS = _LIVES // _EPOCH + 2  # a cell that is alive was born in one of these many epochs
_MEMORY = 10  # days of rain that a river remembers
_CACHED_DAYS = 45
_TIP = 0.2  # mm of rain in one tip of the bucket

# Hours and share of the M2 amplitude of the three largest tides.
_HARMONICS = ((12.4206012, 1.0), (12.0, 0.34), (12.65834824, 0.19))


class Weather:
    """Weather of one seed: values of any measures at any moments."""

    def __init__(self, seed: int, ground: geography.Ground) -> None:
        self._seed = seed
        self._keys = {
            name: key(seed, name)
            for name in ("rain", "wet", "tips", "noise", "slow", "flashy", "wind", "warmth", "season")
        }
        rivers = np.repeat(np.arange(geography.RIVERS), geography.REACHES)
        share = np.tile((np.arange(geography.REACHES) + 0.5) / geography.REACHES, geography.RIVERS)
        easting, northing = geography.to_grid(*reversed(ground.along(rivers, share)))
        self._reach_x, self._reach_y = easting / 1000, northing / 1000
        self._kernels = self._hydrographs()
        self._rain_of: Cache[int, Floats] = Cache(_CACHED_DAYS, self._rain)
        self._rise_of: Cache[int, Floats] = Cache(_CACHED_DAYS, self._risen)
        self._by_kind: dict[Kind, Callable[[Signals, Ints, Ints], Floats]] = {
            Kind.RIVER: self._level,
            Kind.FLOW: self._flow,
            Kind.TIDE: self._tide,
            Kind.GROUND: self._ground,
            Kind.RAIN: self._gauge,
            Kind.TIP: lambda _, which, __: np.full(which.size, _TIP),
            Kind.RAIN_TOTAL: self._total,
            Kind.WIND: self._wind,
            Kind.DIRECTION: self._direction,
            Kind.WARMTH: self._warmth,
            Kind.POOL: self._pool,
        }

    def values(self, signals: Signals, which: Ints, time: Ints) -> Ints:
        """Return values in thousandths of the measure's unit; `which` indexes `signals`, `time` is in s."""
        value = np.zeros(which.size)
        kinds = signals.kind[which]
        for kind in np.flatnonzero(np.bincount(kinds)).tolist():
            rows = np.flatnonzero(kinds == kind)
            value[rows] = self._by_kind[Kind(kind)](signals, which[rows], time[rows])
        scaled = value * signals.factor[which] + signals.spoilt[which]
        return np.rint(scaled * 1000).astype(np.int64)

    # ---- rain

    def intensity(self, x: Floats, y: Floats, time: Ints) -> Floats:
        """Return rain in mm/h at points (km on the National Grid)."""
        if time.size == 0:
            return np.zeros(0)
        epoch = time // _EPOCH
        first = int(epoch.min()) - _EPOCHS + 1
        cells = self._cells(np.arange(first, int(epoch.max()) + 1, dtype=np.int64))
        rain = np.zeros(time.size)
        newest = (epoch - first) * _CELLS
        for back in range(_EPOCHS * _CELLS):
            cell = newest + (_CELLS - 1 - back)
            age = (time - cells[0, cell]) / cells[1, cell]
            alive = np.flatnonzero((age > 0) & (age < 1))
            if alive.size == 0:
                continue
            born, _, x0, y0, u, v, across, along, cos, sin, peak = cells[:, cell[alive]]
            age = age[alive]
            hours = (time[alive] - born) / _HOUR
            east = x[alive] - x0 - u * hours
            north = y[alive] - y0 - v * hours
            ahead = (east * cos + north * sin) / across
            beside = (north * cos - east * sin) / along
            rain[alive] += peak * 4 * age * (1 - age) * np.exp(-0.5 * (ahead * ahead + beside * beside))
        # The west and the north are hilly; a drizzle below the threshold evaporates.
        hills = 0.75 + 0.5 * np.clip((450 - x) / 400, 0, 1) + 0.3 * np.clip((y - 300) / 300, 0, 1)
        return np.maximum(rain - 0.06, 0) * hills

    def _cells(self, epochs: Ints) -> Floats:
        """Return the properties of the rain cells born in some epochs: shape (11, epochs * cells)."""
        number = (epochs[:, None] * _CELLS + np.arange(_CELLS)).ravel()
        draw = uniform(self._keys["rain"], number[:, None], np.arange(10)).T
        spell = uniform(self._keys["wet"], number // (_CELLS * 20))  # wet and dry spells of sixty hours
        turn = np.pi * (0.1 - 0.5 * draw[8])
        return np.stack([
            (number // _CELLS + draw[0]) * _EPOCH,
            (6 + 8 * draw[1]) * _HOUR,
            -250 + 750 * draw[2],
            -50 + 650 * draw[3],
            15 + 40 * draw[4],
            -8 + 30 * draw[5],
            12 + 28 * draw[6],
            30 + 90 * draw[7],
            np.cos(turn),
            np.sin(turn),
            (0.15 + 1.7 * spell**2) * 3.5 * draw[9] ** 2,
        ])  # fmt: skip

    def _gauge(self, s: Signals, which: Ints, time: Ints) -> Floats:
        """Return the rain (mm, whole tips) of the period that ends at `time`."""
        return self.tips(s, which, time).astype(np.float64) * _TIP

    def tips(self, s: Signals, which: Ints, time: Ints) -> Ints:
        """Count the bucket's tips in the period that ends at `time`."""
        period = s.period[which]
        caught = self.intensity(s.x[which], s.y[which], time - period // 2) * period / _HOUR
        # The remainder in the bucket is treated as random.
        full = np.floor(caught / _TIP + uniform(self._keys["tips"], s.number[which], time))
        return np.where(caught > 0, full, 0).astype(np.int64)

    def _total(self, s: Signals, which: Ints, time: Ints) -> Floats:
        start = between(0, 300, self._keys["slow"], s.number[which])
        days = time / DAY % 365.25
        return np.floor((start + 2.2 * days + 1.1 * np.sin(days)) / _TIP) * _TIP

    # ---- rivers

    def _hydrographs(self) -> Floats:
        """Return the hourly response of each reach to rain: rows sum to 1, newest hour last."""
        reach = np.tile(np.arange(geography.REACHES), geography.RIVERS)
        flashy = between(0.5, 1.8, self._keys["flashy"], np.repeat(np.arange(geography.RIVERS), geography.REACHES))
        slowness = (2.5 + 4.5 * reach) * flashy
        hours = np.arange(_MEMORY * 24, dtype=np.float64)[::-1]
        kernel = (hours + 0.5) ** 1.3 * np.exp(-hours / slowness[:, None])
        return np.asarray(kernel / kernel.sum(axis=1, keepdims=True))

    def _rain(self, day: int) -> Floats:
        """Return rain in mm/h over each reach and its upstream area, for the 24 hours of a day."""
        time = (day * DAY + np.arange(24) * _HOUR + _HOUR // 2).astype(np.int64)
        reaches = self._reach_x.size
        rain = self.intensity(np.repeat(self._reach_x, 24), np.repeat(self._reach_y, 24), np.tile(time, reaches))
        rain = rain.reshape(geography.RIVERS, geography.REACHES, 24)
        above = rain.cumsum(axis=1) / np.arange(1, geography.REACHES + 1)[:, None]
        return np.asarray(above.reshape(reaches, 24))

    def _risen(self, day: int) -> Floats:
        """Return the response of each reach to ten days of rain, at the 25 full hours of a day."""
        rain = np.concatenate([self._rain_of[d] for d in range(day - _MEMORY, day + 1)], axis=1)
        windows = sliding_window_view(rain, _MEMORY * 24, axis=1)[:, :25]
        return np.asarray(np.einsum("rhj,rj->rh", windows, self._kernels))

    def _rise(self, s: Signals, which: Ints, time: Ints) -> Floats:
        """Return the rise of rivers: 0 after a long drought, around 1 after usual rain, 4 in a flood."""
        day = time // DAY
        days, row = np.unique(day, return_inverse=True)
        hours = np.stack([self._rise_of[d] for d in days.tolist()])  # (days, reaches, 25)
        second = time - day * DAY
        hour = second // _HOUR
        part = (second - hour * _HOUR) / _HOUR
        place = np.clip(s.share[which] * geography.REACHES - 0.5, 0, geography.REACHES - 1.001)
        reach = place.astype(np.int64)
        lower = place - reach
        reach += s.river[which] * geography.REACHES
        flat = hours.ravel()
        at = (row * hours.shape[1] + reach) * 25 + hour
        upstream = flat[at] * (1 - part) + flat[at + 1] * part
        at += 25
        downstream = flat[at] * (1 - part) + flat[at + 1] * part
        return _risen(upstream * (1 - lower) + downstream * lower, time)

    def rises(self, day: int) -> Floats:
        """Return the rise at the middle of each reach, as of `_rise`, at the 24 full hours of a day."""
        return _risen(self._rise_of[day][:, :24], day * DAY + np.arange(24) * _HOUR)

    def _noise(self, s: Signals, which: Ints, time: Ints) -> Floats:
        """Return ripples of some millimetres, the same for all levels of a station."""
        return (uniform(self._keys["noise"], s.station[which], time) - 0.5) * 0.006

    def _level(self, s: Signals, which: Ints, time: Ints) -> Floats:
        rise = self._rise(s, which, time)
        return s.low[which] + s.span[which] * 0.55 * rise**0.62 + self._noise(s, which, time)

    def _flow(self, s: Signals, which: Ints, time: Ints) -> Floats:
        rise = self._rise(s, which, time)
        ripple = 1 + self._noise(s, which, time)
        return (s.low[which] + s.span[which] * 0.4 * rise**1.4) * ripple

    def _pool(self, s: Signals, which: Ints, time: Ints) -> Floats:
        return s.low[which] + s.span[which] * (0.7 + self._drift(s, which, time)) + self._noise(s, which, time) / 4

    # ---- sea, ground and air

    def _tide(self, s: Signals, which: Ints, time: Ints) -> Floats:
        hours = time / _HOUR
        turn = s.turn[which]
        height = s.low[which] + self._noise(s, which, time) * 3
        surge = self._drift(s, which, time)
        for period, share in _HARMONICS:
            height = height + s.span[which] * share * np.cos(2 * np.pi / period * hours - turn)
        return height + 0.6 * surge

    def _drift(self, s: Signals, which: Ints, time: Ints) -> Floats:
        """Return each station's own slow swing, within about -0.3 to 0.3."""
        days = time / DAY
        swing = np.zeros(which.size)
        for i, period in enumerate((5.3, 13.7, 41.0)):
            start = uniform(self._keys["slow"], s.station[which], np.array([i]))
            swing += 0.1 * np.sin(2 * np.pi * (days / period + start))
        return swing

    def _ground(self, s: Signals, which: Ints, time: Ints) -> Floats:
        lag = between(20, 110, self._keys["season"], s.station[which])
        year = np.cos((time / DAY - lag) * (2 * np.pi / 365.25))
        swing = 0.5 * year + 0.15 * self._drift(s, which, time)
        return s.low[which] + s.span[which] * swing + self._noise(s, which, time) / 3

    def _wind(self, s: Signals, which: Ints, time: Ints) -> Floats:
        days = time / DAY - s.x[which] / 1200  # weather comes from the west
        blows = 5.5 + 3.2 * np.sin(days * 1.9) + 1.6 * np.sin(days * 5.3 + s.y[which] / 90)
        gusts = 3 * uniform(self._keys["wind"], s.station[which], time) ** 2
        return np.maximum(blows, 0.1) + gusts

    def _direction(self, s: Signals, which: Ints, time: Ints) -> Floats:
        days = time / DAY - s.x[which] / 1200
        swing = 70 * np.sin(days * 1.3) + 20 * uniform(self._keys["wind"], s.number[which], time)
        return np.asarray(np.floor((225 + swing) % 360))

    def _warmth(self, s: Signals, which: Ints, time: Ints) -> Floats:
        year = -6.5 * np.cos((time / DAY - 25) * (2 * np.pi / 365.25))
        day = -3.5 * np.cos((time % DAY / DAY - 0.16) * (2 * np.pi))
        days = time / DAY - s.x[which] / 1200
        spell = 2.5 * np.sin(days * 0.9) + fractions(words(self._keys["warmth"], s.number[which], time)) * 0.3
        return np.asarray(np.round(10.2 - s.y[which] / 250 + year + day + spell, 1))


def _risen(response: Floats, time: Ints) -> Floats:
    """Return the rise that follows from the response to rain and from the season."""
    season = 0.12 * (1 + np.cos((time / DAY - 30) * (2 * np.pi / 365.25)))
    rise = response / 0.16 + season
    return np.asarray(rise / (1 + rise / 40))  # the largest floods leave the banks and rise less
