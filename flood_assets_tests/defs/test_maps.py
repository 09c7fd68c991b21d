"""Maps of a run: which mark stands where, and what the legend says."""

import base64
import re
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest

from flood_assets.defs.maps import map_of_conditions, map_of_stations
from flood_assets.schemas import CONDITIONS, STATIONS
from flood_assets_tests.support.lake_rows import snapshot

NOW = datetime(2026, 10, 15, 9, 7, 30, tzinfo=UTC)
SPACE = "{http://www.w3.org/2000/svg}"
BANDS = ("below", "normal", "above", "record")
# London, Carlisle, Land's End, and Lerwick, which is off the map.
PLACES = {"s1": (51.5, -0.1), "s2": (54.9, -2.9), "s3": (50.07, -5.7), "s4": (60.15, -1.15)}


def places(**more: tuple[float | None, float | None]):
    rows = [{"station_id": each, "lat": lat, "long": long} for each, (lat, long) in {**PLACES, **more}.items()]
    return snapshot(STATIONS, NOW, *rows)


def conditions(*bands: tuple[str | None, str | None]):
    """Rows of a station and its band, each."""
    rows = [
        {"measure_id": f"m{number}", "station_id": station, "band": band, "passed_over": 0}
        for number, (station, band) in enumerate(bands)
    ]
    return snapshot(CONDITIONS, NOW, *rows)


def drawn(chart) -> ET.Element:
    found = re.fullmatch(r"!\[[^]]+\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", chart.value)
    return ET.fromstring(base64.b64decode(found.group(1)))


def marks(svg: ET.Element) -> dict[str, list[tuple[int, int]]]:
    """Return where the marks of each band begin: each starts from where the one before began."""
    found = {}
    for path in svg.iter(f"{SPACE}path"):
        if path.get("class"):
            x = y = 0
            starts = []
            for dx, dy in re.findall(r"m(-?\d+) (-?\d+)", path.get("d")):
                x, y = x + int(dx), y + int(dy)
                starts.append((x, y))
            found[path.get("class")] = starts
    return found


def legend(svg: ET.Element) -> dict[str, str]:
    texts = [text.text for text in svg.iter(f"{SPACE}text")][2:]
    return dict(zip(texts[1::2], texts[::2], strict=True))


def test_each_band_has_a_shape_and_a_colour_of_its_own_and_the_worst_is_drawn_last():
    svg = drawn(map_of_conditions(conditions(*[("s1", band) for band in BANDS]), places(), NOW))
    paths = [path for path in svg.iter(f"{SPACE}path") if path.get("class")]
    assert [path.get("class") for path in paths] == ["normal", "below", "above", "record"]
    shapes = [re.sub(r"^M0 0m-?\d+ -?\d+", "", path.get("d")) for path in paths]
    assert len(set(shapes)) == 4, "shape"
    assert len({(path.get("fill"), path.get("stroke")) for path in paths}) == 4, "and colour"
    keys = [path.get("d") for path in svg.iter(f"{SPACE}path") if not path.get("class")]
    assert all(any(key.endswith(shape) for key in keys) for shape in shapes), "the legend shows each"


@pytest.mark.parametrize("band", BANDS)
def test_a_mark_stands_at_its_station_however_many_are_drawn(band):
    three = conditions(("s1", band), ("s2", band), ("s3", band))
    found = marks(drawn(map_of_conditions(three, places(), NOW)))[band]
    expected = sorted((round((56 - lat) * 80), round((long + 6.5) * 48)) for lat, long in list(PLACES.values())[:3])
    offsets = {(x - column, y - row) for (x, y), (row, column) in zip(found, expected, strict=True)}
    assert len(offsets) == 1, "each lies as far from its place as the others"
    assert all(abs(each) <= 8 for each in offsets.pop())


def test_the_legend_counts_all_gauges_and_the_title_says_when_in_london_and_in_utc():
    rows = conditions(("s1", "above"), ("s2", "above"), ("s3", "record"), ("s4", "below"), ("s1", None), (None, None))
    svg = drawn(map_of_conditions(rows, places(s5=(None, None)), NOW))
    assert legend(svg) == {
        "above the highest on record": "1",
        "above the typical range": "2",
        "below the typical range": "1",
        "within the typical range": "0",
        "without a range or a reading": "2",
    }
    texts = [text.text for text in svg.iter(f"{SPACE}text")]
    assert texts[:2] == ["River levels against their typical range", "Thu 15 Oct 10:07 BST (09:07 UTC)"]
    assert {band: len(each) for band, each in marks(svg).items()} == {"normal": 0, "below": 0, "above": 2, "record": 1}


def test_no_text_is_cut_off_and_no_mark_lies_on_the_legend():
    svg = drawn(map_of_conditions(conditions(("s1", "above")), places(), NOW))
    width = int(svg.get("width"))
    # A character of this size is 6 px wide.
    assert all(float(text.get("x")) + 6 * len(text.text) <= width for text in svg.iter(f"{SPACE}text"))


def test_nothing_is_drawn_of_an_empty_lake():
    svg = drawn(map_of_conditions(CONDITIONS.schema.empty_table(), STATIONS.schema.empty_table(), NOW))
    assert set(map(len, marks(svg).values())) == {0}
    assert set(legend(svg).values()) == {"0"}
    assert len(list(drawn(map_of_stations(STATIONS.schema.empty_table())).iter(f"{SPACE}path"))) == 1


def test_stations_of_one_cell_are_one_dot_and_those_off_the_map_none():
    (dots,) = drawn(map_of_stations(places(s6=(51.5001, -0.1001)))).iter(f"{SPACE}path")
    assert dots.get("d").count("h0") == 3
