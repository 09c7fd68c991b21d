"""Errors of a pushed batch; each message names the value and the remedy."""

from flood_assets.errors import FloodAssetsError


class PushError(FloodAssetsError):
    """Batch that cannot be taken."""


class UnreadableError(PushError):
    """Body that cannot be decoded."""


class TooLargeError(PushError):
    """Body over a limit."""


class UnknownTypeError(PushError):
    """Body of a media type or an encoding that is not taken."""


class OtherContentError(PushError):
    """Batch with the id of another one."""
