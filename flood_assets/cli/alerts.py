"""Print what is firing, and when rules would have fired, for `flood-assets alerts`."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import click

from flood_assets.alerts.replay import REPLAYED, replay
from flood_assets.alerts.rules import read_rules
from flood_assets.cli.opening import opened
from flood_assets.errors import SettingsError
from flood_assets.partitions import RETENTION
from flood_assets.query.alerts import CLEARED, FIRING, LEARNT_LATE, Alert, stored_alerts
from flood_assets.words import counted

_NO_WARNING = "These alerts are made by rules of your own and are no official warning."


def show(lake_url: str, now: datetime) -> None:
    """Print the alerts that are firing, and those that ended in the last day.

    Raises:
        LakeError: there is no lake, or it could not be read.
    """
    lake = opened(lake_url, now)
    state = stored_alerts(lake, now)
    for trouble in lake.troubles:
        click.echo(trouble, err=True)
    if state.judged_at is None:
        click.echo("no alerts were judged yet: set FLOOD_ALERTS to a file of rules, and run `flood-assets refresh`")
        return
    click.echo(f"{counted(len(state.firing), 'alert')} firing, judged at {_time(state.judged_at)}. {_NO_WARNING}")
    if state.is_old(now):
        click.echo("That was over an hour ago: run `flood-assets refresh` with FLOOD_ALERTS set.")
    for note in state.notes:
        click.echo(f"note: {note}")
    over = sorted((each for each in state.rows if not each.lasts), key=lambda each: each.since, reverse=True)
    for alert in (*state.firing, *(each for each in state.rows if each.lasts and each.status != FIRING), *over):
        for line in _lines(alert):
            click.echo(line)


def test(lake_url: str, rules: Path, until: datetime, now: datetime) -> None:
    """Print when the rules of a file would have fired and cleared in the day up to a moment.

    Raises:
        SettingsError: the rules cannot be read, or the moment is not in the last 24 hours.
        LakeError: there is no lake, or it could not be read.
    """
    found = read_rules(rules)
    if not now - RETENTION < until <= now:
        raise SettingsError(f"--at is {_time(until)}: readings are kept from {_time(now - RETENTION)} to {_time(now)}")
    events, state, remarks = replay(opened(lake_url, now), found, until, now)
    left_out = [rule.name for rule in found if rule.kind not in REPLAYED]
    if left_out:
        click.echo(f"not replayed, because only their present is known: {', '.join(left_out)}")
    for note in (*state.notes, *remarks):
        click.echo(f"note: {note}")
    for at, event in events:
        alert = event.alert
        said = {FIRING: "fires", CLEARED: "clears", LEARNT_LATE: "learnt late"}[event.what]
        over = "" if event.what != LEARNT_LATE else f" (was so from {_time(alert.since)}{_until(alert)})"
        why = alert.ended_because if event.what == CLEARED else alert.why
        click.echo(f"{_time(at)}  {said}: {alert.rule}: {alert.label}\n    {why}{over}")
    fired = Counter(event.alert.rule for _, event in events if event.what == FIRING)
    click.echo(
        f"{counted(len(found) - len(left_out), 'rule')} would have fired {counted(fired.total(), 'time')} from "
        f"{_time(now - RETENTION)} to {_time(until)}, and {counted(len(state.firing), 'alert')} would be firing then"
    )
    firing = Counter(alert.rule for alert in state.firing)
    for name in (rule.name for rule in found if rule.kind in REPLAYED):
        click.echo(f"    {name}: {counted(fired[name], 'time')}, {firing[name]:,} firing then")


def _lines(alert: Alert) -> Iterator[str]:
    status = {FIRING: "FIRING", CLEARED: "cleared", LEARNT_LATE: "learnt late"}[alert.status]
    yield f"{status}  {alert.rule}: {alert.label}, since {_time(alert.since)}{_until(alert)}"
    yield f"    {alert.why}"
    if alert.value is not None and alert.peak is not None and alert.value_at is not None:
        unit = alert.unit or ""
        yield f"    now {alert.value:.3f} {unit} at {_time(alert.value_at)}, at most {alert.peak:.3f} {unit}".rstrip()
    if alert.unknown or alert.ended_because:
        yield f"    {alert.unknown or alert.ended_because}"


def _until(alert: Alert) -> str:
    return f" to {_time(alert.until)}" if alert.until else ""


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%MZ}"
