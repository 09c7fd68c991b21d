"""Trends of real series: a day of Thames levels and flows and of the tides around England, at each moment of it."""

import csv
import gzip
from collections import defaultdict
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from flood_assets.ea.lists import parse_measures
from flood_assets.query.conditions import conditions_of
from flood_assets.schemas import STATIONS, TIMELINESS
from flood_assets_tests.support.quality_rows import START, readings
from flood_assets_tests.support.recordings import envelope, recorded

NOW = START + timedelta(days=1)
QUARTER = timedelta(minutes=15)
DAY = 96


def series() -> dict[str, list[tuple[datetime, float]]]:
    """Return the recorded readings of each gauge that has a day of them; the second day repeats the first."""
    found = defaultdict(dict)
    lines = gzip.decompress(recorded("sample/readings.csv.gz")).decode().splitlines()
    for row in csv.DictReader(lines):
        if row["value"] and "|" not in row["value"]:
            found[row["measure"]][datetime.fromisoformat(row["dateTime"])] = float(row["value"])
    return {measure: sorted(each.items())[: DAY - 1] for measure, each in found.items() if len(each) > DAY}


def fitted(last: list[tuple[datetime, float]]) -> float:
    """Return the change over some readings by least squares."""
    hours = np.array([(time - last[0][0]) / timedelta(hours=1) for time, _ in last])
    slope, _ = np.polyfit(hours, [value for _, value in last], 1)
    return slope * hours[-1]


def noise_of(day: list[tuple[datetime, float]]) -> float:
    """Return the usual deviation of readings from a parabola through the seven around them."""
    value = np.array([value for _, value in day])
    at = np.arange(7)
    left = [value[i : i + 7] - np.polyval(np.polyfit(at, value[i : i + 7], 2), at) for i in range(len(value) - 6)]
    return float(np.median(np.sqrt((np.array(left) ** 2).sum(axis=1) / 4)))


@pytest.mark.parametrize("kind", ["Tidal Level", "Downstream Stage", "flow"])
def test_the_trend_agrees_with_a_fitted_line_at_each_moment(kind):
    listed = parse_measures(envelope(recorded("sample/measures.json")), NOW).rows
    described = {row["measure_id"]: row for row in listed.to_pylist()}
    moments, rows, jumps = {}, [], 0
    for measure, day in series().items():
        gauge = described.get(measure)
        if gauge is None or kind not in (gauge["qualifier"], gauge["parameter"]):
            continue
        if len({value for _, value in day}) == 1:
            continue
        # A change is beyond doubt from eight deviations, and from two steps of the gauge's resolution.
        step = min(abs(b[1] - a[1]) for a, b in pairwise(day) if a[1] != b[1])
        clear_from = max(8 * noise_of(day), 2 * step)
        for end in range(DAY // 4, len(day)):
            last = day[end - 4 : end + 1]
            if any(b[0] - a[0] > 2 * QUARTER for a, b in pairwise(last)):
                continue
            # Where two recordings were joined the level jumps, as at an odd reading: no line fits there.
            steps = np.abs(np.diff([value for _, value in day[end - 9 : end + 1]]))
            if steps.max() > 4 * np.median(steps) + clear_from:
                jumps += 1
                continue
            name = f"{measure}@{end}"
            moments[name] = (gauge, fitted(last), clear_from)
            later = NOW - last[-1][0]
            rows += [(name, time + later, value) for time, value in day[max(0, end - DAY + 1) : end + 1]]
    assert len(moments) > 100
    assert jumps < 0.1 * len(moments)
    table = readings(*zip(*rows, strict=True)).append_column("flag", pa.array(np.ones(len(rows), np.int8)))
    gauges = pa.Table.from_pylist([{**each[0], "measure_id": name} for name, each in moments.items()], listed.schema)
    found = conditions_of(table, gauges, STATIONS.schema.empty_table(), TIMELINESS.schema.empty_table(), NOW)
    trend = dict(zip(found["measure_id"].to_pylist(), found["trend"].to_pylist(), strict=True))
    clear, agree, against = 0, 0, 0
    for name, (_, change, clear_from) in moments.items():
        sign = "rising" if change > 0 else "falling"
        against += trend[name] not in (sign, "steady")
        clear += abs(change) > clear_from
        agree += abs(change) > clear_from and trend[name] == sign
    assert clear > 30
    print(kind, jumps, len(moments), clear, agree / clear, against / len(moments))
    assert agree >= 0.98 * clear
    assert against <= 0.01 * len(moments)
