"""Asking the API one question at a time. What the answers mean is judged in `flood_assets.cli.doctor.api_answers`."""

# ruff: noqa: PLC0415 - what a check looks at may be what fails to import, and each import's cost is its check's own

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from flood_assets.cli.doctor.finding import Doing, brief
from flood_assets.errors import SourceError

if TYPE_CHECKING:
    import requests

# Connection and next byte; a whole day takes the API up to 30 s before it says anything.
TIMEOUT_S = (10, 120)


@dataclass
class Asked:
    """One answer of the API."""

    response: "requests.Response"
    seconds: float
    asked_at: datetime

    @property
    def body(self) -> bytes:
        """The body, unpacked."""
        return self.response.content

    def require(self) -> None:
        """SourceError unless the API gave what was asked for."""
        if self.response.status_code != 200:
            raise SourceError(self.said)

    @property
    def said(self) -> str:
        """The status and the beginning of the body."""
        text = " ".join(self.body[:2_000].decode(errors="replace").split())
        shown = f"{text[:160]}..." if len(text) > 160 else text
        return f"HTTP {self.response.status_code} '{shown}'"


@dataclass
class Api:
    """Asks the API, each question once and politely."""

    base: str
    doing: Doing
    _session: "requests.Session | None" = field(default=None, init=False)

    def __enter__(self) -> Self:
        import requests

        from flood_assets.ea.http import USER_AGENT

        self._session = requests.Session()
        self._session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"})
        self._session.max_redirects = 5
        return self

    def __exit__(self, *_: object) -> None:
        if self._session is not None:
            self._session.close()

    def ask(self, path: str) -> Asked:
        """One request. Never with `_limit` beside latest, today or date: it would cut the answer without a word.

        Raises:
            SourceError: no answer.
        """
        import requests

        if self._session is None:
            raise RuntimeError("not entered")
        self.doing(f"asking {path}")
        asked_at, started = datetime.now(UTC), time.perf_counter()
        try:
            response = self._session.get(f"{self.base}/{path}", timeout=TIMEOUT_S)
        except requests.RequestException as error:
            raise SourceError(f"{path}: no answer: {type(error).__name__}: {brief(_root(error))}") from error
        return Asked(response, time.perf_counter() - started, asked_at)


def proxy_for(url: str) -> str:
    """Which proxy, if any, stands between here and a URL."""
    import requests

    proxy = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
    return f"in force: {proxy}" if proxy else "none is set"


def _root(error: BaseException) -> BaseException:
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error
