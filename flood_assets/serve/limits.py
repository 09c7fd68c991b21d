"""Limit how much a client may ask: by its address, or by its key, which may allow more.

Each client has a bucket of tokens that fills with time: a request takes one, and each whole MiB of its answer one more.
Each process counts for itself, so that of four processes a client may get four times as much.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flood_assets.serve.addresses import Network, client_of
from flood_assets.serve.http import problem
from flood_assets.serve.keys import METRICS, PUSH, READ, Keys

# A page of the map with its files at once, and the seconds in which as much may be asked again.
BURST_S = 3.0
# Of wrong keys: ten at once, then one every ten seconds.
_GUESSES, _GUESS_RATE = 10, 0.1
# Clients that are remembered; a forgotten one has a full bucket.
_MOST = 50_000
# Those who watch over a fleet ask often, and have no key.
_FREE = ("/healthz", "/readyz")
_MIB = 20

# Where a request's scope says who asks.
CLIENT = "flood_assets.client"
# The key that it has, if any.
KEY = "flood_assets.key"
# Not for everybody once there are keys: it names sinks and says how busy the server is.
METRICS_PATH = "/metrics"
# What is at and below these paths needs the right to push, the first one if it is posted to.
PUSHED, RECEIPTS, UPLOADS = "/api/v1/readings", "/api/v1/receipts/", "/api/v1/uploads"
SHOWN = ("RateLimit-Policy", "RateLimit")


@dataclass(frozen=True)
class Limits:
    """The rules for clients.

    Attributes:
        rate: requests a second for an address; 0 for any number.
        keys: the known ones; None without any.
        required: True if each request needs one.
        trusted: networks of the proxies that are believed.
    """

    rate: float
    keys: Keys | None = None
    required: bool = False
    trusted: Sequence[Network] = ()


class Buckets:
    """The bucket of each client, as the time at which it is full again."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def left(self, who: str, rate: float, burst: float, now: float) -> float:
        """Return how many tokens there are; fewer than none after a large answer."""
        return burst - max(0.0, self._full_at.get(who, now) - now) * rate

    def take(self, who: str, rate: float, tokens: float, now: float) -> None:
        """Take tokens, there or not."""
        self._full_at[who] = max(self._full_at.get(who, now), now) + tokens / rate
        self._full_at.move_to_end(who)
        if len(self._full_at) > self._most:
            self._full_at.popitem(last=False)


class Throttle:
    """ASGI middleware that lets requests through within the limits.

    Args:
        app: what it lets them through to.
        limits: the rules.
        clock: seconds, which only go forward.
    """

    def __init__(self, app: ASGIApp, limits: Limits, clock: Callable[[], float]) -> None:
        self._app, self._limits, self._clock = app, limits, clock
        self._client = client_of(limits.trusted)
        self._buckets, self._guesses = Buckets(), Buckets()
        # Addresses with the keys that were right there, by Python's own secret hash: who has one is not kept out by
        # somebody who guesses beside.
        self._right: OrderedDict[tuple[str, int], None] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http" or scope["path"] in _FREE:
            await self._app(scope, receive, send)
            return
        client = self._admitted(scope)
        if isinstance(client, Response):
            await client(scope, receive, send)
            return
        scope[CLIENT] = client.who
        if not client.rate:
            await self._app(scope, receive, send)
            return
        now = self._clock()
        left = self._buckets.left(client.who, client.rate, client.burst, now)
        if left < 1:
            await self._too_many(scope, client, left)(scope, receive, send)
            return
        self._buckets.take(client.who, client.rate, 1, now)
        told = [(name.encode(), text.encode()) for name, text in client.told(left - 1).items()]

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                for name, value in headers:
                    if name == b"content-length" and len(value) > 6 and (more := int(value) >> _MIB):
                        self._buckets.take(client.who, client.rate, more, now)
                message["headers"] = [*headers, *told]
            await send(message)

        await self._app(scope, receive, sending)

    def _admitted(self, scope: Scope) -> "_Client | Response":
        """Return who asks, or the refusal of a key."""
        address, keys = self._client(scope), self._limits.keys
        presented = _presented(scope["headers"]) if keys else None
        right = _right(scope)
        if keys is None or presented is None:
            if self._limits.required or (keys is not None and right == METRICS):
                what = METRICS_PATH if right == METRICS else "this server"
                why = f"{what} needs a key: send it as `Authorization: Bearer KEY` or `X-Api-Key: KEY`"
                return problem(Request(scope), 401, why, headers={"www-authenticate": challenge()})
            return _Client(address, self._limits.rate, "address")
        now, pair = self._clock(), (address, hash(presented))
        left = self._guesses.left(address, _GUESS_RATE, _GUESSES, now)
        if left < 1 and pair not in self._right:
            wait = str(math.ceil((1 - left) / _GUESS_RATE))
            why = f"too many wrong keys from this address: wait {wait} s"
            return problem(Request(scope), 429, why, headers={"retry-after": wait})
        key = keys.find(presented)
        if key is None:
            self._guesses.take(address, _GUESS_RATE, 1, now)
            headers = {"www-authenticate": challenge("invalid_token")}
            why = "the key is unknown: check it, or leave it out if this server is open"
            return problem(Request(scope), 401, why, headers=headers)
        if right not in key.rights:
            headers = {"www-authenticate": challenge("insufficient_scope")}
            why = f"the key of '{key.name}' has no right to {right}: the operator can add `{right}` to its line"
            return problem(Request(scope), 403, why, headers=headers)
        scope[KEY] = key
        self._right[pair] = None
        if len(self._right) > _MOST:
            self._right.popitem(last=False)
        return _Client(f"key {key.name}", key.rate, "key")

    def _too_many(self, scope: Scope, client: "_Client", left: float) -> Response:
        wait = math.ceil((1 - left) / client.rate)
        more = ", or ask the operator for a key" if self._limits.keys and client.policy == "address" else ""
        headers = {"retry-after": str(wait), **client.told(left)}
        why = f"more than {client.rate:g} requests a second: wait {wait} s{more}"
        return problem(Request(scope), 429, why, headers=headers)


class _Client(NamedTuple):
    """A client, and what it may ask: `policy` says by what."""

    who: str
    rate: float
    policy: str

    @property
    def burst(self) -> float:
        # A rate below one a second lets a single request through, too.
        return max(1.0, self.rate * BURST_S)

    def told(self, left: float) -> dict[str, str]:
        """Return the headers of draft-ietf-httpapi-ratelimit-headers-10."""
        return {
            "ratelimit-policy": f'"{self.policy}";q={int(self.burst)};w={math.ceil(self.burst / self.rate)}',
            "ratelimit": f'"{self.policy}";r={max(0, int(left))};t={math.ceil((self.burst - left) / self.rate)}',
        }


def _right(scope: Scope) -> str:
    """Return the right that a request needs."""
    return METRICS if scope["path"] == METRICS_PATH else PUSH if is_push(scope) else READ


def is_push(scope: Scope) -> bool:
    """Return True if a request is about a push."""
    path: str = scope["path"]
    return (path == PUSHED and scope["method"] == "POST") or path.startswith((RECEIPTS, UPLOADS))


def _presented(headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
    """Return the key of a request; None without one."""
    for name, value in headers:
        if name == b"x-api-key":
            return value.strip()
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].strip()
    return None


def challenge(error: str = "") -> str:
    """Return the header `WWW-Authenticate` of a refusal."""
    return 'Bearer realm="flood_assets"' + (f', error="{error}"' if error else "")
