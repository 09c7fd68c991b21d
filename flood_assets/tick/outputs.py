"""Results of the steps of a tick: each stores itself and carries the time at which it was made.

The others are `flood_assets.ingest.Batch` and `flood_assets.ledger.account.Account`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from flood_assets.lake.current import Present
from flood_assets.lake.lake import Lake
from flood_assets.lake.write import WindowChange
from flood_assets.partitions import is_expired
from flood_assets.schemas import REJECTS, Table


@dataclass(frozen=True)
class Snapshot:
    """A list of stations, measures, flood warnings or flood areas, to be stored in one window or several.

    Attributes:
        table: a snapshot of `schemas`, such as `STATIONS`.
        rows: the list, schema `table.schema`.
        windows: the windows that were asked for.
        now: when the list was fetched.
        rejects: what of the list could not be understood, schema `REJECTS`.
        present: the table's present, where that is not the same rows.
        mend: True to store the list in damaged windows too: each window is decoded whole to find them.
        unknown: stations of the shard that the API does not know.
    """

    table: Table
    rows: pa.Table
    windows: Sequence[datetime]
    now: datetime
    rejects: pa.Table = field(default_factory=REJECTS.schema.empty_table)
    present: Present | None = None
    mend: bool = True
    unknown: Sequence[str] = ()

    def store(self, lake: Lake) -> dict[str, list[WindowChange]]:
        """Store the list in its retained windows and in damaged ones, which nothing else would fill."""
        windows = sorted({*self.windows, *(lake.damaged(self.table) if self.mend else ())})
        retained = [window for window in windows if not is_expired(window, self.now)]
        if len(self.rejects):
            lake.add_rejects(self.rejects)
        return {self.table.name: lake.put_snapshots(self.table, retained, self.rows, self.present)}


@dataclass(frozen=True)
class State:
    """The state of things at a moment, to be stored in the window of it.

    Attributes:
        table: table of the rows.
        rows: the state, schema `table.schema`.
        now: the moment.
    """

    table: Table
    rows: pa.Table
    now: datetime

    def store(self, lake: Lake) -> dict[str, list[WindowChange]]:
        """Replace the state in the window of now."""
        return {self.table.name: lake.put_state(self.table, self.rows, self.now)}
