"""Commands of `flood-assets`, declared only: `cli.run`, `cli.status`, `cli.doctor` and the simulator carry them out.

Exit codes: 0 done, 1 the run failed or a check found a fault, 2 the command or a setting was wrong.
"""

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import click

from flood_assets import __version__, settings
from flood_assets.errors import FloodAssetsError, SettingsError


class _Commands(click.Group):
    """Commands that show an error of `flood_assets.errors` as one message; only a bug shows a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FloodAssetsError as error:
            click.echo(f"flood-assets: {error}", err=True)
            ctx.exit(2 if isinstance(error, SettingsError) else 1)


def _time(_context: click.Context, _option: click.Parameter, text: str | None) -> datetime | None:
    try:
        return settings.now({"FLOOD_NOW": text}) if text else None
    except SettingsError:
        raise click.BadParameter(f"'{text}': expected a time with a zone, such as 2026-11-21T09:00:00Z") from None


_verbose = click.option("--verbose", "-v", is_flag=True, help="Show Dagster's log.")
_shards = click.option(
    "--shard", "shards", metavar="NAME", multiple=True, help="Only this shard of FLOOD_NETWORK; may be repeated."
)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Store the last 24 hours of every river, tide, rain and groundwater gauge in England.

    FLOOD_API_URL is the API (default: the live one), FLOOD_LAKE_URL the lake (default: the folder ./lake). With
    DAGSTER_HOME set, runs are recorded there and show in the Dagster UI. FLOOD_NETWORK is a file that describes the
    shards of a lake, FLOOD_DASK where they are filled (default: one after the other in this process).
    """
    settings.use_the_systems_allocator()


@main.command()
@_shards
@_verbose
def refresh(*, shards: tuple[str, ...], verbose: bool) -> None:
    """Delete what has expired, then fetch and store new readings and the flood warnings.

    The first refresh fetches the last 24 hours of readings with two requests, later ones only what is new.
    """
    sys.exit(_run("refresh", shards, verbose=verbose))


@main.command()
@_shards
@_verbose
def reconcile(*, shards: tuple[str, ...], verbose: bool) -> None:
    """Delete what has expired, then re-read the last 24 hours to find late and corrected readings."""
    sys.exit(_run("reconcile", shards, verbose=verbose))


@main.command()
@click.option("--dry-run", is_flag=True, help="Show what would be deleted; change nothing.")
@_shards
@_verbose
def expire(*, dry_run: bool, shards: tuple[str, ...], verbose: bool) -> None:
    """Delete everything older than 24 hours."""
    sys.exit(_run("expire", shards, verbose=verbose, dry_run=dry_run))


def _run(
    command: Literal["refresh", "reconcile", "expire"],
    shards: tuple[str, ...],
    *,
    verbose: bool,
    dry_run: bool = False,
) -> int:
    """Run a command for the lake, or for the shards of FLOOD_NETWORK."""
    if (file := settings.network_file()) is not None:
        from flood_assets.cli.run_shards import run_shards  # noqa: PLC0415

        return run_shards(command, file, shards, verbose=verbose, dry_run=dry_run)
    if shards:
        raise SettingsError("--shard names a part of a network: set FLOOD_NETWORK to the file that describes it")
    from flood_assets.cli.run import run  # noqa: PLC0415

    return run(command, verbose=verbose, dry_run=dry_run)


@main.command()
def ingest() -> None:
    """Ingest the pushed batches that wait, and write their receipts.

    Under Dagster a sensor does it within seconds, and `refresh` does it too. Exits with 1 if a batch cannot be decoded.
    """
    from flood_assets.cli.ingest import ingest as ingest_waiting  # noqa: PLC0415

    sys.exit(ingest_waiting(settings.lake_url(), settings.now()))


@main.command()
@click.argument("name")
def show(*, name: str) -> None:
    """Show a station or a river: NAME is a station's name or id, or a river's name.

    Each measure with its value, typical range, trend, rain totals and the last 24 hours; flood warnings near by.
    """
    from flood_assets.cli.show import show as show_gauges  # noqa: PLC0415

    show_gauges(settings.lake_url(), name, settings.now())


@main.group(invoke_without_command=True)
@click.pass_context
def alerts(context: click.Context) -> None:
    """List the alerts that are firing, and those that ended in the last day.

    FLOOD_ALERTS is the file of rules that each refresh judges.
    """
    if context.invoked_subcommand is None:
        from flood_assets.cli.alerts import show as show_alerts  # noqa: PLC0415

        show_alerts(settings.lake_url(), settings.now())


@alerts.command()
@click.argument("rules", type=click.Path(path_type=Path))
@click.option("--at", metavar="TIME", callback=_time, help="The moment up to which to replay.  [default: now]")
def test(*, rules: Path, at: datetime | None) -> None:
    """Replay RULES over the day and show when they would have fired; nothing is stored."""
    from flood_assets.cli.alerts import test as test_rules  # noqa: PLC0415

    now = settings.now()
    test_rules(settings.lake_url(), rules, at or now, now)


@main.command()
@click.argument("statement", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    help="Default: by the suffix of FILE, else a table, in a pipe CSV.",
)
@click.option("--output", "-o", metavar="FILE", help="Write the answer to a file.")
@click.option("--init", metavar="FILE", help="Write a file that makes the views in DuckDB's own shell.")
def sql(*, statement: str | None, form: str | None, output: str | None, init: str | None) -> None:
    """Answer a SELECT over the lake: STATEMENT, or - to read it from stdin.

    Views: readings, latest, stations, measures, conditions, completeness, timeliness, warnings, warning_areas. The
    lake is only read.
    """
    from flood_assets.cli.sql import answer, write_script  # noqa: PLC0415

    if statement is not None and init is None:
        text = sys.stdin.read() if statement == "-" else statement
        answer(settings.lake_url(), settings.now(), text, form, output)
    elif init is not None and statement is None:
        write_script(settings.lake_url(), settings.now(), init, stopped=bool(os.environ.get("FLOOD_NOW")))
    else:
        raise click.UsageError("give a statement, such as 'SELECT * FROM latest', or --init FILE")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
def status(*, as_json: bool) -> None:
    """Show windows, rows, freshness and completeness of the lake, and the number of warnings in force.

    Exits with 1 when it finds a fault: a damaged or missing window, a failed or overdue refresh, an old list of
    warnings, a window that should have been deleted, or no reading of the last 24 hours.
    """
    from flood_assets.cli.status import show  # noqa: PLC0415

    sys.exit(show(settings.lake_url(), settings.now(), as_json=as_json))


@main.command()
def doctor() -> None:
    """Check API, lake, credentials and Dagster; suggest remedies."""
    from flood_assets.cli.doctor import show  # noqa: PLC0415

    sys.exit(show())


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 for a free one.")
@click.option("--rate", metavar="NUMBER", help="Requests a second for an address; 0 for any number.  [default: 20]")
@click.option("--keys", metavar="FILE", help="File of the keys that raise the limit.")
@click.option("--keys-required", is_flag=True, help="Refuse who has no key.")
@click.option("--trusted-proxies", metavar="NETWORKS", help="Networks of proxies that tell the address of a client.")
@click.option("--streams", metavar="NUMBER", help="Clients that may follow the stream at once.  [default: 2000]")
def serve(*, host: str, port: int, keys_required: bool, **given: str | None) -> None:
    """Serve the lake over HTTP: the API, the map and the pages, until Ctrl-C.

    The lake is only read; any number of servers may serve one lake. FLOOD_RATE, FLOOD_API_KEYS,
    FLOOD_API_KEYS_REQUIRED=1, FLOOD_TRUSTED_PROXIES and FLOOD_STREAMS say the same as the options.
    """
    from flood_assets.cli.serve import serve as serve_lake  # noqa: PLC0415

    names = {"keys": "FLOOD_API_KEYS"}
    options = {names.get(name, f"FLOOD_{name.upper()}"): text for name, text in given.items() if text is not None}
    options |= {"FLOOD_API_KEYS_REQUIRED": "1"} if keys_required else {}
    serve_lake(settings.lake_url(), host, port, settings.now, settings.serving({**os.environ, **options}))


@main.command()
@click.option("--to", metavar="URL", multiple=True, help="Sink, in place of those of FLOOD_PUBLISH; may be repeated.")
@click.option("--from", "last", metavar="DURATION", help="Send what changed since then, such as 2h, known or not.")
@click.option(
    "--schema",
    type=click.Choice(["event", "alert", "asyncapi"]),
    is_flag=False,
    flag_value="asyncapi",
    help="Print the JSON Schema of an event or an alert, or the AsyncAPI document, and publish nothing.",
)
def publish(*, to: tuple[str, ...], last: str | None, schema: Literal["event", "alert", "asyncapi"] | None) -> None:
    """Publish the readings that are new or were corrected to the sinks of FLOOD_PUBLISH.

    A sink gets what it lacks; all of the last 24 hours if it is new. Exits with 1 if a sink has not confirmed it.
    """
    from flood_assets.cli.publish import publish as publish_readings  # noqa: PLC0415
    from flood_assets.cli.publish import show_schema  # noqa: PLC0415

    if schema:
        show_schema(schema)
        return
    given = {"FLOOD_PUBLISH": " ".join(to)} if to else {}
    sys.exit(publish_readings(settings.lake_url(), settings.publishing({**os.environ, **given}), last))


@main.command()
@click.argument("url")
@click.option("--once", is_flag=True, help="Print what is there and end; a webhook ends after one request.")
def subscribe(*, url: str, once: bool) -> None:
    """Print the events that arrive at URL, one a line, until Ctrl-C.

    URL is kinesis://stream, kafka://host:port/topic, sqs://queue, whose messages are deleted once they are printed, or
    http://127.0.0.1:9000/ to listen as a webhook. With FLOOD_PUBLISH_SECRET, requests that are not signed with it are
    refused.
    """
    from flood_assets.cli.publish import subscribe as print_events  # noqa: PLC0415

    print_events(url, settings.publishing({**os.environ, "FLOOD_PUBLISH": ""}).secret, once=once)


@main.command()
@click.argument("url")
@click.option("--once", is_flag=True, help="End when the stream is drained.")
def consume(*, url: str, once: bool) -> None:
    """Follow the stream at URL: take the readings that another lake publishes into this one, until Ctrl-C.

    URL is kinesis://stream, kafka://host:port/topic or sqs://queue. The lake belongs to the stream then, and needs no
    API; expired readings are deleted as in a refresh. Exits with 1 if something was lost before it was read.
    """
    from flood_assets.cli.consume import consume as consume_stream  # noqa: PLC0415

    sys.exit(consume_stream(settings.lake_url(), url, settings.now, once=once))


@main.group(invoke_without_command=True)
@click.pass_context
def shards(context: click.Context) -> None:
    """List the shards: those of the file FLOOD_NETWORK, those that readers unite, and what differs.

    FLOOD_LAKE_URL is the URL that they have in common. Exits with 1 if the lake of a shard cannot be read.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_shards)


@shards.command("list")
def list_shards() -> None:
    """List the shards, as the command without a word does."""
    from flood_assets.cli.shards import show as show_shards  # noqa: PLC0415

    sys.exit(show_shards(settings.lake_url(), settings.now()))


@shards.command()
def check() -> None:
    """Ask each API for its newest readings and name the measures that are in no shard, or in several.

    Exits with 1 if there are any.
    """
    from flood_assets.cli.shards import check as check_shards  # noqa: PLC0415

    sys.exit(check_shards(settings.lake_url(), settings.now))


@shards.command()
@click.option("--dry-run", is_flag=True, help="Show what would be done; change nothing.")
@click.option(
    "--drop", metavar="NAME", multiple=True, help="Measure, or old shard, whose readings may go; may be repeated."
)
@click.option("--keep", is_flag=True, help="Keep the old lakes; repeated without it, the command deletes them.")
@click.option(
    "--grace",
    metavar="SECONDS",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Wait so long for readers that have begun with the old lakes, before these are deleted.",
)
def apply(*, dry_run: bool, drop: tuple[str, ...], keep: bool, grace: float) -> None:
    """Change over to the shards of FLOOD_NETWORK: add, remove, split and join shards, and lose nothing.

    New shards are filled from the lakes that hold their readings and from their APIs; then readers change over; then
    the old lakes are deleted. May be stopped at any time and repeated. Exits with 1 if an old lake could not be deleted
    yet.
    """
    from flood_assets.cli.shards import apply as apply_shards  # noqa: PLC0415

    sys.exit(apply_shards(settings.lake_url(), settings.now, drop=drop, keep=keep, grace_s=grace, dry_run=dry_run))


@main.command()
@click.argument("name")
@click.option(
    "--rate", default=50.0, show_default=True, type=click.FloatRange(0.001, 100_000), help="Requests a second."
)
@click.option("--rights", default="read", show_default=True, help="Rights, separated by commas.")
def key(*, name: str, rate: float, rights: str) -> None:
    """Make a key for a client of the server, and the line that makes the server know it.

    The key is shown once and stored nowhere; the line, for the file of FLOOD_API_KEYS, has only its SHA-256.
    """
    from flood_assets.cli.serve import make_key  # noqa: PLC0415

    make_key(name, rate, rights)


@main.command()
@click.option("--stations", default=5500, show_default=True, type=click.IntRange(1), help="Number of stations.")
@click.option("--seed", default=1, show_default=True, help="Random seed; each makes another country.")
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 for a free one.")
@click.option("--now", metavar="TIME", callback=_time, help="Freeze the clock, such as at 2026-11-21T09:00:00Z.")
def simulate(*, stations: int, seed: int, port: int, now: datetime | None) -> None:
    """Serve a simulated API, offline, until Ctrl-C."""
    from flood_assets.simulator import run  # noqa: PLC0415

    run(stations=stations, seed=seed, port=port, now=(lambda: now) if now else None)
