"""Run every check of `flood-assets doctor` and print its findings.

Each check is a function that yields findings (`findings`): this machine's settings, Dagster and versions (`machine`),
the API (`api`) and access to the lake (`lake`). `flood_assets.cli.status` reports what the lake holds.
"""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flood_assets.cli.doctor.api import check_api
from flood_assets.cli.doctor.findings import Check, Finding, Level, look
from flood_assets.cli.doctor.lake import check_lake
from flood_assets.cli.doctor.machine import check_dagster_home, check_definitions, check_settings, check_versions
from flood_assets.words import counted

CHECKS: dict[str, Check] = {
    "Settings": check_settings,
    "API": check_api,
    "Lake": check_lake,
    "Dagster home": check_dagster_home,
    "Dagster definitions": check_definitions,
    "Versions": check_versions,
}

_COUNTED = {
    Level.OK: ("ok", "ok"),
    Level.NOTE: ("note",),
    Level.WARNING: ("warning",),
    Level.FAILED: ("failed", "failed"),
}
_STYLES = {Level.OK: "green", Level.NOTE: "cyan", Level.WARNING: "yellow", Level.FAILED: "bold red"}


def show() -> int:
    """Run all checks, print each finding at once, and return the exit code: 1 if one is FAILED, else 0."""
    console = Console(highlight=False, markup=False)
    counts = dict.fromkeys(Level, 0)
    for title, check in CHECKS.items():
        console.print(f"\n{title}", style="bold")
        with console.status(f"checking: {title} ..."):
            for finding in look(check):
                counts[finding.level] += 1
                _print(console, finding)
    console.print("\n" + ", ".join(counted(counts[level], *names) for level, names in _COUNTED.items()))
    return 1 if counts[Level.FAILED] else 0


def _print(console: Console, finding: Finding) -> None:
    """Print a finding with its remedy, wrapped in a terminal only: scripts get whole lines."""
    level = f"  {finding.level.value:<7}"
    lines = [finding.found, *([f"-> {finding.remedy}"] if finding.remedy else [])]
    if console.is_terminal:
        grid = Table.grid(padding=(0, 1))
        grid.add_row(Text(level, _STYLES[finding.level]), Text("\n".join(lines)))
        console.print(grid)
    else:
        console.print(f"{level} " + f"\n{' ' * (len(level) + 1)}".join(lines), soft_wrap=True)
