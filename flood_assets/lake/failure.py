"""Remember the last run that failed. `flood_assets.query.status` decides what has healed it since."""

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from flood_assets.lake.layout import FAILURE
from flood_assets.lake.objects import Blob
from flood_assets.lake.store import Revision, Store
from flood_assets.partitions import from_ms, to_ms


@dataclass(frozen=True)
class RunFailure:
    """The step of a run that failed, such as the name of a table, and when."""

    step: str
    at: datetime


def record(store: Store, failure: RunFailure) -> None:
    """Remember a failure in place of the one before. Its message is not kept: it may hold a password of a URL."""
    data = json.dumps({"step": failure.step, "at_ms": to_ms(failure.at)}).encode()

    def replaced(_blob: Blob | None) -> Revision[None]:
        return Revision(data, None)

    store.update(FAILURE, replaced)


def last(store: Store) -> RunFailure | None:
    """Return the last failure; None without one, or when its object cannot be understood."""
    blob = store.read(FAILURE)
    if blob is not None:
        with suppress(ValueError, KeyError, TypeError, OverflowError):
            found = json.loads(blob.data.to_pybytes())
            return RunFailure(str(found["step"]), from_ms(int(found["at_ms"])))
    return None
