"""Dagster's view of the lake: a run's windows go in, one window or a range comes out.

It decides nothing about rows: merging, atomicity and what may be read are the lake's (`flood_assets.lake.lake`).
It is a `ConfigurableIOManager` and not a `UPathIOManager` because that cannot write a run of many partitions,
which is what a tick is.
"""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa

from flood_assets import schemas
from flood_assets.defs.failures import explained
from flood_assets.defs.resources import Clock, LakeResource
from flood_assets.ingest import Batch
from flood_assets.lake.lake import Lake, WindowChange
from flood_assets.ledger.account import Account
from flood_assets.partitions import WINDOW, is_expired, partition_key, retained_windows, window_of, window_of_key

if TYPE_CHECKING:
    import pandas as pd


# Metadata: where a damaged window's object was moved.
QUARANTINED_AS = "quarantined_as"


class LakeIOManager(dg.ConfigurableIOManager):
    """Stores the assets that are tables in the lake and loads them as pyarrow or pandas tables."""

    lake: dg.ResourceDependency[LakeResource]
    clock: dg.ResourceDependency[Clock]

    def handle_output(self, context: dg.OutputContext, obj: Batch | Account | pa.Table) -> None:
        """Store what the asset returned, and record for each window of the run what became of it.

        An account is of the whole retained day, and recorded as one.
        """
        table = schemas.TABLES[context.asset_key.path[-1]]
        with explained():
            lake, now = self.lake.open(), self.clock.now()
            if isinstance(obj, Account):
                changes = [lake.put_snapshot(table, window, rows) for window, rows in obj.windows.items()]
                lake.put_snapshot(schemas.TIMELINESS, window_of(now), obj.timeliness)
                context.add_output_metadata(_together(changes))
            else:
                windows = [window_of_key(key) for key in context.asset_partition_keys]
                if isinstance(obj, Batch):
                    changes = _store(context, lake, obj)
                else:
                    changes = _put_snapshots(context, lake, table, windows, obj, now)
                _record(context, lake, table, windows, changes)
            context.add_output_metadata({"dagster/uri": f"{lake.url}/{table.name}"})

    def load_input(self, context: dg.InputContext) -> "pa.Table | pd.DataFrame":
        """Load the windows of the input: as the annotation says, a `pyarrow.Table` or a `pandas.DataFrame`.

        The input's metadata `columns` limits what is read. Of `stations` and `measures` the newest snapshot in the
        range is given, of `completeness` all windows. Rows older than 24 hours are never given. Without a partition,
        all that is retained is loaded.
        """
        table = schemas.TABLES[context.asset_key.path[-1]]
        columns = (context.definition_metadata or {}).get("columns")
        with explained():
            lake, now = self.lake.open(), self.clock.now()
            if context.has_asset_partitions:
                windows = sorted(window_of_key(key) for key in context.asset_partition_keys)
            else:
                windows = retained_windows(now)
            if table in (schemas.STATIONS, schemas.MEASURES):
                windows = _newest(lake, table, windows)
            rows = lake.read(table, windows[0], windows[-1] + WINDOW, now=now, columns=columns)
        wanted = context.dagster_type.typing_type
        if getattr(wanted, "__module__", "").startswith("pandas"):
            return to_pandas(rows)
        return rows


def to_pandas(rows: pa.Table) -> "pd.DataFrame":
    """The rows as pandas holds them best: text as `str`, dates as datetime64, whole numbers with gaps as Int32."""
    import pandas as pd  # noqa: PLC0415 - a run of the assets never needs it

    frame: pd.DataFrame = rows.to_pandas(date_as_object=False)
    for column in rows.schema:
        if column.type == pa.int32() and column.nullable:
            frame[column.name] = rows[column.name].to_pandas(types_mapper={pa.int32(): pd.Int32Dtype()}.get)
    return frame


def _newest(lake: Lake, table: schemas.Table, windows: list[datetime]) -> list[datetime]:
    """Of the windows of a snapshot, the newest that is stored; the newest of all when none is."""
    if len(windows) == 1:
        return windows
    asked = set(windows)
    return [max((s.window for s in lake.windows(table) if s.window in asked), default=windows[-1])]


def _store(context: dg.OutputContext, lake: Lake, batch: Batch) -> list[WindowChange]:
    """Store a batch, and tell what is odd about it."""
    started = time.perf_counter()
    merge, marked = batch.store(lake)
    if len(batch.rejects):
        context.log.warning("%d rows could not be understood: kept in the table `rejects`", len(batch.rejects))
    if not marked:
        context.log.warning("a window was damaged and quarantined meanwhile: the next refresh reads the whole day")
    if merge.future:
        context.log.info("%d readings are dated later than now and left for when they are due", merge.future)
    # Of the whole, as windows are merged side by side: once, at the newest window that the run is about.
    seconds = {"store_seconds": round(time.perf_counter() - started, 3)}
    context.step_context.add_asset_metadata(seconds, partition_key=max(context.asset_partition_keys))
    return merge.windows


def _put_snapshots(
    context: dg.OutputContext,
    lake: Lake,
    table: schemas.Table,
    windows: Sequence[datetime],
    rows: pa.Table,
    now: datetime,
) -> list[WindowChange]:
    """Store a snapshot in its windows, and in those of others that are damaged: there is no second way to fill them."""
    damaged = lake.damaged(table)
    retained = [window for window in sorted({*windows, *damaged}) if not is_expired(window, now)]
    changes = lake.put_snapshots(table, retained, rows)
    kept = [change.quarantined_as for change in changes if change.quarantined_as]
    if kept:
        context.log.warning("%d windows of %s were damaged and hold this snapshot now", len(kept), table.name)
        context.add_output_metadata({QUARANTINED_AS: ", ".join(kept)})
    return changes


def _record(
    context: dg.OutputContext,
    lake: Lake,
    table: schemas.Table,
    windows: Sequence[datetime],
    changes: Sequence[WindowChange],
) -> None:
    """Metadata of each window of the run, under names that stay the same so that the UI plots them."""
    changed = {change.window: change for change in changes}
    # Who wrote a window, or compared it, knows what it holds; only the others are looked at.
    others = lake.contents(table, [window for window in windows if window not in changed])
    for window in windows:
        change = changed.get(window)
        content = change or others[window]
        metadata: dict[str, Any] = {
            "dagster/partition_row_count": content.rows,
            "bytes": content.size,
            "added": change.added if change else 0,
            "revised": change.revised if change else 0,
            "unchanged": change.unchanged if change else 0,
            "written": change.written if change else False,
        }
        if content.oldest and content.newest:
            metadata["oldest"] = dg.MetadataValue.timestamp(content.oldest)
            metadata["newest"] = dg.MetadataValue.timestamp(content.newest)
        if change:
            metadata["merge_seconds"] = round(change.seconds_read + change.seconds_upsert, 4)
            metadata["write_seconds"] = round(change.seconds_write, 4)
            if change.quarantined_as:
                metadata[QUARANTINED_AS] = change.quarantined_as
        context.step_context.add_asset_metadata(metadata, partition_key=partition_key(window))


def _together(changes: Sequence[WindowChange]) -> dict[str, Any]:
    """Metadata of a run's windows as a whole, under the names that those of single windows have."""
    metadata: dict[str, Any] = {
        "dagster/row_count": sum(change.rows for change in changes),
        "bytes": sum(change.size for change in changes),
        "windows": len(changes),
        "added": sum(change.added for change in changes),
        "revised": sum(change.revised for change in changes),
        "unchanged": sum(change.unchanged for change in changes),
        "written": sum(change.written for change in changes),
        "merge_seconds": round(sum(change.seconds_read + change.seconds_upsert for change in changes), 4),
        "write_seconds": round(sum(change.seconds_write for change in changes), 4),
    }
    if kept := [change.quarantined_as for change in changes if change.quarantined_as]:
        metadata[QUARANTINED_AS] = ", ".join(kept)
    return metadata
