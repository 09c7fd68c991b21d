"""Charts of a run: what they draw, and what they leave out."""

import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

from flood_assets.defs.charts import freshness, liveliest
from flood_assets.schemas import MEASURES, STATIONS
from flood_assets_tests.support.lake_rows import snapshot
from flood_assets_tests.support.quality_rows import QUARTER, RIVER, TIDE, Gauge, measures, readings

NOW = datetime(2026, 10, 15, 9, 7, 30, tzinfo=UTC)
# The newest time that can be reported.
LAST = datetime(2026, 10, 15, 9, tzinfo=UTC)
NONE = MEASURES.schema.empty_table(), STATIONS.schema.empty_table()


def river(number: int, **more) -> Gauge:
    return replace(RIVER, measure_id=f"m{number}", station_id=f"s{number}", **more)


def rising(by: float, count: int = 90) -> list[float]:
    """A level that rises evenly, a little wavy so that it is no flat line."""
    return [round(1 + by * i / count + 0.001 * (i % 2), 3) for i in range(count)]


def rows_of(gauges: Sequence[tuple[Gauge, Sequence[float | None]]]) -> pa.Table:
    found = [
        (gauge.measure_id, LAST - (len(values) - 1 - i) * QUARTER, value)
        for gauge, values in gauges
        for i, value in enumerate(values)
    ]
    return readings(*zip(*found, strict=True))


def places(*gauges: Gauge) -> pa.Table:
    ids = {gauge.station_id: gauge for gauge in gauges}
    rows = [{"station_id": i, "label": f"Place {i}", "river": f"River {i}"} for i in ids]
    return snapshot(STATIONS, NOW, *rows)


def drawn(chart: dg.MarkdownMetadataValue) -> tuple[list[str], list[ET.Element]]:
    """The texts of a chart, and its lines."""
    found = re.fullmatch(r"!\[[^]]+\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", chart.value)
    svg = ET.fromstring(base64.b64decode(found.group(1)))
    space = "{http://www.w3.org/2000/svg}"
    return [text.text for text in svg.iter(f"{space}text")], list(svg.iter(f"{space}polyline"))


def lively(*gauges: tuple[Gauge, Sequence[float | None]]) -> tuple[list[str], list[ET.Element]]:
    listed = [gauge for gauge, _ in gauges]
    return drawn(liveliest(rows_of(gauges), measures(*listed), places(*listed), NOW))


def named(texts: Sequence[str]) -> list[str]:
    return [text for text in texts if text.startswith("Place ")]


def test_the_five_rivers_that_moved_most_are_drawn_the_liveliest_first():
    texts, lines = lively(*((river(number), rising(number / 10)) for number in (3, 1, 6, 2, 5, 4)))
    assert named(texts) == [f"Place s{number}, River s{number}" for number in (6, 5, 4, 3, 2)]
    assert len(lines) == 5


def test_each_line_has_its_low_and_high_value_with_the_unit_and_the_axis_its_ends_in_utc():
    texts, _ = lively((river(1), rising(0.5)))
    assert texts[0] == "River levels that moved most"
    assert "low 1, high 1.495 mASD" in texts
    assert {"14 Oct 10:45 UTC", "15 Oct 09:00 UTC"} <= set(texts)


def test_a_spike_and_a_gross_error_make_no_gauge_lively():
    spiked, broken = rising(0.1), rising(0.1)
    spiked[40], broken[40:44] = 9.0, [5000.0, 5000.1, 5000.0, 5000.2]
    texts, _ = lively((river(1), spiked), (river(2), broken), (river(3), rising(0.3)))
    assert named(texts)[0] == "Place s3, River s3"
    assert all(float(high) < 2 for high in re.findall(r"high ([\d.]+)", " ".join(texts)))


def test_a_spike_before_the_cutoff_is_known_as_one_and_nothing_older_than_a_day_is_drawn():
    older = rising(0.2, count=130)
    older[10] = 3.0
    texts, _ = lively((river(1), older))
    assert "14 Oct 09:15 UTC" in texts
    (high,) = re.findall(r"high ([\d.]+)", " ".join(texts))
    assert float(high) < 2


def test_tides_are_left_out_while_a_river_is_known():
    tide = replace(TIDE, measure_id="t", station_id="t")
    wave = (3 * np.sin(np.arange(90) / 8)).tolist()
    assert named(lively((tide, wave), (river(1), rising(0.1)))[0]) == ["Place s1, River s1"]
    texts, _ = lively((tide, wave))
    assert (texts[0], named(texts)) == ("Gauges that moved most", ["Place t, River t"])


@pytest.mark.parametrize("unit", [None, "mm"])
def test_a_river_in_an_unknown_unit_is_left_out_as_no_test_finds_its_spikes(unit):
    spiked = [*rising(0.1, count=40), 9.0, *rising(0.1, count=40)]
    assert named(lively((river(1, unit=unit), spiked), (river(2), rising(0.1)))[0]) == ["Place s2, River s2"]


def test_a_station_with_several_levels_is_drawn_once():
    twin = replace(river(1), measure_id="m1 downstream", qualifier="Downstream Stage")
    texts, _ = lively((river(1), rising(0.5)), (twin, rising(0.6)), (river(2), rising(0.1)))
    assert named(texts) == ["Place s1, River s1", "Place s2, River s2"]
    assert "low 1, high 1.594 mASD" in texts


def test_a_gauge_of_an_unknown_station_is_named_by_its_measure_and_names_are_escaped():
    gauge = replace(RIVER, measure_id="a<b&c")
    texts, _ = drawn(liveliest(rows_of([(gauge, rising(0.5))]), *NONE, NOW))
    assert "a<b&c" in texts
    texts, _ = drawn(liveliest(rows_of([(gauge, rising(0.5))]), measures(gauge), NONE[1], NOW))
    assert {"a<b&c", "low 1, high 1.495 mASD"} <= set(texts)


@pytest.mark.parametrize(
    "values", [[], [1.0, 1.1, 1.2], [None] * 20], ids=["no rows", "three readings", "without values"]
)
def test_nothing_is_drawn_of_too_little(values):
    listed = river(1)
    rows = rows_of([(listed, values)]) if values else readings([], [], [])
    texts, lines = drawn(liveliest(rows, measures(listed), places(listed), NOW))
    assert (len(texts), lines) == (1, [])


def test_ids_may_be_a_dictionary_in_several_chunks():
    gauges = [(river(number), rising(number / 10)) for number in (1, 2)]
    rows = rows_of(gauges)
    coded = pa.concat_tables([part.set_column(0, "measure_id", part["measure_id"].dictionary_encode()) for part in (
        rows.slice(0, 100), rows.slice(100))])  # fmt: skip
    listed = [gauge for gauge, _ in gauges]
    chart = liveliest(coded.unify_dictionaries(), measures(*listed), places(*listed), NOW)
    assert chart == liveliest(rows, measures(*listed), places(*listed), NOW)


def test_freshness_counts_measures_by_age_and_no_number_lies_on_the_title():
    chart = freshness(np.array([-5.0, 3, 14, 20, 2000]))
    texts, _ = drawn(chart)
    assert texts[0] == "Measures by age of their newest reading"
    counts = dict(zip(texts[2::2], texts[1::2], strict=True))
    assert (counts["≤ 15 min"], counts["≤ 30 min"], counts["≤ 1 h"], counts["silent"]) == ("3", "1", "0", "1")
    svg = base64.b64decode(chart.value.split("base64,")[1].rstrip(")")).decode()
    heights = [float(y) for y in re.findall(r'<text x="\d+" y="([\d.]+)"', svg)]
    assert min(heights[1:]) - heights[0] >= 20, "a line of text is 11 px high"
