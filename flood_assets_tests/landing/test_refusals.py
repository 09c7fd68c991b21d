"""Whatever is wrong with a push is refused with the value and the remedy, harms nobody, and lands nowhere."""

import gzip
import json
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flood_assets.lake.lake import Lake
from flood_assets.landing import binary, bodies, rules
from flood_assets_tests.support.lake_rows import HOUR
from flood_assets_tests.support.listening import listening
from flood_assets_tests.support.pushing import Publisher, in_every_format, key_file, pushed_to, reading, zipped
from flood_assets_tests.support.seven_gauges import NOW, fill

CSV, NDJSON, PARQUET = "text/csv", "application/x-ndjson", "application/vnd.apache.parquet"
ARROW = "application/vnd.apache.arrow.stream"
GOOD = {"measure_id": "acme:a", "date_time": NOW.isoformat(), "value": 1.0}


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refusing")
    lake = Lake.open(folder / "lake")
    fill(lake)
    with pushed_to(lake, NOW, folder) as found:
        yield found


@pytest.fixture
def acme(api):
    yield Publisher(api, "acme")
    assert api.lake.store.list("landing") == [], "what is refused lands nowhere"


def refusal(answer) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["detail"]


ROWS = {
    "no object": (7, "it is '7': expected an object with measure_id, date_time and value"),
    "no measure": ({"date_time": NOW.isoformat(), "value": 1}, "measure_id is missing"),
    "a measure of spaces": (GOOD | {"measure_id": "acme:a b"}, "measure_id is 'acme:a b': expected up to 200 letters"),
    "a long measure": (GOOD | {"measure_id": "acme:" + "a" * 300}, "expected up to 200 letters"),
    "a measure that is a number": (GOOD | {"measure_id": 7}, "measure_id is '7'"),
    "the API's measure": (GOOD | {"measure_id": "K1-level"}, "those of 'acme' begin with 'acme:'"),
    "no time": ({"measure_id": "acme:a", "value": 1}, "date_time is missing: expected a time with a zone, such as"),
    "a time without zone": (GOOD | {"date_time": "2026-10-05T09:00:00"}, "'2026-10-05T09:00:00': expected a time with"),
    "no such day": (GOOD | {"date_time": "2026-02-30T09:00:00Z"}, "expected a time with a zone"),
    "a number for a time": (GOOD | {"date_time": 1_700_000_000}, "date_time is '1700000000': expected a time"),
    "1970": (GOOD | {"date_time": "1970-01-01T00:00:00Z"}, "over 24 hours before 2026-10-05T09:07:30Z: too old"),
    "the year 1": (GOOD | {"date_time": "0001-01-01T00:00:00+23:59"}, "too old"),
    "a day ago": (GOOD | {"date_time": (NOW - 24 * HOUR).isoformat()}, "too old"),
    "six minutes ahead": (GOOD | {"date_time": (NOW + timedelta(minutes=6)).isoformat()}, "set the gauge's clock"),
    "the year 9999": (GOOD | {"date_time": "9999-12-31T23:59:59-23:59"}, "after 2026-10-05T09:07:30Z"),
    "no value": (GOOD | {"value": None}, "value is missing: expected a number"),
    "true": (GOOD | {"value": True}, "value is 'true': expected a number"),
    "text": (GOOD | {"value": "high"}, "value is 'high': expected a number"),
    "NaN": (GOOD | {"value": "NaN"}, "value is 'NaN': expected a number"),
    "infinity": (GOOD | {"value": "1e999"}, "value is '1e999': expected a number"),
    "a number beyond all": (GOOD | {"value": "9" * 400}, "expected a number"),
    "a list": (GOOD | {"value": [1, 2]}, "value is '[1,2]': expected a number"),
    "two values": (GOOD | {"raw_value": "1|2"}, "raw_value is '1|2' beside a value"),
    "a misspelt field": (GOOD | {"vlaue": 2}, "unknown field 'vlaue': did you mean value?"),
    "a unit of none": (GOOD | {"unit": "m"}, "unit is 'm', and no unit of acme:a is known: leave it out"),
}  # fmt: skip


def test_each_wrong_row_is_told_by_its_number_with_the_value_and_the_remedy(acme):
    answer = acme.post([row for row, _ in ROWS.values()])
    status, detail = refusal(answer)
    assert status == 422
    assert (
        detail == "no row is accepted, and nothing was stored. Row 1: it is '7': expected an object with measure_id, "
        "date_time and value"
    )
    reasons = answer.json()["reasons"]
    assert [each["row"] for each in reasons] == list(range(1, 21))
    for each, (_, expected) in zip(reasons, ROWS.values(), strict=False):
        assert expected in each["reason"]
    for row, expected in list(ROWS.values())[20:]:
        assert expected in acme.post([row]).json()["reasons"][0]["reason"]


def test_a_method_that_is_none_is_told_those_that_are(api):
    allowed = {
        path: api.client.delete(f"/api/v1/{path}").headers["allow"] for path in ("readings", "receipts/a", "latest")
    }
    assert allowed == {"readings": "GET, HEAD, POST", "receipts/a": "GET, HEAD", "latest": "GET, HEAD"}


def test_units_are_looked_up_once_for_a_batch():
    asked = []

    def units():
        asked.append(1)
        return {"acme:a": "m"}

    rows = [reading("acme:a", NOW - timedelta(minutes=number), 1, unit="m") for number in range(3)]
    checked = rules.check(rows, rules.Publisher("acme"), NOW, units)
    assert (len(checked.readings.measure_id), asked) == (3, [1])


def test_a_unit_must_be_that_of_the_list(api):
    feeder = Publisher(api, "feeder")
    wrong = feeder.post([reading("K1-level", NOW, 1, unit="ft")])
    assert "unit is 'ft': K1-level is measured in mASD" in refusal(wrong)[1]


BODIES = {
    "no JSON": (b'[{"measure_id": "acme:', "application/json", 400, "the body is no JSON"),
    "NaN in JSON": (b'[{"value": NaN}]', "application/json", 400, "the body is no JSON"),
    "half of UTF-8": (b'["\xff"]', "application/json", 400, "the body is no JSON"),
    "an object": (b'{"measure_id": "acme:a"}', "application/json", 400, "is no list of readings"),
    "depth": (b"[" * 100_000, "application/json", 400, "the body is no JSON"),
    "nothing": (b"", "application/json", 400, "the body is no JSON"),
    "no row": (b"[]", "application/json", 400, "has no row"),
    "no line": (b"\n\n", NDJSON, 400, "has no row"),
    "too many rows": (b"[" + b"1," * 100_000 + b"1]", "application/json", 413, "over 100,000 rows: send it as several"),
    "too many lines": (b"1\n" * 100_001, NDJSON, 413, "over 100,000 rows"),
    "no header": (b"acme:a,2026-10-05T09:00:00Z,1\n", CSV, 400, "expected the names of its columns"),
    "a column twice": (b"measure_id,value,value\n", CSV, 400, "expected the names of its columns"),
    "an open quote": (b'measure_id\n"a', CSV, 400, "of the CSV cannot be read"),
    "a huge cell": (b"measure_id\n" + b"a" * 200_000, CSV, 400, "field larger than field limit"),
    "Latin-1": ("measure_id\né".encode("latin-1"), CSV, 400, "the CSV is no UTF-8"),
    "over the limit": (b" " * 5_000_001, "application/json", 413, "over 5,000,000 bytes: send it as several batches"),
    "no type": (b"[]", "", 415, "Content-Type is missing: expected application/json, application/x-ndjson"),
    "a form": (b"a=b", "application/x-www-form-urlencoded", 415, "Content-Type is 'application/x-www-form-urlencoded'"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "media_type", "status", "expected"), BODIES.values(), ids=BODIES)
def test_a_body_that_is_none_is_refused(acme, data, media_type, status, expected):
    found = refusal(acme.post(data, media_type=media_type))
    assert found[0] == status
    assert expected in found[1]


def test_a_line_that_is_none_costs_only_itself(acme):
    lines = [{"row": 2, "reason": "the line is no JSON"}, {"row": 3, "reason": "the line has 1 cells, the first one 3"}]
    ndjson = bodies.decoded(b'{"a": 1}\n{"a":\n', NDJSON).readings
    assert isinstance(ndjson[0], dict)
    assert lines[0]["reason"] in ndjson[1]
    rows = bodies.decoded(b"measure_id,date_time,value\r\nacme:a,,1\r\nacme:b\r\n", CSV).readings
    assert rows[0] == {"measure_id": "acme:a", "value": "1"}
    assert rows[1] == lines[1]["reason"]


BOMB = gzip.compress(bytes(20_000_000), 9)

GZIPS = {
    "a bomb": (BOMB, 413, "over 5,000,000 bytes when it is unpacked"),
    "a bomb in a bomb": (gzip.compress(BOMB), 400, "the body is no JSON"),
    "cut short": (zipped(json.dumps([GOOD]).encode())[:-9], 400, "ends early"),
    "damaged": (zipped(json.dumps([GOOD]).encode())[:-5] + b"wrong", 400, "cannot be unpacked as gzip"),
    "no gzip": (b"[]", 400, "cannot be unpacked as gzip"),
    "two members": (zipped(b"[") + zipped(b"]"), 400, "send one gzip member"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "status", "expected"), GZIPS.values(), ids=GZIPS)
def test_a_gzip_that_is_none_or_too_large_is_refused(acme, data, status, expected):
    assert len(data) < bodies.MOST_BYTES
    found = refusal(acme.post(data, Content_Encoding="gzip"))
    assert found[0] == status
    assert expected in found[1]


def test_another_encoding_is_refused(acme):
    assert refusal(acme.post(b"", Content_Encoding="br")) == (415, "Content-Encoding is 'br': expected gzip, or none")


@pytest.mark.parametrize("key", ["../../etc/passwd", "a/b", ".", "a..b", "a b", "x" * 101, "-a"])
def test_an_id_that_is_no_name_is_refused(acme, key):
    status, detail = refusal(acme.post([GOOD], key))
    assert (status, "is no id of a batch" in detail) == (400, True)


def test_who_may_not_push_is_told_why(api, acme):
    anonymous = Publisher(api, "acme")
    anonymous.key = {}
    status, detail = refusal(anonymous.post([GOOD]))
    assert (status, "a key with the right to push" in detail) == (401, True)
    stranger = Publisher(api, "stranger")
    assert refusal(stranger.post([GOOD]))[0] == 401
    reader = Publisher(api, "reader")
    assert refusal(reader.post([GOOD])) == (
        403,
        "the key of 'reader' has no right to push: the operator can add `push` to its line",
    )
    assert refusal(reader.receipt("one"))[0] == 403
    # A key for pushing alone does not read.
    assert api.client.get("/api/v1/stations", headers=acme.key).status_code == 403
    assert refusal(acme.receipt("never"))[0] == 404
    assert refusal(Publisher(api, "..").post([reading("..:a", NOW)]))[0] == 400


def parquet(table: pa.Table, **more) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **more)
    return sink.getvalue().to_pybytes()


def arrow(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def repeated(text: str, times: int) -> pa.Table:
    return pa.table({"measure_id": pa.DictionaryArray.from_arrays(np.zeros(times, np.int32), pa.array([text]))})


def one_text(size: int) -> pa.Table:
    """Return one row with a text of so many zeros, which the system gives no memory before they are written."""
    ends, zeros = np.array([0, size], np.int32), np.zeros(size, np.uint8)
    return pa.table({"measure_id": pa.StringArray.from_buffers(1, pa.py_buffer(ends), pa.py_buffer(zeros))})


def hostile() -> dict[str, tuple[bytes, str]]:
    whole, _ = in_every_format([GOOD])["parquet"]
    naive = pa.table({"measure_id": ["acme:a"], "date_time": [NOW.replace(tzinfo=None)]})
    # Texts that are written once in a dictionary, which only who reads them as texts has 900 times.
    zeros = repeated("\0" * 1_000_000, 900)
    # The footer says how many rows there are; these bytes say another number.
    lying = bytearray(whole)
    for place in range(len(lying) - 200, len(lying) - 8):
        lying[place] ^= 0x41
    return {
        "a bomb": (parquet(zeros, compression="zstd", store_schema=False), PARQUET),
        "an Arrow bomb": (arrow(one_text(900_000_000)), ARROW),
        "three million rows": (parquet(repeated("acme:a", 3_000_000), store_schema=False), PARQUET),
        "half": (whole[: len(whole) // 2], PARQUET),
        "a wrong footer": (bytes(lying), PARQUET),
        "a footer of 2 GB": (whole[:-8] + b"\xff\xff\xff\x7fPAR1", PARQUET),
        "a wrong Arrow schema": (parquet(naive.replace_schema_metadata({"ARROW:schema": "AAAA"})), PARQUET),
        "a list": (parquet(pa.table({"measure_id": [["acme:a"]], "date_time": [NOW], "value": [1.0]})), PARQUET),
        "a time without zone": (parquet(naive), PARQUET),
        "a strange column": (parquet(pa.table({"measure_id": ["acme:a"], "__import__('os')": [1]})), PARQUET),
    }  # fmt: skip


@pytest.mark.slow
def test_hostile_parquet_and_arrow_are_refused_and_the_server_lives(acme):
    for name, (data, media_type) in hostile().items():
        assert len(data) < bodies.MOST_BYTES, name
        status, detail = refusal(acme.post(data, media_type=media_type))
        assert status in (400, 413), (name, detail)
        assert "cannot be decoded" in detail or "column" in detail or "the file has over" in detail, (name, detail)


@pytest.mark.slow
def test_metadata_of_a_parquet_file_is_never_believed():
    rows = pa.table({"measure_id": ["acme:a"], "date_time": [NOW], "value": [1.0]})
    evil = {
        "pandas": '{"index_columns": [{"kind": "range"}], "columns": "x"}',
        "x": "y" * 10_000,
    }
    data = parquet(rows.replace_schema_metadata(evil))
    (found,) = binary.rows_of(data, "parquet", 10)
    assert (found["measure_id"], found["value"]) == ("acme:a", 1.0)


def test_half_of_a_body_lands_nowhere(api, tmp_path):
    from flood_assets.serve.keys import Keys  # noqa: PLC0415
    from flood_assets.serve.limits import Limits  # noqa: PLC0415

    limits = Limits(0, Keys(key_file(tmp_path), lambda: 0.0))
    with listening(api.lake, NOW, client_limits=limits) as server:
        with server.connect() as connection:
            connection.sendall(
                b"POST /api/v1/readings HTTP/1.1\r\nHost: a\r\nX-Api-Key: key-of-acme\r\nContent-Type: text/csv\r\n"
                b"Content-Length: 1000\r\n\r\nmeasure_id,date_time,value\r\nacme:a,2026-10-05T09:00:00Z,1\r\n"
            )
        assert server.get("/healthz")[0] == 200
    assert api.lake.store.list("landing") == []
