"""All checks in their order, and how what they find is printed."""

from collections.abc import Callable, Mapping

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from flood_assets.cli.doctor.api_answers import check_api
from flood_assets.cli.doctor.dagster_setup import check_dagster
from flood_assets.cli.doctor.finding import Doing, Finding, Findings, Level, look
from flood_assets.cli.doctor.lake_access import check_lake
from flood_assets.cli.doctor.redaction import without_secrets
from flood_assets.cli.doctor.variables import check_settings
from flood_assets.cli.doctor.versions import check_versions

CHECKS: Mapping[str, Callable[[Doing], Findings]] = {
    "Settings": check_settings,
    "API": check_api,
    "Lake": check_lake,
    "Dagster": check_dagster,
    "Versions": check_versions,
}

_COUNTED = {Level.OK: "ok", Level.NOTE: "notes", Level.WARNING: "warnings", Level.FAILED: "failed"}
_STYLES = {Level.OK: "green", Level.NOTE: "cyan", Level.WARNING: "yellow", Level.FAILED: "bold red"}


def show() -> int:
    """Look at everything and print each finding as it is found.

    Returns:
        The exit code: 1 when something failed, 0 when all is well or there are only notes and warnings.
    """
    console = Console(highlight=False, markup=False)
    counts = dict.fromkeys(Level, 0)
    with console.status("") as doing:
        for title, check in CHECKS.items():
            console.print(f"\n{title}", style="bold")
            doing.update("")
            for finding in look(check, lambda what: doing.update(f"{without_secrets(what)} ...")):
                counts[finding.level] += 1
                _print(console, finding)
    console.print("\n" + ", ".join(f"{counts[level]} {name}" for level, name in _COUNTED.items()))
    return 1 if counts[Level.FAILED] else 0


def _print(console: Console, finding: Finding) -> None:
    """One finding and what to do about it; wrapped for people only, so that a script finds each line whole."""
    level = Text(f"  {finding.level.value:<7}", _STYLES[finding.level])
    text = Text(finding.found)
    if finding.remedy:
        text.append(f"\n-> {finding.remedy}")
    if console.is_terminal:
        grid = Grid.grid(padding=(0, 1))
        grid.add_row(level, text)
        console.print(grid)
    else:
        lines = text.plain.replace("\n", f"\n{' ' * (len(level) + 1)}")
        console.print(f"{level.plain} {lines}", soft_wrap=True)
