"""Take the steps of a tick or of a reconcile in order, in this process, as the commands do with Dagster.

A step that fails does not end the tick: what does not need it goes on, as in Dagster's graph. No step is begun for
which there is no time; what is left is done by the next tick, as after a kill.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_assets import emf
from flood_assets.ea.client import AT_ONCE, FloodMonitoringApi
from flood_assets.ea.http import Gate, RetryPolicy
from flood_assets.errors import FloodAssetsError, LakeError, SettingsError
from flood_assets.ingest import fetch
from flood_assets.lake.archive import Archive
from flood_assets.lake.lake import Lake
from flood_assets.lake.retention import Expiry
from flood_assets.lake.write import WindowChange
from flood_assets.landing import batches
from flood_assets.landing.ingest import ingest
from flood_assets.ledger.account import CAUSES, take
from flood_assets.partitions import retained_windows
from flood_assets.query.survey import survey
from flood_assets.schemas import CONDITIONS, MEASURES, STATIONS, Table
from flood_assets.settings import Publishing
from flood_assets.tick import lists
from flood_assets.tick.outputs import State

if TYPE_CHECKING:
    from flood_assets.network import Shard
    from flood_assets.publish.publisher import Published

# Seconds that are left for what a step needs after the API's last byte: storing a country's day, and counting it.
RESERVE_S = 20.0

logger = logging.getLogger("flood_assets.tick")

Told = dict[str, Any]


@dataclass(frozen=True)
class Given:
    """Lake, source and settings of a tick.

    Attributes:
        lake: to be brought up to date.
        api_url: of the API, with name and password if it wants any.
        clock: the current time.
        archive: where readings are kept when they expire; None to keep none.
        alerts: the file of rules; None to judge nothing.
        publishing: the sinks.
        seconds_left: until this process is ended from outside.
        shard: which part of a network the lake is; None for all that the API has.
        gate: held around each request to the API, as `ea.http.Http` says.
    """

    lake: Lake
    api_url: str = field(repr=False)
    clock: Callable[[], datetime]
    archive: Archive | None = None
    alerts: Path | None = None
    publishing: Publishing = field(default_factory=lambda: Publishing((), None), repr=False)
    seconds_left: Callable[[], float] = lambda: float("inf")
    shard: "Shard | None" = None
    gate: Gate = nullcontext

    @property
    def leads(self) -> bool:
        """Return True if the lake has the flood warnings and flood areas, which belong to no shard."""
        return self.shard is None or self.shard.leads

    @contextmanager
    def api(self) -> Iterator[FloodMonitoringApi]:
        """Open the API for one step, with patience for the time that is left."""
        left = max(1.0, self.seconds_left() - RESERVE_S)
        usual = RetryPolicy()
        patience = RetryPolicy(deadline=min(usual.deadline, left), read_timeout=min(usual.read_timeout, left))
        scope, at_once = (self.shard.scope, self.shard.at_once) if self.shard else (None, AT_ONCE)
        with closing(
            FloodMonitoringApi(
                self.api_url, now=self.clock, retry=patience, gate=self.gate, scope=scope, at_once=at_once
            )
        ) as api:
            yield api


@dataclass
class Ticked:
    """The outcome of a tick.

    Attributes:
        done: the steps that ended well, and what each tells.
        failed: those that did not, and why; a publication that is late is among both.
        skipped: those that need one that failed.
        left: those for which there was no time.
    """

    done: dict[str, Told] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


Step = tuple[str, Sequence[str], Callable[[Given], Told]]


def refresh(given: Given) -> Ticked:
    """Take the steps of a tick: clean up, ingest what was pushed, list, fetch, count, judge, warn, publish.

    Raises:
        WrongLakeError: the lake is filled from another API or from a stream.
        LakeError: the lake cannot be read.
    """
    return _taken(_steps(given), _claimed(given))


def reconcile(given: Given) -> Ticked:
    """Read all retained windows again, to find corrections and readings out of order; then count, and judge.

    Before that, clean up and ingest what was pushed, as a tick does. Warnings, alerts and sinks are left to the next
    tick.

    Raises:
        WrongLakeError: the lake is filled from another API or from a stream.
        LakeError: the lake cannot be read.
    """
    return _taken(_steps_of_reconcile(given), _claimed(given))


def clean(given: Given) -> Told:
    """Delete what has expired, with the receipts of pushed batches.

    Raises:
        LakeError: something could not be deleted, or readings wait for the archive; all else is deleted.
    """
    now = given.clock()
    done = given.lake.expire(now, archive=given.archive)
    batches.expire(given.lake.store, now)
    waits = [each for each in done if each.action == "waits"]
    if waits:
        raise LakeError(f"{len(waits)} windows of readings are not archived, and stay: {waits[0].why}")
    return gone(done) | ({"archived_rows": sum(each.archived for each in done)} if given.archive else {})


def gone(done: Sequence[Expiry]) -> Told:
    """Return the numbers of windows and rows that a cleanup deleted, or would delete."""
    told = {f"{word}_windows": sum(each.action == word for each in done) for word in ("deleted", "trimmed")}
    return told | {"deleted_rows": sum(each.rows or 0 for each in done)}


def publish(given: Given) -> "list[Published]":
    """Publish to all sinks, in the time that is left; return the result of each.

    Raises:
        LakeError: the lake could not be read or written.
        SettingsError: a URL is not complete.
    """
    from flood_assets.publish.publisher import BUDGET_S, publish_all  # noqa: PLC0415 - only if there are sinks

    budget_s = min(BUDGET_S, max(1.0, given.seconds_left() - RESERVE_S))
    return publish_all(given.lake, given.publishing, given.clock, budget_s=budget_s)


def judge_alerts(given: Given) -> Told:
    """Judge the rules of `given.alerts`, store what fires and clears, and tell receivers.

    Raises:
        SettingsError: the rules cannot be read.
        LakeError: the lake could not be read or written.
    """
    from flood_assets.alerts.judging import judge_lake  # noqa: PLC0415 - nothing is loaded without rules
    from flood_assets.alerts.notify import Teller  # noqa: PLC0415
    from flood_assets.alerts.rules import read_rules  # noqa: PLC0415
    from flood_assets.alerts.targets import read_targets  # noqa: PLC0415

    assert given.alerts is not None  # noqa: S101 - for the type checker: without rules there is no such step
    rules, targets = read_rules(given.alerts), read_targets(given.alerts)
    judged = judge_lake(given.lake, rules, given.clock())
    faults = Teller(given.clock, given.publishing.secret).tell(given.lake, targets)
    notes = [*judged.after.notes, *faults]
    return {"firing": len(judged.after.firing), "events": len(judged.events), **({"notes": notes} if notes else {})}


def _claimed(given: Given) -> Given:
    given.lake.require_api()
    given.lake.claim(given.api_url, given.shard)
    return given


def _steps(given: Given) -> Iterator[Step]:
    """Yield each step with its name and those that it needs; what is due is asked when its turn comes."""
    yield from _first_steps(given)
    snapshots, areas = lists.stored(given.lake)
    due = lists.due(given.clock(), snapshots, areas)
    if due.gauges:
        for table in (STATIONS, MEASURES):
            yield table.name, (), _lister(table, due.gauges)
    if due.areas and given.leads:
        yield "warning_areas", (), _list_areas
    # An API that does not filter shows it in the first list of measures: its readings would fill the shard with all.
    filtered = given.shard is not None and given.shard.scope.parameter is not None and not snapshots
    yield "readings", ("measures",) if filtered else (), _fetch_new
    yield from _STATE
    if given.leads:
        yield "warnings", (), _list_warnings
    if given.alerts is not None:
        yield "alerts", (), judge_alerts
    if given.publishing.sinks:
        yield "published", ("readings",), _publish


def _steps_of_reconcile(given: Given) -> Iterator[Step]:
    yield from _first_steps(given)
    yield "readings", (), _fetch_again
    yield from _STATE


def _first_steps(given: Given) -> Iterator[Step]:
    """Yield what needs no API, so that it does not wait for one that is down."""
    now = given.clock()
    if given.lake.expired(now):
        yield "expire", (), clean
    if batches.landed(given.lake.store).due(now):
        yield "landing", (), _ingest


def _taken(steps: Iterator[Step], given: Given) -> Ticked:
    ticked = Ticked()
    for name, needs, step in steps:
        if given.seconds_left() < RESERVE_S:
            ticked.left.append(name)
        elif {*needs} & {*ticked.failed, *ticked.skipped, *ticked.left}:
            ticked.skipped.append(name)
        else:
            try:
                ticked.done[name] = step(given)
                if late := ticked.done[name].get("late"):
                    ticked.failed[name] = late
            except FloodAssetsError as error:
                logger.error("%s failed: %s", name, error)  # noqa: TRY400 - the message says it all
                ticked.failed[name] = str(error)
                _remember(given, name, error)
    if ticked.left:
        logger.warning("no time was left for %s: the next tick does it", ", ".join(ticked.left))
    return ticked


def _remember(given: Given, name: str, error: FloodAssetsError) -> None:
    """Record in the lake that a step failed, for `flood-assets status`, as under Dagster: see `defs.failures`."""
    if not isinstance(error, LakeError | SettingsError) and name not in ("warnings", "alerts", "published"):
        with suppress(FloodAssetsError):
            given.lake.record_failure(name, given.clock())


def _ingest(given: Given) -> Told:
    found = ingest(given.lake, given.clock())
    if found.unreadable:
        raise LakeError(f"batches cannot be decoded and are kept as {', '.join(found.unreadable)}: see docs/pushing.md")
    return {"batches": len(found.receipts), "added": found.count("added"), "revised": found.count("revised")}


def _lister(table: Table, windows: Sequence[datetime]) -> Callable[[Given], Told]:
    def listed(given: Given) -> Told:
        with given.api() as api:
            snapshot = lists.list_gauges(api, given.lake, table, windows, given.clock())
        snapshot.store(given.lake)
        return {"listed": len(snapshot.rows), **_unknown(snapshot.unknown)}

    return listed


def _list_areas(given: Given) -> Told:
    with given.api() as api:
        snapshot = lists.list_areas(api, given.lake, given.clock())
    snapshot.store(given.lake)
    return {"listed": len(snapshot.rows)}


def _fetch_new(given: Given) -> Told:
    return _fetch(given, None)


def _fetch_again(given: Given) -> Told:
    return _fetch(given, retained_windows(given.clock()))


def _fetch(given: Given, windows: Sequence[datetime] | None) -> Told:
    with given.api() as api:
        batch = fetch(api, given.lake, windows, given.clock())
    upserted, advanced = batch.store(given.lake)
    told = {
        "reason": batch.reason,
        "requests": sum(answer.cost.requests for answer in batch.answers),
        **_counted(upserted.windows),
        "rejected": len(batch.rejects),
        **_unknown({station for answer in batch.answers for station in answer.unknown}),
    }
    if newest := [each.newest for each in upserted.windows if each.newest]:
        told[emf.NEWEST] = max(newest).timestamp()
    odd = {"suspect": batch.suspect, "deferred": len(batch.unanswered), "advanced": advanced}
    return told | {name: value for name, value in odd.items() if value not in ("", 0, True)}


def _count(given: Given) -> Told:
    account = take(given.lake, given.clock())
    account.store(given.lake)
    totals = account.totals()
    return {name: int(totals[name]) for name in ("expected", "received", "missing", *CAUSES)}


def _judge_conditions(given: Given) -> Told:
    lake, now = given.lake, given.clock()
    newest = {table: lake.newest_snapshot(table, now) for table in (MEASURES, STATIONS)}
    measures, stations = (
        table.schema.empty_table() if rows is None else rows for table, rows in newest.items()
    )  # fmt: skip
    found = survey(lake, now, measures, stations)
    State(CONDITIONS, found.conditions, now).store(lake)
    return {"gauges": len(found.conditions), "damaged_windows": len(found.damaged)}


# After the readings, in a tick and in a reconcile.
_STATE: tuple[Step, ...] = (
    ("completeness", ("readings",), _count),
    ("conditions", ("readings", "completeness"), _judge_conditions),
)


def _list_warnings(given: Given) -> Told:
    with given.api() as api:
        found = lists.list_warnings(api, given.lake, given.clock())
    found.snapshot.store(given.lake)
    present = found.snapshot.present
    return {"in_force": len(present.rows) if present else 0, **({"odd": found.odd} if found.odd else {})}


def _publish(given: Given) -> Told:
    return told_of(publish(given), given.clock())


def told_of(found: "Sequence[Published]", now: datetime) -> Told:
    """Return what a publication tells, and how far each sink lags behind.

    A sink that is away fails nothing at first, as its changes wait in the lake: `late` says so after two ticks.
    """
    late = [
        f"{each.sink}: {each.waiting:,} waiting for half an hour: {each.trouble}" for each in found if each.is_late(now)
    ]
    return {
        **{name: sum(getattr(each, name) for each in found) for name in ("events", "refused", "waiting")},
        **{f"{emf.LAG}{each.sink}": each.lag_s(now) for each in found},
        **({"late": "; ".join(late)} if late else {}),
    }


def _counted(changes: Sequence[WindowChange]) -> Mapping[str, int]:
    return {name: sum(getattr(each, name) for each in changes) for name in ("added", "revised", "unchanged")}


def _unknown(stations: Collection[str]) -> Told:
    """Tell which stations of a shard the API does not know."""
    return {"unknown_stations": sorted(stations)} if stations else {}
