"""Dagster's view of the lake: a run's windows go in, one window or a range comes out.

It decides nothing about rows: merging, atomicity and what may be read are the lake's (`flood_assets.lake.lake`).
It is a `ConfigurableIOManager` and not a `UPathIOManager` because that cannot write a run of many partitions,
which is what a tick is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa

from flood_assets import schemas
from flood_assets.explain import explained
from flood_assets.lake import marks
from flood_assets.lake.lake import Lake, WindowChange
from flood_assets.partitions import WINDOW, is_expired, partition_key, retained_windows, window_of_key
from flood_assets.resources import Clock, LakeResource

if TYPE_CHECKING:
    import pandas as pd


# Metadata: where a damaged window's object was moved.
SET_ASIDE = "damaged_object_set_aside_as"


@dataclass(frozen=True)
class Batch:
    """What a run fetched of `readings`, to be merged into the lake.

    Attributes:
        rows: measure_id (dictionary), date_time, value, raw_value.
        rejects: rows that could not be understood, schema `REJECTS`.
        stations: measure_id and station_id of the measures that are known.
        observed_at: when the API was asked; of two writers, the one that asked later is right.
        covered: windows that were asked for whole: they exist afterwards even when they hold nothing.
        marks: how far the lake is complete once the rows are stored, schema `MARKS`.
        marked: whether the lake had marks when the run began.
    """

    rows: pa.Table
    rejects: pa.Table
    stations: pa.Table
    observed_at: datetime
    covered: Sequence[datetime]
    marks: pa.Table
    marked: bool = False


class LakeIOManager(dg.ConfigurableIOManager):
    """Stores `stations`, `measures` and `readings` in the lake and loads them as pyarrow or pandas tables."""

    lake: dg.ResourceDependency[LakeResource]
    clock: dg.ResourceDependency[Clock]

    def handle_output(self, context: dg.OutputContext, obj: Batch | pa.Table) -> None:
        """Store what the asset returned, and record for each window of the run what became of it."""
        table = schemas.TABLES[context.asset_key.path[-1]]
        windows = [window_of_key(key) for key in context.asset_partition_keys]
        with explained():
            lake, now = self.lake.open(), self.clock.now()
            if isinstance(obj, Batch):
                changes = _store(context, lake, obj, now)
            else:
                changes = [lake.put_snapshot(table, window, obj) for window in windows if not is_expired(window, now)]
            _record(context, lake, table, windows, changes)

    def load_input(self, context: dg.InputContext) -> "pa.Table | pd.DataFrame":
        """Load the windows of the input: as the annotation says, a `pyarrow.Table` or a `pandas.DataFrame`.

        The input's metadata `columns` limits what is read. Of `stations` and `measures` the newest snapshot in the
        range is given. Rows older than 24 hours are never given. Without a partition, all that is retained is loaded.
        """
        table = schemas.TABLES[context.asset_key.path[-1]]
        columns = (context.definition_metadata or {}).get("columns")
        with explained():
            lake, now = self.lake.open(), self.clock.now()
            if context.has_asset_partitions:
                windows = sorted(window_of_key(key) for key in context.asset_partition_keys)
            else:
                windows = retained_windows(now)
            if not table.time:
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
    for field in rows.schema:
        if field.type == pa.int32() and field.nullable:
            frame[field.name] = rows[field.name].to_pandas(types_mapper={pa.int32(): pd.Int32Dtype()}.get)
    return frame


def _newest(lake: Lake, table: schemas.Table, windows: list[datetime]) -> list[datetime]:
    """Of the windows of a snapshot, the newest that is stored; the newest of all when none is."""
    if len(windows) == 1:
        return windows
    asked = set(windows)
    return [max((s.window for s in lake.windows(table) if s.window in asked), default=windows[-1])]


def _store(context: dg.OutputContext, lake: Lake, batch: Batch, now: datetime) -> list[WindowChange]:
    """Merge a batch. The marks go last: a run that is killed before leaves them behind, and the next asks again."""
    merge = lake.merge_readings(batch.rows, batch.observed_at, now, stations=batch.stations)
    lake.ensure_windows(schemas.READINGS, batch.covered)
    if len(batch.rejects):
        lake.add_rejects(batch.rejects)
        context.log.warning("%d rows could not be understood: kept in the table `rejects`", len(batch.rejects))
    if any(change.set_aside for change in merge.windows):
        # Of a damaged window only what this batch has of it is there now.
        marks.forget(lake)
    else:
        marks.advance(lake, batch.marks, batch.observed_at, marked=batch.marked)
    if merge.future:
        context.log.info("%d readings are dated later than now and left for when they are due", merge.future)
    return merge.windows


def _record(
    context: dg.OutputContext,
    lake: Lake,
    table: schemas.Table,
    windows: Sequence[datetime],
    changes: Sequence[WindowChange],
) -> None:
    """Metadata of each window of the run, under names that stay the same so that the UI plots them."""
    changed = {change.window: change for change in changes}
    contents = lake.contents(table, windows)
    for window in windows:
        content, change = contents[window], changed.get(window)
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
            metadata["merge_seconds"] = round(change.seconds_read + change.seconds_merge, 4)
            metadata["write_seconds"] = round(change.seconds_write, 4)
            if change.set_aside:
                metadata[SET_ASIDE] = change.set_aside
        context.step_context.add_asset_metadata(metadata, partition_key=partition_key(window))
    context.add_output_metadata({"dagster/uri": f"{lake.url}/{table.name}"})
