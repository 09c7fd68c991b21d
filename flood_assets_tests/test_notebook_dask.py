"""`load_readings(engine="dask")`: the rows, columns and dtypes of pandas, read in parts."""

import sys
import warnings

import dask
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flood_assets.errors import LakeError
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import key_of
from flood_assets.notebook import NothingFoundWarning, load_readings, load_stations
from flood_assets.partitions import window_of
from flood_assets.query import parts
from flood_assets.query.parts import Part, readings_in_parts
from flood_assets.schemas import READINGS
from flood_assets_tests.support.filled_once import filled_once
from flood_assets_tests.support.lake_rows import HOUR, put_raw
from flood_assets_tests.support.quick_dagster import copy_folder
from flood_assets_tests.support.seven_gauges import MEASURE_IDS, NOW
from flood_assets_tests.support.sharded import SHARDS, fill_both

KEY = ["date_time", "measure_id"]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return filled_once(tmp_path_factory, "one and shards", fill_both)


@pytest.fixture(autouse=True)
def _in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def loaded(lake, engine, **wanted):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NothingFoundWarning)
        frame = load_readings(lake=lake, now=NOW, engine=engine, **wanted)
    return frame if engine == "pandas" else frame.compute()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wanted=st.fixed_dictionaries(
        {},
        optional={
            "river": st.sampled_from(["River Thames", "Thames", "Nile"]),
            "parameter": st.sampled_from(["level", "rainfall", "Tidal Level"]),
            "measure": st.sets(st.sampled_from([*MEASURE_IDS, "none"])).map(sorted),
            "joined": st.booleans(),
            "flags": st.booleans(),
            "last": st.sampled_from(["1h", "100min", "30h"]),
        },
    ),
    part_bytes=st.sampled_from([1, 5_000, parts.PART_BYTES]),
    place=st.sampled_from(["one", "shards"]),
)
def test_both_engines_give_the_same_rows_and_dtypes(both, wanted, part_bytes, place):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "PART_BYTES", part_bytes)
        whole, lazily = (loaded(both / place, engine, **wanted) for engine in ("pandas", "dask"))
    whole, lazily = (each.sort_values(KEY, ignore_index=True) for each in (whole, lazily))
    pd.testing.assert_frame_equal(lazily, whole)


def test_a_partition_is_some_hours_of_one_shard_and_nothing_is_read_before(both, monkeypatch):
    monkeypatch.setattr(parts, "PART_BYTES", 1)
    read = []
    monkeypatch.setattr(Part, "rows", lambda part: read.append(part.lake_url) or READINGS.schema.empty_table())
    frame = load_readings(lake=both / "shards", now=NOW, last="5h", engine="dask")
    assert read == []
    assert frame.npartitions == len(SHARDS) * 6
    assert frame["value"].sum().compute() == 0
    assert {each.rpartition("shard=")[2] for each in read} == {*SHARDS}


def test_a_shard_without_such_gauges_has_no_partition(both):
    found = readings_in_parts(both / "shards", NOW, parameter="rainfall")
    assert {each.lake_url.rpartition("shard=")[2] for each in found.parts} == {"rainfall"}
    assert {*found.parts[0].measures} == {"R1-rain", "R2-rain"}


def test_what_cannot_be_read_when_it_is_computed_is_an_error(both, tmp_path):
    copy_folder(both / "shards", tmp_path / "shards")
    frame = load_readings(lake=tmp_path / "shards", now=NOW, engine="dask")
    put_raw(Lake.open(tmp_path / "shards" / "shard=tide"), key_of(READINGS, window_of(NOW - 3 * HOUR)), b"no Parquet")
    with pytest.raises(LakeError, match="shard=tide"):
        frame.compute()


def test_notes_are_warnings_when_the_frame_is_made(both):
    with pytest.warns(NothingFoundWarning, match="no river is called 'Nile'"):
        frame = load_readings(lake=both / "shards", now=NOW, river="Nile", engine="dask")
    assert len(frame) == 0
    assert list(frame.columns) == READINGS.schema.names


def test_without_dask_the_remedy_is_told(both, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(ImportError, match=r'pip install "flood-assets\[dask\]"'):
        load_readings(lake=both / "one", now=NOW, engine="dask")


def test_another_engine_is_refused(both):
    with pytest.raises(ValueError, match="engine is 'polars': expected 'pandas' or 'dask'"):
        load_readings(lake=both / "one", now=NOW, engine="polars")
    with pytest.raises(ValueError, match="engine is 'dask': expected 'pandas'"):
        load_stations(lake=both / "one", now=NOW, engine="dask")
