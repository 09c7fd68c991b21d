import csv
import io
from datetime import timedelta

import pytest
import requests

from flood_assets.simulator import Simulator, serve
from flood_assets.simulator.network import ROOT
from flood_assets_tests.simulator.conftest import NOW

YESTERDAY = "2026-11-20"


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def items(server, path: str):
    response = requests.get(server.url + path, timeout=30)
    assert response.status_code == 200, response.text
    return response.json()["items"]


def rows(server, path: str) -> list[dict[str, str]]:
    response = requests.get(server.url + path, timeout=30)
    assert response.status_code == 200, response.text
    return table(response.text)


def as_text(item: dict) -> tuple:
    value = item.get("value")
    return item["dateTime"], item["measure"], value if isinstance(value, list | None) else [value]


def as_number(row: dict) -> tuple:
    return row["dateTime"], row["measure"], [float(v) for v in row["value"].split("|")] if row["value"] else None


@pytest.mark.parametrize("query", ["latest", "today", f"date={YESTERDAY}"])
def test_json_and_csv_agree(shared, query):
    in_json = [as_text(i) for i in items(shared, f"/data/readings?{query}")]
    assert in_json == [as_number(r) for r in rows(shared, f"/data/readings.csv?{query}")]
    assert in_json


def test_the_envelope_has_the_real_form(shared):
    answer = requests.get(f"{shared.url}/data/readings?latest", timeout=30)
    assert answer.headers["Content-Type"].startswith("application/json")
    content = answer.json()
    assert content["@context"] == f"{ROOT}/meta/context.jsonld"
    assert set(content["meta"]) == {"publisher", "licence", "documentation", "version", "comment", "hasFormat"}
    assert f"{ROOT}/data/readings.csv?latest" in content["meta"]["hasFormat"]
    reading = content["items"][0]
    stamp = reading["dateTime"].replace(":", "-")
    assert reading["@id"] == f"{ROOT}/data/readings/{reading['measure'].rsplit('/', 1)[1]}/{stamp}"


def test_csv_has_the_real_form(shared):
    answer = requests.get(f"{shared.url}/data/readings.csv?date={YESTERDAY}", timeout=30)
    assert answer.headers["Content-Type"] == "text/csv;charset=UTF-8"
    assert answer.content.startswith(b"dateTime,measure,value\r\n2026-11-20T")
    assert answer.content.endswith(b"\r\n")
    assert answer.content.count(b"\n") == answer.content.count(b"\r\n")
    assert b"\x00" not in answer.content


def test_rain_has_one_decimal_in_csv_and_levels_three(shared):
    for row in rows(shared, f"/data/readings.csv?date={YESTERDAY}"):
        for value in filter(None, row["value"].split("|")):
            assert len(value.split(".")[1]) == (1 if "-rainfall-" in row["measure"] else 3)


def test_the_full_view_describes_the_measure_of_each_reading(shared):
    short = [as_number(r) for r in rows(shared, "/data/readings.csv?latest")]
    full = rows(shared, "/data/readings.csv?latest&_view=full")
    assert [as_number(r) for r in full] == short
    assert ",".join(full[0]) == (
        "dateTime,date,measure,station,label,stationReference,parameter,qualifier,datumType,period,unitName,valueType,value"
    )
    level = next(r for r in full if "-level-stage-i-15_min-mASD" in r["measure"])
    assert (level["parameter"], level["qualifier"], level["period"]) == ("level", "Stage", "900")
    nested = items(shared, "/data/readings?latest&_view=full")
    assert [i["measure"]["@id"] for i in nested] == [m for _, m, _ in short]
    assert all(i["date"] == i["dateTime"][:10] for i in nested)


def test_some_readings_belong_to_measures_that_no_list_has(shared):
    listed = {m["@id"] for m in items(shared, "/id/measures")}
    shown = {r["measure"] for r in rows(shared, "/data/readings.csv?latest")}
    unknown = shown - listed
    assert 1 <= len(unknown) <= 5
    in_stations = {m["@id"] for s in items(shared, "/id/stations") for m in s.get("measures", [])}
    assert in_stations == listed
    one = unknown.pop().removeprefix(ROOT)
    assert requests.get(shared.url + one, timeout=30).status_code == 404
    assert items(shared, f"{one}/readings")


def test_latest_agrees_with_the_latest_reading_of_measures(shared):
    of_measures = {m["@id"]: m["latestReading"] for m in items(shared, "/id/measures") if "latestReading" in m}
    for item in items(shared, "/data/readings?latest"):
        if item["measure"] in of_measures:
            latest = of_measures[item["measure"]]
            assert (latest["dateTime"], latest.get("value")) == (item["dateTime"], item.get("value"))


def test_measures_that_were_not_heard_of_have_no_latest_reading(shared):
    measures = items(shared, "/id/measures")
    silent = sum("latestReading" not in m for m in measures)
    assert 0.1 < silent / len(measures) < 0.35


def test_a_single_station_is_an_object_whose_measures_are_not_always_a_list(shared):
    assert isinstance(items(shared, "/id/stations/0")["measures"], list)
    stations = items(shared, "/id/stations")
    single = next(s for s in stations if len(s.get("measures", [])) == 1)
    none = next(s for s in stations if "measures" not in s)
    page = items(shared, f"/id/stations/{single['notation']}")
    assert page["measures"]["@id"] == single["measures"][0]["@id"]
    assert page["type"]
    assert "measures" not in items(shared, f"/id/stations/{none['notation']}")


def test_the_station_without_a_name_has_a_page(shared):
    assert items(shared, "/id/stations/")["notation"] == ""
    assert all(m["notation"].startswith("-") for m in items(shared, "/id/stations//measures"))


def test_the_full_view_of_stations_embeds_scales_but_for_two(shared):
    plain = {s["notation"]: s for s in items(shared, "/id/stations")}
    full = {s["notation"]: s for s in items(shared, "/id/stations?_view=full")}
    assert plain.keys() == full.keys()
    scaled = {n for n, s in plain.items() if "stageScale" in s}
    assert all(isinstance(plain[n]["stageScale"], str) for n in scaled)
    urls = {n for n in scaled if isinstance(full[n]["stageScale"], str)}
    assert len(urls) == 2
    assert all("maxOnRecord" in full[n]["stageScale"] for n in scaled - urls)
    name = (scaled - urls).pop()
    assert items(shared, f"/id/stations/{name}/stageScale") == full[name]["stageScale"]


def test_every_station_and_measure_is_served_under_its_own_id(shared):
    with requests.Session() as session:
        for station in items(shared, "/id/stations")[:60]:
            path = station["@id"].removeprefix(ROOT)
            assert session.get(shared.url + path, timeout=30).json()["items"]["@id"] == station["@id"]
        for measure in items(shared, "/id/measures")[:60]:
            path = measure["@id"].removeprefix(ROOT)
            assert session.get(shared.url + path, timeout=30).json()["items"]["@id"] == measure["@id"]
            reading = measure.get("latestReading")
            if reading:
                path = reading["@id"].removeprefix(ROOT)
                assert session.get(shared.url + path, timeout=30).json()["items"] == reading


@pytest.mark.parametrize("field", ["riverName", "town", "label", "catchmentName", "stationReference", "RLOIid"])
def test_stations_are_filtered_by_exact_values(shared, field):
    stations = [s for s in items(shared, "/id/stations") if isinstance(s.get(field), str)]
    wanted = stations[len(stations) // 2][field]
    found = requests.get(f"{shared.url}/id/stations", {field: wanted}, timeout=30).json()["items"]
    assert [s["@id"] for s in found if isinstance(s[field], str)] == [s["@id"] for s in stations if s[field] == wanted]


def test_status_drops_stations_that_have_none(shared):
    active = items(shared, "/id/stations?status=Active")
    assert all("statusActive" in str(s["status"]) for s in active)
    assert 0.3 < len(active) / 300 < 0.7


def test_stations_are_filtered_by_measures_type_text_and_distance(shared):
    tidal = items(shared, "/id/stations?qualifier=Tidal+Level")
    assert tidal
    assert all("Tidal Level" in {m["qualifier"] for m in s["measures"]} for s in tidal)
    assert {s["@id"] for s in items(shared, "/id/stations?type=Coastal")} == {s["@id"] for s in tidal}
    assert all("Rainfall" in s["label"] for s in items(shared, "/id/stations?search=rainfall"))
    centre = tidal[0]
    near = items(shared, f"/id/stations?lat={centre['lat']}&long={centre['long']}&dist=10")
    assert centre["@id"] in {s["@id"] for s in near}
    assert len(near) < 60


def test_readings_are_filtered_by_their_measure(shared):
    rain = rows(shared, "/data/readings.csv?latest&parameter=rainfall")
    assert rain
    assert all("-rainfall-" in r["measure"] for r in rain)
    every = rows(shared, "/data/readings.csv?latest")
    assert len([r for r in every if "-rainfall-" in r["measure"]]) == len(rain)
    of_zero = rows(shared, f"/data/readings.csv?latest&station={ROOT}/id/stations/0")
    assert {r["measure"].split("/")[-1][:2] for r in of_zero} == {"0-"}
    assert rows(shared, f"/data/readings.csv?latest&measure={of_zero[0]['measure']}") == of_zero[:1]
    assert rows(shared, "/data/readings.csv?latest&parameter=nonsense") == []


def test_a_repeated_filter_counts_once(shared):
    assert items(shared, "/id/measures?qualifier=Stage&qualifier=level") == items(
        shared, "/id/measures?qualifier=Stage"
    )


def test_twins_share_a_reference(shared):
    twins = [s for s in items(shared, "/id/stations") if s["notation"].endswith(("-southern", "-anglian"))]
    reference = twins[0]["stationReference"]
    found = items(shared, f"/id/stations?stationReference={reference}")
    assert len(found) == 2
    assert found[0]["@id"] != found[1]["@id"]


def test_since_is_strictly_after_and_only_for_one_station_or_measure(shared):
    every = rows(shared, "/id/stations/0/readings.csv?since=2026-11-21&_limit=10000")
    middle = "2026-11-21T06:00:00Z"
    after = rows(shared, f"/id/stations/0/readings.csv?since={middle}&_limit=10000")
    assert sorted(map(as_number, after)) == sorted(as_number(r) for r in every if r["dateTime"] > middle)
    assert len(after) < len(every)
    fractional = rows(shared, "/id/stations/0/readings.csv?since=2026-11-21T06:00:00.000Z&_limit=10000")
    assert fractional == after
    zoned = rows(shared, "/id/stations/0/readings.csv?since=2026-11-21T07:00:00%2B01:00&_limit=10000")
    assert zoned == after


def test_without_latest_today_or_date_500_rows_are_shown(shared):
    content = requests.get(f"{shared.url}/data/readings", timeout=30).json()
    assert content["meta"]["limit"] == 500
    assert 498 <= len(content["items"]) <= 500


@pytest.mark.parametrize("limit", [20_000, -1])
def test_the_hard_limit_is_10000(shared, limit):
    content = requests.get(f"{shared.url}/data/readings?date={YESTERDAY}&_limit={limit}", timeout=30).json()
    assert content["meta"]["limit"] == 10_000
    assert 9_900 <= len(content["items"]) <= 10_000


def test_pages_together_are_the_whole_though_some_are_short(shared):
    whole = [as_number(r) for r in rows(shared, f"/data/readings.csv?date={YESTERDAY}")]
    pages, sizes = [], []
    while not sizes or sizes[-1]:
        part = rows(shared, f"/data/readings.csv?date={YESTERDAY}&_limit=5000&_offset={5000 * len(sizes)}")
        pages += [as_number(r) for r in part]
        sizes.append(len(part))
    assert pages == whole
    assert any(size < 5000 for size in sizes[:-2])


def test_sorted_is_newest_first_before_the_limit(shared):
    whole = sorted((r["dateTime"] for r in rows(shared, f"/data/readings.csv?date={YESTERDAY}")), reverse=True)
    ordered = rows(shared, f"/data/readings.csv?date={YESTERDAY}&_sorted")
    assert [r["dateTime"] for r in ordered] == whole
    first = rows(shared, f"/data/readings.csv?date={YESTERDAY}&_sorted&_limit=50")
    assert first == ordered[: len(first)]
    latest = [r["dateTime"] for r in rows(shared, "/data/readings.csv?latest&_sorted")]
    assert latest == sorted(latest, reverse=True)


def test_startdate_and_enddate_are_whole_days(shared):
    found = rows(shared, "/id/stations/0/readings.csv?startdate=2026-11-18&enddate=2026-11-19&_limit=10000")
    assert {r["dateTime"][:10] for r in found} == {"2026-11-18", "2026-11-19"}


def test_lists_are_limited_only_on_request(shared):
    assert "limit" not in requests.get(f"{shared.url}/id/stations", timeout=30).json()["meta"]
    content = requests.get(f"{shared.url}/id/stations?_limit=7&_offset=290", timeout=30).json()
    assert content["meta"]["limit"] == 7
    assert content["meta"]["offset"] == 290
    assert [s["@id"] for s in content["items"]] == [s["@id"] for s in items(shared, "/id/stations")][290:297]


def test_lists_as_csv_have_a_row_for_each_item(shared):
    assert [r["@id"] for r in rows(shared, "/id/stations.csv")] == [s["@id"] for s in items(shared, "/id/stations")]
    measures = rows(shared, "/id/measures.csv")
    assert [r["@id"] for r in measures] == [m["@id"] for m in items(shared, "/id/measures")]
    assert any(r["latestReading"].startswith(f"{ROOT}/data/readings/") for r in measures)
    assert any("|" in r["status"] for r in rows(shared, "/id/stations.csv"))


def test_days_outside_the_retention_have_only_a_header(shared):
    for day in ("2026-10-23", "2026-11-23", "2019-01-01"):
        assert rows(shared, f"/data/readings.csv?date={day}") == []
        assert items(shared, f"/data/readings?date={day}") == []
    assert rows(shared, "/data/readings.csv?date=2026-10-24")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/data/readings?since=2026-11-20", "[since]"),
        ("/data/readings?latset", "[latset]"),
        ("/id/measures?lat=1&long=2&dist=3", "[dist, lat, long]"),
        ("/id/stations?latest", "[latest]"),
        ("/id/stations/0/readings?since=yesterday", "Bad format for since"),
        ("/id/stations/0/readings?since=2026-13-41", "Bad format for since"),
        ("/data/readings?date=20-11-2026", "Bad format for date"),
        ("/data/readings?date=", "Bad format for date"),
        ("/data/readings?_limit=many", "Bad format for _limit"),
    ],
)
def test_what_is_not_understood_is_a_400_in_plain_text(shared, path, text):
    response = requests.get(shared.url + path, timeout=30)
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "text/plain"
    assert text in response.text


@pytest.mark.parametrize(
    "path", ["/id/stations/nobody", "/id/measures/nobody-level-stage-i-15_min-m", "/data", "/id/stations/0/nothing"]
)
def test_what_does_not_exist_is_a_404(shared, path):
    response = requests.get(shared.url + path, timeout=30)
    assert response.status_code == 404
    assert response.headers["Content-Type"] == "text/plain"


def test_formats_that_are_not_made_are_a_406(shared):
    assert requests.get(f"{shared.url}/data/readings.rdf?latest", timeout=30).status_code == 406


def test_accept_chooses_the_format_when_the_path_does_not(shared):
    answer = requests.get(f"{shared.url}/data/readings?latest", headers={"Accept": "text/csv"}, timeout=30)
    assert answer.text.startswith("dateTime,measure,value\r\n")


def test_two_servers_answer_byte_for_byte_the_same():
    paths = ["/data/readings.csv?today", "/data/readings?latest", "/id/stations?_view=full", "/id/measures"]
    answers = []
    for _ in range(2):
        with serve(Simulator(150, seed=11, now=lambda: NOW)) as server:
            answers.append([requests.get(server.url + path, timeout=30).content for path in paths])
    assert answers[0] == answers[1]


def test_what_is_shown_does_not_depend_on_the_way_of_the_clock(server):
    path = f"{server.url}/data/readings.csv?date={YESTERDAY}"
    before = requests.get(path, timeout=30).content
    server.set_clock(NOW + timedelta(days=3))
    assert requests.get(path, timeout=30).content != before
    server.set_clock(NOW - timedelta(days=3))
    assert requests.get(path, timeout=30).content.count(b"\n") == 1
    server.set_clock(None)
    assert requests.get(path, timeout=30).content == before
