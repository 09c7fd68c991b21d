"""Durations as text: those that pandas understands, without pandas."""

import warnings
from datetime import timedelta

import pandas as pd
import pytest

from flood_assets.query.durations import parse

TEXTS = (
    "3h", "3H", "+3h", "-3h", "- 3h", " 3h ", "1.5h", "5.h", "3 hours", "3hr", "1 hour", "2h30m", "2h 30min",
    "2 h, 30 min", "90min", "15m", "5 minute", "10s", "10 sec", "10 seconds", "1d", "1D", "1 day", "2 days", "1W", "1w",
    "100ms", "5us", "5µs", "5 micros", "1h1h", "03:00:00", "25:00:00", "1:2:3.5", "1 days 02:00:00", "1 days +02:00:00",
    "1 day, 3:00:00", "3d 2 h 1:00:00", "PT3H", "PT36H", "P1DT2H30M", "P1W", "P2D", "-P1D", "PT3M10S", "PT1.5S", "P1DT",
)  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_a_duration_is_read_as_pandas_reads_it(text):
    with warnings.catch_warnings():
        # Pandas takes some capitals no longer for long.
        warnings.simplefilter("ignore")
        assert parse(text) == pd.Timedelta(text).to_pytimedelta()


@pytest.mark.parametrize("span", [timedelta(hours=3), timedelta(days=1, seconds=1.5), timedelta(0)])
def test_a_timedelta_is_read_as_it_is_printed(span):
    assert parse(str(span)) == parse(str(pd.Timedelta(span))) == span


@pytest.mark.parametrize(
    "text",
    ["", "3", "h", "P", "PT", "P3", "1M", "1Y", "P1Y", "P1M", "NaT", "3h2", "3h -2m", "00:30", "1e2s", ".5h", "3 moons",
     "yesterday", "2026-11-21T09:00Z", "-1 days +02:00:00", "999999999999d", "9" * 400 + "h"],
)  # fmt: skip
def test_other_texts_are_no_duration(text):
    assert parse(text) is None
