"""Files larger than a push are PUT past the server, by a signed URL, and validated when they are ingested."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
import requests

from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import key_of
from flood_assets.landing import batches, streamed, uploads
from flood_assets.landing.ingest import ingest
from flood_assets.partitions import window_of
from flood_assets.schemas import READINGS, REJECTS, TIME
from flood_assets_tests.lake.conftest import _in_a_bucket
from flood_assets_tests.landing.test_ingest_proofs import KilledError, killed_at
from flood_assets_tests.landing.test_refusals import parquet
from flood_assets_tests.support.pushing import Publisher, pushed_to, stored
from flood_assets_tests.support.s3 import S3Server
from flood_assets_tests.support.served import Served

CSV, NDJSON, PARQUET = "text/csv", "application/x-ndjson", "application/vnd.apache.parquet"
ARROW = "application/vnd.apache.arrow.stream"
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
# An object's own time says when it landed, and a server's is the machine's.
NOW = datetime.now(UTC).replace(microsecond=0)
LATER = NOW + 2 * HOUR


@pytest.fixture
def lake(s3_server: S3Server, no_aws_of_this_machine: None) -> Lake:
    return _in_a_bucket(s3_server, {})


@pytest.fixture
def api(lake: Lake, tmp_path) -> Iterator[Served]:
    with pushed_to(lake, NOW, tmp_path) as found:
        yield found


@pytest.fixture
def acme(api: Served) -> Publisher:
    return Publisher(api, "acme")


def ask(who: Publisher, data: bytes, media_type: str = CSV, key: str = "one", **more: Any) -> Any:
    body = {"media_type": media_type, "size": len(data), **more}
    headers = {**who.key, "Idempotency-Key": key}
    return who.api.client.post("/api/v1/uploads", content=json.dumps(body), headers=headers)


def receipt(who: Publisher, key: str = "one") -> dict[str, Any]:
    answer = who.api.client.get(f"/api/v1/uploads/{key}", headers=who.key)
    assert answer.status_code == 200, answer.text
    return answer.json()


def put(answer: Any, data: bytes, **headers: str) -> int:
    told = answer.json()
    return requests.put(told["url"], data, headers=told["headers"] | headers, timeout=30).status_code


def upload(who: Publisher, data: bytes, media_type: str = CSV, key: str = "one", **more: Any) -> None:
    answer = ask(who, data, media_type, key, **more)
    assert answer.status_code == 201, answer.text
    assert put(answer, data) == 200


def csv_of(rows: list[tuple[str, datetime, Any]]) -> bytes:
    lines = [f"{measure},{at:%Y-%m-%dT%H:%M:%SZ},{value}" for measure, at, value in rows]
    return "\n".join(["measure_id,date_time,value", *lines, ""]).encode()


ROWS = [(f"acme:{number}", NOW - i * HOUR, number + i) for number in range(5) for i in range(4)]


def test_a_file_is_expected_waits_and_is_ingested(api, acme):
    data = csv_of([*ROWS, ROWS[0], ("acme:a", NOW - 30 * HOUR, 1), ("K1-level", NOW, 1)])
    answer = ask(acme, data, sha256=hashlib.sha256(data).hexdigest())
    assert (answer.status_code, answer.headers["location"]) == (201, "/api/v1/uploads/one")
    assert answer.json()["receipt"] == "/api/v1/uploads/one"
    assert (receipt(acme)["state"], ingest(api.lake, LATER).receipts) == ("expected", [])
    assert put(answer, data) == 200
    assert receipt(acme)["state"] == "waiting"
    assert put(answer, data) == 412, "it is there"
    ingest(api.lake, LATER)
    told = receipt(acme)
    counts = ("state", "rows", "accepted", "repeated", "rejected", "added", "revised", "unchanged", "expired")
    assert [told[name] for name in counts] == ["ingested", 23, 21, 1, 2, 20, 0, 0, 0]
    assert [each["row"] for each in told["reasons"]] == [22, 23]
    assert told["digest"] == hashlib.sha256(data).hexdigest()
    rows = stored(api.lake, LATER)
    assert {key: row["value"] for key, row in rows.items()} == {(m, at): float(v) for m, at, v in ROWS}
    landed_at = datetime.fromisoformat(told["landed_at"])
    assert {row["first_seen_at"] for row in rows.values()} == {landed_at}
    assert len(api.lake.read(REJECTS, now=LATER)) == 2
    # Asked for again, it is told; uploaded again by the same URL, it changes nothing.
    again = ask(acme, data, sha256=hashlib.sha256(data).hexdigest())
    assert (again.status_code, again.json()) == (200, told)
    assert put(answer, data) == 200
    assert ingest(api.lake, LATER).repeated == 1
    assert [meta.key for meta in api.lake.store.list("landing")] == []
    assert stored(api.lake, LATER) == rows


def formats() -> dict[str, tuple[bytes, str, dict[str, str]]]:
    csv = csv_of(ROWS)
    lines = [{"measure_id": m, "date_time": at.isoformat(), "value": v} for m, at, v in ROWS]
    ndjson = "\n".join(map(json.dumps, lines)).encode()
    ids, times, values = (list(column) for column in zip(*ROWS, strict=True))
    table = pa.table({"measure_id": ids, "date_time": pa.array(times, TIME), "value": pa.array(values, pa.float64())})
    sinks = {name: pa.BufferOutputStream() for name in ("stream", "file")}
    for name, new in (("stream", pa.ipc.new_stream), ("file", pa.ipc.new_file)):
        with new(sinks[name], table.schema) as writer:
            writer.write_table(table, max_chunksize=7)
    return {
        "CSV": (csv, CSV, {}),
        "CSV as gzip": (gzip.compress(csv), CSV, {"encoding": "gzip"}),
        "NDJSON": (ndjson, NDJSON, {}),
        "Parquet": (parquet(table, row_group_size=7), PARQUET, {}),
        "Arrow stream": (sinks["stream"].getvalue().to_pybytes(), ARROW, {}),
        "Arrow file": (sinks["file"].getvalue().to_pybytes(), "application/vnd.apache.arrow.file", {}),
    }


def test_each_format_says_the_same(api, acme):
    given = formats()
    for name, (data, media_type, more) in given.items():
        upload(acme, data, media_type, name.replace(" ", "-"), **more)
    found = {each.id: each for each in ingest(api.lake, LATER).receipts}
    assert {each.state for each in found.values()} == {"ingested"}
    assert {each.accepted for each in found.values()} == {20}
    assert sorted(each.added for each in found.values()) == [0] * (len(given) - 1) + [20]
    assert {each.revised for each in found.values()} == {0}


def hostile() -> dict[str, tuple[bytes, str, dict[str, str], str]]:
    data, bomb = csv_of(ROWS), gzip.compress(bytes(20_000_000), 9)
    zeros = pa.table({"measure_id": pa.array(["\0" * 1_000_000] * 450)})
    return {
        "bomb": (bomb, NDJSON, {"encoding": "gzip"}, "line 1 of the file is over 65,536 bytes"),
        "lines": (gzip.compress(b"\n" * 21_000), NDJSON, {"encoding": "gzip"}, "over 20,000 lines: send it as"),
        "blanks": (gzip.compress((b" " * 60_000 + b"\n") * 200), NDJSON, {"encoding": "gzip"}, "over 10,000,000 bytes"),
        "half": (gzip.compress(data)[:-9], CSV, {"encoding": "gzip"}, "the gzip of the file ends early"),
        "no-gzip": (data, CSV, {"encoding": "gzip"}, "cannot be unpacked as gzip"),
        "no-csv": (b"\xff" * 100, CSV, {}, "line 1 of the CSV is no UTF-8"),
        "no-header": (data.partition(b"\n")[2], CSV, {}, "expected the names of its columns"),
        "no-row": (b"measure_id\n", CSV, {}, "the file has no row"),
        "sum": (data, CSV, {"sha256": "0" * 64}, f"and {'0' * 64} was announced"),
        "parquet-bomb": (parquet(zeros, compression="zstd", use_dictionary=False), PARQUET, {}, "cannot be decoded"),
        "parquet-column": (parquet(pa.table({"evil": [1]})), PARQUET, {}, "has a column 'evil'"),
    }  # fmt: skip


@pytest.mark.slow
def test_what_cannot_be_read_is_refused_with_its_reason_and_holds_up_nothing(api, acme, monkeypatch):
    monkeypatch.setattr(streamed, "MOST_UNPACKED", 10_000_000)
    monkeypatch.setattr(streamed, "_MOST_LINES", 20_000)
    given = hostile()
    for name, (data, media_type, more, _) in given.items():
        # moto checks the sum; that of S3's own is tested with Ceph.
        upload(acme, data, media_type, name, **{key: text for key, text in more.items() if key != "sha256"})
        if "sha256" in more:
            place = uploads.UploadPlace("acme", name)
            there = api.lake.store.read(place.expected)
            said = there.data.to_pybytes().replace(b'"sha256":""', f'"sha256":"{more["sha256"]}"'.encode())
            api.lake.store.put(place.expected, said, replaces=there.meta)
    upload(acme, csv_of(ROWS), key="good")
    ingest(api.lake, LATER)
    assert receipt(acme, "good")["added"] == 20
    for name, (_, _, _, expected) in given.items():
        told = receipt(acme, name)
        assert told["state"] == "refused", (name, told)
        assert expected in told["why"], (name, told)
    assert api.lake.store.list("landing") == []


def test_rows_over_the_limit_and_another_size_are_refused(api, acme, monkeypatch):
    monkeypatch.setattr(streamed, "MOST_ROWS", 10)
    monkeypatch.setattr(streamed, "AT_ONCE", 3)
    for name in ("CSV", "Parquet"):
        data, media_type, _ = formats()[name]
        upload(acme, data, media_type, name)
    data = csv_of(ROWS[:2])
    answer = ask(acme, data, key="size")
    # moto takes another size; S3 does not, as it is signed.
    assert put(answer, data + b"\n", **{"Content-Length": str(len(data) + 1)}) == 200
    ingest(api.lake, LATER)
    for name in ("CSV", "Parquet"):
        assert "the file has over 10 rows" in receipt(acme, name)["why"]
    assert f"the file has {len(data) + 1:,} bytes, and {len(data):,} were announced" in receipt(acme, "size")["why"]
    assert stored(api.lake, LATER) == {}


WRONG = {
    "no JSON": (b"{", 400, "the body is no description of a file"),
    "unknown": (b'{"media_type": "text/csv", "size": 1, "name": "x"}', 400, "unknown field `name`"),
    "no size": (b'{"media_type": "text/csv"}', 400, "missing required field `size`"),
    "nothing": (b'{"media_type": "text/csv", "size": 0}', 400, "size is 0"),
    "too large": (b'{"media_type": "text/csv", "size": 200000001}', 413, "a file has up to 200,000,000 bytes"),
    "JSON": (b'{"media_type": "application/json", "size": 1}', 415, "expected text/csv, application/x-ndjson"),
    "packed": (
        b'{"media_type": "application/vnd.apache.parquet", "size": 1, "encoding": "gzip"}', 415, "expected gzip, of CSV"
    ),
    "a sum": (b'{"media_type": "text/csv", "size": 1, "sha256": "x"}', 400, "expected 64 hexadecimal digits"),
}  # fmt: skip


def test_a_wrong_announcement_is_refused_with_the_remedy(api, acme):
    for name, (body, status, expected) in WRONG.items():
        answer = api.client.post("/api/v1/uploads", content=body, headers=acme.key)
        assert (answer.status_code, expected in answer.json()["detail"]) == (status, True), (name, answer.text)
    assert ask(acme, b"x", key="../x").status_code == 400
    reader = Publisher(api, "reader")
    assert ask(reader, b"x").status_code == 403
    assert api.client.post("/api/v1/uploads", content=b"{}").status_code == 401
    assert api.client.get("/api/v1/uploads/never", headers=acme.key).status_code == 404
    assert ask(acme, b"x").status_code == 201
    assert ask(acme, b"x").status_code == 201, "a URL that has expired is asked for again"
    other = ask(acme, b"xy")
    assert (other.status_code, "and another description" in other.json()["detail"]) == (409, True)
    assert api.client.get("/api/v1/uploads/one", headers=Publisher(api, "beta").key).status_code == 404


def test_a_lake_in_a_folder_says_what_to_do(tmp_path):
    with pushed_to(Lake.open(tmp_path / "lake"), NOW, tmp_path) as api:
        answer = ask(Publisher(api, "acme"), b"x")
    assert answer.status_code == 409
    assert "send batches of up to 5,000,000 bytes to /api/v1/readings" in answer.json()["detail"]


def test_what_never_comes_is_not_expected_for_ever(api, acme):
    assert ask(acme, b"x").status_code == 201
    assert not batches.landed(api.lake.store).due(NOW + 24 * HOUR)
    late = NOW + 26 * HOUR
    assert batches.landed(api.lake.store).due(late)
    ingest(api.lake, late)
    assert (receipt(acme)["state"], receipt(acme)["why"]) == ("refused", "nothing was uploaded within 25 hours")
    assert api.lake.store.list("landing") == []


def test_a_run_may_be_killed_at_any_write_of_an_upload(api, acme):
    number, whole, data = 0, False, csv_of(ROWS[:3])
    while not whole:
        number += 1
        upload(acme, data, key=f"u-{number}")
        api.lake.store.delete([meta.key for meta in api.lake.store.list("readings")])
        with killed_at(api.lake.store, number, after=bool(number % 2)):
            try:
                ingest(api.lake, LATER)
                whole = True
            except KilledError:
                pass
        ingest(api.lake, LATER)
        told = receipt(acme, f"u-{number}")
        assert (told["state"], told["added"], told["unchanged"]) == ("ingested", 3, 0), number
        assert api.lake.store.list("landing") == []
    assert number > 3


def test_a_damaged_window_is_filled_again_from_uploads_and_batches_in_their_order(api, acme):
    at = NOW - HOUR
    acme.post([{"measure_id": "acme:a", "date_time": at.isoformat(), "value": 1}], "first")
    ingest(api.lake, LATER)
    api.now = NOW + 2 * SECOND
    upload(acme, csv_of([("acme:a", at, 2), ("acme:b", at, 1)]))
    ingest(api.lake, LATER)
    api.now = LATER - SECOND
    acme.post([{"measure_id": "acme:a", "date_time": at.isoformat(), "value": 3}], "last")
    ingest(api.lake, LATER)
    before = stored(api.lake, LATER)
    assert before["acme:a", at]["value"] == 3
    there = api.lake.store.read(key_of(READINGS, window_of(at)))
    api.lake.store.put(key_of(READINGS, window_of(at)), b"damage", replaces=there.meta)
    api.lake.inspect(READINGS, [window_of(at)])
    assert stored(api.lake, LATER) == {}
    assert ingest(api.lake, LATER).restored == 4
    assert stored(api.lake, LATER) == before


@pytest.mark.s3
def test_a_real_s3_takes_exactly_what_was_signed(ceph_server, no_aws_of_this_machine, tmp_path):
    lake = _in_a_bucket(ceph_server, {})
    with pushed_to(lake, NOW, tmp_path) as api:
        acme, data = Publisher(api, "acme"), csv_of(ROWS)
        answer = ask(acme, data)
        assert put(answer, data + b"\n", **{"Content-Length": str(len(data) + 1)}) == 403, "another size"
        assert put(answer, data, **{"Content-Type": "text/plain"}) == 403
        assert put(answer, data, **{"If-None-Match": "x"}) == 403
        assert lake.store.list("landing/.uploads") == []
        assert put(answer, data) == 200
        assert put(answer, data) == 412, "it is there"
        ingest(lake, LATER)
        assert receipt(acme)["added"] == 20
