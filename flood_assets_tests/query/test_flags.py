from datetime import timedelta

import pandas as pd
import pyarrow as pa
import pytest

from flood_assets.lake.lake import Lake
from flood_assets.schemas import READINGS
from flood_assets_tests.support.lake_rows import HOUR, QUARTER, fetched
from flood_assets_tests.support.questions import ask_readings, told
from flood_assets_tests.support.seven_gauges import FLAGS, JOINED, NOW, fill


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
    plain, flagged = ask_readings(lake=flawed), ask_readings(lake=flawed, flags=True)
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
    day = ask_readings(lake=flawed, flags=True).set_index(["measure_id", "date_time"])[FLAGS]
    plain = ask_readings(lake=flawed, **wanted)
    part = ask_readings(lake=flawed, flags=True, **wanted)
    pd.testing.assert_frame_equal(plain, part[plain.columns])
    part = part.set_index(["measure_id", "date_time"])[FLAGS]
    assert 0 < len(part) < len(day)
    pd.testing.assert_frame_equal(part, day.loc[part.index])


def test_flags_may_be_chosen_among_the_columns(flawed):
    frame = ask_readings(lake=flawed, flags=True, columns=["spike_flag", "value"], measure="K1-level")
    assert list(frame.columns) == ["spike_flag", "value"]
    assert frame[frame.spike_flag == 4].value.tolist() == [-12.0, 9.0]
    with pytest.raises(ValueError, match=r"no column 'spike_flag'.*joined=True and flags=True"):
        ask_readings(lake=flawed, columns="spike_flag")


def test_arrow_gets_flags_as_small_integers_without_nulls(flawed):
    table = ask_readings(lake=flawed, flags=True, joined=True, arrow=True)
    assert table.column_names == [*READINGS.schema.names, *JOINED, *FLAGS]
    assert all(table.schema.field(name).equals(pa.field(name, pa.int8(), nullable=False)) for name in FLAGS)
    assert table["flag"].to_pylist() == ask_readings(lake=flawed, flags=True).flag.tolist()


def test_flags_of_nothing_are_columns_too(tmp_path):
    with told("there is no lake"):
        frame = ask_readings(lake=tmp_path / "nowhere", flags=True)
    assert frame.empty
    assert set(frame.dtypes[FLAGS].astype(str)) == {"int8"}


def test_without_snapshots_nothing_is_evaluated_and_it_is_told_once(tmp_path):
    lake = Lake.open((tmp_path / "lake").as_uri())
    lake.upsert_readings(fetched(("K1-level", NOW - HOUR, 1e9)), NOW, NOW)
    with told("nothing can be joined from measures", "nothing can be joined from stations"):
        frame = ask_readings(lake=lake.url, flags=True, joined=True)
    assert frame.iloc[0][FLAGS].tolist() == [2] * 5
