"""POST to an HTTP receiver: what may pass is tried again, and what it says is told without its URL."""

from collections.abc import Callable, Mapping

import requests

from flood_assets.sinks.base import TRIES, SinkError

_TIMEOUT_S = (4, 10)
_CONTENT = frozenset({400, 413, 415, 422})
_PASSES = frozenset({408, 425, 429, 500, 502, 503, 504})


class RefusedError(Exception):
    """The receiver does not take this content."""


class Receiver:
    """A receiver of POST requests.

    Args:
        url: its URL, which may be a secret and is never shown.
        name: what it is called in errors.
        remedy: what to correct if it refuses all requests.
        pause: waits before another try; see `Sink.pause`.
    """

    def __init__(self, url: str, name: str, remedy: str, pause: Callable[[int, float], None]) -> None:
        self._url, self._name, self._remedy, self._pause = url, name, remedy, pause
        self._session = requests.Session()

    def post(self, body: bytes, headers: Callable[[], Mapping[str, str]]) -> None:
        """Send a request until it is answered with 2xx; `headers` are made anew for each try.

        Raises:
            RefusedError: it does not take this content.
            SinkError: it is away, or takes nothing.
        """
        for attempt in range(1, TRIES + 1):
            least_s = 0.0
            try:
                response = self._session.post(
                    self._url, data=body, headers=dict(headers()), timeout=_TIMEOUT_S, allow_redirects=False
                )
            except requests.RequestException as error:
                # The message may hold the path, which may be a secret.
                trouble = f"no answer ({type(error).__name__})"
            else:
                status = response.status_code
                if 200 <= status < 300:
                    return
                trouble = f"answered {status}"
                if status in _CONTENT:
                    raise RefusedError(trouble)
                if status not in _PASSES:
                    raise SinkError(f"{self._name} {trouble}: {self._remedy}")
                after = response.headers.get("retry-after", "")
                least_s = float(after) if after.isdecimal() else 0.0
            if attempt < TRIES:
                self._pause(attempt, least_s)
        raise SinkError(f"{self._name}: {trouble} in {TRIES} tries: is the receiver running?")

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
