"""Answer questions about a whole network with small tables: each shard is read where `fan` has it done.

    found = whole(completeness, Job(common_url), network.shards, dask=settings.dask())
    found.rows, found.missing

`flood_assets.query` unites shards too, and reads them all in one process: this is for what does not fit there.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from flood_assets.ea.http import Gate
from flood_assets.ledger.account import COUNTS, take
from flood_assets.network import Shard
from flood_assets.partitions import retained_windows
from flood_assets.schemas import CONDITIONS, READINGS, TIME
from flood_assets.shards.fan import fan_out
from flood_assets.shards.opening import open_shard
from flood_assets.shards.work import Job
from flood_assets.tick.steps import Given

# What is asked of one shard: it returns a small table.
Question = Callable[[Given], pa.Table]


@dataclass(frozen=True)
class Whole:
    """Answer of a network.

    Attributes:
        rows: those of each shard, `shard` being its name, in the order of the shards.
        missing: the shards that could not be read, and why.
    """

    rows: pa.Table
    missing: dict[str, str]


def whole(question: Question, job: Job, shards: Iterable[Shard], *, dask: str | None = None) -> Whole:
    """Ask each shard, and unite the answers; errors as for `fan.fan_out`.

    Args:
        question: a function of this file, or any that a worker can import.
        job: where the shards are, and the time.
        shards: those of one network.
        dask: as for `fan.fan_out`.
    """
    asked = tuple(shards)
    found, missing = dict[str, pa.Table](), dict[str, str]()
    for outcome in fan_out(partial(_answered, question, job), asked, dask=dask):
        if outcome.result is None:
            missing[outcome.shard.name] = outcome.reason
        else:
            found[outcome.shard.name] = outcome.result
    tables = [_named(found[shard.name], shard.name) for shard in asked if shard.name in found]
    return Whole(pa.concat_tables(tables) if tables else pa.table({"shard": pa.array([], pa.string())}), missing)


def counts(given: Given) -> pa.Table:
    """Return one row: retained `windows` of readings, their `rows` and `bytes`, and the `newest` time; by footers."""
    found = given.lake.contents(READINGS, retained_windows(given.clock())).values()
    newest = max((each.newest for each in found if each.newest is not None), default=None)
    return pa.table(
        {
            "windows": [sum(each.size > 0 for each in found)],
            "rows": [sum(each.rows for each in found)],
            "bytes": [sum(each.size for each in found)],
            "newest": pa.array([newest], TIME),
        }
    )


def completeness(given: Given) -> pa.Table:
    """Return one row, as of now: readings of the last 24 hours expected, received, late, and missing by cause."""
    totals = take(given.lake, given.clock()).totals()
    return pa.table({name: [totals[name]] for name in COUNTS})


def conditions(given: Given) -> pa.Table:
    """Return how many `gauges` have each `band`, `trend` and `freshness`, as of the last tick."""
    by = ["band", "trend", "freshness"]
    rows = given.lake.newest_snapshot(CONDITIONS, given.clock(), columns=by)
    if rows is None:
        rows = CONDITIONS.schema.empty_table().select(by)
    grouped = rows.group_by(by).aggregate([([], "count_all")]).rename_columns([*by, "gauges"])
    return grouped.sort_by([(name, "ascending") for name in by])


def _answered(question: Question, job: Job, shard: Shard, gate: Gate) -> pa.Table:
    return question(open_shard(shard, job.common_url, job.clock, gate=gate))


def _named(rows: pa.Table, name: str) -> pa.Table:
    return rows.add_column(0, "shard", pa.array([name] * len(rows), pa.string()))
