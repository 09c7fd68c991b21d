"""The Agency's paths say of a lake what the simulated API says, from which the lake was filled."""

import asyncio
import csv
import io
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.request import urlopen

import aioeafm
import aiohttp
import pytest

from flood_assets.lake.lake import Lake
from flood_assets.partitions import cutoff, window_of
from flood_assets.schemas import MEASURES, READINGS, STATIONS
from flood_assets.serve import bodies
from flood_assets.serve.bodies import Body
from flood_assets_tests.support.lake_rows import fetched, snapshot
from flood_assets_tests.support.listening import listening
from flood_assets_tests.support.served import Served, served

NOW = datetime(2026, 11, 29, 9, 7, 30, tzinfo=UTC)
DAY, HOUR = timedelta(hours=24), timedelta(hours=1)
ROOT = "http://environment.data.gov.uk/flood-monitoring"
# What the lake does not keep, or has in other words.
NOT_KEPT = {
    "stations": {"datumOffset", "downstageScale", "eaAreaName", "eaRegionName", "type", "stageScale", "measures"},
    "measures": {"unit", "label", "latestReading"},
    "floods": {"eaRegionName"},
    "floodAreas": {"isTidal", "quickDialNumber", "floodWatchArea"},
}


@dataclass
class Both:
    """The simulated API, and a served lake that was filled from it."""

    source: str
    served: Served

    def theirs(self, path: str) -> Any:
        with urlopen(f"{self.source}{path}") as answer:
            data = answer.read().decode()
        return data if ".csv" in path else json.loads(data)["items"]

    def get(self, path: str, **headers: str) -> Any:
        return self.served.client.get(f"/flood-monitoring{path}", headers=headers)

    def ours(self, path: str) -> Any:
        response = self.get(path)
        assert response.status_code == 200, response.text
        return response.text if ".csv" in path else response.json()["items"]

    def refused(self, path: str, **headers: str) -> tuple[int, str]:
        response = self.get(path, **headers)
        assert response.headers["content-type"].startswith("text/plain")
        return response.status_code, response.text


@pytest.fixture(scope="module")
def both(country) -> Iterator[Both]:
    assert country.now == NOW
    with served(country.lake, NOW) as found:
        yield Both(country.url, found)


def several(value: Any) -> Any:
    return sorted(map(str, value)) if isinstance(value, list) else value


@pytest.mark.parametrize(
    "path", ["stations", "stations?_view=full", "measures", "floods", "floodAreas", "floods?min-severity=3"]
)
def test_a_list_has_the_items_of_the_api(both, path):
    theirs = {item["@id"]: item for item in both.theirs(f"/id/{path}")}
    ours = {item["@id"]: item for item in both.ours(f"/id/{path}")}
    assert ours.keys() == theirs.keys()
    left_out = NOT_KEPT[path.partition("?")[0]]
    for at, item in theirs.items():
        expected = {name: several(value) for name, value in item.items() if name not in left_out}
        if expected.get("datumType", "").endswith("/"):
            del expected["datumType"]
        assert {name: several(value) for name, value in ours[at].items() if name not in left_out} == expected


def test_the_full_view_has_the_scale_inside_and_the_other_its_address(both):
    theirs = {item["@id"]: item.get("stageScale") for item in both.theirs("/id/stations?_view=full")}
    full = {item["@id"]: item.get("stageScale") for item in both.ours("/id/stations?_view=full")}
    brief = {item["@id"]: item.get("stageScale") for item in both.ours("/id/stations")}
    scales = [(at, scale) for at, scale in theirs.items() if isinstance(scale, dict)]
    assert len(scales) > 20
    for at, scale in scales:
        kept = ("typicalRangeLow", "typicalRangeHigh")
        assert {name: full[at].get(name) for name in kept} == {name: scale.get(name) for name in kept}
        assert full[at].get("highestRecent") == scale.get("highestRecent")
        assert full[at].get("maxOnRecord", {}).get("value") == scale.get("maxOnRecord", {}).get("value")
        assert brief[at] == full[at]["@id"] == f"{at}/stageScale"
        assert both.ours(f"/id/stations/{at.rpartition('/id/stations/')[2]}/stageScale") == full[at]


def test_a_measure_has_its_newest_reading(both):
    theirs = {item["@id"]: item["latestReading"] for item in both.theirs("/id/measures") if "latestReading" in item}
    kept = {at: each for at, each in theirs.items() if datetime.fromisoformat(each["dateTime"]) > cutoff(NOW)}
    ours = {item["@id"]: item["latestReading"] for item in both.ours("/id/measures") if "latestReading" in item}
    assert {at: each["@id"] for at, each in ours.items()} == {at: each["@id"] for at, each in kept.items()}
    assert all(ours[at].keys() == each.keys() for at, each in kept.items())


FILTERS = [
    "/id/stations?parameter=rainfall",
    "/id/stations?parameterName=Water%20Level&qualifier=Tidal%20Level",
    "/id/stations?status=Active",
    "/id/stations?status=Closed",
    "/id/stations?riverName=River%20Thames",
    "/id/stations?search=lock",
    "/id/stations?lat=51.5&long=-0.5&dist=40",
    "/id/stations?type=Groundwater",
    "/id/stations?type=Coastal",
    "/id/stations?label=Rainfall%20station&_limit=5",
    "/id/measures?parameter=flow",
    "/id/measures?qualifier=Stage&parameterName=Water%20Level",
    "/id/measures?_limit=7&_offset=0",
    "/id/floods?county=Yorkshire",
    "/id/floodAreas?lat=54&long=-2&dist=30",
]


@pytest.mark.parametrize("path", FILTERS)
def test_filters_find_what_they_find_there(both, path):
    theirs, ours = ({item["@id"] for item in of(path)} for of in (both.theirs, both.ours))
    if "_limit" in path:
        assert len(ours) == len(theirs)
    else:
        assert ours == theirs
        assert ours


def test_a_station_and_its_measures(both):
    page = next(item for item in both.theirs("/id/stations") if len(item.get("measures", ())) > 1)
    own = page["@id"].removeprefix(ROOT)
    theirs, ours = both.theirs(own), both.ours(own)
    assert {each["@id"] for each in ours["measures"]} == {each["@id"] for each in theirs["measures"]}
    assert {each["@id"] for each in both.ours(f"{own}/measures")} == {each["@id"] for each in theirs["measures"]}
    one = both.ours(ours["measures"][0]["@id"].removeprefix(ROOT))
    assert one == ours["measures"][0]
    single = next(item for item in both.theirs("/id/stations") if len(item.get("measures", ())) == 1)
    assert isinstance(both.ours(single["@id"].removeprefix(ROOT))["measures"], dict)
    by_reference = f"/id/measures?stationReference={page['stationReference']}"
    assert {i["@id"] for i in both.ours(by_reference)} >= {i["@id"] for i in theirs["measures"]}


def rows(text: str) -> list[tuple]:
    """The cells of a CSV, values as numbers: digits behind the point may be fewer."""
    assert text.endswith("\r\n")
    header, *lines = csv.reader(io.StringIO(text, newline=""))
    assert header[-1] == "value"
    return [(*cells[:-1], sorted(float(part) for part in cells[-1].split("|") if part)) for cells in lines]


def retained(found: list[tuple]) -> list[tuple]:
    return sorted(row for row in found if cutoff(NOW) < datetime.fromisoformat(row[0]) <= NOW)


READINGS_PATHS = [
    "/data/readings.csv?latest",
    "/data/readings.csv?today",
    "/data/readings.csv?date=2026-11-29",
    "/data/readings.csv?date=2026-11-28",
    "/data/readings.csv?date=2026-11-27",
    "/data/readings.csv?date=2026-11-28&parameter=rainfall&_view=full",
    "/data/readings.csv?latest&qualifier=Stage&_view=full",
    "/data/readings.csv?startdate=2026-11-28&enddate=2026-11-29&parameter=wind&_limit=10000",
    "/data/readings.csv?latest=&parameterName=Flow",
]


@pytest.mark.parametrize("path", READINGS_PATHS)
def test_readings_are_those_of_the_api(both, path):
    expected = retained(rows(both.theirs(path)))
    if "qualifier" in path:
        # Of a measure that no list has, only the simulator knows what it measures.
        expected = [row for row in expected if row[3]]
    found = rows(both.ours(path))
    assert sorted(found) == expected
    assert expected or "11-27" in path
    # By measure, then by time.
    at = 1 if "_view=full" not in path else 2
    assert [(row[at], row[0]) for row in found] == sorted((row[at], row[0]) for row in found)


def test_latest_has_no_reading_that_is_a_day_old_at_the_moment_of_the_answer(tmp_path):
    lake = Lake.open(tmp_path / "lake")
    given = fetched(("old", NOW - DAY * 0.9, 1.0), ("new", NOW, 1.0), ("soon", NOW + HOUR / 3, 1.0))
    lake.upsert_readings(given, NOW, NOW + HOUR)
    with served(lake, NOW) as found:
        both = Both("", found)
        shown = []
        for hours in (0, 2, 24):
            found.now = NOW + hours * HOUR
            measures = {row[1].rpartition("/")[2] for row in rows(both.ours("/data/readings.csv?latest"))}
            assert measures == {row[1].rpartition("/")[2] for row in rows(both.ours("/data/readings.csv?_limit=100"))}
            shown.append(measures)
        assert shown == [{"old", "new"}, {"old", "new", "soon"}, {"soon"}]


@pytest.mark.parametrize("since", ["2026-11-29T05:00:00Z", "2026-11-29", "2026-11-29T06:00:00%2B01:00", "2026-11-28"])
def test_since_is_strictly_after_at_one_measure_or_station(both, since):
    listed = {item["@id"]: item for item in both.theirs("/id/measures")}
    newest = rows(both.theirs("/data/readings.csv?latest"))
    item = next(listed[row[1]] for row in newest if row[0] > "2026-11-29T06" and row[1] in listed)
    measure, station = item["notation"], item["station"].rpartition("/")[2]
    for path in (f"/id/measures/{measure}", f"/id/stations/{station}"):
        asked = f"{path}/readings.csv?since={since}&_limit=10000"
        found = rows(both.ours(asked))
        assert sorted(found) == retained(rows(both.theirs(asked)))
        assert found


def test_several_values_and_none(both):
    csv_rows = rows(both.ours("/data/readings.csv?date=2026-11-28"))
    odd = [row for row in csv_rows if len(row[2]) != 1]
    assert {len(row[2]) for row in odd} == {0, 2}
    items = {item["@id"]: item for item in both.ours("/data/readings?date=2026-11-28")}
    assert len(items) == len(csv_rows)
    for time, measure, values in csv_rows:
        at = f"{ROOT}/data/readings/{measure.rpartition('/')[2]}/{time.replace(':', '-')}"
        item = items[at]
        assert item.keys() == {"@id", "dateTime", "measure", *(["value"] if values else [])}
        assert (item["dateTime"], item["measure"]) == (time, measure)
        value = item.get("value", [])
        assert sorted(value if isinstance(value, list) else [value]) == values
    # Of one reading likewise.
    one = next(at for at, item in items.items() if isinstance(item.get("value"), list))
    assert both.ours(one.removeprefix(ROOT)) == {**items[one], "date": "2026-11-28"}


def test_the_full_view_describes_the_measure(both):
    path = "/data/readings?latest&_view=full&qualifier=Stage"
    theirs, ours = ({item["@id"]: item for item in of(path)} for of in (both.theirs, both.ours))
    for at, item in ours.items():
        assert item["measure"] == theirs[at]["measure"]
        assert item["date"] == theirs[at]["date"]
    assert ours


def test_limits_are_those_of_the_api(both):
    """500 where no day is given, 10,000 at most; a reading with two values counts as two."""
    every = [row for day in (28, 29) for row in rows(both.ours(f"/data/readings.csv?date=2026-11-{day}"))]
    assert len(every) > 10_000
    answer = both.get("/data/readings").json()
    assert answer["meta"]["limit"] == 500
    assert 490 < len(answer["items"]) <= 500
    days = "startdate=2026-11-28&enddate=2026-11-29"
    hard = both.get(f"/data/readings?_limit=20000&{days}").json()
    assert hard["meta"]["limit"] == 10_000
    assert 9_900 < len(hard["items"]) <= 10_000
    assert "limit" not in both.get("/data/readings?latest").json()["meta"]
    pages = [rows(both.ours(f"/data/readings.csv?{days}&_limit=10000&_offset={n}")) for n in (0, 10_000)]
    assert sorted(row for page in pages for row in page) == sorted(every)
    assert rows(both.ours("/data/readings.csv?date=2026-11-28&_offset=1000000")) == []
    newest = rows(both.ours("/data/readings.csv?today&_sorted&_limit=20"))
    assert [row[0] for row in newest] == sorted((row[0] for row in every), reverse=True)[: len(newest)]
    assert 18 <= len(newest) <= 20


def test_what_is_wrong_is_said_as_the_api_says_it(both):
    unknown = "Did not recognize request parameters [since] as valid for this endpoint, incorrect endpoint?"
    assert both.refused("/data/readings?since=2026-11-29") == (400, unknown)
    assert both.refused("/id/stations?rivername=x")[0] == 400
    bad = "Bad format for date, should be a legal ISO date or datetime but was yesterday"
    assert both.refused("/data/readings?date=yesterday") == (400, bad)
    assert both.refused("/data/readings?_limit=many") == (
        400,
        "Bad format for _limit, should be an integer but was many",
    )
    assert both.refused("/id/stations?lat=a&long=1&dist=1")[0] == 400
    for path in ("/id/stations/nowhere", "/id/measures/x/readings", "/archive/readings.csv", "/", "/data/readings/x/y"):
        assert both.refused(path) == (404, "Not Found")
    assert both.refused("/id/stations.rdf")[0] == 406
    area = both.ours("/id/floodAreas?_limit=1")[0]["@id"].removeprefix(ROOT)
    assert both.refused(f"{area}/polygon")[0] == 404
    assert both.ours(area)["notation"] == area.rpartition("/")[2]


def test_a_date_far_away_has_no_readings(both):
    for query in ("date=9999-12-31", "startdate=0001-01-01&enddate=0001-01-02", "date=1900-01-01T00:00:00%2B14:00"):
        assert rows(both.ours(f"/data/readings.csv?{query}")) == []


def test_aioeafm_reads_its_stations(both):
    """What aioeafm 1.0 asks for on behalf of Home Assistant."""
    level = {"parameter": "level", "qualifier": "Stage", "status": "Active"}
    stations = both.served.client.get("/flood-monitoring/id/stations", params=level).json()["items"]
    assert {each["@id"] for each in stations} == {
        each["@id"] for each in both.theirs("/id/stations?parameter=level&qualifier=Stage&status=Active")
    }
    for each in stations[:20]:
        page = both.ours(f"/id/stations/{each['notation']}")
        measures = page["measures"] if isinstance(page["measures"], list) else [page["measures"]]
        assert page["label"] == each["label"]
        # What Home Assistant's integration `eafm` needs of each.
        assert all({"@id", "parameterName", "qualifier", "unitName"} <= measure.keys() for measure in measures)


def test_aioeafm_itself(both):
    """Its host, which it does not let one choose, is redirected."""

    class Redirected(aiohttp.abc.AbstractResolver):
        async def resolve(self, host, port=0, family=0):
            assert host == "environment.data.gov.uk"
            here = {"hostname": host, "host": "127.0.0.1", "port": int(http.url.rpartition(":")[2])}
            return [{**here, "family": socket.AF_INET, "proto": 0, "flags": 0}]

        async def close(self):
            pass

    async def read():
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Redirected())) as session:
            stations = await aioeafm.get_stations(session, parameter="level", qualifier="Stage")
            return stations, [await aioeafm.get_station(session, each["notation"]) for each in stations[:20]]

    with listening(both.served.lake, NOW) as http:
        stations, pages = asyncio.run(read())
    path = "/id/stations?parameter=level&qualifier=Stage&status=Active"
    assert {each["@id"] for each in stations} == {each["@id"] for each in both.theirs(path)}
    assert [page["@id"] for page in pages] == [each["@id"] for each in stations[:20]]


def test_answers_are_kept_and_compressed_once(both):
    path = "/data/readings.csv?latest&parameter=level"
    first = both.get(path)
    assert first.headers["content-type"] == "text/csv; charset=utf-8"
    again = both.get(path, **{"Accept-Encoding": "gzip"})
    assert again.headers["content-encoding"] == "gzip"
    assert again.text == first.text
    assert both.get(path, **{"If-None-Match": again.headers["etag"]}).status_code == 304
    # The header decides as the suffix does, and neither takes the answer of the other.
    plain = path.replace(".csv", "")
    assert both.get(plain, Accept="text/csv").text == first.text
    assert both.get(plain).json()["items"]
    assert both.served.client.head(f"/flood-monitoring{path}").headers["content-length"]


def test_of_a_large_answer_only_the_compressed_bytes_are_ever_held(both, monkeypatch):
    path = "/data/readings?date=2026-11-28&_view=full"
    whole = both.get(path).content
    parts = [whole[at : at + 1000] for at in range(0, len(whole), 1000)]
    monkeypatch.setattr(bodies, "_LARGE", 5000)
    packed = Body.of_parts(iter(parts), "application/json", NOW)
    plain = Body(whole, "application/json", NOW)
    assert packed.is_packed
    assert (b"".join(packed.parts(0, packed.size)), packed.digest) == (whole, plain.digest)
    assert len(packed.gzipped) < len(whole) / 10


def test_a_lake_without_lists_says_so(tmp_path):
    lake = Lake.open(tmp_path / "lake")
    lake.upsert_readings(fetched(("m", NOW - DAY / 2, 1.0)), NOW, NOW)
    with served(lake, NOW) as found:
        both = Both("", found)
        for path in ("/id/stations", "/id/measures", "/id/floods", "/id/floodAreas"):
            status, text = both.refused(path)
            assert status == 503
            assert "last 24 hours" in text
        # Readings of a measure that nobody lists are there all the same.
        assert rows(both.ours("/data/readings.csv?latest")) == [
            ("2026-11-28T21:07:30Z", f"{ROOT}/id/measures/m", [1.0])
        ]
        assert len(both.ours("/id/measures/m/readings")) == 1
        assert both.refused("/id/measures/m") == (404, "Not Found")


def test_odd_ids_and_texts(tmp_path):
    """A station without a name, a measure that begins with a dash, encoded ids, values that are no numbers."""
    lake = Lake.open(tmp_path / "lake")
    ids = {"-level": "", "a%2Fb-level": "a%2Fb", 'q,"x"': "s"}
    stations = [{"station_id": each, "label": 'A "lock", here|B' if each == "s" else "A"} for each in ids.values()]
    measures = [{"measure_id": m, "station_id": s, "parameter": "level"} for m, s in ids.items()]
    lake.put_snapshots(STATIONS, [window_of(NOW)], snapshot(STATIONS, NOW, *stations))
    lake.put_snapshots(MEASURES, [window_of(NOW)], snapshot(MEASURES, NOW, *measures))
    values = [(NOW - DAY / 2, None, "n/a"), (NOW - DAY / 3, None, '1|"x",2|NaN'), (NOW - DAY / 4, 0.1, "0.1|0.1")]
    given = [(m, at, value, raw) for m in ids for at, value, raw in values]
    lake.upsert_readings(fetched(*given), NOW, NOW)
    with served(lake, NOW) as found:
        both = Both("", found)
        assert both.ours("/id/stations/")["@id"] == f"{ROOT}/id/stations/"
        assert len(both.ours("/id/stations//readings")) == 3
        assert both.ours("/id/measures/-level")["notation"] == "-level"
        for path in ("a%2Fb", "a%252Fb"):
            assert both.ours(f"/id/stations/{path}")["@id"] == f"{ROOT}/id/stations/a%2Fb"
            assert len(both.ours(f"/id/measures/{path}-level/readings?since=2026-11-01")) == 3
        listed = {item["@id"].rpartition("/")[2]: item["label"] for item in both.ours("/id/stations?label=B")}
        assert listed == {"s": ['A "lock", here', "B"]}
        text = both.ours("/data/readings.csv?latest=&_view=full") + both.ours("/data/readings.csv")
        cells = [*csv.reader(io.StringIO(both.ours("/data/readings.csv"), newline=""))]
        assert {row[2] for row in cells[1:]} == {"n/a", '1|"x",2|NaN', "0.1|0.1"}
        assert 'A ""lock"", here|B' in text
        found_values = {json.dumps(item["value"]) for item in both.ours("/data/readings")}
        assert found_values == {'"n/a"', '[1.0, "\\"x\\",2", "NaN"]', "[0.1, 0.1]"}
        assert both.ours("/id/stations.csv").splitlines()[0].startswith("@id,RLOIid")
        assert len([*csv.reader(io.StringIO(both.ours("/id/measures.csv")))]) == 4


def test_the_readings_of_a_lake_are_all_there(both):
    lake = Lake.open(both.served.lake.store.url)
    assert len(both.ours("/data/readings?date=2026-11-28")) + len(both.ours("/data/readings?today")) == len(
        lake.read(READINGS, now=NOW)
    )
