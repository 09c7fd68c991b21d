"""`flood-assets ...`: the few commands a person types. They run the same Dagster jobs as schedules and sensors do.

How a run is carried out and shown is in `flood_assets.cli.run`; what `doctor` and `status` look at, in
`flood_assets.cli.doctor` and `flood_assets.cli.status`. Exit codes: 0 done, 1 the run failed or a check found a fault,
2 the command or a setting was wrong.
"""

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import click

from flood_assets import __version__, settings
from flood_assets.errors import FloodAssetsError, SettingsError

P = ParamSpec("P")


def _plain_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Show our own errors as one message; a traceback is for faults of the program."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except FloodAssetsError as error:
            click.echo(f"flood-assets: {error}", err=True)
            sys.exit(2 if isinstance(error, SettingsError) else 1)

    return wrapped


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """The last 24 hours of every river, tide, rain and groundwater gauge in England.

    FLOOD_API_URL names the API (default: the live one), FLOOD_LAKE_URL the lake (default: ./lake). With DAGSTER_HOME
    set, runs are recorded there and show in the Dagster UI.
    """
    settings.use_the_systems_allocator()


@main.command()
@click.option("--verbose", "-v", is_flag=True, help="Show Dagster's log.")
@_plain_errors
def refresh(*, verbose: bool) -> None:
    """Fill what is missing: two requests for a whole day at first, then only what moved."""
    from flood_assets.cli.run import run  # noqa: PLC0415

    sys.exit(run("refresh", verbose=verbose))


@main.command()
@click.option("--verbose", "-v", is_flag=True, help="Show Dagster's log.")
@_plain_errors
def reconcile(*, verbose: bool) -> None:
    """Read the last 24 hours whole: finds corrections and late readings."""
    from flood_assets.cli.run import run  # noqa: PLC0415

    sys.exit(run("reconcile", verbose=verbose))


@main.command()
@click.option("--dry-run", is_flag=True, help="Only tell what would be deleted and trimmed.")
@click.option("--verbose", "-v", is_flag=True, help="Show Dagster's log.")
@_plain_errors
def expire(*, dry_run: bool, verbose: bool) -> None:
    """Delete and trim what is older than 24 hours."""
    from flood_assets.cli.run import run  # noqa: PLC0415

    sys.exit(run("expire", verbose=verbose, dry_run=dry_run))


@main.command()
@_plain_errors
def status() -> None:
    """Show what the lake holds: windows, rows, freshness, completeness, size."""
    from flood_assets.cli.status import show  # noqa: PLC0415

    show(settings.lake_url(), settings.now())


@main.command()
@_plain_errors
def doctor() -> None:
    """Check the API, the lake, credentials and the Dagster home, and say what to do about each failure."""
    from flood_assets.cli.doctor import show  # noqa: PLC0415

    sys.exit(show())


@main.command()
@click.option("--stations", default=5500, show_default=True, type=click.IntRange(1), help="How many stations.")
@click.option("--seed", default=1, show_default=True, help="Another seed is another country.")
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--now", "moment", help="Freeze the clock at this time, such as 2026-11-21T09:00:00Z.")
@_plain_errors
def simulate(*, stations: int, seed: int, port: int, moment: str | None) -> None:
    """Serve the API offline, with simulated gauges. Ends with Ctrl-C."""
    from flood_assets.simulator import run  # noqa: PLC0415

    frozen = settings.now({"FLOOD_NOW": moment}) if moment else None
    run(stations=stations, seed=seed, port=port, now=(lambda: frozen) if frozen else None)
