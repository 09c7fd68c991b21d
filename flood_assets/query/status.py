"""Summarise what the lake holds at a moment, for `flood-assets status`, which prints it in `flood_assets.cli.status`.

Settings, API and Dagster are the subject of `flood_assets.cli.doctor`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.errors import LakeError
from flood_assets.lake import identity as identities
from flood_assets.lake.failure import RunFailure
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import QUARANTINE, WATERMARKS_KEY
from flood_assets.lake.parquet import DamagedWindowError
from flood_assets.lake.read import NOTHING, Content, StoredWindow
from flood_assets.landing import batches
from flood_assets.landing.objects import DEAD
from flood_assets.ledger.account import Account, take
from flood_assets.ledger.day import READ, milliseconds
from flood_assets.partitions import cutoff, is_expired, retained_windows, to_ms, utc, window_of
from flood_assets.places import SHARD_FOLDER, is_api
from flood_assets.query import flood_warnings
from flood_assets.query.filters import shown
from flood_assets.schemas import COMPLETENESS, MEASURES, READINGS, STATIONS, TABLES, TIME, WARNING_AREAS, Table
from flood_assets.warnings import in_force
from flood_assets.words import counted

# The newest reading of each measure is compared with these ages. 74 % of all measures are within the hour at any time.
AGES = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=6))
# A refresh and a cleanup are due every 15 minutes; an hour without is a fault.
OVERDUE = timedelta(hours=1)


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

    @classmethod
    def of(
        cls, table: Table, listed: Sequence[StoredWindow], found: Mapping[datetime, Content | DamagedWindowError | None]
    ) -> "TableStatus":
        """Return the status of a table: `found` has the content of its retained windows, and perhaps of others."""
        damaged, sound = dict[datetime, str](), dict[datetime, Content]()
        for window in (stored.window for stored in listed if stored.window in found):
            content = found[window] or NOTHING  # None: it was deleted after it was listed
            if isinstance(content, DamagedWindowError):
                damaged[window] = str(content)
            else:
                sound[window] = content
        times = [moment for each in sound.values() for moment in (each.oldest, each.newest) if moment is not None]
        if not table.time:
            times = [window for window, each in sound.items() if each.rows]
        return cls(
            windows=list(sound),
            expired=[stored.window for stored in listed if stored.window not in found],
            rows=sum(each.rows for each in sound.values()),
            size=sum(stored.size for stored in listed if stored.window in found),
            oldest=min(times, default=None),
            newest=max(times, default=None),
            damaged=damaged,
        )


@dataclass(frozen=True)
class Freshness:
    """Ages of the newest readings."""

    measures: int  # with a retained reading
    within: Mapping[timedelta, int]  # how many of them have one that is at most so old, for each of `AGES`
    newest: datetime  # time of the newest reading of all
    known: int | None  # measures in the newest snapshot; None without one
    silent: int | None  # those of `known` without a retained reading
    unlisted: int  # those of `measures` that are not among `known`


@dataclass(frozen=True)
class Completeness:
    """Totals of the ledger over all measures that have a reporting interval (see `flood_assets.ledger`)."""

    measures: int  # how many these are
    counts: Mapping[str, int]  # the sum of each count of `schemas.COMPLETENESS`
    idle: int  # measures without any reading of the day
    idle_silent: int  # the `silent` readings of these; the others are of measures that sent something


@dataclass(frozen=True)
class WarningStatus:
    """The flood warnings in force."""

    in_force: int
    levels: Mapping[int, int]  # how many have each severity level from 1, severe, to 3, alert
    asked_at: datetime  # of the list


@dataclass(frozen=True)
class Status:
    """The state of the lake at `now`."""

    url: str
    api: str | None  # or stream that it is filled from; None when nobody has claimed it
    now: datetime
    tables: Mapping[str, TableStatus]  # by name
    missing: Sequence[datetime]  # retained windows of readings that should be there; the two ends of the day need not
    past: int  # stored readings that are no longer retained and wait for `flood-assets expire`
    as_of: datetime | None  # when the API was asked last, by us or by the lake that we follow
    failure: RunFailure | None  # the last run that failed, if nothing has healed it since
    freshness: Freshness | None  # None without a retained reading
    completeness: Completeness | None  # None when no measure has a reporting interval
    warnings: WarningStatus | None  # None when no list of the last 24 hours is stored
    quarantined: Sequence[str]  # keys of damaged objects below `_quarantine/`
    problems: Sequence[str]  # what else could not be read, and what to do
    shard: Mapping[str, Any] | None = None  # which shard of a network it is, as `network.Shard.told` says it
    shards: "Mapping[str, Status]" = field(default_factory=dict)  # those that could be read; none for one lake

    @property
    def empty(self) -> bool:
        """True when no table has a window that can be read or is expired."""
        return not any(table.windows or table.expired for table in self.tables.values())

    @property
    def follows(self) -> bool:
        """True if a stream fills the lake, and not the API."""
        return self.api is not None and not is_api(self.api)

    @property
    def fill(self) -> str:
        """The command that fills the lake."""
        return f"flood-assets consume {self.api}" if self.follows else "flood-assets refresh"

    @property
    def faults(self) -> list[str]:
        """Sentences that say what is wrong and what to do; none for a lake that keeps what it promises."""
        faults = list(self.problems)
        if self.shards:
            faults += [f"shard {name}: {fault}" for name, each in self.shards.items() for fault in each.faults]
            return faults if self.freshness is None else [*faults, *self._unlisted_warnings()]
        if self.failure is not None:
            again = f"`{self.fill}` shows why, if it fails again"
            faults.append(f"the last run failed at {shown(self.failure.at)} in the step {self.failure.step}: {again}")
        if self.freshness is None:
            faults.append(f"no reading of the last 24 hours is stored: run `{self.fill}`")
        elif self.follows and self.as_of is not None and self.now - self.as_of > OVERDUE:
            faults.append(
                f"the newest change came through the stream at {shown(self.as_of)}, over an hour ago: is "
                f"`{self.fill}` running, and does the other lake publish?"
            )
        elif self.as_of is not None and self.now - self.as_of > OVERDUE:
            faults.append(f"the last refresh was at {shown(self.as_of)}, over an hour ago: run `flood-assets refresh`")
        else:
            faults += self._unlisted_warnings()
        if damaged := sum(len(table.damaged) for table in self.tables.values()):
            repair = "`flood-assets reconcile` repairs those of readings now, the next refreshes the others"
            if self.follows:
                repair = f"`{self.fill}` puts those of readings aside when it begins, and reads the stream again"
            faults.append(f"{counted(damaged, 'window')} cannot be read: {repair}")
        if self.missing and self.freshness is not None:
            faults.append(f"{counted(len(self.missing), 'missing window')} of readings: run `{self.fill}`")
        overdue = [
            each for table in self.tables.values() for each in table.expired if is_expired(each, self.now - OVERDUE)
        ]
        if overdue:
            late = counted(len(overdue), "window")
            faults.append(f"{late} not deleted for over an hour after expiring: run `flood-assets expire`")
        return faults

    def _unlisted_warnings(self) -> Iterator[str]:
        """Yield the fault of a lake whose readings are refreshed, and its warnings are not."""
        remedy = "`flood-assets refresh` asks again, and says why if it fails"
        if self.warnings is not None and self.now - self.warnings.asked_at > OVERDUE:
            yield f"the last list of flood warnings is of {shown(self.warnings.asked_at)}, over an hour ago: {remedy}"
        # The count of completeness is in the same run as the warnings; whoever only ingests readings has neither.
        elif self.warnings is None and self.tables[COMPLETENESS.name].windows and self.shard is None:
            yield f"no list of flood warnings of the last 24 hours is stored: {remedy}"


@dataclass
class _Hours:
    """Windows of readings, summarised while the ledger reads them, so that each is decoded once."""

    found: dict[datetime, Content | DamagedWindowError] = field(default_factory=dict)
    past: int = 0  # readings that are no longer retained
    newest: list[pa.Table] = field(default_factory=list)  # of each window: measure_id, date_time_max

    def each(
        self, lake: Lake, windows: Sequence[datetime], now: datetime
    ) -> Iterator[tuple[datetime, pa.Table | DamagedWindowError]]:
        """Yield each window with its retained rows or its damage, as `take` wants them."""
        # Ids as codes: half a million strings would take most of the time.
        # All columns although few are needed: damage in any of them would stop a reader.
        for window, rows in lake.each(READINGS, windows, coded=True):
            if isinstance(rows, DamagedWindowError):
                self.found[window] = rows
                yield window, rows
                continue
            at, kept = rows["date_time"], rows.select(READ)
            oldest, newest = pc.min_max(at).as_py().values()
            self.found[window] = Content(len(rows), 0, oldest, newest)
            if len(rows) and not cutoff(now) < oldest <= newest <= now:
                past = pc.less_equal(at, pa.scalar(cutoff(now), TIME))
                self.past += pc.sum(past).as_py()
                kept = kept.filter(pc.and_(pc.invert(past), pc.less_equal(at, pa.scalar(now, TIME))))
            self.newest.append(kept.group_by("measure_id", use_threads=False).aggregate([("date_time", "max")]))
            yield window, kept


def look(lake: Lake, now: datetime) -> Status:
    """Return the state of the lake at `now`; objects of `readings` are read whole and once, of others the footers.

    Of shards it is the state of all, as one lake with all of them would have it, with that of each in `shards`. One
    that cannot be read is among the problems.

    Raises:
        LakeError: the lake cannot be listed or read. Damaged objects are no error: they are in the result.
    """
    found = lake.each_shard(lambda shard: _look(shard, now))
    return found[""] if "" in found else _united(lake, found, now)


def _look(lake: Lake, now: datetime) -> Status:
    listed = {name: lake.windows(table) for name, table in TABLES.items()}
    retained = {name: [s.window for s in stored if not is_expired(s.window, now)] for name, stored in listed.items()}
    hours = _Hours()
    # Also those of hours that are yet to come by this clock.
    windows = sorted({*retained_windows(now), *retained[READINGS.name]})
    account = take(lake, now, readings=hours.each(lake, windows, now))
    tables: dict[str, TableStatus] = {}
    for name, table in TABLES.items():
        found = hours.found if table is READINGS else lake.footers(table, retained[name])
        tables[name] = TableStatus.of(table, listed[name], found)
    identity, problems = None, list[str]()
    try:
        identity = identities.of_lake(lake.store)
    except LakeError as error:
        problems.append(str(error))
    api = None if identity is None else identity.api
    watermarks = lake.watermarks()
    again = "the next refresh reads the whole day"
    if api is not None and not is_api(api):
        again = f"`flood-assets consume {api}` reads the stream again"
    if watermarks is None and lake.store.head(WATERMARKS_KEY) is not None:
        problems.append(f"{lake.url}/{WATERMARKS_KEY} is damaged: {again} and replaces it")
    if watermarks is not None and watermarks.forgotten:
        problems.append(f"a damaged window of readings was quarantined: {again}")
    landed = batches.landed(lake.store)
    waiting = sorted(meta.modified for _, meta in (*landed.batches, *landed.uploads))
    if waiting and now - waiting[0] > OVERDUE:
        many = counted(len(waiting), "pushed batch", "pushed batches")
        problems.append(f"{many} not ingested, the oldest for over an hour: run `flood-assets ingest`")
    quarantined = [meta.key for meta in lake.store.list(QUARANTINE)]
    if dead := sum(key.startswith(f"{DEAD}/") for key in quarantined):
        many = counted(dead, "pushed batch or message", "pushed batches or messages")
        problems.append(f"{many} of the last 24 hours could not be read: kept below {DEAD}/, see docs/pushing.md")
    readings = tables[READINGS.name]
    as_of = watermarks.as_of if watermarks and not watermarks.forgotten else None
    return Status(
        url=lake.url,
        api=api,
        now=now,
        tables=tables,
        # As in `plan.before_latest`: the first and the last window of the day need not be there.
        missing=sorted(set(retained_windows(now)[1:-1]) - set(readings.windows) - set(readings.damaged)),
        past=hours.past,
        as_of=as_of,
        failure=unhealed(lake.last_failure(), {name: table.windows for name, table in tables.items()}, as_of),
        freshness=_freshness(lake, hours.newest, now),
        completeness=_completeness(account),
        warnings=_warnings(lake, now),
        quarantined=quarantined,
        problems=problems,
        shard=None if identity is None else identity.shard,
    )


def unhealed(
    failure: RunFailure | None, windows: Mapping[str, Sequence[datetime]], as_of: datetime | None
) -> RunFailure | None:
    """Return the last failure, if what failed has not been done since.

    Args:
        failure: the last one.
        windows: of each table, those that are stored.
        as_of: when the API was asked last.
    """
    if failure is None:
        return None
    if failure.step in {STATIONS.name, MEASURES.name, WARNING_AREAS.name}:
        healed = any(window >= window_of(failure.at) for window in windows[failure.step])
    else:
        healed = as_of is not None and as_of >= failure.at
    return None if healed else failure


def _freshness(lake: Lake, of_windows: Sequence[pa.Table], now: datetime) -> Freshness | None:
    """Return the ages of the newest readings, given the newest of each measure in each window."""
    rows = pa.concat_tables(
        [pa.table([each["measure_id"].cast(pa.string()), each["date_time_max"]], ["id", "at"]) for each in of_windows]
    )
    if not len(rows):
        return None
    newest = rows.group_by("id").aggregate([("at", "max")])
    ages = to_ms(now) - milliseconds(newest["at_max"])
    snapshot = lake.newest_snapshot(MEASURES, now, columns=["measure_id"])
    known = None if snapshot is None else len(snapshot)
    heard = 0
    if snapshot is not None:
        heard = pc.sum(pc.is_in(snapshot["measure_id"], value_set=newest["id"].combine_chunks())).as_py() or 0
    return Freshness(
        measures=len(newest),
        within={age: int((ages <= age / timedelta(milliseconds=1)).sum()) for age in AGES},
        newest=utc(pc.max(newest["at_max"]).as_py()),
        known=known,
        silent=None if known is None else known - heard,
        unlisted=len(newest) - heard if known is not None else 0,
    )


def _warnings(lake: Lake, now: datetime) -> WarningStatus | None:
    try:
        found = flood_warnings.known(lake, now)
    except DamagedWindowError:
        found = None  # the window is told with the other damaged ones
    if found is None:
        return None
    levels = in_force(found.rows)["severity_level"].to_pylist()
    return WarningStatus(len(levels), {level: levels.count(level) for level in (1, 2, 3)}, found.asked_at)


def _completeness(account: Account) -> Completeness | None:
    expected, received, silent = (account.of_each(name) for name in ("expected", "received", "silent"))
    idle = (expected > 0) & (received == 0)
    if not expected.any():
        return None
    return Completeness(
        measures=int((expected > 0).sum()),
        counts=account.totals(),
        idle=int(idle.sum()),
        idle_silent=int(silent[idle].sum()),
    )


def _united(lake: Lake, shards: Mapping[str, Status], now: datetime) -> Status:
    parts = [*shards.values()]
    apis = dict.fromkeys(each.api for each in parts if each.api is not None)
    return Status(
        url=lake.url,
        api=", ".join(apis) or None,
        now=now,
        tables={name: _one_table([each.tables[name] for each in parts]) for name in TABLES},
        missing=sorted({window for each in parts for window in each.missing}),
        past=sum(each.past for each in parts),
        as_of=min((each.as_of for each in parts if each.as_of is not None), default=None),
        failure=max((each.failure for each in parts if each.failure), key=lambda failure: failure.at, default=None),
        freshness=_all_fresh([each.freshness for each in parts if each.freshness]),
        completeness=_all_complete([each.completeness for each in parts if each.completeness]),
        warnings=_all_warned([each.warnings for each in parts if each.warnings]),
        quarantined=[f"{SHARD_FOLDER}{name}/{key}" for name, each in shards.items() for key in each.quarantined],
        problems=lake.troubles,
        shards={name: replace(each, shard=each.shard or {"name": name}) for name, each in shards.items()},
    )


def _one_table(parts: Sequence[TableStatus]) -> TableStatus:
    damaged = dict[datetime, str]()
    for window, why in sorted(item for each in parts for item in each.damaged.items()):
        damaged[window] = f"{damaged[window]}; {why}" if window in damaged else why
    return TableStatus(
        windows=sorted({window for each in parts for window in each.windows} - {*damaged}),
        expired=sorted({window for each in parts for window in each.expired}),
        rows=sum(each.rows for each in parts),
        size=sum(each.size for each in parts),
        oldest=min((each.oldest for each in parts if each.oldest), default=None),
        newest=max((each.newest for each in parts if each.newest), default=None),
        damaged=damaged,
    )


def _all_fresh(parts: Sequence[Freshness]) -> Freshness | None:
    if not parts:
        return None
    return Freshness(
        measures=sum(each.measures for each in parts),
        within={age: sum(each.within[age] for each in parts) for age in AGES},
        newest=max(each.newest for each in parts),
        known=_sum([each.known for each in parts]),
        silent=_sum([each.silent for each in parts]),
        unlisted=sum(each.unlisted for each in parts),
    )


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [each for each in counts if each is not None]
    return sum(known) if known else None


def _all_complete(parts: Sequence[Completeness]) -> Completeness | None:
    if not parts:
        return None
    return Completeness(
        measures=sum(each.measures for each in parts),
        counts={name: sum(each.counts[name] for each in parts) for name in parts[0].counts},
        idle=sum(each.idle for each in parts),
        idle_silent=sum(each.idle_silent for each in parts),
    )


def _all_warned(parts: Sequence[WarningStatus]) -> WarningStatus | None:
    if not parts:
        return None
    levels = {level: sum(each.levels[level] for each in parts) for level in parts[0].levels}
    return WarningStatus(sum(each.in_force for each in parts), levels, min(each.asked_at for each in parts))
