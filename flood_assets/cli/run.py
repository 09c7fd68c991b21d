"""Run the Dagster jobs in the terminal, with progress while they run and a summary at the end.

The commands are in `flood_assets.cli.main`.
"""

import logging
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Literal

import click
import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from flood_assets import emf, settings
from flood_assets.cli.printing import plain_table, say
from flood_assets.definitions import build_defs
from flood_assets.defs.emf import told
from flood_assets.defs.io_manager import QUARANTINED_AS, REPLACED
from flood_assets.defs.jobs import landing_job, reconcile_job, refresh_job, retention_job, tick, whole_day
from flood_assets.defs.resources import LakeResource
from flood_assets.defs.windows import sync_windows
from flood_assets.errors import LakeError
from flood_assets.lake.lake import Lake
from flood_assets.landing import batches
from flood_assets.schemas import TABLES
from flood_assets.words import counted

Command = Literal["refresh", "reconcile", "expire"]

_RETENTION = retention_job.name
_AREAS = [dg.AssetKey("warning_areas")]
# Metadata with the names of damaged objects.
_KEPT_AS = (QUARANTINED_AS, REPLACED)


def run(command: Command, *, verbose: bool = False, dry_run: bool = False) -> int:
    """Run once what a schedule or a sensor would request; `verbose` shows Dagster's log.

    Returns:
        The exit code: 0 if all runs succeeded and no check found an error, else 1.
    """
    now, environment = settings.now(), settings.emf()
    # Report a wrong setting at once, not as the failure of a run.
    settings.archive()
    if command != "expire":
        settings.api_url()
        settings.publishing()
    lake = LakeResource().open()
    if command != "expire":
        with suppress(LakeError):  # a run meets it too, and says it in its step
            lake.require_api()
    defs = build_defs()
    console = Console()
    started = time.perf_counter()
    results: list[dg.ExecuteInProcessResult] = []
    log = {"loggers": {"console": {"config": {"log_level": "DEBUG" if verbose else "CRITICAL"}}}}
    # With DAGSTER_HOME, runs show in the UI; without, they are not recorded.
    opened = dg.DagsterInstance.get() if os.environ.get("DAGSTER_HOME") else dg.DagsterInstance.ephemeral()
    with opened as instance, _progress(console, show=not verbose) as show:
        sync_windows(instance, now)
        for job, request in _requests(command, lake, now, dry_run=dry_run):
            show(f"{job}: starting")
            results.append(
                defs.resolve_job_def(job).execute_in_process(
                    instance=instance,
                    asset_selection=request.asset_selection,
                    tags=dict(request.tags),
                    run_config={**request.run_config, **log},
                    raise_on_error=False,
                )
            )
            needless = job in (_RETENTION, landing_job.name) or request.asset_selection == _AREAS
            if not needless and not any(event.is_step_materialization for event in results[-1].all_events):
                # The API is down. Where only the list of stations fails, readings are still worth a try.
                break
    seconds = time.perf_counter() - started
    code = _report(console, command, results, seconds)
    if environment:
        events = (event for result in results for event in result.all_events)
        line = emf.of_run(
            *told(events), environment, settings.now(), seconds=seconds, ended_well=code == 0, job=command
        )
        click.echo(line)
    return code


def _requests(command: Command, lake: Lake, now: datetime, *, dry_run: bool) -> list[tuple[str, dg.RunRequest]]:
    """Return jobs with what to ask of them; expired rows are deleted first, as the sensor does under Dagster."""
    cleanup = _RETENTION, dg.RunRequest(run_config={"ops": {"retention": {"config": {"dry_run": dry_run}}}})
    if command == "expire":
        return [cleanup]
    asked = tick(lake, now) if command == "refresh" else [dg.RunRequest(tags=whole_day(now))]
    job = refresh_job.name if command == "refresh" else reconcile_job.name
    # What is pushed comes first: it does not wait for an API that may be down.
    landed = [(landing_job.name, dg.RunRequest())] if batches.landed(lake.store).due(now) else []
    return [*([cleanup] if lake.expired(now) else []), *landed, *((job, request) for request in asked)]


@contextmanager
def _progress(console: Console, *, show: bool) -> Iterator[Any]:
    """Show the current activity and the time it takes as one line; nothing outside a terminal."""
    package = logging.getLogger("flood_assets")
    before = package.level
    with Progress(
        # The total is not known: the bar pulses, and the text beside it counts.
        BarColumn(bar_width=16),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not show or not console.is_terminal,
    ) as progress:
        task = progress.add_task("", total=None)

        def update(activity: str) -> None:
            progress.update(task, description=activity[: max(20, console.width - 32)])

        def emit(record: logging.LogRecord) -> None:
            if done := getattr(record, "progress", None):
                update(f"{done['what']}: {done['bytes'] / 1e6:,.0f} MB")
            elif record.levelno >= logging.INFO:
                update(record.getMessage())

        listener = logging.Handler(logging.DEBUG)
        listener.emit = emit  # type: ignore[method-assign]
        package.addHandler(listener)
        package.setLevel(logging.DEBUG)
        try:
            yield update
        finally:
            package.removeHandler(listener)
            package.setLevel(before)


def _report(console: Console, command: Command, results: Sequence[dg.ExecuteInProcessResult], seconds: float) -> int:
    """Print the results of the runs and return the exit code."""
    events = [event for result in results for event in result.all_events]
    failures = [event for event in events if event.is_step_failure]
    by_asset: dict[str, list[dg.AssetMaterialization]] = defaultdict(list)
    for event in events:
        if event.is_step_materialization:
            recorded = event.step_materialization_data.materialization
            by_asset[recorded.asset_key.to_user_string()].append(recorded)
    for cleanup in by_asset.pop("retention", []):
        say(console, _retention(cleanup))
    for line in _reasons(failures):
        say(console, line, "red")
    # Also if the stations failed and the readings did not.
    if by_asset["readings"]:
        newest = max(by_asset["readings"], key=lambda one: one.partition or "")
        console.print(_table(by_asset))
        say(console, str(newest.metadata["reason"].value))
        say(console, _times(events, newest, seconds))
    for line, style in _beside(by_asset):
        say(console, line, style)
    checks = [check for result in results for check in result.get_asset_check_evaluations()]
    failed = [check for check in checks if not check.passed]
    errors = [check for check in failed if check.severity == dg.AssetCheckSeverity.ERROR]
    for check in failed:
        found = ", ".join(f"{name} {_shown(value)}" for name, value in check.metadata.items())
        name = f"{check.check_name} of {check.asset_key.to_user_string()}"
        warned = "" if check in errors else " (a warning)"
        say(console, f"check {name} failed{warned}: {found}", "yellow")
    if checks:
        say(console, f"{len(checks) - len(failed)} of {counted(len(checks), 'check')} passed")
    if not failures and not errors and all(result.success for result in results):
        return 0
    say(Console(stderr=True), f"flood-assets: {_failed(command, failures, errors)}")
    return 1


def _reasons(failures: Sequence[dg.DagsterEvent]) -> Iterator[str]:
    """Say why steps failed; once if several did for the same reason, such as a lake that is away."""
    steps = defaultdict[str, dict[str, None]](dict)
    for failure in failures:
        steps[_reason(failure)][str(failure.step_key)] = None
    yield from (f"{_listed(names)} failed: {reason}" for reason, names in steps.items())


def _listed(names: Iterable[str]) -> str:
    """Return names as a person says them, such as "one, two and three"; each once."""
    *first, last = dict.fromkeys(names)
    return f"{', '.join(first)} and {last}" if first else last


def _failed(command: Command, failures: Sequence[dg.DagsterEvent], errors: Sequence[dg.AssetCheckEvaluation]) -> str:
    """Return the last line of a command that failed: what failed and what to do."""
    remedy = f"`flood-assets doctor` looks for the cause; then run `flood-assets {command}` again"
    if failures:
        names = _listed(str(failure.step_key) for failure in failures)
        return f"{command} failed in {names}, see above. {remedy}"
    if errors:
        names = _listed(f"{check.check_name} of {check.asset_key.to_user_string()}" for check in errors)
        return f"{command} failed: the check {names} found an error, see above. {remedy}"
    return f"{command} failed. Run `flood-assets {command} --verbose` for Dagster's log"


def _beside(by_asset: Mapping[str, Sequence[dg.AssetMaterialization]]) -> Iterator[tuple[str, str | None]]:
    """Say what was published, and of each table which damaged windows were replaced and where the damaged objects are.

    Each line has its colour.
    """
    for each in by_asset.get("published", ()):
        events, sinks = (int(_value(each, name)) for name in ("events", "sinks"))
        if sinks:
            yield f"published {counted(events, 'event')} to {counted(sinks, 'sink')}", None
    for name, recorded in by_asset.items():
        told = [str(one.metadata[key].value) for one in recorded for key in _KEPT_AS if key in one.metadata]
        kept = sorted({kept_as for names in told for kept_as in names.split(", ")})
        if kept:
            windows = counted(len(kept), "damaged window")
            yield f"replaced {windows} of {name}; what was there is kept as {', '.join(kept)}", "yellow"


def _reason(failure: dg.DagsterEvent) -> str:
    """Return the message of our own error, or of the innermost one."""
    data = failure.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else "no reason was recorded; run again with --verbose"


# Headings and names in the metadata: together they fit into 80 columns with a country's numbers. Partitioned assets
# record the rows of each window, others those of the whole table.
_COLUMNS = {
    "rows": ("dagster/partition_row_count", "dagster/row_count"),
    "new": ("added",),
    "revised": ("revised",),
    "same": ("unchanged",),
    "written": ("written",),
    "bytes": ("bytes",),
}


def _table(by_asset: dict[str, list[dg.AssetMaterialization]]) -> Table:
    """Return one line per table: windows, rows they hold now, rows fetched by outcome, windows written, bytes."""
    table = plain_table("table", "windows", *_COLUMNS, left=1)
    for name, recorded in by_asset.items():
        # Of the rejects only the size is recorded.
        if any("added" in one.metadata for one in recorded):
            windows = sum(int(_value(one, "windows", 1)) for one in recorded)
            totals = [sum(int(_value(one, name)) for one in recorded for name in names) for names in _COLUMNS.values()]
            table.add_row(name, *(f"{total:,}" for total in (windows, *totals)))
    return table


def _times(events: Sequence[dg.DagsterEvent], newest: dg.AssetMaterialization, seconds: float) -> str:
    """Return the seconds that each part took.

    `store` is upserting and writing readings; `station lists`, `warnings`, `ledger`, `conditions`, `checks` and
    `cleanup` are whole steps, `reporting` is the metadata of readings with its chart, and the rest is Dagster's own.
    """
    steps: dict[str | None, float] = defaultdict(float)
    for event in events:
        if event.is_step_success:
            steps[event.step_key] += event.step_success_data.duration_ms / 1000
    parts = {part: _value(newest, f"{part}_seconds") for part in ("download", "parse", "store")}
    spent = {
        "station lists": steps["stations"] + steps["measures"],
        "warnings": steps["warning_areas"] + steps["warnings"],
        **parts,
        "ledger": steps["completeness"],
        "conditions": steps["conditions"],
        **({"publishing": steps["published"]} if "published" in steps else {}),
        "checks": sum(
            taken for step, taken in steps.items() if step not in {*TABLES, "published", "retention", "landed"}
        ),
        "cleanup": steps["retention"],
        **({"pushes": steps["landed"]} if "landed" in steps else {}),
        "reporting": max(0.0, steps["readings"] - sum(parts.values())),
    }
    dagster = max(0.0, seconds - sum(spent.values()))
    told = ", ".join(f"{part} {taken:.2f}" for part, taken in {**spent, "Dagster": dagster}.items())
    return f"{seconds:.2f} s: {told}"


def _retention(cleanup: dg.AssetMaterialization) -> str:
    would = "would be " if cleanup.metadata["dry_run"].value else ""
    deleted, trimmed = (int(_value(cleanup, f"windows_{action}")) for action in ("deleted", "trimmed"))
    rows, freed = (int(_value(cleanup, name)) for name in ("rows", "bytes_freed"))
    gone = f"{counted(rows, 'row')}, {counted(freed, 'byte')}"
    told = f"{counted(deleted, 'window')} {would}deleted, {trimmed:,} {would}trimmed: {gone}"
    if "rows_archived" in cleanup.metadata:
        told += f"; {counted(int(_value(cleanup, 'rows_archived')), 'row')} archived"
    return told


def _shown(value: dg.MetadataValue[Any]) -> str:
    if isinstance(value, dg.TimestampMetadataValue):
        return f"{datetime.fromtimestamp(value.value, UTC):%Y-%m-%d %H:%MZ}"
    return str(value.value)


def _value(materialization: dg.AssetMaterialization, name: str, otherwise: float = 0) -> float:
    value = materialization.metadata.get(name)
    return float(value.value) if value is not None else otherwise  # type: ignore[arg-type]
