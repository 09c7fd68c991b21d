"""The loaders: arguments, warnings and pandas. The answers themselves are tested in `flood_assets_tests.query`."""

import inspect
import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from flood_assets import notebook, query
from flood_assets.defs.resources import LakeResource
from flood_assets.lake.lake import Lake
from flood_assets.notebook import (
    NothingFoundWarning,
    load_changes,
    load_completeness,
    load_measures,
    load_readings,
    load_station_areas,
    load_stations,
    load_timeliness,
    load_warning_areas,
    load_warnings,
)
from flood_assets_tests.support.lake_rows import HOUR
from flood_assets_tests.support.s3 import BUCKET, S3Server, s3_server
from flood_assets_tests.support.seven_gauges import NOW, fill

__all__ = ["s3_server"]

LOADERS = [
    load_readings,
    load_changes,
    load_completeness,
    load_timeliness,
    load_stations,
    load_measures,
    load_station_areas,
]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled") / "the lake"
    fill(Lake.open(folder.as_uri()))
    return folder


@pytest.fixture(autouse=True)
def _settings(filled: Path, monkeypatch: pytest.MonkeyPatch, no_aws_of_this_machine: None) -> None:
    monkeypatch.setenv("FLOOD_LAKE_URL", filled.as_uri())
    monkeypatch.setenv("FLOOD_NOW", NOW.isoformat())


@contextmanager
def told(*expected: str) -> Iterator[None]:
    """Exactly one warning for each of the given texts, which it contains; they point at this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    messages = [str(each.message) for each in caught]
    assert len(messages) == len(expected), messages
    for message, text in zip(messages, expected, strict=True):
        assert text in message
    assert all(each.category is NothingFoundWarning and each.filename == __file__ for each in caught)


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("readings", {"start": "2026-10-05T06:00Z", "end": "2026-10-05T07:00Z", "station": "K1", "flags": True}),
        ("readings", {"last": "1h", "parameter": "level", "columns": ["value", "label"], "joined": True}),
        ("changes", {"since": HOUR, "measure": "K1-level", "joined": True}),
        ("completeness", {"last": HOUR, "river": "River Thames"}),
        ("timeliness", {"river": "River Hull"}),
        ("stations", {"measure": "K1-level"}),
        ("measures", {"station": ["K1", "K2"], "columns": "unit"}),
    ],
)
def test_a_loader_gives_the_answer_to_its_question_in_pandas(filled, question, wanted):
    frame = getattr(notebook, f"load_{question}")(**wanted)
    rows = getattr(query, question)(filled, NOW, **wanted).rows
    assert len(frame) == len(rows) > 0
    pd.testing.assert_frame_equal(frame, notebook.to_pandas(rows))


@pytest.mark.parametrize("load", LOADERS)
def test_help_and_completion_name_every_argument(load):
    names = list(inspect.signature(load).parameters)
    question = getattr(query, load.__name__.removeprefix("load_"))
    own = [name for name in inspect.signature(question).parameters if name not in {"lake", "now", "gauges"}]
    engine = ["engine"] if load is load_readings else []
    assert names == [*own, "station", "river", "catchment", "town", "parameter", "measure", "lake", "now", *engine]
    assert load.__doc__ == question.__doc__


@pytest.mark.parametrize("load", [load_warnings, load_warning_areas])
def test_warnings_and_areas_are_chosen_by_filters_of_their_own(load):
    names = list(inspect.signature(load).parameters)
    question = getattr(query, load.__name__.removeprefix("load_"))
    own = [name for name in inspect.signature(question).parameters if name not in {"lake", "now"}]
    assert names == [*own, "lake", "now"]
    assert {"area", "county", "river", "near"} <= set(own)
    assert load.__doc__ == question.__doc__
    with pytest.raises(TypeError, match="station"):
        load(station="Kingston")


def test_a_lake_without_warnings_says_so():
    with told("has no warnings yet: run"):
        frame = load_warnings(near="Kingston")
    assert (len(frame), str(frame["severity_level"].dtype), frame.columns[-1]) == (0, "Int32", "distance_km")


@pytest.mark.parametrize("load", [load_readings, load_completeness, load_timeliness, load_stations, load_measures])
def test_a_misspelt_argument_is_an_error_that_names_those_that_there_are(load):
    with pytest.raises(TypeError, match="unknown argument 'statoin': gauges are chosen by station, river"):
        load(statoin="Kingston")


def test_pandas_gets_utc_times_text_and_whole_numbers():
    frame = load_readings(joined=True)
    assert frame.dtypes.astype(str).to_dict() == {
        "measure_id": "str",
        "date_time": "datetime64[ms, UTC]",
        "station_id": "str",
        "value": "float64",
        "raw_value": "str",
        "first_seen_at": "datetime64[ms, UTC]",
        "changed_at": "datetime64[ms, UTC]",
        "previous_value": "float64",
        "revision": "int32",
        "label": "str",
        "river": "str",
        "lat": "float64",
        "long": "float64",
        "parameter": "str",
        "qualifier": "str",
        "unit": "str",
    }
    assert str(load_measures().period_s.dtype) == "Int32"
    assert load_measures().period_s.isna().sum() == 2
    assert str(load_stations().opened.dtype).startswith("datetime64")


def test_pandas_and_arrow_hold_the_same_rows(filled):
    table = query.readings(filled, NOW, river="River Thames", joined=True).rows
    frame = load_readings(river="River Thames", joined=True)
    assert table.column_names == list(frame.columns)
    assert table["value"].to_pylist() == frame.value.tolist()
    assert table["label"].to_pylist() == frame.label.tolist()


def test_now_is_flood_now_unless_it_is_given(monkeypatch):
    monkeypatch.setenv("FLOOD_NOW", "2026-10-05T20:00:00Z")
    assert load_readings(measure="K1-level").date_time.min() == pd.Timestamp("2026-10-04T20:15Z")
    assert len(load_readings(measure="K1-level", now=NOW)) == 96


def test_a_lake_is_named_by_url_path_or_resource(filled, monkeypatch):
    monkeypatch.delenv("FLOOD_LAKE_URL")
    monkeypatch.chdir(filled.parent)
    opened = Lake.open(filled.as_uri())
    resource, opener = LakeResource(url=filled.as_uri()), SimpleNamespace(open=lambda: opened)
    for lake in (filled.as_uri(), filled, str(filled), "the lake", resource, opened, opener):
        assert len(load_readings(measure="K1-level", lake=lake)) == 96


def test_a_resource_of_a_lake_that_does_not_exist_makes_no_folder(tmp_path):
    url = (tmp_path / "none").as_uri()
    with told(f"there is no lake at {url}"):
        assert load_readings(lake=LakeResource(url=url)).empty
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("load", [load_readings, load_stations, load_measures])
def test_a_lake_that_does_not_exist_says_how_to_fill_it_and_is_not_made(load, tmp_path):
    url = (tmp_path / "none").as_uri()
    with told(f"there is no lake at {url}: run `FLOOD_LAKE_URL={url} flood-assets refresh`, or name another"):
        frame = load(lake=url)
    assert frame.empty
    assert frame.dtypes.equals(load().dtypes)
    assert not (tmp_path / "none").exists()


def test_a_lake_in_a_bucket_is_read_with_the_usual_aws_settings(s3_server: S3Server, monkeypatch, tmp_path):
    for name, value in s3_server.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    url = f"s3://{BUCKET}/notebook"
    with told(f"the lake {url} has no readings yet"):
        assert load_readings(lake=url).empty
    fill(LakeResource(url=url).open())
    assert load_readings(lake=url, river="River Thames", joined=True).equals(
        load_readings(river="River Thames", joined=True)
    )


def test_importing_and_using_it_loads_no_dagster_and_needs_no_dagster_home(filled, tmp_path):
    script = """
import json, sys
from flood_assets.notebook import load_readings
unwanted = ("pandas", "boto3", "botocore", "dagster", "dagster_aws", "matplotlib", "rich", "requests")
early = sorted(set(unwanted) & set(sys.modules))
rows = load_readings(river="River Thames", joined=True, flags=True)
print(json.dumps([early, sorted(set(unwanted) & set(sys.modules)), len(rows)]))
"""
    root = Path(__file__).parents[1]
    environ = {"FLOOD_LAKE_URL": filled.as_uri(), "FLOOD_NOW": NOW.isoformat(), "PYTHONPATH": str(root)}
    environ |= {"HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [[], ["pandas"], 3 * 96]
    assert list(tmp_path.iterdir()) == []
