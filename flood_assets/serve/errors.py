"""Errors of a request."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class BadRequestError(ValueError):
    """A request that cannot be answered; the message names the value and the remedy."""


def valid(parse: Callable[[], T]) -> T:
    """Parse something that was given; BadRequestError for what cannot be."""
    try:
        return parse()
    except (ValueError, TypeError) as error:
        raise BadRequestError(str(error)) from None
