"""Open a lake for the server, and make its application by the operator's settings; whoever runs it is elsewhere."""

import time
from collections.abc import Callable
from datetime import datetime

from fastapi import FastAPI

from flood_assets.lake.lake import Lake
from flood_assets.query.place import opened_if_there
from flood_assets.serve.app import create
from flood_assets.serve.keys import Keys
from flood_assets.serve.limits import Limits
from flood_assets.serve.watch import NoLakeError, Watcher
from flood_assets.settings import Serving


def watcher_of(lake_url: str, clock: Callable[[], datetime]) -> Watcher:
    """Return a watcher of a lake, which is opened at its first look; one that is not there yet is waited for."""

    def opened() -> Lake:
        found = opened_if_there(lake_url)
        if found is None:
            raise NoLakeError("there is no lake yet: `flood-assets refresh` makes and fills it")
        return found

    return Watcher(opened, clock)


def application(watcher: Watcher, clock: Callable[[], datetime], given: Serving) -> FastAPI:
    """Return the application with the limits of the settings.

    Raises:
        SettingsError: the file of keys cannot be read.
    """
    keys = Keys(given.keys, time.monotonic) if given.keys else None
    limits = Limits(given.rate, keys, given.keys_required, given.trusted_proxies)
    return create(watcher, clock, clients=given.clients, limits=limits)
