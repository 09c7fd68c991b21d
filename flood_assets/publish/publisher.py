"""Publish to a sink the changes that it lacks.

Each batch is sent, then the cursor moves: a process that dies in between sends the batch again, and nothing is lost.
The listing of `readings` decides what is read: windows whose e-tag the cursor knows are not.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow.compute as pc

from flood_assets.grouping import Flags, Ints
from flood_assets.lake import cursor as cursors
from flood_assets.lake.cursor import Cursor, Part
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import dead_letter_key
from flood_assets.lake.objects import Blob
from flood_assets.lake.parquet import DamagedWindowError
from flood_assets.lake.pipeline import in_order
from flood_assets.lake.read import StoredWindow, load
from flood_assets.lake.store import Revision
from flood_assets.partitions import cutoff, from_ms, is_expired, to_ms, window_of
from flood_assets.publish.events import Events, joined, text_of
from flood_assets.publish.sinks.base import Sent, Sink, SinkError
from flood_assets.publish.sinks.opening import Unopened
from flood_assets.schemas import READINGS
from flood_assets.settings import Publishing

# Events after which a batch ends with its window. A tick of a country has some 5,500.
BATCH = 20_000
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


@dataclass(frozen=True)
class _Found:
    """Changes of one version of a window that a sink lacks."""

    window: datetime
    e_tag: str | None
    commits: Ints
    events: Events


def publish_all(
    lake: Lake, given: Publishing, clock: Callable[[], datetime], *, since: datetime | None = None
) -> list[Published]:
    """Publish to all sinks at once, so that one that is slow or away holds up no other; `since` is that of `publish`.

    Raises:
        LakeError: the lake could not be read or written; all sinks were tried.
        SettingsError: a URL is not complete; likewise.
    """
    now, stored = clock(), lake.windows(READINGS)

    def published(url: str) -> Published:
        with closing(Unopened(url, clock, secret=given.secret)) as sink:
            return publish(lake, sink, now, stored=stored, since=since)

    return list(in_order(published, given.sinks, len(given.sinks)))


def publish(
    lake: Lake,
    sink: Sink,
    now: datetime,
    *,
    stored: Sequence[StoredWindow] | None = None,
    since: datetime | None = None,
    budget_s: float = BUDGET_S,
) -> Published:
    """Send a sink the changes that it lacks; all of the last 24 hours if it has no cursor yet.

    Args:
        lake: whose readings are published.
        sink: where to.
        now: decides what is retained; no later row is left out.
        stored: the listing of `readings`; None to list them.
        since: send what changed after it, known or not; a sink without a cursor gets nothing older then.
        budget_s: seconds after which no further batch is begun.

    Raises:
        LakeError: the lake could not be read or written.
    """
    begun = time.monotonic()
    stored = lake.windows(READINGS) if stored is None else stored
    cursor = cursors.load(lake.store, sink.name)
    known = cursor or Cursor()
    due = [w for w in stored if not is_expired(w.window, now) and (since or not known.has(w.window, w.e_tag))]
    result = Published(sink.name)
    if not due:
        return result

    def missing(window: datetime, events: Events) -> Events:
        if since is None:
            return _missing(known, window, events)
        wanted: Flags = events.changed > to_ms(since)
        again = events.chosen(wanted)
        if cursor is None:
            return again
        return joined([_missing(known, window, events.chosen(~wanted)), again], events.source)

    source = lake.source() or "flood_assets"
    batches = _batches(_found(lake, due, now, source, missing))
    for batch in batches:
        result = replace(result, damaged=result.damaged + sum(each is None for each in batch))
        found = [each for each in batch if each is not None]
        events = joined([each.events for each in found], source)
        if not result.trouble and time.monotonic() - begun > budget_s:
            result = replace(result, trouble=f"stopped after {budget_s:.0f} s: the next tick goes on")
        sent = Sent(np.zeros(len(events), np.bool_), result.trouble) if result.trouble else _sent(sink, events)
        if sent.refused:
            _keep(lake, sink, events, sent, now)
        confirmed = int(sent.confirmed.sum())
        if newer := _confirmed(found, sent.confirmed):
            cursors.advance(lake.store, sink.name, newer, now)
        result = replace(
            result,
            events=result.events + confirmed,
            refused=result.refused + len(sent.refused),
            trouble=result.trouble or sent.trouble,
        )
        result = _with_waiting(result, events.chosen(~sent.confirmed))
    return result


def _missing(cursor: Cursor, window: datetime, events: Events) -> Events:
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


def _batches(found: Iterator[_Found | None]) -> Iterator[list[_Found | None]]:
    batch, count = list[_Found | None](), 0
    for each in found:
        batch.append(each)
        count += 0 if each is None else len(each.events)
        if count >= BATCH:
            yield batch
            batch, count = [], 0
    if batch:
        yield batch


def _sent(sink: Sink, events: Events) -> Sent:
    if not len(events):
        return Sent.whole(events)
    try:
        return sink.send(events)
    except SinkError as error:
        return Sent(np.zeros(len(events), np.bool_), str(error))


def _confirmed(found: Sequence[_Found], confirmed: Flags) -> dict[datetime, Part]:
    """Return what of the windows is published now."""
    newer, start = {}, 0
    for each in found:
        flags = confirmed[start : start + len(each.events)]
        start += len(each.events)
        sent = each.events.chosen(flags)
        if flags.all():
            newer[each.window] = Part(each.e_tag, each.commits, sent.hashes, sent.changed)
        elif flags.any():
            newer[each.window] = Part(ids=sent.hashes, id_commits=sent.changed)
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


def _keep(lake: Lake, sink: Sink, events: Events, sent: Sent, now: datetime) -> None:
    """Keep events that a sink refused for good; they expire with their windows."""
    bodies, hashes = events.bodies(), events.hashes.tolist()
    for number, reason in sent.refused.items():
        told: dict[str, Any] = {"reason": reason, "at": text_of(to_ms(now)), "event": bodies[number]}
        logger.error("%s refused %s for good: %s", sink.name, bodies[number]["id"], reason)
        window = window_of(events.rows["date_time"][number].as_py())
        key = dead_letter_key(sink.name, window, f"{hashes[number] & (1 << 64) - 1:016x}")
        revision = Revision(json.dumps(told, indent=1).encode(), None)

        def kept(_blob: Blob | None, revision: Revision[None] = revision) -> Revision[None]:
            return revision

        lake.store.update(key, kept)
