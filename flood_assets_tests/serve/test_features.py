"""GDAL and OWSLib read collections of features whole, and what they read is what the lake has."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyogrio
import pytest
from owslib.ogcapi.features import Features

from flood_assets import query
from flood_assets.lake.lake import Lake
from flood_assets.partitions import window_of
from flood_assets.schemas import STATIONS, WARNING_AREAS
from flood_assets_tests.support.lake_rows import snapshot
from flood_assets_tests.support.listening import Listening, listening
from flood_assets_tests.support.served import Served, as_json, served

COLLECTIONS = ("stations", "latest", "conditions", "warnings")
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"


@pytest.fixture(scope="module")
def http(country) -> Iterator[Listening]:
    with listening(country.lake, country.now) as found:
        yield found


@pytest.fixture(scope="module")
def site(country) -> Iterator[Served]:
    with served(country.lake, country.now) as found:
        yield found


def get(site: Served, path: str, **headers: str) -> Any:
    return site.client.get(f"/ogc{path}", headers=headers)


def items(site: Served, path: str) -> dict[str, Any]:
    response = get(site, path)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/geo+json"
    found: dict[str, Any] = response.json()
    return found


def expected(country, name: str) -> pa.Table:
    """The rows of a collection by the query, in the order of its ids, with lat and long."""
    lake = Lake.open(country.lake)
    if name == "stations":
        rows = query.stations(lake, country.now).rows
    elif name == "conditions":
        rows = query.conditions(lake, country.now, joined=True).rows
    elif name == "latest":
        every = query.readings(lake, country.now, joined=True).rows
        every = every.sort_by([("measure_id", "ascending"), ("date_time", "ascending")])
        last = every.group_by("measure_id").aggregate([("date_time", "max")])
        newest = dict(zip(*(last[each].to_pylist() for each in ("measure_id", "date_time_max")), strict=True))
        rows = every.filter(pa.array([newest[r["measure_id"]] == r["date_time"] for r in every.to_pylist()]))
    else:
        rows = query.warnings(lake, country.now).rows
        areas = {row["flood_area_id"]: row for row in lake.newest_snapshot(WARNING_AREAS, country.now).to_pylist()}
        for each in ("lat", "long"):
            places = [areas[area][each] for area in rows["flood_area_id"].to_pylist()]
            rows = rows.append_column(each, pa.array(places, pa.float64()))
    return rows


@pytest.mark.parametrize("name", COLLECTIONS)
def test_gdal_reads_a_collection_whole_over_many_pages(country, http, name):
    rows = expected(country, name)
    meta, table = pyogrio.raw.read_arrow(f"OAPIF:{http.url}/ogc", layer=name, PAGE_SIZE=7)
    assert meta["crs"] == "EPSG:4326"
    assert 7 < len(rows) == len(table)
    key = "flood_area_id" if name == "warnings" else rows.column_names[0]
    found = {row[key]: row for row in table.to_pylist()}
    assert len(found) == len(table)
    for row in rows.to_pylist():
        here = found[row[key]]
        for column, value in row.items():
            if column in ("lat", "long"):
                continue
            given = here[column]
            if isinstance(given, datetime):
                given = given.replace(tzinfo=UTC) if given.tzinfo is None else given
            # GDAL takes a text that looks like a time for one, and writes it as a text of its own.
            text = value.replace("-", "/").replace("T", " ") if column.endswith("_given") else value
            assert given == text, (row[key], column)
        shape = here.get(meta["geometry_name"] or "wkb_geometry")
        place = None if shape is None else tuple(np.frombuffer(shape, "<f8", offset=5))
        assert place == (None if row["lat"] is None else (row["long"], row["lat"]))


def test_gdal_knows_the_types_of_columns_whose_first_rows_are_empty(http):
    info = pyogrio.read_info(f"OAPIF:{http.url}/ogc", layer="stations", force_feature_count=True)
    types = dict(zip(info["fields"], info["dtypes"], strict=True))
    assert types["opened"].startswith("datetime64")
    assert types["highest_recent_at"].startswith("datetime64")
    assert types["typical_low"] == "float64"
    assert info["features"] == 150


def test_a_box_has_the_stations_inside_and_on_its_edges(country, http, site):
    rows = [row for row in expected(country, "stations").to_pylist() if row["lat"] is not None]
    by_lat = sorted(rows, key=lambda row: row["lat"])
    south, north = by_lat[40]["lat"], by_lat[80]["lat"]
    west, east = sorted(row["long"] for row in by_lat[40:81])[3::34][:2]
    inside = {r["station_id"] for r in rows if west <= r["long"] <= east and south <= r["lat"] <= north}
    assert len(inside) > 20
    _, table = pyogrio.raw.read_arrow(f"OAPIF:{http.url}/ogc", layer="stations", bbox=(west, south, east, north))
    assert set(table["station_id"].to_pylist()) == inside
    for text in (
        f"{west!r},{south!r},{east!r},{north!r}",
        f"{west:.18g},{south:.18g},{east:.18g},{north:.18g}",
        f"{west!r},{south!r},-100,{east!r},{north!r},1e3",
    ):
        found = items(site, f"/collections/stations/items?bbox={text}&limit=1000")
        assert {each["id"] for each in found["features"]} == inside
        assert found["numberMatched"] == len(inside)
    # As a client writes 0.3.
    written = items(site, "/collections/stations/items?bbox=-0.5,50,0.29999999999999999,52")["numberMatched"]
    assert written == items(site, "/collections/stations/items?bbox=-0.5,50,0.3,52")["numberMatched"]


def test_gdal_passes_filters_on(country, http):
    rows = [r for r in expected(country, "conditions").to_pylist() if r["parameter"] == "rainfall"]
    where = "parameter = 'rainfall'"
    _, table = pyogrio.raw.read_arrow(f"OAPIF:{http.url}/ogc", layer="conditions", where=where)
    assert sorted(table["measure_id"].to_pylist()) == sorted(r["measure_id"] for r in rows)
    assert rows


def test_owslib_finds_and_reads_all(country, http):
    ogc = Features(f"{http.url}/ogc")
    assert ogc.feature_collections() == [*COLLECTIONS]
    assert "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core" in ogc.conformance()["conformsTo"]
    assert ogc.api()["openapi"].startswith("3.0")
    for name in COLLECTIONS:
        assert ogc.collection(name)["extent"]["spatial"]["crs"] == CRS84
        found: list[dict[str, Any]] = []
        while True:
            page = ogc.collection_items(name, limit=40, offset=len(found))
            found += page["features"]
            if not page["numberReturned"]:
                break
        assert len(found) == page["numberMatched"]
        rows = as_json(expected(country, name).drop_columns(["lat", "long"]))
        if name != "warnings":
            assert [each["properties"] for each in found] == rows
        assert sorted(json.dumps(each["properties"]) for each in found) == sorted(map(json.dumps, rows))
        one = ogc.collection_item(name, found[3]["id"])
        assert {key: one[key] for key in found[3]} == found[3]


def test_next_links_lead_to_each_feature_once(site):
    path, seen = "/collections/latest/items?limit=50&parameter=level&near=51.5,-1&km=300", []
    while path:
        page = items(site, path)
        assert page["numberReturned"] == len(page["features"]) <= 50
        seen += [each["id"] for each in page["features"]]
        links = {each["rel"]: each for each in page["links"]}
        assert links["self"]["type"] == "application/geo+json"
        assert links["self"]["href"] == f"http://testserver/ogc{path}"
        path = links["next"]["href"].removeprefix("http://testserver/ogc") if "next" in links else ""
    assert len(seen) == len(set(seen)) == page["numberMatched"] > 50


def test_a_limit_is_the_size_of_a_page_and_above_the_most_no_error(site):
    assert items(site, "/collections/stations/items?limit=1000000")["numberReturned"] == 150
    page = items(site, "/collections/stations/items?limit=3&offset=148")
    assert (page["numberReturned"], page["numberMatched"]) == (2, 150)
    assert "next" not in {each["rel"] for each in page["links"]}
    assert items(site, "/collections/stations/items?offset=150")["features"] == []


def test_times(country, site):
    rows = expected(country, "latest").to_pylist()
    edge = datetime(2026, 11, 29, 8, 30, tzinfo=UTC)
    since = [r["measure_id"] for r in rows if r["date_time"] >= edge]
    until = [r["measure_id"] for r in rows if r["date_time"] <= edge]
    exact = [r["measure_id"] for r in rows if r["date_time"] == edge]
    assert min(map(len, (since, until, exact))) > 0
    for text, wanted in {
        "2026-11-29T08:30:00Z/..": since,
        "2026-11-29T09:30:00%2B01:00/": since,
        "../2026-11-29T08:30:00Z": until,
        "2026-11-29T08:30:00Z": exact,
        "2026-11-29T08:30:00Z/2026-11-29T08:30:00Z": exact,
        "1999-01-01T00:00:00Z/2000-01-01T00:00:00Z": [],
    }.items():
        found = items(site, f"/collections/latest/items?datetime={text}&limit=7")
        assert found["numberMatched"] == len(wanted)
        assert [each["id"] for each in found["features"]] == wanted[:7]
    # A station has no time: each fits.
    assert items(site, "/collections/stations/items?datetime=1999-01-01T00:00:00Z")["numberMatched"] == 150


def test_links_and_types(site):
    landing = get(site, "").json()
    assert landing == get(site, "/").json()
    links = {each["rel"]: each for each in landing["links"]}
    assert links.keys() == {"self", "service-desc", "conformance", "data"}
    seen = [*links.values()]
    for each in get(site, "/collections").json()["collections"]:
        assert each == get(site, f"/collections/{each['id']}").json()
        seen += each["links"]
    for each in seen:
        response = site.client.get(each["href"])
        assert (response.status_code, response.headers["content-type"]) == (200, each["type"])
    assert get(site, "", Host="flood.example:81").json()["links"][0]["href"] == "http://flood.example:81/ogc"
    assert get(site, "", Host='x"y<z').json()["links"][0]["href"] == "/ogc"


def test_the_definition_names_each_parameter(site):
    paths = get(site, "/api").json()["paths"]
    for name in COLLECTIONS:
        asked = {each["name"]: each["schema"] for each in paths[f"/collections/{name}/items"]["get"]["parameters"]}
        assert {"limit", "bbox", "datetime", "crs", "bbox-crs"} <= asked.keys()
        assert asked["limit"] == {"type": "integer", "default": 1000, "minimum": 1, "maximum": 10000}
        assert items(site, f"/collections/{name}/items?crs={CRS84}&bbox-crs={CRS84}&limit=1")


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/collections/stations/items?rivr=x", 400, "unknown parameter 'rivr': did you mean 'river'?"),
        ("/collections/stations/items?limit=0", 400, "limit is '0'"),
        ("/collections/stations/items?bbox=1,2,3", 400, "bbox is '1,2,3'"),
        ("/collections/stations/items?bbox=1,2,3,nan", 400, "bbox is '1,2,3,nan'"),
        ("/collections/stations/items?bbox=0,52,1,51", 400, "its south, 52, is above its north, 51"),
        ("/collections/warnings/items?bbox=0,52,1,51", 400, "its south, 52, is above its north, 51"),
        ("/collections/latest/items?datetime=yesterday", 400, "'yesterday' is no time"),
        ("/collections/latest/items?datetime=../..", 400, "datetime is '../..'"),
        ("/collections/latest/items?datetime=2026-11-29T09:00:00Z/2026-11-28", 400, "ends before it begins"),
        ("/collections/latest/items?crs=http://www.opengis.net/def/crs/EPSG/0/27700", 400, "crs is"),
        ("/collections/latest/items?offset=1&after=x", 400, "exclude each other"),
        ("/collections/latest/items?after=x", 400, "follow the `next` link"),
        ("/collections/stations?f=html", 400, "f is 'html'"),
        ("/collections/nothing", 404, "there is nothing at /ogc/collections/nothing"),
        ("/collections/nothing/items", 404, "nothing"),
        ("/collections/stations/items/nothing", 404, "nothing"),
        ("/collections/stations/items/a/b", 404, "nothing"),
        ("/nothing", 404, "there is nothing at /ogc/nothing"),
    ],
)
def test_what_is_wrong_is_said(site, path, status, said):
    response = get(site, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert said in response.json()["detail"]


def test_columns_may_be_chosen(site):
    page = items(site, "/collections/stations/items?columns=label,town&limit=2")
    assert [[*each["properties"]] for each in page["features"]] == [["label", "town"]] * 2
    assert page["features"][0]["geometry"]["type"] == "Point"


def test_odd_ids_and_places_that_nobody_knows(tmp_path):
    now = datetime(2026, 11, 29, 9, 7, 30, tzinfo=UTC)
    lake = Lake.open(tmp_path / "lake")
    ids = ["", "a%2Fb", "a/b", "c d", 'é"<']
    stations = [{"station_id": each, "label": each, "opened": date(1999, 1, 1)} for each in ids]
    lake.put_snapshots(STATIONS, [window_of(now)], snapshot(STATIONS, now, *stations))
    with served(lake, now) as site:
        found = items(site, "/collections/stations/items")["features"]
        assert sorted(each["id"] for each in found) == sorted(ids)
        assert all(each["geometry"] is None for each in found)
        for each in found:
            (one,) = [link["href"] for link in _links(site, each["id"]) if link["rel"] == "self"]
            assert site.client.get(one).json()["id"] == each["id"]
        assert items(site, "/collections/stations/items?bbox=-180,-90,180,90")["numberMatched"] == 0
        # Without any position the whole world may have some; and a calm day has no warnings.
        assert get(site, "/collections/stations").json()["extent"]["spatial"]["bbox"] == [[-180, -90, 180, 90]]
        assert items(site, "/collections/warnings/items")["features"] == []
        assert items(site, "/collections/latest/items")["numberMatched"] == 0


def _links(site: Served, station_id: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = items(site, f"/collections/stations/items/{quote(station_id, safe='')}")["links"]
    return found


def test_nothing_older_than_a_day_is_among_the_newest(country):
    with served(country.lake, country.now) as site:
        site.now = country.now + timedelta(hours=23)
        some = items(site, "/collections/latest/items?limit=10000")["features"]
        edge = f"{site.now - timedelta(hours=24):%Y-%m-%dT%H:%M:%SZ}"
        assert all(each["properties"]["date_time"] > edge for each in some)
        site.now = country.now + timedelta(hours=25)
        assert items(site, "/collections/latest/items")["numberMatched"] == 0
