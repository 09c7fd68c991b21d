"""Summarise what the lake holds at a moment, for `flood-assets status`, which prints it in `flood_assets.cli.status`.

Settings, API and Dagster are the subject of `flood_assets.cli.doctor`.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.errors import LakeError
from flood_assets.lake import watermarks as marking
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import QUARANTINE, WATERMARKS_KEY, key_of
from flood_assets.lake.parquet import DamagedWindowError, WindowFile, schema_of
from flood_assets.lake.read import READERS, StoredWindow
from flood_assets.ledger.account import Account, take
from flood_assets.ledger.day import READ, milliseconds
from flood_assets.partitions import cutoff, is_expired, retained_windows, to_ms, utc
from flood_assets.schemas import MEASURES, READINGS, TABLES, TIME, Table

# The newest reading of each measure is compared with these ages. 74 % of all measures are within the hour at any time.
AGES = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=6))


@dataclass(frozen=True)
class TableStatus:
    """The stored state of one table; of a snapshot, `oldest` and `newest` are windows."""

    windows: Sequence[datetime]  # retained, and readable by their footers; those of `readings` as a whole
    expired: Sequence[datetime]  # should have been deleted
    rows: int  # in `windows`, as stored
    size: int  # bytes of the retained objects, damaged or not
    oldest: datetime | None  # time in `windows`; None without rows
    newest: datetime | None
    damaged: Mapping[datetime, str]  # windows that cannot be read, and why


@dataclass(frozen=True)
class Freshness:
    """Ages of the newest readings."""

    measures: int  # with a retained reading
    within: Mapping[timedelta, int]  # how many of them have one that is at most so old, for each of `AGES`
    newest: datetime  # time of the newest reading of all
    known: int | None  # measures in the newest snapshot; None without one
    silent: int | None  # those of `known` without a retained reading


@dataclass(frozen=True)
class Completeness:
    """Totals of the ledger over all measures that have a reporting interval (see `flood_assets.ledger`)."""

    measures: int  # how many these are
    counts: Mapping[str, int]  # the sum of each count of `schemas.COMPLETENESS`
    idle: int  # measures without any reading of the day
    idle_missing: int  # readings that were expected of these


@dataclass(frozen=True)
class Status:
    """The state of the lake at `now`."""

    url: str
    api: str | None  # that it is filled from; None when nobody has claimed it
    now: datetime
    tables: Mapping[str, TableStatus]  # by name
    missing: Sequence[datetime]  # retained windows of readings that should be there; the two ends of the day need not
    past: int  # stored readings that are no longer retained and wait for `flood-assets expire`
    as_of: datetime | None  # when the API was asked last, as far as the watermarks tell
    freshness: Freshness | None  # None without a retained reading
    completeness: Completeness | None  # None when no measure has a reporting interval
    quarantined: Sequence[str]  # keys of damaged objects below `_quarantine/`
    problems: Sequence[str]  # what else could not be read, and what to do

    @property
    def empty(self) -> bool:
        """True when no table has a window that can be read or is expired."""
        return not any(table.windows or table.expired for table in self.tables.values())


@dataclass(frozen=True)
class _Window:
    """One window: its rows and their oldest and newest time, or why it cannot be read.

    Of `readings` also how many are past their day, and the newest retained time of each measure.
    """

    rows: int = 0
    times: tuple[datetime, ...] = ()
    damage: str = ""
    past: int = 0
    newest: pa.Table | None = None

    @classmethod
    def of(cls, file: WindowFile, past: int = 0, newest: pa.Table | None = None) -> "_Window":
        times = (file.oldest(), file.newest())
        return cls(file.rows, tuple(moment for moment in times if moment is not None), past=past, newest=newest)


def look(lake: Lake, now: datetime) -> Status:
    """Return the state of the lake at `now`; objects of `readings` are read whole and once, of others the footers.

    Raises:
        LakeError: the lake cannot be listed or read. Damaged objects are no error: they are in the result.
    """
    seen: dict[datetime, _Window] = {}

    def read(window: datetime) -> pa.Table:
        try:
            seen[window], rows = _readings(lake, window, now)
        except DamagedWindowError as error:
            seen[window] = _Window(damage=str(error))
            raise
        return rows

    account = take(lake, now, read=read)
    tables: dict[str, TableStatus] = {}
    with ThreadPoolExecutor(READERS) as pool:
        for table in TABLES.values():
            listed = lake.windows(table)
            retained = [stored for stored in listed if not is_expired(stored.window, now)]
            if table is READINGS:
                for stored in retained:
                    if stored.window not in seen:  # an hour that is yet to come by this clock
                        with suppress(DamagedWindowError):
                            read(stored.window)
                found = [seen[stored.window] for stored in retained]
            else:
                found = list(pool.map(partial(_footer, lake, table), retained))
            tables[table.name] = _table(table, listed, retained, found, now)
    api, problems = _source(lake)
    watermarks = marking.load(lake.store)
    if watermarks is None and lake.store.head(WATERMARKS_KEY) is not None:
        problems.append(f"{lake.url}/{WATERMARKS_KEY} is damaged: the next refresh reads the whole day and replaces it")
    if watermarks is not None and watermarks.forgotten:
        problems.append("a damaged window of readings was quarantined: the next refresh reads the whole day")
    readings = tables[READINGS.name]
    return Status(
        url=lake.url,
        api=api,
        now=now,
        tables=tables,
        # As in `plan.before_latest`: the first and the last window of the day need not be there.
        missing=sorted(set(retained_windows(now)[1:-1]) - set(readings.windows) - set(readings.damaged)),
        past=sum(window.past for window in seen.values()),
        as_of=watermarks.as_of if watermarks and not watermarks.forgotten else None,
        freshness=_freshness(lake, seen.values(), now),
        completeness=_completeness(account),
        quarantined=[meta.key for meta in lake.store.list(QUARANTINE)],
        problems=problems,
    )


def _source(lake: Lake) -> tuple[str | None, list[str]]:
    """Return the API of the lake, or why it cannot be told."""
    try:
        return lake.source(), []
    except LakeError as error:
        return None, [str(error)]


def _footer(lake: Lake, table: Table, stored: StoredWindow) -> _Window:
    try:
        opened = lake.open_footer(table, stored.key)
    except DamagedWindowError as error:
        return _Window(damage=str(error))
    # Without an object: it was deleted after it was listed.
    return _Window() if opened is None else _Window.of(opened.file)


def _readings(lake: Lake, window: datetime, now: datetime) -> tuple[_Window, pa.Table]:
    """Return a window of readings, and its retained rows for the ledger.

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
    return _Window.of(opened.file, pc.sum(past).as_py() or 0, newest), rows


def _table(
    table: Table,
    listed: Sequence[StoredWindow],
    retained: Sequence[StoredWindow],
    found: Sequence[_Window],
    now: datetime,
) -> TableStatus:
    looked = {stored.window: window for stored, window in zip(retained, found, strict=True)}
    sound = {start: window for start, window in looked.items() if not window.damage}
    if table.time:
        times = [moment for window in sound.values() for moment in window.times]
    else:
        times = [start for start, window in sound.items() if window.rows]
    return TableStatus(
        windows=list(sound),
        expired=[stored.window for stored in listed if is_expired(stored.window, now)],
        rows=sum(window.rows for window in sound.values()),
        size=sum(stored.size for stored in retained),
        oldest=min(times, default=None),
        newest=max(times, default=None),
        damaged={start: window.damage for start, window in looked.items() if window.damage},
    )


def _freshness(lake: Lake, windows: Iterable[_Window], now: datetime) -> Freshness | None:
    tables = [window.newest for window in windows if window.newest is not None]
    whole = [
        pa.table([each["measure_id"].cast(pa.string()), each["date_time_max"]], ["measure_id", "at"]) for each in tables
    ]
    if not sum(map(len, whole)):
        return None
    newest = pa.concat_tables(whole).group_by("measure_id").aggregate([("at", "max")])
    ages = to_ms(now) - milliseconds(newest["at_max"])
    snapshot = lake.newest_snapshot(MEASURES, now, columns=["measure_id"])
    silent = None
    if snapshot is not None:
        heard = pc.is_in(snapshot["measure_id"], value_set=newest["measure_id"].combine_chunks())
        silent = len(snapshot) - (pc.sum(heard).as_py() or 0)
    return Freshness(
        measures=len(newest),
        within={age: int((ages <= age / timedelta(milliseconds=1)).sum()) for age in AGES},
        newest=utc(pc.max(newest["at_max"]).as_py()),
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
