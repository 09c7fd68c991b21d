"""Headers that keep browsers safe are on every answer, also where no handler of ours is asked."""

import pytest
from starlette.testclient import TestClient

from flood_assets.serve.pages.render import POLICY
from flood_assets_tests.support.listening import listening
from flood_assets_tests.support.served import served
from flood_assets_tests.support.seven_gauges import NOW

DATA = "default-src 'none'; frame-ancestors 'none'"
HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def broken(seven, monkeypatch):
    """A server with a fault in what the page of the state and the API's say."""

    def fail(*_):
        raise RuntimeError("a secret of the code")

    monkeypatch.setattr("flood_assets.serve.api.look", fail)
    monkeypatch.setattr("flood_assets.serve.pages.state.look", fail)
    with served(seven, NOW) as site:
        yield TestClient(site.app, raise_server_exceptions=False)


def assert_safe(headers, policy=DATA):
    assert headers["content-security-policy"] == policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] in ("strict-origin-when-cross-origin", "same-origin")


def test_a_fault_is_a_problem_for_programs(broken):
    answer = broken.get("/api/v1/status")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert_safe(answer.headers)
    assert "its log says which" in answer.json()["detail"]
    assert "secret" not in answer.text


def test_a_fault_is_a_page_for_people(broken):
    answer = broken.get("/status", headers=HTML)
    assert (answer.status_code, answer.headers["content-type"]) == (500, "text/html; charset=utf-8")
    assert_safe(answer.headers, POLICY)
    assert "This page cannot be shown" in answer.text
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 12_000, 431),
        (b"GET\x00 / HTTP/9.9\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
    ],
    ids=["long address", "many headers", "no HTTP", "nonsense"],
)
def test_what_is_no_request_is_refused_with_them_too(seven, request_, status):
    with listening(seven, NOW) as server, server.connect() as connection:
        connection.sendall(request_)
        head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).decode().partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    assert first.startswith(f"HTTP/1.1 {status} ")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert_safe(headers)
    assert headers["content-type"] == "application/problem+json"
    assert f'"status":{status}' in body
    assert int(headers["content-length"]) == len(body)


def test_an_unknown_address_is_a_page_for_people_and_a_problem_for_programs(api):
    page = api.client.get("/nothing", headers=HTML)
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is no such page" in page.text
    assert_safe(page.headers, POLICY)
    for path, headers in (("/nothing", {}), ("/api/v1/nothing", HTML), ("/ogc/nothing", HTML)):
        answer = api.client.get(path, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
