"""Soak test: simulated days through Dagster's own daemon loops, the real jobs and a lake in a folder.

    python -m flood_assets_tests.support.soak --days 7 --stations 500 [--faults]

Time is simulated, and it is one time for all: before each turn the API's clock, the project's (`FLOOD_NOW`) and
Dagster's are set to the same moment. So Dagster's records are as old as the simulated days make them, its own loops
prune ticks, and `housekeeping_every_hour` prunes runs with the ages that it has in production: no record is moved back
by hand. What is not simulated: the seconds that a run takes (it ends at the moment it started), several processes
(schedules, sensor and runs share this one, which makes it the long-lived process whose memory is watched), and the
pauses before another try.

Six hours apart, when the reconcile has run, the lake must equal what the API shows of the day, value by value. What is
promised beside that is in `broken_promises`; the ledger must account for each reading. With `--faults`, every second
day has faults at random at the source, and the API is away for six hours of it; while it is away nothing can be judged,
and runs fail, as they should.

It ends with a table, a row for each simulated day, and with exit code 1 when a promise was broken.
"""

import argparse
import gc
import json
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.defs.housekeeping import HousekeepingConfig
from flood_assets.defs.sensors import retention_sensor
from flood_assets.lake.lake import Lake
from flood_assets.lake.read import load
from flood_assets.ledger.account import take
from flood_assets.partitions import cutoff
from flood_assets.schemas import READINGS, TIME
from flood_assets_tests.support import records
from flood_assets_tests.support.country import Country, simulated_country
from flood_assets_tests.support.daemon import Daemon, open_daemon
from flood_assets_tests.support.hurried import hurried_steps

# Inside the time that partitions know; midnight, so that a row of the table is a UTC day. With seed 1, a flood of 400
# warnings rises and falls between the second day and the seventh, which both have fewer than ten: what has grown from
# one to the other is not the weather.
START = datetime(2026, 10, 15, tzinfo=UTC)
DAY = timedelta(days=1)

# When something is due: the ticks, the reconcile (four times a day) and housekeeping.
BUSY_MINUTES = (0, 7, 15, 30, 41, 45)
RECONCILE_HOURS = (1, 7, 13, 19)

# A loop of the daemon turns some seconds after a tick is due; the sensor's comes a little later.
AFTER_DUE = timedelta(seconds=3)
SENSOR_AFTER = timedelta(seconds=50)

# With faults: the hours of a faulty day during which the API is away.
AWAY_HOURS = range(2, 8)
FAULT_KINDS = (
    {"kind": "status", "status": 429, "retry_after": "1"},
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 503},
    {"kind": "truncate"},
    {"kind": "truncate", "framing": "chunked"},
    {"kind": "cut_at_line"},
    {"kind": "reset"},
    {"kind": "garbage"},
    {"kind": "header"},
    {"kind": "empty"},
    {"kind": "html"},
    {"kind": "nothing"},
    {"kind": "redirect_loop"},
    {"kind": "no_final_newline"},
    {"kind": "limit", "rows": 500},
    {"kind": "stall", "seconds": 0.2},
)
FAULT_TARGETS = ("", "latest", "date=", "since=", "/id/")


@dataclass(frozen=True)
class Setup:
    """Settings of a soak.

    Attributes:
        days: number of days.
        stations: number of stations.
        faulty_days: the days, counted from 1, that have faults at the source.
        seed: of the country and of the faults.
        hours: hours between the hours in which the daemon turns; 1 for every hour.
        minutes: minutes of such an hour at which it turns.
    """

    days: int = 7
    stations: int = 500
    faulty_days: Collection[int] = ()
    seed: int = 1
    hours: int = 1
    minutes: Sequence[int] = BUSY_MINUTES

    def moments(self) -> Iterator[datetime]:
        """Return the moments at which the daemon turns."""
        hour = START + timedelta(hours=min(RECONCILE_HOURS) % self.hours)
        while hour < START + self.days * DAY:
            for minute in self.minutes:
                yield hour + timedelta(minutes=minute) + AFTER_DUE
            hour += timedelta(hours=self.hours)

    def is_faulty(self, moment: datetime) -> bool:
        return (moment - START) // DAY + 1 in self.faulty_days

    def is_away(self, moment: datetime) -> bool:
        return self.is_faulty(moment) and moment.hour in AWAY_HOURS


@dataclass
class Day:
    """Result of a simulated day.

    Attributes:
        ticks: turns at which the 15-minute schedule launched runs.
        runs: all runs.
        failed_runs: of these, those that failed.
        unfinished_runs: of these, those that have not ended.
        failed_checks: results of checks that did not pass.
        requests: sent to the API.
        checkpoints: number of comparisons of the lake with the truth.
        readings: in the lake at the last checkpoint.
        missing, wrong, extra, twice: readings at all checkpoints together, see `country.Difference`.
        unexplained: at all checkpoints together, readings that the ledger counts otherwise than the lake holds them,
            and missing ones that it does not put down to the gauges.
        old: rows older than a day, and expired windows, right after a cleanup.
        corrections: values that were replaced by another.
        lake_bytes, dagster_bytes, memory_bytes: at the end of the day.
        seconds: of real time.
        records: rows of each of Dagster's tables at the end of the day.
        files: bytes of each of Dagster's files at the end of the day.
    """

    number: int
    ticks: int = 0
    runs: int = 0
    failed_runs: int = 0
    unfinished_runs: int = 0
    failed_checks: int = 0
    requests: int = 0
    checkpoints: int = 0
    readings: int = 0
    missing: int = 0
    wrong: int = 0
    extra: int = 0
    twice: int = 0
    unexplained: int = 0
    old: int = 0
    corrections: int = 0
    lake_bytes: int = 0
    dagster_bytes: int = 0
    memory_bytes: int = 0
    seconds: float = 0
    records: dict[str, int] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)


class Soak:
    """Life of a lake; `days` grows with each simulated day."""

    def __init__(
        self, setup: Setup, folder: Path, country: Country, daemon: Daemon, say: Callable[[str], object]
    ) -> None:
        self.setup = setup
        self.folder = folder
        self.country = country
        self.daemon = daemon
        self.days: list[Day] = []
        self._say = say
        self._random = random.Random(setup.seed)
        self._compared_at = START
        self._cleaned_at = START - DAY

    @property
    def home(self) -> Path:
        return self.folder / "dagster"

    @property
    def lake(self) -> Lake:
        return Lake.open((self.folder / "lake").as_uri())

    def live(self) -> list[Day]:
        """Simulate all days."""
        # A schedule has no ticks to make up for before the daemon first saw it.
        self.daemon.schedules(START - timedelta(minutes=1))
        today, began = Day(1), time.monotonic()
        for moment in self.setup.moments():
            number = (moment - START) // DAY + 1
            if number != today.number:
                self._end(today, began)
                today, began = Day(number), time.monotonic()
            self._turn(today, moment)
        self._end(today, began)
        return self.days

    def _turn(self, today: Day, moment: datetime) -> None:
        self._set_faults(moment)
        self.daemon.schedules(moment)
        if self._is_judged(moment):
            self._compare(today, moment)
        later = moment + SENSOR_AFTER
        self.daemon.sensors(later)
        if moment - self._cleaned_at >= timedelta(seconds=retention_sensor.minimum_interval_seconds or 0):
            self._cleaned_at = moment
            today.old += old_rows(self.lake, later)

    def _is_reconciled(self, moment: datetime) -> bool:
        return moment.hour in RECONCILE_HOURS and moment.minute == 7

    def _is_judged(self, moment: datetime) -> bool:
        return self._is_reconciled(moment) and not self.setup.is_away(moment)

    def _set_faults(self, moment: datetime) -> None:
        faults: list[dict[str, Any]] = []
        if self.setup.is_away(moment):
            faults = [{"kind": "status", "status": 503, "times": 0}]
        elif self.setup.is_faulty(moment) and not self._is_reconciled(moment):
            faults = [
                {"match": self._random.choice(FAULT_TARGETS), "times": self._random.choice((1, 2, 7))} | kind
                for kind in self._random.sample(FAULT_KINDS, self._random.randrange(4))
            ]
        self.country.set_faults(faults)

    def _compare(self, today: Day, moment: datetime) -> None:
        found = self.country.compare(self.lake, moment)
        today.checkpoints += 1
        today.readings = found.rows
        today.missing += found.missing
        today.wrong += found.wrong
        today.extra += found.extra
        today.twice += found.twice
        today.unexplained += unexplained(self.lake, moment)
        today.corrections += corrected_rows(self.lake, self._compared_at, moment)
        self._compared_at = moment
        self._say(
            f"{moment:%d %b %H:%M}  {found.rows:,} readings, missing {found.missing}, wrong {found.wrong}, "
            f"extra {found.extra}; {memory() / 1e6:.0f} MB"
        )

    def _end(self, today: Day, began: float) -> None:
        start = START + (today.number - 1) * DAY
        within = dg.RunsFilter(created_after=start - timedelta(seconds=1), created_before=start + DAY)
        runs = [record.dagster_run for record in self.daemon.instance.get_run_records(within)]
        ticks = {
            run.tags["dagster/run_key"] for run in runs if run.tags.get("dagster/run_key", "").startswith("readings")
        }
        today.ticks, today.runs = len(ticks), len(runs)
        today.failed_runs = sum(run.status == dg.DagsterRunStatus.FAILURE for run in runs)
        today.unfinished_runs = sum(not run.is_finished for run in runs)
        today.failed_checks = failed_checks(self.home, [run.run_id for run in runs])
        today.requests = self.country.take_requests()
        today.records, today.files = dict(records.rows(self.home)), dict(records.files(self.home))
        today.lake_bytes, today.dagster_bytes = records.size(self.folder / "lake"), records.size(self.home)
        gc.collect()
        today.memory_bytes = memory()
        today.seconds = time.monotonic() - began
        self.days.append(today)
        with (self.folder / "days.jsonl").open("a") as file:
            file.write(json.dumps(asdict(today)) + "\n")
        self._say(row_of(today))


def unexplained(lake: Lake, now: datetime) -> int:
    """Count readings on which the ledger and the lake disagree right after a reconcile."""
    counts = take(lake, now).totals()
    rows = len(lake.read(READINGS, now=now, columns=["measure_id"]))
    causes = counts["silent"] + counts["not_due"] + counts["not_fetched"]
    return abs(counts["received"] - rows) + abs(counts["missing"] - causes) + counts["not_fetched"]


def old_rows(lake: Lake, now: datetime) -> int:
    """Count what a cleanup left: readings older than a day, and expired windows of any table."""
    edge, old = pa.scalar(cutoff(now), TIME), len(lake.expired(now))
    for stored in lake.windows(READINGS)[:2]:
        oldest = load(lake.store, READINGS, stored.key)
        if oldest is not None:
            times = oldest.file.read(["date_time"])["date_time"]
            old += pc.sum(pc.less_equal(times, edge)).as_py() or 0
    return old


def corrected_rows(lake: Lake, since: datetime, now: datetime) -> int:
    """Count readings whose value was replaced after a moment."""
    rows = lake.read(READINGS, now=now, columns=["changed_at", "revision"])
    later = pc.greater(rows["changed_at"], pa.scalar(since, TIME))
    return pc.sum(pc.and_(later, pc.greater(rows["revision"], 0))).as_py() or 0


def failed_checks(home: Path, run_ids: Sequence[str]) -> int:
    """Return the results of the runs' checks that did not pass."""
    with closing(sqlite3.connect(home / "history" / "runs" / "index.db")) as connection:
        found = connection.execute("SELECT run_id FROM asset_check_executions WHERE execution_status = 'FAILED'")
        return sum(run in set(run_ids) for (run,) in found.fetchall())


def memory() -> int:
    """Return the resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


HEADER = (
    "day", "ticks", "runs", "failed", "checks failed", "requests", "compared", "readings", "missing", "wrong", "extra",
    "twice", "unexplained", "old", "corrections", "lake MB", "Dagster MB", "memory MB", "seconds",
)  # fmt: skip


def row_of(day: Day) -> str:
    """Format a day as a row of the table."""
    cells = (
        day.number, day.ticks, day.runs, day.failed_runs, day.failed_checks, day.requests, day.checkpoints,
        f"{day.readings:,}", day.missing, day.wrong, day.extra, day.twice, day.unexplained, day.old, day.corrections,
        f"{day.lake_bytes / 1e6:.2f}", f"{day.dagster_bytes / 1e6:.1f}", f"{day.memory_bytes / 1e6:.0f}",
        f"{day.seconds:.0f}",
    )  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def table_of(days: Sequence[Day]) -> str:
    """Format the days as a Markdown table."""
    head = ["| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
    return "\n".join(head + [row_of(day) for day in days])


def broken_promises(setup: Setup, days: Sequence[Day]) -> list[str]:
    """Return the broken promises in words; empty if all were kept."""
    broken = []
    for day in days:
        never = ["missing", "wrong", "extra", "twice", "unexplained", "old", "unfinished_runs"]
        if day.number not in setup.faulty_days:
            never.append("failed_runs")
            # With hours between two cleanups, the check that allows them one fails rightly.
            never += ["failed_checks"] if setup.hours == 1 else []
        broken += [f"day {day.number}: {name} is {getattr(day, name)}" for name in never if getattr(day, name)]
        if not day.checkpoints or not day.readings:
            broken.append(f"day {day.number}: the lake was not compared with anything")
    return broken + grown(setup, days)


def grown(setup: Setup, days: Sequence[Day]) -> list[str]:
    """Return what is larger on the last day than on the first day of full size, in words.

    Memory and lake have theirs on the second day. Dagster's records have it when the first are old enough to be pruned;
    with faulty days they are not judged, because failures are kept for two weeks.
    """
    last, found = days[-1], []
    if last.number > 2:
        found += _larger(days[1], last, "memory_bytes", 1.1) + _larger(days[1], last, "lake_bytes", 1.1)
    full = int(HousekeepingConfig().keep_days) + 1
    if last.number > full and not setup.faulty_days:
        first = days[full - 1]
        found += _larger(first, last, "dagster_bytes", 1.05)
        found += [
            f"{table} grew from {first.records.get(table, 0)} rows on day {full} to {rows} on day {last.number}"
            for table, rows in last.records.items()
            if rows > 1.05 * first.records.get(table, 0)
        ]
    return found


def _larger(first: Day, last: Day, name: str, tolerance: float) -> list[str]:
    before, after = getattr(first, name), getattr(last, name)
    if after <= tolerance * before:
        return []
    return [f"{name} grew from {before:,} on day {first.number} to {after:,} on day {last.number}"]


def main() -> int:
    """Read the command line, run the soak and print the result."""
    parser = argparse.ArgumentParser(
        prog="python -m flood_assets_tests.support.soak", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--stations", type=int, default=500)
    parser.add_argument("--faults", action="store_true", help="make every second day a faulty one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hours", type=int, choices=(1, 2, 3, 6), default=1, help="from one busy hour to the next")
    parser.add_argument("--folder", type=Path, help="keep lake, records and log here; default: a temporary folder")
    wanted = parser.parse_args()
    faulty = range(2, wanted.days + 1, 2) if wanted.faults else ()
    setup = Setup(wanted.days, wanted.stations, faulty, wanted.seed, wanted.hours)
    with tempfile.TemporaryDirectory() as temporary:
        folder = wanted.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        with quiet(folder / "log.txt") as terminal:

            def say(line: str) -> None:
                terminal.write(f"{line}\n")
                terminal.flush()

            with soaking(setup, folder, say) as soak:
                days = soak.live()
            broken = broken_promises(setup, days)
            say(f"\n{table_of(days)}\n")
            say("\n".join(["Broken:", *broken]) if broken else "All promises kept.")
    return 1 if broken else 0


@contextmanager
def soaking(setup: Setup, folder: Path, say: Callable[[str], object]) -> Iterator[Soak]:
    """Prepare a soak: a new country, lake and Dagster instance."""
    with simulated_country(setup.stations, setup.seed) as country, hurried_steps():
        lake = (folder / "lake").as_uri()
        with open_daemon(
            folder / "dagster", country.url, lake, country.set_clock, module="flood_assets_tests.support.hurried"
        ) as daemon:
            yield Soak(setup, folder, country, daemon, say)


@contextmanager
def quiet(log: Path) -> Iterator[TextIO]:
    """Redirect everything this process prints to a file, except writes to the yielded one."""
    sys.stdout.flush()
    with log.open("w") as file, os.fdopen(os.dup(1), "w") as terminal:
        errors = os.dup(2)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield terminal
        finally:
            sys.stdout.flush()
            os.dup2(terminal.fileno(), 1)
            os.dup2(errors, 2)
            os.close(errors)


if __name__ == "__main__":
    sys.exit(main())
