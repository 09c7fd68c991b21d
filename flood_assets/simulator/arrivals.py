"""Generate the readings and the moment the API starts to show each: polls, uploads, outages, delays, corrections.

`Arrivals.readings` returns all readings of some measures and a span of time as columns, shown or not; each is a
function of (seed, measure, time). `country` decides what is shown at a moment; `weather` makes the values.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from flood_assets.simulator.chance import Bools, Ints, Words, below, fractions, key, words
from flood_assets.simulator.network import Kind, Signals
from flood_assets.simulator.weather import Weather

AHEAD = 1200  # seconds by which a reading may be dated later than the moment it is first shown
NEVER = np.int64(2**62)
NONE = np.int64(-(2**62))  # stands for a missing value

_WEEK, _MONTH = 7 * 86400, 28 * 86400
_HOUR = 3600

# Fate of a reading: upper bounds of its first random number.
_DROPPED = 0.0025
_LATE = _DROPPED + 0.0030
_CORRECTED = _LATE + 1 / 3000
_DOUBLED = _CORRECTED + 0.0002
_MISSING = _DOUBLED + 0.00005
_SPIKED = _MISSING + 0.00002


@dataclass(frozen=True)
class Readings:
    """Readings as columns, one element each; the few corrections have columns of their own.

    Attributes:
        measure: index of the measure in its block.
        time: the reading's dateTime, seconds since 1970.
        value: in thousandths, `NONE` where the API has no value.
        second: a second value of the same reading, mostly `NONE`.
        arrival: moment from which it is shown.
        corrected: rows of the above that are corrected later.
        correct: the corrected value.
        correct_from: moment from which the corrected value is shown.
        correct_until: moment at which the old value comes back.
    """

    measure: Ints
    time: Ints
    value: Ints
    second: Ints
    arrival: Ints
    corrected: Ints
    correct: Ints
    correct_from: Ints
    correct_until: Ints


@dataclass(frozen=True)
class Slots:
    """Readings before their values are known; `draw` decides the fate of each."""

    measure: Ints
    time: Ints
    arrival: Ints
    draw: Words

    def keep(self, rows: Bools | Ints) -> "Slots":
        """Return the selected rows."""
        return Slots(self.measure[rows], self.time[rows], self.arrival[rows], self.draw[rows])


class _Quiet(NamedTuple):
    """Silence of a station: its readings arrive afterwards, or never."""

    measure: int
    start: int
    end: int
    held: bool


class Arrivals:
    """Readings of one seed."""

    def __init__(self, seed: int, weather: Weather) -> None:
        self._weather = weather
        self._keys = {
            name: key(seed, name)
            for name in ("fate", "delay", "batch", "ahead", "outage", "silence", "event", "correction")
        }

    def readings(self, signals: Signals, which: Ints, start: int, end: int) -> Readings:
        """Return all readings with start <= time < end of the measures that `which` selects in `signals`."""
        return self.valued(signals, self.slots(signals, which, start, end))

    def slots(self, signals: Signals, which: Ints, start: int, end: int) -> Slots:
        """Return the readings of `readings` without values, ordered by period, then by time."""
        which = which[~signals.dead[which]]
        parts = [
            self._regular(signals, which[signals.period[which] == period], period, start, end)
            for period in np.unique(signals.period[which]).tolist()
        ]
        if not parts:
            none = np.zeros(0, dtype=np.int64)
            return Slots(none, none, none, none.astype(np.uint64))
        if len(parts) == 1:
            return parts[0]
        return Slots(*(np.concatenate(column) for column in zip(*map(_columns, parts), strict=True)))

    def _regular(self, s: Signals, which: Ints, period: int, start: int, end: int) -> Slots:
        slot = np.arange(start // period - 1, -(-end // period) + 1, dtype=np.int64)
        due = slot[:, None] * period
        time = due + s.phase[which]
        draw = words(self._keys["fate"], s.number[which], due)
        happens = fractions(draw) >= _DROPPED
        for gauge in np.flatnonzero(s.kind[which] == Kind.TIP).tolist():
            tips, time[:, gauge] = self._tipped(s, which[gauge], due[:, 0])
            happens[:, gauge] &= tips > 0
        arrival = self._arrival(s, which, time, draw)
        for quiet in self._quiet(s, which, start, end):
            rows = (time[:, quiet.measure] >= quiet.start) & (time[:, quiet.measure] < quiet.end)
            if quiet.held:
                arrival[rows, quiet.measure] = np.maximum(arrival[rows, quiet.measure], quiet.end + 120)
            else:
                happens[rows, quiet.measure] = False
        happens &= (time >= start) & (time < end)
        row, column = np.nonzero(happens)
        return Slots(which[column], time[row, column], arrival[row, column], draw[row, column])

    def _tipped(self, s: Signals, gauge: int, due: Ints) -> tuple[Ints, Ints]:
        """Return the tips of event gauges per quarter of an hour, with their times; nothing while it is dry."""
        rows = np.full(due.size, gauge, dtype=np.int64)
        moment = due + below(895, words(self._keys["event"], s.number[rows], due))
        return self._weather.tips(s, rows, due), moment

    def _arrival(self, s: Signals, which: Ints, time: Ints, draw: Words) -> Ints:
        """Return the moment at which a poll or an upload brings each reading."""
        jitter = words(self._keys["delay"], s.number[which], time)
        again = np.where(below(1000, jitter, 20) < 25, 900, 0)  # one poll in forty fails: the next one brings two
        arrival: Ints = time + s.uploaded[which] + below(180, jitter) + again
        uploads = np.flatnonzero(s.upload[which])
        if uploads.size:
            arrival[:, uploads] = self._batch(s, which[uploads], time[:, uploads])
        for column in np.flatnonzero(s.ahead[which]).tolist():
            hurry = words(self._keys["ahead"], s.number[which[[column]]], time[:, column] // (6 * _HOUR))
            early = below(900, words(self._keys["ahead"], time[:, column])) + 300
            arrival[:, column] = np.where(below(2, hurry) == 1, time[:, column] - early, arrival[:, column])
        fate = fractions(draw)
        late = (fate >= _DROPPED) & (fate < _LATE)
        rows = np.nonzero(late)
        arrival[rows] += 2 * _HOUR + below(9 * _HOUR, words(self._keys["delay"], time[rows], s.number[which[rows[1]]]))
        return arrival

    def _batch(self, s: Signals, which: Ints, time: Ints) -> Ints:
        """Return the moment of the upload that carries each reading; a whole batch arrives in the same second."""
        every = s.upload[which]
        number = -((s.uploaded[which] - time - 120) // every)
        luck = words(self._keys["batch"], s.station[which], number)
        failed = below(100, luck, 20) < 3
        return np.asarray((number + failed) * every + s.uploaded[which] + below(240, luck))

    def _quiet(self, s: Signals, which: Ints, start: int, end: int) -> list[_Quiet]:
        """Return the outages (hours) and silences (days to weeks) of stations that overlap a span of time."""
        found = []
        for name, every, share, shortest, longest in (
            ("outage", _WEEK, 0.035, _HOUR, 30 * _HOUR),
            ("silence", _MONTH, 0.022, 2 * 86400, 27 * 86400),
        ):
            spans = np.arange(start // every - 1, end // every + 1, dtype=np.int64)
            draw = words(self._keys[name], s.station[which], spans[:, None])
            for row, column in zip(*np.nonzero(fractions(draw) < share), strict=True):
                more = words(self._keys[name], np.full(3, draw[row, column]).view(np.int64), np.arange(3))
                at, length, held = fractions(more).tolist()
                begin = int(spans[row] * every + at * every)
                until = begin + int(shortest + (longest - shortest) * length**2)
                if begin < end and until > start:
                    found.append(_Quiet(int(column), begin, until, name == "outage" and held < 0.6))
        return found

    def valued(self, signals: Signals, slots: Slots) -> Readings:
        """Add values, second values and corrections to slots."""
        value = self._weather.values(signals, slots.measure, slots.time)
        second = np.full(value.size, NONE)
        fate = fractions(slots.draw)
        odd = np.flatnonzero((fate < _SPIKED) & (fate >= _LATE) | signals.twofold[slots.measure])
        more = words(self._keys["correction"], slots.draw[odd].view(np.int64))
        rainy = np.isin(signals.kind[slots.measure[odd]], (Kind.RAIN, Kind.RAIN_TOTAL, Kind.TIP))
        step = np.where(rainy, 200 * (1 + below(4, more, 8)), 5 + below(400, more, 8))
        step = np.where((below(2, more, 4) == 1) & (value[odd] > step), -step, step)
        fate, own = fate[odd], value[odd]
        twofold = signals.twofold[slots.measure[odd]]
        doubled = ((fate >= _CORRECTED) & (fate < _DOUBLED)) | twofold
        # Three in ten second values equal the first.
        second[odd[doubled]] = (own + np.where((below(10, more, 32) < 3) & ~twofold, 0, step))[doubled]
        value[odd[(fate >= _MISSING) & ~twofold]] += 10_000
        value[odd[(fate >= _DOUBLED) & (fate < _MISSING) & ~twofold]] = NONE
        change = (fate < _CORRECTED) & ~twofold
        rows, more = odd[change], more[change]
        since = slots.arrival[rows] + _HOUR + below(11 * _HOUR, more, 16)
        returns = below(5, more, 40) == 0
        until = np.where(returns, since + _HOUR + below(8 * _HOUR, more, 24), NEVER)
        return Readings(
            measure=slots.measure,
            time=slots.time,
            value=value,
            second=second,
            arrival=slots.arrival,
            corrected=rows,
            correct=(own + step)[change],
            correct_from=since,
            correct_until=until,
        )


def _columns(slots: Slots) -> tuple[Ints, Ints, Ints, Words]:
    return slots.measure, slots.time, slots.arrival, slots.draw
