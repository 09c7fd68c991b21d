"""Follow a stream in the terminal, for `flood-assets consume`, with progress and a summary at the end."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from types import FrameType

from rich.console import Console

from flood_assets import settings
from flood_assets.cli.printing import say
from flood_assets.consume.consumer import Consumed, Consumer
from flood_assets.consume.opening import open_stream
from flood_assets.lake.archive import Archive
from flood_assets.lake.lake import Lake
from flood_assets.words import counted

# Outside a terminal, progress is printed so often.
EVERY_S = 60.0


def consume(lake_url: str, url: str, clock: Callable[[], datetime], *, once: bool) -> int:
    """Consume a stream until it is drained (`once`), or until SIGINT or SIGTERM; return the exit code.

    Raises:
        SettingsError: no stream, or a lake that is filled from something else.
        SinkError: the stream cannot be read.
        LakeError: the lake cannot be read or written.
    """
    console, place = Console(), settings.archive()
    stop = threading.Event()
    with closing(open_stream(url, clock, once=once)) as stream, _signals(stop), _messages(console):
        lake = Lake.open(lake_url)
        archive = Archive.beside(lake.store, place) if place else None
        consumer = Consumer(lake, stream, clock, tell=_Progress(console), stop=stop, archive=archive)
        try:
            found = consumer.run(once=once)
        except Exception:
            if consumer.result.records:
                say(console, told(consumer.result, stream.url))
            raise
    say(console, told(found, stream.url))
    for name in found.unreadable:
        say(console, f"a batch cannot be decoded and is kept as {name}", "red")
    return int(once and bool(found.lost or found.unreadable))


def told(found: Consumed, url: str) -> str:
    """Return what became of the records in one sentence."""
    counts = ", ".join(f"{getattr(found, name):,} {name}" for name in ("added", "revised", "unchanged", "expired"))
    parts = [f"{url}: {counted(found.records, 'record')} read: {counts}"]
    if found.refused:
        parts.append(f"{counted(found.refused, 'record')} refused, see the table `rejects`")
    if found.newest:
        parts.append(f"the newest changed at {found.newest:%Y-%m-%d %H:%M:%S}Z")
    return "; ".join(parts)


class _Progress:
    """Print the result so far: in a terminal over the last one, elsewhere once a minute."""

    def __init__(self, console: Console) -> None:
        self._console, self._said, self._records = console, time.monotonic(), 0

    def __call__(self, found: Consumed) -> None:
        every_s = 1.0 if self._console.is_terminal else EVERY_S
        if found.records > self._records and time.monotonic() - self._said >= every_s:
            self._said, self._records = time.monotonic(), found.records
            newest = f", changed up to {found.newest:%H:%M:%S}Z" if found.newest else ""
            line = f"{counted(found.records, 'record')} read{newest}"
            self._console.print(line, end="\r" if self._console.is_terminal else "\n", markup=False, highlight=False)


@contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    """End after the batch on SIGINT and SIGTERM; the second one ends at once, which loses nothing either."""
    names = (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {name: signal.getsignal(name) for name in names}

    def end(name: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(name, signal.SIG_DFL)

    for name in names:
        signal.signal(name, end)
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


@contextmanager
def _messages(console: Console) -> Iterator[None]:
    """Show warnings and errors of the package while it runs."""
    package, listener = logging.getLogger("flood_assets"), logging.Handler(logging.WARNING)

    def emit(record: logging.LogRecord) -> None:
        say(console, record.getMessage(), "red" if record.levelno >= logging.ERROR else "yellow")

    listener.emit = emit  # type: ignore[method-assign]
    propagated, package.propagate = package.propagate, False
    package.addHandler(listener)
    try:
        yield
    finally:
        package.removeHandler(listener)
        package.propagate = propagated
