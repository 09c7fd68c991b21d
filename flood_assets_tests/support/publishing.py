"""A lake that changes as in a day of trouble, and publishers that die at any point."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import numpy as np
import pytest

from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import PUBLISHED, key_of
from flood_assets.publish.events import Events
from flood_assets.publish.publisher import publish
from flood_assets.schemas import READINGS
from flood_assets.sinks.base import Sent, Sink
from flood_assets_tests.support.lake_rows import HOUR, NOW, QUARTER, fetched, put_raw


class Killed(BaseException):
    """The process ends here."""


class Fate:
    """Counts the points at which a process may die, and lets it die at one of them."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.points, self._dies_at = 0, dies_at

    def point(self) -> None:
        self.points += 1
        if self.points == self._dies_at:
            raise Killed


class Mortal(Sink):
    """A sink whose process may die before, in the middle of and after each batch."""

    def __init__(self, sink: Sink, fate: Fate) -> None:
        self.name, self.tables, self.is_empty = sink.name, sink.tables, sink.is_empty
        self._sink, self._fate = sink, fate

    def send(self, events: Events) -> Sent:
        self._fate.point()
        half = np.arange(len(events)) < len(events) // 2
        for part in (events.chosen(half), events.chosen(~half)):
            if len(part) or part.present:
                sent = self._sink.send(part)
                assert sent.confirmed.all(), sent.trouble
            self._fate.point()
        return Sent.whole(events)


@contextmanager
def mortal_saves(lake: Lake, fate: Fate) -> Iterator[None]:
    """Let the process die before and after the cursor is written."""
    put = lake.store.put

    def dying(key, data, *, replaces):
        if key.startswith(PUBLISHED):
            fate.point()
        put(key, data, replaces=replaces)
        if key.startswith(PUBLISHED):
            fate.point()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lake.store, "put", dying)
        yield


def publish_mortally(lake: Lake, sink: Sink, now: datetime, fate: Fate) -> bool:
    """Publish; return False if the process died of it."""
    try:
        with mortal_saves(lake, fate):
            assert publish(lake, Mortal(sink, fate), now).trouble == ""
    except Killed:
        return False
    return True


class Trouble:
    """Changes a lake step by step: new readings, corrections, late writers, damage and cleanups.

    Args:
        lake: that changes.
        seed: of the story.
        measures: ids of the gauges.
    """

    def __init__(self, lake: Lake, seed: int, measures: int = 5) -> None:
        self.lake, self.now, self._random = lake, NOW, random.Random(seed)
        self._measures = [f"m{number}" for number in range(measures)]

    def step(self) -> None:
        """Let a tick pass."""
        self.now += QUARTER
        self._write(self.now)
        if self._random.random() < 0.5:
            # A slower machine, which asked hours ago, at a millisecond of its own, and stores only now.
            self._write(self.now - timedelta(milliseconds=self._random.randrange(1, 300 * 60_000)))
        if self._random.random() < 0.2:
            self._damage()
        if self._random.random() < 0.3:
            self.lake.expire(self.now)

    def _write(self, seen: datetime) -> None:
        rows = {}
        for _ in range(self._random.randrange(1, 12)):
            age = self._random.choice([0, 0, 1, 2, 8, 40, 90])
            moment = (seen - age * QUARTER).replace(minute=self._random.choice([0, 15, 30, 45]), second=0)
            # Few values, so that corrections are withdrawn again.
            value = float(self._random.randrange(3))
            rows[self._random.choice(self._measures), min(moment, seen)] = value
        self.lake.upsert_readings(fetched(*[(*key, value) for key, value in rows.items()]), seen, self.now)

    def _damage(self) -> None:
        stored = self.lake.windows(READINGS)
        window = self._random.choice(stored).window
        before = self.lake.read(READINGS, window, window + HOUR, now=self.now).to_pylist()
        put_raw(self.lake, key_of(READINGS, window), b"damaged")
        self.damaged()
        self.lake.quarantine(READINGS, window)
        # The API still has most of it, with other values here and there.
        again = [
            (row["measure_id"], row["date_time"], self._random.choice([row["value"], 0.0]))
            for row in before
            if self._random.random() < 0.9
        ]
        self.lake.upsert_readings(fetched(*again), self.now, self.now)

    def damaged(self) -> None:
        """Be told that a window is damaged at this moment; a test may publish then."""
