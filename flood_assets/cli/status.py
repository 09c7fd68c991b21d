"""Print what the lake holds, for `flood-assets status`. `flood_assets.query.status` computes it."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import click
from rich.console import Console
from rich.table import Table as Grid

from flood_assets.cli.printing import plain_table, say
from flood_assets.partitions import retained_windows
from flood_assets.query.place import Place
from flood_assets.query.status import Completeness, Freshness, Status, WarningStatus, look
from flood_assets.query.status_json import JSON_VERSION, content, iso
from flood_assets.schemas import READINGS, REJECTS
from flood_assets.words import counted

# Windows and objects that are named; the others are counted.
NAMED = 5


def show(lake_url: str, now: datetime, *, as_json: bool = False) -> int:
    """Print what the lake holds, as text or as one JSON object, and return the exit code: 1 if there is a fault.

    Nothing is changed: a folder that is not there is not made.

    Raises:
        LakeError: the lake cannot be opened or listed.
    """
    lake = Place.of(lake_url, now).lake
    status = None if lake is None else look(lake, now)
    if as_json:
        click.echo(json.dumps(_absent(lake_url, now) if status is None else content(status), indent=2))
        return 1 if status is None or status.faults else 0
    console = Console(highlight=False, markup=False)
    for line in _absent_lines(lake_url) if status is None else _lines(status):
        if isinstance(line, str):
            say(console, line)
        else:
            console.print(line)
    return 1 if status is None or status.faults else 0


# -- text


def _absent_lines(lake_url: str) -> Iterator[str]:
    yield f"lake: {lake_url}"
    yield "fault: there is no lake yet: `flood-assets refresh` makes and fills it"


def _lines(status: Status) -> Iterator[str | Grid]:
    yield f"lake: {status.url}"
    if status.follows:
        yield f"stream: {status.api}"
    else:
        yield f"API:  {status.api or 'none yet: the first refresh decides'}"
    if status.shard is not None:
        from flood_assets.network import described  # noqa: PLC0415 - few networks have shards

        yield f"shard: {described(status.shard)}"
    if status.shards:
        yield ""
        yield _shards(status)
        yield ""
    if not status.empty:
        asked = f"{_time(status.as_of)}, {_ago(status.now - status.as_of)}" if status.as_of else "unknown"
        yield f"{'newest change' if status.follows else 'last refresh'}: {asked} (now is {_time(status.now)})"
        yield ""
        yield _grid(status)
        yield ""
        yield from _readings(status)
    for name, table in status.tables.items():
        yield from (f"damaged: {name} {_time(window)}: {reason}" for window, reason in table.damaged.items())
    if status.quarantined:
        found = counted(len(status.quarantined), "damaged object")
        yield f"quarantined: {found}, deleted when the window expires: {_some(status.quarantined)}"
    yield from (f"fault: {fault}" for fault in status.faults)


def _shards(status: Status) -> Grid:
    grid = plain_table("shard", "windows", "readings", "measures", "newest (UTC)", "refreshed (UTC)", "faults", left=1)
    every = len(retained_windows(status.now))
    for name, each in status.shards.items():
        readings, fresh = each.tables[READINGS.name], each.freshness
        times = [f"{at:%m-%d %H:%M}" if at else "-" for at in (fresh and fresh.newest, each.as_of)]
        windows, measures = f"{len(readings.windows)} of {every}", fresh.measures if fresh else 0
        grid.add_row(name, windows, f"{readings.rows:,}", f"{measures:,}", *times, f"{len(each.faults):,}")
    return grid


def _grid(status: Status) -> Grid:
    grid = plain_table("table", "windows", "rows", "bytes", "oldest (UTC)", "newest (UTC)", left=1)
    every = len(retained_windows(status.now))
    for name, table in status.tables.items():
        span = [f"{moment:%m-%d %H:%M}" if moment else "-" for moment in (table.oldest, table.newest)]
        windows = f"{len(table.windows)} of {every}"
        grid.add_row(name, windows, f"{table.rows:,}", f"{table.size:,}", *span)
    return grid


def _readings(status: Status) -> Iterator[str]:
    readings, rejects = status.tables[READINGS.name], status.tables[REJECTS.name]
    if readings.rows:
        yield f"size: {readings.size / readings.rows:.1f} bytes a reading"
    yield from _freshness(status.freshness, status.now)
    if status.completeness:
        yield from _completeness(status.completeness, status.fill, follows=status.follows)
    if status.warnings:
        yield _warnings(status.warnings)
    if status.missing:
        named = _some([_time(window) for window in status.missing])
        yield f"missing windows: {len(status.missing):,}: {named}. `{status.fill}` reads them"
    expired = sum(len(table.expired) for table in status.tables.values())
    if status.past or expired:
        crossing = f"{counted(status.past, 'reading')} of the window that contains the cutoff"
        yield (
            f"older than 24 hours: {counted(expired, 'whole window')}, and {crossing}: the next `{status.fill}` "
            "deletes them, or `flood-assets expire` does"
        )
    if rejects.rows:
        odd = counted(rejects.rows, "row or cell", "rows or cells")
        whose = "stream" if status.follows else "API"
        yield f"rejects: {odd} of the {whose} could not be parsed, see the table `rejects`"


def _freshness(fresh: Freshness | None, now: datetime) -> Iterator[str]:
    if fresh is None:
        yield "measures: none has a reading of the last 24 hours"
        return
    shares = ", ".join(f"{_percent(count, fresh.measures)} within {_span(age)}" for age, count in fresh.within.items())
    every = "" if fresh.known is None else f" of {fresh.known + fresh.unlisted:,}"
    yield f"measures: {fresh.measures:,}{every} with a reading of the last 24 hours: {shares}"
    if fresh.silent is not None:
        unlisted = f"; reporting but not listed: {fresh.unlisted:,}" if fresh.unlisted else ""
        yield f"silent: {fresh.silent:,} of the {fresh.known:,} listed measures{unlisted}"
    yield f"newest reading: {_time(fresh.newest)}, {_ago(now - fresh.newest)}"


def _completeness(whole: Completeness, fill: str, *, follows: bool) -> Iterator[str]:
    counts = whole.counts
    there = counts["expected"] - counts["missing"]
    yield (
        f"completeness: {_percent(there, counts['expected'])} of the {counts['expected']:,} readings expected from "
        f"{counted(whole.measures, 'measure')} with a known reporting interval; {counts['late']:,} came late, "
        f"{counts['several']:,} with several values, {counts['without_value']:,} without any"
    )
    if counts["missing"]:
        never = f"{whole.idle_silent:,} of {counted(whole.idle, 'measure')} without any reading of the day, "
        yield (
            f"missing: {counted(counts['missing'], 'reading')}: {never if whole.idle else ''}"
            f"{counts['silent'] - whole.idle_silent:,} not sent by {'other' if whole.idle else 'their'} gauges, "
            f"{counts['not_due']:,} not due yet, {counts['not_fetched']:,} not fetched"
        )
        if counts["not_fetched"]:
            wanted = (
                f"the other lake has not published them: `{fill}` takes what comes"
                if follows
                else (f"the next `{fill}` asks for them")
            )
            yield f"not fetched: {wanted}"
        else:
            yield "nothing is lost: the API had not published the missing readings when it was asked"


def _warnings(warned: WarningStatus) -> str:
    levels = zip(("severe flood warning", "flood warning", "flood alert"), warned.levels.values(), strict=True)
    told = ", ".join(counted(number, name) for name, number in levels if number)
    by = f"by the list of {_time(warned.asked_at)}"
    if not warned.in_force:
        return f"warnings: none in force, {by}"
    return f"warnings: {warned.in_force:,} in force{f': {told}' if told else ''}, {by}"


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _percent(part: int, whole: int) -> str:
    """Round down, so that only all is 100 %."""
    return f"{int(1000 * part / whole) / 10 if whole else 0:.1f} %"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}Z"


def _span(length: timedelta) -> str:
    minutes = length // timedelta(minutes=1)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h"


def _ago(length: timedelta) -> str:
    if length < timedelta(0):
        return f"{_minutes(-length)} ahead of this machine's clock"
    return f"{_minutes(length)} ago"


def _minutes(length: timedelta) -> str:
    minutes = length // timedelta(minutes=1)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _absent(lake_url: str, now: datetime) -> dict[str, Any]:
    fault = "there is no lake yet: run `flood-assets refresh`"
    return {"version": JSON_VERSION, "lake": lake_url, "now": iso(now), "exists": False, "faults": [fault]}
