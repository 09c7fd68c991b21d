"""Compare what the API shows without a filter with what its shards have: each measure belongs to exactly one."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

from flood_assets.ea.client import FloodMonitoringApi
from flood_assets.lake import watermarks
from flood_assets.lake.listed import of_api
from flood_assets.network import Network
from flood_assets.schemas import MEASURES
from flood_assets.shards.change import Filler


@dataclass(frozen=True)
class Checked:
    """The measures of one API.

    Attributes:
        api: its URL, without a password.
        shown: measures in its `latest`.
        shards: number of measures of each shard, by name.
        nowhere: those of `latest` that are in no shard.
        twice: measures that are in several shards, and in which.
    """

    api: str
    shown: int
    shards: Mapping[str, int]
    nowhere: Sequence[str]
    twice: Mapping[str, Sequence[str]]


def check(network: Network, filler: Filler, clock: Callable[[], datetime]) -> list[Checked]:
    """Ask each API once for all that is newest, and compare it with the lists and watermarks of its shards.

    Raises:
        SourceError: an API did not answer.
        LakeError: a shard cannot be read.
    """
    found = []
    for source in dict.fromkeys(each.source for each in network.shards):
        together = [each for each in network.shards if each.source == source]
        shards = dict[str, set[str]]()
        for shard in together:
            lake = filler.at(shard.name)
            rows, marks = lake.newest_snapshot(MEASURES, clock()), watermarks.load(lake.store)
            rows = filler.gauges(shard).measures if rows is None else of_api(rows)
            shards[shard.name] = {*rows["measure_id"].to_pylist()}
            # What the API gives without listing it.
            shards[shard.name] |= set() if marks is None else {*marks.rows["measure_id"].to_pylist()}
        with closing(FloodMonitoringApi(together[0].api, now=clock)) as api:
            shown = {*api.latest().rows["measure_id"].to_pylist()}
        having = defaultdict[str, list[str]](list)
        for name, measures in shards.items():
            for measure in measures:
                having[measure].append(name)
        found.append(
            Checked(
                source,
                len(shown),
                {name: len(measures) for name, measures in shards.items()},
                sorted(shown - having.keys()),
                {measure: names for measure, names in sorted(having.items()) if len(names) > 1},
            )
        )
    return found
