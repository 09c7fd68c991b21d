"""Send to a webhook: POST lists of events, signed as Standard Webhooks do (standardwebhooks.com).

The header `webhook-signature` is `v1,` and the base64 of the HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.{body}`.
What the receiver refuses for its content (400, 413, 415, 422) is sent again in halves, down to the event that it does
not take, which becomes a dead letter. Any other refusal means that the receiver is away: everything waits.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np

from flood_assets.errors import SettingsError
from flood_assets.sinks.base import Sent, Sink, SinkError, portions
from flood_assets.sinks.events import MANY, CloudEvents, batched
from flood_assets.sinks.posting import Receiver, RefusedError

MOST_EVENTS, MOST_BYTES = 500, 250_000


class Webhook(Sink):
    """A receiver of POST requests.

    Args:
        url: `https://...`; `http://` too, where the network is trusted.
        clock: the current time.
        secret: signs the requests; None for no signature.
        pause_s: as of `Sink`.
    """

    def __init__(
        self, url: str, clock: Callable[[], datetime], *, secret: str | None = None, pause_s: float = 0.5
    ) -> None:
        super().__init__(url, pause_s=pause_s)
        self._clock, self._key = clock, None if secret is None else key_of(secret)
        self._receiver = Receiver(url, self.name, "correct the URL, FLOOD_PUBLISH_SECRET or the receiver", self.pause)

    def send(self, events: CloudEvents) -> Sent:  # noqa: D102
        documents, hashes = events.documents(), events.hashes.tolist()
        confirmed, refused = np.zeros(len(events), np.bool_), dict[int, str]()
        waiting = portions([len(document) for document in documents], MOST_EVENTS, MOST_BYTES)[::-1]
        while waiting:
            start, end = waiting.pop()
            try:
                self._post(documents[start:end], f"{hashes[start] & (1 << 64) - 1:016x}-{end - start}")
            except RefusedError as error:
                if end - start > 1:
                    middle = (start + end) // 2
                    waiting += [(middle, end), (start, middle)]
                    continue
                refused[start] = str(error)
            except SinkError as error:
                if not confirmed.any():
                    raise
                return Sent(confirmed, str(error), refused)
            confirmed[start:end] = True
        return Sent(confirmed, refused=refused)

    def close(self) -> None:  # noqa: D102
        self._receiver.close()

    def _post(self, documents: Sequence[bytes], message_id: str) -> None:
        body = batched(documents)
        self._receiver.post(body, lambda: {"content-type": MANY, **signed(self._key, message_id, self._clock(), body)})


def key_of(secret: str) -> bytes:
    """Return the key of a secret: `whsec_` and base64, as Standard Webhooks write it, or any other text as it is."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise SettingsError("FLOOD_PUBLISH_SECRET begins with whsec_, but what follows is no base64") from None


def signed(key: bytes | None, message_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """Return the headers of a message: its id, its time, and with a key its signature."""
    stamp = str(int(now.timestamp()))
    headers = {"webhook-id": message_id, "webhook-timestamp": stamp}
    if key is not None:
        code = hmac.new(key, f"{message_id}.{stamp}.".encode() + body, hashlib.sha256).digest()
        headers["webhook-signature"] = f"v1,{base64.b64encode(code).decode()}"
    return headers
