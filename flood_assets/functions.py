"""Handlers for AWS Lambda: `refresh`, `reconcile`, `expire`, `publish` on a schedule, `landing`, and `api` for HTTP.

    flood_assets.functions.refresh

Settings are the variables of the commands (docs/configuration.md), read at each call. No Dagster is imported: the steps
of a tick are in `flood_assets.tick`. What fails is raised, so that Lambda counts it, tries again and an alarm hears of
it; what is returned is a small object for the log. With `FLOOD_EMF` each call on a schedule prints its metrics for
CloudWatch; one that is killed prints none, and silence is an alarm. Time that is left is respected: what is not begun
is done by the next call, and a call that is killed leaves a lake that the next one completes.
"""

# ruff: noqa: PLC0415 - each function imports what it needs: a cold start of `expire` need not wait for FastAPI

import base64
import binascii
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from flood_assets import emf, settings
from flood_assets.errors import FloodAssetsError

if TYPE_CHECKING:
    from flood_assets.lake.lake import Lake
    from flood_assets.tick.steps import Given, Ticked

Event = Mapping[str, Any]
Result = dict[str, Any]

# Lambda returns six megabytes at most, the text of the event's JSON counted.
MOST_ANSWERED = 6_000_000
_STREAM = "/api/v1/stream"

logger = logging.getLogger("flood_assets.functions")


class StepsFailedError(FloodAssetsError):
    """Steps of a tick that failed; all others were taken."""


class SinksAwayError(FloodAssetsError):
    """Sinks that have not confirmed everything; the next call sends what waits."""


def refresh(event: Event, context: Any) -> Result:
    """Do what a tick does: see `flood_assets.tick.steps.refresh`. The event is not looked at.

    Raises:
        StepsFailedError: at least one step failed. Others are done, and the next call does the rest.
        FloodAssetsError: a setting is wrong, or the lake cannot be read.
    """
    from flood_assets.tick import steps

    del event
    return _ticked("refresh", steps.refresh, context)


def reconcile(event: Event, context: Any) -> Result:
    """Read the last 24 hours again: see `flood_assets.tick.steps.reconcile`. The event is not looked at.

    Raises:
        StepsFailedError: at least one step failed; the next call reads the day again.
        FloodAssetsError: a setting is wrong, or the lake cannot be read.
    """
    from flood_assets.tick import steps

    del event
    return _ticked("reconcile", steps.reconcile, context)


def expire(event: Event, context: Any) -> Result:
    """Delete what is older than a day, readings once they are archived, if FLOOD_ARCHIVE says so.

    Raises:
        LakeError: something could not be deleted, or readings wait for the archive.
    """
    from flood_assets.tick import steps

    del event
    with _measured("expire") as seen:
        return seen.add("expire", steps.clean(_given(context)))


def publish(event: Event, context: Any) -> Result:
    """Send to the sinks of FLOOD_PUBLISH what they lack.

    Raises:
        SinksAwayError: a sink has not confirmed everything.
        SettingsError: there is no sink.
        LakeError: the lake could not be read or written.
    """
    from flood_assets.errors import SettingsError
    from flood_assets.tick import steps

    del event
    with _measured("publish") as seen:
        given = _given(context)
        if not given.publishing.sinks:
            raise SettingsError(f"nothing to publish to: set FLOOD_PUBLISH, such as {settings.SINKS['kinesis']}")
        found = steps.publish(given)
        told = seen.add("published", steps.told_of(found, given.clock()))
        if away := [each for each in found if each.trouble]:
            raise SinksAwayError("; ".join(f"{each.sink}: {each.waiting:,} waiting: {each.trouble}" for each in away))
        return told


def landing(event: Event, context: Any) -> Result:
    """Take records of a Kinesis stream or messages of an SQS queue into the lake.

    Events of readings, as another lake publishes them, make this a lake that follows it, as `flood-assets consume`
    does. Messages of SQS may also be S3's, of batches and uploads that have landed: then what waits is ingested.

    Kinesis: a record that is no event is kept in `rejects`, as it never will be one; one that cannot be decoded at all
    is reported, with those after it. SQS: a message that is neither is reported, and the others are taken; the queue's
    redrive policy moves it to its dead letters.

    Returns:
        `batchItemFailures`, for an event source mapping with `ReportBatchItemFailures`, and counts.

    Raises:
        FloodAssetsError: nothing is confirmed; what was stored by then comes again, to no effect.
    """
    del context
    records: Sequence[Event] = event.get("Records") or ()
    sources = {each.get("eventSource") for each in records}
    if sources == {"aws:kinesis"}:
        return _take_kinesis(records)
    if sources == {"aws:sqs"}:
        return _take_messages(records)
    raise StepsFailedError(
        f"the event is none of Kinesis or SQS but of {', '.join(map(str, sources)) or 'nothing'}: let S3 tell a queue, "
        "and the queue this function"
    )


def api(event: Event, context: Any) -> Result:
    """Answer a request of a function URL, an API Gateway or a load balancer.

    The lake is looked at before the answer, if the last look is some seconds ago: between two calls Lambda stops all
    threads, so none is started. The stream of events is refused, as an answer has to end: `/api/v1/changes` has them.
    """
    watcher, handler = _application(settings.lake_url())
    age = watcher.age()
    if age is None or age > watcher.every:
        watcher.look()
    answer: Result = handler(event, context)
    # As text of JSON; that without quotes and other letters has as many bytes as letters.
    body = answer.get("body") or ""
    size = len(body) if answer.get("isBase64Encoded") or len(body) < MOST_ANSWERED / 6 else len(json.dumps(body))
    return answer if size <= MOST_ANSWERED else _too_large(size)


def _given(context: Any) -> "Given":
    """Return what the steps of a tick work with, by the environment and the time that is left.

    Raises:
        SettingsError: a network would be filled as one lake.
    """
    from flood_assets.errors import SettingsError
    from flood_assets.lake.archive import Archive
    from flood_assets.lake.lake import Lake
    from flood_assets.tick.steps import Given

    if (network := settings.network_file()) is not None:
        raise SettingsError(
            f"FLOOD_NETWORK is '{network}', and functions fill one lake without shards: unset it here, and run "
            "`flood-assets refresh` or Dagster for the network"
        )
    lake, archive = Lake.open(settings.lake_url()), settings.archive()
    left: Callable[[], int] | None = getattr(context, "get_remaining_time_in_millis", None)
    return Given(
        lake,
        settings.api_url(),
        settings.now,
        archive=Archive.beside(lake.store, archive) if archive else None,
        alerts=settings.alerts_file(),
        publishing=settings.publishing(),
        seconds_left=(lambda: left() / 1000) if left else (lambda: float("inf")),
    )


def _ticked(job: str, take: "Callable[[Given], Ticked]", context: Any) -> Result:
    with _measured(job) as seen:
        ticked = take(_given(context))
        seen.told, seen.failed = ticked.done, list(ticked.failed)
        if ticked.failed:
            raise StepsFailedError("; ".join(f"{name} failed: {why}" for name, why in ticked.failed.items()))
        left = {"left": ticked.left, "skipped": ticked.skipped} if ticked.left else {}
        return {"done": ticked.done, **left}


@dataclass
class _Seen:
    """What is known of a call when it ends: what its steps told, and which of them failed."""

    told: dict[str, Result] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def add(self, step: str, told: Result) -> Result:
        self.told[step] = told
        return told


@contextmanager
def _measured(job: str) -> Iterator[_Seen]:
    """Print the metrics of a call for CloudWatch when it ends, well or not, if FLOOD_EMF names the environment."""
    environment, began, seen, ended_well = settings.emf(), time.monotonic(), _Seen(), False
    try:
        yield seen
        ended_well = True
    finally:
        if environment:
            seconds, at = time.monotonic() - began, settings.now()
            line = emf.of_run(
                seen.told.items(), seen.failed, environment, at, seconds=seconds, ended_well=ended_well, job=job
            )
            print(line, flush=True)


class _Taken(NamedTuple):
    """A record of Kinesis: its shard, its number and its bytes."""

    shard: str
    number: str
    data: bytes


def _take_kinesis(records: Sequence[Event]) -> Result:
    taken = list[_Taken]()
    failed = list[str]()
    for record in records:
        number = str(record["kinesis"]["sequenceNumber"])
        try:
            data = base64.b64decode(record["kinesis"]["data"], validate=True)
        except (binascii.Error, LookupError, TypeError, ValueError) as error:
            # Those after it come again with it: Lambda goes on from the first that is reported.
            logger.error("record %s cannot be decoded: %s", number, error)  # noqa: TRY400
            failed.append(number)
            break
        taken.append(_Taken(str(record["eventID"]).partition(":")[0], number, data))
    told = {}
    if taken:
        stream = str(records[0]["eventSourceARN"]).rpartition(":stream/")[2]
        shards = {shard: [(each.number, each.data) for each in taken if each.shard == shard] for shard, _, _ in taken}
        told = _follow(f"kinesis://{stream}", shards)
    return {"batchItemFailures": [{"itemIdentifier": number} for number in failed], **told}


def _take_messages(records: Sequence[Event]) -> Result:
    from flood_assets.consume.taking import refusal
    from flood_assets.lake.lake import Lake

    lake, now = Lake.open(settings.lake_url()), settings.now()
    events, landed, failed = list[tuple[str, bytes]](), 0, list[str]()
    for record in records:
        body = str(record["body"])
        if not (reason := refusal(body.encode(), now)):
            events.append((str(record["messageId"]), body.encode()))
        elif _is_told(body, lake):
            landed += 1
        else:
            logger.error("message %s is none of S3's, and %s", record["messageId"], reason)
            failed.append(str(record["messageId"]))
    told: Result = {}
    if landed:
        told |= _ingest(lake)
    if events:
        queue = str(records[0]["eventSourceARN"]).rpartition(":")[2]
        told |= _follow(f"sqs://{queue}", {"queue": sorted(events)})
    return {"batchItemFailures": [{"itemIdentifier": id_} for id_ in failed], **told}


def _is_told(body: str, lake: "Lake") -> bool:
    """Return True if a message is S3's, of whatever object."""
    from flood_assets.landing.notified import NotUnderstoodError, landed

    bucket, _, prefix = lake.url.partition("://")[2].partition("/")
    try:
        landed(body, bucket, prefix)
    except NotUnderstoodError:
        return False
    return True


def _ingest(lake: "Lake") -> Result:
    """Ingest all that waits, whoever told of it; a batch that cannot be decoded has its receipt."""
    from flood_assets.landing.ingest import ingest

    found = ingest(lake, settings.now())
    counts = {name: found.count(name) for name in ("added", "revised", "unchanged", "expired", "rejected")}
    return {"batches": len(found.receipts), **counts, "unreadable": len(found.unreadable)}


def _follow(url: str, places: Mapping[str, Sequence[tuple[str, bytes]]]) -> Result:
    """Store records as landing batches, ingest them, and advance the watermarks."""
    from flood_assets.consume.consumer import Consumed, News
    from flood_assets.consume.stream import Portion, Record
    from flood_assets.consume.taking import land
    from flood_assets.lake import watermarks
    from flood_assets.lake.lake import Lake
    from flood_assets.landing.ingest import ingest
    from flood_assets.sinks.base import name_of

    lake, now = Lake.open(settings.lake_url()), settings.now()
    lake.claim(url)
    loss = watermarks.loss_of(lake.store)
    portions = [Portion(place, [Record(*each) for each in records]) for place, records in places.items()]
    landed = land(lake, name_of(url), portions, now, after=loss)
    found = Consumed().and_(ingest(lake, now))
    news = News()
    for batch in landed:
        news.add(batch)
    news.advance(lake, now, loss)
    return {
        "records": sum(len(each.records) for each in portions),
        "refused": sum(batch.refused_rows for batch in landed),
        **{name: getattr(found, name) for name in ("added", "revised", "unchanged", "expired")},
    }


@cache
def _application(lake_url: str) -> tuple[Any, Any]:
    """Return the watcher of a lake, and the handler of the application over it, kept from call to call."""
    from mangum import Mangum

    from flood_assets.serve.opening import application, watcher_of

    watcher = watcher_of(lake_url, settings.now)
    app = application(watcher, settings.now, settings.serving())
    # Its lifespan would start the thread that looks at the lake, and the stream.
    handler: Any = Mangum(partial(_without_stream, app), lifespan="off")
    return watcher, handler


async def _without_stream(app: Any, scope: Any, receive: Any, send: Any) -> None:
    """Refuse the stream of events; browsers ask no more after a status other than 200."""
    if scope["path"] != _STREAM:
        await app(scope, receive, send)
        return
    from starlette.requests import Request

    from flood_assets.serve.http import problem

    why = "this server runs on Lambda, whose answers have to end: ask /api/v1/changes?since=15min again and again"
    await problem(Request(scope, receive), 501, why)(scope, receive, send)


def _too_large(size: int) -> Result:
    """Return the answer to a question whose answer Lambda would not return, and say 502 instead."""
    why = (
        f"the answer has {size / 1e6:.0f} MB, and Lambda returns {MOST_ANSWERED / 1e6:.0f} MB at most: ask with "
        "Accept-Encoding: gzip, for fewer rows, or page by page with limit="
    )
    said = {"type": "about:blank", "title": "Not Implemented", "status": 501, "detail": why}
    headers = {"content-type": "application/problem+json", "cache-control": "no-store"}
    return {"statusCode": 501, "headers": headers, "body": json.dumps(said), "isBase64Encoded": False}
