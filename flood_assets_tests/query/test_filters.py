from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from flood_assets_tests.support.lake_rows import HOUR
from flood_assets_tests.support.questions import ask_changes, ask_completeness, ask_readings, told
from flood_assets_tests.support.seven_gauges import NOW


def test_start_is_included_and_end_is_not():
    frame = ask_readings(measure="K1-level", start="2026-10-05T06:00Z", end="2026-10-05T07:00Z")
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
    frame = ask_readings(measure="K1-level", start=start)
    assert frame.value.tolist() == [2, 1, 0]


def test_last_counts_back_from_now():
    frame = ask_readings(measure="K1-level", last=timedelta(hours=3))
    assert frame.date_time.min() == pd.Timestamp("2026-10-05T06:15Z")
    assert frame.date_time.max() == pd.Timestamp("2026-10-05T09:00Z")


def test_last_counts_back_from_the_end_that_is_given():
    frame = ask_readings(measure="K1-level", last=pd.Timedelta("30min"), end="2026-10-05T06:00Z")
    assert frame.date_time.dt.strftime("%H:%M").tolist() == ["05:30", "05:45"]


@pytest.mark.parametrize(
    "last", ["3h", "180min", "PT3H", np.timedelta64(3, "h"), pd.Timedelta("3h"), pd.offsets.Hour(3)]
)
def test_last_is_what_a_timedelta_of_pandas_is_made_from(last):
    frame = ask_readings(measure="K1-level", last=last)
    assert frame.date_time.min() == pd.Timestamp("2026-10-05T06:15Z")
    assert len(ask_completeness(measure="K1-level", last=last)) == 4


def test_the_last_24_hours_are_everything_and_nothing_is_missing():
    assert len(ask_readings(measure="K1-level", last=timedelta(hours=24))) == 96


@pytest.mark.parametrize("name", ["start", "end", "now"])
@pytest.mark.parametrize("naive", [datetime(2026, 10, 5, 6), pd.Timestamp("2026-10-05 06:00"), "2026-10-05T06:00"])  # noqa: DTZ001
def test_a_time_without_a_zone_is_refused_by_its_name(name, naive):
    with pytest.raises(ValueError, match=rf"^{name} is '2026-10-05.06:00.*no time zone"):
        ask_readings(**{name: naive})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"start": "yesterday"}, ValueError, "start is 'yesterday': expected a time such as"),
        ({"end": date(2026, 10, 5)}, TypeError, "end is datetime.date"),
        ({"start": 1759651200}, TypeError, "start is 1759651200"),
        ({"last": 3}, TypeError, "last is 3: expected a timedelta, or text such as '3h', '90min' or '1 day'"),
        ({"last": "3"}, ValueError, "last is '3': expected a timedelta, or text such as '3h', '90min' or '1 day'"),
        ({"last": "3 lightyears"}, ValueError, "last is '3 lightyears': expected a timedelta"),
        ({"last": "-3h"}, ValueError, "must not be negative"),
        ({"last": np.timedelta64("NaT")}, TypeError, r"last is .*NaT.*: expected a timedelta"),
        ({"last": timedelta(days=800_000)}, ValueError, "last is 800000 days, 0:00:00, which begins before the year 1"),
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
        ({"station": 1001.0}, TypeError, "station is 1001.0: expected text such as '1001.0', or a list of texts"),
        ({"station": True}, TypeError, "station is True: expected text"),
        ({"measure": [1, True]}, TypeError, "measure has True among its values"),
    ],
)
def test_a_wrong_argument_is_an_error_that_says_what_was_expected(arguments, error, message):
    with pytest.raises(error, match=message):
        ask_readings(**arguments)


def test_nothing_older_than_a_day_is_given_and_it_is_told():
    later = NOW + 5 * HOUR
    with told("start 2026-10-01 00:00Z is over a day ago: readings up to 2026-10-04 14:07Z are deleted"):
        frame = ask_readings(measure="K1-level", start="2026-10-01T00:00Z", now=later)
    assert frame.date_time.min() == pd.Timestamp("2026-10-04T14:15Z")


def test_a_range_that_is_not_kept_any_more_is_empty_and_says_so():
    with told("end 2026-10-02 00:00Z is over a day ago"):
        assert ask_readings(start="2026-10-01T00:00Z", end="2026-10-02T00:00Z").empty


def test_a_range_in_the_future_is_empty_and_says_so():
    with told("start 2026-10-06 00:00Z is after now, which is 2026-10-05 09:07Z"):
        assert ask_readings(start="2026-10-06T00:00Z").empty


def test_a_range_in_which_no_gauge_reported_says_so():
    with told("no readings for station 'K1' from 2026-10-05 09:01Z to 2026-10-05 09:07Z"):
        assert ask_readings(station="K1", start="2026-10-05T09:01Z").empty


@pytest.mark.parametrize("since", ["3h", timedelta(hours=3), np.timedelta64(180, "m"), "2026-10-05T06:07:30Z"])
def test_since_is_a_time_or_a_duration(since):
    assert len(ask_changes(measure="K1-level", since=since)) == 96
    assert ask_changes(measure="K1-level", since=since, now=NOW + 4 * HOUR).empty == (str(since)[:4] != "2026")


def test_a_clock_is_no_duration_for_since():
    with pytest.raises(ValueError, match=r"since is '03:00:00': expected a time such as"):
        ask_changes(since="03:00:00")
