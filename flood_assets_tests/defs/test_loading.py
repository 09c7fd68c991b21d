"""Loading the lake's tables through Dagster: the same rows as a notebook gets."""

from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest

from flood_assets import query
from flood_assets.definitions import build_defs
from flood_assets.defs.io_manager import LakeIOManager
from flood_assets.defs.resources import Clock, LakeResource
from flood_assets.defs.windows import hourly_windows
from flood_assets.lake.lake import Lake
from flood_assets.notebook import load_measures, load_readings, load_stations
from flood_assets.partitions import partition_key, retained_windows, window_of
from flood_assets.schemas import READINGS, STATIONS
from flood_assets_tests.support.lake_rows import HOUR, snapshot
from flood_assets_tests.support.seven_gauges import MEASURE_IDS, MEASURE_ROWS, NOW, STATION_ROWS, fill

# Dagster itself calls what it deprecates when a resource needs another, as the lake's IO manager does.
pytestmark = pytest.mark.filterwarnings("ignore:InitResourceContext.dagster_run is deprecated:DeprecationWarning")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled") / "the lake"
    fill(Lake.open(folder.as_uri()))
    return folder


@pytest.fixture(autouse=True)
def _settings(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOOD_LAKE_URL", filled.as_uri())
    monkeypatch.setenv("FLOOD_NOW", NOW.isoformat())


class StoppedClock(Clock):
    """Always NOW."""

    def now(self) -> datetime:
        return NOW


@pytest.fixture
def defs(filled: Path) -> dg.Definitions:
    return build_defs(lake=LakeResource(url=filled.as_uri()), clock=StoppedClock())


SIX = partition_key(window_of(NOW).replace(hour=6))
SEVEN = partition_key(window_of(NOW).replace(hour=7))
DAY = dg.PartitionKeyRange(*[partition_key(retained_windows(NOW)[i]) for i in (0, -1)])
SNAPSHOT = partition_key(window_of(NOW - 4 * HOUR))


def test_dagster_loads_one_window_as_arrow_or_pandas(defs):
    assert len(defs.load_asset_value("readings", partition_key=SIX)) == 4 * len(MEASURE_IDS)
    table = defs.load_asset_value("readings", partition_key=SIX, python_type=pa.Table)
    assert table.schema == READINGS.schema
    frame = defs.load_asset_value("readings", partition_key=SIX, python_type=pd.DataFrame)
    assert frame.equals(load_readings(start="2026-10-05T06:00Z", end="2026-10-05T07:00Z"))


@pytest.mark.parametrize(("key", "load"), [("stations", load_stations), ("measures", load_measures)])
def test_dagster_loads_a_snapshot_as_the_notebook_does(defs, filled, key, load):
    frame = defs.load_asset_value(key, partition_key=SNAPSHOT, python_type=pd.DataFrame)
    rows = getattr(query, key)(filled, NOW).rows
    assert frame.equals(load())
    assert frame.dtypes.equals(load().dtypes)
    assert defs.load_asset_value(key, partition_key=SNAPSHOT, python_type=pa.Table).equals(rows)


def test_dagster_loads_a_range_of_windows(defs, filled):
    with defs.get_asset_value_loader() as loader:
        two = loader.load_asset_value(
            "readings", partition_key_range=dg.PartitionKeyRange(SIX, SEVEN), python_type=pd.DataFrame
        )
        day = loader.load_asset_value("readings", partition_key_range=DAY, python_type=pa.Table)
        one = loader.load_asset_value("readings", partition_key=SIX)
    assert two.equals(load_readings(start="2026-10-05T06:00Z", end="2026-10-05T08:00Z"))
    assert day.equals(query.readings(filled, NOW).rows)
    assert isinstance(one, pa.Table)


def test_dagster_loads_the_newest_snapshot_of_a_range(tmp_path):
    lake = Lake.open(tmp_path.as_uri())
    fill(lake)
    window = window_of(NOW - HOUR)
    lake.put_snapshots(STATIONS, [window], snapshot(STATIONS, NOW, {"station_id": "only", "label": "New"}))
    before = dg.PartitionKeyRange(DAY.start, SEVEN)
    with build_defs(lake=LakeResource(url=tmp_path.as_uri()), clock=StoppedClock()).get_asset_value_loader() as loader:
        newest = loader.load_asset_value("stations", partition_key_range=DAY, python_type=pd.DataFrame)
        older = loader.load_asset_value("stations", partition_key_range=before, python_type=pa.Table)
        measures = loader.load_asset_value("measures", partition_key_range=DAY, python_type=pa.Table)
    assert newest.station_id.tolist() == ["only"]
    assert len(older) == len(STATION_ROWS)
    assert len(measures) == len(MEASURE_ROWS)


def test_dagster_loads_all_that_is_retained_without_a_partition(defs):
    assert len(defs.load_asset_value("readings", python_type=pd.DataFrame)) == 96 * len(MEASURE_IDS)
    assert len(defs.load_asset_value("stations", python_type=pd.DataFrame)) == len(STATION_ROWS)


def test_dagster_loads_a_window_that_is_not_there_as_an_empty_table(defs):
    long_ago = partition_key(window_of(NOW - timedelta(days=3)))
    frame = defs.load_asset_value("readings", partition_key=long_ago, python_type=pd.DataFrame)
    assert frame.empty
    assert frame.dtypes.equals(load_readings().dtypes)
    with defs.get_asset_value_loader() as loader:
        stations = loader.load_asset_value(
            "stations", partition_key_range=dg.PartitionKeyRange(SIX, SEVEN), python_type=pa.Table
        )
    assert stations.schema == STATIONS.schema
    assert len(stations) == 0


def test_dagster_loads_only_the_columns_of_the_inputs_metadata(defs):
    with defs.get_asset_value_loader() as loader:
        table = loader.load_asset_value("readings", partition_key=SIX, input_definition_metadata={"columns": ["value"]})
    assert table.column_names == ["value"]


def test_an_asset_downstream_gets_its_window_as_its_annotation_says(filled):
    @dg.asset(partitions_def=hourly_windows)
    def highest(readings: pd.DataFrame) -> float:
        return float(readings.value.max())

    lake, clock = LakeResource(url=filled.as_uri()), StoppedClock()
    source = dg.AssetSpec("readings", partitions_def=hourly_windows).with_io_manager_key("lake_io")
    result = dg.materialize(
        [highest, source],
        partition_key=SIX,
        resources={"lake_io": LakeIOManager(lake=lake, clock=clock), "io_manager": dg.mem_io_manager},
    )
    assert result.output_for_node("highest") == 12
