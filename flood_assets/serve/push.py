"""Take pushed batches, sign uploads, and tell what became of both. The server writes only below `landing/`.

What is decoded, validated and stored is decided in `flood_assets.landing`.
"""

import hashlib
import logging
import re
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from flood_assets.errors import FloodAssetsError
from flood_assets.lake.layout import NETWORK_KEY
from flood_assets.lake.objects import Put
from flood_assets.landing import batches, bodies, gauges, rules, streamed, uploads
from flood_assets.landing.errors import OtherContentError, PushError, TooLargeError, UnknownTypeError, UnreadableError
from flood_assets.landing.objects import Batch, Gauge, Place, Reason, Receipt, encode_receipt
from flood_assets.partitions import from_ms, to_ms
from flood_assets.schemas import MEASURES, READINGS, STATIONS
from flood_assets.serve.http import problem
from flood_assets.serve.keys import FEED, PUSH, Key
from flood_assets.serve.limits import KEY, PUSHED, RECEIPTS, UPLOADS, challenge
from flood_assets.serve.openapi import (
    announced_body,
    asked_receipt,
    of_announcement,
    of_push,
    of_receipt,
    pushed_body,
)
from flood_assets.serve.watch import Watcher

logger = logging.getLogger("flood_assets.serve")

# Reasons that a refusal tells; the receipt of a batch that landed tells more.
_TOLD = 20
# Batches that are decoded at once, each of some tens of MB while it is.
_AT_ONCE = 2
_MS, _SET_BACK = timedelta(milliseconds=1), timedelta(minutes=1)

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_VALID_S = int(uploads.VALID / timedelta(seconds=1))


class SeveralLakesError(PushError):
    """Push to a server of several lakes."""


_STATUS: Mapping[type[PushError], int] = {
    UnreadableError: 400,
    OtherContentError: 409,
    SeveralLakesError: 409,
    TooLargeError: 413,
    UnknownTypeError: 415,
}


class NothingAcceptedError(PushError):
    """Batch without an acceptable row; `refused` are some of its rows."""

    def __init__(self, message: str, refused: list[Reason]) -> None:
        super().__init__(message)
        self.refused = refused


class AskedUpload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The description of a file that is to be uploaded, as a publisher sends it."""

    media_type: str
    size: int
    encoding: str = ""
    sha256: str = ""

    def require(self) -> None:
        """Refuse what cannot be uploaded; PushError."""
        streamed.require_type(self.media_type, self.encoding)
        if self.size > streamed.MOST_BYTES:
            raise TooLargeError(f"size is {self.size:,}: a file has up to {streamed.MOST_BYTES:,} bytes, send several")
        if self.size < 1:
            raise UnreadableError(f"the body says that size is {self.size:,}: expected the bytes of the file")
        if self.sha256 and not _SHA256.fullmatch(self.sha256):
            raise UnreadableError(f"the body says that sha256 is '{self.sha256[:70]}': expected 64 hexadecimal digits")


class Push:
    """The answers to pushes.

    Args:
        watcher: has the lake, and knows the units of the listed measures.
        clock: the current time.
    """

    def __init__(self, watcher: Watcher, clock: Callable[[], datetime]) -> None:
        self._watcher, self._clock = watcher, clock
        self._landed, self._lock = clock() - _MS, threading.Lock()
        self._threads = CapacityLimiter(_AT_ONCE)

    async def post(self, request: Request) -> Response:
        """Land a batch and answer with its receipt."""
        return await self._answered(request, self._posted)

    async def receipt(self, request: Request) -> Response:
        """Answer with the receipt of a batch of the key's owner."""
        return await self._answered(request, self._found)

    async def announce(self, request: Request) -> Response:
        """Answer with a signed URL that takes a larger file."""
        return await self._answered(request, self._announced)

    async def upload(self, request: Request) -> Response:
        """Answer with the receipt of an upload of the key's owner."""
        return await self._answered(request, self._uploaded)

    async def _announced(self, request: Request, key: Key) -> Response:
        data = await _body(request)
        id_ = request.headers.get("idempotency-key") or uuid.uuid4().hex
        work = partial(self._expect, request, key, id_, data)
        return await to_thread.run_sync(work, limiter=self._threads)

    def _expect(self, request: Request, key: Key, id_: str, data: bytes) -> Response:
        try:
            asked = msgspec.json.decode(data, type=AskedUpload)
        except (msgspec.ValidationError, ValueError, RecursionError) as error:
            raise UnreadableError(
                f'the body is no description of a file: {error}. Expected {{"media_type": "text/csv", "size": BYTES}}'
            ) from None
        asked.require()
        upload = uploads.Upload(
            publisher=key.name,
            id=id_,
            feed=FEED in key.rights,
            asked_at=self._moment(),
            media_type=asked.media_type,
            size=asked.size,
            encoding=asked.encoding,
            sha256=asked.sha256.lower(),
        )
        place, store = uploads.UploadPlace.of(key.name, id_), self._watcher.lake().store
        signed = store.sign_put(
            Put(place.content, upload.media_type, upload.encoding, upload.size, upload.sha256, _VALID_S)
        )
        if signed is None:
            why = (
                f"this lake takes no uploads, as it is not on S3: send batches of up to {bodies.MOST_BYTES:,} bytes to "
                f"{PUSHED}"
            )
            return problem(request, 409, why)
        _, receipt = uploads.expect(store, upload)
        path = f"{UPLOADS}/{id_}"
        if receipt.state != "expected":
            return _sent(receipt, 200, path)
        told = {
            "id": id_,
            "method": "PUT",
            "url": signed.url,
            "headers": signed.headers,
            "expires_at": f"{upload.asked_at + uploads.VALID:%Y-%m-%dT%H:%M:%SZ}",
            "receipt": path,
        }
        headers = {"cache-control": "no-store", "location": path}
        return Response(msgspec.json.encode(told), 201, headers, "application/json")

    async def _uploaded(self, request: Request, key: Key) -> Response:
        place = uploads.UploadPlace.of(key.name, request.path_params["id"])
        receipt = await to_thread.run_sync(
            lambda: uploads.find(self._watcher.lake().store, place), limiter=self._threads
        )
        if receipt is None:
            return problem(request, 404, f"'{key.name}' has asked for no upload '{place.id}' within the last 24 hours")
        return _sent(receipt, 200, f"{UPLOADS}/{place.id}")

    async def _answered(self, request: Request, answer: Callable[[Request, Key], Any]) -> Response:
        key: Key | None = request.scope.get(KEY)
        if key is None or PUSH not in key.rights:
            why = (
                "pushing needs a key with the right to push: ask the operator for one, and send it as `X-Api-Key: KEY`"
            )
            return problem(request, 401, why, headers={"www-authenticate": challenge()})
        try:
            self._require_one_lake()
            response: Response = await answer(request, key)
        except NothingAcceptedError as error:
            refused = msgspec.to_builtins(error.refused)
            return problem(request, 422, str(error), more={"reasons": refused})
        except PushError as error:
            return problem(request, _STATUS.get(type(error), 400), str(error))
        except FloodAssetsError as error:
            # Where the lake is stored is nobody's business, and the error may say it.
            logger.warning("a push or a question for its receipt failed: %s", error)
            why = "the lake cannot be read or written now, and nothing is promised: send it again"
            return problem(request, 503, why, headers={"retry-after": "5"})
        except ClientDisconnect:
            # Half of a body lands nowhere, and nobody reads this.
            return problem(request, 400, "the body ended early: send it again")
        return response

    def _require_one_lake(self) -> None:
        """Refuse what is pushed to shards: SeveralLakesError. A pushed gauge would have to be in one of them."""
        snapshot = self._watcher.snapshot
        if snapshot is not None and snapshot.frozen.head(NETWORK_KEY) is not None:
            raise SeveralLakesError(
                "this server unites the shards of a network, and takes no pushes: push to a server of one shard, "
                "which its operator starts with the lake URL/shard=NAME"
            )

    async def _posted(self, request: Request, key: Key) -> Response:
        data = await _body(request)
        work = partial(self._land, key, dict(request.headers), data)
        receipt, new = await to_thread.run_sync(work, limiter=self._threads)
        return _sent(receipt, 202 if new else 200)

    async def _found(self, request: Request, key: Key) -> Response:
        place = Place.of(key.name, request.path_params["id"])
        receipt = await to_thread.run_sync(
            lambda: batches.find(self._watcher.lake().store, place), limiter=self._threads
        )
        if receipt is None:
            why = f"'{key.name}' has pushed no batch '{place.id}' within the last 24 hours"
            return problem(request, 404, why)
        return _sent(receipt, 200)

    def _land(self, key: Key, headers: Mapping[str, str], data: bytes) -> tuple[Receipt, bool]:
        data = bodies.unpacked(data, headers.get("content-encoding", "").strip().lower())
        media_type = headers.get("content-type", "")
        digest = hashlib.sha256(media_type.partition(";")[0].strip().lower().encode() + b"\n" + data).hexdigest()
        place = Place.of(key.name, headers.get("idempotency-key", digest[:32]))
        lake, now = self._watcher.lake(), self._moment()
        # A repeat is answered as before, even if its readings are too old by now.
        if (known := batches.find(lake.store, place)) is not None and known.digest == digest:
            return known, False
        body, publisher = bodies.decoded(data, media_type), rules.Publisher(key.name, feed=FEED in key.rights)
        stations, measures = (
            gauges.check(table, given, publisher)
            for table, given in ((STATIONS, body.stations), (MEASURES, body.measures))
        )
        units = partial(self._units, measures.rows)
        readings = rules.check(body.readings, publisher, now, units)
        checked = (stations, measures, readings)
        refused = [each for found in checked for each in found.refused][: rules.TOLD]
        batch = Batch(
            publisher=place.publisher,
            id=place.id,
            digest=digest,
            landed_at=now,
            given=sum(map(len, body)),
            repeated=sum(found.repeated for found in checked),
            readings=readings.readings,
            refused=refused,
            refused_rows=sum(found.refused_rows for found in checked),
            stations=stations.rows,
            measures=measures.rows,
        )
        if not batch.rows:
            first = refused[0]
            where = "Row" if first.list == READINGS.name else f"Row of {first.list}"
            raise NothingAcceptedError(
                f"no row is accepted, and nothing was stored. {where} {first.row}: {first.reason}",
                [each.told for each in refused[:_TOLD]],
            )
        return batches.land(lake.store, batch)

    def _moment(self) -> datetime:
        """Return the current time to the millisecond, later than that of each batch before: it tells them apart."""
        with self._lock:
            now = from_ms(to_ms(self._clock()))
            # A clock that was set back by more was wrong before.
            self._landed = max(now, self._landed + _MS) if self._landed - now < _SET_BACK else now
            return self._landed

    def _units(self, pushed: Sequence[Gauge]) -> Mapping[str, str]:
        """Return the units of the listed measures and of those that come with the readings."""
        own = {str(each["measure_id"]): str(each["unit"]) for each in pushed if "unit" in each}
        snapshot = self._watcher.snapshot
        if snapshot is None:
            return own
        listed = snapshot.lake.newest_snapshot(MEASURES, self._clock(), columns=("measure_id", "unit"))
        if listed is None:
            return own
        rows = zip(listed["measure_id"].to_pylist(), listed["unit"].to_pylist(), strict=True)
        return {measure: unit for measure, unit in rows if unit} | own


def router(push: Push) -> APIRouter:
    """Return the routes of pushes and receipts."""
    routes = APIRouter()
    routes.add_api_route(
        PUSHED,
        push.post,
        methods=["POST"],
        summary="Push readings, and the gauges that they belong to",
        description="Stored at once and ingested within seconds; the receipt tells what became of each row.",
        operation_id="push",
        response_class=Response,
        responses=of_push(),
        openapi_extra=pushed_body(list(bodies.DECODERS)),
    )
    routes.add_api_route(
        UPLOADS,
        push.announce,
        methods=["POST"],
        summary="Ask for the upload of a larger file",
        description="Answered with a signed URL for a PUT past this server, and the path of the receipt.",
        operation_id="announce",
        response_class=Response,
        responses=of_announcement(),
        openapi_extra=announced_body(list(streamed.MEDIA_TYPES)),
    )
    asked = (
        (f"{UPLOADS}/{{id}}", push.upload, "What became of an upload", "upload"),
        (f"{RECEIPTS}{{id}}", push.receipt, "What became of a batch", "receipt"),
    )
    for path, answer, summary, name in asked:
        for method in ("GET", "HEAD"):
            routes.add_api_route(
                path,
                answer,
                methods=[method],
                summary=summary,
                operation_id=name,
                response_class=Response,
                responses=of_receipt(),
                openapi_extra=asked_receipt(),
                include_in_schema=method == "GET",
            )
    return routes


async def _body(request: Request) -> bytes:
    """Return the body; TooLargeError as soon as it is known to be over the limit."""
    too_large = TooLargeError(f"the body is over {bodies.MOST_BYTES:,} bytes: {bodies.SPLIT}")
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > bodies.MOST_BYTES:
        raise too_large
    parts, size = list[bytes](), 0
    async for part in request.stream():
        size += len(part)
        if size > bodies.MOST_BYTES:
            raise too_large
        parts.append(part)
    return b"".join(parts)


def _sent(receipt: Receipt, status: int, path: str = "") -> Response:
    headers = {"cache-control": "no-store", "location": path or f"{RECEIPTS}{receipt.id}"}
    return Response(encode_receipt(receipt), status, headers, "application/json")
