"""The sensors: one keeps the last 24 hours and moves Dagster's partitions on, one has pushed batches ingested."""

import json
import logging
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from flood_assets import settings
from flood_assets.defs.jobs import landing_job, retention_job
from flood_assets.defs.resources import Clock, LakeResource
from flood_assets.defs.windows import sync_windows
from flood_assets.errors import FloodAssetsError
from flood_assets.lake.store import Store
from flood_assets.landing import batches
from flood_assets.landing.notified import NotUnderstoodError, landed
from flood_assets.landing.objects import DEAD
from flood_assets.landing.queue import Queue
from flood_assets.partitions import partition_key, to_ms
from flood_assets.serve.keys import PUSH, Keys
from flood_assets.words import counted

logger = logging.getLogger("flood_assets.landing")

# With a queue: how often `landing/` is listed all the same, for what no message told of.
LISTED_EVERY = timedelta(minutes=5)

_UNFINISHED = [dg.DagsterRunStatus[name] for name in ("QUEUED", "NOT_STARTED", "STARTING", "STARTED")]


@dg.sensor(
    job=retention_job,
    # Readings expire every 15 minutes. Readers cut at 24 hours by themselves, so nobody sees expired rows meanwhile.
    minimum_interval_seconds=15 * 60,
    description="Keep the last 24 hours as partitions, and request a cleanup when the lake holds anything older.",
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def retention_sensor(
    context: dg.SensorEvaluationContext, lake: LakeResource, clock: Clock
) -> dg.RunRequest | dg.SkipReason:
    """Request a cleanup when a window has expired or the one that contains the cutoff holds expired rows.

    Without a cursor and without a run key, for which Dagster would never launch twice: a cleanup that failed is
    requested again.
    """
    now = clock.now()
    # Before the first run of all, so that the Materialize dialog has windows to choose as soon as the daemon runs.
    sync_windows(context.instance, now)
    try:
        expired = lake.open().expired(now)
    except FloodAssetsError as error:
        # Raised, the tick would fail with a traceback; the next tick tries again in any case.
        return dg.SkipReason(f"the lake could not be read: {error}")
    if not expired:
        return dg.SkipReason("nothing in the lake is older than 24 hours")
    if running := _running(context.instance, retention_job.name):
        return dg.SkipReason(f"cleanup {running} has not finished")
    oldest = min(found.window for found in expired)
    return dg.RunRequest(
        tags={"flood_assets/reason": f"windows to clean up: {len(expired)}, the oldest {partition_key(oldest)}"}
    )


@dg.sensor(
    job=landing_job,
    # A publisher sees its readings within seconds.
    minimum_interval_seconds=10,
    description="Have pushed batches ingested as soon as they have landed.",
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def landing_sensor(
    context: dg.SensorEvaluationContext, lake: LakeResource, clock: Clock
) -> dg.RunRequest | dg.SkipReason:
    """Request an ingestion while batches wait and none runs; a run that failed is requested again.

    Each look is one listing of `landing/`, or with `FLOOD_LANDING_QUEUE` one request to that queue and a listing every
    few minutes; nothing, if nobody may push.
    """
    try:
        url = settings.landing_queue()
        if url is None and not _anybody_pushes():
            return dg.SkipReason("nobody may push: no key of FLOOD_API_KEYS has the right to, and no queue tells of it")
        seen = Seen.of(context.cursor)
        store = lake.open().store
        found: Sequence[str]
        if url is None:
            found = _reasons(batches.landed(store), clock.now())
        else:
            with closing(Queue(url)) as queue:
                # The run that they asked for, if any, is stored with this cursor.
                queue.delete(seen.handles)
                running = _running(context.instance, landing_job.name)
                seen, found = (Seen(seen.listed_at), ()) if running else _told(store, queue, seen, clock.now())
            context.update_cursor(seen.text)
    except FloodAssetsError as error:
        return dg.SkipReason(f"the lake could not be read: {error}")
    # Also for those that a queue did not tell of.
    if running := _running(context.instance, landing_job.name):
        return dg.SkipReason(f"ingestion {running} has not finished")
    return dg.RunRequest(tags={"flood_assets/reason": ", ".join(found)}) if found else dg.SkipReason("no batch waits")


@dataclass(frozen=True)
class Seen:
    """Memory of the sensor from tick to tick, kept in its cursor.

    Attributes:
        listed_at: when `landing/` was listed last, in ms.
        handles: of messages whose run request is stored with this cursor: they are deleted at the next tick.
    """

    listed_at: int = 0
    handles: tuple[str, ...] = ()

    @classmethod
    def of(cls, cursor: str | None) -> "Seen":
        """Return what a cursor says; a strange one says nothing."""
        try:
            given = json.loads(cursor or "{}")
            return cls(int(given.get("listed_at", 0)), tuple(map(str, given.get("handles", ()))))
        except (ValueError, TypeError, AttributeError):
            return cls()

    @property
    def text(self) -> str:
        """The cursor."""
        return json.dumps({"listed_at": self.listed_at, "handles": self.handles})


def _told(store: Store, queue: Queue, seen: Seen, now: datetime) -> tuple[Seen, Sequence[str]]:
    """Return what to remember, and the reasons for an ingestion: what the queue told, and now and then a listing."""
    bucket, _, prefix = store.url.partition("://")[2].partition("/")
    messages, keys, odd = queue.receive(), list[str](), 0
    for message in messages:
        try:
            keys += landed(message.body, bucket, prefix)
        except NotUnderstoodError as error:
            odd += 1
            logger.error("a message of %s is not understood and kept below %s: %s", queue.url, DEAD, error)  # noqa: TRY400
            batches.put_aside(store, message.id, message.body.encode())
    found = []
    # What a run has ingested meanwhile needs no other.
    if many := sum(store.head(key) is not None for key in dict.fromkeys(keys)):
        found.append(f"{counted(many, 'batch or upload', 'batches or uploads')} to ingest")
    if odd:
        found.append(f"{counted(odd, 'message')} not understood")
    listed_at = seen.listed_at
    if not found and to_ms(now) - listed_at >= LISTED_EVERY / timedelta(milliseconds=1):
        listed_at, found = to_ms(now), _reasons(batches.landed(store), now)
    return Seen(listed_at, tuple(message.handle for message in messages)), found


def _anybody_pushes() -> bool:
    """Return whether a key of this machine's file of keys has the right to push."""
    path = settings.serving().keys
    return path is not None and Keys(path, time.monotonic).anybody_may(PUSH)


def _running(instance: dg.DagsterInstance, job: str) -> str | None:
    """Return the id of an unfinished run of a job; None without one."""
    records = instance.get_run_records(dg.RunsFilter(job_name=job, statuses=_UNFINISHED), limit=1)
    return records[0].dagster_run.run_id if records else None


def _reasons(waiting: batches.Landed, now: datetime) -> list[str]:
    """Return why an ingestion is requested; nothing without a reason."""
    parts = []
    if waiting.batches:
        parts.append(f"{counted(len(waiting.batches), 'batch', 'batches')} to ingest")
    if waiting.lost:
        parts.append(f"{counted(len(waiting.lost), 'damaged window')} to fill again")
    if many := len(waiting.uploads) + len(waiting.overdue(now)):
        parts.append(f"{counted(many, 'upload')} to settle")
    return parts
