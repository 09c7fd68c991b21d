"""Answers over HTTP: conditions, ranges, compression, HEAD, CORS."""

import gzip
import random
from collections.abc import Iterator
from typing import cast
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flood_assets.serve import bodies
from flood_assets.serve.bodies import Bodies, Body
from flood_assets.serve.snapshot import Snapshot
from flood_assets_tests.support.served import served
from flood_assets_tests.support.seven_gauges import NOW


def test_an_answer_that_the_client_has_is_not_sent_again(api):
    first = api.get("stations")
    again = api.get("stations", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert api.get("stations", headers={"if-none-match": '"other", W/' + first.headers["etag"]}).status_code == 304
    assert api.get("stations", headers={"if-none-match": '"other"'}).status_code == 200
    assert api.get("stations", headers={"if-modified-since": first.headers["last-modified"]}).status_code == 304
    assert api.get("stations", headers={"if-modified-since": "Mon, 05 Oct 2020 09:00:00 GMT"}).status_code == 200
    assert api.get("stations", headers={"if-modified-since": "yesterday"}).status_code == 200


def test_equal_answers_of_two_servers_have_equal_tags(api, seven):
    with served(seven, NOW) as other:
        plain = {"accept-encoding": "identity"}
        tags = {each.get("readings", headers=plain).headers["etag"] for each in (api, other)}
        assert len(tags) == 1


def test_parts_of_a_file_make_the_whole(api):
    whole = api.get("readings.parquet")
    size = len(whole.content)
    tag = whole.headers["etag"]
    parts = [
        api.get("readings.parquet", headers={"range": f"bytes={a}-{a + 999}", "if-range": tag})
        for a in range(0, size, 1000)
    ]
    assert {part.status_code for part in parts} == {206}
    assert parts[0].headers["content-range"] == f"bytes 0-999/{size}"
    assert b"".join(part.content for part in parts) == whole.content
    assert api.get("readings.parquet", headers={"range": "bytes=-8"}).content == whole.content[-8:]
    assert api.get("readings.parquet", headers={"range": f"bytes={size - 5}-"}).content == whole.content[-5:]


@pytest.mark.parametrize(
    ("asked", "status"),
    [("bytes=999999999-", 416), ("bytes=5-2", 200), ("bytes=0-1,3-4", 200), ("lines=1-2", 200), ("bytes=-0", 416)],
)
def test_a_range_that_cannot_be_sent(api, asked, status):
    response = api.get("stations", headers={"range": asked})
    assert response.status_code == status
    if status == 416:
        assert response.headers["content-range"].startswith("bytes */")


def test_a_range_of_another_version_is_sent_whole(api):
    response = api.get("stations", headers={"range": "bytes=0-9", "if-range": '"other"'})
    assert response.status_code == 200


def test_what_is_asked_again_is_sent_compressed(api):
    path = "readings?columns=measure_id,value"
    plain = api.client.get(f"/api/v1/{path}", headers={"accept-encoding": "identity"})
    with api.client.stream("GET", f"/api/v1/{path}", headers={"accept-encoding": "gzip"}) as response:
        packed = b"".join(response.iter_raw())
    assert response.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed) == plain.content
    assert len(packed) < len(plain.content) / 5
    assert response.headers["etag"] != plain.headers["etag"]
    assert "accept-encoding" in response.headers["vary"]


def _in_thousands(text: bytes) -> Iterator[bytes]:
    return (text[at : at + 1000] for at in range(0, len(text), 1000))


def test_of_long_text_only_the_compressed_bytes_are_kept():
    text = b"a,b\n" * 3_000_000
    packed, plain = Body.of_parts(_in_thousands(text), "text/csv", NOW), Body(text, "text/csv", NOW)
    assert (packed.data, packed.size, packed.digest) == (b"", len(text), plain.digest)
    assert gzip.decompress(packed.gzipped) == b"".join(packed.parts(0, len(text))) == text
    assert packed.worth_compressing
    assert packed.held == len(packed.gzipped)
    assert Body.of_parts([b"a,b\n"], "text/csv", NOW).data == b"a,b\n"
    # These are compressed inside.
    assert Body.of_parts(_in_thousands(text), "application/vnd.apache.parquet", NOW).data == text


@given(data=st.data())
def test_any_part_of_a_packed_body_is_that_part_of_its_text(data):
    text = random.Random(1).randbytes(60_000)
    with mock.patch.object(bodies, "_LARGE", 5000):
        packed = Body.of_parts([text], "text/csv", NOW)
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    assert b"".join(packed.parts(start, end)) == text[start:end]


def test_a_packed_answer_is_sent_as_any_other(seven, monkeypatch):
    path, plain = "/api/v1/readings.csv", {"accept-encoding": "identity"}
    with served(seven, NOW) as one:
        whole = one.client.get(path, headers=plain)
    monkeypatch.setattr(bodies, "_LARGE", 5000)
    with served(seven, NOW) as other:
        for method in ("GET", "HEAD", "GET"):
            sent = other.client.request(method, path, headers=plain)
            assert sent.content == (whole.content if method == "GET" else b"")
            same = ("etag", "content-length", "content-type", "last-modified", "cache-control", "accept-ranges")
            assert [sent.headers[name] for name in same] == [whole.headers[name] for name in same]
        part = other.client.get(path, headers={"range": "bytes=7000-7099"})
        assert (part.status_code, part.content) == (206, whole.content[7000:7100])
        assert part.headers["content-range"] == f"bytes 7000-7099/{len(whole.content)}"
        with other.client.stream("GET", path, headers={"accept-encoding": "gzip"}) as zipped:
            assert gzip.decompress(b"".join(zipped.iter_raw())) == whole.content


def test_bodies_that_are_kept_take_no_more_than_they_may(monkeypatch):
    monkeypatch.setattr(bodies, "_LARGE", 50_000)
    kept, snapshot = Bodies(most=100_000), cast("Snapshot", object())
    assert kept.get(snapshot, "0", NOW) is None
    for number in range(20):
        # A fifth of them are packed, and random text hardly shrinks.
        text = random.Random(number).randbytes(60_000 if number % 5 == 0 else 30_000)
        kept.keep(snapshot, str(number), Body.of_parts([text], "text/csv", NOW), NOW)
        there = [body for key in range(20) if (body := kept.get(snapshot, str(key), NOW))]
        assert 0 < sum(body.held for body in there) <= 100_000
    assert [key for key in range(20) if kept.get(snapshot, str(key), NOW)] == [17, 18, 19]


def test_head_says_what_get_would(api):
    got, head = api.get("stations"), api.client.head("/api/v1/stations")
    assert head.content == b""
    same = ("etag", "content-length", "content-type", "last-modified", "cache-control")
    assert [head.headers[name] for name in same] == [got.headers[name] for name in same]


def test_pages_of_any_site_may_ask(api):
    assert api.get("stations", headers={"origin": "https://example.org"}).headers["access-control-allow-origin"] == "*"


def test_what_does_not_exist_and_what_is_not_allowed_are_problems(api):
    missing, refused = api.get("rivers"), api.client.post("/api/v1/stations")
    assert (missing.status_code, refused.status_code) == (404, 405)
    assert missing.json()["detail"] == "there is nothing at /api/v1/rivers"
    assert refused.headers["content-type"] == "application/problem+json"
    assert "GET" in refused.headers["allow"]


def test_an_answer_may_be_used_again_until_its_first_row_is_a_day_old(seven):
    with served(seven, NOW) as api:
        assert api.get("readings").headers["cache-control"] == "public, max-age=15"
        # The oldest reading is of 09:15 the day before.
        api.now = NOW.replace(hour=9, minute=14, second=55)
        assert api.get("readings").headers["cache-control"] == "public, max-age=5"
