"""The metrics of a command or run over many shards, as one line for CloudWatch. Pure."""

from collections.abc import Sequence
from datetime import datetime

from flood_assets import emf
from flood_assets.shards.outcome import Outcome
from flood_assets.tick.steps import Ticked


def line(outcomes: Sequence[Outcome[Ticked]], environment: str, at: datetime, *, seconds: float, job: str) -> str:
    """Return the metrics of all shards together; one of which nothing is known failed in its readings.

    Args:
        outcomes: one for each shard.
        environment: value of the dimension.
        at: when the last of them ended.
        seconds: from the first to the last.
        job: refresh, reconcile or expire.
    """
    told = [step for each in outcomes if each.result is not None for step in each.result.done.items()]
    bad = [each for each in outcomes if each.reason]
    unknown = [job if job == "expire" else "readings"]
    failed = [step for each in bad for step in (unknown if each.result is None else each.result.failed)]
    names = ", ".join(each.shard.name for each in bad)
    return emf.of_run(told, failed, environment, at, seconds=seconds, ended_well=not bad, job=job, shards=names)
