"""Compute the readings that the whole country shows at a moment, and the newest of each measure.

Combines `network`, `weather`, `arrivals` and the clock. No HTTP: `api` parses requests, `encode` writes answers.
"""

import copy
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from flood_assets.simulator.arrivals import AHEAD, Arrivals, Readings, Slots
from flood_assets.simulator.cache import Cache
from flood_assets.simulator.chance import Bools, Ints
from flood_assets.simulator.floods import Floods
from flood_assets.simulator.network import Block, Network
from flood_assets.simulator.weather import Weather

DAY = 86400
RETENTION_DAYS = 28
_CACHED_BLOCKS = 64
_RECENT, _YESTERDAY = 6 * 3600, 26 * 3600


class Rows(NamedTuple):
    """Readings as shown: index of the measure in its block, time in s, value(s) in thousandths or `NONE`."""

    measure: Ints
    time: Ints
    value: Ints
    second: Ints

    def take(self, rows: Ints | Bools | slice) -> "Rows":
        """Return the selected rows."""
        return Rows(self.measure[rows], self.time[rows], self.value[rows], self.second[rows])


class Simulator:
    """Simulated country made from a seed, at the moment its clock shows.

    Args:
        stations: number of stations; there are some 27 % more measures.
        seed: simulators with the same seed, number of stations and clock are equal.
        now: returns the present; the real time by default.
    """

    def __init__(self, stations: int = 5500, seed: int = 1, now: Callable[[], datetime] | None = None) -> None:
        self.stations = stations
        self.seed = seed
        self.network = Network(stations, seed)
        self._now = now or _real_time
        self._frozen: datetime | None = None
        weather = Weather(seed, self.network.ground)
        self._arrivals = Arrivals(seed, weather)
        self.floods = Floods(seed, self.network.ground, weather)
        self._blocks: Cache[int, Block] = Cache(_CACHED_BLOCKS, self.network.block)
        self._measures: int | None = None
        self._lock = threading.Lock()

    @property
    def now(self) -> datetime:
        """Moment the clock shows, in whole seconds."""
        return (self._frozen or self._now()).astimezone(UTC).replace(microsecond=0)

    def set_clock(self, moment: datetime | None) -> None:
        """Stop the clock at a moment, or let it run again."""
        if moment is not None and moment.tzinfo is None:
            raise ValueError(f"{moment.isoformat()} has no time zone: pass an aware datetime, for example in UTC")
        self._frozen = moment

    def ago(self, seconds: float) -> "Simulator":
        """Return the same country with its clock stopped this long before now."""
        earlier = copy.copy(self)
        earlier.set_clock(self.now - timedelta(seconds=seconds))
        return earlier

    @property
    def seconds(self) -> int:
        """Moment the clock shows, in seconds since 1970."""
        return int(self.now.timestamp())

    @property
    def measures(self) -> int:
        """Number of measures in the lists; the first call takes some seconds in a large network."""
        with self._lock:
            if self._measures is None:
                self._measures = sum(self.network.count(number) for number in range(self.network.blocks))
            return self._measures

    @property
    def blocks(self) -> Iterator[Block]:
        """Stations and measures, block by block."""
        for number in range(self.network.blocks):
            yield self._blocks[number]

    def block_of(self, station: int) -> Block:
        """Return the block that holds a station number."""
        return self._blocks[self.network.block_number(station)]

    def oldest(self, now: int) -> int:
        """Return the first second still shown: the API keeps 28 whole days and the present one."""
        return (now // DAY - RETENTION_DAYS) * DAY

    def shown(self, block: Block, which: Ints, start: int, end: int, now: int) -> Rows:
        """Return the readings with start <= time < end shown at `now`, with the values shown then."""
        start, end = max(start, self.oldest(now)), min(end, now + AHEAD + 1)
        return _at(self._arrivals.readings(block.signals, which, start, max(start, end)), now)

    def latest(self, block: Block, which: Ints, now: int) -> Rows:
        """Return the newest reading of each measure that has one, by measure."""
        found: list[Slots] = []
        missing = which
        oldest = self.oldest(now)
        edges = (now + AHEAD + 1, now - _RECENT, now - _YESTERDAY, oldest)
        for end, start in pairwise(edges):
            slots = self._arrivals.slots(block.signals, missing, max(start, oldest), end)
            shown = np.flatnonzero(slots.arrival <= now)
            last = np.full(len(block.measures), -1)
            last[slots.measure[shown]] = shown  # slots are in order of time, so the last assignment is the newest
            has = last[missing] >= 0
            found.append(slots.keep(last[missing[has]]))
            missing = missing[~has]
        parts = [_at(self._arrivals.valued(block.signals, slots), now) for slots in found]
        rows = Rows(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        return rows.take(np.argsort(rows.measure, kind="stable"))


def _at(readings: Readings, now: int) -> Rows:
    """Return the readings and values shown at a moment."""
    value = readings.value
    in_force = (readings.correct_from <= now) & (now < readings.correct_until)
    if in_force.any():
        value = value.copy()
        value[readings.corrected[in_force]] = readings.correct[in_force]
    rows = Rows(readings.measure, readings.time, value, readings.second)
    return rows.take(readings.arrival <= now)


def everything(block: Block) -> Ints:
    """Return the indexes of all measures of a block."""
    return np.arange(len(block.measures))


def _real_time() -> datetime:
    return datetime.now(UTC)
