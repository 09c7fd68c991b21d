"""Add the headers that each answer has, whoever makes it, for the browsers that show it."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ALWAYS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"strict-origin-when-cross-origin")]
_POLICY = b"content-security-policy"
# Of data. A page has its own.
_NOTHING = (_POLICY, b"default-src 'none'; frame-ancestors 'none'")


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
                own = any(name == _POLICY for name, _ in headers)
                message["headers"] = [*headers, *_ALWAYS] if own else [*headers, *_ALWAYS, _NOTHING]
            await send(message)

        await self._app(scope, receive, sending if scope["type"] == "http" else send)
