"""Run the HTTP server, for `flood-assets serve`."""

import ctypes
import socket
from collections.abc import Callable
from datetime import datetime

import click

from flood_assets.errors import SettingsError
from flood_assets.settings import Serving

# Of glibc's malloc.h.
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8


def serve(lake_url: str, host: str, port: int, clock: Callable[[], datetime], given: Serving) -> None:
    """Serve the lake until Ctrl-C.

    A lake that is not there yet, or cannot be reached, is waited for.

    Raises:
        SettingsError: the address is taken or is none of this machine's, or the file of keys cannot be read.
    """
    from flood_assets.serve.opening import application, watcher_of  # noqa: PLC0415 - only this command needs FastAPI
    from flood_assets.serve.server import Server  # noqa: PLC0415

    _return_freed_memory()
    app = application(watcher_of(lake_url, clock), clock, given)
    listening = _listening(host, port)
    here = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
    click.echo(f"Serving {lake_url} on {here}/ (API: {here}/docs); stop with Ctrl-C.")
    Server(app).run([listening])


def make_key(name: str, rate: float, rights: str) -> None:
    """Print a new key, and its line for the file of keys."""
    from flood_assets.serve.keys import new  # noqa: PLC0415

    key, line = new(name, rate, rights)
    click.echo(
        f"The key, which is shown only now:\n\n    {key}\n\nIts line for the file of FLOOD_API_KEYS:\n\n    {line}"
    )


def _return_freed_memory() -> None:
    """Make glibc return large blocks to the system when they are freed; elsewhere, do nothing.

    Its threshold for that otherwise grows with the largest block so far, and each thread keeps a heap of its own: after
    a few files of the whole day, a server held 90 MB more.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_THRESHOLD, 256 * 1024)
    mallopt(_M_ARENA_MAX, 1)


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048
        )
    except OSError as error:
        raise SettingsError(f"cannot listen on {host}:{port} ({error.strerror}): choose another with --port") from None
