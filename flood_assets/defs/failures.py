"""Errors that a person can fix, as Dagster failures without a traceback, and remembered in the lake."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import dagster as dg

from flood_assets.errors import FloodAssetsError, LakeError, RefusedError, SettingsError, SourceError


@contextmanager
def explained() -> Iterator[None]:
    """Turn our own errors into a `dagster.Failure` whose description is the message.

    Only a source or a store that is away is worth a retry, a wrong setting is not. Nor is a run that was stopped (by
    Ctrl-C, a deploy or the Terminate button), which Dagster would retry by the asset's policy.
    """
    try:
        yield
    except (dg.DagsterExecutionInterruptedError, KeyboardInterrupt) as stop:
        message = "the run was stopped: the windows it stored are complete, and the next run continues from there"
        raise dg.Failure(description=message, allow_retries=False) from stop
    except FloodAssetsError as error:
        passing = isinstance(error, SourceError | LakeError) and not isinstance(error, RefusedError)
        raise dg.Failure(description=str(error), allow_retries=passing) from error


@dg.failure_hook(required_resource_keys={"lake", "clock"})
def remember_failure(context: dg.HookContext) -> None:
    """Record in the lake that a step failed, for `flood-assets status`.

    Not when the lake itself failed, which would be asked in vain once more, nor for a wrong setting, by which another
    lake may have been meant.
    """
    error = context.op_exception
    if not isinstance(error and error.__cause__, LakeError | SettingsError):
        with suppress(FloodAssetsError):
            context.resources.lake.open().record_failure(context.op.name, context.resources.clock.now())
