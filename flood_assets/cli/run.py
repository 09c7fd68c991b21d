"""A run in the terminal: the same Dagster jobs, with progress while they run and a summary at the end.

Which commands there are is in `flood_assets.cli.main`.
"""

import logging
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal

import dagster as dg
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from flood_assets import settings
from flood_assets.definitions import build_defs
from flood_assets.defs.jobs import reconcile_job, refresh_job, refresh_requests, retention_job, whole_day
from flood_assets.defs.resources import LakeResource
from flood_assets.lake.lake import Lake
from flood_assets.schemas import MEASURES, STATIONS, TABLES

Command = Literal["refresh", "reconcile", "expire"]

_JOBS = {"refresh": refresh_job.name, "reconcile": reconcile_job.name, "expire": retention_job.name}


def run(command: Command, *, verbose: bool = False, dry_run: bool = False) -> int:
    """Do once what a schedule or a sensor would ask for.

    Args:
        command: which.
        verbose: let Dagster's log through.
        dry_run: for `expire`: only tell.

    Returns:
        The exit code: 0 when all runs succeeded and no check found an error, else 1.
    """
    now = settings.now()
    if command != "expire":
        # A wrong setting is told at once, and not as the failure of a run.
        settings.api_url()
    lake = LakeResource().open()
    definitions = build_defs()
    job = definitions.resolve_job_def(_JOBS[command])
    console = Console()
    started = time.perf_counter()
    results: list[dg.ExecuteInProcessResult] = []
    with _instance() as instance, _progress(console, show=not verbose) as doing:
        for request in _requests(command, lake, now, dry_run=dry_run):
            doing(f"{command}: starting")
            results.append(
                job.execute_in_process(
                    instance=instance,
                    asset_selection=request.asset_selection,
                    partition_key=request.partition_key,
                    tags=dict(request.tags),
                    run_config=_quiet(request.run_config, verbose=verbose),
                    raise_on_error=False,
                )
            )
            if not any(event.is_step_materialization for event in results[-1].all_events):
                # Nothing could be had: the API is away. Where only the stations are, the readings still count.
                break
    return _tell(console, command, results, time.perf_counter() - started)


def _requests(command: Command, lake: Lake, now: datetime, *, dry_run: bool) -> Sequence[dg.RunRequest]:
    if command == "refresh":
        stations, measures = ({stored.window for stored in lake.windows(table)} for table in (STATIONS, MEASURES))
        return refresh_requests(now, stations & measures)
    if command == "reconcile":
        return [dg.RunRequest(tags=whole_day(now))]
    return [dg.RunRequest(run_config={"ops": {"retention": {"config": {"dry_run": dry_run}}}})]


@contextmanager
def _instance() -> Iterator[dg.DagsterInstance]:
    """Where runs are recorded: DAGSTER_HOME's instance, so that the UI shows them; else nowhere."""
    if os.environ.get("DAGSTER_HOME"):
        with dg.DagsterInstance.get() as instance:
            yield instance
    else:
        with dg.DagsterInstance.ephemeral() as instance:
            yield instance


def _quiet(run_config: Any, *, verbose: bool) -> dict[str, Any]:
    level = "DEBUG" if verbose else "CRITICAL"
    return {**(run_config or {}), "loggers": {"console": {"config": {"log_level": level}}}}


class _Listener(logging.Handler):
    """Hears what the source and the lake are doing, and passes it on as one line."""

    def __init__(self, show: Any) -> None:
        super().__init__(logging.DEBUG)
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        progress = getattr(record, "progress", None)
        if progress:
            self._show(f"{progress['what']}: {progress['bytes'] / 1e6:,.0f} MB")
        elif record.levelno >= logging.INFO:
            self._show(record.getMessage())


@contextmanager
def _progress(console: Console, *, show: bool) -> Iterator[Any]:
    """A line that says what is being done, with the time that it takes; silent where nobody looks at it."""
    package = logging.getLogger("flood_assets")
    before = package.level
    with Progress(
        # How much is to come nobody says beforehand: the bar pulses, and the text beside it counts.
        BarColumn(bar_width=16),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not show or not console.is_terminal,
    ) as progress:
        task = progress.add_task("", total=None)

        def doing(what: str) -> None:
            progress.update(task, description=what[: max(20, console.width - 32)])

        listener = _Listener(doing)
        package.addHandler(listener)
        package.setLevel(logging.DEBUG)
        try:
            yield doing
        finally:
            package.removeHandler(listener)
            package.setLevel(before)


def _tell(console: Console, command: Command, results: Sequence[dg.ExecuteInProcessResult], seconds: float) -> int:
    """Print what came of the runs; the exit code."""
    events = [event for result in results for event in result.all_events]
    failures = [event for event in events if event.is_step_failure]
    for failure in failures:
        # Messages hold paths and exceptions, in which brackets are no markup.
        reason = escape(_reason(failure))
        console.print(f"[bold red]{failure.step_key} failed:[/] {reason}", highlight=False, soft_wrap=True)
    materializations = [
        event.step_materialization_data.materialization for event in events if event.is_step_materialization
    ]
    # Where the stations fail and the readings do not, what was filled is still worth telling.
    if any(
        one.asset_key == dg.AssetKey("retention" if command == "expire" else "readings") for one in materializations
    ):
        if command == "expire":
            console.print(_retention(materializations), highlight=False)
        else:
            console.print(_table(materializations))
            console.print(_why(materializations), highlight=False, markup=False)
            console.print(_times(events, seconds), highlight=False)
    checks = [check for result in results for check in result.get_asset_check_evaluations()]
    wrong = [check for check in checks if not check.passed]
    for check in wrong:
        found = ", ".join(f"{name} {_shown(value)}" for name, value in check.metadata.items())
        name = f"{check.check_name} of {check.asset_key.to_user_string()}"
        console.print(f"check {name} failed: {found}", style="yellow", highlight=False, markup=False)
    errors = [check for check in wrong if check.severity == dg.AssetCheckSeverity.ERROR]
    if checks:
        console.print(f"{len(checks) - len(wrong)} of {len(checks)} checks passed", highlight=False)
    return 1 if failures or errors or not all(result.success for result in results) else 0


def _reason(failure: dg.DagsterEvent) -> str:
    """What a person needs to know of a failed step: our own message, or the innermost error."""
    data = failure.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else "no reason was recorded; run again with --verbose"


# Heading and name in the metadata: together they fit into 80 columns with a country's numbers.
_COLUMNS = (
    ("rows", "dagster/partition_row_count"),
    ("new", "added"),
    ("revised", "revised"),
    ("same", "unchanged"),
    ("written", "written"),
    ("bytes", "bytes"),
)


def _table(materializations: Sequence[dg.AssetMaterialization]) -> Table:
    """One line a table: what its windows hold now, what became of the rows that came, how many windows were written.

    Some are recorded window by window, the ledger as a whole.
    """
    table = _plain_table()
    table.add_column("table", no_wrap=True)
    for heading in ("windows", *(heading for heading, _ in _COLUMNS)):
        table.add_column(heading, justify="right", no_wrap=True)
    totals: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for materialization in materializations:
        total = totals[materialization.asset_key.to_user_string()]
        total["windows"] += int(_value(materialization, "windows", 1))
        for heading, name in _COLUMNS:
            total[heading] += int(_value(materialization, name))
        total["rows"] += int(_value(materialization, "dagster/row_count"))
    for name, total in totals.items():
        table.add_row(name, f"{total['windows']:,}", *(f"{total[heading]:,}" for heading, _ in _COLUMNS))
    return table


def _why(materializations: Sequence[dg.AssetMaterialization]) -> str:
    """Why the readings were asked for as they were: the newest window always says so."""
    newest = max(materializations, key=lambda one: (one.asset_key == dg.AssetKey("readings"), one.partition or ""))
    return str(newest.metadata["why"].value)


def _times(events: Sequence[dg.DagsterEvent], seconds: float) -> Table:
    """Where the time went, in seconds.

    What the readings' run says of itself stands at its newest window. `store` is merging and writing; `gauges`,
    `ledger` and `checks` are whole steps, `telling` is the metadata with its pictures, and what no step accounts for is
    Dagster's own.
    """
    steps: dict[str | None, float] = defaultdict(float)
    for event in events:
        if event.is_step_success:
            steps[event.step_key] += event.step_success_data.duration_ms / 1000
    windows = [
        event.step_materialization_data.materialization
        for event in events
        if event.is_step_materialization and event.step_key == "readings"
    ]
    newest = max(windows, key=lambda window: window.partition or "")
    spent = {
        "gauges": steps["stations"] + steps["measures"],
        "download": _value(newest, "download_seconds"),
        "parse": _value(newest, "parse_seconds"),
        "store": _value(newest, "store_seconds"),
        "ledger": steps["completeness"],
        "checks": sum(taken for step, taken in steps.items() if step not in TABLES),
    }
    spent["telling"] = max(0.0, steps["readings"] - sum(spent[of] for of in ("download", "parse", "store")))
    dagster = max(0.0, seconds - sum(spent.values()))
    table = _plain_table()
    for part in ("seconds", *spent, "Dagster"):
        table.add_column(part, justify="right", no_wrap=True)
    table.add_row(*(f"{taken:.2f}" for taken in (seconds, *spent.values(), dagster)))
    return table


def _plain_table() -> Table:
    return Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False, show_edge=False)


def _retention(materializations: Sequence[dg.AssetMaterialization]) -> str:
    """What the cleanup did; its records of other assets, that their windows are empty now, are left out."""
    (materialization,) = (one for one in materializations if one.asset_key == dg.AssetKey("retention"))
    would = "would be " if materialization.metadata["dry_run"].value else ""
    deleted, trimmed = (int(_value(materialization, f"windows_{what}")) for what in ("deleted", "trimmed"))
    rows, freed = (int(_value(materialization, what)) for what in ("rows", "bytes_freed"))
    return f"{deleted} windows {would}deleted, {trimmed} {would}trimmed: {rows:,} rows, {freed:,} bytes"


def _shown(value: dg.MetadataValue[Any]) -> str:
    if isinstance(value, dg.TimestampMetadataValue):
        return f"{datetime.fromtimestamp(value.value, UTC):%Y-%m-%d %H:%MZ}"
    return str(value.value)


def _value(materialization: dg.AssetMaterialization, name: str, otherwise: float = 0) -> float:
    value = materialization.metadata.get(name)
    return float(value.value) if value is not None else otherwise  # type: ignore[arg-type]
