"""Pushed batches: what landed is ingested into the readings. No request is made.

Ingesting is in `flood_assets.landing`; `flood_assets.defs.sensors` decides when.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from flood_assets.defs.assets.tables import GROUP, OWNERS
from flood_assets.defs.charts import table
from flood_assets.defs.failures import explained
from flood_assets.defs.resources import Clock, LakeResource
from flood_assets.landing.objects import DEAD
from flood_assets.words import counted

if TYPE_CHECKING:
    from flood_assets.landing.ingest import Ingestion

# Not the API's: what is pushed does not wait for a run that asks it.
POOL = "landing"
READABLE = "batches_readable"
# Batches that are named.
_NAMED = 10


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"python"},
    code_version="1",
    pool=POOL,
    check_specs=[
        dg.AssetCheckSpec(
            READABLE,
            asset="landed",
            description="No batch and no message of the last 24 hours was put aside as undecodable.",
        )
    ],
)
def landed(context: dg.AssetExecutionContext, lake: LakeResource, clock: Clock) -> Iterator[dg.MaterializeResult[None]]:
    """Upsert the readings of all pushed batches that wait, in the order in which they landed, and write their receipts.

    A run that is killed leaves batches that the next one ingests again, to the same effect.
    """
    from flood_assets.landing.ingest import ingest  # noqa: PLC0415 - only a run over pushed batches needs it

    with explained():
        opened = lake.open()
        found = ingest(opened, clock.now())
        dead = [meta.key for meta in opened.store.list(DEAD)]
    context.log.info("%s ingested", counted(len(found.receipts), "batch", "batches"))
    yield dg.MaterializeResult(metadata=_told(found), check_results=[_judged(dead)])


def _told(found: "Ingestion") -> dict[str, Any]:
    counts = ("rows", "rejected", "added", "revised", "unchanged", "expired")
    batches = [(each.publisher, each.id, *(getattr(each, name) for name in counts)) for each in found.receipts[:_NAMED]]
    return {
        "batches": sum(each.state == "ingested" for each in found.receipts),
        "repeated_batches": found.repeated,
        "unreadable_batches": len(found.unreadable),
        **{name: found.count(name) for name in counts},
        "refused_uploads": sum(each.state == "refused" for each in found.receipts),
        "restored_readings": found.restored,
        "windows": len({change.window for change in found.windows}),
        "written": sum(change.written for change in found.windows),
        "first_batches": table(["publisher", "batch", *counts], batches),
    }


def _judged(dead: list[str]) -> dg.AssetCheckResult:
    """Return an error while undecodable batches are kept, which is for a day."""
    remedy = (
        "receipts of batches say `unreadable`: the publisher has to send them again under another id. Of messages: let "
        "only S3 write to the queue"
    )
    told: dict[str, Any] = {"batches": len(dead)}
    if dead:
        told |= {"kept_as": ", ".join(dead[:_NAMED]), "remedy": remedy}
    return dg.AssetCheckResult(check_name=READABLE, passed=not dead, metadata=told)
