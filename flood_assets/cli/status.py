"""What the lake holds at this moment: `look` computes it, `show` prints it for `flood-assets status`.

It changes nothing and asks nobody but the lake. Whether settings, API and Dagster are in order is the subject of
`flood_assets.cli.doctor`.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from rich import box
from rich.console import Console
from rich.table import Table as Grid

from flood_assets.errors import LakeError
from flood_assets.lake import watermarks as marking
from flood_assets.lake.lake import READERS, Lake, Stored, StoredWindow
from flood_assets.lake.layout import QUARANTINE, WATERMARKS_KEY, key_of
from flood_assets.lake.parquet import DamagedWindowError, schema_of
from flood_assets.ledger.account import Account, take
from flood_assets.ledger.day import READ
from flood_assets.partitions import cutoff, is_expired, retained_windows, utc
from flood_assets.schemas import MEASURES, READINGS, REJECTS, TABLES, TIME, Table

# What a gauge's newest reading is compared with. 74 % of all measures are within the hour at any time.
AGES = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=6))

# Of windows and objects, so many are named; of the others the number is told.
NAMED = 5


@dataclass(frozen=True)
class TableStatus:
    """What is stored of one table.

    Attributes:
        name: the table's.
        windows: retained windows that are there.
        expired: windows that are there and should not be any more.
        rows: in the retained windows, as stored.
        size: bytes of the retained windows' objects.
        oldest: the oldest time in them; of a snapshot, its oldest window; None without rows.
        newest: likewise.
        damaged: windows that cannot be read, and why.
    """

    name: str
    windows: Sequence[datetime]
    expired: Sequence[datetime]
    rows: int
    size: int
    oldest: datetime | None
    newest: datetime | None
    damaged: Mapping[datetime, str]


@dataclass(frozen=True)
class Freshness:
    """How old the newest readings are.

    Attributes:
        measures: that have a retained reading.
        within: how many of them have one that is at most so old, for each of `AGES`.
        newest: time of the newest reading of all.
        known: measures in the newest snapshot; None without one.
        silent: those of them without a retained reading; None without a snapshot.
    """

    measures: int
    within: Mapping[timedelta, int]
    newest: datetime
    known: int | None
    silent: int | None


@dataclass(frozen=True)
class Completeness:
    """What the ledger says of the retained day, over all measures that have a rhythm (see `flood_assets.ledger`).

    Attributes:
        measures: that have a rhythm.
        counts: of each count of `schemas.COMPLETENESS` the sum.
        idle: measures without any reading of the day.
        idle_missing: readings that these let expect.
    """

    measures: int
    counts: Mapping[str, int]
    idle: int
    idle_missing: int


@dataclass(frozen=True)
class Status:
    """What the lake holds at `now`.

    Attributes:
        url: the lake's.
        api: the API that it is filled from; None when nobody has claimed it.
        now: the time that this is about.
        tables: by name.
        missing: retained windows without readings that should be there; the two ends of the day need not be.
        past: stored readings that are no longer retained and wait for `flood-assets expire`.
        measures: that the stored readings are of, retained or not.
        as_of: when the API was asked last, as far as the watermarks tell.
        freshness: None without a retained reading.
        completeness: None when no measure has a rhythm.
        quarantined: damaged objects below `_quarantine/`.
        problems: what else could not be read, and what to do.
    """

    url: str
    api: str | None
    now: datetime
    tables: Mapping[str, TableStatus]
    missing: Sequence[datetime] = ()
    past: int = 0
    as_of: datetime | None = None
    freshness: Freshness | None = None
    completeness: Completeness | None = None
    quarantined: Sequence[str] = ()
    problems: Sequence[str] = ()

    @property
    def empty(self) -> bool:
        """Whether no window of any table is there."""
        return not any(table.windows or table.expired for table in self.tables.values())


@dataclass(frozen=True)
class _Window:
    """One window, looked at: how many rows it has and from when to when, or why it cannot be read.

    Of `readings` also how many are past their day, and the newest retained time of each measure.
    """

    rows: int = 0
    times: tuple[datetime, ...] = ()
    past: int = 0
    newest: pa.Table | None = None
    damage: str = ""


def show(lake_url: str, now: datetime) -> None:
    """Print what the lake holds.

    Raises:
        LakeError: the lake cannot be opened or listed.
    """
    console = Console(highlight=False, markup=False)
    if not _is_there(lake_url):
        # Opening would make the folder, and looking should change nothing.
        _say(console, f"lake: {lake_url}")
        _say(console, "There is no lake there yet: `flood-assets refresh` makes and fills it.")
        return
    _print(console, look(Lake.open(lake_url), now))


def look(lake: Lake, now: datetime) -> Status:
    """What the lake holds at `now`: of `readings` each object is read once, of the others the footers.

    Raises:
        LakeError: the lake cannot be listed or read. Damaged objects are no error: they are in the result.
    """
    problems: list[str] = []
    tables: dict[str, TableStatus] = {}
    seen: dict[datetime, _Window] = {}

    def read(window: datetime) -> pa.Table:
        try:
            seen[window], rows = _readings(lake, window, now)
        except DamagedWindowError as error:
            seen[window] = _Window(damage=str(error))
            raise
        return rows

    account = take(lake, now, read=read)
    with ThreadPoolExecutor(READERS) as pool:
        for table in TABLES.values():
            listed = lake.windows(table)
            retained = [stored for stored in listed if not is_expired(stored.window, now)]
            if table is READINGS:
                windows = [each.window for each in retained]
                for window in set(windows) - set(seen):  # by this clock, of hours that are yet to come
                    with suppress(DamagedWindowError):
                        read(window)
                found = [seen[window] for window in windows]
            else:
                found = list(pool.map(partial(_window, lake, table), retained))
            tables[table.name] = _table(table, listed, retained, found, now)
    try:
        api = lake.source()
    except LakeError as error:
        api = None
        problems.append(str(error))
    watermarks = marking.load(lake.store)
    if watermarks is None and lake.store.head(WATERMARKS_KEY) is not None:
        problems.append(
            f"{lake.url}/{WATERMARKS_KEY} is damaged: the next refresh reads the day whole and writes it anew"
        )
    if watermarks is not None and watermarks.forgotten:
        problems.append("a damaged window of readings was quarantined: the next refresh reads the day whole")
    snapshot = _snapshot(lake, tables[MEASURES.name], now)
    newest = _newest([window.newest for window in seen.values() if window.newest is not None])
    stored = tables[READINGS.name]
    return Status(
        url=lake.url,
        api=api,
        now=now,
        tables=tables,
        # As `plan.before_latest` sees it: the first and the last window of the day need not be there.
        missing=sorted(set(retained_windows(now)[1:-1]) - set(stored.windows) - set(stored.damaged)),
        past=sum(window.past for window in seen.values()),
        as_of=watermarks.as_of if watermarks and not watermarks.forgotten else None,
        freshness=_freshness(newest, snapshot, now) if len(newest) else None,
        completeness=_completeness(account),
        quarantined=[meta.key for meta in lake.store.list(QUARANTINE)],
        problems=problems,
    )


def _window(lake: Lake, table: Table, stored: StoredWindow) -> _Window:
    try:
        opened = lake.open_footer(table, stored.key)
        # Without one it was deleted since it was listed.
        return _Window() if opened is None else _Window(opened.file.rows, _times(opened))
    except DamagedWindowError as error:
        return _Window(damage=str(error))


def _readings(lake: Lake, window: datetime, now: datetime) -> tuple[_Window, pa.Table]:
    """A window of readings, and its retained rows for the ledger.

    Raises:
        DamagedWindowError: it cannot be decoded.
    """
    opened = lake.load(READINGS, key_of(READINGS, window))
    if opened is None:
        return _Window(), schema_of(READINGS, READ, coded=True).empty_table()
    # Ids as codes: half a million strings would take most of the time.
    # All columns although few are needed: damage in any of them would stop a reader.
    rows = opened.file.read(coded=True).select(READ)
    at = rows["date_time"]
    past = pc.less_equal(at, pa.scalar(cutoff(now), TIME))
    rows = rows.filter(pc.and_(pc.invert(past), pc.less_equal(at, pa.scalar(now, TIME))))
    newest = rows.group_by("measure_id").aggregate([("date_time", "max")])
    return _Window(opened.file.rows, _times(opened), pc.sum(past).as_py() or 0, newest), rows


def _times(opened: Stored) -> tuple[datetime, ...]:
    return tuple(moment for moment in (opened.file.oldest(), opened.file.newest()) if moment is not None)


def _table(
    table: Table,
    listed: Sequence[StoredWindow],
    retained: Sequence[StoredWindow],
    found: Sequence[_Window],
    now: datetime,
) -> TableStatus:
    seen = [(stored, window) for stored, window in zip(retained, found, strict=True) if not window.damage]
    times = [moment for _, window in seen for moment in window.times]
    if not table.time:
        times = [stored.window for stored, window in seen if window.rows]
    return TableStatus(
        name=table.name,
        windows=[stored.window for stored, _ in seen],
        expired=[stored.window for stored in listed if is_expired(stored.window, now)],
        rows=sum(window.rows for _, window in seen),
        size=sum(stored.size for stored in retained),
        oldest=min(times, default=None),
        newest=max(times, default=None),
        damaged={s.window: window.damage for s, window in zip(retained, found, strict=True) if window.damage},
    )


def _snapshot(lake: Lake, table: TableStatus, now: datetime) -> pa.Table | None:
    """measure_id and period_s of the newest snapshot that can be read."""
    for window in reversed(table.windows):
        try:
            rows = lake.read_window(MEASURES, window, now=now, columns=["measure_id", "period_s"])
        except DamagedWindowError:  # behind a sound footer; the checks of `measures` tell it
            continue
        if len(rows):
            return rows
    return None


def _newest(windows: Sequence[pa.Table]) -> pa.Table:
    """Of each measure with retained readings: measure_id and the newest time."""
    nothing = pa.table({"measure_id": pa.array([], pa.string()), "date_time_max": pa.array([], TIME)})
    found = [
        pa.table([each["measure_id"].cast(pa.string()), each["date_time_max"]], nothing.schema) for each in windows
    ]
    grouped = pa.concat_tables([nothing, *found]).group_by("measure_id").aggregate([("date_time_max", "max")])
    return grouped.rename_columns({"date_time_max_max": "newest"})


def _freshness(newest: pa.Table, snapshot: pa.Table | None, now: datetime) -> Freshness:
    ages = _ms(now) - _milliseconds(newest["newest"])
    silent = None
    if snapshot is not None:
        heard = pc.is_in(snapshot["measure_id"], value_set=newest["measure_id"].combine_chunks())
        silent = len(snapshot) - (pc.sum(heard).as_py() or 0)
    return Freshness(
        measures=len(newest),
        within={age: int((ages <= age / timedelta(milliseconds=1)).sum()) for age in AGES},
        newest=utc(pc.max(newest["newest"]).as_py()),
        known=None if snapshot is None else len(snapshot),
        silent=silent,
    )


def _completeness(account: Account) -> Completeness | None:
    expected, received, missing = (account.of_each(name) for name in ("expected", "received", "missing"))
    idle = (expected > 0) & (received == 0)
    if not expected.any():
        return None
    return Completeness(
        measures=int((expected > 0).sum()),
        counts=account.totals(),
        idle=int(idle.sum()),
        idle_missing=int(missing[idle].sum()),
    )


def _milliseconds(times: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return times.cast(pa.int64()).to_numpy()


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _is_there(lake_url: str) -> bool:
    parts = urlsplit(lake_url)
    return parts.scheme != "file" or Path(unquote(parts.path)).exists()


# -- printing


def _print(console: Console, status: Status) -> None:
    _say(console, f"lake: {status.url}")
    _say(console, f"API:  {status.api or 'none yet: the first refresh decides'}")
    for problem in status.problems:
        _say(console, f"problem: {problem}")
    if status.empty:
        _say(console, "Nothing is stored yet: `flood-assets refresh` fills the last 24 hours.")
    else:
        _print_refresh(console, status)
        console.print(_grid(status))
        _print_readings(console, status)
    for table in status.tables.values():
        for window, reason in table.damaged.items():
            _say(console, f"damaged: {table.name} {_time(window)}: {reason}")
    if status.quarantined:
        named = _some(status.quarantined)
        _say(
            console, f"quarantined: {len(status.quarantined)} damaged objects, which expire with their windows: {named}"
        )


def _print_refresh(console: Console, status: Status) -> None:
    asked = f"{_time(status.as_of)}, {_ago(status.now - status.as_of)}" if status.as_of else "unknown"
    _say(console, f"last refresh: {asked} (now is {_time(status.now)})")


def _grid(status: Status) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    grid.add_column("table", overflow="fold")
    for name in ("windows", "rows", "bytes", "oldest (UTC)", "newest (UTC)"):
        grid.add_column(name, justify="right", overflow="fold")
    every = len(retained_windows(status.now))
    for table in status.tables.values():
        span = [f"{moment:%Y-%m-%d %H:%M}" if moment else "-" for moment in (table.oldest, table.newest)]
        windows = f"{len(table.windows)} of {every}"
        grid.add_row(table.name, windows, f"{table.rows:,}", f"{table.size:,}", *span)
    return grid


def _print_readings(console: Console, status: Status) -> None:
    readings, rejects = status.tables[READINGS.name], status.tables[REJECTS.name]
    if readings.rows:
        _say(console, f"size: {readings.size / readings.rows:.1f} bytes a reading")
    _print_freshness(console, status)
    if status.completeness:
        _print_completeness(console, status.completeness)
    if status.missing:
        _say(
            console,
            f"missing windows: {len(status.missing)}: {_some([_time(window) for window in status.missing])}. "
            "The next `flood-assets refresh` reads them",
        )
    expired = sum(len(table.expired) for table in status.tables.values())
    if status.past or expired:
        _say(
            console,
            f"past their day: {expired} whole windows, and {status.past:,} readings of the window that the cutoff "
            "crosses: `flood-assets expire` deletes them",
        )
    if rejects.rows:
        _say(console, f"rejects: {rejects.rows:,} rows of the API could not be understood, see the table `rejects`")


def _print_completeness(console: Console, whole: Completeness) -> None:
    counts = whole.counts
    there = counts["expected"] - counts["missing"]
    _say(
        console,
        f"completeness: {_percent(there, counts['expected'])} of the {counts['expected']:,} readings that the rhythm "
        f"of {whole.measures:,} measures lets expect in 24 hours; {counts['late']:,} came late, "
        f"{counts['several']:,} have several values, {counts['without_value']:,} none",
    )
    if counts["missing"]:
        _say(
            console,
            f"missing: {counts['missing']:,} readings: {counts['silent']:,} because the gauge was silent "
            f"({whole.idle_missing:,} of all missing are of {whole.idle:,} measures without any reading today), "
            f"{counts['not_due']:,} are not due yet, {counts['not_fetched']:,} were not fetched"
            + (": the next `flood-assets refresh` asks for them" if counts["not_fetched"] else ""),
        )


def _print_freshness(console: Console, status: Status) -> None:
    fresh = status.freshness
    if fresh is None:
        _say(console, "measures: none has a reading of the last 24 hours")
        return
    shares = ", ".join(f"{_percent(count, fresh.measures)} within {_span(age)}" for age, count in fresh.within.items())
    _say(console, f"measures: {fresh.measures:,} with a reading of the last 24 hours: {shares}")
    if fresh.silent is not None:
        _say(console, f"silent: {fresh.silent:,} of the {fresh.known:,} known measures have none")
    _say(console, f"newest reading: {_time(fresh.newest)}, {_ago(status.now - fresh.newest)}")


def _say(console: Console, line: str) -> None:
    """A line, wrapped for people only: a script that reads it finds each line whole."""
    console.print(line, soft_wrap=not console.is_terminal)


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _percent(part: int, whole: int) -> str:
    """Rounded down, so that only all is 100 %."""
    return f"{int(1000 * part / whole) / 10 if whole else 0:.1f} %"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}Z"


def _span(length: timedelta) -> str:
    minutes = length // timedelta(minutes=1)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h"


def _ago(length: timedelta) -> str:
    if length < timedelta(0):
        return f"{_ago_words(-length)} ahead of this machine's clock"
    return f"{_ago_words(length)} ago"


def _ago_words(length: timedelta) -> str:
    minutes = length // timedelta(minutes=1)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
