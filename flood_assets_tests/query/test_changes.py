from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from flood_assets.lake.lake import Lake
from flood_assets.partitions import window_of
from flood_assets.schemas import MEASURES, READINGS, STATIONS
from flood_assets_tests.support.lake_rows import HOUR, QUARTER, fetched, measures, snapshot
from flood_assets_tests.support.questions import ask_changes, ask_readings, ids, told
from flood_assets_tests.support.seven_gauges import JOINED, NOW, STATION_ROWS, measure_rows

READ_AT = NOW - 4 * HOUR


@pytest.fixture
def changing(tmp_path: Path) -> Path:
    """Fetches of two hours, one and half an hour ago, and of now, at which different readings changed."""
    lake = Lake.open(tmp_path.as_uri())
    lake.put_snapshots(STATIONS, [window_of(READ_AT)], snapshot(STATIONS, READ_AT, *STATION_ROWS))
    gauges = snapshot(MEASURES, READ_AT, *measure_rows())
    lake.put_snapshots(MEASURES, [window_of(READ_AT)], gauges)

    def fetch(ago: timedelta, **values: float | None) -> None:
        rows = [(measure.replace("_", "-"), READ_AT, value) for measure, value in values.items()]
        lake.upsert_readings(fetched(*rows), NOW - ago, NOW, stations=gauges)

    fetch(2 * HOUR, K1_level=1.0, K1_flow=5.0, K2_tide=3.0, G1_level=None)
    fetch(HOUR, K1_level=2.0, T_level=7.0)
    fetch(HOUR / 2, K1_level=1.0, T_level=8.0, R1_rain=0.0, G1_level=-25.0)
    fetch(timedelta(0), K1_level=1.0, K2_tide=4.0)
    return tmp_path


def changes(frame: pd.DataFrame) -> dict[str, tuple]:
    return {row.measure_id: (row.change, row.previous_value, row.value, row.revision) for row in frame.itertuples()}


def test_a_reading_first_seen_since_is_new(changing):
    frame = ask_changes(lake=changing, since=3 * QUARTER, measure="R1-rain")
    assert frame[["change", "value", "revision"]].to_numpy().tolist() == [["new", 0.0, 0]]
    assert frame.previous_value.isna().all()
    assert frame.first_seen_at.tolist() == frame.changed_at.tolist() == [pd.Timestamp(NOW - HOUR / 2)]


def test_a_reading_corrected_since_is_revised_and_has_its_old_value(changing):
    assert changes(ask_changes(lake=changing, since=NOW - QUARTER)) == {"K2-tide": ("revised", 3.0, 4.0, 1)}


def test_a_value_where_there_was_none_is_a_revision_of_nothing(changing):
    row = ask_changes(lake=changing, since=HOUR, measure="G1-level").iloc[0]
    assert (row.change, row.value, row.revision) == ("revised", -25.0, 1)
    assert pd.isna(row.previous_value)


def test_a_reading_first_seen_since_and_then_corrected_is_new_with_a_revision(changing):
    assert changes(ask_changes(lake=changing, since=1.5 * HOUR, measure="T-level")) == {"T-level": ("new", 7.0, 8.0, 1)}
    assert changes(ask_changes(lake=changing, since=HOUR, measure="T-level")) == {"T-level": ("revised", 7.0, 8.0, 1)}


def test_a_correction_that_came_back_to_the_old_value_is_two_revisions(changing):
    frame = ask_changes(lake=changing, since=1.5 * HOUR, measure="K1-level")
    assert changes(frame) == {"K1-level": ("revised", 2.0, 1.0, 2)}


def test_what_came_again_with_the_same_value_did_not_change(changing):
    assert "K1-level" not in ids(ask_changes(lake=changing, since=QUARTER))
    assert "K1-flow" not in ids(ask_changes(lake=changing, since=HOUR))


def test_a_station_that_becomes_known_is_no_change(tmp_path):
    lake = Lake.open(tmp_path.as_uri())
    lake.upsert_readings(fetched(("m", READ_AT, 1.0)), NOW - HOUR, NOW)
    lake.upsert_readings(fetched(("m", READ_AT, 1.0)), NOW, NOW, stations=measures(m="S"))
    assert ask_readings(lake=tmp_path).station_id.tolist() == ["S"]
    assert ask_changes(lake=tmp_path, since=QUARTER).empty


def test_changes_are_in_order_of_change_then_measure_then_time(tmp_path):
    lake = Lake.open(tmp_path.as_uri())
    early, late = NOW - 5 * HOUR, NOW - 2 * HOUR
    lake.upsert_readings(fetched(("b", late, 1.0), ("b", early, 1.0), ("a", late, 1.0)), NOW - QUARTER, NOW)
    lake.upsert_readings(fetched(("a", early, 1.0), ("c", early, 1.0)), NOW - HOUR, NOW)
    frame = ask_changes(lake=tmp_path, since=2 * HOUR, columns=["measure_id", "date_time"])
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
    assert ids(ask_changes(lake=changing, since=at)) == {"K2-tide"}
    assert ids(ask_changes(lake=changing, since=at - microsecond)) == {
        "K2-tide",
        "K1-level",
        "T-level",
        "R1-rain",
        "G1-level",
    }
    assert changes(ask_changes(lake=changing, since=at, measure="R1-rain")) == {}
    at_first = ask_changes(lake=changing, since=NOW - HOUR, measure="T-level")
    before_first = ask_changes(lake=changing, since=NOW - HOUR - microsecond, measure="T-level")
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
    assert ids(ask_changes(lake=changing, since=since)) == {"K2-tide"}


def test_a_timedelta_counts_back_from_the_now_that_is_given(changing):
    later = NOW + HOUR
    assert ask_changes(lake=changing, since=HOUR, now=later).empty
    assert ids(ask_changes(lake=changing, since=HOUR + QUARTER, now=later)) == {"K2-tide"}


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
    assert ids(ask_changes(lake=changing, since=HOUR, **selection)) == measures


def test_changes_have_the_readings_columns_and_what_the_change_was(changing):
    table = ask_changes(lake=changing, since=HOUR, arrow=True)
    assert table.schema == pa.schema([*READINGS.schema, pa.field("change", pa.string(), nullable=False)])
    frame = ask_changes(lake=changing, since=HOUR)
    assert list(frame.columns) == table.column_names
    assert frame.change.dtype == "str"
    assert frame.change.tolist() == table["change"].to_pylist() == ["revised", "revised", "new", "revised", "revised"]
    assert frame.drop(columns="change").dtypes.equals(ask_readings().dtypes)


@pytest.mark.parametrize(
    "columns", ["change", "value", ["unit", "change", "date_time"], ["label"], ["revision", "river"]]
)
def test_columns_of_changes_can_be_chosen_and_change_nothing_else(changing, columns):
    names = [columns] if isinstance(columns, str) else columns
    full = ask_changes(lake=changing, since=1.5 * HOUR, joined=True, arrow=True)
    assert ask_changes(lake=changing, since=1.5 * HOUR, joined=True, columns=columns, arrow=True) == full.select(names)


def test_joined_changes_have_what_the_snapshots_know(changing):
    frame = ask_changes(lake=changing, since=QUARTER, joined=True)
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
    frame = ask_changes(lake=changing, since=NOW, joined=joined)
    assert frame.empty
    assert frame.dtypes.equals(ask_changes(lake=changing, since=HOUR, joined=joined).dtypes)
    assert ask_changes(lake=changing, since=HOUR, station="K1", parameter="flow").empty
    assert ask_changes(lake=changing, since=HOUR, measure="R2-rain").empty


def test_a_measure_that_no_snapshot_knows_is_known_by_its_readings_though_none_changed(changing):
    Lake.open(changing.as_uri()).upsert_readings(fetched(("unknown-yet", READ_AT, 1.0)), NOW - HOUR, NOW)
    assert ask_changes(lake=changing, since=QUARTER, measure="unknown-yet").empty
    assert len(ask_changes(lake=changing, since=2 * HOUR, measure="unknown-yet")) == 1


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"station": "Kingstn"}, "no station is called 'Kingstn'; there is 'Kingston'"),
        ({"measure": "K1-levl"}, "no measure is called 'K1-levl'; there is 'K1-level'"),
        ({"river": "River Thames", "parameter": "rainfall"}, "no gauge matches all of"),
    ],
)
def test_changes_of_an_unknown_name_are_none_and_it_is_told(changing, selection, message):
    with told(message):
        frame = ask_changes(lake=changing, since=HOUR, **selection, joined=True)
    assert frame.empty
    assert frame.dtypes.equals(ask_changes(lake=changing, since=HOUR, joined=True).dtypes)


def test_of_changes_over_a_day_ago_those_of_kept_readings_are_given_and_it_is_told(changing):
    later = READ_AT + 24 * HOUR
    Lake.open(changing.as_uri()).upsert_readings(fetched(("K1-level", NOW, 1.0)), NOW, NOW)
    with told(
        "since 2026-10-04 06:07Z is over a day ago: only the last 24 hours are kept, and readings up to 2026-10-05"
    ):
        frame = ask_changes(lake=changing, since=48 * HOUR, now=later + HOUR)
    assert frame.date_time.tolist() == [pd.Timestamp(NOW)]
    assert len(ask_changes(lake=changing, since=24 * HOUR)) == 6 + 1


def test_changes_since_a_time_to_come_are_none_and_it_is_told(changing):
    with told("since 2026-10-05 10:07Z is after now, which is 2026-10-05 09:07Z"):
        assert ask_changes(lake=changing, since=NOW + HOUR).empty


@pytest.mark.parametrize("naive", [datetime(2026, 10, 5, 6), pd.Timestamp("2026-10-05 06:00"), "2026-10-05T06:00"])  # noqa: DTZ001
def test_since_without_a_zone_is_refused(naive):
    with pytest.raises(ValueError, match=r"^since is '2026-10-05.06:00.*no time zone"):
        ask_changes(since=naive)


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
        ask_changes(**arguments)


@pytest.mark.parametrize("selection", [{}, {"river": "River Thames"}, {"measure": "m"}])
def test_changes_of_an_empty_or_forgotten_lake_say_how_to_fill_it(selection, tmp_path):
    with told("yet: run `FLOOD_LAKE_URL="):
        frame = ask_changes(lake=tmp_path, since=HOUR, **selection)
    assert frame.dtypes.equals(ask_changes(since=timedelta(0)).dtypes)
    with told("there is no lake at"):
        assert ask_changes(lake=tmp_path / "none", since=HOUR, **selection).empty
    assert not (tmp_path / "none").exists()
    with told("over a day ago: run"):
        assert ask_changes(since=HOUR, now=NOW + timedelta(days=3), **selection).empty


def test_an_empty_lake_is_told_before_a_since_that_is_too_long_ago(tmp_path):
    with told("has no readings yet: run", "is over a day ago: only the last 24 hours are kept"):
        assert ask_changes(lake=tmp_path, since=25 * HOUR).empty
