import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flood_assets.definitions import build_defs
from flood_assets.defs.io_manager import LakeIOManager
from flood_assets.defs.resources import Clock, LakeResource
from flood_assets.defs.windows import hourly_windows
from flood_assets.errors import LakeError
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import key_of
from flood_assets.notebook import (
    NothingFoundWarning,
    load_changes,
    load_completeness,
    load_measures,
    load_readings,
    load_stations,
    load_timeliness,
)
from flood_assets.partitions import partition_key, retained_windows, window_of
from flood_assets.schemas import COMPLETENESS, MEASURES, READINGS, STATIONS, TIMELINESS
from flood_assets_tests.support.lake_rows import HOUR, QUARTER, fetched, snapshot
from flood_assets_tests.support.s3 import BUCKET, S3Server, s3_server

__all__ = ["s3_server"]

# Dagster itself calls what it deprecates when a resource needs another, as the lake's IO manager does.
pytestmark = pytest.mark.filterwarnings("ignore:InitResourceContext.dagster_run is deprecated:DeprecationWarning")

# Long ago, so that its partitions exist for Dagster.
NOW = datetime(2026, 10, 5, 9, 7, 30, tzinfo=UTC)
JOINED = ["label", "river", "lat", "long", "parameter", "qualifier", "unit"]

STATION_ROWS = [
    {
        "station_id": "K1",
        "label": "Kingston",
        "river": "River Thames",
        "lat": 51.41,
        "long": -0.31,
        "opened": date(1994, 1, 1),
    },
    {"station_id": "K2", "label": "Kingston upon Hull", "river": "River Hull", "lat": 53.74, "long": -0.33},
    {"station_id": "1491TH", "label": "Teddington Lock|Teddington", "river": "River Thames"},
    {"station_id": "R1", "label": "Rainfall station", "lat": 52.0, "long": -1.0},
    {"station_id": "R2", "label": "Rainfall station"},
    {"station_id": "G1", "label": "Manor Farm"},
]
MEASURE_ROWS = [
    ("K1-level", "K1", "level", "Stage", "mASD", 900),
    ("K1-flow", "K1", "flow", "Logged", "m3/s", 900),
    ("K2-tide", "K2", "level", "Tidal Level", "mAOD", 900),
    ("T-level", "1491TH", "level", "Stage", "mASD", 900),
    ("R1-rain", "R1", "rainfall", "Tipping Bucket Raingauge", "mm", 900),
    ("R2-rain", "R2", "rainfall", "Tipping Bucket Raingauge", "mm", None),
    ("G1-level", "G1", "level", "Groundwater", "mAOD", None),
]
MEASURE_IDS = [row[0] for row in MEASURE_ROWS]


def measure_rows() -> list[dict]:
    names = ("measure_id", "station_id", "parameter", "qualifier", "unit", "period_s")
    return [dict(zip(names, row, strict=True)) for row in MEASURE_ROWS]


def fill(lake: Lake) -> None:
    """A day of seven measures: the value is the age in quarters of an hour. A snapshot four hours ago."""
    observed = NOW - 4 * HOUR
    lake.put_snapshot(STATIONS, window_of(observed), snapshot(STATIONS, observed, *STATION_ROWS))
    lake.put_snapshot(MEASURES, window_of(observed), snapshot(MEASURES, observed, *measure_rows()))
    newest = NOW.replace(minute=0, second=0)
    rows = [(measure, newest - i * QUARTER, float(i)) for measure in MEASURE_IDS for i in range(96)]
    station_of = pa.table({"measure_id": MEASURE_IDS, "station_id": [station for _, station, *_ in MEASURE_ROWS]})
    lake.upsert_readings(fetched(*rows), NOW, NOW, stations=station_of)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled") / "the lake"
    fill(Lake.open(folder.as_uri()))
    return folder


@pytest.fixture(autouse=True)
def _settings(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOOD_LAKE_URL", filled.as_uri())
    monkeypatch.setenv("FLOOD_NOW", NOW.isoformat())
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


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


def ids(frame: pd.DataFrame, name: str = "measure_id") -> set[str]:
    return set(frame[name])


# -- all of it


def test_without_arguments_the_whole_retained_day_of_every_gauge_is_given():
    frame = load_readings()
    assert list(frame.columns) == READINGS.schema.names
    assert len(frame) == 96 * len(MEASURE_IDS)
    assert frame.date_time.max() == pd.Timestamp("2026-10-05T09:00Z")
    assert frame.date_time.min() == pd.Timestamp("2026-10-04T09:15Z")


def test_each_gauge_is_in_order_of_time():
    frame = load_readings()
    assert all(times.is_monotonic_increasing for _, times in frame.groupby("measure_id").date_time)


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


def test_arrow_gets_the_tables_own_schema():
    assert load_readings(arrow=True).schema == READINGS.schema
    assert load_stations(arrow=True).schema == STATIONS.schema
    assert load_measures(arrow=True).schema == MEASURES.schema


def test_pandas_and_arrow_hold_the_same_rows():
    table = load_readings(river="River Thames", joined=True, arrow=True)
    frame = load_readings(river="River Thames", joined=True)
    assert table.column_names == list(frame.columns)
    assert table["value"].to_pylist() == frame.value.tolist()
    assert table["label"].to_pylist() == frame.label.tolist()


# -- quality flags

FLAGS = ["flag", "gross_range_flag", "spike_flag", "rate_of_change_flag", "flat_line_flag"]


@pytest.fixture(scope="module")
def flawed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A day of a river with two faults, of a tide gauge that stands still, and of one that no snapshot knows."""
    lake = Lake.open(tmp_path_factory.mktemp("flawed").as_uri())
    fill(lake)
    newest = NOW.replace(minute=0, second=0)
    river = [1 + 0.001 * (i % 2) for i in range(96)]
    river[1], river[3], river[50] = 9.0, None, -12.0
    rows = [
        ("K1-level", newest - i * QUARTER, value, None if value is not None else "1|2") for i, value in enumerate(river)
    ]
    rows += [("K2-tide", newest - i * QUARTER, 0.5) for i in range(96)]
    rows += [("unheard of", newest, 5.0)]
    lake.upsert_readings(fetched(*rows), NOW + timedelta(seconds=1), NOW)
    return lake.url


def test_flags_stand_beside_the_values_which_stay_as_they_are(flawed):
    plain, flagged = load_readings(lake=flawed), load_readings(lake=flawed, flags=True)
    assert list(flagged.columns) == [*READINGS.schema.names, *FLAGS]
    pd.testing.assert_frame_equal(plain, flagged[READINGS.schema.names])
    assert set(flagged.dtypes[FLAGS].astype(str)) == {"int8"}
    river = flagged[flagged.measure_id == "K1-level"].set_index("date_time").sort_index(ascending=False)
    assert river.iloc[[0, 1, 2, 3, 50, 51]].flag.tolist() == [1, 4, 1, 9, 4, 1]
    assert river.iloc[1][FLAGS].tolist() == [4, 1, 4, 3, 1]
    assert river.iloc[0].spike_flag == 2
    assert river.iloc[3][["value", "raw_value"]].isna().tolist() == [True, False]
    assert set(flagged[flagged.measure_id == "K2-tide"].flat_line_flag) == {2, 3, 4}
    assert flagged[flagged.measure_id == "unheard of"].flag.tolist() == [2]


@pytest.mark.parametrize(
    "wanted",
    [
        {"last": timedelta(hours=1)},
        {"start": NOW - timedelta(minutes=20, seconds=7, microseconds=5)},
        {"start": "2026-10-05T03:00Z", "end": "2026-10-05T03:15Z"},
        {"end": "2026-10-04T10:00Z"},
        {"measure": "K2-tide", "last": timedelta(hours=2)},
        {"station": "Kingston", "last": timedelta(hours=13), "joined": True},
    ],
    ids=", ".join,
)
def test_a_reading_has_the_same_flags_whatever_time_and_gauges_are_asked_for(flawed, wanted):
    day = load_readings(lake=flawed, flags=True).set_index(["measure_id", "date_time"])[FLAGS]
    plain = load_readings(lake=flawed, **wanted)
    part = load_readings(lake=flawed, flags=True, **wanted)
    pd.testing.assert_frame_equal(plain, part[plain.columns])
    part = part.set_index(["measure_id", "date_time"])[FLAGS]
    assert 0 < len(part) < len(day)
    pd.testing.assert_frame_equal(part, day.loc[part.index])


def test_flags_may_be_chosen_among_the_columns(flawed):
    frame = load_readings(lake=flawed, flags=True, columns=["spike_flag", "value"], measure="K1-level")
    assert list(frame.columns) == ["spike_flag", "value"]
    assert frame[frame.spike_flag == 4].value.tolist() == [-12.0, 9.0]
    with pytest.raises(ValueError, match=r"no column 'spike_flag'.*joined=True and flags=True"):
        load_readings(lake=flawed, columns="spike_flag")


def test_arrow_gets_flags_as_small_integers_without_nulls(flawed):
    table = load_readings(lake=flawed, flags=True, joined=True, arrow=True)
    assert table.column_names == [*READINGS.schema.names, *JOINED, *FLAGS]
    assert all(table.schema.field(name).equals(pa.field(name, pa.int8(), nullable=False)) for name in FLAGS)
    assert table["flag"].to_pylist() == load_readings(lake=flawed, flags=True).flag.tolist()


def test_flags_of_nothing_are_columns_too(tmp_path):
    with told("there is no lake"):
        frame = load_readings(lake=tmp_path / "nowhere", flags=True)
    assert frame.empty
    assert set(frame.dtypes[FLAGS].astype(str)) == {"int8"}


def test_without_snapshots_nothing_is_evaluated_and_it_is_told_once(tmp_path):
    lake = Lake.open((tmp_path / "lake").as_uri())
    lake.upsert_readings(fetched(("K1-level", NOW - HOUR, 1e9)), NOW, NOW)
    with told("nothing can be joined from measures", "nothing can be joined from stations"):
        frame = load_readings(lake=lake.url, flags=True, joined=True)
    assert frame.iloc[0][FLAGS].tolist() == [2] * 5


# -- time


def test_start_is_included_and_end_is_not():
    frame = load_readings(measure="K1-level", start="2026-10-05T06:00Z", end="2026-10-05T07:00Z")
    assert frame.date_time.dt.strftime("%H:%M").tolist() == ["06:00", "06:15", "06:30", "06:45"]


@pytest.mark.parametrize(
    "start",
    [
        datetime(2026, 10, 5, 8, 30, tzinfo=UTC),
        datetime(2026, 10, 5, 9, 30, tzinfo=UTC).astimezone(None) - HOUR,
        pd.Timestamp("2026-10-05T08:30", tz="UTC"),
        pd.Timestamp("2026-10-05T09:30", tz="Europe/London"),
        "2026-10-05T08:30Z",
        "2026-10-05T09:30:00+01:00",
        " 2026-10-05 08:30+00:00 ",
    ],
)
def test_a_time_may_be_a_datetime_a_timestamp_or_text_in_any_zone(start):
    frame = load_readings(measure="K1-level", start=start)
    assert frame.value.tolist() == [2, 1, 0]


def test_last_counts_back_from_now():
    frame = load_readings(measure="K1-level", last=timedelta(hours=3))
    assert frame.date_time.min() == pd.Timestamp("2026-10-05T06:15Z")
    assert frame.date_time.max() == pd.Timestamp("2026-10-05T09:00Z")


def test_last_counts_back_from_the_end_that_is_given():
    frame = load_readings(measure="K1-level", last=pd.Timedelta("30min"), end="2026-10-05T06:00Z")
    assert frame.date_time.dt.strftime("%H:%M").tolist() == ["05:30", "05:45"]


def test_the_last_24_hours_are_everything_and_nothing_is_missing():
    assert len(load_readings(measure="K1-level", last=timedelta(hours=24))) == 96


@pytest.mark.parametrize("name", ["start", "end", "now"])
@pytest.mark.parametrize("naive", [datetime(2026, 10, 5, 6), pd.Timestamp("2026-10-05 06:00"), "2026-10-05T06:00"])  # noqa: DTZ001
def test_a_time_without_a_zone_is_refused_by_its_name(name, naive):
    with pytest.raises(ValueError, match=rf"^{name} is '2026-10-05.06:00.*no time zone"):
        load_readings(**{name: naive})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"start": "yesterday"}, ValueError, "start is 'yesterday': expected a time such as"),
        ({"end": date(2026, 10, 5)}, TypeError, "end is datetime.date"),
        ({"start": 1759651200}, TypeError, "start is 1759651200"),
        ({"last": 3}, TypeError, "last is 3: expected a timedelta"),
        ({"last": timedelta(hours=-3)}, ValueError, "must not be negative"),
        ({"last": HOUR, "start": "2026-10-05T06:00Z"}, ValueError, "give one of them"),
        (
            {"start": "2026-10-05T07:00Z", "end": "2026-10-05T06:00Z"},
            ValueError,
            "start 2026-10-05 07:00Z is after end 2026-10-05 06:00Z",
        ),
        ({"columns": ["value", "label"]}, ValueError, r"no column 'label'.*joined=True"),
        ({"columns": []}, ValueError, "columns is empty"),
        ({"station": ["K1", float("nan")]}, TypeError, "station has nan"),
    ],
)
def test_a_wrong_argument_is_an_error_that_says_what_was_expected(arguments, error, message):
    with pytest.raises(error, match=message):
        load_readings(**arguments)


def test_nothing_older_than_a_day_is_given_and_it_is_told():
    later = NOW + 5 * HOUR
    with told("start 2026-10-01 00:00Z is over a day ago: readings up to 2026-10-04 14:07Z are deleted"):
        frame = load_readings(measure="K1-level", start="2026-10-01T00:00Z", now=later)
    assert frame.date_time.min() == pd.Timestamp("2026-10-04T14:15Z")


def test_a_range_that_is_not_kept_any_more_is_empty_and_says_so():
    with told("end 2026-10-02 00:00Z is over a day ago"):
        assert load_readings(start="2026-10-01T00:00Z", end="2026-10-02T00:00Z").empty


def test_a_range_in_the_future_is_empty_and_says_so():
    with told("start 2026-10-06 00:00Z is after now, which is 2026-10-05 09:07Z"):
        assert load_readings(start="2026-10-06T00:00Z").empty


def test_a_range_in_which_no_gauge_reported_says_so():
    with told("no readings for station 'K1' from 2026-10-05 09:01Z to 2026-10-05 09:07Z"):
        assert load_readings(station="K1", start="2026-10-05T09:01Z").empty


def test_now_is_flood_now_unless_it_is_given(monkeypatch):
    monkeypatch.setenv("FLOOD_NOW", "2026-10-05T20:00:00Z")
    assert load_readings(measure="K1-level").date_time.min() == pd.Timestamp("2026-10-04T20:15Z")
    assert len(load_readings(measure="K1-level", now=NOW)) == 96


# -- which gauges


@pytest.mark.parametrize(
    ("selection", "measures"),
    [
        ({"measure": "K1-level"}, {"K1-level"}),
        ({"measure": ["K1-level", "R1-rain"]}, {"K1-level", "R1-rain"}),
        ({"station": "K1"}, {"K1-level", "K1-flow"}),
        ({"station": "kingston"}, {"K1-level", "K1-flow"}),
        ({"station": "Kingston  upon HULL "}, {"K2-tide"}),
        ({"station": "teddington"}, {"T-level"}),
        ({"station": ("K2", "Teddington Lock")}, {"K2-tide", "T-level"}),
        ({"station": "Rainfall station"}, {"R1-rain", "R2-rain"}),
        ({"station": pd.Series(["K1", "K1", "G1"])}, {"K1-level", "K1-flow", "G1-level"}),
        ({"river": "River Thames"}, {"K1-level", "K1-flow", "T-level"}),
        ({"river": ["river hull", "RIVER THAMES"]}, {"K1-level", "K1-flow", "T-level", "K2-tide"}),
        ({"parameter": "rainfall"}, {"R1-rain", "R2-rain"}),
        ({"parameter": "Level"}, {"K1-level", "K2-tide", "T-level", "G1-level"}),
        ({"parameter": "tidal level"}, {"K2-tide"}),
        ({"parameter": ["groundwater", "flow"]}, {"G1-level", "K1-flow"}),
        ({"river": "River Thames", "parameter": "level"}, {"K1-level", "T-level"}),
        ({"station": "K1", "river": "River Thames", "parameter": "flow", "measure": "K1-flow"}, {"K1-flow"}),
    ],
)
def test_gauges_are_chosen_by_station_river_parameter_and_measure(selection, measures):
    frame = load_readings(**selection)
    assert ids(frame) == measures
    assert len(frame) == 96 * len(measures)
    assert ids(load_measures(**selection)) == measures
    stations = {station for measure, station, *_ in MEASURE_ROWS if measure in measures}
    assert ids(load_stations(**selection), "station_id") == stations


def test_a_station_without_measures_is_given_where_measures_were_not_asked_for(tmp_path):
    lake = Lake.open(tmp_path.as_uri())
    fill(lake)
    rows = snapshot(STATIONS, NOW, *STATION_ROWS, {"station_id": "new", "label": "Not yet wired"})
    lake.put_snapshot(STATIONS, window_of(NOW), rows)
    assert ids(load_stations(lake=tmp_path), "station_id") >= {"new"}
    assert len(load_stations(lake=tmp_path, station="not yet wired")) == 1


def test_a_measure_that_no_snapshot_knows_is_found_by_its_id(tmp_path):
    lake = Lake.open(tmp_path.as_uri())
    lake.upsert_readings(fetched(("unknown-yet", NOW - HOUR, 1.0)), NOW, NOW)
    assert load_readings(lake=tmp_path, measure="unknown-yet").value.tolist() == [1.0]


def test_only_the_row_groups_of_the_chosen_gauges_are_read(tmp_path):
    lake = Lake.open(tmp_path.as_uri())
    when = NOW - HOUR
    many = [f"m{i:05}" for i in range(20_000)]
    lake.upsert_readings(fetched(*[(name, when, 1.0) for name in many]), NOW, NOW)
    observed = {"station_id": "S", "label": "Here", "river": "River Few"}
    lake.put_snapshot(STATIONS, window_of(NOW), snapshot(STATIONS, NOW, observed))
    lake.put_snapshot(MEASURES, window_of(NOW), snapshot(MEASURES, NOW, {"measure_id": many[-1], "station_id": "S"}))
    path = tmp_path / key_of(READINGS, window_of(when))
    first = pq.read_metadata(path).row_group(0).column(0)
    data = bytearray(path.read_bytes())
    start, size = first.data_page_offset, first.total_compressed_size
    data[start + size // 2 : start + size] = b"\xff" * (size - size // 2)
    path.write_bytes(data)

    with pytest.raises(LakeError, match="cannot be read"):
        load_readings(lake=tmp_path)
    assert load_readings(lake=tmp_path, river="River Few").measure_id.tolist() == [many[-1]]


# -- names that nobody has


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"station": "Kingstn"}, "no station is called 'Kingstn'; there is 'Kingston'"),
        ({"station": "hull"}, "no station is called 'hull'; there is 'Kingston upon Hull'"),
        ({"station": "1491th"}, "there is '1491TH'"),
        ({"river": "Thames"}, "no river is called 'Thames'; there is 'River Thames'"),
        ({"parameter": "rain"}, "no parameter is called 'rain'; there is 'rainfall'"),
        ({"parameter": "xyz"}, "there is 'flow', 'level', 'rainfall', 'Groundwater', 'Logged' and 3 more"),
        ({"measure": "K1-levl"}, "no measure is called 'K1-levl'; there is 'K1-level'"),
        ({"measure": "K1-levl", "river": "River Thames"}, "no measure is called 'K1-levl'; there is 'K1-level'"),
        ({"station": []}, "station is an empty list"),
        ({"measure": []}, "measure is an empty list"),
        (
            {"river": "River Thames", "parameter": "rainfall"},
            "nothing fits all of river 'River Thames', parameter 'rainfall', though each is known",
        ),
    ],
)
def test_an_unknown_name_gives_an_empty_table_and_is_told_with_what_looks_like_it(selection, message):
    full = load_readings(joined=True)
    with told(message):
        frame = load_readings(**selection, joined=True)
    assert frame.empty
    assert frame.dtypes.equals(full.dtypes)
    with told(message):
        assert load_measures(**selection).dtypes.equals(load_measures().dtypes)
    with told(message):
        assert load_stations(**selection).dtypes.equals(load_stations().dtypes)


def test_of_several_names_the_known_are_given_and_the_unknown_told():
    with told("no station is called 'Atlantis'", "no measure is called 'nope'"):
        frame = load_readings(station=["K1", "Atlantis"], measure=["K1-flow", "nope"])
    assert ids(frame) == {"K1-flow"}
    with told("no measure is called 'nope'"):
        assert ids(load_readings(measure=["K1-flow", "nope"])) == {"K1-flow"}


def test_a_name_in_one_selection_is_not_unknown_because_of_another():
    with told("nothing fits all of station 'K1', river 'River Hull'"):
        assert load_readings(station="K1", river="River Hull").empty


def test_many_unknown_names_are_counted_and_not_all_listed():
    with told(*[f"'x{i}'" for i in range(5)], "995 more names of station are unknown"):
        load_readings(station=[f"x{i}" for i in range(1000)])


# -- columns and joins


def test_columns_are_given_in_the_order_asked_for():
    frame = load_readings(columns=["value", "date_time"], station="K1")
    assert list(frame.columns) == ["value", "date_time"]
    assert list(load_stations(columns="label").columns) == ["label"]
    assert list(load_measures(columns=("unit", "measure_id")).columns) == ["unit", "measure_id"]


def test_joined_adds_what_the_snapshots_know():
    frame = load_readings(joined=True)
    assert list(frame.columns) == [*READINGS.schema.names, *JOINED]
    row = frame[frame.measure_id == "K1-level"].iloc[0]
    assert row[JOINED].tolist() == ["Kingston", "River Thames", 51.41, -0.31, "level", "Stage", "mASD"]
    assert frame[frame.measure_id == "R1-rain"].river.isna().all()


def test_joined_columns_can_be_chosen_alone():
    table = load_readings(columns=["unit", "value", "label"], joined=True, station="K2", arrow=True)
    assert table.column_names == ["unit", "value", "label"]
    assert set(table["label"].to_pylist()) == {"Kingston upon Hull"}
    assert table.schema.field("unit") == MEASURES.schema.field("unit")


def test_joined_fills_in_a_station_that_was_not_known_when_the_reading_came(tmp_path):
    lake = Lake.open(tmp_path.as_uri())
    lake.upsert_readings(fetched(("K1-level", NOW - HOUR, 1.0), ("stray", NOW - HOUR, 2.0)), NOW, NOW)
    lake.put_snapshot(STATIONS, window_of(NOW), snapshot(STATIONS, NOW, *STATION_ROWS))
    lake.put_snapshot(MEASURES, window_of(NOW), snapshot(MEASURES, NOW, *measure_rows()))
    assert load_readings(lake=tmp_path).station_id.isna().all()
    table = load_readings(lake=tmp_path, joined=True, arrow=True)
    assert table["station_id"].to_pylist() == ["K1", None]
    assert table["label"].to_pylist() == ["Kingston", None]


def test_readings_without_a_snapshot_are_joined_with_nothing_and_it_is_told(tmp_path):
    Lake.open(tmp_path.as_uri()).upsert_readings(fetched(("m", NOW - HOUR, 1.0)), NOW, NOW)
    with told("nothing can be joined from measures", "nothing can be joined from stations"):
        frame = load_readings(lake=tmp_path, joined=True)
    assert frame.dtypes.equals(load_readings(joined=True).dtypes)
    assert frame.value.tolist() == [1.0]
    with told("has no stations yet: run"):
        assert load_readings(lake=tmp_path, river="River Thames").empty


def test_a_revised_reading_shows_its_previous_value(tmp_path):
    lake = Lake.open(tmp_path.as_uri())
    lake.upsert_readings(fetched(("m", NOW - HOUR, 1.0)), NOW - QUARTER, NOW)
    lake.upsert_readings(fetched(("m", NOW - HOUR, 2.0)), NOW, NOW)
    row = load_readings(lake=tmp_path).iloc[0]
    assert (row.value, row.previous_value, row.revision) == (2.0, 1.0, 1)


def test_the_newest_snapshot_is_given(tmp_path):
    lake = Lake.open(tmp_path.as_uri())
    fill(lake)
    lake.put_snapshot(STATIONS, window_of(NOW), snapshot(STATIONS, NOW, {"station_id": "only", "label": "New"}))
    assert load_stations(lake=tmp_path).station_id.tolist() == ["only"]


# -- what changed

READ_AT = NOW - 4 * HOUR


@pytest.fixture
def changing(tmp_path: Path) -> Path:
    """Fetches of two hours, one and half an hour ago, and of now, at which different readings changed."""
    lake = Lake.open(tmp_path.as_uri())
    lake.put_snapshot(STATIONS, window_of(READ_AT), snapshot(STATIONS, READ_AT, *STATION_ROWS))
    lake.put_snapshot(MEASURES, window_of(READ_AT), snapshot(MEASURES, READ_AT, *measure_rows()))
    station_of = pa.table({"measure_id": MEASURE_IDS, "station_id": [station for _, station, *_ in MEASURE_ROWS]})

    def fetch(ago: timedelta, **values: float | None) -> None:
        rows = [(measure.replace("_", "-"), READ_AT, value) for measure, value in values.items()]
        lake.upsert_readings(fetched(*rows), NOW - ago, NOW, stations=station_of)

    fetch(2 * HOUR, K1_level=1.0, K1_flow=5.0, K2_tide=3.0, G1_level=None)
    fetch(HOUR, K1_level=2.0, T_level=7.0)
    fetch(HOUR / 2, K1_level=1.0, T_level=8.0, R1_rain=0.0, G1_level=-25.0)
    fetch(timedelta(0), K1_level=1.0, K2_tide=4.0)
    return tmp_path


def changes(frame: pd.DataFrame) -> dict[str, tuple]:
    return {row.measure_id: (row.change, row.previous_value, row.value, row.revision) for row in frame.itertuples()}


def test_a_reading_first_seen_since_is_new(changing):
    frame = load_changes(lake=changing, since=3 * QUARTER, measure="R1-rain")
    assert frame[["change", "value", "revision"]].to_numpy().tolist() == [["new", 0.0, 0]]
    assert frame.previous_value.isna().all()
    assert frame.first_seen_at.tolist() == frame.changed_at.tolist() == [pd.Timestamp(NOW - HOUR / 2)]


def test_a_reading_corrected_since_is_revised_and_has_its_old_value(changing):
    assert changes(load_changes(lake=changing, since=NOW - QUARTER)) == {"K2-tide": ("revised", 3.0, 4.0, 1)}


def test_a_value_where_there_was_none_is_a_revision_of_nothing(changing):
    row = load_changes(lake=changing, since=HOUR, measure="G1-level").iloc[0]
    assert (row.change, row.value, row.revision) == ("revised", -25.0, 1)
    assert pd.isna(row.previous_value)


def test_a_reading_first_seen_since_and_then_corrected_is_new_with_a_revision(changing):
    assert changes(load_changes(lake=changing, since=1.5 * HOUR, measure="T-level")) == {
        "T-level": ("new", 7.0, 8.0, 1)
    }
    assert changes(load_changes(lake=changing, since=HOUR, measure="T-level")) == {"T-level": ("revised", 7.0, 8.0, 1)}


def test_a_correction_that_came_back_to_the_old_value_is_two_revisions(changing):
    frame = load_changes(lake=changing, since=1.5 * HOUR, measure="K1-level")
    assert changes(frame) == {"K1-level": ("revised", 2.0, 1.0, 2)}


def test_what_came_again_with_the_same_value_did_not_change(changing):
    assert "K1-level" not in ids(load_changes(lake=changing, since=QUARTER))
    assert "K1-flow" not in ids(load_changes(lake=changing, since=HOUR))


def test_a_station_that_becomes_known_is_no_change(tmp_path):
    lake = Lake.open(tmp_path.as_uri())
    lake.upsert_readings(fetched(("m", READ_AT, 1.0)), NOW - HOUR, NOW)
    lake.upsert_readings(
        fetched(("m", READ_AT, 1.0)), NOW, NOW, stations=pa.table({"measure_id": ["m"], "station_id": ["S"]})
    )
    assert load_readings(lake=tmp_path).station_id.tolist() == ["S"]
    assert load_changes(lake=tmp_path, since=QUARTER).empty


def test_changes_are_in_order_of_change_then_measure_then_time(tmp_path):
    lake = Lake.open(tmp_path.as_uri())
    early, late = NOW - 5 * HOUR, NOW - 2 * HOUR
    lake.upsert_readings(fetched(("b", late, 1.0), ("b", early, 1.0), ("a", late, 1.0)), NOW - QUARTER, NOW)
    lake.upsert_readings(fetched(("a", early, 1.0), ("c", early, 1.0)), NOW - HOUR, NOW)
    frame = load_changes(lake=tmp_path, since=2 * HOUR, columns=["measure_id", "date_time"])
    assert list(frame.itertuples(index=False, name=None)) == [
        ("a", early),
        ("c", early),
        ("a", late),
        ("b", early),
        ("b", late),
    ]


def test_a_change_at_the_very_moment_is_not_since(changing):
    at = NOW - HOUR / 2
    microsecond = timedelta(microseconds=1)
    assert ids(load_changes(lake=changing, since=at)) == {"K2-tide"}
    assert ids(load_changes(lake=changing, since=at - microsecond)) == {
        "K2-tide",
        "K1-level",
        "T-level",
        "R1-rain",
        "G1-level",
    }
    assert changes(load_changes(lake=changing, since=at, measure="R1-rain")) == {}
    at_first = load_changes(lake=changing, since=NOW - HOUR, measure="T-level")
    before_first = load_changes(lake=changing, since=NOW - HOUR - microsecond, measure="T-level")
    assert (at_first.change.item(), before_first.change.item()) == ("revised", "new")


@pytest.mark.parametrize(
    "since",
    [
        NOW - QUARTER,
        pd.Timestamp(NOW - QUARTER).tz_convert("Europe/London"),
        "2026-10-05T08:52:30Z",
        "2026-10-05T09:52:30+01:00",
        QUARTER,
        pd.Timedelta("15min"),
    ],
)
def test_since_is_a_moment_in_any_zone_or_so_long_ago(changing, since):
    assert ids(load_changes(lake=changing, since=since)) == {"K2-tide"}


def test_a_timedelta_counts_back_from_the_now_that_is_given(changing):
    later = NOW + HOUR
    assert load_changes(lake=changing, since=HOUR, now=later).empty
    assert ids(load_changes(lake=changing, since=HOUR + QUARTER, now=later)) == {"K2-tide"}


@pytest.mark.parametrize(
    ("selection", "measures"),
    [
        ({"station": "kingston"}, {"K1-level"}),
        ({"station": ["K2", "G1"]}, {"K2-tide", "G1-level"}),
        ({"river": "River Thames"}, {"K1-level", "T-level"}),
        ({"parameter": "rainfall"}, {"R1-rain"}),
        ({"parameter": "level", "river": "River Hull"}, {"K2-tide"}),
        ({"measure": ["T-level", "K1-flow"]}, {"T-level"}),
    ],
)
def test_changes_are_chosen_as_readings_are(changing, selection, measures):
    assert ids(load_changes(lake=changing, since=HOUR, **selection)) == measures


def test_changes_have_the_readings_columns_and_what_the_change_was(changing):
    table = load_changes(lake=changing, since=HOUR, arrow=True)
    assert table.schema == pa.schema([*READINGS.schema, pa.field("change", pa.string(), nullable=False)])
    frame = load_changes(lake=changing, since=HOUR)
    assert list(frame.columns) == table.column_names
    assert frame.change.dtype == "str"
    assert frame.change.tolist() == table["change"].to_pylist() == ["revised", "revised", "new", "revised", "revised"]
    assert frame.drop(columns="change").dtypes.equals(load_readings().dtypes)


@pytest.mark.parametrize(
    "columns", ["change", "value", ["unit", "change", "date_time"], ["label"], ["revision", "river"]]
)
def test_columns_of_changes_can_be_chosen_and_change_nothing_else(changing, columns):
    names = [columns] if isinstance(columns, str) else columns
    full = load_changes(lake=changing, since=1.5 * HOUR, joined=True, arrow=True)
    assert load_changes(lake=changing, since=1.5 * HOUR, joined=True, columns=columns, arrow=True) == full.select(names)


def test_joined_changes_have_what_the_snapshots_know(changing):
    frame = load_changes(lake=changing, since=QUARTER, joined=True)
    assert list(frame.columns) == [*READINGS.schema.names, "change", *JOINED]
    assert frame.iloc[0][JOINED].tolist() == [
        "Kingston upon Hull",
        "River Hull",
        53.74,
        -0.33,
        "level",
        "Tidal Level",
        "mAOD",
    ]


@pytest.mark.parametrize("joined", [False, True])
def test_that_nothing_changed_is_an_empty_table_without_a_warning(changing, joined):
    frame = load_changes(lake=changing, since=NOW, joined=joined)
    assert frame.empty
    assert frame.dtypes.equals(load_changes(lake=changing, since=HOUR, joined=joined).dtypes)
    assert load_changes(lake=changing, since=HOUR, station="K1", parameter="flow").empty
    assert load_changes(lake=changing, since=HOUR, measure="R2-rain").empty


def test_a_measure_that_no_snapshot_knows_is_known_by_its_readings_though_none_changed(changing):
    Lake.open(changing.as_uri()).upsert_readings(fetched(("unknown-yet", READ_AT, 1.0)), NOW - HOUR, NOW)
    assert load_changes(lake=changing, since=QUARTER, measure="unknown-yet").empty
    assert len(load_changes(lake=changing, since=2 * HOUR, measure="unknown-yet")) == 1


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"station": "Kingstn"}, "no station is called 'Kingstn'; there is 'Kingston'"),
        ({"measure": "K1-levl"}, "no measure is called 'K1-levl'; there is 'K1-level'"),
        ({"river": "River Thames", "parameter": "rainfall"}, "nothing fits all of"),
    ],
)
def test_changes_of_an_unknown_name_are_none_and_it_is_told(changing, selection, message):
    with told(message):
        frame = load_changes(lake=changing, since=HOUR, **selection, joined=True)
    assert frame.empty
    assert frame.dtypes.equals(load_changes(lake=changing, since=HOUR, joined=True).dtypes)


def test_of_changes_over_a_day_ago_those_of_kept_readings_are_given_and_it_is_told(changing):
    later = READ_AT + 24 * HOUR
    Lake.open(changing.as_uri()).upsert_readings(fetched(("K1-level", NOW, 1.0)), NOW, NOW)
    with told(
        "since 2026-10-04 06:07Z is over a day ago: only the last 24 hours are kept, and readings up to 2026-10-05"
    ):
        frame = load_changes(lake=changing, since=48 * HOUR, now=later + HOUR)
    assert frame.date_time.tolist() == [pd.Timestamp(NOW)]
    assert len(load_changes(lake=changing, since=24 * HOUR)) == 6 + 1


def test_changes_since_a_time_to_come_are_none_and_it_is_told(changing):
    with told("since 2026-10-05 10:07Z is after now, which is 2026-10-05 09:07Z"):
        assert load_changes(lake=changing, since=NOW + HOUR).empty


@pytest.mark.parametrize("naive", [datetime(2026, 10, 5, 6), pd.Timestamp("2026-10-05 06:00"), "2026-10-05T06:00"])  # noqa: DTZ001
def test_since_without_a_zone_is_refused(naive):
    with pytest.raises(ValueError, match=r"^since is '2026-10-05.06:00.*no time zone"):
        load_changes(since=naive)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, TypeError, "since"),
        ({"since": None}, TypeError, "since is None: expected a datetime with a time zone"),
        ({"since": "yesterday"}, ValueError, "since is 'yesterday': expected a time such as"),
        ({"since": -HOUR}, ValueError, "since is -1 day, 23:00:00: it counts back, so it must not be negative"),
        ({"since": HOUR, "columns": ["label"]}, ValueError, r"no column 'label'.*revision, change \(.*joined=True"),
    ],
)
def test_a_wrong_argument_for_changes_is_an_error_that_says_what_was_expected(arguments, error, message):
    with pytest.raises(error, match=message):
        load_changes(**arguments)


@pytest.mark.parametrize("selection", [{}, {"river": "River Thames"}, {"measure": "m"}])
def test_changes_of_an_empty_or_forgotten_lake_say_how_to_fill_it(selection, tmp_path):
    with told("yet: run `FLOOD_LAKE_URL="):
        frame = load_changes(lake=tmp_path, since=HOUR, **selection)
    assert frame.dtypes.equals(load_changes(since=timedelta(0)).dtypes)
    with told("there is no lake at"):
        assert load_changes(lake=tmp_path / "none", since=HOUR, **selection).empty
    assert not (tmp_path / "none").exists()
    with told("over a day ago: run"):
        assert load_changes(since=HOUR, now=NOW + timedelta(days=3), **selection).empty


def test_an_empty_lake_is_told_before_a_since_that_is_too_long_ago(tmp_path):
    with told("has no readings yet: run", "is over a day ago: only the last 24 hours are kept"):
        assert load_changes(lake=tmp_path, since=25 * HOUR).empty


# -- which lake


def test_a_lake_is_named_by_url_path_or_resource(filled, monkeypatch):
    monkeypatch.delenv("FLOOD_LAKE_URL")
    monkeypatch.chdir(filled.parent)
    for lake in (filled.as_uri(), filled, str(filled), "the lake", LakeResource(url=filled.as_uri())):
        assert len(load_readings(measure="K1-level", lake=lake)) == 96


@pytest.mark.parametrize("load", [load_readings, load_stations, load_measures])
def test_a_lake_that_does_not_exist_says_how_to_fill_it_and_is_not_made(load, tmp_path):
    url = (tmp_path / "none").as_uri()
    with told(f"there is no lake at {url}: run `FLOOD_LAKE_URL={url} flood-assets refresh`, or say"):
        frame = load(lake=url)
    assert frame.empty
    assert frame.dtypes.equals(load().dtypes)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("load", [load_readings, load_stations, load_measures])
@pytest.mark.parametrize("selection", [{}, {"river": "River Thames"}, {"measure": "m"}])
def test_an_empty_lake_says_how_to_fill_it(load, selection, tmp_path):
    with told("yet: run `FLOOD_LAKE_URL="):
        frame = load(lake=tmp_path, **selection)
    assert frame.dtypes.equals(load().dtypes)


def test_a_lake_that_nobody_refreshed_for_days_says_so():
    with told("the newest readings of the lake"):
        assert load_readings(now=NOW + timedelta(days=3)).empty
    with told("the newest stations of the lake"):
        assert load_stations(now=NOW + timedelta(days=3)).empty


def test_a_clock_before_the_lakes_first_reading_is_told():
    with told("begins at 2026-10-04 09:00Z, after now, which is 2026-09-05 00:00Z"):
        assert load_readings(now="2026-09-05T00:00Z").empty


def test_a_damaged_window_is_an_error_that_names_it(tmp_path):
    lake = Lake.open(tmp_path.as_uri())
    fill(lake)
    path = tmp_path / key_of(READINGS, window_of(NOW))
    path.write_bytes(b"not parquet")
    with pytest.raises(LakeError, match=r"hour=09/readings\.parquet cannot be read"):
        load_readings(lake=tmp_path)


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


# -- without Dagster


def test_importing_it_is_cheap_and_using_it_needs_no_dagster_home(filled, tmp_path):
    script = """
import json, sys
from flood_assets.notebook import load_readings
early = sorted({"pandas", "boto3", "dagster_aws", "matplotlib"} & set(sys.modules))
rows = load_readings(river="River Thames", arrow=True)
print(json.dumps([early, len(rows)]))
"""
    root = Path(__file__).parents[1]
    environ = {"FLOOD_LAKE_URL": filled.as_uri(), "FLOOD_NOW": NOW.isoformat(), "PYTHONPATH": str(root)}
    environ |= {"HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [[], 3 * 96]
    assert list(tmp_path.iterdir()) == []


# -- through Dagster


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
def test_dagster_loads_a_snapshot_as_the_notebook_does(defs, key, load):
    frame = defs.load_asset_value(key, partition_key=SNAPSHOT, python_type=pd.DataFrame)
    assert frame.equals(load())
    assert frame.dtypes.equals(load().dtypes)
    assert defs.load_asset_value(key, partition_key=SNAPSHOT, python_type=pa.Table).equals(load(arrow=True))


def test_dagster_loads_a_range_of_windows(defs):
    with defs.get_asset_value_loader() as loader:
        two = loader.load_asset_value(
            "readings", partition_key_range=dg.PartitionKeyRange(SIX, SEVEN), python_type=pd.DataFrame
        )
        day = loader.load_asset_value("readings", partition_key_range=DAY, python_type=pa.Table)
        one = loader.load_asset_value("readings", partition_key=SIX)
    assert two.equals(load_readings(start="2026-10-05T06:00Z", end="2026-10-05T08:00Z"))
    assert day.equals(load_readings(arrow=True))
    assert isinstance(one, pa.Table)


def test_dagster_loads_the_newest_snapshot_of_a_range(tmp_path):
    lake = Lake.open(tmp_path.as_uri())
    fill(lake)
    window = window_of(NOW - HOUR)
    lake.put_snapshot(STATIONS, window, snapshot(STATIONS, NOW, {"station_id": "only", "label": "New"}))
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
    long_ago = partition_key(NOW - timedelta(days=3))
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


# -- the ledger


def test_each_gauge_and_hour_is_counted_in_one_line():
    found = load_completeness()
    assert list(found.columns) == COMPLETENESS.schema.names
    assert len(found) == len(MEASURE_IDS) * 25
    assert found[["window_start", "measure_id"]].apply(tuple, axis=1).is_monotonic_increasing
    listed = found[found["measure_id"] == "K1-level"]
    assert (listed["expected"].sum(), listed["received"].sum(), listed["missing"].sum()) == (96, 96, 0)


def test_the_ledger_of_a_river_is_that_of_its_gauges_with_their_names():
    found = load_completeness(river="River Thames", parameter="level", joined=True)
    assert set(found["measure_id"]) == {"K1-level", "T-level"}
    assert set(found["label"]) == {"Kingston", "Teddington Lock|Teddington"}
    by_label = found.groupby("label")["received"].sum()
    assert by_label.to_dict() == {"Kingston": 96, "Teddington Lock|Teddington": 96}


def test_the_ledger_of_some_hours_is_of_those_that_they_touch():
    newest = NOW.replace(minute=0, second=0)
    found = load_completeness(start=NOW - 90 * timedelta(minutes=1), end=newest, measure="K1-level")
    assert found["window_start"].tolist() == [newest - 2 * HOUR, newest - HOUR]
    assert load_completeness(last=HOUR, measure="K1-level")["window_start"].tolist() == [newest - HOUR, newest]


def test_the_ledger_chooses_columns_and_comes_as_arrow():
    found = load_completeness(columns=["measure_id", "missing", "unit"], joined=True, arrow=True)
    assert found.column_names == ["measure_id", "missing", "unit"]
    with pytest.raises(ValueError, match="no column 'lost'"):
        load_completeness(columns="lost")


def test_the_ledger_is_counted_at_the_time_of_asking():
    """Nobody asked for three hours: the table in the lake would not say so."""
    later = load_completeness(now=NOW + 3 * HOUR, measure="K1-level")
    assert later["expected"].sum() == 96
    assert later["missing"].sum() == 12


def test_how_late_a_gauge_is_is_told_for_each():
    found = load_timeliness(station="Kingston")
    assert list(found.columns) == TIMELINESS.schema.names
    assert found["measure_id"].tolist() == ["K1-flow", "K1-level"]
    assert found["newest_at"].tolist() == [NOW.replace(minute=0, second=0)] * 2
    assert found["due_after_s"].isna().all(), "the lake was filled at once: nobody has watched anything come"
    assert set(load_timeliness(parameter="rainfall", joined=True)["label"]) == {"Rainfall station"}


@pytest.mark.parametrize("load", [load_completeness, load_timeliness])
def test_a_ledger_of_nothing_says_why(load, tmp_path):
    with told("there is no lake at"):
        assert load(lake=tmp_path / "none").empty
    with told("no station is called 'Nowhere'"):
        assert load(station="Nowhere").empty
    with told("no measure is called 'K1-levle'"):
        assert load(measure="K1-levle").empty


def test_hours_that_are_not_kept_have_no_ledger():
    with told("is over a day ago"):
        assert load_completeness(end=NOW - 30 * HOUR).empty
