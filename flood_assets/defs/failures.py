"""Errors that a person can put right, told by Dagster without being buried in a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from flood_assets.errors import FloodAssetsError, LakeError, SourceError


@contextmanager
def explained() -> Iterator[None]:
    """Turn our own errors into a `dagster.Failure` whose description is the message.

    Trying again helps against a source or a store that is away for a moment, not against a wrong setting. Nor may a run
    go on that was told to stop, by Ctrl-C, a deploy or the Terminate button: left to itself, Dagster would follow the
    asset's retry policy then too.
    """
    try:
        yield
    except (dg.DagsterExecutionInterruptedError, KeyboardInterrupt) as stop:
        message = "the run was told to stop: what it stored is whole, and the next one goes on from there"
        raise dg.Failure(description=message, allow_retries=False) from stop
    except FloodAssetsError as error:
        raise dg.Failure(description=str(error), allow_retries=isinstance(error, SourceError | LakeError)) from error
