"""Decide to which shard each measure of a lake belongs, by the shards' own lists and scopes; ids are never split. Pure.

A measure belongs to the shard whose list has it. One that the API no longer lists belongs to the shard whose scope has
the parameter or the station that an earlier list, or its own readings, gave it. What publishers pushed belongs to the
first shard.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flood_assets.grouping import Ints
from flood_assets.network import WHOLE, Scope
from flood_assets.places import is_same_source
from flood_assets.schemas import publisher_of

NOBODY = -1


@dataclass(frozen=True)
class Claim:
    """Measures that a shard may own.

    Attributes:
        api: its API.
        scope: what it asks there.
        measures: ids that the API lists for it.
    """

    api: str
    scope: Scope
    measures: frozenset[str]


@dataclass
class Owners:
    """The owners of the measures of one lake, each as its place in `claims`, `NOBODY` for none.

    Attributes:
        claims: of the shards that may own them.
        api: from which the lake was filled; None if that is not known.
        listed: station and parameter of measures by the lake's own lists.
        known: owners found so far.
    """

    claims: Sequence[Claim]
    api: str | None
    listed: Mapping[str, tuple[str | None, str | None]]
    known: dict[str, int] = field(default_factory=dict)

    def of(self, measure_id: str, station_id: str | None = None) -> int:
        """Return the owner of a measure, whose readings have this station."""
        if measure_id not in self.known:
            self.known[measure_id] = self._found(measure_id, station_id)
        return self.known[measure_id]

    def of_rows(self, rows: pa.Table) -> Ints:
        """Return the owner of each row of a table with `measure_id`, perhaps with `station_id`."""
        ids = rows["measure_id"].combine_chunks().dictionary_encode()
        names = ids.dictionary.to_pylist()
        new = [name for name in names if name not in self.known]
        stations = dict[str, str]()
        if new and "station_id" in rows.column_names:
            some = rows.filter(pc.is_in(rows["measure_id"], value_set=pa.array(new, pa.string())))
            pairs = some.group_by(["measure_id", "station_id"]).aggregate([])
            stations = {m: s for m, s in zip(*(c.to_pylist() for c in pairs.columns), strict=True) if s is not None}
        codes = np.array([self.of(name, stations.get(name)) for name in names], np.int64)
        return codes[ids.indices.to_numpy()] if len(ids) else np.zeros(0, np.int64)

    def _found(self, measure_id: str, station_id: str | None) -> int:
        if publisher_of(measure_id) is not None:
            return 0 if self.claims else NOBODY
        near = [
            (number, claim)
            for number, claim in enumerate(self.claims)
            if self.api is None or is_same_source(claim.api, self.api)
        ]
        for number, claim in near:
            if measure_id in claim.measures:
                return number
        station, parameter = self.listed.get(measure_id, (None, None))
        for number, claim in near:
            # Several values of one field are joined.
            if claim.scope == WHOLE or claim.scope.parameter in (parameter or "").split("|"):
                return number
            if {station, station_id} & set(claim.scope.stations):
                return number
        return NOBODY
