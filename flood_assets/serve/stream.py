"""Answer `/api/v1/stream`: server-sent events of the readings that are new or were corrected.

| event | when | data |
|---|---|---|
| `reset` | first, if the id that was given is over a day old or none of this stream | `reason` and `remedy` |
| `snapshot` | first | `as_of`, `resumed`, `notes`, `version` |
| `change` | when the lake changes | a list of rows as in `/api/v1/changes` |

Each id is a `Position`: a client that comes back with its last one, to this process or another over the same lake, is
sent what it has not been sent, once. Between two looks at the lake a reading may change twice; only the later state is
sent. A filter is by the lists of gauges of the moment, and a position is that of its filter.

Nothing is queued: a client that reads slowly is sent what is new for it when it has read what came before, and one that
reads nothing for a while is cut off by `server`. What several clients are to be sent is made once for all of them.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from flood_assets.serve import asked
from flood_assets.serve.errors import BadRequestError
from flood_assets.serve.feed import Chunk, Cursor, State, Wanted, next_chunk, said
from flood_assets.serve.http import problem
from flood_assets.serve.limits import CLIENT
from flood_assets.serve.parameters import parse
from flood_assets.serve.position import Position, PositionError
from flood_assets.serve.snapshot import Snapshot
from flood_assets.serve.watch import Watcher

# Pause between two comments that keep a connection open: proxies close one that is silent for 30 or 60 s.
BEAT = timedelta(seconds=15)
# Of some 25 kB each.
CLIENTS = 2000
# Of one address or key.
EACH = 100
# Bytes of events that are kept for other clients.
_MOST = 32 * 1024 * 1024
logger = logging.getLogger("flood_assets.serve")

_REMEDY = "read /api/v1/readings or /api/v1/latest anew; the changes from now on follow"


class Stream:
    """The clients of the stream, on one event loop.

    Args:
        watcher: has the snapshots.
        clock: the current time.
        most: clients at once.

    Attributes:
        clients: how many there are.
    """

    def __init__(self, watcher: Watcher, clock: Callable[[], datetime], *, most: int = CLIENTS) -> None:
        self._watcher, self._clock, self._most = watcher, clock, most
        self._state: State | None = None
        self._found: State | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bell = asyncio.Event()
        self._beats = 0
        self._timer: asyncio.TimerHandle | None = None
        self.clients = 0
        self._of = Counter[str]()
        self._closing = False
        self._chunks: dict[tuple[str, str], Chunk] = {}
        self._bytes = 0
        self._coming: dict[tuple[str, str], asyncio.Task[Chunk]] = {}
        watcher.follow(self._changed)

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._loop, self._closing = asyncio.get_running_loop(), False
        self._bell = asyncio.Event()
        self._tick()

    def close(self) -> None:
        """End all answers, so that the server can end."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        self._ring()

    async def answer(self, request: Request) -> Response:
        """Return the stream, or why there is none."""
        try:
            given = parse(asked.Stream, request)
            state = self._state
            if state is None:
                why = self._watcher.trouble or "the lake has not been read yet"
                return problem(request, 503, f"no data yet: {why}", headers={"retry-after": "5"})
            wanted = Wanted.of(given)
            notes = await run_in_threadpool(wanted.notes, state.snapshot)
        except BadRequestError as error:
            return problem(request, 400, str(error))
        who = request.scope.get(CLIENT, "")
        if self.clients >= self._most or self._closing or (who and self._of[who] >= EACH):
            many = f"{EACH} clients of this address or key" if self.clients < self._most else f"{self._most:,} clients"
            why = f"{many} follow already: try again later, or ask /api/v1/changes?since=15min"
            return problem(request, 503, why, headers={"retry-after": "30"})
        position, begun = state.position, f"retry: {random.randint(2000, 6000)}\n\n".encode()
        last = request.headers.get("last-event-id") or given.last_event_id
        resumed = False
        if last:
            try:
                position, resumed = Position.of(last, self._clock()), True
            except PositionError as error:
                begun += said("reset", "", reason=str(error), remedy=_REMEDY)
        as_of = state.snapshot.as_of
        shown = None if as_of is None else f"{as_of:%Y-%m-%dT%H:%M:%SZ}"
        begun += said(
            "snapshot", position.id, as_of=shown, resumed=resumed, notes=notes, version=state.snapshot.version
        )
        return _Events(self, wanted, Cursor(state.shared(position)), begun)

    async def follow(
        self, who: str, wanted: Wanted, cursor: Cursor, begun: bytes, receive: Receive, send: Send
    ) -> None:
        """Send a client what is new until it goes."""
        self.clients += 1
        self._of[who] += 1
        pump = asyncio.create_task(self._pump(wanted, cursor, begun, send))
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            self.clients -= 1
            self._of[who] -= 1
            if not self._of[who]:
                del self._of[who]
            pump.cancel()

    async def _pump(self, wanted: Wanted, cursor: Cursor, begun: bytes, send: Send) -> None:
        """Send a client what is new until the server ends; who waits for the client to go is then told so too."""
        try:
            await send(_body(begun))
            await self._send_changes(wanted, cursor, send)
        except Exception:
            logger.exception("a stream ended early; its client goes on from its last id")
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_changes(self, wanted: Wanted, cursor: Cursor, send: Send) -> None:
        done, beats = None, self._beats
        while not self._closing:
            bell, state = self._bell, self._state
            if state is not None and state is not done:
                chunk = await self._chunk(state, wanted, cursor)
                cursor, done = chunk.then, chunk.complete
                if chunk.data:
                    await send(_body(chunk.data))
            elif beats != self._beats:
                beats = self._beats
                await send(_body(b":\n\n"))
            else:
                await bell.wait()

    async def _chunk(self, state: State, wanted: Wanted, cursor: Cursor) -> Chunk:
        """Return what follows for a client, made once for all that want the same."""
        key = (wanted.key, cursor.position.id)
        found = self._chunks.get(key)
        if found is not None:
            return found
        coming = self._coming.get(key)
        if coming is None:
            making = run_in_threadpool(next_chunk, state, wanted, cursor, self._clock())
            coming = self._coming[key] = asyncio.ensure_future(making)
            coming.add_done_callback(lambda _: self._coming.pop(key, None))
        chunk = await asyncio.shield(coming)
        if state is self._state and key not in self._chunks:
            if self._bytes > _MOST:
                self._forget()
            self._chunks[key] = chunk
            self._bytes += len(chunk.data)
        return chunk

    def _forget(self) -> None:
        self._chunks.clear()
        self._bytes = 0

    def _changed(self, _before: Snapshot | None, snapshot: Snapshot) -> None:
        """Take another snapshot, in the watcher's thread."""
        state = self._found = State.of(snapshot, self._found)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take, state)

    def _take(self, state: State) -> None:
        self._state = state
        self._forget()
        self._ring()

    def _ring(self) -> None:
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()

    def _tick(self) -> None:
        self._beats += 1
        self._ring()
        if self._loop is not None:
            self._timer = self._loop.call_later(BEAT.total_seconds(), self._tick)


class _Events(Response):
    """A stream of events."""

    def __init__(self, stream: Stream, wanted: Wanted, cursor: Cursor, begun: bytes) -> None:
        super().__init__(media_type="text/event-stream")
        self._stream, self._wanted, self._cursor, self._begun = stream, wanted, cursor, begun

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            # For proxies: neither keep nor gather.
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._stream.follow(scope.get(CLIENT, ""), self._wanted, self._cursor, self._begun, receive, send)


def _body(data: bytes) -> dict[str, object]:
    return {"type": "http.response.body", "body": data, "more_body": True}
