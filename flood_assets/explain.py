"""Errors that a person can put right, told by Dagster without being buried in a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from flood_assets.errors import FloodAssetsError, LakeError, SourceError


@contextmanager
def explained() -> Iterator[None]:
    """Turn our own errors into a `dagster.Failure` whose description is the message.

    Trying again helps against a source or a store that is away for a moment, not against a wrong setting.
    """
    try:
        yield
    except FloodAssetsError as error:
        raise dg.Failure(description=str(error), allow_retries=isinstance(error, SourceError | LakeError)) from error
