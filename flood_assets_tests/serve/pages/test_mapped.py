"""The map's data, against the questions on the same lake; and their size for the whole country."""

import gzip
import html
import re

import numpy as np

from flood_assets import query
from flood_assets.lake.lake import Lake
from flood_assets.partitions import window_of
from flood_assets.schemas import MEASURES, STATIONS
from flood_assets_tests.support.lake_rows import QUARTER, fetched, snapshot
from flood_assets_tests.support.paged_lake import EVIL, NOW, STATION_ROWS, fill
from flood_assets_tests.support.served import served

BANDS = ["", "below", "normal", "above", "record"]


def degrees(column: dict) -> list[float | None]:
    """Return what the map's script makes of a column."""
    return [None if each is None else (each + column["origin"]) / 1e4 for each in column["from"]]


def test_places_and_bands_are_those_of_query(site, paged):
    bands, places = site.client.get("/map.json").json(), site.client.get("/map/places.json").json()
    stations = query.stations(paged, NOW).rows.to_pylist()
    assert bands["list"] == places["list"]
    assert degrees(places["lat"]) == [row["lat"] for row in stations]
    assert degrees(places["long"]) == [row["long"] for row in stations]
    known = {row["station_id"]: row["band"] for row in query.conditions(paged, NOW).rows.to_pylist() if row["band"]}
    drawn = [BANDS[int(digit)] for digit in bands["bands"]]
    assert drawn == [known.get(row["station_id"], "") for row in stations]
    assert "above" in drawn


def test_a_mark_says_what_the_list_says_of_the_station(site, paged):
    name = site.client.get("/map.json").json()["list"]
    listed = site.client.get("/").text
    for place, row in enumerate(query.stations(paged, NOW).rows.to_pylist()):
        answer = site.client.get("/map/station", params={"list": name, "place": place})
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        inside = re.search(r'<div class="marked">\n(.*)\n</div>', answer.text, re.DOTALL).group(1)
        assert html.unescape(inside).count(row["label"]) >= 1
        assert inside in listed
        assert "<script" not in answer.text
    assert EVIL in [row["label"] for row in query.stations(paged, NOW).rows.to_pylist()]


def test_a_place_of_another_list_is_refused_by_name(site):
    name = site.client.get("/map.json").json()["list"]
    for given, said in (
        ({"list": "old", "place": "0"}, "list is 'old': the newest is"),
        ({"list": name, "place": str(len(STATION_ROWS))}, f"place is '{len(STATION_ROWS)}': the list has"),
        ({"list": name, "place": "-1"}, "place is '-1'"),
        ({"list": name}, "place is ''"),
    ):
        answer = site.client.get("/map/station", params=given)
        assert answer.status_code == 400
        assert said.lower() in html.unescape(answer.text).lower()


def test_places_are_kept_for_a_day_by_the_name_of_their_list_which_another_list_has_not(tmp_path):
    lake = fill(Lake.open(tmp_path / "lake"))
    with served(lake, NOW) as site:
        name = site.client.get("/map.json").json()["list"]
        assert site.client.get(f"/map/places.json?list={name}").headers["cache-control"] == (
            "public, max-age=86400, immutable"
        )
        assert site.client.get("/map/places.json?list=other").headers["cache-control"] == "no-cache"
        moved = [{**row, "lat": 51.5} if row["station_id"] == "K1" else row for row in STATION_ROWS]
        lake.put_snapshots(STATIONS, [window_of(NOW)], snapshot(STATIONS, NOW - QUARTER, *moved))
        site.watcher.look()
        after = site.client.get("/map.json").json()["list"]
        assert after != name
        assert site.client.get(f"/map/places.json?list={name}").json()["list"] == after


def test_the_data_of_the_whole_country_are_small(tmp_path):
    lake, some, window = Lake.open(tmp_path / "lake"), np.random.default_rng(1), [window_of(NOW)]
    at = some.uniform((50, -6), (55.8, 1.8), (5500, 2)).tolist()
    level = {"typical_low": 0.5, "typical_high": 1.5}
    rows = [{"station_id": f"{n:06}", "lat": lat, "long": long, **level} for n, (lat, long) in enumerate(at)]
    gauge = {"parameter": "level", "qualifier": "Stage", "unit": "mASD", "period_s": 900}
    gauge["value_type"] = "instantaneous"
    gauges = [{"measure_id": f"{n:06}-level", "station_id": f"{n:06}", **gauge} for n in range(5500)]
    lake.put_snapshots(STATIONS, window, snapshot(STATIONS, NOW - QUARTER, *rows))
    lake.put_snapshots(MEASURES, window, snapshot(MEASURES, NOW - QUARTER, *gauges))
    values = some.uniform(0, 2, 5500).round(3).tolist()
    read = [(row["measure_id"], NOW - QUARTER, value) for row, value in zip(gauges, values, strict=True)]
    lake.upsert_readings(fetched(*read), NOW, NOW)
    with served(lake, NOW) as site:
        wanted = {"accept-encoding": "identity"}
        bands, places = (site.client.get(path, headers=wanted) for path in ("/map.json", "/map/places.json"))
    assert (len(bands.json()["bands"]), len(places.json()["lat"]["from"])) == (5500, 5500)
    assert {"1", "2", "3"} == set(bands.json()["bands"])
    sizes = [len(gzip.compress(each.content, 5)) for each in (bands, places)]
    assert sum(sizes) < 38_000
    # So much for each quarter of an hour.
    assert sizes[0] < 3_000
