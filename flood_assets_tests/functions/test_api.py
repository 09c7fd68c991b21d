"""The API answers behind a function URL what the server answers, and never with a thread or a stream."""

import asyncio
import base64
import gzip
import json
import threading

import pytest

from flood_assets import functions
from flood_assets.lake.lake import Lake
from flood_assets.partitions import window_of
from flood_assets.schemas import MEASURES, READINGS, STATIONS
from flood_assets_tests.support.lake_rows import HOUR, NOW, QUARTER, a_day, fetched, measures, stations
from flood_assets_tests.support.lambda_runtime import function

pytest.importorskip("mangum", reason="not installed: pip install mangum")


@pytest.fixture(autouse=True)
def loop():
    """One that is closed: Mangum makes its own where there is none, and leaves it to the end of Lambda's process."""
    found = asyncio.new_event_loop()
    asyncio.set_event_loop(found)
    yield found
    asyncio.set_event_loop(None)
    found.close()


@pytest.fixture
def lake(tmp_path, monkeypatch):
    place = Lake.open(tmp_path / "lake")
    place.claim("https://example.org/api")
    place.upsert_readings(a_day(["m1", "m2"]), NOW, NOW, stations=measures(m1="S", m2="S"))
    place.put_snapshots(STATIONS, [window_of(NOW)], stations("S", label="Weir", lat=51.5, long=-0.5))
    place.put_snapshots(MEASURES, [window_of(NOW)], measures(m1="S", m2="S"))
    monkeypatch.setenv("FLOOD_LAKE_URL", place.url)
    monkeypatch.setenv("FLOOD_NOW", NOW.isoformat())
    functions._application.cache_clear()
    return place


def asked(path, query="", method="GET", ip="203.0.113.9", **headers):
    """A request as a function URL gives it: payload format 2.0."""
    host = "abc.lambda-url.eu-west-2.on.aws"
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": host, "x-forwarded-proto": "https", "x-forwarded-port": "443"} | headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "abc",
            "domainName": host,
            "domainPrefix": "abc",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": ip, "userAgent": "curl"},
            "requestId": "1",
            "routeKey": "$default",
            "stage": "$default",
            "time": "21/Nov/2026:09:07:30 +0000",
            "timeEpoch": 1795252050000,
        },
        "isBase64Encoded": False,
    }


def body_of(answer):
    data = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()
    packed = answer["headers"].get("content-encoding") == "gzip"
    return gzip.decompress(data) if packed else data


def test_readings_come_as_the_server_gives_them(lake):
    # Those of servers that other tests of this process have not ended yet.
    before = set(threading.enumerate())
    answer = functions.api(asked("/api/v1/readings", "measure_id=m1&limit=1000"), None)
    assert answer["statusCode"] == 200, answer
    shown = json.loads(body_of(answer))["readings"]
    held = [each for each in lake.read(READINGS, now=NOW).to_pylist() if each["measure_id"] == "m1"]
    assert [each["value"] for each in shown] == [each["value"] for each in held]
    packed = functions.api(asked("/api/v1/readings.csv", **{"accept-encoding": "gzip"}), None)
    assert b"m2" in body_of(packed)
    # The watcher's thread and the stream are not started.
    assert not [each for each in set(threading.enumerate()) - before if each.name == "watch the lake"]


def test_each_call_looks_at_the_lake_if_the_last_look_is_old(lake, monkeypatch):
    looks = []
    watcher, _ = functions._application(lake.url)
    look = watcher.look
    monkeypatch.setattr(watcher, "look", lambda: (looks.append(1), look()))
    functions.api(asked("/healthz"), None)
    functions.api(asked("/healthz"), None)
    assert len(looks) == 1
    later = NOW + QUARTER
    monkeypatch.setenv("FLOOD_NOW", later.isoformat())
    lake.upsert_readings(fetched(("m1", later, 77.5)), later, later)
    answer = functions.api(asked("/api/v1/latest", "measure_id=m1"), None)
    assert len(looks) == 2
    assert b"77.5" in body_of(answer)


def test_what_has_expired_since_the_last_call_is_not_shown(lake, monkeypatch):
    functions.api(asked("/healthz"), None)
    monkeypatch.setenv("FLOOD_NOW", (NOW + 20 * HOUR).isoformat())
    _, *rows = body_of(functions.api(asked("/api/v1/readings.csv"), None)).decode().splitlines()
    assert len(rows) == len(lake.read(READINGS, now=NOW + 20 * HOUR)) > 0


def test_the_stream_is_refused_with_what_to_ask_instead(lake):
    answer = functions.api(asked("/api/v1/stream"), None)
    assert answer["statusCode"] == 501
    assert "/api/v1/changes?since=15min" in body_of(answer).decode()


def test_pages_come_and_a_lake_that_is_not_there_is_waited_for(lake, tmp_path, monkeypatch):
    page = functions.api(asked("/"), None)
    assert page["statusCode"] == 200
    assert page["headers"]["content-type"].startswith("text/html")
    monkeypatch.setenv("FLOOD_LAKE_URL", (tmp_path / "not-yet").as_uri())
    assert functions.api(asked("/api/v1/latest"), None)["statusCode"] == 503


def test_a_client_is_limited_by_its_address(lake, monkeypatch):
    monkeypatch.setenv("FLOOD_RATE", "0.001")
    statuses = [functions.api(asked("/api/v1/latest", ip="198.51.100.7"), None)["statusCode"] for _ in range(5)]
    assert statuses[-1] == 429
    assert functions.api(asked("/api/v1/latest", ip="198.51.100.8"), None)["statusCode"] == 200


@pytest.mark.parametrize("body", ["x" * 6_000_001, '"' * 3_500_000])
def test_an_answer_that_lambda_would_not_return_says_so(lake, monkeypatch, body):
    watcher, _ = functions._application(lake.url)
    large = {"statusCode": 200, "headers": {}, "body": body, "isBase64Encoded": False}
    monkeypatch.setattr(functions, "_application", lambda _: (watcher, lambda *_: large))
    answer = functions.api(asked("/api/v1/readings.csv"), None)
    assert answer["statusCode"] == 501
    assert "Lambda returns 6 MB at most" in json.loads(answer["body"])["detail"]


def test_under_the_runtime_of_lambda_a_request_is_answered(lake):
    pytest.importorskip("awslambdaric", reason="not installed: pip install awslambdaric")
    with function("api", {"FLOOD_LAKE_URL": lake.url, "FLOOD_NOW": NOW.isoformat()}) as call:
        answer = call(asked("/api/v1/latest", "measure_id=m1"))
        assert answer.result["statusCode"] == 200, answer
        assert b"m1" in body_of(answer.result)
        assert call(asked("/api/v1/nothing")).result["statusCode"] == 404
