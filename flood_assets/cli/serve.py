"""Run the HTTP server, for `flood-assets serve`."""

import socket
from collections.abc import Callable
from datetime import datetime

import click

from flood_assets.errors import SettingsError
from flood_assets.lake.lake import Lake
from flood_assets.query.place import Place
from flood_assets.serve.watch import Watcher


class NoLakeError(SettingsError):
    """Lake that is not there yet."""


def serve(lake_url: str, host: str, port: int, clock: Callable[[], datetime]) -> None:
    """Serve the lake until Ctrl-C.

    A lake that is not there yet, or cannot be reached, is waited for.

    Raises:
        SettingsError: the address is taken or is none of this machine's.
    """
    from flood_assets.serve.app import create  # noqa: PLC0415 - only this command needs FastAPI and uvicorn
    from flood_assets.serve.server import Server  # noqa: PLC0415

    def opened() -> Lake:
        found = Place.of(lake_url, clock()).lake
        if found is None:
            raise NoLakeError(f"there is no lake at {lake_url} yet: `flood-assets refresh` makes and fills it")
        return found

    listening = _listening(host, port)
    here = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
    click.echo(f"Serving {lake_url} on {here}/ (API: {here}/docs); stop with Ctrl-C.")
    Server(create(Watcher(opened, clock), clock)).run([listening])


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048
        )
    except OSError as error:
        raise SettingsError(f"cannot listen on {host}:{port} ({error.strerror}): choose another with --port") from None
