"""Ingest pushed batches in the terminal, for `flood-assets ingest`; no Dagster is needed."""

from datetime import datetime

import click

from flood_assets.lake.known import lakes_at
from flood_assets.lake.lake import Lake
from flood_assets.landing.ingest import ingest as ingest_waiting
from flood_assets.query.place import opened_if_there
from flood_assets.words import counted


def ingest(lake_url: str, now: datetime) -> int:
    """Ingest what waits, print what became of it, and return the exit code: 1 if a batch cannot be decoded.

    Raises:
        LakeError: the lake cannot be read or written.
    """
    lake = opened_if_there(lake_url)
    if lake is None:
        click.echo(f"there is no lake at {lake_url} yet: nothing was pushed")
        return 0
    return max(_ingest(Lake.open(url), now, f"{name}: " if name else "") for name, url in lakes_at(lake.store).items())


def _ingest(lake: Lake, now: datetime, shard: str) -> int:
    found = ingest_waiting(lake, now)
    counts = ", ".join(f"{found.count(name):,} {name}" for name in ("added", "revised", "unchanged", "expired"))
    refused = [each for each in found.receipts if each.state == "refused"]
    told = (
        f"{counts}; {counted(found.count('rejected'), 'row')} refused" if found.receipts else "nothing was to be done"
    )
    click.echo(f"{shard}{counted(len(found.receipts) - len(refused), 'batch', 'batches')} ingested: {told}")
    for each in refused:
        click.echo(f"{shard}the upload {each.id} of '{each.publisher}' is refused: {each.why}")
    if found.restored:
        click.echo(f"{shard}{counted(found.restored, 'pushed reading')} of damaged windows stored again")
    for name in found.unreadable:
        click.echo(
            f"{shard}a batch cannot be decoded and is kept as {name}: its publisher has to send it again", err=True
        )
    return 1 if found.unreadable else 0
