"""Publish by hand, and print the description of the events, for `flood-assets publish`."""

import json
from datetime import datetime, timedelta
from typing import Literal

import click
from rich.console import Console

from flood_assets import settings
from flood_assets.cli.printing import say
from flood_assets.errors import LakeError, SettingsError
from flood_assets.lake.known import lakes_at
from flood_assets.lake.lake import Lake
from flood_assets.publish import schema
from flood_assets.publish.publisher import Published, publish_all
from flood_assets.query.durations import parse
from flood_assets.query.place import opened_if_there
from flood_assets.settings import Publishing
from flood_assets.words import counted


def publish(lake_url: str, given: Publishing, last: str | None) -> int:
    """Publish to the sinks once; return the exit code: 1 if one of them has not confirmed everything.

    Args:
        lake_url: whose readings to publish; of shards, each has its own cursors, as when its refresh publishes.
        given: the sinks.
        last: a duration such as `2h`: send what changed since, known or not.

    Raises:
        SettingsError: no sink, no lake, or no duration.
    """
    if not given.sinks:
        raise SettingsError(
            f"nothing to publish to: give --to URL or set FLOOD_PUBLISH, such as {settings.SINKS['kinesis']}"
        )
    now = settings.now()
    since = None if last is None else now - _duration(last)
    lake = opened_if_there(lake_url)
    if lake is None:
        raise SettingsError(f"there is no lake at {lake_url}: `flood-assets refresh` makes and fills it")
    console, failed = Console(), False
    for name, url in lakes_at(lake.store).items():
        try:
            confirmed = publish_all(Lake.open(url), given, settings.now, since=since)
        except LakeError as error:
            if not name:
                raise
            # One shard does not hold up the others.
            say(console, f"{name}: {error}", "red")
            failed = True
            continue
        for found in confirmed:
            say(console, f"{name}: {told(found, now)}" if name else told(found, now), "red" if found.trouble else "")
            failed |= bool(found.trouble)
    return int(failed)


def told(found: Published, now: datetime) -> str:
    """Return what became of the changes in one line."""
    parts = [f"{found.sink}: {counted(found.events, 'event')} published"]
    if found.refused:
        parts.append(f"{found.refused:,} of them refused and kept as dead letters")
    if found.damaged:
        parts.append(f"{counted(found.damaged, 'damaged window')} left out until repaired")
    if found.waiting:
        parts.append(f"{found.waiting:,} waiting, the oldest for {found.lag_s(now) / 60:.0f} minutes")
    return ", ".join(parts) + (f": {found.trouble}" if found.trouble else "")


def show_schema(form: Literal["event", "alert", "asyncapi"]) -> None:
    """Print the JSON Schema of an event of a reading or an alert, or the AsyncAPI document."""
    made = {"event": schema.event_schema, "alert": schema.alert_schema, "asyncapi": schema.asyncapi}
    click.echo(json.dumps(made[form](), indent=2))


def subscribe(url: str, secret: str | None, *, once: bool) -> None:
    """Print events as they arrive, one JSON object a line, until Ctrl-C."""
    from flood_assets.publish.subscribe import subscribe as events  # noqa: PLC0415 - it imports an HTTP server

    try:
        for event in events(url, settings.now, secret=secret, once=once):
            click.echo(json.dumps(event))
    except KeyboardInterrupt:
        return


def _duration(text: str) -> timedelta:
    found = parse(text)
    if found is None or found.total_seconds() <= 0:
        raise SettingsError(f"--from is '{text}': expected a duration, such as 2h or 90min")
    return found
