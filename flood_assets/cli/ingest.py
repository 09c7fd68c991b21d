"""Ingest pushed batches in the terminal, for `flood-assets ingest`; no Dagster is needed."""

from datetime import datetime

import click

from flood_assets.landing.ingest import ingest as ingest_waiting
from flood_assets.query.place import Place
from flood_assets.words import counted


def ingest(lake_url: str, now: datetime) -> int:
    """Ingest what waits, print what became of it, and return the exit code: 1 if a batch cannot be decoded.

    Raises:
        LakeError: the lake cannot be read or written.
    """
    lake = Place.of(lake_url, now).lake
    if lake is None:
        click.echo(f"there is no lake at {lake_url} yet: nothing was pushed")
        return 0
    found = ingest_waiting(lake, now)
    counts = ", ".join(f"{found.count(name):,} {name}" for name in ("added", "revised", "unchanged", "expired"))
    refused = [each for each in found.receipts if each.state == "refused"]
    told = (
        f"{counts}; {counted(found.count('rejected'), 'row')} refused" if found.receipts else "nothing was to be done"
    )
    click.echo(f"{counted(len(found.receipts) - len(refused), 'batch', 'batches')} ingested: {told}")
    for each in refused:
        click.echo(f"the upload {each.id} of '{each.publisher}' is refused: {each.why}")
    if found.restored:
        click.echo(f"{counted(found.restored, 'pushed reading')} of damaged windows stored again")
    for name in found.unreadable:
        click.echo(f"a batch cannot be decoded and is kept as {name}: its publisher has to send it again", err=True)
    return 1 if found.unreadable else 0
