"""Follow a stream: store its records as landing batches, remember how far it was read, and ingest.

In this order, whoever is killed leaves what the next one does again, to the same effect: records are safe when their
batch is stored, only then the checkpoint moves and a queue's messages are deleted, and whoever begins ingests first
what was left.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pyarrow as pa

from flood_assets.consume import checkpoint as checkpoints
from flood_assets.consume.checkpoint import Checkpoint
from flood_assets.consume.stream import Portion, Stream
from flood_assets.consume.taking import land
from flood_assets.errors import LakeError, RefusedError
from flood_assets.lake import watermarks
from flood_assets.lake.archive import Archive
from flood_assets.lake.lake import Lake
from flood_assets.landing import batches
from flood_assets.landing.ingest import Ingestion, ingest
from flood_assets.landing.objects import Batch
from flood_assets.partitions import from_ms, to_ms, windows_between
from flood_assets.schemas import READINGS, TIME, WATERMARKS
from flood_assets.sinks.base import SinkError

# Records that are landed before they are ingested.
AT_ONCE = 50_000
# Expired rows are deleted so often, as under Dagster. Readers cut at 24 hours by themselves.
CLEANED = timedelta(minutes=15)
# Pauses after an error that may pass.
SHORTEST_S, LONGEST_S = 5.0, 60.0
SOON_S = 0.2

logger = logging.getLogger("flood_assets.consume")


@dataclass(frozen=True)
class Consumed:
    """Result of consuming a stream, so far or in all.

    Attributes:
        records: read.
        refused: of these, no events of readings; they are in the table `rejects`.
        batches: landing batches that were ingested.
        added: readings that were new.
        revised: readings that replaced an older state.
        unchanged: readings that were known, or older than what is stored.
        expired: readings that were over a day old.
        lost: what was lost before it was read, each with what to do.
        unreadable: names of batches that cannot be decoded.
        newest: `changed_at` of the newest reading.
    """

    records: int = 0
    refused: int = 0
    batches: int = 0
    added: int = 0
    revised: int = 0
    unchanged: int = 0
    expired: int = 0
    lost: Sequence[str] = ()
    unreadable: Sequence[str] = ()
    newest: datetime | None = None

    def and_(self, found: Ingestion) -> "Consumed":
        """Return it with batches that were ingested."""
        counts = {
            name: getattr(self, name) + sum(getattr(window, name) for window in found.windows)
            for name in ("added", "revised", "unchanged")
        }
        return replace(
            self,
            batches=self.batches + len(found.receipts),
            expired=self.expired + found.count("expired"),
            unreadable=[*self.unreadable, *found.unreadable],
            **counts,
        )


@dataclass
class News:
    """Readings that came since the watermarks advanced: the newest of each measure, and the latest change; ms."""

    newest: dict[str, int] = field(default_factory=dict)
    changed: int | None = None

    def add(self, batch: Batch) -> None:
        """Count a batch in."""
        rows, states = batch.readings, batch.states
        assert states is not None  # noqa: S101 - for the type checker: those of streams have them
        for measure, at in zip(rows.measure_id, rows.date_time, strict=True):
            self.newest[measure] = max(at, self.newest.get(measure, at))
        if states.changed_at:
            self.changed = max(*states.changed_at, self.changed or states.changed_at[0])

    def advance(self, lake: Lake, now: datetime, loss: str) -> None:
        """Advance the watermarks of a lake to them: the API was asked when the newest reading changed.

        An hour without any reading is stored as such, from the first one on that has some. Nothing is done if readings
        of the lake were lost since the `loss` that was known when these were read.
        """
        if self.changed is None:
            return
        if stored := lake.windows(READINGS):
            lake.ensure_windows(READINGS, windows_between(min(stored[0].window, now), now))
        asked = from_ms(min(self.changed, to_ms(now)))
        columns = [list(self.newest), pa.array(list(self.newest.values()), pa.int64()).cast(TIME)]
        newer = pa.table([*columns, pa.nulls(len(self.newest), pa.int32())], schema=WATERMARKS)
        polled = watermarks.Asked.once(asked, polled=True)
        watermarks.advance(lake.store, newer, asked, polled, loss=loss)


class Consumer:
    """A lake that follows a stream. It is used by one thread; any number may follow the same stream into one lake.

    Args:
        lake: which the stream claims.
        stream: to be read.
        clock: the current time.
        tell: is called with the result so far, after each step.
        stop: ends it after the batch that is under way.
        archive: where readings are kept when they expire; None to keep none.
    """

    def __init__(
        self,
        lake: Lake,
        stream: Stream,
        clock: Callable[[], datetime],
        *,
        tell: Callable[[Consumed], None] = lambda _: None,
        stop: threading.Event | None = None,
        archive: Archive | None = None,
    ) -> None:
        self._lake, self._stream, self._clock, self._tell = lake, stream, clock, tell
        self._archive = archive
        self._stop = stop or threading.Event()
        self._cleaned: datetime | None = None
        self._news = News()
        self.result = Consumed()

    def run(self, *, once: bool) -> Consumed:
        """Consume until told to stop, or until the stream is drained if `once`; return what was done.

        Without `once`, errors that may pass are logged, and it tries again after a pause.

        Raises:
            WrongLakeError: the lake is filled from an API or another stream.
            SinkError: the stream cannot be read.
            LakeError: the lake could not be read or written; what was not ingested is by the next run.
            ClockError: this machine's clock is behind that of whoever landed a batch.
        """
        self._lake.claim(self._stream.url)
        pause = SHORTEST_S
        while not self._stop.is_set():
            before = self.result.records
            try:
                if self._follow(once=once):
                    break
            except (SinkError, LakeError) as error:
                if once or isinstance(error, RefusedError):
                    raise
                pause = SHORTEST_S if self.result.records > before else pause
                logger.error("%s. Trying again in %.0f s", str(error).rstrip("."), pause)  # noqa: TRY400
                self._stop.wait(pause)
                pause = min(2 * pause, LONGEST_S)
        return self.result

    def _follow(self, *, once: bool) -> bool:
        """Read from the checkpoint on; return True at the end, and False if it is to be begun again."""
        lake, stream = self._lake, self._stream
        self._clean()
        self._ingest()
        begun = self._begin()
        stream.seek(begun.places)
        self._add_lost()
        while not self._stop.is_set():
            portions = stream.read()
            self._add_lost()
            if any(portion.position or portion.records for portion in portions):
                for some in _groups(portions):
                    if not self._take(some, begun):
                        return False
            elif stream.drained:
                self._advance(begun)
                if once:
                    return True
            if (self._clean() or portions) and watermarks.loss_of(lake.store) != begun.loss:
                return False
            if not portions and stream.pause_s:
                # Records may lie further on, or a shard was busy: soon again.
                self._stop.wait(stream.pause_s if stream.drained else min(stream.pause_s, SOON_S))
        return True

    def _begin(self) -> Checkpoint:
        """Return the checkpoint; a new one if the stream was made anew or readings were lost since the last one."""
        loss = watermarks.loss_of(self._lake.store)
        fresh = Checkpoint(self._stream.identity, loss)
        found, void = checkpoints.begin(self._lake.store, self._stream.name, fresh)
        if void is not None and void.stream != fresh.stream:
            self._add_lost(
                f"{self._stream.url} was made anew ({fresh.stream}, before {void.stream}) and is read from its "
                "beginning: what the old one had left is lost"
            )
        elif void is not None and not self._stream.rereads:
            self._add_lost(
                "a damaged window of readings was put aside, and a queue cannot be read again: its readings are lost"
            )
        elif void is not None:
            logger.warning("a damaged window of readings was put aside: %s is read again", self._stream.url)
        return found

    def _take(self, portions: Sequence[Portion], begun: Checkpoint) -> bool:
        """Take some portions; return False if the checkpoint does not count any more."""
        store, name = self._lake.store, self._stream.name
        landed = land(self._lake, name, portions, self._clock(), after=begun.loss)
        places = {portion.place: portion.position for portion in portions if portion.position}
        if places and not checkpoints.advance(store, name, begun, places):
            return False
        self._stream.confirm(portions)
        for batch in landed:
            self._news.add(batch)
        self.result = replace(
            self.result,
            records=self.result.records + sum(len(portion.records) for portion in portions),
            refused=self.result.refused + sum(batch.refused_rows for batch in landed),
            newest=self.result.newest if self._news.changed is None else from_ms(self._news.changed),
        )
        if landed:
            self._ingest()
        return True

    def _ingest(self) -> None:
        self.result = self.result.and_(ingest(self._lake, self._clock()))
        self._tell(self.result)

    def _advance(self, begun: Checkpoint) -> None:
        """Advance the watermarks of a drained stream."""
        self._news.advance(self._lake, self._clock(), begun.loss)
        self._news = News()

    def _clean(self) -> bool:
        """Delete what is older than a day, and put damaged windows aside; return True if it was due."""
        now, lake = self._clock(), self._lake
        if self._cleaned is not None and now - self._cleaned < CLEANED:
            return False
        if lake.expired(now):
            lake.expire(now, archive=self._archive)
        batches.expire(lake.store, now)
        lake.inspect(READINGS, [stored.window for stored in lake.windows(READINGS)])
        self._cleaned = now
        return True

    def _add_lost(self, *more: str) -> None:
        remedy = "`flood-assets publish --to URL --from 24h` at the lake that publishes sends the day again"
        for told in (*more, *self._stream.take_lost()):
            logger.error("%s. %s", told, remedy)
            self.result = replace(self.result, lost=[*self.result.lost, f"{told}. {remedy}"])


def _groups(portions: Sequence[Portion]) -> list[list[Portion]]:
    """Return the portions in groups of not much more than `AT_ONCE` records."""
    groups, count = list[list[Portion]]([[]]), 0
    for portion in portions:
        if count >= AT_ONCE:
            groups, count = [*groups, []], 0
        groups[-1].append(portion)
        count += len(portion.records)
    return groups


def consume(
    lake: Lake,
    stream: Stream,
    clock: Callable[[], datetime],
    *,
    once: bool,
    tell: Callable[[Consumed], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> Consumed:
    """Consume a stream into a lake; see `Consumer` and its `run`."""
    return Consumer(lake, stream, clock, tell=tell, stop=stop).run(once=once)
