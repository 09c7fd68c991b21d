"""The last step of a tick: publish to the sinks of `FLOOD_PUBLISH` what changed in the readings.

How that is done is in `flood_assets.publish`, which is imported only if there are sinks. A sink that is away fails
nothing: its changes wait in the lake, and the check says so when they have waited for two ticks.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from flood_assets import settings
from flood_assets.defs.assets.tables import GROUP, OWNERS
from flood_assets.defs.charts import table
from flood_assets.defs.failures import explained
from flood_assets.defs.resources import Clock, LakeResource
from flood_assets.words import counted

if TYPE_CHECKING:
    from flood_assets.publish.publisher import Published

KEEPS_UP = "sinks_keep_up"


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"python"},
    code_version="1",
    deps=["readings"],
    # Nothing of a tick waits for a sink.
    op_tags={"dagster/priority": "-2"},
    check_specs=[
        dg.AssetCheckSpec(
            KEEPS_UP, asset="published", description="No change waits for a sink of FLOOD_PUBLISH for two ticks."
        )
    ],
)
def published(
    context: dg.AssetExecutionContext, lake: LakeResource, clock: Clock
) -> Iterator[dg.MaterializeResult[None]]:
    """Send each reading that is new or was corrected to the sinks of `FLOOD_PUBLISH`, at least once.

    A sink gets what it lacks, however long it was away within a day; `_published/` in the lake holds how far each has
    got. Ticks publish only if `FLOOD_PUBLISH` names a sink.
    """
    found: Sequence[Published] = ()
    with explained():
        now, given = clock.now(), settings.publishing()
        if given.sinks:
            from flood_assets.publish.publisher import publish_all  # noqa: PLC0415 - see the docstring of the file

            found = publish_all(lake.open(), given, clock.now)
    for each in found:
        if each.trouble:
            context.log.warning("%s has not confirmed %s: %s", each.sink, counted(each.waiting, "event"), each.trouble)
        if each.damaged:
            context.log.warning("%s: %s left out until repaired", each.sink, counted(each.damaged, "damaged window"))
    yield dg.MaterializeResult(metadata=described(found, now), check_results=[judged(found, now)])


def described(found: Sequence["Published"], now: datetime) -> dict[str, Any]:
    """Return metadata: of each sink what was sent and what waits, as a table and as numbers that the UI plots."""
    lines = [
        (each.sink, each.events, each.waiting, round(each.lag_s(now)), _time(each.oldest), each.refused, each.trouble)
        for each in found
    ]
    headings = ["sink", "events", "waiting", "lag [s]", "oldest unpublished (UTC)", "dead letters", "trouble"]
    numbers = [
        (f"{name}: {each.sink}", value)
        for each in found
        for name, value in (("events", each.events), ("waiting", each.waiting), ("lag_s", each.lag_s(now)))
    ]
    return {
        "sinks": len(found),
        "events": sum(each.events for each in found),
        **({"details": table(headings, lines)} if lines else {}),
        **dict(numbers),
    }


def judged(found: Sequence["Published"], now: datetime) -> dg.AssetCheckResult:
    """Return the result of the check: red if a change has waited for two ticks."""
    late = [each for each in found if each.is_late(now)]
    told = {each.sink: f"{each.waiting:,} waiting since {_time(each.oldest)} UTC: {each.trouble}" for each in late}
    return dg.AssetCheckResult(check_name=KEEPS_UP, passed=not late, metadata={"sinks": len(found), **told})


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment else ""
