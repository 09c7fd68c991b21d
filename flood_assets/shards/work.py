"""Work of `fan` for one shard: the steps of a tick, of a reconcile or of a cleanup, wherever it is done.

    fan_out(partial(refresh, job), network.shards)

Everything that decides travels in the `Job`; only credentials are read where the work is done.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow.compute as pc

from flood_assets import emf, settings
from flood_assets.ea.http import Gate
from flood_assets.lake.lake import Lake
from flood_assets.lake.united import reading
from flood_assets.network import Shard
from flood_assets.schemas import TIMELINESS
from flood_assets.settings import Publishing
from flood_assets.shards.opening import open_shard
from flood_assets.shards.outcome import PartlyFailedError
from flood_assets.tick import steps
from flood_assets.tick.steps import Ticked


@dataclass(frozen=True)
class Job:
    """Settings that are the same for all shards.

    Attributes:
        common_url: below which each shard has its lake.
        now: a fixed time, as FLOOD_NOW; empty for the clock of whoever does the work.
        archive: as `settings.archive` returns it.
        publishing: the sinks.
    """

    common_url: str
    now: str = ""
    archive: str | None = None
    # Their URLs may hold passwords.
    publishing: Publishing = field(default=Publishing((), None), repr=False)

    @classmethod
    def of_settings(cls) -> "Job":
        """Return the settings of this process; SettingsError if one is wrong."""
        now = os.environ.get("FLOOD_NOW", "")
        return cls(settings.lake_url(), now, settings.archive(), settings.publishing())

    def clock(self) -> datetime:
        """Return the current time in UTC."""
        return settings.now({"FLOOD_NOW": self.now})


def refresh(job: Job, shard: Shard, gate: Gate) -> Ticked:
    """Do what a tick does; PartlyFailedError if a step failed."""
    given = _given(job, shard, gate)
    return _whole(steps.refresh(given), given)


def reconcile(job: Job, shard: Shard, gate: Gate) -> Ticked:
    """Read the last 24 hours again; PartlyFailedError if a step failed."""
    given = _given(job, shard, gate)
    return _whole(steps.reconcile(given), given)


def expire(job: Job, shard: Shard, gate: Gate, *, dry_run: bool = False) -> Ticked:
    """Delete what has expired, or with `dry_run` tell what would be; errors as for `steps.clean`."""
    given = _given(job, shard, gate)
    told = steps.gone(given.lake.expire(given.clock(), dry_run=True)) if dry_run else steps.clean(given)
    return Ticked({"expire": told})


def judge_alerts(job: Job, alerts: Path) -> dict[str, Any]:
    """Judge the rules of a file over all shards, once they are refreshed; errors as for `steps.judge_alerts`.

    The state is kept at the common URL. A shard that cannot be read is in the `notes`.
    """
    united = reading(Lake.open(job.common_url))
    return steps.judge_alerts(steps.Given(united, "", job.clock, alerts=alerts, publishing=job.publishing))


Name = Literal["refresh", "reconcile", "expire"]
WORKS: dict[Name, Callable[..., Ticked]] = {"refresh": refresh, "reconcile": reconcile, "expire": expire}


def _given(job: Job, shard: Shard, gate: Gate) -> steps.Given:
    return open_shard(shard, job.common_url, job.clock, gate=gate, archive=job.archive, publishing=job.publishing)


def _whole(ticked: Ticked, given: steps.Given) -> Ticked:
    """Add the newest reading of all, which a tick without news does not tell."""
    timeliness = given.lake.newest_snapshot(TIMELINESS, given.clock(), columns=["newest_at"])
    newest = None if timeliness is None else pc.max(timeliness["newest_at"]).as_py()
    if newest is not None and "readings" in ticked.done:
        ticked.done["readings"][emf.NEWEST] = newest.timestamp()
    if ticked.failed:
        raise PartlyFailedError("; ".join(f"{name} failed: {why}" for name, why in ticked.failed.items()), ticked)
    return ticked
