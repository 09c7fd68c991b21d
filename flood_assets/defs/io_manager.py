"""Store what assets return in the lake, and load windows of it for assets downstream.

Rows, atomicity and retention are decided in `flood_assets.lake`, values that store themselves in
`flood_assets.tick.outputs`. A `UPathIOManager` cannot store a run over many partitions, and a tick is one.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa

from flood_assets import schemas
from flood_assets.defs.failures import explained
from flood_assets.defs.resources import Clock, LakeResource
from flood_assets.ingest import Batch, Ingested
from flood_assets.lake.lake import Lake
from flood_assets.lake.write import WindowChange
from flood_assets.ledger.account import Account
from flood_assets.partitions import WINDOW, partition_key, retained_windows, window_of_key
from flood_assets.schemas import TABLES, Table
from flood_assets.tick.outputs import Snapshot, State
from flood_assets.words import counted

if TYPE_CHECKING:
    import pandas as pd

# Metadata: the name under which a damaged window's object is kept.
QUARANTINED_AS = "quarantined_as"
# Metadata of the newest window: the names of all damaged objects that the run replaced.
REPLACED = "replaced_damaged_windows"
# Tables whose windows each hold the whole list.
_SNAPSHOTS = (
    schemas.STATIONS,
    schemas.MEASURES,
    schemas.TIMELINESS,
    schemas.CONDITIONS,
    schemas.WARNINGS,
    schemas.WARNING_AREAS,
)
# Metadata: counts of rows, as `WindowChange` names them.
_COUNTS = ("added", "revised", "unchanged")


class LakeIOManager(dg.ConfigurableIOManager):
    """Stores the assets that are tables of the lake, and loads them as pyarrow or pandas tables."""

    lake: dg.ResourceDependency[LakeResource]
    clock: dg.ResourceDependency[Clock]

    def handle_output(self, context: dg.OutputContext, obj: Batch | Snapshot | Account | State) -> None:
        """Store an asset's value, and record metadata for the asset and for tables that were stored with it.

        Partitioned assets are recorded window by window, others as a whole.
        """
        table = TABLES[context.asset_key.path[-1]]
        with explained():
            lake, started = self.lake.open(), time.perf_counter()
            damaged: list[str] = []
            if isinstance(obj, Batch):
                damaged += obj.damaged.values()
                ingested = obj.store(lake)
                _warn(context, obj, ingested)
                own, beside = ingested.upserted.windows, {}
            else:
                changes = obj.store(lake)
                own = changes.pop(table.name)
                beside = {name: _totals(each) for name, each in changes.items()}
            if isinstance(obj, Batch | Snapshot) and len(obj.rejects):
                beside[schemas.REJECTS.name] = _size(lake, schemas.REJECTS)
            seconds = round(time.perf_counter() - started, 3)
            for name, told in beside.items():
                context.log_event(dg.AssetMaterialization(name, metadata=told | {"dagster/uri": f"{lake.url}/{name}"}))
            if context.has_asset_partitions:
                _record_windows(context, lake, table, own, seconds, damaged)
            else:
                context.add_output_metadata(_totals(own))
            context.add_output_metadata({"dagster/uri": f"{lake.url}/{table.name}"})

    def load_input(self, context: dg.InputContext) -> "pa.Table | pd.DataFrame":
        """Load the windows of the input: as the annotation says, a `pyarrow.Table` or a `pandas.DataFrame`.

        The input's metadata `columns` limits the columns that are read. For a snapshot (stations, measures, timeliness,
        conditions, warnings, warning_areas) only the newest in the range is loaded. Rows older than 24 hours are never
        returned. Without a partition, all retained windows are loaded.
        """
        table = TABLES[context.asset_key.path[-1]]
        columns = (context.definition_metadata or {}).get("columns")
        with explained():
            lake, now = self.lake.open(), self.clock.now()
            if context.has_asset_partitions:
                windows = sorted(window_of_key(key) for key in context.asset_partition_keys)
            else:
                windows = retained_windows(now)
            if table in _SNAPSHOTS:
                asked = set(windows)
                windows = [max((s.window for s in lake.windows(table) if s.window in asked), default=windows[-1])]
            rows = lake.read(table, windows[0], windows[-1] + WINDOW, now=now, columns=columns)
        wanted = context.dagster_type.typing_type
        if getattr(wanted, "__module__", "").startswith("pandas"):
            from flood_assets.notebook import to_pandas  # noqa: PLC0415 - a run of the assets never needs pandas

            return to_pandas(rows)
        return rows


def _warn(context: dg.OutputContext, batch: Batch, ingested: Ingested) -> None:
    """Log everything unusual about a batch."""
    if len(batch.rejects):
        context.log.warning("%s could not be parsed: kept in the table `rejects`", counted(len(batch.rejects), "row"))
    if not ingested.advanced:
        context.log.warning("a damaged window was quarantined during this run: the next refresh reads the whole day")
    if future := ingested.upserted.future:
        context.log.info("%s dated later than now and not stored", counted(future, "reading"))


def _record_windows(
    context: dg.OutputContext,
    lake: Lake,
    table: Table,
    changes: Sequence[WindowChange],
    seconds: float,
    damaged: Sequence[str],
) -> None:
    """Record metadata for each window of the run, under fixed names so that the UI plots them.

    The newest window, which the asset's page shows, also names every damaged object that the run replaced: those that
    were found before (`damaged`) and while storing.
    """
    run = dg.AssetExecutionContext.get()
    windows = sorted(window_of_key(key) for key in context.asset_partition_keys)
    changed = {change.window: change for change in changes}
    # A change says what its window holds now; for the other windows the footers are read.
    others = lake.contents(table, [window for window in windows if window not in changed])
    for window in windows:
        change = changed.get(window)
        content = change or others[window]
        metadata: dict[str, Any] = {
            "dagster/partition_row_count": content.rows,
            "bytes": content.size,
            **{name: getattr(change, name, 0) for name in _COUNTS},
            "written": change is not None and change.written,
            **_quarantined([change] if change else []),
        }
        if content.oldest and content.newest:
            metadata["oldest"] = dg.MetadataValue.timestamp(content.oldest)
            metadata["newest"] = dg.MetadataValue.timestamp(content.newest)
        if window == windows[-1]:
            # For the run as a whole: windows are upserted in parallel.
            metadata["store_seconds"] = seconds
            if replaced := sorted({*damaged, *(each.quarantined_as for each in changes if each.quarantined_as)}):
                metadata[REPLACED] = ", ".join(replaced)
        run.add_asset_metadata(metadata, partition_key=partition_key(window))
    healed = [change for change in changes if change.quarantined_as and change.window not in windows]
    if healed:
        context.log.warning("%s of %s replaced", counted(len(healed), "other damaged window"), table.name)
        context.add_output_metadata(_quarantined(healed))


def _size(lake: Lake, table: Table) -> dict[str, Any]:
    """Return a whole table's size as metadata."""
    windows = lake.contents(table, [stored.window for stored in lake.windows(table)]).values()
    rows, size = sum(window.rows for window in windows), sum(window.size for window in windows)
    return {"dagster/row_count": rows, "bytes": size, "windows": len(windows)}


def _totals(changes: Sequence[WindowChange]) -> dict[str, Any]:
    """Return metadata for several windows as a whole, under the names that single windows use."""
    return {
        "dagster/row_count": sum(change.rows for change in changes),
        "bytes": sum(change.size for change in changes),
        "windows": len(changes),
        **{name: sum(getattr(change, name) for change in changes) for name in (*_COUNTS, "written")},
        **_quarantined(changes),
    }


def _quarantined(changes: Sequence[WindowChange]) -> dict[str, str]:
    names = [change.quarantined_as for change in changes if change.quarantined_as]
    return {QUARANTINED_AS: ", ".join(names)} if names else {}
