"""The API gives what `query` says of the same lake, in each format."""

import io
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest

from flood_assets import query
from flood_assets.serve.api import RESOURCES
from flood_assets.serve.deprecated import DEPRECATED
from flood_assets_tests.support.served import as_json, served
from flood_assets_tests.support.seven_gauges import NOW

QUESTIONS = [
    ("stations", {}),
    ("stations", {"river": "River Thames"}),
    ("stations", {"parameter": "rainfall"}),
    ("measures", {}),
    ("measures", {"station": "Kingston"}),
    ("measures", {"river": "Thames", "parameter": "level"}),
    ("readings", {}),
    ("readings", {"measure": ["K1-level", "K1-flow"]}),
    ("readings", {"river": "River Thames", "parameter": "level", "last": "3h"}),
    ("readings", {"station": "Kingston", "joined": True}),
    ("readings", {"measure": "K1-level", "flags": True}),
    ("readings", {"start": "2026-10-05T03:00Z", "end": "2026-10-05T04:00Z", "flags": True, "joined": True}),
    ("readings", {"town": "Nowhere"}),
    ("changes", {"since": "1h"}),
    ("changes", {"since": NOW - timedelta(minutes=1), "joined": True, "river": "River Hull"}),
    ("completeness", {}),
    ("completeness", {"measure": "R1-rain", "last": "2h", "joined": True}),
    ("timeliness", {}),
    ("timeliness", {"station": "Manor Farm", "joined": True}),
    ("conditions", {}),
    ("conditions", {"parameter": "level", "joined": True}),
    ("conditions", {"trend": ["falling", "rising"]}),
]


def as_asked(wanted):
    """The parameters of a URL for the arguments of a question."""
    names = {"measure": "measure_id"}
    return {
        names.get(name, name): value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in wanted.items()
    }


def expected_of(lake, name, wanted):
    """What the query says; its readings are in the order of windows, and those of the API in the order of gauges."""
    rows = getattr(query, name)(lake, NOW, **wanted).rows
    return rows.sort_by([("measure_id", "ascending"), ("date_time", "ascending")]) if name == "readings" else rows


@pytest.mark.parametrize(("name", "wanted"), QUESTIONS)
def test_an_answer_in_json_is_that_of_the_query(api, seven, name, wanted):
    expected = expected_of(seven, name, wanted)
    response = api.get(name, **as_asked(wanted))
    assert response.status_code == 200
    said = response.json()
    assert said[name] == as_json(expected)
    assert said["numberMatched"] == said["numberReturned"] == len(expected)
    assert "next" not in said


@pytest.mark.parametrize(("name", "wanted"), QUESTIONS)
def test_a_file_has_the_same_rows_and_types(api, seven, name, wanted):
    expected = expected_of(seven, name, wanted)
    arrow = api.get(f"{name}.arrow", **as_asked(wanted))
    assert arrow.headers["content-type"] == "application/vnd.apache.arrow.file"
    found = pa.ipc.open_file(arrow.content).read_all()
    assert found.cast(expected.schema).equals(expected)
    assert pq.read_table(io.BytesIO(api.get(f"{name}.parquet", **as_asked(wanted)).content)).equals(found)
    csv = api.get(f"{name}.csv", **as_asked(wanted))
    assert csv.text.splitlines()[0] == ",".join(expected.column_names)
    # No text is read as nothing: an empty cell is null, a quoted one is empty.
    types = {field.name: field.type for field in expected.schema}
    options = arrow_csv.ConvertOptions(
        column_types=types, strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""]
    )
    read = arrow_csv.read_csv(io.BytesIO(csv.content), convert_options=options)
    assert read.cast(expected.schema).equals(expected)
    assert int(csv.headers["number-matched"]) == len(expected)


def test_latest_is_the_newest_reading_of_each_measure(api, seven):
    rows = expected_of(seven, "readings", {"joined": True})
    newest = rows.filter(pc.equal(rows["date_time"], pc.max(rows["date_time"])))
    assert api.rows("latest", joined=True) == as_json(newest)


def test_a_station_is_chosen_by_its_exact_id_or_by_what_it_is_called(api):
    assert [row["station_id"] for row in api.rows("stations", station_id="K1")] == ["K1"]
    assert {row["measure_id"] for row in api.rows("latest", station_id=["K1", "G1"])} == {
        "K1-level",
        "K1-flow",
        "G1-level",
    }
    assert api.rows("latest", station_id="Kingston") == []
    assert {row["measure_id"] for row in api.rows("latest", station="Kingston")} == {"K1-level", "K1-flow"}


def test_filters_by_place(api):
    assert [r["station_id"] for r in api.rows("stations", bbox="-0.4,51,0,54")] == ["K1", "K2"]
    assert [r["station_id"] for r in api.rows("stations", near="51.5,-0.3", km=15)] == ["K1"]
    assert [r["station_id"] for r in api.rows("stations", near="51.5,-0.3", km=5)] == []
    assert {r["measure_id"] for r in api.rows("latest", bbox="-1.1,51,-0.2,53", parameter="rainfall")} == {"R1-rain"}
    # From east of Hull over the date line to west of the rain gauge.
    assert [r["station_id"] for r in api.rows("stations", bbox="-0.32,40,-0.9,60")] == ["K1", "R1"]


def test_geojson_has_points_and_null_where_nobody_knows_the_place(api):
    response = api.get("stations.geojson")
    assert response.headers["content-type"] == "application/geo+json"
    features = {each["id"]: each for each in response.json()["features"]}
    assert features["K1"]["geometry"] == {"type": "Point", "coordinates": [-0.31, 51.41]}
    assert features["R2"]["geometry"] is None
    assert "lat" not in features["K1"]["properties"]
    latest = api.get("latest.geojson", station_id="K1", columns="value").json()["features"]
    assert latest[0]["geometry"]["coordinates"] == [-0.31, 51.41]
    assert latest[0]["properties"] == {"value": 0.0}


@pytest.mark.parametrize("name", [name for name in RESOURCES if name not in ("changes", "warnings", "alerts")])
def test_pages_together_are_the_whole(api, name):
    whole = api.rows(name)
    limit = len(whole) // 4 + 1
    pages, following = [], f"/api/v1/{name}?limit={limit}"
    while following:
        response = api.client.get(following).json()
        assert response["numberMatched"] == len(whole)
        assert 0 < len(response[name]) <= limit
        pages += response[name]
        following = response.get("next")
    assert pages == whole


def test_a_page_goes_on_where_the_last_one_ended_though_rows_came_before_it(api):
    first = api.get("stations", limit=2, river=["River Thames", "River Hull"]).json()
    assert 'rel="next"' in api.get("stations", limit=2, river="River Thames").headers.get("link", 'rel="next"')
    rest = api.client.get(first["next"]).json()
    assert [r["station_id"] for r in first["stations"] + rest["stations"]] == ["1491TH", "K1", "K2"]
    assert "next" not in rest


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("readings?rivr=Thames", "unknown parameter 'rivr': did you mean 'river'?"),
        ("readings?start=2026-10-05T03:00", "start is '2026-10-05T03:00', which has no time zone"),
        ("readings?last=soon", "last is 'soon': expected a timedelta"),
        ("readings?columns=valu", "no column 'valu': there are measure_id"),
        ("readings?start=2026-10-05T03:00Z&last=3h", "start and last exclude each other"),
        ("readings?limit=0", "limit is '0': input should be greater than or equal to 1"),
        ("readings?bbox=1,2,3", "bbox is '1,2,3'"),
        ("stations?bbox=1,54,3,52", "its south, 54, is above its north, 52"),
        ("stations?near=99,0", "near is 99,0: expected latitude and longitude"),
        ("stations?after=x", "after is no place of this list"),
        ("changes", "since is missing: After this time, or so long before now."),
        ("conditions?band=high", "band is 'high'"),
        ("readings?limit=1&limit=2", "limit is given twice"),
    ],
)
def test_a_request_without_meaning_is_refused_with_the_remedy(api, path, detail):
    response = api.client.get(f"/api/v1/{path}")
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert detail in response.json()["detail"]


@pytest.mark.parametrize(("path", "detail"), [("readings.xml", "'xml' of readings"), ("measures.geojson", "'geojson'")])
def test_a_format_that_is_not_served_is_not_found(api, path, detail):
    response = api.client.get(f"/api/v1/{path}")
    assert response.status_code == 404
    assert f"there is no format {detail}" in response.json()["detail"]


def test_a_name_that_nothing_is_called_gives_no_rows_and_says_so(api):
    said = api.get("readings", river="Thamse").json()
    assert said["readings"] == []
    (note,) = said["notes"]
    assert note.startswith("no river is called 'Thamse'; there is ")
    assert "'River Thames'" in note


def test_the_best_accepted_format_is_sent(api):
    def kind(accept):
        return api.get("stations", headers={"accept": accept}).headers["content-type"]

    assert kind("*/*") == "application/json"
    assert kind("text/csv") == "text/csv; charset=utf-8"
    assert kind("application/json;q=0.5, application/geo+json") == "application/geo+json"
    refused = api.get("stations", headers={"accept": "image/png"})
    assert refused.status_code == 406
    assert "there are application/json" in refused.json()["detail"]


def test_nothing_is_older_than_a_day_at_the_moment_of_the_answer(seven):
    with served(seven, NOW) as api:
        whole = api.rows("readings", measure_id="K1-level")
        for minutes in (8, 22, 23, 37, 600):
            api.now = NOW + timedelta(minutes=minutes)
            expected = as_json(query.readings(seven, api.now, measure="K1-level").rows)
            assert api.rows("readings", measure_id="K1-level") == expected
            assert api.rows("latest", measure_id="K1-level") == expected[-1:]
            assert len(expected) < len(whole)
        api.now = NOW + timedelta(hours=24)
        assert api.rows("readings") == api.rows("latest") == api.rows("changes", since="24h") == []
        assert {row["value"] for row in api.rows("conditions")} == {None}


def test_status_says_how_the_lake_is_and_not_where(api, seven):
    said = api.get("status").json()
    assert said["tables"]["readings"]["rows"] == 7 * 96
    assert str(seven) not in api.get("status").text


def test_the_description_names_every_parameter_and_answer(api):
    spec = api.get("openapi.json").json()
    readings = spec["paths"]["/api/v1/readings"]["get"]
    assert {p["name"] for p in readings["parameters"]} == {*RESOURCES["readings"].model.model_fields}
    assert set(readings["responses"]["200"]["content"]) == {
        "application/json",
        "text/csv",
        "application/vnd.apache.arrow.file",
        "application/vnd.apache.parquet",
    }


def test_a_station_without_an_id_is_found_by_it(country):
    with served(country.lake, country.now) as one:
        stations = one.rows("stations")
        assert "" in {row["station_id"] for row in stations}
        assert one.rows("stations", station_id="") == [row for row in stations if row["station_id"] == ""]
        measures = [row for row in one.rows("measures") if row["station_id"] == ""]
        assert one.rows("measures", station_id="") == measures


def test_who_uses_a_deprecated_name_is_told(seven, monkeypatch):
    monkeypatch.setitem(DEPRECATED, "rloi_id", date(2026, 11, 29))
    monkeypatch.setitem(DEPRECATED, "town", date(2026, 12, 1))
    with served(seven, NOW) as one:
        answer = one.get("stations", limit=2)
        assert answer.headers["deprecation"] == "@1795910400"
        assert answer.links["deprecation"]["url"] == "/docs"
        assert "after=" in answer.links["next"]["url"]
        assert one.get("measures", town="Kingston").headers["deprecation"] == "@1796083200"
        for path in ("measures", "stations?columns=station_id,label"):
            assert "deprecation" not in one.get(path).headers
        paths = one.client.get("/api/v1/openapi.json").json()["paths"]
    marked = [each["name"] for each in paths["/api/v1/measures"]["get"]["parameters"] if each["deprecated"]]
    assert marked == ["town"]
