"""erddapy and pandas read the datasets whole, and what they read is what the lake has."""

import io
import json
import operator
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, quote_plus

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from erddapy import ERDDAP
from requests import HTTPError

from flood_assets import query
from flood_assets.lake.lake import Lake
from flood_assets.partitions import window_of
from flood_assets.schemas import MEASURES, STATIONS
from flood_assets_tests.support.lake_rows import fetched, snapshot
from flood_assets_tests.support.listening import Listening, listening
from flood_assets_tests.support.served import Served, served

NAMES = {"date_time": "time", "lat": "latitude", "long": "longitude"}
TIMES = ["time", "first_seen_at", "changed_at"]
Row = dict[str, Any]


@pytest.fixture(scope="module")
def http(country) -> Iterator[Listening]:
    with listening(country.lake, country.now) as found:
        yield found


@pytest.fixture(scope="module")
def site(country) -> Iterator[Served]:
    with served(country.lake, country.now) as found:
        yield found


@pytest.fixture(scope="module")
def lake_rows(country) -> pa.Table:
    """The whole day by the query, by measure and time, under the standard's names."""
    rows = query.readings(Lake.open(country.lake), country.now, joined=True).rows
    rows = rows.sort_by([("measure_id", "ascending"), ("date_time", "ascending")])
    return rows.rename_columns([NAMES.get(name, name) for name in rows.column_names])


@pytest.fixture(scope="module")
def every(lake_rows) -> list[Row]:
    found: list[Row] = lake_rows.to_pylist()
    return found


@pytest.fixture
def client(http) -> ERDDAP:
    found = ERDDAP(server=f"{http.url}/erddap", protocol="tabledap")
    found.dataset_id = "flood_readings"
    return found


def get(site: Served, path: str) -> Any:
    return site.client.get(f"/erddap/{path}")


def same(frame: pd.DataFrame, rows: pa.Table) -> None:
    """A frame has the rows, in order; an empty text is none in CSV."""
    assert sorted(frame.columns) == sorted(rows.column_names)
    assert len(frame) == len(rows)
    for name in rows.column_names:
        found, expected = frame[name], rows[name].to_pandas()
        if name in TIMES:
            found = pd.to_datetime(found, format="ISO8601", utc=True)
            assert (found == expected).all()
        elif expected.dtype.kind in "fi":
            assert ((found == expected) | (found.isna() & expected.isna())).all()
        else:
            assert found.fillna("").tolist() == expected.fillna("").tolist()


def bare(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its columns named without their units."""
    return frame.rename(columns={name: name.partition(" (")[0] for name in frame.columns})


TEXTS = {"dtype": dict.fromkeys(["measure_id", "station_id", "label", "raw_value", "qualifier"], str)}


def test_erddapy_reads_the_whole_day(client, lake_rows):
    same(bare(client.to_pandas(**TEXTS)), lake_rows)


def test_pandas_reads_the_whole_day_by_its_address(http, lake_rows):
    at = f"{http.url}/erddap/tabledap/flood_readings"
    same(pd.read_csv(f"{at}.csv", skiprows=[1], **TEXTS), lake_rows)
    read = pq.read_table(io.BytesIO(pd.io.common.urlopen(f"{at}.parquet").read()))
    assert read.select(lake_rows.column_names).cast(lake_rows.schema).equals(lake_rows)
    assert len(pd.read_parquet(f"{at}.parquet")) == len(lake_rows)


def test_the_newest_readings(http, lake_rows, every):
    newest: dict[str, Row] = {row["measure_id"]: row for row in every}
    rows = pa.Table.from_pylist([*newest.values()], schema=lake_rows.schema)
    same(pd.read_csv(f"{http.url}/erddap/tabledap/flood_latest.csv", skiprows=[1], **TEXTS), rows)


def number(name: str, compare: Callable[[float, float], bool], than: float) -> Callable[[Row], bool]:
    return lambda row: row[name] is not None and compare(row[name], than)


def text(name: str, compare: Callable[[str, str], bool], than: str) -> Callable[[Row], bool]:
    return lambda row: compare(row[name] or "", than)


AT = datetime(2026, 11, 29, 6, 0, tzinfo=UTC)
QUERIES: dict[str, Callable[[Row], bool]] = {
    "value>=8.5": number("value", operator.ge, 8.5),
    "value<-1e-1": number("value", operator.lt, -0.1),
    "value!=0": lambda row: row["value"] is None or row["value"] != 0,
    "value=NaN": lambda row: row["value"] is None,
    "value!=NaN": lambda row: row["value"] is not None,
    "value>NaN": lambda _: False,
    "latitude>=52.5&latitude<53": lambda row: row["latitude"] is not None and 52.5 <= row["latitude"] < 53,
    'longitude>"-1"': number("longitude", operator.gt, -1),
    "time>=2026-11-29T06:00:00Z": lambda row: row["time"] >= AT,
    "time>2026-11-29T06:00:00Z": lambda row: row["time"] > AT,
    "time=2026-11-29T06:00:00Z": lambda row: row["time"] == AT,
    "time<=2026-11-29T07:00:00+01:00": lambda row: row["time"] <= AT,
    "time<2026-11-29": lambda row: row["time"] < datetime(2026, 11, 29, tzinfo=UTC),
    f"time>={AT.timestamp()}": lambda row: row["time"] >= AT,
    "time>=now-3hours": lambda row: row["time"] >= datetime(2026, 11, 29, 6, 7, 30, tzinfo=UTC),
    "time>now-90minutes&time<=now": lambda row: row["time"] > datetime(2026, 11, 29, 7, 37, 30, tzinfo=UTC),
    "time<now+1day": lambda _: True,
    "time>=max(time)": lambda row: row["time"] == datetime(2026, 11, 29, 9, 0, 5, tzinfo=UTC),
    "time<min(time)+1hour": lambda row: row["time"] < datetime(2026, 11, 28, 10, 8, tzinfo=UTC),
    'parameter="rainfall"': text("parameter", operator.eq, "rainfall"),
    'parameter!="level"': text("parameter", operator.ne, "level"),
    'station_id=""': text("station_id", operator.eq, ""),
    'river=""': text("river", operator.eq, ""),
    'measure_id=~".*-i-15_min-m(AOD|ASD)"': lambda row: bool(re.fullmatch(".*-i-15_min-m(AOD|ASD)", row["measure_id"])),
    'label=~"Rain.*"&value>0': lambda row: (row["label"] or "").startswith("Rain") and (row["value"] or 0) > 0,
    'station_id>="E"&station_id<"F"': lambda row: "E" <= (row["station_id"] or "") < "F",
    "revision=0": lambda row: row["revision"] == 0,
}


@pytest.mark.parametrize("asked", QUERIES)
def test_constraints(site, every, asked):
    """However the query is encoded."""
    wanted = [[row["measure_id"], f"{row['time']:%Y-%m-%dT%H:%M:%SZ}"] for row in every if QUERIES[asked](row)]
    whole = f"measure_id,time&{asked}"
    for written in (whole, quote_plus(whole), "&".join(quote(part, safe="=") for part in whole.split("&"))):
        response = get(site, f"tabledap/flood_readings.json?{written}")
        if not wanted:
            assert response.status_code == 404
            continue
        table = response.json()["table"]
        assert table["columnNames"] == ["measure_id", "time"]
        assert table["columnTypes"] == ["String", "String"]
        assert table["columnUnits"] == [None, "UTC"]
        assert table["rows"] == wanted


def test_most_constraints_find_some_and_not_all(every):
    """Else they would test nothing."""
    found = [sum(map(fits, every)) for fits in QUERIES.values()]
    assert sum(0 < count < len(every) for count in found) >= len(found) - 3


def test_erddapy_with_constraints(client, every):
    station = next(row["station_id"] for row in every if row["parameter"] == "flow" and row["station_id"])
    client.variables = ["time", "station_id", "value"]
    client.constraints = {"time>=": "2026-11-29T03:00:00Z", "station_id=": station}
    since = datetime(2026, 11, 29, 3, tzinfo=UTC)
    rows = [row for row in every if row["station_id"] == station and row["time"] >= since]
    found = bare(client.to_pandas(dtype={"station_id": str}))
    assert found["value"].tolist() == [row["value"] for row in rows]
    client.constraints = {"time>=": "now-1hour", "latitude<=": "min(latitude)+0.5"}
    low = min(row["latitude"] for row in every if row["latitude"] is not None) + 0.5
    edge = datetime(2026, 11, 29, 8, 7, 30, tzinfo=UTC)
    near = [r for r in every if r["latitude"] is not None and r["latitude"] <= low and r["time"] >= edge]
    assert len(client.to_pandas()) == len(near) > 0
    client.variables, client.constraints = ["parameter", "qualifier"], {}
    pairs = {(row["parameter"] or "", row["qualifier"] or "") for row in every}
    kinds = client.to_pandas(distinct=True).fillna("")
    assert sorted(map(tuple, kinds.to_numpy().tolist())) == sorted(pairs)
    client.constraints = {"value>": 1e9}
    with pytest.raises(HTTPError, match="no matching results"):
        client.to_pandas()


def rows_of(site: Served, asked: str) -> list[list[Any]]:
    response = get(site, f"tabledap/flood_readings.json?{asked}")
    assert response.status_code == 200, response.text
    found: list[list[Any]] = response.json()["table"]["rows"]
    return found


def test_orders(site, every):
    rows = every
    newest = {row["measure_id"]: row["time"] for row in rows}
    oldest = {row["measure_id"]: row["time"] for row in reversed(rows)}
    as_text = "{:%Y-%m-%dT%H:%M:%SZ}".format
    for function, expected in (("orderByMax", newest), ("orderByMin", oldest)):
        found = rows_of(site, f'measure_id,time,value&{function}("measure_id,time")')
        assert [row[:2] for row in found] == [[measure, as_text(expected[measure])] for measure in sorted(expected)]
    # Of all together; a reading without a value is neither the greatest nor the least.
    values = [row["value"] for row in rows if row["value"] is not None]
    assert [row[1] for row in rows_of(site, 'measure_id,value&orderByMax("value")')] == [max(values)]
    assert [row[1] for row in rows_of(site, 'measure_id,value&orderByMin("value")')] == [min(values)]
    times = [row[0] for row in rows_of(site, 'time,measure_id&orderBy("time,measure_id")')]
    assert times == sorted(times)
    assert [row[0] for row in rows_of(site, 'time&distinct()&orderByDescending("time")')] == sorted(
        {*times}, reverse=True
    )
    labels = [row[0] for row in rows_of(site, "label&distinct()") if row[0] is not None]
    assert labels == sorted({row["label"] for row in rows if row["label"] is not None})


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("tabledap/flood_readings.csv?tme", 400, 'Query error: Unrecognized variable="tme": there are measure_id'),
        ("tabledap/flood_readings.csv?&tme>1", 400, 'Unrecognized variable="tme"'),
        ("tabledap/flood_readings.csv?value>1", 400, "variables come first"),
        ("tabledap/flood_readings.csv?&value>high", 400, 'Invalid number in "value>high"'),
        ("tabledap/flood_readings.csv?&time>soon", 400, 'Invalid time in "time>soon"'),
        ("tabledap/flood_readings.csv?&time>now-3fortnights", 400, 'Invalid units "fortnight"'),
        ("tabledap/flood_readings.csv?&time>max(label)", 400, "label is a text"),
        ("tabledap/flood_readings.csv?&river=Thames", 400, "must be surrounded by double quotes"),
        ('tabledap/flood_readings.csv?&river="Thames', 400, "has no partner"),
        ('tabledap/flood_readings.csv?&river="a\\q"', 400, "is no JSON string"),
        ('tabledap/flood_readings.csv?&river=~"("', 400, "Invalid regular expression"),
        ('tabledap/flood_readings.csv?&value=~"1"', 400, "=~ is for String variables"),
        ("tabledap/flood_readings.csv?&value", 400, 'Invalid constraint "value"'),
        ("tabledap/flood_readings.csv?&first(time)", 400, 'Unrecognized function "first"'),
        ("tabledap/flood_readings.csv?&orderBy(time)", 400, "needs variables between quotes"),
        ('tabledap/flood_readings.csv?value&orderBy("time")', 400, "isn't in the list of results variables"),
        ('tabledap/flood_readings.csv?&orderBy("time")&orderByMax("time")', 400, "there may be one of"),
        ("tabledap/flood_readings.nc", 400, "fileType=.nc isn't supported: there are .csv"),
        ("tabledap/flood_readings.csv?" + "&value>0" * 200, 400, "more than 100 constraints"),
        ("tabledap/flood_readings.csv?&time>1e300", 404, "Your query produced no matching results. (nRows = 0)"),
        ("tabledap/other.csv", 404, "Currently unknown datasetID=other: there are flood_readings, flood_latest"),
        ("info/other/index.csv", 404, "Currently unknown datasetID=other"),
        ("info/flood_readings/index.xml", 400, "fileType=.xml isn't supported"),
        ("search/index.csv?searchFor=whales", 404, "no matching results"),
        ("search/advanced.csv?protocol=griddap", 404, "no matching results"),
        ("search/advanced.csv?minLat=70", 404, "no matching results"),
        ("search/advanced.csv?maxTime=1000", 404, "no matching results"),
        ("griddap/index.csv", 404, "there is nothing at /erddap/griddap/index.csv"),
    ],
)
def test_errors_have_the_form_of_erddap(site, path, status, said):
    response = get(site, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    form = re.fullmatch(r"Error \{\n    code=(\d+);\n    message=(\".*\");\n\}\n", response.text)
    assert int(form[1]) == status
    message = json.loads(form[2])
    assert message.startswith("Bad Request: " if status == 400 else "Not Found: ")
    assert said in message


def test_erddapy_finds_datasets_and_variables(client, http):
    assert client.get_var_by_attr(dataset_id="flood_readings", cf_role="timeseries_id") == ["measure_id"]
    assert client.get_var_by_attr(dataset_id="flood_readings", axis="T") == ["time"]
    for words in ("flood", "river tide", "-whales", '"rain and groundwater"'):
        found = pd.read_csv(client.get_search_url(response="csv", search_for=words))
        assert found["Dataset ID"].tolist() == ["flood_readings", "flood_latest"]
    found = pd.read_csv(f"{http.url}/erddap/search/index.csv?page=1&itemsPerPage=10&searchFor=newest")
    assert found["Dataset ID"].tolist() == ["flood_latest"]
    inside = client.get_search_url(response="csv", min_lat=51, max_lat=52, min_lon=-1, max_lon=0, min_time="now-1day")
    assert len(pd.read_csv(inside)) == 2
    assert len(pd.read_csv(client.get_info_url(response="csv"))) > 40


def test_what_describes_a_dataset(site):
    assert get(site, "version").text == "ERDDAP_version=2.25\n"
    lists = [get(site, f"{path}.json").json()["table"] for path in ("info/index", "tabledap/index", "search/index")]
    assert lists[0] == lists[1] == lists[2]
    assert [row[-1] for row in lists[0]["rows"]] == ["flood_readings", "flood_latest"]
    info = get(site, "info/flood_latest/index.json").json()["table"]
    assert info["columnNames"] == ["Row Type", "Variable Name", "Attribute Name", "Data Type", "Value"]
    kinds = {row[1]: row[3] for row in info["rows"] if row[0] == "variable"}
    assert (kinds["time"], kinds["label"], kinds["revision"]) == ("double", "String", "int")
    das = get(site, "tabledap/flood_readings.das").text
    assert 'time {\n    String _CoordinateAxisType "Time";' in das
    assert 'String units "seconds since 1970-01-01T00:00:00Z";' in das
    assert das.count("{") == das.count("}")
    dds = get(site, "tabledap/flood_readings.dds?time,value&time>now-1hour").text
    assert dds == "Dataset {\n  Sequence {\n    Float64 time;\n    Float64 value;\n  } s;\n} s;\n"
    for path in ("", "index.html", "tabledap/flood_readings.html", "tabledap/flood_readings"):
        page = get(site, path)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in page.headers["content-security-policy"]


def test_units_beside_names_below_them_or_not_at_all(site):
    asked = 'time,latitude,value&orderByMax("time")'
    lines = {
        form: get(site, f"tabledap/flood_latest.{form}?{asked}").text.split("\n") for form in ("csv", "csvp", "csv0")
    }
    assert lines["csv"][:2] == ["time,latitude,value", "UTC,degrees_north,"]
    assert lines["csvp"][0] == "time (UTC),latitude (degrees_north),value"
    assert lines["csv"][2:] == lines["csvp"][1:] == lines["csv0"]
    answer = get(site, f"tabledap/flood_latest.csvp?{asked}")
    assert answer.headers["content-disposition"] == 'attachment; filename="flood_latest.csv"'
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert site.client.head(f"/erddap/tabledap/flood_latest.csvp?{asked}").status_code == 200


def test_relative_times_move_and_nothing_is_a_day_old(country):
    with served(country.lake, country.now) as site:
        first = rows_of(site, "time,measure_id&time>=now-3hours")
        site.now = country.now + timedelta(hours=1)
        second = rows_of(site, "time,measure_id&time>=now-3hours")
        assert min(first) < min(second) >= ["2026-11-29T07:07:30Z"]
        every = get(site, "tabledap/flood_readings.csv0?time").text.splitlines()
        assert min(every) > "2026-11-28T10:07:30Z"
        assert rows_of(site, "time&time<=min(time)&distinct()") == [[min(every)]]
        site.now = country.now + timedelta(hours=25)
        assert get(site, "tabledap/flood_readings.csv").status_code == 404


def test_odd_texts(tmp_path):
    now = datetime(2026, 11, 29, 9, 7, 30, tzinfo=UTC)
    lake = Lake.open(tmp_path / "lake")
    label = 'A & "B", C=D\nE<F>|é'
    lake.put_snapshots(STATIONS, [window_of(now)], snapshot(STATIONS, now, {"station_id": "s&t", "label": label}))
    lake.put_snapshots(MEASURES, [window_of(now)], snapshot(MEASURES, now, {"measure_id": "m", "station_id": "s&t"}))
    lake.upsert_readings(fetched(("m", now, None, "1|2"), ("unlisted", now, 0.1)), now, now)
    with served(lake, now) as site:
        asked = f"measure_id,label,value,raw_value&label={json.dumps(label)}"
        for written in (quote_plus(asked), quote(asked, safe='=&"')):
            if written == quote_plus(asked):
                assert rows_of(site, written) == [["m", label, None, "1|2"]]
        assert rows_of(site, quote_plus('measure_id&station_id="s&t"')) == [["m"]]
        assert rows_of(site, "measure_id&station_id=%22s%26t%22") == [["m"]]
        assert rows_of(site, "measure_id,label,value&label=%22%22") == [["unlisted", None, 0.1]]
        frame = pd.read_csv(io.StringIO(get(site, "tabledap/flood_readings.csvp").text))
        assert frame["label"].tolist()[0] == label
        cells = get(site, "tabledap/flood_readings.csv0?measure_id,value,previous_value,river,time").text.splitlines()
        assert cells == ["m,NaN,NaN,,2026-11-29T09:07:30Z", "unlisted,0.1,NaN,,2026-11-29T09:07:30Z"]


def test_a_station_is_found_without_looking_at_all_readings(site, lake_rows):
    """Not a matter of time here, but of the same rows by both ways."""
    station = lake_rows["station_id"].drop_null()[-1].as_py()
    by_gauge = rows_of(site, f'time,value,measure_id&station_id="{station}"')
    assert len(by_gauge) == pc.sum(pc.equal(lake_rows["station_id"], station)).as_py()
