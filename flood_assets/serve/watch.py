"""Keep a snapshot of a lake up to date, in a thread; who reads it never waits and never sees half.

The thread lists the lake every few seconds and reads only what has changed. A lake that cannot be reached leaves the
last snapshot where it is.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pyarrow as pa

from flood_assets.errors import FloodAssetsError
from flood_assets.lake import identity
from flood_assets.lake.frozen import Frozen, Listing
from flood_assets.lake.lake import Lake
from flood_assets.lake.objects import Meta
from flood_assets.lake.united import reading
from flood_assets.serve.snapshot import Snapshot

EVERY = timedelta(seconds=5)
# What cannot be confirmed for so long is no longer ready to be served by a fleet.
UNREADY_AFTER = timedelta(minutes=5)

_UNREADABLE = "the lake cannot be read at present, and the server's log says why"

logger = logging.getLogger("flood_assets.serve")


class NoLakeError(FloodAssetsError):
    """Lake that is not there yet."""


class Watcher:
    """The newest snapshot of a lake.

    Attributes:
        snapshot: None until the lake has been read once.
        listed: all objects of the lake at the last look, also those that no snapshot holds.
        confirmed_at: when the lake was last found to be as in the snapshot; None until then.
        every: pause between two looks.
        trouble: that the last look failed, for everybody to read; empty if it did not. Why is in the log, which may
            name the lake's place.

    Args:
        open_lake: opens the lake; called until it succeeds.
        clock: the current time.
        every: pause between two looks.
    """

    def __init__(
        self, open_lake: Callable[[], Lake], clock: Callable[[], datetime], *, every: timedelta = EVERY
    ) -> None:
        self.snapshot: Snapshot | None = None
        self.listed: Sequence[Meta] = ()
        self.confirmed_at: datetime | None = None
        self.trouble = self._reason = ""
        self._open, self._clock, self.every = open_lake, clock, every
        self._away: dict[str, str] = {}
        self._lake: Lake | None = None
        self._followers: list[Callable[[Snapshot | None, Snapshot], object]] = []
        self._stopping = threading.Event()
        self._looking = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="watch the lake", daemon=True)

    def lake(self) -> Lake:
        """Return the lake itself, for what is written or must be as of now.

        Raises:
            FloodAssetsError: it is not there yet, or cannot be opened.
        """
        self._lake = self._lake or self._open()
        return self._lake

    def follow(self, follower: Callable[[Snapshot | None, Snapshot], object]) -> None:
        """Have something called with the last snapshot and the new one each time there is one, in the thread."""
        self._followers.append(follower)

    def start(self) -> None:
        """Look at the lake once, then again and again in the thread."""
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Look at the lake, and make another snapshot if it has changed or if a window has expired."""
        with self._looking:
            now, before = self._clock(), self.snapshot
            try:
                listed = Listing.of(self.lake().store)
                frozen = Frozen.of(self.lake().store, before.frozen if before else None, listed)
                reading(Lake(frozen)).each_shard(lambda lake: identity.require_layout(lake.store))
                if before is None or frozen is not before.frozen:
                    self.snapshot = Snapshot.of(frozen, now, before)
                    # Sorting a day takes several times its memory, which the allocator would keep.
                    pa.default_memory_pool().release_unused()
            except FloodAssetsError as error:
                if str(error) != self._reason:
                    logger.warning("the lake cannot be read, so the last snapshot stays: %s", error)
                self._reason = str(error)
                self.trouble = str(error) if isinstance(error, NoLakeError) else _UNREADABLE
                return
            self.listed, self.confirmed_at, self.trouble, self._reason = listed.metas, now, "", ""
            if (away := {name: str(error) for name, error in frozen.away.items()}) != self._away:
                for name, why in away.items():
                    logger.warning("the shard %s cannot be read, so the last of it stays: %s", name, why)
                self._away = away
            if self.snapshot is not None and self.snapshot is not before:
                for follower in self._followers:
                    follower(before, self.snapshot)

    def age(self) -> timedelta | None:
        """Return how long ago the snapshot was last confirmed; None without one."""
        return None if self.confirmed_at is None else max(self._clock() - self.confirmed_at, timedelta(0))

    def _run(self) -> None:
        while not self._stopping.wait(self.every.total_seconds()):
            try:
                self.look()
            except Exception:
                # A bug in one snapshot must not leave all later ones unseen.
                logger.exception("a snapshot could not be made")
