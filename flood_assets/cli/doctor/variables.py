"""The settings of the environment, which `flood_assets.settings` reads."""

import os

from flood_assets import settings
from flood_assets.cli.doctor.finding import Doing, Finding, Findings, Level, stamp
from flood_assets.errors import SettingsError


def check_settings(_: Doing) -> Findings:
    """The settings of the environment: what they are, where they come from, and whether they can be used."""
    try:
        yield Finding(Level.OK, f"FLOOD_API_URL: {settings.api_url()} ({_origin('FLOOD_API_URL', 'the live API')})")
    except SettingsError as error:
        yield Finding(Level.FAILED, str(error), "correct FLOOD_API_URL, or unset it for the live API")
    place = settings.lake_url()
    yield Finding(Level.OK, f"FLOOD_LAKE_URL: {place} ({_origin('FLOOD_LAKE_URL', 'a folder where you are now')})")
    try:
        moment = settings.now()
    except SettingsError as error:
        yield Finding(Level.FAILED, str(error), "correct FLOOD_NOW, or unset it for the machine's clock")
        return
    if os.environ.get("FLOOD_NOW"):
        yield Finding(
            Level.NOTE, f"FLOOD_NOW pretends that it is {stamp(moment)}", "unset it unless a recording is replayed"
        )
    else:
        yield Finding(Level.OK, f"FLOOD_NOW: not set, this machine's clock says {stamp(moment)}")


def _origin(name: str, default: str) -> str:
    return "from the environment" if os.environ.get(name) else f"default: {default}"
