"""Print what the lake holds, for `flood-assets status`. `flood_assets.query.status` computes it."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from rich import box
from rich.console import Console
from rich.table import Table as Grid

from flood_assets.partitions import retained_windows
from flood_assets.query.place import Place
from flood_assets.query.status import Completeness, Freshness, Status, look
from flood_assets.schemas import READINGS, REJECTS

# Windows and objects that are named; the others are counted.
NAMED = 5


def show(lake_url: str, now: datetime) -> None:
    """Print what the lake holds. Nothing is changed: a folder that is not there is not made.

    Raises:
        LakeError: the lake cannot be opened or listed.
    """
    console = Console(highlight=False, markup=False)
    lake = Place.of(lake_url, now).lake
    absent = (f"lake: {lake_url}", "There is no lake there yet: `flood-assets refresh` makes and fills it.")
    for line in absent if lake is None else _lines(look(lake, now)):
        # Wrapped for people only: a script that reads it finds each line whole.
        console.print(line, soft_wrap=isinstance(line, str) and not console.is_terminal)


def _lines(status: Status) -> Iterator[str | Grid]:
    yield f"lake: {status.url}"
    yield f"API:  {status.api or 'none yet: the first refresh decides'}"
    yield from (f"problem: {problem}" for problem in status.problems)
    if status.empty:
        yield "Nothing is stored yet: `flood-assets refresh` fills the last 24 hours."
    else:
        asked = f"{_time(status.as_of)}, {_ago(status.now - status.as_of)}" if status.as_of else "unknown"
        yield f"last refresh: {asked} (now is {_time(status.now)})"
        yield _grid(status)
        yield from _readings(status)
    for name, table in status.tables.items():
        yield from (f"damaged: {name} {_time(window)}: {reason}" for window, reason in table.damaged.items())
    if status.quarantined:
        count, named = len(status.quarantined), _some(status.quarantined)
        yield f"quarantined: {count} damaged objects, which expire with their windows: {named}"


def _grid(status: Status) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    grid.add_column("table", overflow="fold")
    for head in ("windows", "rows", "bytes", "oldest (UTC)", "newest (UTC)"):
        grid.add_column(head, justify="right", overflow="fold")
    every = len(retained_windows(status.now))
    for name, table in status.tables.items():
        span = [f"{moment:%Y-%m-%d %H:%M}" if moment else "-" for moment in (table.oldest, table.newest)]
        windows = f"{len(table.windows)} of {every}"
        grid.add_row(name, windows, f"{table.rows:,}", f"{table.size:,}", *span)
    return grid


def _readings(status: Status) -> Iterator[str]:
    readings, rejects = status.tables[READINGS.name], status.tables[REJECTS.name]
    if readings.rows:
        yield f"size: {readings.size / readings.rows:.1f} bytes a reading"
    yield from _freshness(status.freshness, status.now)
    if status.completeness:
        yield from _completeness(status.completeness)
    if status.missing:
        named = _some([_time(window) for window in status.missing])
        yield f"missing windows: {len(status.missing)}: {named}. The next `flood-assets refresh` reads them"
    expired = sum(len(table.expired) for table in status.tables.values())
    if status.past or expired:
        yield (
            f"older than 24 hours: {expired} whole windows, and {status.past:,} readings of the window that contains "
            "the cutoff: `flood-assets expire` deletes them"
        )
    if rejects.rows:
        yield f"rejects: {rejects.rows:,} rows or cells of the API could not be parsed, see the table `rejects`"


def _freshness(fresh: Freshness | None, now: datetime) -> Iterator[str]:
    if fresh is None:
        yield "measures: none has a reading of the last 24 hours"
        return
    shares = ", ".join(f"{_percent(count, fresh.measures)} within {_span(age)}" for age, count in fresh.within.items())
    yield f"measures: {fresh.measures:,} with a reading of the last 24 hours: {shares}"
    if fresh.silent is not None:
        yield f"silent: {fresh.silent:,} of the {fresh.known:,} known measures have none"
    yield f"newest reading: {_time(fresh.newest)}, {_ago(now - fresh.newest)}"


def _completeness(whole: Completeness) -> Iterator[str]:
    counts = whole.counts
    there = _percent(counts["expected"] - counts["missing"], counts["expected"])
    yield (
        f"completeness: {there} of the {counts['expected']:,} readings expected of {whole.measures:,} measures in 24 "
        f"hours by their reporting intervals; {counts['late']:,} came late, {counts['several']:,} have several values, "
        f"{counts['without_value']:,} none"
    )
    if counts["missing"]:
        asks = ": the next `flood-assets refresh` asks for them" if counts["not_fetched"] else ""
        yield (
            f"missing: {counts['missing']:,} readings: {counts['silent']:,} because the gauge was silent "
            f"({whole.idle_missing:,} of all missing are of {whole.idle:,} measures without any reading today), "
            f"{counts['not_due']:,} are not due yet, {counts['not_fetched']:,} were not fetched{asks}"
        )


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


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
