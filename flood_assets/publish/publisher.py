"""Publish to a sink the changes that it lacks.

Each batch is sent, then the cursor moves: a process that dies in between sends the batch again, and nothing is lost.
The listing of `readings` decides what is read: windows whose e-tag the cursor knows are not.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.errors import LakeError
from flood_assets.grouping import Flags, Ints
from flood_assets.lake import current, members
from flood_assets.lake import cursor as cursors
from flood_assets.lake.cursor import Cursor, Part
from flood_assets.lake.lake import Lake
from flood_assets.lake.parquet import DamagedWindowError
from flood_assets.lake.pipeline import in_order
from flood_assets.lake.read import StoredWindow, load
from flood_assets.partitions import cutoff, from_ms, is_expired, to_ms, window_of
from flood_assets.places import SHARD_FOLDER
from flood_assets.publish.events import Events, joined
from flood_assets.schemas import READINGS, TABLES
from flood_assets.settings import Publishing
from flood_assets.sinks import dead_letters
from flood_assets.sinks.base import Sent, Sink, SinkError
from flood_assets.sinks.opening import Unopened

# Events after which a batch ends with its window. A tick of a country has some 5,500.
BATCH = 20_000
# The same for a sink that keeps tables: a day of a country has some 450,000, and is in one batch.
WHOLE_BATCH = 1_000_000
# Two ticks: a change that failed to be published in its own and in the next one. A tick may begin some seconds early.
LATE = timedelta(minutes=29)
# Seconds after which no further batch is begun: the next tick goes on.
BUDGET_S = 240.0

logger = logging.getLogger("flood_assets.publish")


@dataclass(frozen=True)
class Published:
    """Result of a publication to one sink.

    Attributes:
        sink: its name.
        events: confirmed.
        refused: of these, refused for good and kept as dead letters.
        waiting: not confirmed.
        oldest: the `changed_at` of the oldest that waits; None if none does.
        damaged: windows that could not be read; they are published once they are repaired.
        trouble: why some wait; empty if none does.
    """

    sink: str
    events: int = 0
    refused: int = 0
    waiting: int = 0
    oldest: datetime | None = None
    damaged: int = 0
    trouble: str = ""

    def lag_s(self, now: datetime) -> float:
        """Return for how many seconds the oldest change has waited."""
        return 0.0 if self.oldest is None else max(0.0, (now - self.oldest).total_seconds())

    def is_late(self, now: datetime) -> bool:
        """Return True if a change has waited for two ticks."""
        return self.oldest is not None and now - self.oldest >= LATE


@dataclass(frozen=True)
class _Found:
    """Changes of one version of a window that a sink lacks."""

    window: datetime
    e_tag: str | None
    commits: Ints
    events: Events


def publish_all(
    lake: Lake,
    given: Publishing,
    clock: Callable[[], datetime],
    *,
    since: datetime | None = None,
    budget_s: float = BUDGET_S,
) -> list[Published]:
    """Publish to all sinks at once, so that one that is slow or away holds up no other; see `publish`.

    Raises:
        LakeError: the lake could not be read or written, and all sinks were tried; or its shards hold the readings.
        SettingsError: a URL is not complete; likewise.
    """
    now, sinks = clock(), [Unopened(url, clock, secret=given.secret) for url in given.sinks]
    # Before the windows: the readings of which the conditions speak are in windows that are listed later.
    tables = {table.name: table for sink in sinks for table in sink.tables}
    present = current.versions(lake.store, tables.values()) if tables else {}
    stored = lake.windows(READINGS)
    if not stored and (shards := members.members(lake.store)) is not None:
        raise LakeError(
            f"{lake.url} unites the shards {', '.join(shards.names)} and holds no readings itself: run `flood-assets "
            f"publish`, which takes each of them, or set FLOOD_LAKE_URL to one, such as "
            f"{lake.url}/{SHARD_FOLDER}{shards.names[0]}"
        )

    def published(sink: Sink) -> Published:
        with closing(sink):
            return publish(lake, sink, now, stored=stored, present=present, since=since, budget_s=budget_s)

    return list(in_order(published, sinks, len(sinks)))


def publish(
    lake: Lake,
    sink: Sink,
    now: datetime,
    *,
    stored: Sequence[StoredWindow] | None = None,
    present: Mapping[str, str] | None = None,
    since: datetime | None = None,
    budget_s: float = BUDGET_S,
) -> Published:
    """Send a sink the changes that it lacks; all of the last 24 hours if it has no cursor yet, or nothing any more.

    A sink that keeps tables gets the present of those that changed too, also if no reading did.

    Args:
        lake: whose readings are published.
        sink: where to.
        now: decides what is retained; no later row is left out.
        stored: the listing of `readings`; None to list them.
        present: `current.versions` of the sink's tables and perhaps others, listed before `stored`; None to list them.
        since: send what changed after it, known or not; a sink without a cursor gets nothing older then.
        budget_s: seconds after which no further batch is begun.

    Raises:
        LakeError: the lake could not be read or written.
    """
    begun = time.monotonic()
    if present is None:
        present = current.versions(lake.store, sink.tables) if sink.tables else {}
    stored = lake.windows(READINGS) if stored is None else stored
    cursor = cursors.load(lake.store, sink.name)
    due, tables = _due(sink, stored, present, cursor, now, since)
    if cursor and (due or tables) and _is_empty(sink):
        logger.warning("%s has nothing of what it confirmed: all of the last 24 hours is published again", sink.name)
        cursors.forget(lake.store, sink.name)
        cursor = None
        due, tables = _due(sink, stored, present, cursor, now, since)
    result = Published(sink.name)
    if not due and not tables:
        return result

    source = lake.source() or "flood_assets"
    rows = _present(lake, tables)
    whole = WHOLE_BATCH if sink.tables else BATCH
    missing = partial(_missing, cursor, since)
    batches = _batches(_found(lake, due, now, source, missing), whole) if due else iter([list[_Found | None]()])
    for batch in batches:
        result = replace(result, damaged=result.damaged + sum(each is None for each in batch))
        found = [each for each in batch if each is not None]
        events = replace(joined([each.events for each in found], source), present=rows)
        if not result.trouble and time.monotonic() - begun > budget_s:
            result = replace(result, trouble=f"stopped after {budget_s:.0f} s: the next tick goes on")
        sent = Sent(np.zeros(len(events), np.bool_), result.trouble) if result.trouble else _sent(sink, events)
        if sent.refused:
            windows = [window_of(each) for each in events.rows["date_time"].to_pylist()]
            dead_letters.keep(lake.store, sink.name, events, sent.refused, windows, now)
        confirmed = int(sent.confirmed.sum())
        newer = _confirmed(found, events, sent.confirmed)
        kept = {} if sent.trouble else {name: tables[name] for name in rows}
        if newer or kept:
            cursors.advance(lake.store, sink.name, newer, now, kept)
        # They came with the first batch; without it the next publication sends them.
        rows = {}
        result = replace(
            result,
            events=result.events + confirmed,
            refused=result.refused + len(sent.refused),
            trouble=result.trouble or sent.trouble,
        )
        result = _with_waiting(result, events.chosen(~sent.confirmed))
    return result


def _due(
    sink: Sink,
    stored: Sequence[StoredWindow],
    present: Mapping[str, str],
    cursor: Cursor | None,
    now: datetime,
    since: datetime | None,
) -> tuple[list[StoredWindow], dict[str, str | None]]:
    """Return the windows that are to be looked at, and the e-tags of the sink's tables whose present it lacks.

    The e-tag of a table that has no present any more is None.
    """
    known = cursor or Cursor()
    windows = [w for w in stored if not is_expired(w.window, now) and (since or not known.has(w.window, w.e_tag))]
    had = {} if since else known.present
    e_tags = {table.name: present.get(table.name) for table in sink.tables}
    return windows, {name: e_tag for name, e_tag in e_tags.items() if e_tag == "" or e_tag != had.get(name)}


def _missing(cursor: Cursor | None, since: datetime | None, window: datetime, events: Events) -> Events:
    """Return the events of a window that are to be sent."""
    known = cursor or Cursor()
    if since is None:
        return _unknown(known, window, events)
    wanted: Flags = events.changed > to_ms(since)
    again = events.chosen(wanted)
    if cursor is None:
        return again
    return joined([_unknown(known, window, events.chosen(~wanted)), again], events.source)


def _present(lake: Lake, e_tags: Mapping[str, str | None]) -> dict[str, pa.Table]:
    """Return the present of tables, without one that is damaged, or was replaced since it was listed.

    The latter may speak of readings in windows that were listed before it, and is published by the next publication.
    """
    found = {}
    for name, e_tag in e_tags.items():
        table = TABLES[name]
        if e_tag is None:
            found[name] = table.schema.empty_table()
            continue
        try:
            read = current.read(lake.store, table)
        except DamagedWindowError as error:
            logger.error("%s: what the sink has of it stays", error)  # noqa: TRY400
            continue
        if read is not None and read[1] == e_tag:
            found[name] = read[0]
    return found


def _is_empty(sink: Sink) -> bool:
    try:
        return sink.is_empty()
    except SinkError:
        # It is away, which sending says again.
        return False


def _unknown(cursor: Cursor, window: datetime, events: Events) -> Events:
    """Return those of the events of a window that are not known to be published."""
    part = cursor.windows.get(window)
    if part is None:
        return events
    changed = events.changed
    doubtful: Flags = ~np.isin(changed, part.commits) | (changed > cursor.ids_after)
    found = events.chosen(doubtful)
    return found.chosen(~np.isin(found.hashes, part.ids)) if len(found) and len(part.ids) else found


def _found(
    lake: Lake,
    due: Sequence[StoredWindow],
    now: datetime,
    source: str,
    missing: Callable[[datetime, Events], Events],
) -> Iterator[_Found | None]:
    """Yield what each window has, oldest first; None for a damaged one."""
    for each in due:
        try:
            opened = load(lake.store, READINGS, each.key)
            if opened is None:
                continue
            rows = opened.file.read()
        except DamagedWindowError as error:
            logger.error("%s: its changes are published once it is repaired", error)  # noqa: TRY400
            yield None
            continue
        events = Events(rows.filter(pc.greater(rows["date_time"], cutoff(now))), source)
        commits = np.unique(events.changed)
        yield _Found(each.window, opened.meta.e_tag, commits, missing(each.window, events))


def _batches(found: Iterator[_Found | None], most: int) -> Iterator[list[_Found | None]]:
    batch, count = list[_Found | None](), 0
    for each in found:
        batch.append(each)
        count += 0 if each is None else len(each.events)
        if count >= most:
            yield batch
            batch, count = [], 0
    if batch:
        yield batch


def _sent(sink: Sink, events: Events) -> Sent:
    if not len(events) and not events.present:
        return Sent.whole(events)
    try:
        return sink.send(events)
    except SinkError as error:
        return Sent(np.zeros(len(events), np.bool_), str(error))


def _confirmed(found: Sequence[_Found], events: Events, confirmed: Flags) -> dict[datetime, Part]:
    """Return what of the windows is published now; `events` are those of all of them, whose ids were made to send."""
    newer, changed, start = {}, events.changed, 0
    for each in found:
        here = slice(start, start + len(each.events))
        start = here.stop
        flags = confirmed[here]
        if flags.all():
            newer[each.window] = Part(each.e_tag, each.commits, events.hashes[here], changed[here])
        elif flags.any():
            newer[each.window] = Part(ids=events.hashes[here][flags], id_commits=changed[here][flags])
    return newer


def _with_waiting(result: Published, events: Events) -> Published:
    if not len(events):
        return result
    oldest = from_ms(int(events.changed.min()))
    return replace(
        result,
        waiting=result.waiting + len(events),
        oldest=oldest if result.oldest is None else min(result.oldest, oldest),
    )
