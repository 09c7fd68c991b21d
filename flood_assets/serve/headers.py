"""Add the headers that each answer has, whoever makes it, for the browsers that show it."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Says of an answer in any format which shards it lacks, or has as they were.
NOTES = "Notes"

# Of data. A page has its own. What is answered outside the middleware adds them itself: 500 and what is no HTTP.
DEFAULTS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]


class SafeHeaders:
    """ASGI middleware that adds them.

    Args:
        app: what makes the answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                own = {name.lower() for name, _ in headers}
                message["headers"] = [*headers, *(each for each in DEFAULTS if each[0] not in own)]
            await send(message)

        await self._app(scope, receive, sending if scope["type"] == "http" else send)
