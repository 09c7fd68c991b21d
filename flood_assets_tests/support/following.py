"""Lakes that follow another one through a stream, compared with it, and consumers that die at any point."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any

import pytest

from flood_assets.consume.consumer import Consumed, Consumer
from flood_assets.consume.opening import open_stream
from flood_assets.consume.stream import Portion, Stream
from flood_assets.lake.lake import Lake
from flood_assets.schemas import READINGS
from flood_assets_tests.support.publishing import Fate, Killed


def rows_of(lake: Lake, now: datetime) -> dict[tuple[str, datetime], dict[str, Any]]:
    """Return the retained readings by their keys, which must be there once."""
    rows = lake.read(READINGS, now=now).to_pylist()
    found = {(row["measure_id"], row["date_time"]): row for row in rows}
    assert len(found) == len(rows)
    return found


def drain(lake: Lake, url: str, now: datetime, **more: Any) -> Consumed:
    """Consume what is there."""
    with closing(open_stream(url, lambda: now, once=True)) as stream:
        return Consumer(lake, stream, lambda: now, **more).run(once=True)


@contextmanager
def mortal_lake(lake: Lake, fate: Fate) -> Iterator[None]:
    """Let the process die before and after each object of the lake is written or deleted."""
    put, delete = lake.store.put, lake.store.delete

    def dying_put(key: str, data: bytes, *, replaces: Any) -> None:
        fate.point()
        put(key, data, replaces=replaces)
        fate.point()

    def dying_delete(keys: Sequence[str]) -> None:
        # One at a time: a process may die in the middle.
        for key in keys:
            fate.point()
            delete([key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lake.store, "put", dying_put)
        patch.setattr(lake.store, "delete", dying_delete)
        yield


@contextmanager
def mortal_stream(stream: Stream, fate: Fate) -> Iterator[None]:
    """Let the process die after each read, and before and after records are confirmed."""
    read, confirm = stream.read, stream.confirm

    def dying_read() -> Sequence[Portion]:
        found = read()
        fate.point()
        return found

    def dying_confirm(portions: Sequence[Portion]) -> None:
        fate.point()
        confirm(portions)
        fate.point()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "read", dying_read)
        patch.setattr(stream, "confirm", dying_confirm)
        yield


def drain_mortally(
    lake: Lake, url: str, now: datetime, fate: Fate, *, opened: Callable[..., Stream] = open_stream
) -> bool:
    """Consume what is there; return False if the process died of it."""
    with closing(opened(url, lambda: now, once=True)) as stream:
        try:
            with mortal_lake(lake, fate), mortal_stream(stream, fate):
                Consumer(lake, stream, lambda: now).run(once=True)
        except Killed:
            return False
    return True
