"""What other people's assets are given of ours, and what an upload to a bucket does."""

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest

from flood_assets.defs.windows import hourly_windows
from flood_assets.partitions import partition_key, retained_windows, window_of
from flood_assets.schemas import READINGS
from flood_assets_tests.conftest import HOUR, NOW, Place, failure_of
from flood_assets_tests.support.lake_rows import read_window
from flood_assets_tests.support.s3 import s3_server

__all__ = ["s3_server"]

SEEN: dict[str, object] = {}


@pytest.fixture(autouse=True)
def _forget():
    SEEN.clear()


@dg.asset(partitions_def=hourly_windows)
def as_arrow(readings: pa.Table) -> None:
    """One window as Arrow."""
    SEEN["rows"] = readings


@dg.asset(partitions_def=hourly_windows)
def as_pandas(readings: pd.DataFrame) -> None:
    """One window as pandas."""
    SEEN["rows"] = readings


@dg.asset(partitions_def=hourly_windows)
def as_it_comes(readings) -> None:
    """One window without an annotation."""
    SEEN["rows"] = readings


@dg.asset(partitions_def=hourly_windows, ins={"readings": dg.AssetIn(metadata={"columns": ["measure_id", "value"]})})
def two_columns(readings: pa.Table) -> None:
    """Only what is asked for is read."""
    SEEN["rows"] = readings


@dg.asset(partitions_def=hourly_windows, ins={"readings": dg.AssetIn(metadata={"columns": ["measure_id", "depth"]})})
def wrong_column(readings: pa.Table) -> None:
    """A column that there is not."""


@dg.asset(
    partitions_def=dg.DailyPartitionsDefinition("2026-10-01", end_offset=1),
    ins={"readings": dg.AssetIn(partition_mapping=dg.AllPartitionMapping())},
)
def of_a_day(readings: pa.Table) -> None:
    """Partitions that are not ours."""
    SEEN["rows"] = readings


@dg.asset
def of_all(readings: pa.Table) -> None:
    """Every window there is."""
    SEEN["rows"] = readings


def give(place: Place, asset: dg.AssetsDefinition, partition: str | None = None, **more) -> object:
    """What an asset downstream of ours is handed."""
    job = dg.Definitions.merge(
        place.defs, dg.Definitions(assets=[asset], jobs=[dg.define_asset_job("downstream", [asset])])
    ).resolve_job_def("downstream")
    result = job.execute_in_process(instance=place.instance, partition_key=partition, raise_on_error=False, **more)
    if not result.success:
        return failure_of(result)
    return SEEN["rows"]


WINDOW = window_of(NOW) - 2 * HOUR


def test_one_window_as_arrow(filled):
    rows = give(filled, as_arrow, partition_key(WINDOW))
    assert isinstance(rows, pa.Table)
    assert rows.schema.names == READINGS.schema.names
    assert rows.equals(read_window(filled.lake, READINGS, WINDOW, now=NOW))
    assert len(rows) > 0


def test_one_window_as_pandas_with_times_that_know_their_zone(filled):
    rows = give(filled, as_pandas, partition_key(WINDOW))
    assert isinstance(rows, pd.DataFrame)
    assert str(rows["date_time"].dt.tz) == "UTC"
    assert rows["value"].dtype == "float64"
    assert len(rows) == len(read_window(filled.lake, READINGS, WINDOW, now=NOW))


def test_without_an_annotation_it_is_arrow(filled):
    assert isinstance(give(filled, as_it_comes, partition_key(WINDOW)), pa.Table)


def test_columns_in_the_inputs_metadata_limit_what_is_read(filled):
    assert give(filled, two_columns, partition_key(WINDOW)).schema.names == ["measure_id", "value"]


def test_a_column_that_there_is_not_is_told_with_those_that_there_are(filled):
    told = give(filled, wrong_column, partition_key(WINDOW))
    assert told.startswith("readings has no column depth: it has measure_id, date_time, ")


def test_a_range_is_given_as_one_table(filled):
    tags = {
        "dagster/asset_partition_range_start": partition_key(WINDOW),
        "dagster/asset_partition_range_end": partition_key(WINDOW + HOUR),
    }
    rows = give(filled, as_arrow.with_attributes(backfill_policy=dg.BackfillPolicy.single_run()), tags=tags)
    assert {window_of(moment) for moment in rows["date_time"].to_pylist()} == {WINDOW, WINDOW + HOUR}


def test_an_asset_with_other_partitions_gets_the_retained_day(filled):
    """Dagster maps no time onto dynamic partitions: an asset by day asks for all windows."""
    rows = give(filled, of_a_day, "2026-10-15")
    assert {window_of(moment) for moment in rows["date_time"].to_pylist()} == set(retained_windows(NOW))


def test_all_is_the_last_day_and_nothing_older(filled):
    filled.at(NOW + HOUR)
    rows = give(filled, of_all)
    assert rows.equals(filled.lake.read(READINGS, now=NOW + HOUR))
    assert min(rows["date_time"].to_pylist()) > NOW - 23 * HOUR


def test_a_window_that_is_not_there_is_an_empty_table_with_all_columns(place):
    rows = give(place, as_pandas, partition_key(WINDOW))
    assert len(rows) == 0
    assert list(rows.columns) == READINGS.schema.names


def test_a_window_can_be_loaded_without_a_run(filled):
    with filled.defs.get_asset_value_loader(instance=filled.instance) as loader:
        rows = loader.load_asset_value("readings", python_type=pa.Table, partition_key=partition_key(WINDOW))
        day = loader.load_asset_value(
            "readings",
            python_type=pd.DataFrame,
            partition_key_range=dg.PartitionKeyRange(partition_key(WINDOW), partition_key(WINDOW + HOUR)),
        )
    assert rows.equals(read_window(filled.lake, READINGS, WINDOW, now=NOW))
    assert len(day) > len(rows)


def test_a_lake_that_cannot_be_written_is_told_in_our_words(place, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    place.lake_url = (tmp_path / "file" / "lake").as_uri()
    told = failure_of(place.reconcile())
    assert "unexplained" not in told
    assert str(tmp_path / "file") in told


@pytest.mark.usefixtures("no_aws_of_this_machine")
def test_a_bucket_is_filled_by_the_same_run(place, s3_server, monkeypatch):
    for name, value in s3_server.environ.items():
        monkeypatch.setenv(name, value)
    place.lake_url = "s3://flood-lake/io-manager"
    place.lake_settings = {"endpoint_url": s3_server.endpoint_url, "region_name": s3_server.region_name}
    assert place.tick(snapshot=True).success
    told = place.materializations("readings", WINDOW)[0].metadata
    assert told["dagster/uri"].value == "s3://flood-lake/io-manager/readings"
    assert told["bytes"].value > 0
    assert give(place, as_arrow, partition_key(WINDOW)).equals(read_window(place.lake, READINGS, WINDOW, now=NOW))
